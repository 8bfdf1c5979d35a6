/* How fast this device is, and where its convolution plans are kept. */
#include "cuda/device/cuda_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- speed ---- */

enum {
    PROBE_SIDE = 16,     /* a convolution of 3 x 3 over images of 16 x 16 with 64 channels, */
    PROBE_CHANNELS = 64, /* at least one for each multiprocessor, */
    PROBE_CACHES = 2,    /* and so many that x and y are each larger than the cache, by this factor */
    PROBE_KERNEL = 3,
    PROBE_RUNS = 3,   /* measured together, */
    PROBE_ROUNDS = 2, /* this often, of which the best counts */
};

/* Device memory of the measurement: x, y and the kernel behind each other, then the workspace. */
struct probe {
    const struct conv_plan *plan;
    size_t activation, kernel, workspace; /* bytes */
    double operations;
    char *memory;
    cudaEvent_t begin, end;
};

static enum status probe_open(struct device *device, int32_t images, struct probe *probe, struct error *err)
{
    const struct shape image = {images, PROBE_CHANNELS, PROBE_SIDE, PROBE_SIDE};
    const struct conv_window window = {PROBE_KERNEL, PROBE_KERNEL, 1, PROBE_KERNEL / 2, PROBE_KERNEL / 2, 1};
    struct conv_geometry geometry;
    conv_geometry_of(image, image, &window, &geometry);
    enum status st = conv_planner_plan(device->planner, CONV_FORWARD, &geometry, &probe->plan, err);
    if (st != ST_OK)
        return st;
    size_t pixels = (size_t)images * PROBE_SIDE * PROBE_SIDE,
           taps = PROBE_KERNEL * PROBE_KERNEL * PROBE_CHANNELS;
    probe->activation = pixels * PROBE_CHANNELS * cuda_type_size(device->type);
    probe->kernel = cuda_round_up(taps * PROBE_CHANNELS * cuda_type_size(device->type));
    probe->workspace = conv_plan_workspace(probe->plan);
    probe->operations = 2.0 * (double)pixels * PROBE_CHANNELS * (double)taps;
    size_t total = 2 * probe->activation + probe->kernel + probe->workspace;
    st = cuda_allocate(device, total, "speed measurement", &probe->memory, err);
    if (st == ST_OK)
        st = cuda_check(cudaMemsetAsync(probe->memory, 0, total, device->stream), "clear memory", err);
    if (st == ST_OK)
        st = cuda_check(cudaEventCreate(&probe->begin), "make an event", err);
    if (st == ST_OK)
        st = cuda_check(cudaEventCreate(&probe->end), "make an event", err);
    return st;
}

static void probe_close(const struct device *device, struct probe *probe)
{
    if (probe->begin != NULL)
        (void)cudaEventDestroy(probe->begin);
    if (probe->end != NULL)
        (void)cudaEventDestroy(probe->end);
    cuda_release(device, probe->memory);
}

static enum status run_once(struct device *device, const struct probe *probe, bool convolution,
                            struct error *err)
{
    char *x = probe->memory, *y = x + probe->activation, *kernel = y + probe->activation;
    if (!convolution)
        return cuda_check(cudaMemcpyAsync(y, x, probe->activation, cudaMemcpyDeviceToDevice, device->stream),
                          "copy memory", err);
    const struct conv_operands operands = {
        .x = x, .kernel = kernel, .y = y, .workspace = probe->workspace > 0 ? kernel + probe->kernel : NULL};
    return conv_plan_execute(probe->plan, device->cudnn, &operands, err);
}

/* Seconds of one run. Two go before that don't count: while the second runs, the host queues those that do, so that
 * none of them waits for it. */
static enum status measure_once(struct device *device, const struct probe *probe, bool convolution,
                                double *seconds, struct error *err)
{
    float milliseconds = 0.0f;
    enum status st = run_once(device, probe, convolution, err);
    if (st == ST_OK)
        st = run_once(device, probe, convolution, err);
    if (st == ST_OK)
        st = cuda_check(cudaEventRecord(probe->begin, device->stream), "record an event", err);
    for (int run = 0; st == ST_OK && run < PROBE_RUNS; run++)
        st = run_once(device, probe, convolution, err);
    if (st == ST_OK)
        st = cuda_check(cudaEventRecord(probe->end, device->stream), "record an event", err);
    if (st == ST_OK)
        st = cuda_wait(device, "measure its speed", err);
    if (st == ST_OK)
        st = cuda_check(cudaEventElapsedTime(&milliseconds, probe->begin, probe->end), "measure its speed",
                        err);
    *seconds = 1e-3 * (double)milliseconds / PROBE_RUNS;
    return st;
}

static enum status measure(struct device *device, const struct probe *probe, bool convolution,
                           double *seconds, struct error *err)
{
    enum status st = measure_once(device, probe, convolution, seconds, err);
    for (int round = 1; st == ST_OK && round < PROBE_ROUNDS; round++) {
        double again;
        st = measure_once(device, probe, convolution, &again, err);
        *seconds = again < *seconds ? again : *seconds;
    }
    return st;
}

enum status cuda_probe(struct device *device, size_t cache, struct error *err)
{
    const size_t image = (size_t)PROBE_SIDE * PROBE_SIDE * PROBE_CHANNELS * cuda_type_size(device->type),
                 filling = PROBE_CACHES * cache / image;
    const int32_t least = device->info.threads > 0 ? device->info.threads : 1;
    struct probe probe = {0};
    double convolution = 0, copy = 0;
    enum status st = probe_open(device, filling > (size_t)least ? (int32_t)filling : least, &probe, err);
    if (st == ST_MEMORY) { /* little is free: a small measurement is better than none */
        probe_close(device, &probe);
        probe = (struct probe){0};
        st = probe_open(device, least, &probe, err);
    }
    if (st == ST_OK)
        st = measure(device, &probe, true, &convolution, err);
    if (st == ST_OK)
        st = measure(device, &probe, false, &copy, err);
    if (st == ST_OK && convolution > 0)
        device->info.flops = probe.operations / convolution;
    if (st == ST_OK && copy > 0) /* read once, written once */
        device->info.bytes = 2.0 * (double)probe.activation / copy;
    probe_close(device, &probe);
    return st == ST_OK ? cuda_wait(device, "measure its speed", err) : st; /* then its memory is free */
}

/* ---- plan cache ---- */

static bool make_folder(const char *path)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

void cuda_cache_folder(char *path, size_t size)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int length = 0;
    if (cache != NULL && cache[0] == '/')
        length = snprintf(path, size, "%s", cache);
    else if (home != NULL && home[0] == '/')
        length = snprintf(path, size, "%s/.cache", home);
    bool made = length > 0 && (size_t)length < size && make_folder(path);
    static const char *const parts[] = {"/nasrun", "/plans"};
    for (size_t i = 0; made && i < sizeof(parts) / sizeof(parts[0]); i++) {
        length += snprintf(path + length, size - (size_t)length, "%s", parts[i]);
        made = (size_t)length < size && make_folder(path);
    }
    if (!made || access(path, W_OK | X_OK) != 0)
        path[0] = '\0';
}
