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
            const bool cut_row = y >= d->cut_top && y < d->cut_top + d->cut_side;
            for (int32_t x = 0; x < width; x++, to += out->step) {
                int32_t from = (d->mirrored ? width - 1 - x : x) + d->shift_x;
                if (from < 0 || from >= width)
                    from = augment_reflect(from, width);
                const bool cut = cut_row && x >= d->cut_left && x < d->cut_left + d->cut_side;
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
        const struct target out = {
            .type = gather->type,
            .step = block ? block : 1,
            .plane = block ? 1 : pixels,
            .values = cpu_write_to(gather->type, gather->image, (size_t)r * made),
        };
        if (block)
            memset(out.values, 0, made * cpu_type_size(gather->type));
        gather_image(view, view->pixels + (size_t)sample * stored, &draw, levels, &out);
        gather->labels[r] = view->labels[sample];
    }
}
