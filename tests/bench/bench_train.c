/* How many images a second the CPU, or a GPU, trains the starting architectures with:
 *
 *     bench_train [--gpu N [--plugin FILE] [--paper NAME]] [--seconds S] [--threads N] [--batch B]
 *                 [--precision auto|bf16|fp16|tf32|fp32] [--muon] [--plain | --machine | --operations] [NET ...]
 *
 * --gpu takes that GPU, through the plug-in beside the program or through FILE. What is measured stands beside the
 * prediction for its data sheet, or for that of the GPU NAME (paper.h). --operations prints what each operation takes
 * by itself. On a GPU a line more says how many pieces the recorded step has, or why it could not be recorded. --plain
 * prints a line "NET BEST MEDIAN SHARE" a network, for bench.sh; --machine says what the machine can do and measures
 * nothing else.
 *
 * NET: a name that start_make knows, behind it :28 for images of 28 x 28 x 1 instead of 32 x 32 x 3. Prints,
 * for each, the best and the median rate over the steps of S seconds (a neighbour on the machine only ever
 * slows a step down, so best is what the program can do), and the share of the measured peak of fused
 * multiply-adds that the best is (convolutions and dense layers counted). */
#include "host/base/clock.h"
#include "host/device/device.h"
#include "host/machine/plugin_load.h"
#include "host/net/cost.h"
#include "host/net/start.h"
#include "host/program/lower.h"
#include "tests/bench/bench_operations.h"
#include "tests/bench/fma_peak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES = 512, CLASSES = 10, MAX_STEPS = 4096, LEAST_STEPS = 3, GPU_STEPS = 20 };

struct bench {
    const struct device_ops *ops;
    struct plugin plugin;
    struct device *device;
    struct device_info info;
    const struct gpu *gpu; /* whose times on paper are compared with; NULL: unknown */
    int32_t batch;
    double seconds;
    double peak;     /* operations a second; 0: unknown */
    const char *set; /* instructions that the peak was measured with */
    bool plain, operations, muon;
    /* steps timed as one: a GPU's are only queued, and waiting for each would be part of it */
    int32_t together;
    double times[MAX_STEPS];
};

