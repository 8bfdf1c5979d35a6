/* The same training on the reference device, the CPU and the emulated GPU: the losses of all steps in a picture.
 *
 *     loss_curves CIFAR10 PICTURE.png [STEPS]
 *
 * CIFAR10: folder with CIFAR-10's binary version, whose first training images are taken. The lean start at a quarter of
 * its width, batch 32, SGD, with augmentation, weight average and label smoothing: the same weights, images and random
 * numbers everywhere. Prints the largest difference of the losses to the reference's. */
#include "cuda/device/cuda_internal.h"
#include "host/base/file.h"
#include "host/net/start.h"
#include "host/report/axes.h"
#include "host/train/trainer.h"
#include "tests/gpu/emu/emu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIDE = 32,
    CHANNELS = 3,
    CLASSES = 10,
    TRAIN = 1600,
    IMAGES = TRAIN + 64,
    WIDTH = 8,
    BATCH = 32,
    MOST_STEPS = 1000,
    EARLY = 10, /* steps before rounding has grown */
};
enum { PIXELS = CHANNELS * SIDE * SIDE, FLOAT_MAJOR = 7 };

struct images {
    uint8_t pixels[IMAGES * PIXELS];
    int32_t labels[IMAGES], samples[IMAGES];
    float mean[4], deviation[4];
};

/* One line of the picture. */
struct curve {
    const char *name;
    const struct device_ops *ops;
    int32_t major; /* of the emulated GPU: 9 has bf16, 7 takes float32 */
    int32_t steps;
    double losses[MOST_STEPS];
    double sum, samples; /* of the epoch so far */
};

static enum status read_images(const char *folder, struct images *images, struct error *err)
{
    char *path = file_join(folder, "data_batch_1.bin"), *bytes = NULL;
    size_t size = 0;
    enum status st = path != NULL ? file_read(path, &bytes, &size, err) : error_memory(err, "path", 0);
    if (st == ST_OK && size < (size_t)IMAGES * (PIXELS + 1))
        st = error_set(err, ST_FORMAT, "%s: found %zu bytes, expected CIFAR-10's binary version", path, size);
    for (int32_t i = 0; st == ST_OK && i < IMAGES; i++) {
        const char *record = bytes + (size_t)i * (PIXELS + 1);
        images->labels[i] = record[0];
        images->samples[i] = i;
        memcpy(images->pixels + (size_t)i * PIXELS, record + 1, PIXELS);
    }
    for (int c = 0; st == ST_OK && c < CHANNELS; c++) {
        double sum = 0.0, squares = 0.0;
        for (int32_t i = 0; i < TRAIN; i++)
            for (int p = 0; p < SIDE * SIDE; p++) {
                double value = images->pixels[(size_t)i * PIXELS + (size_t)(c * SIDE * SIDE + p)] / 255.0;
                sum += value;
                squares += value * value;
            }
        const double count = (double)TRAIN * SIDE * SIDE;
        images->mean[c] = (float)(sum / count);
        images->deviation[c] = (float)sqrt(squares / count - sum / count * (sum / count));
    }
    free(bytes);
    free(path);
    return st;
}

/* ---- training ---- */

static enum status on_epoch(void *context, const struct trainer_epoch *epoch, struct error *err)
{
    struct curve *curve = context;
    (void)epoch;
    (void)err;
    curve->sum = curve->samples = 0.0;
    return ST_OK;
}

/* Between two steps; the metrics are sums over the epoch. The last step of an epoch is not seen, nor the last of
 * all. */
static enum status on_tick(void *context, const struct trainer_state *state, double progress,
                           struct error *err)
{
    struct curve *curve = context;
    const double sum = state->metrics[METRIC_LOSS], samples = state->metrics[METRIC_SAMPLES];
    (void)progress;
    (void)err;
    if (samples > curve->samples)
        curve->losses[curve->steps++] = (sum - curve->sum) / (samples - curve->samples);
    curve->sum = sum;
    curve->samples = samples;
    return ST_OK;
}

static enum status train(struct curve *curve, const struct images *images, const struct graph *graph,
                         uint32_t steps, struct error *err)
{
    const struct device_options options = {.threads = 1};
    const struct dataset_view view = {
        .count = IMAGES,
        .channels = CHANNELS,
        .height = SIDE,
        .width = SIDE,
        .classes = CLASSES,
        .pixels = images->pixels,
        .labels = images->labels,
        .mean = {images->mean[0], images->mean[1], images->mean[2]},
        .deviation = {images->deviation[0], images->deviation[1], images->deviation[2]}};
    const struct trainer_settings settings = {
        .batch = BATCH,
        .optimizer = {.kind = OPTIMIZER_SGD, .momentum = 0.9f, .decay = 5e-4f, .bias_rate = 1.0f},
        .schedule = {.kind = JOB_SCHEDULE_COSINE, .peak = 0.05, .warmup = 0.1},
        .augment = {.translate = 2, .flip = 1},
        .label_smoothing = 0.1f,
        .average = 0.99f,
        .seed = 1};
    const struct trainer_limit limit = {.seconds = INFINITY, .steps = steps};
    const struct trainer_events events = {.context = curve, .on_epoch = on_epoch, .on_tick = on_tick};
    struct trainer_device device = {.ops = curve->ops,
                                    .train = images->samples,
                                    .train_count = TRAIN,
                                    .validation = images->samples + TRAIN,
                                    .validation_count = IMAGES - TRAIN};
    struct trainer_result result;
    struct trainer *trainer = NULL;
    float *values = NULL;
    size_t bytes;

    emu_reset();
    emu.major = (int)curve->major;
    enum status st = curve->ops->open(&options, &device.handle, err);
    if (st != ST_OK)
        return st;
    st = curve->ops->dataset_upload(device.handle, &view, &device.dataset, err);
    if (st == ST_OK)
        st = trainer_open(&device, 1, graph, &settings, SIZE_MAX, &trainer, &bytes, err);
    if (st != ST_OK)
        goto out;
    values = calloc(trainer_weights(trainer)->total, sizeof(*values));
    if (values == NULL) {
        st = error_memory(err, "weights", trainer_weights(trainer)->total * sizeof(*values));
        goto out;
    }
    weight_initialise(trainer_weights(trainer), graph, 1, NULL, values);
    st = trainer_load_values(trainer, values, err);
    if (st == ST_OK)
        st = trainer_run(trainer, limit, &events, &result, err);
out:
    free(values);
    trainer_close(trainer);
    curve->ops->dataset_free(device.handle, device.dataset);
    curve->ops->close(device.handle);
    return st;
}

