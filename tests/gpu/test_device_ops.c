/* The plug-in's own objects on an emulated GPU (emu/emu.h): every operation against the reference, whole
 * steps, memory, and what happens when any call fails. */
#include "cuda/cuda_internal.h"
#include "tests/gpu/emu/emu_test.h"
#include "tests/support/device_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { GRAPHS = 40, CONVOLUTIONS = 64, FLOAT_GRAPHS = 16, FLOAT_CONVOLUTIONS = 24, FLOAT_MAJOR = 7 };

/* ---- operations ---- */

struct poisoned {
    struct device_session *session;
    int32_t op;
};

static void write_poison(void *context)
{
    const struct poisoned *poisoned = context;
    struct device_program *prepared = poisoned->session->prepared;
    const struct prog_op *op = &prepared->program->ops[poisoned->op];
    memset(prepared->memory + prepared->at.scratch, 255, prepared->scratch_bytes);
    if (prepared->program->purpose == PROG_TRAIN)
        memset(prepared->memory + prepared->at.copy_gradients, 255,
               prepared->at.gradients - prepared->at.copy_gradients);
    for (int32_t o = 0; o < op->output_count; o++) {
        int32_t tensor = op->outputs[o];
        if (tensor < 0 || prepared->program->tensors[tensor].kind == TENSOR_METRICS)
            continue;
        size_t bytes = cuda_tensor_bytes(prepared->device, &prepared->program->tensors[tensor]);
        if (bytes == 0)
            bytes = session_count(poisoned->session, tensor) * sizeof(float);
        memset(cuda_address(prepared, tensor), 255, bytes);
    }
}

static void poison(struct device_session *session, int32_t op)
{
    struct poisoned poisoned = {session, op};
    emu_look(write_poison, &poisoned);
}

struct padding {
    struct device_session *session;
    int32_t tensor;
    size_t wrong; /* elements beyond the channels that are not zero */
};

static void count_padding(void *context)
{
    struct padding *padding = context;
    const struct device_program *prepared = padding->session->prepared;
    struct cuda_shape s = cuda_shape_of(prepared, padding->tensor);
    size_t size = cuda_type_size(prepared->device->type), padded = (size_t)cuda_padded(s.c);
    const unsigned char *stored = cuda_address(prepared, padding->tensor);
    for (size_t i = 0; i < cuda_shape_count(s) * size; i++)
        padding->wrong += i / size % padded >= (size_t)s.c && stored[i] != 0;
}

static void check_padding(struct device_session *session, int32_t tensor)
{
    struct padding padding = {session, tensor, 0};
    if (session->program.tensors[tensor].kind != TENSOR_ACTIVATION)
        return;
    emu_look(count_padding, &padding);
    if (padding.wrong > 0)
        fail_msg("tensor %d: %zu bytes beyond the channels are not zero", (int)tensor, padding.wrong);
}

static void compare_bf16(const struct device_case *c, struct device_tally *tally)
{
    const struct device_under_test device = {&cuda_device_ops, 0x1p-8, 0, poison, check_padding};
    device_compare(&device, c, tally);
}

static void compare_float(const struct device_case *c, struct device_tally *tally)
{
    const struct device_under_test device = {&cuda_device_ops, 0, 0, poison, check_padding};
    emu.major = FLOAT_MAJOR;
    device_compare(&device, c, tally);
}

/* The GPU in half precision, with a scale of 1, so that gradients are what the reference has. */
static enum status open_half(const struct device_options *options, struct device **device, struct error *err)
{
    struct device_options half = *options;
    half.precision = PRECISION_FP16;
    return cuda_device_ops.open(&half, device, err);
}

static enum status set_metrics_unscaled(struct device *device, struct device_program *prepared,
                                        const double metrics[METRIC_COUNT], struct error *err)
{
    double unscaled[METRIC_COUNT];
    memcpy(unscaled, metrics, sizeof unscaled);
    unscaled[METRIC_SCALE] = 1.0;
    return cuda_device_ops.program_set_metrics(device, prepared, unscaled, err);
}

static enum status bind_unscaled(struct device *device, struct device_program *prepared,
                                 const struct device_binding *binding, struct error *err)
{
    const double zeros[METRIC_COUNT] = {0};
    enum status st = cuda_device_ops.program_bind(device, prepared, binding, err);
    return st == ST_OK ? set_metrics_unscaled(device, prepared, zeros, err) : st;
}

/* The reference has no scale among its metrics. */
static enum status tensor_without_scale(struct device *device, struct device_program *prepared, int32_t id,
                                        float *values, struct error *err)
{
    enum status st = cuda_device_ops.program_tensor(device, prepared, id, values, err);
    if (st == ST_OK && prepared->program->tensors[id].kind == TENSOR_METRICS)
        memset(values + METRIC_SUMS, 0, (METRIC_COUNT - METRIC_SUMS) * sizeof *values);
    return st;
}

static void compare_half(const struct device_case *c, struct device_tally *tally)
{
    struct device_ops ops = cuda_device_ops;
    ops.open = open_half;
    ops.program_bind = bind_unscaled;
    ops.program_set_metrics = set_metrics_unscaled;
    ops.program_tensor = tensor_without_scale;
    const struct device_under_test device = {&ops, 0x1p-11, 0x1p-25, poison, check_padding};
    device_compare(&device, c, tally);
}

static void random_graphs_in_half(void **state)
{
    (void)state;
    device_cases_random_graphs(FLOAT_GRAPHS, compare_half);
}

static void convolutions_in_half(void **state)
{
    (void)state;
    device_cases_convolutions(FLOAT_CONVOLUTIONS, compare_half);
}

static void random_graphs(void **state)
{
    (void)state;
    device_cases_random_graphs(GRAPHS, compare_bf16);
}

static void convolutions(void **state)
{
    (void)state;
    device_cases_convolutions(CONVOLUTIONS, compare_bf16);
}

static void random_graphs_in_float(void **state)
{
    (void)state;
    device_cases_random_graphs(FLOAT_GRAPHS, compare_float);
}

static void convolutions_in_float(void **state)
{
    (void)state;
    device_cases_convolutions(FLOAT_CONVOLUTIONS, compare_float);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_graphs, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(convolutions, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(random_graphs_in_half, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(convolutions_in_half, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(random_graphs_in_float, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(convolutions_in_float, emu_test_begin, emu_test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
