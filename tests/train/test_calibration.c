/* Calibration on the CPU: what it measures, what it leaves out, and that it stops in time. */
#include "host/net/start.h"
#include "host/train/calibration.h"
#include "tests/support/tiny_task.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static int steps, prepared;
static enum status prepares; /* what a device says that can't */

static enum status counted_run(struct device *device, struct device_program *program, const struct step *step,
                               struct error *err)
{
    steps++;
    return cpu_device_ops.program_run(device, program, step, err);
}

static enum status failing_prepare(struct device *device, const struct program *program,
                                   struct device_program **made, struct error *err)
{
    prepared++;
    return prepares == ST_OK ? cpu_device_ops.program_prepare(device, program, made, err)
                             : error_set(err, prepares, "the test's");
}

struct fixture {
    struct device_ops ops;
    struct tiny_task task;
    struct calibration_setup setup;
};

/* No time limits it, however slow the machine is. */
static void open_all(struct fixture *f)
{
    *f = (struct fixture){.ops = cpu_device_ops};
    f->ops.program_run = counted_run;
    f->ops.program_prepare = failing_prepare;
    prepares = ST_OK;
    steps = prepared = 0;
    tiny_task_open(&f->task, &f->ops, true);
    f->setup = (struct calibration_setup){.device = f->task.trainer_device,
                                          .settings = tiny_task_settings(),
                                          .image = {0, 1, TINY_SIDE, TINY_SIDE},
                                          .classes = TINY_CLASSES,
                                          .seconds = INFINITY};
    f->setup.info.flops = 1e10;
    f->setup.info.bytes = 1e9;
}

static struct calibration measure(const struct fixture *f)
{
    struct calibration calibration;
    struct error err;
    if (calibration_measure(&f->setup, &calibration, &err) != ST_OK)
        fail_msg("%s", err.message);
    return calibration;
}

static void test_all(void **state)
{
    static const char *const starts[] = {"lean", "res9", "air", "air_deep", "cnn", "resnet", "densenet"};
    static struct fixture f;
    struct error err;
    (void)state;
    open_all(&f);
    const struct calibration calibration = measure(&f);
    assert_true(calibration.networks >= 22 && calibration.networks == prepared);
    assert_true(steps >= 2 * calibration.networks);
    assert_true(calibration.error >= 0.0 && calibration.seconds > 0.0);
    assert_int_equal(calibration.rates.batch, TINY_BATCH);
    for (int unit = 0; unit < COST_UNIT_COUNT; unit++)
        assert_true(calibration.rates.seconds[unit] >= 0.0 && isfinite(calibration.rates.seconds[unit]));
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        struct graph graph;
        assert_int_equal(start_make(&graph, starts[i], 0, f.setup.image, TINY_CLASSES, &err), ST_OK);
        assert_true(cost_seconds(&graph, &calibration.rates) > 0.0);
        graph_free(&graph);
    }
    /* The device is good for trainings as before. */
    const struct trainer_settings settings = tiny_task_settings();
    trainer_close(tiny_task_trainer(&f.task, &settings));
    tiny_task_close(&f.task);
}

static void check_device_alone(const struct fixture *f, const struct calibration *calibration)
{
    const struct cost_rates alone = cost_rates_of(1e10, 1e9);
    assert_int_equal(calibration->networks, 0);
    assert_int_equal(steps, 0);
    assert_true(isnan(calibration->error));
    assert_int_equal(calibration->rates.batch, 0);
    assert_true(cost_seconds(&f->task.graph, &calibration->rates) == cost_seconds(&f->task.graph, &alone));
}

/* Without time, and on a device on which a step would take most of it, nothing is run at all. */
static void test_no_time(void **state)
{
    static struct fixture f;
    (void)state;
    open_all(&f);
    f.setup.seconds = 0.0;
    struct calibration calibration = measure(&f);
    check_device_alone(&f, &calibration);
    assert_int_equal(prepared, 0);
    f.setup.seconds = 1.0;
    f.setup.info.flops = f.setup.info.bytes = 1e4;
    calibration = measure(&f);
    assert_int_equal(calibration.networks + steps + prepared, 0);
    tiny_task_close(&f.task);
}

/* A network that the device can't do is left out; what is wrong with the device itself is told. */
static void test_failures(void **state)
{
    static struct fixture f;
    struct calibration calibration;
    struct error err;
    (void)state;
    open_all(&f);
    prepares = ST_UNSUPPORTED;
    calibration = measure(&f);
    check_device_alone(&f, &calibration);
    assert_true(prepared >= 22);
    prepares = ST_MEMORY;
    calibration = measure(&f);
    check_device_alone(&f, &calibration);
    prepares = ST_DEVICE;
    assert_int_equal(calibration_measure(&f.setup, &calibration, &err), ST_DEVICE);
    tiny_task_close(&f.task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_no_time),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
