/* How well the cost model predicts how fast networks train (host/train/calibration.h):
 *
 *     bench_cost [--gpu N [--plugin FILE]] [--threads N] [--batch B] [--side N] [--graphs N] [--seed N]
 *                [--flops MOST] [--sgd] [--verbose]
 *
 * A device is calibrated as a run does it; then random networks of a search are trained for a few steps: a starting
 * network in any width up to 128, and up to five random morphs on it. What the calibration predicts for each is
 * compared with what was measured, with one factor for all of them, as a run has measured one network before it asks,
 * and without; beside it the same of the device's two rates alone. Networks of more than MOST operations an image are
 * left out: they take long to measure. */
#include "host/base/clock.h"
#include "host/device/device.h"
#include "host/machine/plugin_load.h"
#include "host/morph/morph.h"
#include "host/net/start.h"
#include "host/train/calibration.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES = 512, CLASSES = 10, MOST_GRAPHS = 1000, MOST_WIDTH = 128, WIDTH_STEP = 8, MOST_MORPHS = 5 };

struct bench {
    struct plugin plugin;
    struct calibration_setup setup;
    struct device_dataset *dataset;
    int32_t samples[IMAGES];
    int32_t side, graphs;
    uint64_t seed;
    double flops; /* the most of a network */
    bool verbose;
    double measured[MOST_GRAPHS], by_units[MOST_GRAPHS], by_rates[MOST_GRAPHS]; /* seconds an image */
};

static const char *const STARTS[] = {"lean", "res9", "air", "air_deep", "cnn", "resnet", "densenet"};
enum { STARTS_COUNT = sizeof(STARTS) / sizeof(STARTS[0]) };

/* Noise with labels: what a step costs depends on shapes only. */
static enum status upload_noise(struct bench *bench, struct error *err)
{
    const struct trainer_device *device = &bench->setup.device;
    const size_t size = (size_t)IMAGES * 3 * (size_t)bench->side * (size_t)bench->side;
    uint8_t *pixels = malloc(size);
    int32_t labels[IMAGES];
    if (pixels == NULL)
        return error_memory(err, "images", size);
    for (size_t i = 0; i < size; i++)
        pixels[i] = (uint8_t)random_draw(1, RANDOM_TEST, i, 0).v[0];
    for (int32_t i = 0; i < IMAGES; i++) {
        labels[i] = i % CLASSES;
        bench->samples[i] = i;
    }
    const struct dataset_view view = {.count = IMAGES,
                                      .channels = 3,
                                      .height = bench->side,
                                      .width = bench->side,
                                      .classes = CLASSES,
                                      .pixels = pixels,
                                      .labels = labels,
                                      .mean = {0.5f, 0.5f, 0.5f},
                                      .deviation = {0.25f, 0.25f, 0.25f}};
    enum status st = device->ops->dataset_upload(device->handle, &view, &bench->dataset, err);
    free(pixels);
    return st;
}

static enum status draw_graph(const struct bench *bench, uint32_t number, struct graph *graph, char *name,
                              size_t size, struct error *err)
{
    struct random_sequence random = {.seed = bench->seed, .stream = RANDOM_TEST, .part = number};
    const char *start = STARTS[random_next_below(&random, STARTS_COUNT)];
    const int32_t width = WIDTH_STEP * (1 + (int32_t)random_next_below(&random, MOST_WIDTH / WIDTH_STEP)),
                  morphs = (int32_t)random_next_below(&random, MOST_MORPHS + 1);
    enum status st = start_make(graph, start, width, bench->setup.image, CLASSES, err);
    for (int32_t m = 0; st == ST_OK && m < morphs; m++) {
        struct morph morph;
        struct remap_list remaps;
        struct graph child;
        if (morph_draw(graph, (1u << MORPH_PRESERVING_COUNT) - 1, &random, &morph, err) != ST_OK)
            break;
        st = morph_apply(&morph, graph, 0.0f, &child, &remaps, err);
        if (st != ST_OK)
            return st == ST_NONE ? ST_OK : st;
        remap_list_free(&remaps);
        graph_free(graph);
        *graph = child;
    }
    snprintf(name, size, "%s %d, %d morphs", start, (int)width, (int)morphs);
    return st;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const double *values, int32_t count, double share)
{
    double sorted[MOST_GRAPHS];
    memcpy(sorted, values, (size_t)count * sizeof(*values));
    qsort(sorted, (size_t)count, sizeof(*sorted), compare);
    return sorted[(int32_t)(share * (count - 1) + 0.5)];
}

