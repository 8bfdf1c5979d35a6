#include "host/train/calibration.h"

#include "host/base/clock.h"
#include "host/train/timed.h"
#include "host/train/trainer_internal.h"

#include <assert.h>
#include <math.h>

/* Images are made about this small first, or steps would take too long: a network's layers are of the first size, or,
 * where they compute little, of the second. */
enum { SIDE = 16, LARGE = 32, STEM = 3, LEAST_BATCH = 4, GROUP = 16 };

/* Of one step, about; of all steps of a network. No step is measured that is expected to take more of the time. */
static const double STEP_SECONDS = 0.005, MOVING_SECONDS = 0.015, BUSY_SECONDS = 0.1, NETWORK_SECONDS = 0.02,
                    MOST_OF_THE_TIME = 0.1;

/* At least so many steps are measured, or fewer on a machine that is busy with something else; the fastest counts, for
 * others only ever slow one down. A GPU's are measured together. */
enum { LEAST_STEPS = 3, MOST_STEPS = 40, GPU_STEPS = 10 };

/* ---- networks ---- */

/* What a network repeats. */
enum block {
    BLOCK_CONV,    /* convolution of `kernel` */
    BLOCK_GROUPED, /* the same with 16 channels in a group */
    BLOCK_DEPTHWISE,
    BLOCK_NORM, /* convolution of `kernel`, batch norm, ReLU, as networks have it */
    BLOCK_ACTIVATION,
    BLOCK_MAX_POOL,
    BLOCK_AVERAGE_POOL,
    BLOCK_ADD,
    BLOCK_CONCAT, /* with a convolution that makes it as narrow as before */
    BLOCK_DROPOUT,
    BLOCK_DENSE, /* in place of what precedes it */
    BLOCK_NONE,
};

struct network {
    enum block block;
    int32_t channels, times, kernel;
    enum layer_kind activation; /* of BLOCK_ACTIVATION */
    /* Of what is repeated. Behind a convolution of 3 x 3 where `moves` holds, of its stride alone otherwise. */
    int32_t side;
    bool moves; /* its layers compute little: steps have to be large, or caches would hold them */
};

/* clang-format off */
static const struct network NETWORKS[] = {
    {BLOCK_CONV, 64, 3, 3, LAYER_RELU, SIDE, false},
    {BLOCK_NORM, 24, 4, 3, LAYER_RELU, SIDE, false},
    {BLOCK_NORM, 64, 3, 3, LAYER_RELU, SIDE, false},
    {BLOCK_CONV, 64, 6, 1, LAYER_RELU, SIDE, false},
    {BLOCK_NORM, 32, 2, 3, LAYER_RELU, LARGE, true},
    {BLOCK_CONV, 256, 1, 3, LAYER_RELU, SIDE / 4, false}, /* many weights, few operations */
    {BLOCK_ACTIVATION, 32, 3, 0, LAYER_GELU, LARGE, true},
    {BLOCK_MAX_POOL, 32, 2, 2, LAYER_RELU, LARGE, true},
    {BLOCK_NORM, 8, 8, 1, LAYER_RELU, SIDE / 2, false}, /* many layers, small ones */
    {BLOCK_CONV, 32, 2, 5, LAYER_RELU, SIDE, false},
    {BLOCK_NONE, 32, 0, 0, LAYER_RELU, LARGE, true},
    {BLOCK_CONV, 16, 4, 3, LAYER_RELU, SIDE, false},
    {BLOCK_CONCAT, 32, 2, 1, LAYER_RELU, LARGE, true},
    {BLOCK_ADD, 32, 3, 0, LAYER_RELU, LARGE, true},
    {BLOCK_NORM, 64, 3, 1, LAYER_RELU, SIDE, true},
    {BLOCK_AVERAGE_POOL, 32, 2, 2, LAYER_RELU, LARGE, true},
    {BLOCK_DENSE, 128, 2, 0, LAYER_RELU, SIDE / 4, false},
    {BLOCK_ACTIVATION, 32, 3, 0, LAYER_RELU, LARGE, true},
    {BLOCK_DROPOUT, 32, 2, 0, LAYER_RELU, SIDE, false},
    {BLOCK_DEPTHWISE, 64, 4, 3, LAYER_RELU, SIDE, true},
    {BLOCK_DEPTHWISE, 64, 3, 5, LAYER_RELU, SIDE, false},
    {BLOCK_GROUPED, 64, 4, 3, LAYER_RELU, SIDE, false},
};
/* clang-format on */
static_assert(sizeof(NETWORKS) / sizeof(NETWORKS[0]) == CALIBRATION_NETWORKS, "the header counts them");

static struct layer conv(int32_t channels, int32_t kernel, int32_t stride, int32_t groups)
{
    return (struct layer){.kind = LAYER_CONV,
                          .out_channels = channels,
                          .kernel_h = kernel,
                          .kernel_w = kernel,
                          .stride = stride,
                          .pad_h = kernel / 2,
                          .pad_w = kernel / 2,
                          .groups = groups};
}

