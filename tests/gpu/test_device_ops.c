/* The plug-in's own objects on an emulated GPU (emu/emu.h): every operation against the reference, whole
 * steps, memory, and what happens when any call fails. */
#include "cuda/device/cuda_internal.h"
#include "tests/gpu/emu/emu_test.h"
#include "tests/support/device_cases.h"
#include "tests/support/device_orthogonal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
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
    for (int32_t o = 0; o < op->output_count; o++) {
        int32_t tensor = op->outputs[o];
        if (tensor < 0 || prepared->program->tensors[tensor].kind == TENSOR_METRICS)
            continue;
        memset(cuda_address(prepared, tensor), 255, cuda_stored_bytes(prepared, tensor));
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
    device_compare(
        &(struct device_under_test){
            .ops = &cuda_device_ops, .rounding = 0x1p-8, .poison = poison, .check_padding = check_padding},
        c, tally);
}

static void compare_float(const struct device_case *c, struct device_tally *tally)
{
    emu.major = FLOAT_MAJOR;
    device_compare(&(struct device_under_test){.ops = &cuda_device_ops,
                                               .poison = poison,
                                               .check_padding = check_padding},
                   c, tally);
}

static void compare_half(const struct device_case *c, struct device_tally *tally)
{
    device_compare(&(struct device_under_test){.ops = &cuda_device_ops,
                                               .precision = PRECISION_FP16,
                                               .rounding = 0x1p-11,
                                               .least = 0x1p-25,
                                               .poison = poison,
                                               .check_padding = check_padding},
                   c, tally);
}

static void compare_tensor_float(const struct device_case *c, struct device_tally *tally)
{
    device_compare(&(struct device_under_test){.ops = &cuda_device_ops,
                                               .precision = PRECISION_TF32,
                                               .poison = poison,
                                               .check_padding = check_padding,
                                               .factors = 0x1p-10},
                   c, tally);
}

static void dense_layers(void **state)
{
    (void)state;
    device_cases_dense(compare_bf16);
    device_cases_dense(compare_half);
    device_cases_dense(compare_tensor_float);
    device_cases_dense(compare_float);
}

static void sets_of_labels(void **state)
{
    (void)state;
    device_cases_sets(compare_bf16);
    device_cases_sets(compare_half);
    device_cases_sets(compare_float);
}

/* Muon's, in all precisions. In fp16 the step's first look at the gradients comes with them. */
static void orthogonal_updates(void **state)
{
    static const enum device_precision precisions[] = {PRECISION_BF16, PRECISION_FP16, PRECISION_TF32,
                                                       PRECISION_FP32};
    (void)state;
    for (int32_t p = 0; p < 4; p++)
        for (int32_t k = 0; k < orthogonal_kernel_count; k++)
            free(device_orthogonal_check(
                &cuda_device_ops,
                &(struct device_options){.threads = 1, .untimed = true, .precision = precisions[p]},
                &orthogonal_kernels[k], precisions[p] != PRECISION_FP32));
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
        cmocka_unit_test_setup_teardown(dense_layers, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(sets_of_labels, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(orthogonal_updates, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(random_graphs_in_half, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(convolutions_in_half, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(random_graphs_in_float, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(convolutions_in_float, emu_test_begin, emu_test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
