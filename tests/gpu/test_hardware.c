/* A GPU through the plug-in named by NASRUN_PLUGIN, as nasrun uses it: what can be seen from outside of it. Every operation in
 * every precision beside the reference, evaluations, trainings, repetition, resumption, several GPUs. tests/gpu/hardware.sh runs it on the
 * hardware or on the emulated GPU. */
#include "host/run/plugin.h"
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

/* ---- operations ---- */

static void compare_bf16(const struct device_case *c, struct device_tally *tally)
{
    device_compare(&(struct device_under_test){.ops = gpu_ops(), PRECISION_BF16, .rounding = 0x1p-8}, c,
                   tally);
}

static void compare_half(const struct device_case *c, struct device_tally *tally)
{
    const struct device_under_test device = {gpu_ops(), PRECISION_FP16, 0x1p-11, 0x1p-25, NULL, NULL};
    device_compare(&device, c, tally);
}

static void compare_tf32(const struct device_case *c, struct device_tally *tally)
{
    device_compare(&(struct device_under_test){.ops = gpu_ops(), PRECISION_TF32, .rounding = 0x1p-11}, c,
                   tally);
}

static void compare_float(const struct device_case *c, struct device_tally *tally)
{
    device_compare(&(struct device_under_test){.ops = gpu_ops(), PRECISION_FP32}, c, tally);
}

/* GPUs before Ampere have neither bf16 nor tf32. */
static void skip_without(enum device_precision precision)
{
    struct device *device = NULL;
    struct error err;
    enum status st = gpu_ops()->open(&(struct device_options){.precision = precision}, &device, &err);
    if (st == ST_OK)
        gpu_ops()->close(device);
    else if (err.status == ST_UNSUPPORTED) {
        print_message("skipped: %s\n", err.message);
        skip();
    } else
        fail_msg("%s", err.message);
}

static void operations_in(enum device_precision precision, device_case_compare *compare)
{
    skip_without(precision);
    device_cases_random_graphs(GRAPHS, compare);
    device_cases_convolutions(CONVOLUTIONS, compare);
    device_cases_dense(compare);
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

static void evaluations_in(enum device_precision precision, double rounding)
{
    skip_without(precision);
    evaluation_check(gpu_ops(), precision, rounding, NULL);
}

static void evaluations_in_bf16(void **state)
{
    (void)state;
    evaluations_in(PRECISION_BF16, 0x1p-8);
}

static void evaluations_in_half(void **state)
{
    (void)state;
    evaluations_in(PRECISION_FP16, 0x1p-11);
}

static void evaluations_in_float(void **state)
{
    (void)state;
    evaluations_in(PRECISION_FP32, 0x1p-24);
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
    snprintf(path, sizeof path, "/tmp/nasrun-hardware-%d.bin", (int)getpid());
    crowd_open(&crowd, gpu_ops(), devices, true);
    float *first = crowd_weights_after(&crowd, &expected, &total);
    float *again = crowd_weights_after(&crowd, &found, &total);
    assert_memory_equal(again, first, total * sizeof *first);
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
    assert_memory_equal(again, first, total * sizeof *first);
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
    if (path != NULL && plugin_open_file(&gpu, path, &err) == ST_OK)
        return 0;
    print_error("%s\n", path != NULL ? err.message : "NASRUN_PLUGIN names no plug-in");
    return -1;
}

static int close_plugin(void **state)
{
    (void)state;
    plugin_close(&gpu);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_in_bf16),   cmocka_unit_test(operations_in_half),
        cmocka_unit_test(operations_in_tf32),   cmocka_unit_test(operations_in_float),
        cmocka_unit_test(evaluations_in_bf16),  cmocka_unit_test(evaluations_in_half),
        cmocka_unit_test(evaluations_in_float), cmocka_unit_test(trains_like_the_reference),
        cmocka_unit_test(again_and_resumed),    cmocka_unit_test(several_gpus),
    };
    return cmocka_run_group_tests(tests, open_plugin, close_plugin);
}