/* Behind the last layer, and behind `second` where the layer reads two (0: the image, which none of them does). */
static enum status append(struct graph *graph, struct layer layer, int32_t second, struct error *err)
{
    layer.inputs[0] = graph->count - 1;
    layer.inputs[1] = second;
    layer.input_count = second > 0 ? 2 : 1;
    return graph_append(graph, layer, NULL, err);
}

static enum status append_pool(struct graph *graph, enum layer_kind kind, int32_t kernel, struct error *err)
{
    struct layer pool = conv(0, kernel, kernel, 0);
    pool.kind = kind;
    pool.pad_h = pool.pad_w = 0;
    return append(graph, pool, 0, err);
}

/* `stem`: the layer that the network begins with. */
static enum status append_block(struct graph *graph, const struct network *network, int32_t stem,
                                struct error *err)
{
    const int32_t channels = network->channels;
    enum status st = ST_OK;
    switch (network->block) {
    case BLOCK_CONV:
        return append(graph, conv(channels, network->kernel, 1, 1), 0, err);
    case BLOCK_GROUPED:
        return append(graph, conv(channels, network->kernel, 1, channels / GROUP), 0, err);
    case BLOCK_DEPTHWISE:
        return append(graph, conv(channels, network->kernel, 1, channels), 0, err);
    case BLOCK_NORM:
        st = append(graph, conv(channels, network->kernel, 1, 1), 0, err);
        if (st == ST_OK)
            st = append(graph, (struct layer){.kind = LAYER_BATCH_NORM}, 0, err);
        return st == ST_OK ? append(graph, (struct layer){.kind = LAYER_RELU}, 0, err) : st;
    case BLOCK_ACTIVATION:
        return append(graph, (struct layer){.kind = network->activation}, 0, err);
    case BLOCK_MAX_POOL:
        return append_pool(graph, LAYER_MAX_POOL, network->kernel, err);
    case BLOCK_AVERAGE_POOL:
        return append_pool(graph, LAYER_AVERAGE_POOL, network->kernel, err);
    case BLOCK_ADD:
        return append(graph, (struct layer){.kind = LAYER_ADD}, stem, err);
    case BLOCK_CONCAT:
        st = append(graph, (struct layer){.kind = LAYER_CONCAT}, stem, err);
        return st == ST_OK ? append(graph, conv(channels, network->kernel, 1, 1), 0, err) : st;
    case BLOCK_DROPOUT:
        return append(graph, (struct layer){.kind = LAYER_DROPOUT, .rate = 0.1f}, 0, err);
    case BLOCK_DENSE:
        return append(graph, (struct layer){.kind = LAYER_DENSE, .out_channels = channels, .bias = true}, 0,
                      err);
    case BLOCK_NONE:
        break;
    }
    return ST_OK;
}

enum status calibration_network(int32_t index, struct shape image, int32_t classes, struct graph *graph,
                                struct error *err)
{
    const struct network *network = &NETWORKS[index];
    const int32_t side = image.h < image.w ? image.h : image.w;
    const int32_t stride = side <= network->side ? 1 : side / network->side;
    struct layer stem = conv(network->channels, network->moves ? STEM : stride, stride, 1);
    if (!network->moves)
        stem.pad_h = stem.pad_w = 0;
    enum status st = graph_new(graph, image.c, image.h, image.w, err);
    if (st == ST_OK)
        st = append(graph, stem, 0, err);
    const int32_t first = graph->count - 1;
    for (int32_t i = 0; st == ST_OK && i < network->times; i++)
        st = append_block(graph, network, first, err);
    if (st == ST_OK && network->block != BLOCK_DENSE)
        st = append(graph, (struct layer){.kind = LAYER_GLOBAL_POOL}, 0, err);
    if (st == ST_OK)
        st =
            append(graph, (struct layer){.kind = LAYER_DENSE, .out_channels = classes, .bias = true}, 0, err);
    return st == ST_OK ? graph_infer(graph, err) : st;
}

/* ---- a network's step ---- */

static enum status open_training(struct timed *network, const struct trainer_device *device,
                                 const struct graph *graph, const struct trainer_settings *settings,
                                 struct error *err)
{
    const struct lower_options options = trainer_lower_options(settings, device, 1, PROG_TRAIN);
    enum status st = timed_open(network, graph, &options, err);
    if (st != ST_OK)
        return st;
    const struct device_binding binding = {.weights = network->weights,
                                           .dataset = device->dataset,
                                           .samples = device->train,
                                           .sample_count = device->train_count,
                                           .shuffled = 1,
                                           .augment = settings->augment,
                                           .optimizer = settings->optimizer};
    return network->ops->program_bind(network->device, network->prepared, &binding, err);
}

