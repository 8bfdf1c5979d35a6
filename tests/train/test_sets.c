/* Trainings of images with several labels: that they learn, go on bit by bit, are the same on several devices, and that
 * what is made beside a training (losses of images, children, step times) knows sets as well. */
#include "host/train/calibration.h"
#include "host/train/inherit.h"
#include "tests/support/cpu_compare.h"
#include "tests/support/crowd.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct device_ops *const DEVICES[] = {&ref_device_ops, &cpu_device_ops};
enum { DEVICE_COUNT = 2, STEPS_AN_EPOCH = TINY_TRAIN / TINY_BATCH };

static char checkpoint[64]; /* a path of this process; set by main */

static void demand(enum status st, const struct error *err)
{
    if (st != ST_OK)
        fail_msg("%s", err->message);
}

static float *values_of(struct trainer *trainer)
{
    struct error err;
    float *values = malloc(trainer_weights(trainer)->total * sizeof(*values));
    assert_non_null(values);
    demand(trainer_values(trainer, values, &err), &err);
    return values;
}

/* To every set exactly right, with all that a job can ask of the loss and with none of it. */
static void learns(const struct device_ops *ops, enum device_precision precision)
{
    for (int with = 0; with < 2; with++) {
        struct tiny_task task;
        struct trainer_result before, after;
        struct error err;
        tiny_task_open_sets(&task, ops, 0, precision, true);
        struct trainer_settings settings = tiny_task_settings();
        settings.schedule.peak = 0.05;
        settings.label_smoothing = with ? 0.05f : 0.0f;
        settings.focal = with ? 1.0f : 0.0f;
        settings.average = with ? 0.9f : 0.0f;
        struct trainer *trainer = tiny_task_trainer(&task, &settings);
        demand(trainer_evaluate(trainer, task.trainer_device.validation, TINY_VALIDATION, &before, &err),
               &err);
        demand(crowd_train_steps(trainer, 40 * STEPS_AN_EPOCH, 0, checkpoint, &after, &err), &err);
        assert_true(before.accuracy <= 0.4);
        if (after.accuracy < 1.0)
            fail_msg("%s, %d: %g of the sets are right, expected all", ops->kind, with, after.accuracy);
        assert_true(after.loss < 0.25 * before.loss);
        trainer_close(trainer);
        tiny_task_close(&task);
    }
}

static void test_learns(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICE_COUNT; d++)
        learns(DEVICES[d], PRECISION_FP32);
}

static void test_learns_in_bf16(void **state)
{
    (void)state;
    cpu_bf16_or_skip();
    learns(&cpu_device_ops, PRECISION_BF16);
}

/* In the middle of an epoch, and at its edge. */
static void test_goes_on_bit_by_bit(void **state)
{
    enum { STEPS = 3 * STEPS_AN_EPOCH + 1 };
    static const uint32_t stops[] = {1, STEPS_AN_EPOCH, 2 * STEPS_AN_EPOCH + 2};
    struct tiny_task task;
    struct trainer_result expected, found;
    struct error err;
    uint64_t note;
    (void)state;
    tiny_task_open_sets(&task, &cpu_device_ops, 0, PRECISION_FP32, true);
    struct trainer_settings settings = tiny_task_settings();
    settings.augment = (struct augment){.translate = 1, .cutout = 2};
    settings.focal = 0.5f;
    settings.average = 0.9f;
    struct trainer *undisturbed = tiny_task_trainer(&task, &settings);
    const size_t bytes = trainer_weights(undisturbed)->total * sizeof(float);
    demand(crowd_train_steps(undisturbed, STEPS, 0, checkpoint, &expected, &err), &err);
    float *whole = values_of(undisturbed);
    for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
        struct trainer *stopped = tiny_task_trainer(&task, &settings);
        assert_int_equal(crowd_train_steps(stopped, STEPS, stops[i], checkpoint, &found, &err),
                         ST_INTERRUPTED);
        trainer_close(stopped);
        struct trainer *restored = tiny_task_trainer(&task, &settings);
        demand(trainer_restore(restored, checkpoint, &note, &err), &err);
        demand(crowd_train_steps(restored, STEPS, 0, checkpoint, &found, &err), &err);
        float *values = values_of(restored);
        assert_memory_equal(values, whole, bytes);
        assert_true(found.loss == expected.loss && found.accuracy == expected.accuracy);
        free(values);
        trainer_close(restored);
    }
    unlink(checkpoint);
    free(whole);
    trainer_close(undisturbed);
    tiny_task_close(&task);
}

/* Two devices share batches and evaluations: without batch norm weights are those of one but for rounding, and so is
 * what a test finds. */
