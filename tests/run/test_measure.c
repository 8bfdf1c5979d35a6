/* Measuring trainings: on one device, shared by two, and side by side on two; what it leaves behind, and what it says
 * of a network that does not fit. */
#include "host/run/measure.h"
#include "tests/support/tiny_task.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { DEVICES = 2 };

static int runs[DEVICES]; /* training steps so far, by device */
static struct device *devices[DEVICES];

static enum status counted_run(struct device *device, struct device_program *prepared,
                               const struct step *step, struct error *err)
{
    for (int k = 0; k < DEVICES; k++)
        if (device == devices[k] && step->learning_rate > 0.0f)
            runs[k]++; /* by one thread, which is the device's */
    return cpu_device_ops.program_run(device, prepared, step, err);
}

struct fixture {
    struct tiny_task tasks[DEVICES];
    struct device_ops ops;
    struct job job;
    struct run run;
};

static void open_all(struct fixture *f)
{
    *f = (struct fixture){.ops = cpu_device_ops};
    f->ops.program_run = counted_run;
    f->job.search.data = 1.0;
    f->job.train = (struct job_train){.optimizer = JOB_OPTIMIZER_SGD,
                                      .schedule = JOB_SCHEDULE_LINEAR,
                                      .learning_rate = 0.01,
                                      .momentum = 0.9,
                                      .warmup = 0.2};
    f->run.job = &f->job;
    f->run.ops = f->run.devices.ops = &f->ops;
    f->run.devices.count = f->run.devices.workers = DEVICES;
    f->run.device_info.memory_free = SIZE_MAX;
    for (int32_t k = 0; k < DEVICES; k++) {
        tiny_task_open_at(&f->tasks[k], &f->ops, k, true);
        f->run.devices.items[k] =
            (struct run_device){.device = f->tasks[k].device, .data = f->tasks[k].dataset};
        devices[k] = f->tasks[k].device;
        runs[k] = 0;
    }
    f->run.data.samples[SPLIT_TRAIN] = f->tasks[0].samples;
    f->run.data.sample_count[SPLIT_TRAIN] = TINY_TRAIN;
    f->run.data.samples[SPLIT_VALIDATION] = f->tasks[0].samples + TINY_TRAIN;
    f->run.data.sample_count[SPLIT_VALIDATION] = TINY_VALIDATION;
}

static void close_all(struct fixture *f)
{
    for (int32_t k = 0; k < DEVICES; k++)
        tiny_task_close(&f->tasks[k]);
}

static void test_teams(void **state)
{
    static struct fixture f;
    struct measured measured;
    struct error err;
    (void)state;
    open_all(&f);
    const struct graph *graph = &f.tasks[0].graph;
    for (int32_t k = 0; k < DEVICES; k++) {
        const struct team one = {k, 1};
        const int other = runs[1 - k], before = runs[k];
        assert_int_equal(measure_team(&f.run, graph, one, TINY_BATCH, INFINITY, &measured, &err), ST_OK);
        assert_true(measured.images_per_second > 0.0);
        assert_true(measured.evaluation_seconds > 0.0);
        assert_true(measured.bytes > 0);
        assert_true(measured.preparation > 0.0);
        assert_true(runs[k] > before);
        assert_int_equal(runs[1 - k], other);
    }
    const struct team both = {0, DEVICES};
    const size_t alone = measured.bytes;
    const int first = runs[0], second = runs[1];
    assert_int_equal(measure_team(&f.run, graph, both, TINY_BATCH, INFINITY, &measured, &err), ST_OK);
    assert_true(measured.images_per_second > 0.0);
    assert_true(measured.bytes < alone); /* half the batch on each */
    assert_int_equal(runs[0] - first, runs[1] - second);
    close_all(&f);
}

/* When there is no time, the first step alone tells. */
static void test_no_time(void **state)
{
    static struct fixture f;
    const struct team one = {0, 1};
    struct measured measured;
    struct error err;
    (void)state;
    open_all(&f);
    assert_int_equal(measure_team(&f.run, &f.tasks[0].graph, one, TINY_BATCH, 0.0, &measured, &err), ST_OK);
    assert_int_equal(runs[0], 0); /* that one's learning rate is 0, and it is not counted */
    assert_true(measured.images_per_second > 0.0 && measured.evaluation_seconds > 0.0);
    close_all(&f);
}

/* Each device trains the same steps, and no other device any. */
static void test_beside(void **state)
{
    static struct fixture f;
    static const int32_t devices[DEVICES] = {0, 1};
    double one, both;
    struct error err;
    (void)state;
    open_all(&f);
    const struct graph *graph = &f.tasks[0].graph;
    assert_int_equal(measure_beside(&f.run, graph, devices, 1, TINY_BATCH, &one, &err), ST_OK);
    assert_true(one > 0.0);
    assert_true(runs[0] > 0);
    assert_int_equal(runs[1], 0);
    const int before = runs[0];
    assert_int_equal(measure_beside(&f.run, graph, devices, DEVICES, TINY_BATCH, &both, &err), ST_OK);
    assert_true(both > 0.0);
    assert_int_equal(runs[0], 2 * before);
    assert_int_equal(runs[1], before);
    close_all(&f);
}

static void test_no_room(void **state)
{
    static struct fixture f;
    static const int32_t devices[DEVICES] = {0, 1};
    const struct team one = {0, 1};
    struct measured measured;
    double both;
    struct error err;
    (void)state;
    open_all(&f);
    f.run.device_info.memory_free = 1000;
    assert_int_equal(measure_team(&f.run, &f.tasks[0].graph, one, TINY_BATCH, INFINITY, &measured, &err),
                     ST_MEMORY);
    assert_int_equal(measure_beside(&f.run, &f.tasks[0].graph, devices, DEVICES, TINY_BATCH, &both, &err),
                     ST_MEMORY);
    assert_int_equal(runs[0] + runs[1], 0);
    close_all(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_teams),
        cmocka_unit_test(test_no_time),
        cmocka_unit_test(test_beside),
        cmocka_unit_test(test_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