/* Seconds of one of `count` steps, one behind the other. */
static enum status take(const struct timed *network, struct step *step, int32_t count, double *seconds,
                        struct error *err)
{
    double metrics[METRIC_COUNT];
    const double began = clock_seconds();
    enum status st = ST_OK;
    for (int32_t i = 0; st == ST_OK && i < count; i++, step->number++)
        st = network->ops->program_run(network->device, network->prepared, step, err);
    if (st == ST_OK) /* waits */
        st = network->ops->program_metrics(network->device, network->prepared, metrics, err);
    *seconds = (clock_seconds() - began) / count;
    return st;
}

/* Without the first steps, for what they do once: buffers, a GPU's recording. */
static enum status time_steps(const struct timed *network, int32_t batch, double *seconds, struct error *err)
{
    const bool host = network->ops->on_host;
    const int32_t together = host ? 1 : GPU_STEPS;
    struct step step = {.valid = batch, .average_decay = 0.9f}; /* a rate of 0: no weight goes astray */
    double once, all = 0.0;
    *seconds = INFINITY;
    enum status st = take(network, &step, host ? 1 : LEAST_STEPS, &once, err);
    for (int32_t i = 0; st == ST_OK && i < MOST_STEPS; i++) {
        if (i > 0 && all > (i < LEAST_STEPS ? BUSY_SECONDS : NETWORK_SECONDS))
            break;
        st = take(network, &step, together, &once, err);
        *seconds = fmin(*seconds, once);
        all += once * together;
    }
    return st;
}

enum status calibration_step_seconds(const struct trainer_device *device, const struct graph *graph,
                                     const struct trainer_settings *settings, double *seconds,
                                     struct error *err)
{
    struct timed network = {.ops = device->ops, .device = device->handle};
    *seconds = NAN;
    enum status st = open_training(&network, device, graph, settings, err);
    if (st == ST_OK)
        st = time_steps(&network, settings->batch, seconds, err);
    *seconds /= settings->batch;
    timed_close(&network);
    return st;
}

/* ---- all of them ---- */

static bool is_left_out(enum status st)
{
    return st == ST_MEMORY || st == ST_UNSUPPORTED;
}

/* Images of a step: as many as a step's time is expected to be enough for. */
static int32_t batch_of(const struct calibration_setup *setup, const struct network *network,
                        double image_seconds)
{
    const double fitting = (network->moves ? MOVING_SECONDS : STEP_SECONDS) / image_seconds;
    const int32_t most = setup->settings.batch, least = most < LEAST_BATCH ? most : LEAST_BATCH;
    return fitting >= most ? most : fitting > least ? (int32_t)fitting : least;
}

/* Adds a sample, or none where the device is too slow for it, or can't do it. */
static enum status measure_network(const struct calibration_setup *setup, int32_t index,
                                   const struct cost_rates *prior, struct cost_sample *samples,
                                   int32_t *count, struct error *err)
{
    struct trainer_settings settings = setup->settings;
    struct cost_sample *sample = &samples[*count];
    struct graph graph = {0};
    enum status st = calibration_network(index, setup->image, setup->classes, &graph, err);
    const double expected = st == ST_OK ? cost_seconds(&graph, prior) : INFINITY;
    settings.batch = batch_of(setup, &NETWORKS[index], expected);
    const bool wanted = expected * settings.batch <= MOST_OF_THE_TIME * setup->seconds;
    if (st == ST_OK && wanted)
        st = calibration_step_seconds(&setup->device, &graph, &settings, &sample->seconds, err);
    if (st == ST_OK && wanted) {
        sample->units = cost_units_of(&graph, settings.batch);
        (*count)++;
    }
    graph_free(&graph);
    return is_left_out(st) ? ST_OK : st;
}

double calibration_error(const struct cost_sample *samples, int32_t count, const struct cost_rates *rates)
{
    double errors[COST_FIT_MOST_SAMPLES];
    for (int32_t s = 0; s < count; s++)
        errors[s] = fabs(cost_of_units(&samples[s].units, rates) / samples[s].seconds - 1.0);
    return count > 0 ? timed_median(errors, count) : NAN;
}

enum status calibration_measure(const struct calibration_setup *setup, struct calibration *calibration,
                                struct error *err)
{
    static_assert((int)CALIBRATION_NETWORKS <= (int)COST_FIT_MOST_SAMPLES, "each network is a sample");
    const double began = clock_seconds();
    struct cost_sample samples[CALIBRATION_NETWORKS];
    struct cost_rates rates = cost_fit_prior(setup->info.flops, setup->info.bytes, setup->settings.batch);
    int32_t count = 0;
    enum status st = ST_OK;
    for (int32_t i = 0; st == ST_OK && i < CALIBRATION_NETWORKS && clock_seconds() - began < setup->seconds;
         i++)
        st = measure_network(setup, i, &rates, samples, &count, err);
    if (st != ST_OK)
        return st;
    cost_fit(samples, count, &rates);
    if (count == 0)
        rates = cost_rates_of(setup->info.flops, setup->info.bytes);
    *calibration = (struct calibration){.rates = rates,
                                        .networks = count,
                                        .error = calibration_error(samples, count, &rates),
                                        .seconds = clock_seconds() - began};
    return ST_OK;
}
