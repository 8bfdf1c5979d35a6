/* Batch gather: images of a batch from resident bytes to normalised, augmented floats. */
#include "host/cpu/kernels.h"

#include <string.h>

enum { CHANNELS_MAX = 4 };

/* One image. `levels[c][v]` is byte v of channel c normalised. Result pixel (y, x) at out[y * width * step +
 * x * step], channels `plane` floats apart. */
static void gather_image(const struct dataset_view *view, const uint8_t *pixels, const struct augment_draw *d,
                         float (*levels)[256], size_t step, size_t plane, float *out)
{
    const int32_t height = view->height, width = view->width;
    for (int32_t c = 0; c < view->channels; c++) {
        const uint8_t *image = pixels + (size_t)c * (size_t)height * (size_t)width;
        float *to = out + (size_t)c * plane;
        for (int32_t y = 0; y < height; y++) {
            const uint8_t *row = image + (size_t)augment_reflect(y + d->shift_y, height) * (size_t)width;
            const bool cut_row = y >= d->cut_top && y < d->cut_top + d->cut_side;
            for (int32_t x = 0; x < width; x++, to += step) {
                int32_t from = (d->mirrored ? width - 1 - x : x) + d->shift_x;
                if (from < 0 || from >= width)
                    from = augment_reflect(from, width);
                const bool cut = cut_row && x >= d->cut_left && x < d->cut_left + d->cut_side;
                *to = cut ? 0.0f : levels[c][row[from]];
            }
        }
    }
}

static bool lies_in(int32_t i, int32_t first, int32_t count)
{
    return i >= first && i < first + count;
}

/* The same where the result is smaller: the mean over each pixel's area. */
static void gather_smaller(const struct cpu_gather *gather, const uint8_t *pixels,
                           const struct augment_draw *d, float (*levels)[256], float *out)
{
    const int32_t height = gather->view->height, width = gather->view->width;
    const size_t made = (size_t)gather->height * (size_t)gather->width;
    const size_t step = gather->block ? (size_t)gather->block : 1, plane = gather->block ? 1 : made;
    const float area = 1.0f / ((float)height * (float)width);
    for (size_t i = 0; i < made; i++) {
        const int32_t y = (int32_t)i / gather->width, x = (int32_t)i % gather->width;
        float sums[CHANNELS_MAX] = {0};
        for (int32_t v = augment_area_first(y, height, gather->height);
             v < augment_area_end(y, height, gather->height); v++) {
            const int32_t row = augment_reflect(v + d->shift_y, height);
            const float part = (float)augment_area_part(y, v, height, gather->height);
            const bool cut_row = lies_in(v, d->cut_top, d->cut_side);
            for (int32_t u = augment_area_first(x, width, gather->width);
                 u < augment_area_end(x, width, gather->width); u++) {
                if (cut_row && lies_in(u, d->cut_left, d->cut_side))
                    continue;
                const int32_t column = augment_reflect((d->mirrored ? width - 1 - u : u) + d->shift_x, width);
                const float weight = part * (float)augment_area_part(x, u, width, gather->width);
                for (int32_t c = 0; c < gather->view->channels; c++)
                    sums[c] += weight * levels[c][pixels[(c * height + row) * width + column]];
            }
        }
        for (int32_t c = 0; c < gather->view->channels; c++)
            out[(size_t)c * plane + i * step] = area * sums[c];
    }
}

void cpu_kernel_gather(const struct cpu_gather *gather)
{
    const struct dataset_view *view = gather->view;
    const struct step *step = gather->step;
    const size_t block = (size_t)gather->block;
    float levels[CHANNELS_MAX][256];
    for (int32_t c = 0; c < view->channels; c++)
        for (int32_t v = 0; v < 256; v++)
            levels[c][v] = (float)((v / 255.0 - (double)view->mean[c]) / (double)view->deviation[c]);

    const bool smaller = gather->height < view->height || gather->width < view->width;
    const size_t pixels = (size_t)gather->height * (size_t)gather->width;
    const size_t stored = (size_t)view->height * (size_t)view->width * (size_t)view->channels;
    const size_t made =
        pixels * (block ? block : (size_t)view->channels); /* channels <= CHANNELS_MAX < block */
#pragma omp parallel for schedule(static)
    for (int32_t r = 0; r < gather->rows; r++) {
        const uint32_t position =
            gather_position(step->seed, step->epoch, step->first, r < step->valid ? (uint32_t)r : 0,
                            (uint32_t)gather->sample_count, gather->shuffled);
        const int32_t sample = gather->samples[position];
        struct augment_draw draw = {0, 0, 0, 0, 0, 0};
        if (gather->augment)
            draw = augment_sample(*gather->augment, step->seed, step->epoch, (uint32_t)sample, view->height,
                                  view->width);
        draw = augment_look(draw, step->view);
        float *out = gather->image + (size_t)r * made;
        const uint8_t *from = view->pixels + (size_t)sample * stored;
        if (block)
            memset(out, 0, made * sizeof(*out));
        if (smaller)
            gather_smaller(gather, from, &draw, levels, out);
        else
            gather_image(view, from, &draw, levels, block ? block : 1, block ? 1 : pixels, out);
        gather->labels[r] = view->labels[sample];
    }
}
