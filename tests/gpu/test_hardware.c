/* A GPU through the plug-in that nasrun would take, or the one named by NASRUN_PLUGIN, as nasrun uses it: what can be
 * seen from outside of it. Every operation in every precision beside the reference, evaluations, trainings, repetition,
 * resumption, several GPUs. tests/gpu/hardware.sh runs it on the hardware or on the emulated GPU.
 *
 *     test_hardware [PATTERN]     only tests whose names match, with * and ?: "operations_in_*" */
#include "host/machine/plugin_load.h"
#include "tests/support/crowd.h"
#include "tests/support/device_cases.h"
#include "tests/support/device_evaluation.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { GRAPHS = 16, CONVOLUTIONS = 32, STOP_AT = 5 };

/* cmocka's cases of operations have no context. */
static struct plugin gpu;

static const struct device_ops *gpu_ops(void)
{
    return gpu.table->ops;
}

static enum status open_float(const struct device_options *options, struct device **device, struct error *err)
{
    struct device_options exact = *options;
    exact.precision = PRECISION_FP32;
    return gpu_ops()->open(&exact, device, err);
}

/* ---- devices ---- */

/* What each precision is compared with. Opened once, and without measuring: some two hundred graphs follow. */
static struct device_under_test devices[] = {
    [PRECISION_BF16] = {.precision = PRECISION_BF16, .rounding = 0x1p-8},
    [PRECISION_FP16] = {.precision = PRECISION_FP16, .rounding = 0x1p-11, .least = 0x1p-25},
    [PRECISION_TF32] = {.precision = PRECISION_TF32, .factors = 0x1p-10}, /* the tensor cores may cut off */
    [PRECISION_FP32] = {.precision = PRECISION_FP32},
};
enum { DEVICES = sizeof(devices) / sizeof(devices[0]) };

/* GPUs before Ampere have neither bf16 nor tf32. */
static struct device_under_test *open_or_skip(enum device_precision precision)
{
    struct device_under_test *device = &devices[precision];
    const struct device_options options = {.precision = precision, .untimed = true};
    struct error err;
    device->ops = gpu_ops();
    if (device->device != NULL || gpu_ops()->open(&options, &device->device, &err) == ST_OK)
        return device;
    if (err.status != ST_UNSUPPORTED)
        fail_msg("%s", err.message);
    print_message("skipped: %s\n", err.message);
    skip();
    return NULL;
}

static void close_devices(void)
{
    for (int i = 0; i < DEVICES; i++)
        if (devices[i].device != NULL)
            gpu_ops()->close(devices[i].device);
}

/* ---- operations ---- */

static void compare_bf16(const struct device_case *c, struct device_tally *tally)
{
    device_compare(&devices[PRECISION_BF16], c, tally);
}

static void compare_half(const struct device_case *c, struct device_tally *tally)
{
    device_compare(&devices[PRECISION_FP16], c, tally);
}

static void compare_tf32(const struct device_case *c, struct device_tally *tally)
{
    device_compare(&devices[PRECISION_TF32], c, tally);
}

static void compare_float(const struct device_case *c, struct device_tally *tally)
{
    device_compare(&devices[PRECISION_FP32], c, tally);
}

static void operations_in(enum device_precision precision, device_case_compare *compare)
{
    (void)open_or_skip(precision);
    device_cases_random_graphs(GRAPHS, compare);
    device_cases_convolutions(CONVOLUTIONS, compare);
    device_cases_dense(compare);
    device_cases_sets(compare);
}

static void operations_in_bf16(void **state)
{
    (void)state;
    operations_in(PRECISION_BF16, compare_bf16);
}

static void operations_in_half(void **state)
{
    (void)state;
    operations_in(PRECISION_FP16, compare_half);
}

static void operations_in_tf32(void **state)
{
    (void)state;
    operations_in(PRECISION_TF32, compare_tf32);
}

static void operations_in_float(void **state)
{
    (void)state;
    operations_in(PRECISION_FP32, compare_float);
}

/* ---- evaluations ---- */

