/* Time on the emulated GPU (emu/emu_time.c: virtual, hence the same on every machine): how far the host is ahead of the
 * device, how old a step's learning rate is when it runs, what steps and epochs are said to take. */
#include "cuda/device/cuda_internal.h"
#include "host/base/clock.h"
#include "host/net/start.h"
#include "tests/gpu/emu/emu_test.h"
#include "tests/support/device_session.h"
#include "tests/support/tiny_task.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* AHEAD: what the host may be ahead, in steps; said here once more. */
enum { AHEAD = 8, MOST_STEPS = 512, BATCH = 4, STEPS = 40 };
static const double WORK = 1e-3; /* seconds of a kernel */

/* ---- a training against the clock ---- */

/* When the training's steps were queued, and when the device was done with them. */
static struct {
    int32_t count;
    double queued[MOST_STEPS], done[MOST_STEPS];
    float learning_rate[MOST_STEPS];
} seen;

static enum status watched_run(struct device *device, struct device_program *prepared,
                               const struct step *step, struct error *err)
{
    const double now = clock_seconds();
    enum status st = cuda_device_ops.program_run(device, prepared, step, err);
    if (prepared->program->purpose != PROG_TRAIN)
        return st;
    assert_in_range(seen.count, 0, MOST_STEPS - 1);
    seen.queued[seen.count] = now;
    seen.done[seen.count] = emu_stream_done(device->stream);
    seen.learning_rate[seen.count++] = step->learning_rate;
    return st;
}

struct epochs {
    int32_t count;
    double images_per_second[MOST_STEPS];
};

static enum status on_epoch(void *context, const struct trainer_epoch *epoch, struct error *err)
{
    struct epochs *epochs = context;
    (void)err;
    assert_in_range(epochs->count, 0, MOST_STEPS - 1);
    epochs->images_per_second[epochs->count++] = epoch->images_per_second;
    return ST_OK;
}

/* `seconds` of training; *ended: when it was over. */
static void train_for(double seconds, struct epochs *epochs, double *ended)
{
    struct device_ops ops = cuda_device_ops;
    struct tiny_task task;
    struct trainer_result result;
    struct error err;
    ops.program_run = watched_run;
    seen.count = 0;
    tiny_task_open(&task, &ops, true);
    struct trainer_settings settings = tiny_task_settings();
    settings.batch = 1; /* epochs of TINY_TRAIN steps */
    settings.schedule = (struct schedule){.kind = JOB_SCHEDULE_ONE_CYCLE, .peak = 0.1, .warmup = 0.3};
    struct trainer *trainer = tiny_task_trainer(&task, &settings);
    const struct trainer_limit limit = {.seconds = seconds, .steps = 1000 * MOST_STEPS};
    const struct trainer_events events = {.context = epochs, .on_epoch = on_epoch, .tick_seconds = INFINITY};
    const double began = clock_seconds();
    if (trainer_run(trainer, limit, &events, &result, &err) != ST_OK)
        fail_msg("%s", err.message);
    *ended = clock_seconds() - began;
    trainer_close(trainer);
    tiny_task_close(&task);
}

/* The rate of a step is that of its time: it was decided when at most eight steps before it were still to run. And the
 * host does not wait for each step. With the first steps at the schedule's beginning, and the training over in time. */
