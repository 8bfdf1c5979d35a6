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

void cpu_kernel_gather(const struct cpu_gather *gather)
{
    const struct dataset_view *view = gather->view;
    const struct step *step = gather->step;
    const size_t block = (size_t)gather->block;
    float levels[CHANNELS_MAX][256];
    for (int32_t c = 0; c < view->channels; c++)
        for (int32_t v = 0; v < 256; v++)
            levels[c][v] = (float)((v / 255.0 - (double)view->mean[c]) / (double)view->deviation[c]);

    const size_t pixels = (size_t)view->height * (size_t)view->width;
    const size_t stored = pixels * (size_t)view->channels;
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
        if (block) {
            memset(out, 0, made * sizeof(*out));
            gather_image(view, view->pixels + (size_t)sample * stored, &draw, levels, block, 1, out);
        } else {
            gather_image(view, view->pixels + (size_t)sample * stored, &draw, levels, 1, pixels, out);
        }
        gather->labels[r] = view->labels[sample];
    }
}
