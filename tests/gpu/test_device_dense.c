/* Dense layers by cuBLAS on the emulated GPU, beyond their numbers (test_device_ops.c): precision, workspace, recording,
 * places in memory, failing calls; and that the emulated cuBLAS refuses what the real one does. */
#include "cuda/device/cuda_internal.h"
#include "tests/gpu/emu/emu_test.h"
#include "tests/support/device_session.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { IMAGES = 6, BATCH = 6, CLASSES = 10, AMPERE = 8, MEBIBYTE = 1 << 20 };

static void append(struct graph *graph, enum layer_kind kind, int32_t input, int32_t outputs)
{
    const bool conv = kind == LAYER_CONV;
    const struct layer layer = {.kind = kind,
                                .input_count = 1,
                                .inputs = {input},
                                .out_channels = outputs,
                                .kernel_h = conv,
                                .kernel_w = conv,
                                .stride = 1,
                                .groups = 1,
                                .bias = !conv};
    struct error err;
    if (graph_append(graph, layer, NULL, &err) != ST_OK)
        fail_msg("%s", err.message);
}

/* Image, convolution, two dense layers over several pixels and over one. */
static void make_network(struct graph *graph)
{
    struct error err;
    assert_int_equal(graph_new(graph, 3, 3, 5, &err), ST_OK);
    append(graph, LAYER_CONV, 0, 5);
    append(graph, LAYER_DENSE, 1, 20);
    append(graph, LAYER_DENSE, 2, CLASSES);
    assert_int_equal(graph_infer(graph, &err), ST_OK);
}

static void open_network(struct device_session *session, enum device_precision precision)
{
    const struct lower_options options = {
        .purpose = PROG_TRAIN, .batch = BATCH, .label_smoothing = 0.1f, .batch_norm_momentum = 0.1f};
    struct graph graph = {0};
    make_network(&graph);
    session_open_on(session, &cuda_device_ops, &(struct device_options){.precision = precision}, &graph,
                    &options, IMAGES, 5);
    graph_free(&graph);
}

static struct step step_number(uint32_t number)
{
    return (struct step){.seed = 1, .number = number, .valid = BATCH, .learning_rate = 0.01f};
}

/* ---- precision ---- */

/* The first dense layer's result after the operations before it; the caller frees. */
static float *first_result(enum device_precision precision, size_t *count)
{
    struct device_session session;
    const struct step step = step_number(0);
    open_network(&session, precision);
    const int32_t dense = session_find_op(&session, PROG_OP_DENSE, 0);
    for (int32_t op = 0; op <= dense; op++)
        session_run_op(&session, op, &step);
    const int32_t result = session.program.ops[dense].outputs[DENSE_OUT_Y];
    *count = session_count(&session, result);
    float *values = session_read(&session, result);
    session_close(&session);
    return values;
}

/* TF32 has ten bits of fraction, where it is asked for and nowhere else. */
static void tensor_float_is_asked_for(void **state)
{
    (void)state;
    size_t count;
    float *exact = first_result(PRECISION_FP32, &count), *tensor = first_result(PRECISION_TF32, &count);
    double distance = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        distance = fmax(distance, fabs((double)(exact[i] - tensor[i])));
        size = fmax(size, fabs((double)exact[i]));
    }
    assert_true(distance > 0x1p-16 * size && distance < 0x1p-8 * size);
    free(exact);
    free(tensor);
}

/* The kernel's gradient is not rounded to what activations are. */
static void kernel_gradients_are_float(void **state)
{
    struct device_session session;
    (void)state;
    open_network(&session, PRECISION_BF16);
    const struct step step = step_number(0);
    session_run(&session, &step);
    for (int32_t nth = 0; nth < 2; nth++) {
        const int32_t op = session_find_op(&session, PROG_OP_DENSE_BACKWARD_WEIGHTS, nth),
                      gradient = session.program.ops[op].outputs[DENSE_BACKWARD_WEIGHTS_OUT_DKERNEL];
        float *values = session_read(&session, gradient);
        size_t finer = 0;
        for (size_t i = 0; i < session_count(&session, gradient); i++) {
            uint32_t bits;
            memcpy(&bits, &values[i], sizeof bits);
            finer += (bits & 0xffffu) != 0;
        }
        assert_true(finer * 2 > session_count(&session, gradient));
        free(values);
    }
    session_close(&session);
}