static void evaluations_in_bf16(void **state)
{
    (void)state;
    evaluation_check(gpu_ops(), open_or_skip(PRECISION_BF16)->device, 0x1p-8, NULL);
}

static void evaluations_in_half(void **state)
{
    (void)state;
    evaluation_check(gpu_ops(), open_or_skip(PRECISION_FP16)->device, 0x1p-11, NULL);
}

static void evaluations_in_float(void **state)
{
    (void)state;
    evaluation_check(gpu_ops(), open_or_skip(PRECISION_FP32)->device, 0x1p-24, NULL);
}

/* ---- trainings ---- */

static void trains_like_the_reference(void **state)
{
    (void)state;
    struct trainer_result expected, found;
    struct crowd ref, device;
    size_t total;
    crowd_open(&ref, &ref_device_ops, 1, true);
    crowd_open(&device, gpu_ops(), 1, true);
    free(crowd_weights_after(&ref, &expected, &total));
    free(crowd_weights_after(&device, &found, &total));
    if (!(fabs(found.loss - expected.loss) <= 0.02 * expected.loss))
        fail_msg("the loss is %g, expected %g", found.loss, expected.loss);
    crowd_close(&device);
    crowd_close(&ref);
}

/* Trained again, and stopped and resumed: the same bits each time. */
static void again_and_resumed_on(int32_t devices)
{
    struct trainer_result expected, found;
    struct error err;
    struct crowd crowd;
    char path[64];
    uint64_t note;
    size_t total;
    snprintf(path, sizeof(path), "/tmp/nasrun-hardware-%d.bin", (int)getpid());
    crowd_open(&crowd, gpu_ops(), devices, true);
    float *first = crowd_weights_after(&crowd, &expected, &total);
    float *again = crowd_weights_after(&crowd, &found, &total);
    assert_memory_equal(again, first, total * sizeof(*first));
    assert_true(found.loss == expected.loss);

    struct trainer *trainer = crowd_trainer(&crowd, &err);
    assert_non_null(trainer);
    assert_int_equal(crowd_train(trainer, STOP_AT, path, &found, &err), ST_INTERRUPTED);
    trainer_close(trainer);
    trainer = crowd_trainer(&crowd, &err);
    assert_non_null(trainer);
    assert_int_equal(trainer_restore(trainer, path, &note, &err), ST_OK);
    assert_int_equal(crowd_train(trainer, 0, NULL, &found, &err), ST_OK);
    assert_int_equal(trainer_values(trainer, again, &err), ST_OK);
    assert_memory_equal(again, first, total * sizeof(*first));
    trainer_close(trainer);
    unlink(path);
    free(again);
    free(first);
    crowd_close(&crowd);
}

static void again_and_resumed(void **state)
{
    (void)state;
    again_and_resumed_on(1);
}

static void several_gpus(void **state)
{
    (void)state;
    if (gpu.count < 2) {
        print_message("skipped: one GPU here\n");
        skip();
    }
    struct device_ops exact = *gpu_ops();
    exact.open = open_float;
    crowd_same_as_one(&exact, gpu.count >= CROWD_MOST ? CROWD_MOST : 2, 1e-5);
    again_and_resumed_on(2);
}

/* ---- the plug-in ---- */

static int open_plugin(void **state)
{
    const char *path = getenv("NASRUN_PLUGIN");
    struct error err = {0};
    (void)state;
    if ((path != NULL ? plugin_open_file(&gpu, path, &err) : plugin_open(&gpu, &err)) == ST_OK)
        return 0;
    print_error("%s\n", err.message);
    return -1;
}

static int close_plugin(void **state)
{
    (void)state;
    close_devices();
    plugin_close(&gpu);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_in_bf16),   cmocka_unit_test(operations_in_half),
        cmocka_unit_test(operations_in_tf32),   cmocka_unit_test(operations_in_float),
        cmocka_unit_test(evaluations_in_bf16),  cmocka_unit_test(evaluations_in_half),
        cmocka_unit_test(evaluations_in_float), cmocka_unit_test(trains_like_the_reference),
        cmocka_unit_test(again_and_resumed),    cmocka_unit_test(several_gpus),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, open_plugin, close_plugin);
}
