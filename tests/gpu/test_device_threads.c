/* Preparing on the emulated GPU, beside a training and by itself: what a second thread may do changes nothing, spoils
 * no recording and waits for nobody. */
#include "cuda/device/cuda_internal.h"
#include "host/net/start.h"
#include "tests/gpu/emu/emu_test.h"
#include "tests/support/device_session.h"
#include "tests/support/second_thread.h"

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

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

/* ---- memory ---- */

static pthread_t planning;
static sem_t trial_has_memory;

/* On the thread that plans, its trial having taken memory: it stays a while. */
static void linger(void)
{
    if (!pthread_equal(pthread_self(), planning))
        return;
    emu.trial_begun = NULL; /* once */
    sem_post(&trial_has_memory);
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
}

struct preparing {
    struct device_session *session;
    struct program program;
    pthread_t thread;
    struct error err;
    enum status status;
};

static void *prepare_beside(void *context)
{
    struct preparing *preparing = context;
    struct device_program *prepared = NULL;
    struct device_session *session = preparing->session;
    planning = pthread_self();
    emu.trial_begun = linger;
    preparing->status =
        session->ops->program_prepare(session->device, &preparing->program, &prepared, &preparing->err);
    session->ops->program_free(session->device, prepared);
    return NULL;
}

/* Returns when a trial on another thread has memory. */
static void begin_beside(struct preparing *preparing, struct device_session *session,
                         const struct graph *graph, int32_t batch)
{
    const struct lower_options options = {.purpose = PROG_TRAIN, .batch = batch, .batch_norm_momentum = 0.1f};
    *preparing = (struct preparing){.session = session};
    assert_int_equal(lower_graph(graph, &options, &preparing->program, &session->err), ST_OK);
    assert_int_equal(sem_init(&trial_has_memory, 0, 0), 0);
    assert_int_equal(pthread_create(&preparing->thread, NULL, prepare_beside, preparing), 0);
    assert_int_equal(sem_wait(&trial_has_memory), 0);
}

static void end_beside(struct preparing *preparing)
{
    assert_int_equal(pthread_join(preparing->thread, NULL), 0);
    assert_int_equal(preparing->status, ST_OK);
    assert_int_equal(sem_destroy(&trial_has_memory), 0);
    program_free(&preparing->program);
}

/* A program is bound, and free memory is asked for, while a trial holds memory that the program needs: as if there were
 * no trial. */
static void trials_are_as_good_as_free_memory(void **state)
{
    (void)state;
    struct graph graph = {0};
    struct device_session session;
    struct device_program *second = NULL;
    struct device_info alone, beside_trial;
    struct preparing preparing;
    const struct lower_options options = {
        .purpose = PROG_TRAIN, .batch = 8 * BATCH, .batch_norm_momentum = 0.1f};
    assert_int_equal(start_make(&graph, "cnn", 8, (struct shape){0, 3, 8, 8}, 5, &session.err), ST_OK);
    session_open(&session, &cuda_device_ops, &graph, &options, 8 * BATCH, 5);
    assert_int_equal(session.ops->program_prepare(session.device, &session.program, &second, &session.err),
                     ST_OK);
    emu.memory = emu_count.bytes + session.ops->program_bytes(second) + 1024; /* samples */
    session.ops->info(session.device, &alone);
    begin_beside(&preparing, &session, &graph, 1);
    session.ops->info(session.device, &beside_trial);
    end_beside(&preparing);
    assert_int_equal(beside_trial.memory_free, alone.memory_free);
    begin_beside(&preparing, &session, &graph, 2);
    if (session.ops->program_bind(session.device, second, &session.binding, &session.err) != ST_OK)
        fail_msg("%s", session.err.message);
    end_beside(&preparing);
    session.ops->program_free(session.device, second);
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
        cmocka_unit_test_setup_teardown(trials_are_as_good_as_free_memory, emu_test_begin, emu_test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