/* ---- memory ---- */

static void workspace_is_taken_at_open(void **state)
{
    static const struct {
        int major;
        size_t bytes;
    } cases[] = {{9, 32 * MEBIBYTE}, {10, 32 * MEBIBYTE}, {AMPERE, 4 * MEBIBYTE}, {7, 4 * MEBIBYTE}};
    struct device *device = NULL;
    struct error err;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        emu.major = cases[i].major;
        assert_int_equal(cuda_device_ops.open(&(struct device_options){0}, &device, &err), ST_OK);
        assert_in_range(emu_count.bytes, cases[i].bytes, cases[i].bytes + MEBIBYTE / 64);
        cuda_device_ops.close(device);
        assert_int_equal(emu_count.bytes, 0);
    }
    emu.memory = MEBIBYTE;
    assert_int_equal(cuda_device_ops.open(&(struct device_options){0}, &device, &err), ST_MEMORY);
    assert_non_null(strstr(err.message, "cuda:0: out of device memory: workspace of cuBLAS, 4194304 bytes"));
}

/* Each gradient has its bytes for itself, float32 where cuBLAS writes it. */
static void gradients_do_not_overlap(void **state)
{
    static const enum device_precision precisions[] = {PRECISION_BF16, PRECISION_FP32};
    (void)state;
    for (size_t i = 0; i < sizeof precisions / sizeof precisions[0]; i++) {
        struct device_session session;
        open_network(&session, precisions[i]);
        const struct device_program *prepared = session.prepared;
        const size_t size = cuda_type_size(session.device->type);
        size_t end = 0;
        int32_t kernels = 0;
        for (int32_t i = 0; i < session.program.weights.count; i++) {
            const struct cuda_weight *w = &prepared->weights[i];
            if (w->rows == 0)
                continue;
            assert_int_equal(w->wide, kernels > 0);
            assert_true(w->gradient >= end && w->gradient % CUDA_ALIGNMENT == 0);
            end = w->gradient + cuda_copy_count(w) * (w->wide ? sizeof(float) : size);
            kernels++;
        }
        assert_int_equal(kernels, 3);
        assert_true(end <= prepared->at.gradients - prepared->at.copy_gradients);
        assert_true(prepared->at.gradients - prepared->at.copy_gradients - end < CUDA_ALIGNMENT);
        session_close(&session);
    }
}

/* A kernel with more values than are counted in 31 bits, through padding alone. */
static void too_large_a_kernel(void **state)
{
    const struct lower_options options = {.purpose = PROG_EVALUATE, .batch = 1, .batch_norm_momentum = 0.1f};
    struct device *device = NULL;
    struct device_program *prepared = NULL;
    struct program program = {0};
    struct graph graph = {0};
    struct error err;
    (void)state;
    assert_int_equal(graph_new(&graph, 1, 4096, 4096, &err), ST_OK);
    append(&graph, LAYER_CONV, 0, 121);
    append(&graph, LAYER_DENSE, 1, 1);
    assert_int_equal(graph_infer(&graph, &err), ST_OK);
    assert_int_equal(lower_graph(&graph, &options, &program, &err), ST_OK);
    assert_int_equal(cuda_device_ops.open(&(struct device_options){0}, &device, &err), ST_OK);
    assert_int_equal(cuda_device_ops.program_prepare(device, &program, &prepared, &err), ST_UNSUPPORTED);
    assert_non_null(
        strstr(err.message, "kernel of 17179869184 values with its padding, expected at most 2147483648"));
    cuda_device_ops.close(device);
    program_free(&program);
    graph_free(&graph);
}

/* ---- recording ---- */

