/* Batch gather: images of a batch from resident bytes to normalised, augmented values. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"

enum { CHANNELS_MAX = 4 };

/* Where an image goes: pixel (y, x) to value y * width * step + x * step, channels `plane` values apart. */
struct target {
    enum cpu_type type;
    size_t step, plane;
    void *values;
};

/* One image. `levels[c][v]` is byte v of channel c normalised. */
CPU_INLINE void image_body(const enum cpu_type type, const struct dataset_view *view, const uint8_t *pixels,
                           const struct augment_draw *d, float (*levels)[256], const struct target *out)
{
    const int32_t height = view->height, width = view->width;
    for (int32_t c = 0; c < view->channels; c++) {
        const uint8_t *image = pixels + (size_t)c * (size_t)height * (size_t)width;
        size_t to = (size_t)c * out->plane;
        for (int32_t y = 0; y < height; y++) {
            const uint8_t *row = image + (size_t)augment_reflect(y + d->shift_y, height) * (size_t)width;
            const bool cut_row = augment_is_cut(y, d->cut_top, d->cut_side);
            for (int32_t x = 0; x < width; x++, to += out->step) {
                int32_t from = (d->mirrored ? width - 1 - x : x) + d->shift_x;
                if (from < 0 || from >= width)
                    from = augment_reflect(from, width);
                const bool cut = cut_row && augment_is_cut(x, d->cut_left, d->cut_side);
                cpu_set_value(type, out->values, to, cut ? 0.0f : levels[c][row[from]]);
            }
        }
    }
}

static void gather_image(const struct dataset_view *view, const uint8_t *pixels, const struct augment_draw *d,
                         float (*levels)[256], const struct target *out)
{
    CPU_BY_TYPE(out->type, image_body, view, pixels, d, levels, out);
}

/* The same where the result is smaller: the mean over each pixel's area. */
static void gather_smaller(const struct cpu_gather *gather, const uint8_t *pixels,
                           const struct augment_draw *d, float (*levels)[256], const struct target *out)
{
    const int32_t height = gather->view->height, width = gather->view->width;
    const size_t made = (size_t)gather->height * (size_t)gather->width;
    const float area = 1.0f / ((float)height * (float)width);
    for (size_t i = 0; i < made; i++) {
        const int32_t y = (int32_t)i / gather->width, x = (int32_t)i % gather->width;
        float sums[CHANNELS_MAX] = {0};
        for (int32_t v = augment_area_first(y, height, gather->height);
             v < augment_area_end(y, height, gather->height); v++) {
            const int32_t row = augment_reflect(v + d->shift_y, height);
            const float part = (float)augment_area_part(y, v, height, gather->height);
            const bool cut_row = augment_is_cut(v, d->cut_top, d->cut_side);
            for (int32_t u = augment_area_first(x, width, gather->width);
                 u < augment_area_end(x, width, gather->width); u++) {
                if (cut_row && augment_is_cut(u, d->cut_left, d->cut_side))
                    continue;
                const int32_t column = augment_reflect((d->mirrored ? width - 1 - u : u) + d->shift_x, width);
                const float weight = part * (float)augment_area_part(x, u, width, gather->width);
                for (int32_t c = 0; c < gather->view->channels; c++)
                    sums[c] += weight * levels[c][pixels[(c * height + row) * width + column]];
            }
        }
        for (int32_t c = 0; c < gather->view->channels; c++)
            cpu_set_value(out->type, out->values, (size_t)c * out->plane + i * out->step, area * sums[c]);
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
        const uint8_t *from = view->pixels + (size_t)sample * stored;
        const struct target out = {
            .type = gather->type,
            .step = block ? block : 1,
            .plane = block ? 1 : pixels,
            .values = cpu_write_to(gather->type, gather->image, (size_t)r * made),
        };
        if (block)
            memset(out.values, 0, made * cpu_type_size(gather->type));
        if (smaller)
            gather_smaller(gather, from, &draw, levels, &out);
        else
            gather_image(view, from, &draw, levels, &out);
        gather->labels[r] = view->labels[sample];
    }
}
