/* Batch gather: picks the step's samples, augments and normalises them. What is drawn stands in augment.h. */
#include "host/ref/ref.h"

/* Value of the augmented image, in its own size. */
static double pixel_at(const struct device_dataset *dataset, int32_t sample, const struct augment_draw *draw,
                       int32_t c, int32_t y, int32_t x)
{
    int32_t height = dataset->base.height, width = dataset->base.width;
    const uint8_t *from = dataset->pixels + ((size_t)sample * (size_t)dataset->base.channels + (size_t)c) *
                                                (size_t)height * (size_t)width;
    int32_t column = draw->mirrored ? width - 1 - x : x;
    int32_t from_y = augment_reflect(y + draw->shift_y, height);
    int32_t from_x = augment_reflect(column + draw->shift_x, width);
    double value = from[from_y * width + from_x] / 255.0;
    bool cut =
        augment_is_cut(y, draw->cut_top, draw->cut_side) && augment_is_cut(x, draw->cut_left, draw->cut_side);
    return cut ? 0 : (value - (double)dataset->mean[c]) / (double)dataset->deviation[c];
}

/* Where the image is made smaller, the mean over a pixel's area; else that is the pixel itself. */
static void gather_image(const struct device_dataset *dataset, int32_t sample,
                         const struct augment_draw *draw, struct shape shape, double *image)
{
    const int32_t height = dataset->base.height, width = dataset->base.width;
    const double area = (double)height * (double)width;
    for (int32_t c = 0; c < shape.c; c++) {
        for (int32_t y = 0; y < shape.h; y++) {
            for (int32_t x = 0; x < shape.w; x++) {
                double sum = 0;
                for (int32_t v = augment_area_first(y, height, shape.h);
                     v < augment_area_end(y, height, shape.h); v++)
                    for (int32_t u = augment_area_first(x, width, shape.w);
                         u < augment_area_end(x, width, shape.w); u++)
                        sum += (double)augment_area_part(y, v, height, shape.h) *
                               (double)augment_area_part(x, u, width, shape.w) *
                               pixel_at(dataset, sample, draw, c, v, u);
                *image++ = sum / area;
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
        struct augment_draw draw =
            augment_look(augment_sample(augment, step->seed, step->epoch, (uint32_t)sample,
                                        dataset->base.height, dataset->base.width),
                         step->view);
        gather_image(dataset, sample, &draw, shape, images + ref_at(shape, n, 0, 0, 0));
        labels[n] = dataset->labels[sample];
    }
    return ST_OK;
}
