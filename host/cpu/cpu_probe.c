/* How fast this machine is at what training does: a mid-sized convolution for operations, a ReLU from one
 * large array to another for bytes. Best of a few runs, since a neighbour only ever slows one down. */
#include "host/base/clock.h"
#include "host/cpu/cpu_internal.h"

#include <float.h>
#include <string.h>

enum { RUNS = 5, BATCH = 16, CHANNELS = 64, SIDE = 16, KERNEL = 3, OPERANDS = 3 };
/* What bf16 has to be beside float32 to be chosen. It is twice as fast on AMD's cores and eight times with AMX, but
 * slower on Intel's without, so that no noise changes the choice; neither does a busy machine, see choose_type. */
static const double CLEARLY = 1.25;
static const size_t ARRAY_BYTES = (size_t)24 << 20; /* two of them do not fit into most caches */

/* Runs the primitive on fresh memory; *seconds is its best time. */
static enum status time_convolution(const struct device *device, const_dnnl_primitive_desc_t description,
                                    const_dnnl_primitive_t primitive, double (*clock)(void), double *seconds,
                                    struct error *err)
{
    static const int indices[OPERANDS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    dnnl_exec_arg_t args[OPERANDS];
    int32_t count = 0;
    enum status st = ST_OK;
    while (st == ST_OK && count < OPERANDS) {
        args[count].arg = indices[count];
        st = cpu_check(cpu_dnnl_memory_new(&args[count].memory, device->engine,
                                           cpu_dnnl_operand(description, indices[count]),
                                           DNNL_MEMORY_ALLOCATE),
                       "take memory", err);
        if (st == ST_OK)
            count++;
    }
    /* Zeros, because what a fresh block holds may be denormal numbers, which are slow on some processors. */
    for (int32_t i = 0; st == ST_OK && i < count; i++) {
        void *data = NULL;
        st = cpu_check(dnnl_memory_get_data_handle(args[i].memory, &data), "find memory", err);
        if (st == ST_OK)
            memset(data, 0, cpu_dnnl_layout_bytes(cpu_dnnl_operand(description, indices[i])));
    }
    *seconds = DBL_MAX;
    for (int32_t run = 0; st == ST_OK && run < RUNS; run++) {
        double start = clock();
        st = cpu_check(dnnl_primitive_execute(primitive, device->stream, count, args), "run", err);
        double elapsed = clock() - start;
        if (elapsed < *seconds)
            *seconds = elapsed;
    }
    while (count > 0)
        dnnl_memory_destroy(args[--count].memory);
    return st;
}

/* Of a convolution of that type; *flops is what it does in a second by that clock. */
static enum status probe_flops(const struct device *device, enum cpu_type type, double (*clock)(void),
                               double *flops, struct error *err)
{
    const dnnl_dims_t image = {BATCH, CHANNELS, SIDE, SIDE}, window = {CHANNELS, CHANNELS, KERNEL, KERNEL};
    const struct cpu_dnnl_window taps = {.strides = {1, 1},
                                         .padding_before = {KERNEL / 2, KERNEL / 2},
                                         .padding_after = {KERNEL / 2, KERNEL / 2}};
    struct cpu_dnnl_layout *activation, *kernel = NULL;
    dnnl_primitive_desc_t description = NULL;
    dnnl_primitive_t primitive = NULL;
    double seconds;
    const dnnl_format_tag_t blocked = device->block == 16 ? dnnl_nChw16c : dnnl_nChw8c;
    dnnl_status_t status = cpu_dnnl_layout_new(&activation, 4, image, cpu_dnnl_type(type),
                                               type == CPU_BF16 ? dnnl_nhwc : blocked);
    if (status == dnnl_success)
        status = cpu_dnnl_layout_new(&kernel, 4, window, cpu_dnnl_type(type), dnnl_format_tag_any);
    const struct cpu_dnnl_operands operands = {.source = activation, .kernel = kernel, .target = activation};
    if (status == dnnl_success)
        status = cpu_dnnl_convolution(&description, device->engine, NULL, CPU_DNNL_FORWARD, &operands, &taps);
    if (status == dnnl_success)
        status = cpu_dnnl_primitive(&primitive, description);
    enum status st = cpu_check(status, "make the probe's convolution", err);
    if (st == ST_OK)
        st = time_convolution(device, description, primitive, clock, &seconds, err);
    if (st == ST_OK)
        *flops = 2.0 * BATCH * SIDE * SIDE * KERNEL * KERNEL * CHANNELS * CHANNELS / seconds;
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(description);
    cpu_dnnl_layout_free(kernel);
    cpu_dnnl_layout_free(activation);
    return st;
}

static enum status probe_bytes(struct device *device, struct error *err)
{
    enum status st = ST_OK;
    double best = DBL_MAX;
    float *x = cpu_memory_new(ARRAY_BYTES, device->threads),
          *y = cpu_memory_new(ARRAY_BYTES, device->threads);
    if (x == NULL || y == NULL) {
        st = error_memory(err, "memory probe", 2 * ARRAY_BYTES);
        goto out;
    }
    for (int32_t run = 0; run < RUNS; run++) {
        double start = clock_seconds();
        cpu_kernel_activation(ACTIVATION_RELU, CPU_FLOAT, ARRAY_BYTES / sizeof(*x), x, y);
        double elapsed = clock_seconds() - start;
        if (elapsed < best)
            best = elapsed;
    }
    device->bytes = 2.0 * (double)ARRAY_BYTES / best;
out:
    cpu_memory_free(x);
    cpu_memory_free(y);
    return st;
}

/* By the time that one thread runs: two would wait for each other where others use the processor. */
static enum status choose_type(struct device *device, struct error *err)
{
    struct device alone = *device;
    double wide = 0.0, narrow = 0.0;
    alone.threads = 1;
    alone.pinned = false;
    cpu_threads_enter(&alone);
    enum status st = probe_flops(&alone, CPU_FLOAT, clock_thread_seconds, &wide, err);
    if (st == ST_OK)
        st = probe_flops(&alone, CPU_BF16, clock_thread_seconds, &narrow, err);
    cpu_threads_leave(&alone);
    if (st == ST_OK)
        device->type = narrow > CLEARLY * wide ? CPU_BF16 : CPU_FLOAT;
    return st;
}

enum status cpu_probe(struct device *device, bool choose, struct error *err)
{
    enum status st = choose ? choose_type(device, err) : ST_OK;
    if (st != ST_OK)
        return st;
    cpu_threads_enter(device);
    st = probe_flops(device, device->type, clock_seconds, &device->flops, err);
    if (st == ST_OK)
        st = probe_bytes(device, err);
    cpu_threads_leave(device);
    return st;
}