/* With a factor for all, and without. */
static void print_errors(const char *what, const double *predicted, const double *measured, int32_t count)
{
    double ratios[MOST_GRAPHS] = {0}, plain[MOST_GRAPHS] = {0}, scaled[MOST_GRAPHS] = {0};
    for (int32_t g = 0; g < count; g++)
        ratios[g] = predicted[g] / measured[g];
    const double factor = quantile(ratios, count, 0.5);
    for (int32_t g = 0; g < count; g++) {
        plain[g] = fabs(ratios[g] - 1.0);
        scaled[g] = fabs(ratios[g] / factor - 1.0);
    }
    printf("%-12s median %5.1f %%, 90th percentile %5.1f %%; divided by %.2f for all: %5.1f %%, %5.1f %%\n",
           what, 100.0 * quantile(plain, count, 0.5), 100.0 * quantile(plain, count, 0.9), factor,
           100.0 * quantile(scaled, count, 0.5), 100.0 * quantile(scaled, count, 0.9));
}

static enum status compare_graphs(struct bench *bench, const struct calibration *calibration,
                                  struct error *err)
{
    const struct cost_rates rates = cost_rates_of(bench->setup.info.flops, bench->setup.info.bytes);
    int32_t count = 0;
    enum status st = ST_OK;
    for (uint32_t number = 0; st == ST_OK && count < bench->graphs; number++) {
        struct graph graph = {0};
        char name[64];
        st = draw_graph(bench, number, &graph, name, sizeof(name), err);
        if (st == ST_OK && cost_of_graph(&graph).train_flops <= bench->flops) {
            st = calibration_step_seconds(&bench->setup.device, &graph, &bench->setup.settings,
                                          &bench->measured[count], err);
            bench->by_units[count] = cost_seconds(&graph, &calibration->rates);
            bench->by_rates[count] = cost_seconds(&graph, &rates);
            if (st == ST_OK && bench->verbose)
                printf("%-24s %8.1f MFLOP %9.1f images/s, predicted %9.1f, %+.1f %%\n", name,
                       1e-6 * cost_of_graph(&graph).train_flops, 1.0 / bench->measured[count],
                       1.0 / bench->by_units[count],
                       100.0 * (bench->by_units[count] / bench->measured[count] - 1.0));
            count++;
        }
        graph_free(&graph);
    }
    if (st != ST_OK)
        return st;
    print_errors("units", bench->by_units, bench->measured, count);
    print_errors("two rates", bench->by_rates, bench->measured, count);
    return ST_OK;
}

static enum status open_device(struct bench *bench, const struct device_options *options, const char *plugin,
                               bool gpu, struct error *err)
{
    struct trainer_device *device = &bench->setup.device;
    enum status st = ST_OK;
    if (gpu) {
        st =
            plugin != NULL ? plugin_open_file(&bench->plugin, plugin, err) : plugin_open(&bench->plugin, err);
        if (st == ST_OK && (options->index < 0 || options->index >= bench->plugin.count))
            st = error_set(err, ST_RANGE, "--gpu %d: there are %d GPUs", (int)options->index,
                           (int)bench->plugin.count);
        if (st != ST_OK)
            return st;
        device->ops = bench->plugin.table->ops;
    }
    st = device->ops->open(options, &device->handle, err);
    if (st == ST_OK)
        device->ops->info(device->handle, &bench->setup.info);
    if (st == ST_OK)
        st = upload_noise(bench, err);
    device->dataset = bench->dataset;
    device->train = bench->samples;
    device->train_count = IMAGES;
    bench->setup.image = (struct shape){0, 3, bench->side, bench->side};
    return st;
}

