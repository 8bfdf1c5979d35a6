/* How fast this machine is at what training does: a mid-sized convolution for operations, a ReLU from one
 * large array to another for bytes. Best of a few runs, since a neighbour only ever slows one down. */
#include "host/base/clock.h"
#include "host/cpu/cpu_internal.h"

#include <float.h>
#include <string.h>

enum { RUNS = 5, BATCH = 16, CHANNELS = 64, SIDE = 16, KERNEL = 3, OPERANDS = 3 };
static const size_t ARRAY_BYTES = (size_t)24 << 20; /* two of them do not fit into most caches */

/* Runs `primitive` on fresh memory of the layouts; *seconds is its best time. */
static enum status time_convolution(const struct device *device, const_dnnl_primitive_t primitive,
                                    const dnnl_memory_desc_t *layouts, double *seconds, struct error *err)
{
    static const int indices[OPERANDS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    dnnl_exec_arg_t args[OPERANDS];
    int32_t count = 0;
    enum status st = ST_OK;
    while (st == ST_OK && count < OPERANDS) {
        args[count].arg = indices[count];
        st = cpu_check(
            dnnl_memory_create(&args[count].memory, &layouts[count], device->engine, DNNL_MEMORY_ALLOCATE),
            "take memory", err);
        if (st == ST_OK)
            count++;
    }
    /* Zeros, because what a fresh block holds may be denormal numbers, which are slow on some processors. */
    for (int32_t i = 0; st == ST_OK && i < count; i++) {
        void *data = NULL;
        st = cpu_check(dnnl_memory_get_data_handle(args[i].memory, &data), "find memory", err);
        if (st == ST_OK)
            memset(data, 0, dnnl_memory_desc_get_size(&layouts[i]));
    }
    *seconds = DBL_MAX;
    for (int32_t run = 0; st == ST_OK && run < RUNS; run++) {
        double start = clock_seconds();
        st = cpu_check(dnnl_primitive_execute(primitive, device->stream, count, args), "run", err);
        double elapsed = clock_seconds() - start;
        if (elapsed < *seconds)
            *seconds = elapsed;
    }
    while (count > 0)
        dnnl_memory_destroy(args[--count].memory);
    return st;
}

static enum status probe_flops(struct device *device, struct error *err)
{
    dnnl_dims_t activation = {BATCH, CHANNELS, SIDE, SIDE}, kernel = {CHANNELS, CHANNELS, KERNEL, KERNEL};
    dnnl_dims_t strides = {1, 1}, padding = {KERNEL / 2, KERNEL / 2};
    dnnl_format_tag_t tag = device->block == 16 ? dnnl_nChw16c : dnnl_nChw8c;
    dnnl_memory_desc_t layouts[OPERANDS];
    dnnl_convolution_desc_t convolution;
    dnnl_primitive_desc_t description = NULL;
    dnnl_primitive_t primitive = NULL;
    double seconds;
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&layouts[0], 4, activation, dnnl_f32, tag);
    layouts[2] = layouts[0];
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&layouts[1], 4, kernel, dnnl_f32, dnnl_format_tag_any);
    if (status == dnnl_success)
        status = dnnl_convolution_forward_desc_init(&convolution, dnnl_forward_training,
                                                    dnnl_convolution_direct, &layouts[0], &layouts[1], NULL,
                                                    &layouts[2], strides, padding, padding);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&description, &convolution, NULL, device->engine, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&primitive, description);
    enum status st = cpu_check(status, "make the probe's convolution", err);
    if (st == ST_OK) {
        layouts[1] = *dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0);
        st = time_convolution(device, primitive, layouts, &seconds, err);
    }
    if (st == ST_OK)
        device->flops = 2.0 * BATCH * SIDE * SIDE * KERNEL * KERNEL * CHANNELS * CHANNELS / seconds;
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(description);
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
        cpu_kernel_relu(ARRAY_BYTES / sizeof *x, x, y);
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

enum status cpu_probe(struct device *device, struct error *err)
{
    cpu_threads_enter(device);
    enum status st = probe_flops(device, err);
    if (st == ST_OK)
        st = probe_bytes(device, err);
    cpu_threads_leave(device);
    return st;
}
