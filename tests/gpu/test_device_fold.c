/* Batch norms folded into convolutions on the emulated GPU (cuda/device/cuda_fold.c): whole evaluation steps beside the
 * reference and beside the same operations one by one. */
#include "cuda/device/cuda_internal.h"
#include "host/net/start.h"
#include "tests/gpu/emu/emu_test.h"
#include "tests/support/device_evaluation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { IMAGES = 6, CLASSES = 5, FLOAT_MAJOR = 7 };

static const struct lower_options evaluation = {
    .purpose = PROG_EVALUATE, .batch = IMAGES, .batch_norm_momentum = 0.1f};
static const struct step whole = {.valid = IMAGES};

static int32_t fold_count(const struct device_session *session)
{
    return session->prepared->fold_count;
}

/* ---- numbers ---- */

static void all_are_folded(const struct device_session *session)
{
    assert_int_equal(fold_count(session), evaluation_pairs(&session->program));
}

static void agrees(enum device_precision precision, double rounding)
{
    const struct device_options options = {.precision = precision, .untimed = true};
    struct device *device = NULL;
    struct error err;
    if (cuda_device_ops.open(&options, &device, &err) != ST_OK)
        fail_msg("%s", err.message);
    evaluation_check(&cuda_device_ops, device, rounding, all_are_folded);
    cuda_device_ops.close(device);
}

static void bf16_agrees(void **state)
{
    (void)state;
    agrees(PRECISION_BF16, 0x1p-8);
}

static void half_agrees(void **state)
{
    (void)state;
    agrees(PRECISION_FP16, 0x1p-11);
}

static void float_agrees(void **state)
{
    (void)state;
    agrees(PRECISION_FP32, 0x1p-24);
}

/* ---- steps ---- */

static void open_start(struct device_session *session, struct graph *graph, const char *start)
{
    *graph = (struct graph){0};
    if (start_make(graph, start, 8, (struct shape){0, 3, 8, 8}, CLASSES, &session->err) != ST_OK)
        fail_msg("%s", session->err.message);
    session_open(session, &cuda_device_ops, graph, &evaluation, IMAGES, 5);
}

/* A batch norm that is folded costs no launch of its own. Refused by cuDNN, both run as they stand. */
static void a_refusal_is_no_error(void **state)
{
    (void)state;
    uint64_t kernels[2], convolutions[2], fused[2];
    struct logits logits[2];
    int32_t folds = 0;
    for (int refused = 0; refused < 2; refused++) {
        struct graph graph;
        struct device_session session;
        emu.refuse_fused = refused;
        open_start(&session, &graph, "resnet");
        session_run(&session, &whole); /* makes the copies, too */
        struct emu_counts before = emu_count;
        logits[refused] = evaluation_run(&session, false);
        kernels[refused] = emu_count.kernels - before.kernels;
        convolutions[refused] = emu_count.convolutions - before.convolutions;
        fused[refused] = emu_count.fused - before.fused;
        assert_int_equal(emu_count.graph_launches - before.graph_launches, 1);
        folds = refused ? folds : fold_count(&session);
        assert_true(refused ? fold_count(&session) == 0 : folds > 4);
        session_close(&session);
        graph_free(&graph);
    }
    /* The step was being recorded: what was counted is what was recorded. */
    assert_int_equal(kernels[1] - kernels[0], folds);
    assert_int_equal(convolutions[1], convolutions[0]);
    assert_int_equal(fused[0], folds);
    assert_int_equal(fused[1], 0);
    assert_true(evaluation_distance(&logits[0], &logits[1]) < 8 * 0x1p-8);
    free(logits[0].values);
    free(logits[1].values);
}

/* Copies and biases follow the weights, and the way that they are used: whole steps and single operations by turns. */
static void copies_follow(void **state)
{
    (void)state;
    struct graph graph;
    struct device_session session;
    emu.major = FLOAT_MAJOR;
    open_start(&session, &graph, "resnet");
    const struct logits first = evaluation_run(&session, false), again = evaluation_run(&session, false),
                        plain = evaluation_run(&session, true), back = evaluation_run(&session, false);
    assert_memory_equal(first.values, again.values, first.count * sizeof(*first.values));
    assert_memory_equal(first.values, back.values, first.count * sizeof(*first.values));
    assert_true(evaluation_distance(&plain, &first) < 1e-5);
    for (size_t i = 0; i < session.program.weights.total; i++)
        session.values[i] *= 0.75f;
    session_upload(&session);
    const struct logits moved = evaluation_run(&session, false), moved_plain = evaluation_run(&session, true);
    assert_true(evaluation_distance(&moved, &first) > 0.01);
    assert_true(evaluation_distance(&moved, &moved_plain) < 1e-5);
    /* and the averaged weights, which have not moved */
    session.binding.use_average = 1;
    session_bind(&session);
    const struct logits average = evaluation_run(&session, false);
    assert_memory_equal(average.values, first.values, first.count * sizeof(*first.values));
    free(first.values);
    free(again.values);
    free(plain.values);
    free(back.values);
    free(moved.values);
    free(moved_plain.values);
    free(average.values);
    session_close(&session);
    graph_free(&graph);
}

/* Biases are part of the plan of memory. */
static void memory_is_as_planned(void **state)
{
    (void)state;
    size_t bytes[2];
    for (int refused = 0; refused < 2; refused++) {
        struct graph graph;
        struct device_session session;
        struct device_program *second;
        emu.refuse_fused = refused;
        open_start(&session, &graph, "resnet");
        const size_t before = emu_count.bytes;
        assert_int_equal(
            session.ops->program_prepare(session.device, &session.program, &second, &session.err), ST_OK);
        assert_int_equal(session.ops->program_bind(session.device, second, &session.binding, &session.err),
                         ST_OK);
        bytes[refused] = session.ops->program_bytes(second);
        assert_int_equal(emu_count.bytes - before, bytes[refused] + CUDA_ALIGNMENT); /* the list of samples */
        session.ops->program_free(session.device, second);
        session_close(&session);
        graph_free(&graph);
    }
    assert_true(bytes[0] > bytes[1]);
}

/* With the real cuDNN's plans for devices that are described. */
static void real_plans(void **state)
{
    (void)state;
    static const char *const profiles[] = {"tests/gpu/devices/h100.json", "tests/gpu/devices/t4.json"};
    static const int majors[] = {9, FLOAT_MAJOR};
    for (int i = 0; i < 2; i++) {
        struct logits logits[2];
        emu.major = majors[i];
        for (int real = 0; real < 2; real++) {
            struct graph graph;
            struct device_session session;
            emu.profile = real ? profiles[i] : NULL;
            open_start(&session, &graph, "resnet");
            assert_int_equal(fold_count(&session), evaluation_pairs(&session.program));
            logits[real] = evaluation_run(&session, false);
            session_close(&session);
            graph_free(&graph);
        }
        assert_memory_equal(logits[0].values, logits[1].values, logits[0].count * sizeof(*logits[0].values));
        free(logits[0].values);
        free(logits[1].values);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bf16_agrees, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(half_agrees, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(float_agrees, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(a_refusal_is_no_error, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(copies_follow, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(memory_is_as_planned, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(real_plans, emu_test_begin, emu_test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