static bool parse(int argc, char **argv, struct bench *bench, struct device_options *options,
                  const char **plugin, bool *gpu)
{
    for (int at = 1; at < argc; at++) {
        const char *word = argv[at];
        if (strcmp(word, "--sgd") == 0) {
            bench->setup.settings.optimizer.kind = OPTIMIZER_SGD;
            continue;
        }
        if (strcmp(word, "--verbose") == 0) {
            bench->verbose = true;
            continue;
        }
        if (++at == argc)
            return false;
        const char *value = argv[at];
        if (strcmp(word, "--gpu") == 0) {
            *gpu = true;
            options->index = atoi(value);
        } else if (strcmp(word, "--plugin") == 0)
            *plugin = value;
        else if (strcmp(word, "--threads") == 0)
            options->threads = atoi(value);
        else if (strcmp(word, "--batch") == 0)
            bench->setup.settings.batch = atoi(value);
        else if (strcmp(word, "--side") == 0)
            bench->side = atoi(value);
        else if (strcmp(word, "--graphs") == 0)
            bench->graphs = atoi(value);
        else if (strcmp(word, "--seed") == 0)
            bench->seed = (uint64_t)atoll(value);
        else if (strcmp(word, "--flops") == 0)
            bench->flops = atof(value);
        else
            return false;
    }
    return bench->setup.settings.batch >= 1 && bench->setup.settings.batch <= IMAGES && bench->graphs >= 1 &&
           bench->graphs <= MOST_GRAPHS && bench->side >= 8 && bench->side <= 256;
}

int main(int argc, char **argv)
{
    static struct bench bench = {
        .setup = {.device = {.ops = &cpu_device_ops},
                  .settings = {.batch = 32,
                               .optimizer = {.kind = OPTIMIZER_MUON, .momentum = 0.9f, .muon_rate = 1.0f},
                               .augment = {.translate = 2, .flip = 1},
                               .label_smoothing = 0.1f,
                               .average = 0.95f},
                  .classes = CLASSES,
                  .seconds = 1.0},
        .side = 32,
        .graphs = 200,
        .seed = 1,
        .flops = 6e8};
    struct device_options options = {0};
    struct calibration calibration;
    struct error err = {0};
    const char *plugin = NULL;
    bool gpu = false;
    if (!parse(argc, argv, &bench, &options, &plugin, &gpu)) {
        fprintf(stderr,
                "usage: bench_cost [--gpu N [--plugin FILE]] [--threads N] [--batch 1..%d] [--side 8..256] "
                "[--graphs 1..%d] [--seed N] [--flops MOST] [--sgd] [--verbose]\n",
                (int)IMAGES, (int)MOST_GRAPHS);
        return 2;
    }
    const struct device_ops **ops = &bench.setup.device.ops;
    enum status st = open_device(&bench, &options, plugin, gpu, &err);
    if (st == ST_OK)
        st = calibration_measure(&bench.setup, &calibration, &err);
    if (st == ST_OK)
        printf("%s\nbatch %d, %d x %d; calibrated on %d networks in %.2f s, %.1f %% off them\n",
               bench.setup.info.name, (int)bench.setup.settings.batch, (int)bench.side, (int)bench.side,
               (int)calibration.networks, calibration.seconds, 100.0 * calibration.error);
    if (st == ST_OK && bench.verbose)
        for (int unit = 0; unit < COST_UNIT_COUNT; unit++)
            printf("%-24s %9.3g s\n", cost_unit_name(unit), calibration.rates.seconds[unit]);
    if (st == ST_OK)
        st = compare_graphs(&bench, &calibration, &err);
    if (bench.setup.device.handle != NULL) {
        (*ops)->dataset_free(bench.setup.device.handle, bench.dataset);
        (*ops)->close(bench.setup.device.handle);
    }
    if (st != ST_OK)
        fprintf(stderr, "bench_cost: %s\n", err.message);
    return st == ST_OK ? 0 : 2;
}