static void rates_are_not_stale(void **state)
{
    (void)state;
    struct epochs epochs = {0};
    double ended;
    int32_t most = 0, sum = 0;
    emu.work_seconds = WORK;
    train_for(4.0, &epochs, &ended);
    assert_in_range(seen.count, 3 * AHEAD, MOST_STEPS - 1);
    const int32_t last = seen.count - 1;
    const double step = seen.done[last] - seen.done[last - 1];
    int32_t same = 0; /* steps at the beginning with the first one's rate */
    while (same < seen.count && !(fabsf(seen.learning_rate[same] - seen.learning_rate[0]) > 0.0f))
        same++;
    for (int32_t i = 0; i < seen.count; i++) {
        int32_t before = 0; /* steps still to run when it was queued */
        while (before < i && seen.done[i - before - 1] > seen.queued[i])
            before++;
        most = before > most ? before : most;
        sum += before;
    }
    print_message("%d steps of %.0f ms: queued at most %d steps ahead, %.2f on average; %d with the first "
                  "one's rate; over after %.2f s of 4\n",
                  (int)seen.count, 1e3 * step, (int)most, (double)sum / seen.count, (int)same, ended);
    assert_in_range(most, 1, AHEAD);
    assert_true(sum >= 2 * seen.count);
    assert_in_range(same, 1, AHEAD + 1);
    assert_true(ended <= 4.0 + (AHEAD + 2) * step);
}

/* An epoch's speed is that of the device's steps: the first epoch, which loads and records, may differ. */
static void epochs_are_as_fast_as_their_steps(void **state)
{
    (void)state;
    struct epochs epochs = {0};
    double ended;
    emu.work_seconds = WORK;
    train_for(6.0, &epochs, &ended);
    const int32_t last = seen.count - 1;
    const double rate = 1.0 / (seen.done[last] - seen.done[last - 1]);
    assert_in_range(epochs.count, 3, MOST_STEPS);
    for (int32_t i = 0; i < epochs.count; i++)
        if (!(fabs(epochs.images_per_second[i] / rate - 1.0) < 1e-3))
            fail_msg("epoch %d: %g images/s, expected %g", (int)i, epochs.images_per_second[i], rate);
}

/* ---- steps ---- */

struct measured {
    struct device_report report;
    double metrics[METRIC_COUNT];
    double seconds; /* of all, on the host's clock */
    double done[STEPS];
    int32_t reads; /* behind the second step, before the last one */
};

enum { READ_EVERY = 7 }; /* steps */

static void measure(struct measured *measured)
{
    struct graph graph = {0};
    struct device_session session;
    const struct lower_options options = {.purpose = PROG_TRAIN, .batch = BATCH, .batch_norm_momentum = 0.1f};
    assert_int_equal(start_make(&graph, "cnn", 8, (struct shape){0, 3, 8, 8}, 5, &session.err), ST_OK);
    session_open(&session, &cuda_device_ops, &graph, &options, BATCH, 5);
    const double began = clock_seconds();
    for (uint32_t i = 0; i < STEPS; i++) {
        const struct step step = {.number = i, .valid = BATCH, .learning_rate = 0.01f};
        session_run(&session, &step);
        measured->done[i] = emu_stream_done(session.device->stream);
        measured->reads += i % READ_EVERY == 0 && i > 1;
        if (i % READ_EVERY == 0) /* a reader, now and then, in the middle of what is timed */
            assert_int_equal(session.ops->program_metrics(session.device, session.prepared, measured->metrics,
                                                          &session.err),
                             ST_OK);
    }
    assert_int_equal(
        session.ops->program_metrics(session.device, session.prepared, measured->metrics, &session.err),
        ST_OK);
    measured->seconds = clock_seconds() - began;
    session.ops->program_report(session.prepared, &measured->report);
    session_close(&session);
    graph_free(&graph);
}

/* All but the first two steps are timed, exactly, whoever waits when; and without the copies of those who read. Weight
 * gradients run beside the rest, so that a step takes less than all its pieces, one behind the other; with its
 * parameters and copies of kernels these are two more than were recorded. */
static void times_are_the_devices(void **state)
{
    (void)state;
    struct measured measured = {0};
    emu.work_seconds = WORK;
    measure(&measured);
    assert_int_equal(measured.report.steps, STEPS - 2);
    const double took = measured.done[STEPS - 1] - measured.done[1] - WORK * measured.reads;
    if (!(fabs(measured.report.seconds - took) < 1e-6))
        fail_msg("%g s, expected %g", measured.report.seconds, took);
    const double pieces = measured.report.seconds / WORK / (STEPS - 2);
    print_message("a step of %d pieces takes as long as %g\n", (int)measured.report.recorded + 2, pieces);
    assert_true(pieces < measured.report.recorded + 1.5);
}

