#include "host/train/latency.h"

#include "host/base/clock.h"
#include "host/train/calibration.h"
#include "host/train/timed.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* Passes that do not count, for what they do once; that do, and fewer where they take long, but so many at least. */
enum { FIRST_PASSES = 2, LEAST_PASSES = 3, MOST_PASSES = 15 };
static const double LONG_SECONDS = 0.2;

/* A training's operations and bytes over those of its forward pass, about: with both gradients. */
static const double TRAINING_OVER_FORWARD = 3.0;

/* latency_usual_rates; of a device that does not say. */
static const double USUAL_FLOPS = 2.5e10, USUAL_BYTES = 1e10;

/* ---- the device ---- */

enum status latency_open(struct latency_device *device, const struct device_ops *ops, struct shape image,
                         int32_t classes, struct error *err)
{
    const struct device_options options = {.threads = ops->on_host ? 1 : 0, .precision = PRECISION_FP32};
    const size_t values = (size_t)image.c * (size_t)image.h * (size_t)image.w;
    const int32_t label = 0;
    uint8_t *pixels = calloc(values, 1);
    struct dataset_view view = {.count = 1,
                                .channels = image.c,
                                .height = image.h,
                                .width = image.w,
                                .classes = classes,
                                .pixels = pixels,
                                .labels = &label};
    for (int k = 0; k < 4; k++)
        view.deviation[k] = 1.0f;
    *device = (struct latency_device){.ops = ops};
    enum status st =
        pixels != NULL ? ops->open(&options, &device->handle, err) : error_memory(err, "an image", values);
    if (st == ST_OK)
        st = ops->dataset_upload(device->handle, &view, &device->dataset, err);
    if (st == ST_OK)
        ops->info(device->handle, &device->info);
    free(pixels);
    return st;
}

void latency_close(struct latency_device *device)
{
    if (device->handle != NULL) {
        device->ops->dataset_free(device->handle, device->dataset);
        device->ops->close(device->handle);
    }
    *device = (struct latency_device){0};
}

/* ---- one network ---- */

struct network {
    struct timed timed;
    float *answer;
};

static enum status open_network(struct network *network, const struct latency_device *device,
                                const struct graph *graph, struct error *err)
{
    const struct lower_options options = {.purpose = PROG_EVALUATE, .batch = 1, .batch_norm_momentum = 0.1f};
    const size_t classes = (size_t)graph->layers[graph->count - 1].shape.c;
    const int32_t sample = 0;
    network->answer = calloc(classes, sizeof(float));
    if (network->answer == NULL)
        return error_memory(err, "answers", classes * sizeof(float));
    struct timed *timed = &network->timed;
    enum status st = timed_open(timed, graph, &options, err);
    const struct device_binding binding = {
        .weights = timed->weights, .dataset = device->dataset, .samples = &sample, .sample_count = 1};
    return st == ST_OK ? device->ops->program_bind(device->handle, timed->prepared, &binding, err) : st;
}

static void close_network(struct network *network)
{
    timed_close(&network->timed);
    free(network->answer);
}

/* One thread's own time is not that of what else runs on its core. A GPU is waited for. */
static double now(const struct timed *timed)
{
    return timed->ops->on_host ? clock_thread_seconds() : clock_seconds();
}

/* From the image on the device to the answer in the host's memory. */
static enum status pass(const struct network *network, double *seconds, struct error *err)
{
    const struct timed *timed = &network->timed;
    const struct step step = {.valid = 1};
    const double began = now(timed);
    enum status st = timed->ops->program_run(timed->device, timed->prepared, &step, err);
    if (st == ST_OK) /* waits */
        st = timed->ops->program_probabilities(timed->device, timed->prepared, network->answer, err);
    *seconds = now(timed) - began;
    return st;
}