static float *trained(uint32_t steps, size_t *total, struct emu_counts *counts)
{
    struct device_session session;
    const struct device_ops *ops = &cuda_device_ops;
    open_network(&session, PRECISION_BF16);
    const struct emu_counts before = emu_count;
    for (uint32_t i = 0; i < steps; i++) {
        const struct step step = step_number(i);
        session_run(&session, &step);
    }
    counts->products = emu_count.products - before.products;
    counts->convolutions = emu_count.convolutions - before.convolutions;
    counts->recordings = emu_count.recordings - before.recordings;
    *total = session.program.weights.total;
    float *values = malloc(*total * sizeof *values);
    assert_non_null(values);
    assert_int_equal(ops->weights_download(session.device, session.weights, SLOT_VALUE, values, &session.err),
                     ST_OK);
    session_close(&session);
    return values;
}

/* Six products a step, and two convolutions; once queued and once recorded, then none. In every order the same bits. */
static void products_are_recorded(void **state)
{
    struct emu_counts recorded, queued;
    size_t total;
    (void)state;
    float *expected = trained(5, &total, &recorded);
    assert_int_equal(recorded.recordings, 1);
    assert_int_equal(recorded.products, 2 * 6);
    assert_int_equal(recorded.convolutions, 2 * 2);
    emu.refuse_recording = 1;
    emu.order = 3;
    float *found = trained(5, &total, &queued);
    assert_int_equal(queued.products, 5 * 6);
    assert_memory_equal(found, expected, total * sizeof *found);
    free(found);
    free(expected);
}

/* ---- failures ---- */

/* Opening fails at each of cuBLAS's calls with a line of its own, and so does a product in a step. */
static void failures_have_a_line(void **state)
{
    static const char *const lines[] = {
        "cuda:0: cuBLAS cannot open the device: ", "cuda:0: cuBLAS cannot set its arithmetic: ",
        "cuda:0: cuBLAS cannot use a stream: ", "cuda:0: cuBLAS cannot use a workspace: "};
    struct device *device = NULL;
    struct error err = {0};
    bool seen[4] = {false};
    (void)state;
    for (uint64_t at = 1; device == NULL; at++) {
        emu_reset();
        emu.fail_at = at;
        if (cuda_device_ops.open(&(struct device_options){0}, &device, &err) == ST_OK)
            break;
        for (int i = 0; i < 4; i++)
            seen[i] |= strncmp(err.message, lines[i], strlen(lines[i])) == 0;
        assert_int_equal(emu_count.objects, 0);
    }
    cuda_device_ops.close(device);
    for (int i = 0; i < 4; i++)
        if (!seen[i])
            fail_msg("no opening failed with \"%s\"", lines[i]);
    emu_reset();
    struct device_session session;
    open_network(&session, PRECISION_AUTO);
    const struct step step = step_number(0);
    bool found = false;
    for (uint64_t at = 1; !found; at++) {
        emu.fail_at = emu_count.calls + at;
        const enum status st = cuda_device_ops.program_run(session.device, session.prepared, &step, &err);
        assert_int_equal(st, ST_DEVICE); /* a step that gets through has met no product */
        found = strncmp(err.message, "dense, operation ", 17) == 0 &&
                strstr(err.message, ": cuBLAS cannot multiply: ") != NULL &&
                strchr(err.message, '\n') == NULL;
        session_close(&session);
        emu_reset();
        open_network(&session, PRECISION_AUTO);
    }
    session_close(&session);
}

/* ---- the emulated cuBLAS ---- */

struct arguments {
    cublasOperation_t a_as, b_as;
    int m, n, k, a_stride, b_stride, c_stride;
    cudaDataType_t a_type, b_type, c_type;
    cublasComputeType_t compute;
    cublasStatus_t expected;
};