/* Where a step can't be recorded, its pieces wait for the host's calls: slower, which the times show, but the same
 * bits. */
static void unrecorded_steps_are_slower(void **state)
{
    (void)state;
    struct measured recorded = {0}, queued = {0};
    emu.work_seconds = WORK;
    emu.call_seconds = 4 * WORK;
    measure(&recorded);
    emu.refuse_recording = 1;
    measure(&queued);
    assert_int_equal(recorded.report.failures, 0);
    assert_int_equal(queued.report.failures, 1);
    assert_int_equal(queued.report.steps, STEPS - 2);
    const double factor = queued.report.seconds / (double)queued.report.steps /
                          (recorded.report.seconds / (double)recorded.report.steps);
    print_message("%d pieces, calls that take 4 times as long: unrecorded steps take %.2f times as long\n",
                  (int)recorded.report.recorded, factor);
    assert_true(factor > 2.0);
    assert_true(queued.seconds > 2.0 * recorded.seconds);
    assert_memory_equal(queued.metrics, recorded.metrics, sizeof(queued.metrics));
}

/* Virtual seconds that preparing a program takes, of a shape that is new. */
static double prepare(struct device_session *session, const struct graph *graph, int32_t batch)
{
    const struct lower_options options = {.purpose = PROG_TRAIN, .batch = batch, .batch_norm_momentum = 0.1f};
    struct program program = {0};
    struct device_program *prepared;
    assert_int_equal(lower_graph(graph, &options, &program, &session->err), ST_OK);
    const double before = clock_seconds();
    assert_int_equal(session->ops->program_prepare(session->device, &program, &prepared, &session->err),
                     ST_OK);
    const double took = clock_seconds() - before;
    session->ops->program_free(session->device, prepared);
    program_free(&program);
    return took;
}

/* The driver may let who loads a kernel wait for all that is queued on the device: a second thread's preparing then
 * waits for AHEAD steps at most, however many the training has to do. */
static void loading_waits_for_few_steps(void **state)
{
    (void)state;
    struct graph graph = {0};
    struct device_session session;
    struct device_report report;
    double metrics[METRIC_COUNT];
    const struct lower_options options = {.purpose = PROG_TRAIN, .batch = BATCH, .batch_norm_momentum = 0.1f};
    emu.work_seconds = WORK;
    emu.loading_waits = 1;
    assert_int_equal(start_make(&graph, "cnn", 8, (struct shape){0, 3, 8, 8}, 5, &session.err), ST_OK);
    session_open(&session, &cuda_device_ops, &graph, &options, BATCH, 5);
    for (uint32_t i = 0; i < STEPS; i++) {
        const struct step step = {.number = i, .valid = BATCH, .learning_rate = 0.01f};
        session_run(&session, &step);
    }
    session.ops->program_report(session.prepared, &report);
    const double step = report.seconds / (double)report.steps, beside = prepare(&session, &graph, BATCH + 1);
    assert_int_equal(session.ops->program_metrics(session.device, session.prepared, metrics, &session.err),
                     ST_OK);
    const double alone = prepare(&session, &graph, BATCH + 2);
    print_message("preparing takes %.2f steps, %.2f beside a training\n", alone / step, beside / step);
    assert_true(beside - alone > step); /* the emulator waits indeed */
    assert_true(beside - alone < (AHEAD + 0.01) * step);
    session_close(&session);
    graph_free(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rates_are_not_stale, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(epochs_are_as_fast_as_their_steps, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(times_are_the_devices, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(unrecorded_steps_are_slower, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(loading_waits_for_few_steps, emu_test_begin, emu_test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