static int compare_times(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Noise with labels: what a step costs depends on shapes only. */
static enum status upload_noise(struct bench *bench, struct shape image, struct device_dataset **dataset,
                                struct error *err)
{
    size_t size = (size_t)IMAGES * (size_t)image.c * (size_t)image.h * (size_t)image.w;
    uint8_t *pixels = malloc(size);
    int32_t labels[IMAGES];
    if (pixels == NULL)
        return error_memory(err, "images", size);
    for (size_t i = 0; i < size; i++)
        pixels[i] = (uint8_t)random_draw(1, RANDOM_TEST, i, 0).v[0];
    for (int32_t i = 0; i < IMAGES; i++)
        labels[i] = i % CLASSES;
    struct dataset_view view = {.count = IMAGES,
                                .channels = image.c,
                                .height = image.h,
                                .width = image.w,
                                .classes = CLASSES,
                                .pixels = pixels,
                                .labels = labels,
                                .mean = {0.5f, 0.5f, 0.5f, 0.5f},
                                .deviation = {0.25f, 0.25f, 0.25f, 0.25f}};
    enum status st = bench->ops->dataset_upload(bench->device, &view, dataset, err);
    free(pixels);
    return st;
}

static enum status upload_weights(struct bench *bench, const struct graph *graph,
                                  const struct program *program, struct device_weights **weights,
                                  struct error *err)
{
    float *values = calloc(program->weights.total + 1, sizeof(*values));
    if (values == NULL)
        return error_memory(err, "weights", program->weights.total * sizeof(*values));
    weight_initialise(&program->weights, graph, 1, NULL, values);
    enum status st = bench->ops->weights_new(bench->device, &program->weights, SLOT_GRADIENT, weights, err);
    if (st == ST_OK)
        st = bench->ops->weights_upload(bench->device, *weights, SLOT_VALUE, values, err);
    free(values);
    return st;
}

/* Steps until the time is up; *count of them are in bench->times. */
static enum status time_steps(struct bench *bench, struct device_program *prepared, int32_t *count,
                              struct error *err)
{
    struct step step = {.seed = 1, .valid = bench->batch, .learning_rate = 1e-3f, .average_decay = 0.9f};
    double start = clock_seconds(), metrics[METRIC_COUNT];
    *count = -1; /* the first step warms up and is not counted */
    while (*count < LEAST_STEPS || (*count < MAX_STEPS && clock_seconds() - start < bench->seconds)) {
        double before = clock_seconds();
        enum status st = ST_OK;
        for (int32_t k = 0; st == ST_OK && k < bench->together; k++) {
            st = bench->ops->program_run(bench->device, prepared, &step, err);
            step.number++;
            step.first = (step.first + (uint32_t)bench->batch) % (uint32_t)(IMAGES - bench->batch + 1);
        }
        if (st == ST_OK)
            st = bench->ops->program_metrics(bench->device, prepared, metrics, err);
        if (st != ST_OK)
            return st;
        if (*count >= 0)
            bench->times[*count] = (clock_seconds() - before) / bench->together;
        (*count)++;
    }
    return ST_OK;
}

/* What was measured: a step that is replayed, or one that is queued piece by piece; and what it takes by the device's
 * clock, which leaves out what the host takes where it is late. */
static void print_recording(const struct bench *bench, const struct device_program *prepared)
{
    struct device_report report;
    bench->ops->program_report(prepared, &report);
    if (report.recorded > 0)
        printf("%-10s graph: %d nodes", "", (int)report.recorded);
    else if (report.failures > 0)
        printf("%-10s not recorded: %s", "", report.reason);
    else
        return;
    if (report.steps > 0)
        printf("; %.1f us a step by the device's clock", 1e6 * report.seconds / (double)report.steps);
    printf("\n");
}

static enum status bench_net(struct bench *bench, const char *name, struct shape image, struct error *err)
{
    struct graph graph = {0};
    struct program program = {0};
    struct device_dataset *dataset = NULL;
    struct device_weights *weights = NULL;
    struct device_program *prepared = NULL;
    int32_t samples[IMAGES], count = 0;
    for (int32_t i = 0; i < IMAGES; i++)
        samples[i] = i;
    struct lower_options options = {.purpose = PROG_TRAIN,
                                    .batch = bench->batch,
                                    .augment = true,
                                    .weight_average = true,
                                    .orthogonalise = bench->muon,
                                    .label_smoothing = 0.1f,
                                    .batch_norm_momentum = 0.1f};
    enum status st = start_make(&graph, name, 0, image, CLASSES, err);
    if (st == ST_OK)
        st = lower_graph(&graph, &options, &program, err);
    if (st == ST_OK)
        st = upload_noise(bench, image, &dataset, err);
    if (st == ST_OK)
        st = upload_weights(bench, &graph, &program, &weights, err);
    double before = clock_seconds();
    if (st == ST_OK)
        st = bench->ops->program_prepare(bench->device, &program, &prepared, err);
    double preparation = clock_seconds() - before;
    if (st != ST_OK)
        goto out;
    struct device_binding binding = {.weights = weights,
                                     .dataset = dataset,
                                     .samples = samples,
                                     .sample_count = IMAGES,
                                     .shuffled = 1,
                                     .augment = {.translate = 2, .flip = 1},
                                     .optimizer = {.kind = bench->muon ? OPTIMIZER_MUON : OPTIMIZER_SGD,
                                                   .momentum = 0.9f,
                                                   .decay = 5e-4f,
                                                   .bias_rate = 1.0f}};
    st = bench->ops->program_bind(bench->device, prepared, &binding, err);
    if (st == ST_OK)
        st = time_steps(bench, prepared, &count, err);
    if (st != ST_OK)
        goto out;
    qsort(bench->times, (size_t)count, sizeof(bench->times[0]), compare_times);
    double best = bench->batch / bench->times[0], median = bench->batch / bench->times[count / 2];
    struct cost cost = cost_of_graph(&graph);
    char share[16] = "-", predicted[32] = "-";
    if (bench->peak > 0.0)
        snprintf(share, sizeof(share), "%.1f%%", 100.0 * best * cost.train_flops / bench->peak);
    if (bench->gpu != NULL)
        snprintf(predicted, sizeof(predicted), "%.1f",
                 bench->batch / paper_total(bench->gpu, &program).seconds);
    if (bench->plain)
        printf("%s %.1f %.1f %.1f %.1f\n", name, best, median, 1e-9 * best * cost.train_flops,
               1e-9 * bench->peak);
    else
        printf("%-10s %3d x %3d x %d %8.1f %10.1f %10.1f %9s %9.0f %9.1f %11s\n", name, (int)image.h,
               (int)image.w, (int)image.c, cost.train_flops * 1e-6, best, median, share, preparation * 1e3,
               (double)bench->ops->program_bytes(prepared) / (1 << 20), predicted);
    if (!bench->plain)
        print_recording(bench, prepared);
    if (bench->operations) {
        const struct step step = {
            .seed = 1, .valid = bench->batch, .learning_rate = 1e-3f, .average_decay = 0.9f};
        const struct bench_operations each = {bench->ops, bench->device, bench->gpu, bench->together, &step};
        st = bench_operations(&each, &program, prepared, err);
    }
    fflush(stdout);
out:
    bench->ops->program_free(bench->device, prepared);
    bench->ops->weights_free(bench->device, weights);
    bench->ops->dataset_free(bench->device, dataset);
    program_free(&program);
    graph_free(&graph);
    return st;
}

/* "cnn" or "cnn:28". */
static enum status bench_named(struct bench *bench, const char *text, struct error *err)
{
    char name[32];
    struct shape image = {0, 3, 32, 32};
    size_t length = strcspn(text, ":");
    if (length >= sizeof(name) || (text[length] == ':' && strcmp(text + length, ":28") != 0))
        return error_set(err, ST_RANGE, "\"%s\": expected a network's name, or NAME:28", text);
    memcpy(name, text, length);
    name[length] = '\0';
    if (text[length] == ':')
        image = (struct shape){0, 1, 28, 28};
    return bench_net(bench, name, image, err);
}

static void print_machine(const struct bench *bench)
{
    printf("%s, %s: peak %.1f GFLOP/s, convolution %.1f GFLOP/s, memory %.1f GB/s\n", bench->info.name,
           bench->set, bench->peak * 1e-9, bench->info.flops * 1e-9, bench->info.bytes * 1e-9);
}

struct arguments {
    struct device_options device;
    const char *plugin, *paper; /* NULL: not given */
    bool gpu, machine;
    int first; /* index of the first network */
};

/* False for a word that train.precision does not have. */
static bool read_precision(const char *word, enum device_precision *precision)
{
    static const char *const words[] = {[PRECISION_AUTO] = "auto",
                                        [PRECISION_BF16] = "bf16",
                                        [PRECISION_FP16] = "fp16",
                                        [PRECISION_TF32] = "tf32",
                                        [PRECISION_FP32] = "fp32"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i], word) == 0) {
            *precision = (enum device_precision)i;
            return true;
        }
    return false;
}

