/* Preparing on the emulated GPU, beside a training and by itself: what a second thread may do changes nothing, spoils no
 * recording and waits for nobody. */
#include "cuda/cuda_internal.h"
#include "host/net/start.h"
#include "tests/gpu/emu/emu_test.h"
#include "tests/support/device_session.h"
#include "tests/support/second_thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ORDERS = 3, BATCH = 4, QUEUED = 5, DURING_A_RECORDING = 2 };

/* What the emulator's hook has to know. */
static struct second_thread *beside;
static uint64_t recordings_before;

/* On the thread that records, in the middle of it: whole programs are prepared, their convolutions tried. */
static void prepare_during_recording(void)
{
    const uint64_t tried = emu_count.convolutions;
    second_thread_wait(beside, DURING_A_RECORDING);
    assert_true(emu_count.convolutions > tried);
}

static void training_begins(struct second_thread *second)
{
    beside = second;
    recordings_before = emu_count.recordings;
    emu.recording_begun = prepare_during_recording;
}

/* Recorded at the first attempt, though others were busy. */
static void training_has_ended(void)
{
    emu.recording_begun = NULL;
    assert_int_equal(emu_count.recordings - recordings_before, 1);
    assert_int_equal(emu_count.graph_launches, 2 * (SECOND_THREAD_STEPS - 1));
    emu_count.graph_launches = 0;
}

static void training_is_not_disturbed(void **state)
{
    (void)state;
    emu.memory = (size_t)1 << 30;
    for (emu.order = 0; emu.order < ORDERS; emu.order++) {
        emu.timed = emu.order % 2;
        second_thread_check(&cuda_device_ops, &(struct device_options){0}, training_begins,
                            training_has_ended);
    }
}

/* The real cuDNN plans on the second thread. */
static void training_is_not_disturbed_by_real_plans(void **state)
{
    (void)state;
    emu.memory = (size_t)1 << 30;
    emu.profile = "tests/gpu/devices/a100.json";
    second_thread_check(&cuda_device_ops, &(struct device_options){0}, training_begins, training_has_ended);
}

/* Neither for the steps that are queued nor for all of the device. */
static void preparing_waits_for_nobody(void **state)
{
    (void)state;
    struct graph graph = {0};
    struct device_session session;
    struct device_program *second;
    struct program program = {0};
    const struct lower_options options = {.purpose = PROG_TRAIN, .batch = BATCH, .batch_norm_momentum = 0.1f},
                               wider = {
                                   .purpose = PROG_TRAIN, .batch = BATCH + 1, .batch_norm_momentum = 0.1f};
    assert_int_equal(start_make(&graph, "cnn", 8, (struct shape){0, 3, 8, 8}, 5, &session.err), ST_OK);
    session_open(&session, &cuda_device_ops, &graph, &options, BATCH, 5);
    assert_int_equal(lower_graph(&graph, &wider, &program, &session.err), ST_OK);
    for (uint32_t i = 0; i < QUEUED; i++) {
        const struct step step = {.number = i, .valid = BATCH, .learning_rate = 0.01f};
        session_run(&session, &step);
    }
    const uint64_t waits = emu_stream_waits(session.device->stream), device_waits = emu_count.device_waits,
                   tried = emu_count.convolutions;
    const size_t bytes = emu_count.bytes;
    assert_int_equal(session.ops->program_prepare(session.device, &program, &second, &session.err), ST_OK);
    session.ops->program_free(session.device, second);
    assert_true(emu_count.convolutions > tried);
    assert_int_equal(emu_stream_waits(session.device->stream), waits);
    assert_int_equal(emu_count.device_waits, device_waits);
    assert_int_equal(emu_count.bytes, bytes); /* what was tried with is given back */
    program_free(&program);
    session_close(&session);
    graph_free(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(training_is_not_disturbed, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(training_is_not_disturbed_by_real_plans, emu_test_begin,
                                        emu_test_end),
        cmocka_unit_test_setup_teardown(preparing_waits_for_nobody, emu_test_begin, emu_test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