/* c (8 x 8) = a (8 x 16) b (16 x 8): what is right, then cases with one thing wrong each. */
static void refusals(void **state)
{
    static const cublasOperation_t n = CUBLAS_OP_N, t = CUBLAS_OP_T;
    static const cudaDataType_t bf16 = CUDA_R_16BF, half = CUDA_R_16F, wide = CUDA_R_32F, twice = CUDA_R_64F;
    static const cublasComputeType_t sums = CUBLAS_COMPUTE_32F, fast = CUBLAS_COMPUTE_32F_FAST_TF32;
    static const cublasStatus_t fine = CUBLAS_STATUS_SUCCESS, invalid = CUBLAS_STATUS_INVALID_VALUE,
                                unsupported = CUBLAS_STATUS_NOT_SUPPORTED;
    const struct arguments cases[] = {
        {n, n, 8, 8, 16, 8, 16, 8, wide, wide, wide, sums, fine},
        {n, n, 8, 8, 16, 8, 16, 8, wide, wide, wide, fast, fine},
        {n, n, 8, 8, 16, 8, 16, 8, bf16, bf16, bf16, sums, fine},
        {t, t, 8, 8, 16, 16, 8, 8, half, half, wide, sums, fine},
        {n, n, 8, 8, 16, 4, 16, 8, wide, wide, wide, sums, invalid},  /* a: less than m */
        {t, n, 8, 8, 16, 8, 16, 8, wide, wide, wide, sums, invalid},  /* a transposed: less than k */
        {n, n, 8, 8, 16, 8, 8, 8, wide, wide, wide, sums, invalid},   /* b: less than k */
        {n, t, 8, 12, 16, 8, 8, 8, wide, wide, wide, sums, invalid},  /* b transposed: less than n */
        {n, n, 8, 8, 16, 8, 16, 4, wide, wide, wide, sums, invalid},  /* c: less than m */
        {n, n, -8, 8, 16, 8, 16, 8, wide, wide, wide, sums, invalid}, /* a negative size */
        {n, n, 8, 8, 16, 8, 16, 8, bf16, half, bf16, sums, unsupported},
        {n, n, 8, 8, 16, 8, 16, 8, bf16, bf16, half, sums, unsupported},
        {n, n, 8, 8, 16, 8, 16, 8, wide, wide, bf16, sums, unsupported},
        {n, n, 8, 8, 16, 8, 16, 8, twice, twice, twice, sums, unsupported},
        {n, n, 8, 8, 16, 8, 16, 8, half, half, half, CUBLAS_COMPUTE_16F,
         unsupported}, /* scales would be half */
        {n, n, 8, 8, 16, 8, 16, 8, bf16, bf16, bf16, fast, unsupported},
    };
    const float one = 1.0f, zero = 0.0f;
    struct device *device = NULL;
    struct error err;
    char *memory = NULL;
    (void)state;
    assert_int_equal(cuda_device_ops.open(&(struct device_options){0}, &device, &err), ST_OK);
    assert_int_equal(cuda_allocate(device, 3 * 1024, "operands", &memory, &err), ST_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct arguments *c = &cases[i];
        const cublasStatus_t found =
            cublasGemmEx(device->cublas, c->a_as, c->b_as, c->m, c->n, c->k, &one, memory, c->a_type,
                         c->a_stride, memory + 1024, c->b_type, c->b_stride, &zero, memory + 2048, c->c_type,
                         c->c_stride, c->compute, CUBLAS_GEMM_DEFAULT);
        if (found != c->expected)
            fail_msg("case %zu: \"%s\", expected \"%s\"", i, cublasGetStatusString(found),
                     cublasGetStatusString(c->expected));
    }
    assert_int_equal(cublasSetWorkspace(device->cublas, memory + 16, 256), CUBLAS_STATUS_NOT_SUPPORTED);
    emu.major = 7;
    assert_int_equal(cublasGemmEx(device->cublas, n, n, 8, 8, 16, &one, memory, bf16, 8, memory + 1024, bf16,
                                  16, &zero, memory + 2048, bf16, 8, sums, CUBLAS_GEMM_DEFAULT),
                     CUBLAS_STATUS_ARCH_MISMATCH);
    assert_int_equal(cudaFree(memory), cudaSuccess);
    cuda_device_ops.close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tensor_float_is_asked_for, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(kernel_gradients_are_float, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(workspace_is_taken_at_open, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(gradients_do_not_overlap, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(too_large_a_kernel, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(products_are_recorded, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(failures_have_a_line, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(refusals, emu_test_begin, emu_test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