/* False for a wrong command line. */
static bool parse(int argc, char **argv, struct bench *bench, struct arguments *given)
{
    int at = 1;
    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        const char *value = at + 1 < argc ? argv[at + 1] : NULL;
        if (strcmp(argv[at], "--plain") == 0) {
            bench->plain = true;
            continue;
        }
        if (strcmp(argv[at], "--operations") == 0) {
            bench->operations = true;
            continue;
        }
        if (strcmp(argv[at], "--muon") == 0) {
            bench->muon = true;
            continue;
        }
        if (strcmp(argv[at], "--machine") == 0) {
            given->machine = true;
            continue;
        }
        if (value == NULL)
            return false;
        if (strcmp(argv[at], "--seconds") == 0)
            bench->seconds = atof(value);
        else if (strcmp(argv[at], "--threads") == 0)
            given->device.threads = atoi(value);
        else if (strcmp(argv[at], "--precision") == 0) {
            if (!read_precision(value, &given->device.precision))
                return false;
        } else if (strcmp(argv[at], "--gpu") == 0) {
            given->gpu = true;
            given->device.index = atoi(value);
        } else if (strcmp(argv[at], "--plugin") == 0)
            given->plugin = value;
        else if (strcmp(argv[at], "--paper") == 0)
            given->paper = value;
        else if (strcmp(argv[at], "--batch") == 0)
            bench->batch = atoi(value);
        else
            return false;
        at++;
    }
    given->first = at;
    return bench->batch >= 1 && bench->batch <= IMAGES &&
           (given->gpu || (given->plugin == NULL && given->paper == NULL)) &&
           (given->paper == NULL || paper_gpu(given->paper) != NULL);
}