static void test_members(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICE_COUNT; d++) {
        struct tiny_task tasks[2];
        struct trainer_device devices[2];
        struct error err;
        float answers[2][TINY_VALIDATION * TINY_CLASSES];
        int64_t counts[2][TINY_CLASSES * LABELS_COUNTS] = {{0}};
        uint8_t right[2][TINY_VALIDATION];
        struct trainer_test tests[2];
        struct trainer_result result;
        float *values[2];
        size_t total = 0;
        for (int32_t k = 0; k < 2; k++) {
            tiny_task_open_sets(&tasks[k], DEVICES[d], k, PRECISION_FP32, false);
            devices[k] = tasks[k].trainer_device;
        }
        float *fresh = tiny_task_weights(&tasks[0].graph, 1, NULL);
        for (int32_t count = 1; count <= 2; count++) {
            const struct trainer_settings settings = tiny_task_settings();
            struct trainer *trainer;
            size_t bytes;
            demand(trainer_open(devices, count, &tasks[0].graph, &settings, SIZE_MAX, &trainer, &bytes, &err),
                   &err);
            demand(trainer_load_values(trainer, fresh, &err), &err);
            demand(crowd_train_steps(trainer, 2 * STEPS_AN_EPOCH, 0, checkpoint, &result, &err), &err);
            values[count - 1] = values_of(trainer);
            total = trainer_weights(trainer)->total;
            tests[count - 1] = (struct trainer_test){.samples = devices[0].validation,
                                                     .count = TINY_VALIDATION,
                                                     .views = 3,
                                                     .classes = TINY_CLASSES,
                                                     .labels = tasks[0].labels,
                                                     .label_sets = tasks[0].label_sets,
                                                     .confusion = counts[count - 1],
                                                     .right = right[count - 1],
                                                     .answers = answers[count - 1]};
            demand(trainer_test(trainer, &tests[count - 1], &err), &err);
            trainer_close(trainer);
        }
        assert_memory_equal(right[0], right[1], sizeof(right[0]));
        assert_memory_equal(counts[0], counts[1], sizeof(counts[0]));
        assert_true(fabs(tests[0].result.loss - tests[1].result.loss) <= 1e-5 * tests[0].result.loss);
        for (size_t i = 0; i < total; i++)
            assert_true(fabsf(values[0][i] - values[1][i]) <= 2e-6f);
        free(values[0]);
        free(values[1]);
        for (int32_t k = 0; k < TINY_CLASSES; k++) {
            int64_t images = 0;
            for (int32_t c = 0; c < LABELS_COUNTS; c++)
                images += counts[0][k * LABELS_COUNTS + c];
            assert_int_equal(images, TINY_VALIDATION);
        }
        free(fresh);
        tiny_task_close(&tasks[0]);
        tiny_task_close(&tasks[1]);
    }
}

/* The losses of single images are those whose mean the validation tells; the answers' own, too. */
static void test_keeps_losses(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICE_COUNT; d++) {
        struct tiny_task task;
        struct trainer_result result;
        struct error err;
        float answers[TINY_VALIDATION * TINY_CLASSES];
        tiny_task_open_sets(&task, DEVICES[d], 0, PRECISION_FP32, true);
        struct trainer_settings settings = tiny_task_settings();
        settings.labels = task.labels;
        settings.focal = 2.0f; /* of the training alone */
        struct trainer *trainer = tiny_task_trainer(&task, &settings);
        demand(crowd_train_steps(trainer, STEPS_AN_EPOCH, 0, checkpoint, &result, &err), &err);
        struct trainer_test test = {.samples = task.trainer_device.validation,
                                    .count = TINY_VALIDATION,
                                    .views = 1,
                                    .classes = TINY_CLASSES,
                                    .labels = task.labels,
                                    .label_sets = task.label_sets,
                                    .answers = answers};
        demand(trainer_test(trainer, &test, &err), &err);
        const float *losses = trainer_losses(trainer);
        double sum = 0.0;
        for (int32_t i = 0; i < TINY_VALIDATION; i++) {
            const int32_t set = task.labels[test.samples[i]];
            double expected = 0.0;
            for (int32_t k = 0; k < TINY_CLASSES; k++) {
                const double p = (double)answers[i * TINY_CLASSES + k];
                expected -= log(set >> k & 1 ? p : 1.0 - p);
            }
            assert_true(fabs((double)losses[i] - expected) <= 1e-5 * fmax(expected, 1.0));
            sum += (double)losses[i];
        }
        assert_true(fabs(sum / TINY_VALIDATION - result.loss) <= 1e-5 * result.loss);
        trainer_close(trainer);
        tiny_task_close(&task);
    }
}

/* A child of such a network, its losses, and how long a step takes. */
static void test_what_else_is_lowered(void **state)
{
    static const struct morph morphs[] = {{.kind = MORPH_WIDEN, .a = 1, .amount = 8}};
    struct tiny_task task;
    struct device_weights *parent;
    struct weight_table table;
    struct inheritance inherited = {0};
    struct error err;
    double seconds;
    (void)state;
    tiny_task_open_sets(&task, &cpu_device_ops, 0, PRECISION_FP32, true);
    float *values = tiny_task_weights(&task.graph, 1, NULL);
    demand(weight_table_new(&table, &task.graph, &err), &err);
    demand(task.ops->weights_new(task.device, &table, 1, &parent, &err), &err);
    demand(task.ops->weights_upload(task.device, parent, SLOT_VALUE, values, &err), &err);
    const struct inherit_order order = {.device = &task.trainer_device,
                                        .batch = TINY_BATCH,
                                        .parent = &task.graph,
                                        .parent_weights = parent,
                                        .morphs = morphs,
                                        .morph_count = 1,
                                        .seed = 1};
    demand(inherit(&order, &inherited, &err), &err);
    assert_true(inherited.differences[0] <= INHERIT_TOLERANCE);
    const struct trainer_settings settings = tiny_task_settings();
    demand(calibration_step_seconds(&task.trainer_device, &task.graph, &settings, &seconds, &err), &err);
    assert_true(seconds > 0.0);
    inheritance_free(&task.trainer_device, &inherited);
    task.ops->weights_free(task.device, parent);
    weight_table_free(&table);
    free(values);
    tiny_task_close(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_learns_in_bf16),
        cmocka_unit_test(test_goes_on_bit_by_bit),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_keeps_losses),
        cmocka_unit_test(test_what_else_is_lowered),
    };
    snprintf(checkpoint, sizeof(checkpoint), "/tmp/nasrun-test-sets-%d.bin", (int)getpid());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