/* ---- picture ---- */

static enum status draw(const struct curve *curves, int count, const char *path, struct error *err)
{
    static const double widths[] = {4.5, 2.0, 1.0, 1.0}; /* the reference lies below the others */
    const struct colour colours[] = {COLOUR_PALE_BLUE, COLOUR_BLUE, COLOUR_ORANGE, COLOUR_RED};
    struct axes axes = {.left = 96,
                        .top = 44,
                        .width = 780,
                        .height = 380,
                        .x_high = curves[0].steps,
                        .y_low = INFINITY,
                        .y_high = -INFINITY,
                        .x_label = "step",
                        .y_label = "training loss of the batch"};
    struct legend_entry legend[4];
    struct picture picture = {.path = path};
    struct canvas canvas = {0};
    for (int c = 0; c < count; c++) {
        legend[c] = (struct legend_entry){colours[c], widths[c] + 1.0, MARK_NONE, curves[c].name};
        for (int32_t i = 0; i < curves[c].steps; i++) {
            axes.y_low = fmin(axes.y_low, curves[c].losses[i]);
            axes.y_high = fmax(axes.y_high, curves[c].losses[i]);
        }
    }
    axes_round_range(&axes.y_low, &axes.y_high);
    enum status st = canvas_open(&canvas, &picture, 900, 490, err);
    if (st != ST_OK)
        return st;
    axes_draw(&canvas, &axes);
    canvas_legend(&canvas, axes.left, 22, legend, count);
    axes_begin(&canvas, &axes);
    for (int c = 0; c < count; c++) {
        canvas_colour(&canvas, colours[c]);
        cairo_set_line_width(canvas.cairo, widths[c]);
        for (int32_t i = 0; i < curves[c].steps; i++)
            cairo_line_to(canvas.cairo, axes_x(&axes, i + 1), axes_y(&axes, curves[c].losses[i]));
        cairo_stroke(canvas.cairo);
    }
    axes_end(&canvas);
    st = canvas_save(&canvas, err);
    canvas_close(&canvas);
    return st;
}

int main(int count, char **arguments)
{
    static struct curve curves[] = {
        {.name = "reference, double", .ops = &ref_device_ops, .major = 9},
        {.name = "CPU, float32", .ops = &cpu_device_ops, .major = 9},
        {.name = "emulated GPU, bf16", .ops = &cuda_device_ops, .major = 9},
        {.name = "emulated GPU, float32", .ops = &cuda_device_ops, .major = FLOAT_MAJOR}};
    enum { CURVES = sizeof(curves) / sizeof(curves[0]) };
    static struct images images;
    struct graph graph = {0};
    struct error err;
    long steps = count == 4 ? strtol(arguments[3], NULL, 10) : 200;
    if (count < 3 || count > 4 || steps < 1 || steps > MOST_STEPS) {
        fprintf(stderr,
                "usage: loss_curves CIFAR10 PICTURE.png [STEPS]   CIFAR10: folder of its binary version\n");
        return 2;
    }
    enum status st = read_images(arguments[1], &images, &err);
    if (st == ST_OK)
        st = start_make(&graph, "lean", WIDTH, (struct shape){0, CHANNELS, SIDE, SIDE}, CLASSES, &err);
    for (int c = 0; st == ST_OK && c < CURVES; c++) {
        double early = 0.0, largest = 0.0, sum = 0.0;
        st = train(&curves[c], &images, &graph, (uint32_t)steps, &err);
        for (int32_t i = 0; st == ST_OK && i < curves[c].steps; i++) {
            const double difference = fabs(curves[c].losses[i] - curves[0].losses[i]);
            largest = fmax(largest, difference);
            early = i < EARLY ? largest : early;
            sum += difference;
        }
        if (st == ST_OK)
            printf("%-22s %d losses of %ld steps: first %.4f, last %.4f; difference to the reference: "
                   "largest %.2g in the first %d, %.2g in all, mean %.2g\n",
                   curves[c].name, (int)curves[c].steps, steps, curves[c].losses[0],
                   curves[c].losses[curves[c].steps - 1], early, EARLY, largest, sum / curves[c].steps);
        fflush(stdout);
    }
    if (st == ST_OK)
        st = draw(curves, CURVES, arguments[2], &err);
    graph_free(&graph);
    if (st != ST_OK)
        fprintf(stderr, "loss_curves: %s\n", err.message);
    return st == ST_OK ? 0 : 2;
}
