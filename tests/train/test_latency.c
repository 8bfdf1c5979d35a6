/* Latency: networks are measured on the reference and the CPU device, and what a device can't do is left out. */
#include "host/train/latency.h"

#include "host/net/start.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { SIDE = 8, CLASSES = 3, NETWORKS = 22 };

static const struct shape IMAGE = {0, 1, SIDE, SIDE};

static int prepared;
static enum status prepares; /* what a device says from the second network on */

static enum status failing_prepare(struct device *device, const struct program *program,
                                   struct device_program **made, struct error *err)
{
    return prepared++ == 0 || prepares == ST_OK ? cpu_device_ops.program_prepare(device, program, made, err)
                                                : error_set(err, prepares, "the test's");
}

static void make(struct graph *graph)
{
    struct error err;
    assert_int_equal(start_make(graph, "lean", 8, IMAGE, CLASSES, &err), ST_OK);
}

static void test_measure(void **state)
{
    const struct device_ops *const devices[] = {&ref_device_ops, &cpu_device_ops};
    struct graph graph;
    (void)state;
    make(&graph);
    for (int k = 0; k < 2; k++) {
        struct latency_device device;
        struct error err;
        double seconds = 0.0;
        assert_int_equal(latency_open(&device, devices[k], IMAGE, CLASSES, &err), ST_OK);
        assert_int_equal(device.info.threads, 1);
        assert_int_equal(latency_measure(&device, &graph, &seconds, &err), ST_OK);
        assert_true(seconds > 0.0 && isfinite(seconds));
        latency_close(&device);
        assert_null(device.handle);
    }
    graph_free(&graph);
}

static enum status calibrate(enum status says, struct latency_rates *found)
{
    struct device_ops ops = cpu_device_ops;
    struct latency_device device;
    struct graph graph;
    struct error err;
    ops.program_prepare = failing_prepare;
    prepares = says;
    prepared = 0;
    make(&graph);
    assert_int_equal(latency_open(&device, &ops, IMAGE, CLASSES, &err), ST_OK);
    const enum status st = latency_calibrate(&device, &graph, 1, found, &err);
    latency_close(&device);
    graph_free(&graph);
    return st;
}

static void test_calibrate(void **state)
{
    struct latency_rates found;
    (void)state;
    assert_int_equal(calibrate(ST_OK, &found), ST_OK);
    assert_int_equal(found.networks, NETWORKS + 1);
    assert_true(found.error >= 0.0 && isfinite(found.error));
    assert_int_equal(found.rates.batch, 1);
    assert_true(found.rates.seconds[COST_ORTHOGONAL] == 0.0 && found.rates.seconds[COST_DROPOUT] == 0.0);
    assert_int_equal(calibrate(ST_UNSUPPORTED, &found), ST_OK);
    assert_int_equal(found.networks, 1);
    assert_int_equal(calibrate(ST_DEVICE, &found), ST_DEVICE);
}

/* Wider networks and larger images take longer, whatever the machine. */
static void test_usual_rates(void **state)
{
    const struct cost_rates rates = latency_usual_rates();
    double before = 0.0;
    (void)state;
    for (int32_t width = 8; width <= 64; width *= 2) {
        struct graph graph;
        struct error err;
        assert_int_equal(start_make(&graph, "air", width, IMAGE, CLASSES, &err), ST_OK);
        const double seconds = cost_seconds(&graph, &rates);
        assert_true(seconds > 1.5 * before);
        /* what cost_of_graph counts takes at least as long as by the processor's operations */
        assert_true(seconds > 0.8 * cost_of_graph(&graph).forward_flops / 2.5e10);
        before = seconds;
        graph_free(&graph);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_measure), cmocka_unit_test(test_calibrate),
                                       cmocka_unit_test(test_usual_rates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