static enum status open_device(struct bench *bench, const struct arguments *given, struct error *err)
{
    enum status st = ST_OK;
    if (given->gpu) {
        st = given->plugin != NULL ? plugin_open_file(&bench->plugin, given->plugin, err)
                                   : plugin_open(&bench->plugin, err);
        if (st == ST_OK && (given->device.index < 0 || given->device.index >= bench->plugin.count))
            st = error_set(err, ST_RANGE, "--gpu %d: there are %d GPUs", (int)given->device.index,
                           (int)bench->plugin.count);
        if (st != ST_OK)
            return st;
        bench->ops = bench->plugin.table->ops;
        bench->together = GPU_STEPS;
    }
    st = bench->ops->open(&given->device, &bench->device, err);
    if (st != ST_OK)
        return st;
    bench->ops->info(bench->device, &bench->info);
    if (given->gpu)
        bench->gpu = paper_gpu(given->paper != NULL ? given->paper : bench->info.name);
    bench->set = "data sheet";
    bench->peak = !given->gpu          ? fma_peak(bench->info.threads, &bench->set)
                  : bench->gpu != NULL ? bench->gpu->flops
                                       : 0.0;
    return ST_OK;
}

int main(int argc, char **argv)
{
    static const char *const all[] = {"cnn", "cnn:28", "lean", "res9", "air", "resnet"};
    static struct bench bench = {.ops = &cpu_device_ops, .batch = 128, .seconds = 5.0, .together = 1};
    struct arguments given = {0};
    struct error err = {0};
    if (!parse(argc, argv, &bench, &given)) {
        fprintf(stderr,
                "usage: bench_train [--gpu N [--plugin FILE] [--paper a100|h100|h200|b200|l40s|t4]] "
                "[--seconds S] "
                "[--threads N] [--batch 1..%d] [--precision WORD] [--muon] [--plain | --machine | "
                "--operations] [NET | NET:28 ...]\n",
                (int)IMAGES);
        return 2;
    }
    enum status st = open_device(&bench, &given, &err);
    if (st == ST_OK && !bench.plain)
        print_machine(&bench);
    if (st == ST_OK && !bench.plain && !given.machine)
        printf("batch %d\n%-10s %-14s %8s %10s %10s %9s %9s %9s %11s\n", (int)bench.batch, "net", "image",
               "MFLOP", "best/s", "median/s", "of peak", "made ms", "MiB", "predicted/s");
    int named = argc - given.first, count = named > 0 ? named : (int)(sizeof(all) / sizeof(all[0]));
    for (int i = 0; st == ST_OK && !given.machine && i < count; i++)
        st = bench_named(&bench, named > 0 ? argv[given.first + i] : all[i], &err);
    if (bench.device != NULL)
        bench.ops->close(bench.device);
    plugin_close(&bench.plugin);
    if (st != ST_OK)
        fprintf(stderr, "bench_train: %s\n", err.message);
    return st == ST_OK ? 0 : 1;
}
