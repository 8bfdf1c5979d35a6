#include "tests/support/cpu_compare.h"

#include "host/cpu/cpu_internal.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void poison(struct device_session *session, int32_t index)
{
    struct device_program *prepared = session->prepared;
    const struct prog_op *op = &prepared->program->ops[index];
    memset(prepared->memory + prepared->scratch, 255, prepared->gradients - prepared->scratch);
    for (int32_t o = 0; o < op->output_count; o++) {
        int32_t tensor = op->outputs[o];
        if (tensor < 0 || prepared->program->tensors[tensor].kind == TENSOR_METRICS)
            continue;
        size_t bytes = prepared->tensors[tensor].bytes;
        if (bytes == 0)
            bytes = session_count(session, tensor) * sizeof(float);
        memset(cpu_tensor_address(prepared, tensor), 255, bytes);
    }
}

static void check_padding(struct device_session *session, int32_t tensor)
{
    struct device_program *prepared = session->prepared;
    enum tensor_kind kind = prepared->program->tensors[tensor].kind;
    if (prepared->tensors[tensor].plain || (kind != TENSOR_ACTIVATION && kind != TENSOR_VECTOR))
        return;
    struct shape s = prepared->program->tensors[tensor].shape;
    const enum cpu_type type = kind == TENSOR_ACTIVATION ? prepared->device->type : CPU_FLOAT;
    const void *values = cpu_tensor_address(prepared, tensor);
    int32_t block = cpu_block(prepared->device, s.c), blocks = (s.c + block - 1) / block;
    size_t plane = (size_t)s.h * (size_t)s.w;
    for (size_t i = 0; i < (size_t)s.n * (size_t)blocks * plane * (size_t)block; i++) {
        size_t channel = i / ((size_t)block * plane) % (size_t)blocks * (size_t)block + i % (size_t)block;
        const float value = cpu_value(type, values, i);
        if (channel >= (size_t)s.c && !(fabsf(value) <= 0.0f))
            fail_msg("tensor %d: padding at %zu is %g, expected 0", (int)tensor, i, (double)value);
    }
}

void cpu_compare(const struct device_case *c, struct device_tally *tally)
{
    const struct device_under_test cpu = {.ops = &cpu_device_ops,
                                          .precision = PRECISION_FP32,
                                          .poison = poison,
                                          .check_padding = check_padding};
    device_compare(&cpu, c, tally);
}

void cpu_compare_bf16(const struct device_case *c, struct device_tally *tally)
{
    const struct device_under_test cpu = {.ops = &cpu_device_ops,
                                          .precision = PRECISION_BF16,
                                          .rounding = 0x1p-8,
                                          .narrow_products = true,
                                          .poison = poison,
                                          .check_padding = check_padding};
    device_compare(&cpu, c, tally);
}

void cpu_bf16_or_skip(void)
{
    struct device *device = NULL;
    struct error err;
    const struct device_options options = {.precision = PRECISION_BF16};
    const enum status st = cpu_device_ops.open(&options, &device, &err);
    if (st == ST_UNSUPPORTED)
        skip();
    assert_int_equal(st, ST_OK);
    cpu_device_ops.close(device);
}
