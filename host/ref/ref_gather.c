/* Batch gather: picks the step's samples, augments and normalises them. What is drawn stands in augment.h. */
#include "host/ref/ref.h"

static void gather_image(const struct device_dataset *dataset, int32_t sample,
                         const struct augment_draw *draw, double *image)
{
    int32_t height = dataset->base.height, width = dataset->base.width;
    size_t plane = (size_t)height * (size_t)width;
    for (int32_t c = 0; c < dataset->base.channels; c++) {
        const uint8_t *from =
            dataset->pixels + ((size_t)sample * (size_t)dataset->base.channels + (size_t)c) * plane;
        double mean = (double)dataset->mean[c], deviation = (double)dataset->deviation[c];
        for (int32_t y = 0; y < height; y++) {
            for (int32_t x = 0; x < width; x++) {
                int32_t column = draw->mirrored ? width - 1 - x : x;
                int32_t from_y = augment_reflect(y + draw->shift_y, height);
                int32_t from_x = augment_reflect(column + draw->shift_x, width);
                double value = from[from_y * width + from_x] / 255.0;
                bool cut = y >= draw->cut_top && y < draw->cut_top + draw->cut_side && x >= draw->cut_left &&
                           x < draw->cut_left + draw->cut_side;
                *image++ = cut ? 0 : (value - mean) / deviation;
            }
        }
    }
}

enum status ref_run_gather(const struct op_call *call)
{
    const struct device_binding *binding = &call->prepared->binding;
    const struct device_dataset *dataset = binding->dataset;
    const struct step *step = call->step;
    double *images = ref_output(call, GATHER_OUT_IMAGE), *labels = ref_output(call, GATHER_OUT_LABELS);
    struct shape shape = op_output_shape(call, GATHER_OUT_IMAGE);
    struct augment augment = call->op->gather.augment ? binding->augment : (struct augment){0, 0, 0};
    for (int32_t n = 0; n < shape.n; n++) {
        uint32_t row = n < step->valid ? (uint32_t)n : 0;
        uint32_t position = gather_position(step->seed, step->epoch, step->first, row,
                                            (uint32_t)binding->sample_count, binding->shuffled);
        int32_t sample = binding->samples[position];
        struct augment_draw draw = augment_look(
            augment_sample(augment, step->seed, step->epoch, (uint32_t)sample, shape.h, shape.w), step->view);
        gather_image(dataset, sample, &draw, images + ref_at(shape, n, 0, 0, 0));
        labels[n] = dataset->labels[sample];
    }
    return ST_OK;
}