static enum status time_passes(const struct network *network, double *median, struct error *err)
{
    double seconds[MOST_PASSES], all = 0.0;
    int32_t count = 0;
    enum status st = ST_OK;
    for (int i = 0; st == ST_OK && i < FIRST_PASSES; i++)
        st = pass(network, &seconds[0], err);
    while (st == ST_OK && count < MOST_PASSES && (count < LEAST_PASSES || all < LONG_SECONDS)) {
        st = pass(network, &seconds[count], err);
        all += seconds[count++];
    }
    if (st != ST_OK)
        return st;
    *median = timed_median(seconds, count);
    return ST_OK;
}

enum status latency_measure(const struct latency_device *device, const struct graph *graph, double *seconds,
                            struct error *err)
{
    struct network network = {.timed = {.ops = device->ops, .device = device->handle}};
    *seconds = NAN;
    enum status st = open_network(&network, device, graph, err);
    if (st == ST_OK)
        st = time_passes(&network, seconds, err);
    close_network(&network);
    return st;
}

/* ---- what others will take ---- */

/* Before anything is measured, on a processor of so many operations and bytes a second. */
static struct cost_rates prior(double flops, double bytes)
{
    struct cost_rates rates = cost_fit_prior(TRAINING_OVER_FORWARD * flops, TRAINING_OVER_FORWARD * bytes, 1);
    rates.seconds[COST_PARAMETERS] = sizeof(float) / bytes; /* each is read once */
    rates.seconds[COST_ORTHOGONAL] = rates.seconds[COST_DROPOUT] = 0.0;
    return rates;
}

struct cost_rates latency_usual_rates(void)
{
    return prior(USUAL_FLOPS, USUAL_BYTES);
}

/* Adds a sample, or none where the device can't do the network. */
static enum status measure(const struct latency_device *device, const struct graph *graph,
                           struct cost_sample *samples, int32_t *count, struct error *err)
{
    struct cost_sample *sample = &samples[*count];
    enum status st = latency_measure(device, graph, &sample->seconds, err);
    if (st == ST_MEMORY || st == ST_UNSUPPORTED)
        return ST_OK;
    sample->units = cost_units_of(graph, 1);
    *count += st == ST_OK;
    return st;
}

enum status latency_calibrate(const struct latency_device *device, const struct graph *graphs, int32_t count,
                              struct latency_rates *found, struct error *err)
{
    static_assert((int)CALIBRATION_NETWORKS + (int)LATENCY_GRAPHS <= (int)COST_FIT_MOST_SAMPLES,
                  "each is a sample");
    const struct device_info *info = &device->info;
    const struct shape image = graphs[0].layers[0].shape;
    const int32_t classes = graphs[0].layers[graphs[0].count - 1].shape.c;
    struct cost_sample samples[COST_FIT_MOST_SAMPLES];
    struct cost_rates rates =
        prior(info->flops > 0.0 ? info->flops : USUAL_FLOPS, info->bytes > 0.0 ? info->bytes : USUAL_BYTES);
    int32_t measured = 0;
    double slowest = 1.0;
    enum status st = ST_OK;
    for (int32_t i = 0; st == ST_OK && i < count; i++)
        st = measure(device, &graphs[i], samples, &measured, err);
    const int32_t alike = measured;
    for (int32_t i = 0; st == ST_OK && i < CALIBRATION_NETWORKS; i++) {
        struct graph graph = {0};
        st = calibration_network(i, image, classes, &graph, err);
        if (st == ST_OK)
            st = measure(device, &graph, samples, &measured, err);
        graph_free(&graph);
    }
    if (st != ST_OK)
        return st;
    cost_fit(samples, measured, &rates);
    found->networks = measured;
    found->error = calibration_error(samples, measured, &rates);
    for (int32_t i = 0; i < alike; i++)
        slowest = fmax(slowest, samples[i].seconds / cost_of_units(&samples[i].units, &rates));
    for (int unit = 0; unit < COST_UNIT_COUNT; unit++)
        rates.seconds[unit] *= slowest;
    found->rates = rates;
    return ST_OK;
}
