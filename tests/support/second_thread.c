#include "tests/support/second_thread.h"

#include "host/net/start.h"
#include "tests/support/device_session.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { IMAGES = 20, CLASSES = 5, BATCH = 8, SIDE = 8, OWN_EVERY = 4, SHAPES = 40, PATIENCE = 120 /* s */ };

/* ---- programs of many shapes ---- */

struct other_program {
    struct program program;
    struct device_program *prepared;
};

static void free_other(const struct device_ops *ops, struct device *device, struct other_program *other)
{
    ops->program_free(device, other->prepared);
    program_free(&other->program);
}

/* Number `index` of them; no two of SHAPES in a row are alike. May be called by any thread. */
static enum status prepare_other(const struct device_ops *ops, struct device *device, int32_t index,
                                 struct other_program *other, struct error *err)
{
    static const char *const starts[] = {"lean", "cnn", "resnet", "densenet"};
    struct graph graph = {0};
    const struct lower_options options = {.purpose = index / 4 % 2 ? PROG_EVALUATE : PROG_TRAIN,
                                          .batch = 1 + index / 8 % 5,
                                          .batch_norm_momentum = 0.1f};
    *other = (struct other_program){0};
    enum status st = start_make(&graph, starts[index % 4], 8, (struct shape){0, 3, SIDE, SIDE}, CLASSES, err);
    if (st == ST_OK)
        st = lower_graph(&graph, &options, &other->program, err);
    if (st == ST_OK)
        st = ops->program_prepare(device, &other->program, &other->prepared, err);
    if (st == ST_OK && ops->program_bytes(other->prepared) == 0)
        st = error_set(err, ST_RANGE, "a program of 0 bytes");
    graph_free(&graph);
    return st;
}

/* ---- the second thread ---- */

struct second_thread {
    const struct device_ops *ops;
    struct device *device;
    pthread_t thread;
    atomic_int prepared;
    atomic_bool stop, failed;
    struct error err; /* when failed; read after the thread's end */
};

static void *work(void *context)
{
    struct second_thread *second = context;
    for (int32_t i = 0; !second->stop && !second->failed; i = (i + 1) % SHAPES) {
        struct other_program other;
        if (prepare_other(second->ops, second->device, i, &other, &second->err) != ST_OK)
            second->failed = true;
        free_other(second->ops, second->device, &other);
        second->prepared++;
    }
    return NULL;
}

struct second_thread *second_thread_begin(const struct device_ops *ops, struct device *device)
{
    struct second_thread *second = calloc(1, sizeof(*second));
    assert_non_null(second);
    second->ops = ops;
    second->device = device;
    assert_int_equal(pthread_create(&second->thread, NULL, work, second), 0);
    return second;
}

void second_thread_wait(struct second_thread *second, int32_t count)
{
    const int32_t wanted = second->prepared + count + 1; /* one may have begun before */
    const time_t began = time(NULL);
    while (second->prepared < wanted && !second->failed) {
        if (time(NULL) - began > PATIENCE)
            fail_msg("the second thread has prepared %d programs in %d s, expected %d", (int)second->prepared,
                     (int)PATIENCE, (int)wanted);
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
}

void second_thread_end(struct second_thread *second)
{
    second->stop = true;
    assert_int_equal(pthread_join(second->thread, NULL), 0);
    if (second->failed)
        fail_msg("on a second thread: %s", second->err.message);
    free(second);
}

/* ---- the training ---- */

struct outcome {
    double metrics[METRIC_COUNT];
    size_t total;
    float *values;
};

/* Now and then the device's own thread prepares too, as inheritance does. */
static void prepare_own(struct device_session *session, int32_t index)
{
    struct other_program other;
    if (prepare_other(session->ops, session->device, index, &other, &session->err) != ST_OK)
        fail_msg("%s", session->err.message);
    free_other(session->ops, session->device, &other);
}

static void train(const struct device_ops *ops, const struct device_options *options, bool disturbed,
                  void (*begun)(struct second_thread *second), struct outcome *outcome)
{
    struct graph graph = {0};
    struct error err;
    struct device_session session;
    struct second_thread *second = NULL;
    const struct lower_options lowered = {.purpose = PROG_TRAIN,
                                          .batch = BATCH,
                                          .augment = true,
                                          .weight_average = true,
                                          .label_smoothing = 0.1f,
                                          .batch_norm_momentum = 0.1f};
    if (start_make(&graph, "resnet", 8, (struct shape){0, 3, SIDE, SIDE}, CLASSES, &err) != ST_OK)
        fail_msg("%s", err.message);
    session_open_on(&session, ops, options, &graph, &lowered, IMAGES, 5);
    if (disturbed)
        second = second_thread_begin(ops, session.device);
    if (disturbed && begun != NULL)
        begun(second);
    for (int32_t i = 0; i < SECOND_THREAD_STEPS; i++) {
        const struct step step = {.seed = 11,
                                  .number = (uint32_t)i,
                                  .first = (uint32_t)(i % 3 * 4),
                                  .valid = BATCH,
                                  .learning_rate = 0.01f,
                                  .average_decay = 0.8f};
        session_run(&session, &step);
        if (disturbed && i % OWN_EVERY == 0)
            prepare_own(&session, i);
        if (disturbed && i % OWN_EVERY == 1)
            second_thread_wait(second, 1); /* while the step may still be queued */
    }
    if (ops->program_metrics(session.device, session.prepared, outcome->metrics, &err) != ST_OK)
        fail_msg("%s", err.message);
    if (disturbed)
        second_thread_end(second);
    outcome->total = session.program.weights.total;
    outcome->values = malloc(outcome->total * sizeof(*outcome->values));
    assert_non_null(outcome->values);
    assert_int_equal(
        ops->weights_download(session.device, session.weights, SLOT_VALUE, outcome->values, &err), ST_OK);
    session_close(&session);
    graph_free(&graph);
}

void second_thread_check(const struct device_ops *ops, const struct device_options *options,
                         void (*begun)(struct second_thread *second), void (*ended)(void))
{
    struct outcome alone, beside;
    train(ops, options, false, NULL, &alone);
    train(ops, options, true, begun, &beside);
    if (ended != NULL)
        ended();
    assert_memory_equal(beside.metrics, alone.metrics, sizeof(alone.metrics));
    assert_int_equal(beside.total, alone.total);
    assert_memory_equal(beside.values, alone.values, alone.total * sizeof(*alone.values));
    assert_true(isfinite(alone.metrics[METRIC_LOSS]) && alone.metrics[METRIC_LOSS] > 0);
    free(alone.values);
    free(beside.values);
}
