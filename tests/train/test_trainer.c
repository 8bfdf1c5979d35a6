/* The trainer on the reference and the CPU device: that it learns, keeps its limits, goes on bit by bit from
 * a checkpoint, and tells a divergence. */
#include "host/base/clock.h"
#include "host/base/file.h"
#include "host/train/trainer_internal.h" /* the weights' slots */
#include "tests/support/cpu_compare.h"
#include "tests/support/tiny_task.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct device_ops *const DEVICES[] = {&ref_device_ops, &cpu_device_ops};
enum { DEVICE_COUNT = 2, MAX_EPOCHS = 64, STEPS_AN_EPOCH = TINY_TRAIN / TINY_BATCH };

static char checkpoint[64]; /* a path of this process; set by main */

/* What the events of one training said, and what they are to do. */
struct witness {
    struct trainer *trainer;
    uint32_t stop_at;    /* step at which a tick saves and stops; 0: never */
    bool evaluate;       /* ticks evaluate on the training samples */
    const char *held_at; /* where the checkpoint at the hold's end goes */
    uint32_t ticks, epochs, holds;
    struct trainer_epoch seen[MAX_EPOCHS];
};

static enum status on_epoch(void *context, const struct trainer_epoch *epoch, struct error *err)
{
    struct witness *witness = context;
    (void)err;
    if (witness->epochs < MAX_EPOCHS)
        witness->seen[witness->epochs] = *epoch;
    witness->epochs++;
    return ST_OK;
}

static enum status on_tick(void *context, const struct trainer_state *state, double progress,
                           struct error *err)
{
    struct witness *witness = context;
    struct trainer_result result;
    witness->ticks++;
    assert_true(progress >= 0.0 && progress < 1.0);
    if (witness->evaluate) {
        int32_t samples[TINY_VALIDATION];
        for (int32_t i = 0; i < TINY_VALIDATION; i++)
            samples[i] = TINY_TRAIN + i;
        assert_int_equal(trainer_evaluate(witness->trainer, samples, TINY_VALIDATION, &result, err), ST_OK);
    }
    if (witness->stop_at == 0 || state->step < witness->stop_at)
        return ST_OK;
    assert_int_equal(trainer_checkpoint(witness->trainer, checkpoint, 1000 + state->step, err), ST_OK);
    return error_set(err, ST_INTERRUPTED, "stopped at step %u", state->step);
}

static enum status on_held(void *context, struct error *err)
{
    struct witness *witness = context;
    witness->holds++;
    return trainer_checkpoint(witness->trainer, witness->held_at, 0, err);
}

static enum status train(struct witness *witness, struct trainer *trainer, uint32_t steps,
                         struct trainer_result *result, struct error *err)
{
    const struct trainer_limit limit = {.seconds = INFINITY, .steps = steps};
    const struct trainer_events events = {.context = witness,
                                          .on_epoch = on_epoch,
                                          .on_tick = on_tick,
                                          .on_held = witness->held_at != NULL ? on_held : NULL};
    witness->trainer = trainer;
    return trainer_run(trainer, limit, &events, result, err);
}

static float *values_of(struct trainer *trainer)
{
    struct error err;
    float *values = malloc(trainer_weights(trainer)->total * sizeof(*values));
    assert_non_null(values);
    assert_int_equal(trainer_values(trainer, values, &err), ST_OK);
    return values;
}

static void assert_same_values(struct trainer *a, struct trainer *b)
{
    float *first = values_of(a), *second = values_of(b);
    assert_memory_equal(first, second, trainer_weights(a)->total * sizeof(*first));
    free(first);
    free(second);
}

static void test_learns(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICE_COUNT; d++) {
        struct tiny_task task;
        struct witness witness = {0};
        struct trainer_result before, after;
        struct error err;
        tiny_task_open(&task, DEVICES[d], true);
        struct trainer_settings settings = tiny_task_settings();
        settings.augment = (struct augment){.translate = 1};
        settings.label_smoothing = 0.05f;
        struct trainer *trainer = tiny_task_trainer(&task, &settings);
        assert_int_equal(
            trainer_evaluate(trainer, task.trainer_device.validation, TINY_VALIDATION, &before, &err), ST_OK);
        assert_int_equal(train(&witness, trainer, 15 * STEPS_AN_EPOCH, &after, &err), ST_OK);
        assert_int_equal(witness.epochs, 15);
        const struct trainer_epoch *first = &witness.seen[0], *last = &witness.seen[14];
        assert_true(before.accuracy <= 0.6);
        assert_true(after.accuracy >= 0.95);
        assert_true(after.loss < 0.5 * before.loss);
        assert_true(last->train.loss < 0.6 * first->train.loss);
        assert_true(last->train.accuracy > first->train.accuracy);
        assert_true(last->validation.loss == after.loss && last->validation.accuracy == after.accuracy);
        assert_true(witness.ticks > 0);
        trainer_close(trainer);
        tiny_task_close(&task);
    }
}

/* Both devices draw the same numbers and compute the same function, so they train alike. */
static void test_devices_agree(void **state)
{
    struct witness witness[DEVICE_COUNT] = {0};
    struct error err;
    (void)state;
    for (int d = 0; d < DEVICE_COUNT; d++) {
        struct tiny_task task;
        struct trainer_result result;
        tiny_task_open(&task, DEVICES[d], true);
        struct trainer_settings settings = tiny_task_settings();
        settings.augment = (struct augment){.translate = 1, .flip = 1};
        struct trainer *trainer = tiny_task_trainer(&task, &settings);
        assert_int_equal(train(&witness[d], trainer, 3 * STEPS_AN_EPOCH, &result, &err), ST_OK);
        trainer_close(trainer);
        tiny_task_close(&task);
    }
    assert_int_equal(witness[0].epochs, witness[1].epochs);
    for (uint32_t i = 0; i < witness[0].epochs; i++) {
        const struct trainer_epoch *a = &witness[0].seen[i], *b = &witness[1].seen[i];
        assert_true(fabs(a->train.loss - b->train.loss) <= 1e-3 * a->train.loss);
        assert_true(fabs(a->validation.loss - b->validation.loss) <= 1e-3 * a->validation.loss);
    }
}

static void test_step_limits(void **state)
{
    static const uint32_t limits[] = {1, STEPS_AN_EPOCH - 1, STEPS_AN_EPOCH, STEPS_AN_EPOCH + 1, 17};
    (void)state;
    for (int d = 0; d < DEVICE_COUNT; d++) {
        struct tiny_task task;
        tiny_task_open(&task, DEVICES[d], true);
        const struct trainer_settings settings = tiny_task_settings();
        for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
            struct witness witness = {0};
            struct trainer_result result;
            struct error err;
            struct trainer *trainer = tiny_task_trainer(&task, &settings);
            uint32_t epochs = (limits[i] + STEPS_AN_EPOCH - 1) / STEPS_AN_EPOCH;
            assert_int_equal(train(&witness, trainer, limits[i], &result, &err), ST_OK);
            assert_int_equal(trainer_state(trainer)->step, limits[i]);
            assert_int_equal(witness.epochs, epochs);
            assert_int_equal(witness.seen[epochs - 1].step, limits[i]);
            assert_int_equal(witness.seen[epochs - 1].epoch, epochs);
            for (uint32_t e = 0; e + 1 < epochs; e++)
                assert_int_equal(witness.seen[e].step, (e + 1) * STEPS_AN_EPOCH);
            trainer_close(trainer);
        }
        tiny_task_close(&task);
    }
}

static void test_seconds_limit(void **state)
{
    struct tiny_task task;
    struct witness witness = {0};
    struct trainer_result result;
    struct error err;
    (void)state;
    tiny_task_open(&task, &cpu_device_ops, true);
    const struct trainer_settings settings = tiny_task_settings();
    struct trainer *trainer = tiny_task_trainer(&task, &settings);
    const struct trainer_limit limit = {.seconds = 0.05, .steps = UINT32_MAX};
    const struct trainer_events events = {
        .context = &witness, .on_epoch = on_epoch, .on_tick = on_tick, .tick_seconds = 10};
    double began = clock_seconds();
    enum status st = trainer_run(trainer, limit, &events, &result, &err);
    double took = clock_seconds() - began;
    assert_int_equal(st, ST_OK);
    assert_int_equal(witness.ticks, 0);
    assert_true(trainer_state(trainer)->step > 0);
    assert_true(took < 2.0); /* wide: the machine may be busy */
    assert_true(trainer_state(trainer)->seconds <= took);
    trainer_close(trainer);
    tiny_task_close(&task);
}

/* Where a validation is wanted after so long only, the last epoch alone is validated, and its line tells of all;
 * patience counts validations. The steps are the same. */
static void test_validates_now_and_then(void **state)
{
    enum { EPOCHS = 5, STEPS = EPOCHS * STEPS_AN_EPOCH };
    static const uint32_t limits[] = {STEPS, STEPS - 2};
    (void)state;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct tiny_task task;
        struct witness each = {0}, few = {0};
        struct trainer_result expected, found;
        struct error err;
        tiny_task_open(&task, &cpu_device_ops, true);
        struct trainer_settings settings = tiny_task_settings();
        settings.patience = 2;
        struct trainer *a = tiny_task_trainer(&task, &settings), *b = tiny_task_trainer(&task, &settings);
        const struct trainer_limit limit = {.seconds = 1e9, .steps = limits[i], .validation_seconds = 1e8};
        const struct trainer_events events = {
            .context = &few, .on_epoch = on_epoch, .on_tick = on_tick, .tick_seconds = 1e9};
        assert_int_equal(train(&each, a, limits[i], &expected, &err), ST_OK);
        assert_int_equal(trainer_run(b, limit, &events, &found, &err), ST_OK);
        assert_int_equal(each.epochs, EPOCHS);
        assert_int_equal(few.epochs, 1);
        assert_int_equal(few.seen[0].epoch, EPOCHS);
        assert_int_equal(few.seen[0].step, limits[i]);
        assert_int_equal(trainer_state(b)->stale, 0);
        assert_true(found.loss == expected.loss && found.accuracy == expected.accuracy);
        double mean = 0.0, steps_before = 0.0;
        for (uint32_t e = 0; e < EPOCHS; e++) {
            mean += each.seen[e].train.loss * (each.seen[e].step - steps_before) / limits[i];
            steps_before = each.seen[e].step;
        }
        assert_true(fabs(few.seen[0].train.loss - mean) <= 1e-6 * mean);
        assert_same_values(a, b);
        trainer_close(a);
        trainer_close(b);
        tiny_task_close(&task);
    }
}

static int binds; /* calls of counted_bind */

static enum status counted_bind(struct device *device, struct device_program *prepared,
                                const struct device_binding *binding, struct error *err)
{
    binds++;
    return cpu_device_ops.program_bind(device, prepared, binding, err);
}

/* Validation after validation the programs stay bound; other samples bind, and so does the way back from them. */
static void test_stays_bound(void **state)
{
    struct device_ops ops = cpu_device_ops;
    struct tiny_task task;
    struct witness witness = {0};
    struct trainer_result result, again;
    struct error err;
    (void)state;
    ops.program_bind = counted_bind;
    tiny_task_open(&task, &ops, true);
    const struct trainer_settings settings = tiny_task_settings();
    binds = 0;
    struct trainer *trainer = tiny_task_trainer(&task, &settings);
    assert_int_equal(binds, 2);
    assert_int_equal(train(&witness, trainer, 4 * STEPS_AN_EPOCH, &result, &err), ST_OK);
    assert_int_equal(witness.epochs, 4);
    assert_int_equal(binds, 2);
    assert_int_equal(trainer_evaluate(trainer, task.trainer_device.train, TINY_TRAIN, &again, &err), ST_OK);
    assert_int_equal(binds, 3);
    assert_true(again.loss != result.loss);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            trainer_evaluate(trainer, task.trainer_device.validation, TINY_VALIDATION, &again, &err), ST_OK);
        assert_int_equal(binds, 4);
        assert_true(again.loss == result.loss);
    }
    trainer_close(trainer);
    tiny_task_close(&task);
}

/* A checkpoint holds floats: exact for the CPU device, a rounding of the reference device's doubles. */
static void assert_alike(const struct device_ops *ops, double a, double b)
{
    if (ops == &ref_device_ops ? !(fabs(a - b) <= 1e-6 * fabs(a)) : !(a == b))
        fail_msg("%s: found %.17g, expected %.17g", ops->kind, a, b);
}

/* One training without and one with an interruption, for each optimizer and average, in the middle of an epoch and at
 * its edge. */
static void go_on(const struct device_ops *ops, enum device_precision precision, enum optimizer_kind kind,
                  enum job_averaging averaging, uint32_t stop_at)
{
    enum { STEPS = 4 * STEPS_AN_EPOCH + 2 };
    struct tiny_task task;
    struct witness whole = {0}, first = {.stop_at = stop_at}, second = {0};
    struct trainer_result expected, found;
    struct error err;
    uint64_t note = 0;
    uint32_t steps;

    tiny_task_open_in(&task, ops, precision, true);
    struct trainer_settings settings = tiny_task_settings();
    settings.optimizer.kind = kind;
    settings.augment = (struct augment){.translate = 1, .flip = 1, .cutout = 2};
    settings.averaging = averaging;
    settings.average = 0.9f;
    settings.schedule.warmup = 0.2;
    settings.patience = 50;
    if (kind == OPTIMIZER_ADAMW)
        settings.schedule.peak = 0.002;
    struct trainer *undisturbed = tiny_task_trainer(&task, &settings);
    assert_int_equal(train(&whole, undisturbed, STEPS, &expected, &err), ST_OK);

    struct trainer *stopped = tiny_task_trainer(&task, &settings);
    assert_int_equal(train(&first, stopped, STEPS, &found, &err), ST_INTERRUPTED);
    assert_int_equal(trainer_state(stopped)->step, stop_at);
    trainer_close(stopped);

    struct trainer *restored = tiny_task_trainer(&task, &settings);
    assert_int_equal(checkpoint_note(checkpoint, &note, &steps, &err), ST_OK);
    assert_int_equal(steps, stop_at);
    assert_int_equal(note, 1000 + stop_at);
    note = 0;
    assert_int_equal(trainer_restore(restored, checkpoint, &note, &err), ST_OK);
    assert_int_equal(note, 1000 + stop_at);
    assert_int_equal(trainer_state(restored)->step, stop_at);
    assert_int_equal(train(&second, restored, STEPS, &found, &err), ST_OK);

    assert_alike(ops, found.loss, expected.loss);
    assert_alike(ops, found.accuracy, expected.accuracy);
    assert_int_equal(first.epochs + second.epochs, whole.epochs);
    for (uint32_t i = 0; i < second.epochs; i++) {
        const struct trainer_epoch *a = &whole.seen[first.epochs + i], *b = &second.seen[i];
        assert_alike(ops, a->train.loss, b->train.loss);
        assert_alike(ops, a->train.accuracy, b->train.accuracy);
        assert_alike(ops, a->validation.loss, b->validation.loss);
        assert_true(a->learning_rate == b->learning_rate);
        assert_int_equal(a->step, b->step);
        assert_int_equal(a->epoch, b->epoch);
    }
    if (ops != &ref_device_ops)
        assert_same_values(undisturbed, restored);
    trainer_close(undisturbed);
    trainer_close(restored);
    tiny_task_close(&task);
    unlink(checkpoint);
}

static void test_goes_on_bit_by_bit(void **state)
{
    static const uint32_t stops[] = {1, STEPS_AN_EPOCH, STEPS_AN_EPOCH + 3};
    const enum device_precision fp32 = PRECISION_FP32;
    (void)state;
    for (int d = 0; d < DEVICE_COUNT; d++)
        for (int s = 0; s < 3; s++) {
            go_on(DEVICES[d], fp32, OPTIMIZER_SGD, JOB_AVERAGING_EMA, stops[s]);
            go_on(DEVICES[d], fp32, OPTIMIZER_SGD, JOB_AVERAGING_LOOK_AHEAD, stops[s]);
            go_on(DEVICES[d], fp32, OPTIMIZER_ADAMW, JOB_AVERAGING_EMA, stops[s]);
            go_on(DEVICES[d], fp32, OPTIMIZER_MUON, JOB_AVERAGING_LOOK_AHEAD, stops[s]);
        }
}

static void test_goes_on_bit_by_bit_in_bf16(void **state)
{
    (void)state;
    cpu_bf16_or_skip();
    go_on(&cpu_device_ops, PRECISION_BF16, OPTIMIZER_SGD, JOB_AVERAGING_EMA, STEPS_AN_EPOCH + 3);
    go_on(&cpu_device_ops, PRECISION_BF16, OPTIMIZER_MUON, JOB_AVERAGING_LOOK_AHEAD, STEPS_AN_EPOCH);
}

/* Values and average after `steps` of 20 steps. `average`: 0 for a training without one. */
static void train_ahead(const struct device_ops *ops, float average, uint32_t steps, float *values,
                        float *averages, size_t room)
{
    struct tiny_task task;
    struct trainer_result result;
    struct witness witness = {.stop_at = steps};
    struct error err;
    tiny_task_open(&task, ops, true);
    struct trainer_settings settings = tiny_task_settings();
    settings.averaging = JOB_AVERAGING_LOOK_AHEAD;
    settings.average = average;
    struct trainer *trainer = tiny_task_trainer(&task, &settings);
    assert_int_equal(trainer_weights(trainer)->total, room);
    if (steps > 0)
        assert_int_equal(train(&witness, trainer, 20, &result, &err), steps < 20 ? ST_INTERRUPTED : ST_OK);
    assert_int_equal(members_download(trainer, 0, SLOT_VALUE, values, &err), ST_OK);
    if (averages != NULL)
        assert_int_equal(members_download(trainer, 0, SLOT_AVERAGE, averages, &err), ST_OK);
    trainer_close(trainer);
    tiny_task_close(&task);
    unlink(checkpoint);
}

/* After each fifth step the training goes on from the average, which nothing else moves: 0.9^5 (progress)^3 of what it
 * was, and the rest of the values. */
static void test_looks_ahead(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICE_COUNT; d++) {
        struct tiny_task task;
        size_t total;
        tiny_task_open(&task, DEVICES[d], true);
        float *fresh = tiny_task_weights(&task.graph, 1, &total);
        tiny_task_close(&task);
        float *plain = malloc(total * sizeof(*plain)), *values = malloc(total * sizeof(*values));
        float *averages = malloc(total * sizeof(*averages)), *before = malloc(total * sizeof(*before));
        assert_true(plain != NULL && values != NULL && averages != NULL && before != NULL);

        /* Until then as without an average. */
        train_ahead(DEVICES[d], 0.0f, 4, plain, NULL, total);
        train_ahead(DEVICES[d], 0.9f, 4, values, averages, total);
        assert_memory_equal(values, plain, total * sizeof(*values));
        assert_memory_equal(averages, fresh, total * sizeof(*values));

        train_ahead(DEVICES[d], 0.0f, 5, plain, NULL, total);
        train_ahead(DEVICES[d], 0.9f, 5, values, averages, total);
        assert_memory_equal(values, averages, total * sizeof(*values));
        const double kept = pow(0.9, 5) * pow(4.0 / 20.0, 3);
        double moved = 0.0;
        for (size_t i = 0; i < total; i++) {
            const double expected = kept * (double)fresh[i] + (1.0 - kept) * (double)plain[i];
            assert_true(fabs((double)values[i] - expected) <= 1e-6 * (1.0 + fabs(expected)));
            moved = fmax(moved, fabs((double)values[i] - (double)plain[i]));
        }
        assert_true(moved > 1e-4);

        memcpy(before, averages, total * sizeof(*before));
        train_ahead(DEVICES[d], 0.9f, 9, values, averages, total);
        assert_memory_equal(averages, before, total * sizeof(*before));
        assert_memory_not_equal(values, averages, total * sizeof(*values));
        train_ahead(DEVICES[d], 0.9f, 20, values, averages, total);
        assert_memory_equal(values, averages, total * sizeof(*values));
        free(before);
        free(averages);
        free(values);
        free(plain);
        free(fresh);
    }
}

/* Kernel and scale of a frozen layer are to the last bit what they were, whichever average the training has. */
static void test_frozen_stays(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICE_COUNT; d++)
        for (int averaging = JOB_AVERAGING_EMA; averaging <= JOB_AVERAGING_LOOK_AHEAD; averaging++) {
            struct tiny_task task;
            struct trainer_result result;
            struct witness witness = {0};
            struct error err;
            tiny_task_open(&task, DEVICES[d], true);
            assert_int_equal(task.graph.layers[2].kind, LAYER_BATCH_NORM);
            task.graph.layers[1].frozen = task.graph.layers[2].frozen = true;
            task.graph.layers[1].bias = false;
            assert_int_equal(graph_infer(&task.graph, &err), ST_OK);
            struct trainer_settings settings = tiny_task_settings();
            settings.averaging = (enum job_averaging)averaging;
            settings.average = 0.93f;
            float *fresh = tiny_task_weights(&task.graph, 1, NULL);
            struct trainer *trainer = tiny_task_trainer(&task, &settings);
            assert_int_equal(train(&witness, trainer, 10 * STEPS_AN_EPOCH, &result, &err), ST_OK);
            float *values = values_of(trainer);
            const struct weight_table *table = trainer_weights(trainer);
            int32_t frozen = 0;
            for (int32_t t = 0; t < table->count; t++) {
                const struct weight_tensor *tensor = &table->tensors[t];
                const bool same = memcmp(values + tensor->offset, fresh + tensor->offset,
                                         tensor->count * sizeof(*values)) == 0;
                assert_int_equal(same, !tensor->trained && !weight_is_statistic(tensor->role));
                frozen += same;
            }
            assert_int_equal(frozen, 2);
            free(values);
            free(fresh);
            trainer_close(trainer);
            tiny_task_close(&task);
        }
}

/* Evaluating between two steps changes nothing of the training. */
static void test_evaluation_leaves_no_trace(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICE_COUNT; d++) {
        struct tiny_task task;
        struct witness plain = {0}, curious = {.evaluate = true};
        struct trainer_result expected, found;
        struct error err;
        tiny_task_open(&task, DEVICES[d], true);
        const struct trainer_settings settings = tiny_task_settings();
        struct trainer *a = tiny_task_trainer(&task, &settings), *b = tiny_task_trainer(&task, &settings);
        assert_int_equal(train(&plain, a, 14, &expected, &err), ST_OK);
        assert_int_equal(train(&curious, b, 14, &found, &err), ST_OK);
        assert_true(curious.ticks > 5);
        assert_true(found.loss == expected.loss);
        assert_true(curious.seen[1].train.loss == plain.seen[1].train.loss);
        assert_same_values(a, b);
        trainer_close(a);
        trainer_close(b);
        tiny_task_close(&task);
    }
}

static void test_confusion(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICE_COUNT; d++) {
        struct tiny_task task;
        struct witness witness = {0};
        struct trainer_result trained;
        struct error err;
        int64_t confusion[TINY_CLASSES * TINY_CLASSES] = {0}, right = 0;
        tiny_task_open(&task, DEVICES[d], true);
        const struct trainer_settings settings = tiny_task_settings();
        struct trainer *trainer = tiny_task_trainer(&task, &settings);
        assert_int_equal(train(&witness, trainer, 8, &trained, &err), ST_OK);
        struct trainer_test test = {.samples = task.trainer_device.validation,
                                    .count = TINY_VALIDATION,
                                    .views = 1,
                                    .classes = TINY_CLASSES,
                                    .labels = task.labels,
                                    .confusion = confusion};
        assert_int_equal(trainer_test(trainer, &test, &err), ST_OK);
        for (int32_t row = 0; row < TINY_CLASSES; row++) {
            int64_t sum = 0;
            for (int32_t column = 0; column < TINY_CLASSES; column++)
                sum += confusion[row * TINY_CLASSES + column];
            assert_int_equal(sum, TINY_VALIDATION / TINY_CLASSES); /* rows are the truth */
            right += confusion[row * TINY_CLASSES + row];
        }
        assert_true(test.result.accuracy == (double)right / TINY_VALIDATION);
        assert_true(test.result.loss == trained.loss && test.result.accuracy == trained.accuracy);
        assert_true(test.plain.loss == trained.loss && test.plain.accuracy == trained.accuracy);
        trainer_close(trainer);
        tiny_task_close(&task);
    }
}

static void test_divergence(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICE_COUNT; d++) {
        struct tiny_task task;
        struct witness witness = {0};
        struct trainer_result result;
        struct error err = {0};
        tiny_task_open(&task, DEVICES[d], false);
        struct trainer_settings settings = tiny_task_settings();
        settings.schedule.peak = 1e6;
        struct trainer *trainer = tiny_task_trainer(&task, &settings);
        assert_int_equal(train(&witness, trainer, 100 * STEPS_AN_EPOCH, &result, &err), ST_DIVERGED);
        assert_non_null(strstr(err.message, "finite"));
        trainer_close(trainer);
        tiny_task_close(&task);
    }
}

/* At a learning rate of 0 nothing gets better after the first epoch. */
static void test_patience(void **state)
{
    (void)state;
    for (int d = 0; d < DEVICE_COUNT; d++) {
        struct tiny_task task;
        struct witness witness = {0};
        struct trainer_result result;
        struct error err;
        tiny_task_open(&task, DEVICES[d], false);
        struct trainer_settings settings = tiny_task_settings();
        settings.schedule.peak = 0;
        settings.patience = 3;
        struct trainer *trainer = tiny_task_trainer(&task, &settings);
        assert_int_equal(train(&witness, trainer, 20 * STEPS_AN_EPOCH, &result, &err), ST_OK);
        assert_int_equal(witness.epochs, 4);
        assert_int_equal(trainer_state(trainer)->step, 4 * STEPS_AN_EPOCH);
        assert_true(result.loss == witness.seen[0].validation.loss);
        trainer_close(trainer);
        tiny_task_close(&task);
    }
}

/* Each choice of a job is what the training does. */
static void test_settings_of_job(void **state)
{
    struct job_train job = {.optimizer = JOB_OPTIMIZER_SGD,
                            .schedule = JOB_SCHEDULE_LINEAR,
                            .learning_rate = 0.1,
                            .averaging = JOB_AVERAGING_EMA,
                            .average = 0.998,
                            .bias_rate = 64.0,
                            .bias_decay = 0.25};
    struct trainer_settings settings;
    (void)state;
    trainer_settings_of(&job, 256, 7, &settings);
    assert_int_equal(settings.optimizer.kind, OPTIMIZER_SGD);
    assert_int_equal(settings.schedule.kind, JOB_SCHEDULE_LINEAR);
    assert_true(settings.schedule.peak == 0.1 * 256 / 128);
    assert_int_equal(settings.averaging, JOB_AVERAGING_EMA);
    assert_true(settings.average == 0.998f);
    assert_true(settings.optimizer.bias_rate == 64.0f && settings.optimizer.bias_decay == 0.25f);
    job.averaging = JOB_AVERAGING_LOOK_AHEAD;
    job.optimizer = JOB_OPTIMIZER_ADAMW;
    job.schedule = JOB_SCHEDULE_ONE_CYCLE;
    trainer_settings_of(&job, 128, 7, &settings);
    assert_int_equal(settings.averaging, JOB_AVERAGING_LOOK_AHEAD);
    assert_int_equal(settings.optimizer.kind, OPTIMIZER_ADAMW);
    assert_int_equal(settings.schedule.kind, JOB_SCHEDULE_ONE_CYCLE);
}

static void test_refusals(void **state)
{
    struct tiny_task task;
    struct trainer *trainer, *other;
    struct error err = {0};
    struct graph larger = {0};
    size_t bytes = 0, length;
    uint64_t note;
    uint32_t steps;
    char *data;
    (void)state;
    tiny_task_open(&task, &cpu_device_ops, true);
    struct trainer_settings settings = tiny_task_settings();

    assert_int_equal(
        trainer_open(&task.trainer_device, 1, &task.graph, &settings, 1000, &trainer, &bytes, &err),
        ST_MEMORY);
    assert_null(trainer);
    assert_true(bytes > 1000);
    settings.batch = TINY_TRAIN + 1;
    assert_int_equal(
        trainer_open(&task.trainer_device, 1, &task.graph, &settings, SIZE_MAX, &trainer, &bytes, &err),
        ST_RANGE);
    assert_null(trainer);

    settings = tiny_task_settings();
    trainer = tiny_task_trainer(&task, &settings);
    assert_int_equal(trainer_checkpoint(trainer, checkpoint, 5, &err), ST_OK);

    assert_int_equal(graph_copy(&larger, &task.graph, &err), ST_OK);
    larger.layers[1].out_channels = 16;
    assert_int_equal(graph_infer(&larger, &err), ST_OK);
    assert_int_equal(
        trainer_open(&task.trainer_device, 1, &larger, &settings, SIZE_MAX, &other, &bytes, &err), ST_OK);
    assert_int_equal(trainer_restore(other, checkpoint, &note, &err), ST_FORMAT);
    trainer_close(other);
    graph_free(&larger);

    /* any damaged byte is found, and so is a cut */
    assert_int_equal(file_read(checkpoint, &data, &length, &err), ST_OK);
    for (size_t at = 0; at < length; at += length / 40) {
        data[at] ^= 0x10;
        assert_int_equal(file_write_atomic(checkpoint, data, length, &err), ST_OK);
        assert_int_equal(checkpoint_note(checkpoint, &note, &steps, &err), ST_FORMAT);
        assert_int_equal(trainer_restore(trainer, checkpoint, &note, &err), ST_FORMAT);
        data[at] ^= 0x10;
    }
    /* so is what only a checksum that was made to fit lets through: where each stands is checkpoint.c's affair */
    static const struct {
        size_t at;
        uint32_t value;
    } forged[] = {{32, 0}, {32, 100000},    {36, 1}, {56, UINT32_MAX}, {56, TINY_TRAIN + 1},
                  {64, 2}, {68, UINT32_MAX}};
    for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
        uint32_t before, sum = 0;
        memcpy(&before, data + forged[i].at, sizeof(before));
        memcpy(data + forged[i].at, &forged[i].value, sizeof(before));
        sum = file_checksum(data, length - sizeof(sum));
        memcpy(data + length - sizeof(sum), &sum, sizeof(sum));
        assert_int_equal(file_write_atomic(checkpoint, data, length, &err), ST_OK);
        assert_int_equal(trainer_restore(trainer, checkpoint, &note, &err), ST_FORMAT);
        if (strstr(err.message, "found") == NULL)
            fail_msg("%s", err.message);
        memcpy(data + forged[i].at, &before, sizeof(before));
        sum = file_checksum(data, length - sizeof(sum));
        memcpy(data + length - sizeof(sum), &sum, sizeof(sum));
    }
    static const size_t kept[] = {0, 1, 8, 40, 1000};
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        assert_int_equal(file_write_atomic(checkpoint, data, kept[i], &err), ST_OK);
        assert_int_equal(trainer_restore(trainer, checkpoint, &note, &err), ST_FORMAT);
    }
    assert_int_equal(file_write_atomic(checkpoint, data, length, &err), ST_OK);
    assert_int_equal(trainer_restore(trainer, checkpoint, &note, &err), ST_OK);
    unlink(checkpoint);
    assert_int_equal(trainer_restore(trainer, checkpoint, &note, &err), ST_IO);
    free(data);
    trainer_close(trainer);
    tiny_task_close(&task);
}

/* A training of `steps` at the peak and `more` in which the rate falls, from fresh weights or from where another one
 * stood when its rate had held; it leaves the same there. */
static void hold(const struct tiny_task *task, const struct trainer_settings *settings, uint32_t steps,
                 uint32_t more, const char *from, const char *to)
{
    struct trainer_settings holds = *settings;
    struct witness witness = {.held_at = to};
    struct trainer_result result;
    struct trainer_past past;
    struct error err;
    holds.schedule.hold = (double)steps / (steps + more);
    struct trainer *trainer = tiny_task_trainer(task, &holds);
    uint32_t before = 0;
    if (from != NULL) {
        assert_int_equal(trainer_past_read(&past, from, trainer_weights(trainer), &err), ST_OK);
        assert_int_equal(trainer_go_on(trainer, &past, &err), ST_OK);
        before = past.state.step;
        trainer_past_free(&past);
    }
    assert_int_equal(train(&witness, trainer, steps + more, &result, &err), ST_OK);
    assert_int_equal(witness.holds, 1);
    assert_int_equal(trainer_state(trainer)->step, before + steps + more);
    assert_int_equal(trainer_state(trainer)->begun, before);
    for (uint32_t i = 0; i < witness.epochs && more == 0; i++)
        assert_true(witness.seen[i].learning_rate == settings->schedule.peak);
    if (more > 0)
        assert_true(witness.seen[witness.epochs - 1].learning_rate < 0.9 * settings->schedule.peak);
    trainer_close(trainer);
}

/* A training at the peak is the same bit by bit in one piece and in three, each of which goes on from where the rate of
 * the one before had held, though that one let it fall afterwards: weights, averages, momentum, place in the epoch.
 * In the middle of epochs and at their edges. */
static void test_goes_on_from_another(void **state)
{
    static const struct {
        enum optimizer_kind kind;
        enum job_averaging averaging;
        uint32_t lengths[3];
    } cases[] = {
        {OPTIMIZER_SGD, JOB_AVERAGING_EMA, {STEPS_AN_EPOCH + 2, 5, 3}},
        {OPTIMIZER_SGD, JOB_AVERAGING_LOOK_AHEAD, {STEPS_AN_EPOCH, STEPS_AN_EPOCH, 7}},
        {OPTIMIZER_ADAMW, JOB_AVERAGING_EMA, {4, STEPS_AN_EPOCH - 4, 3}},
        {OPTIMIZER_MUON, JOB_AVERAGING_LOOK_AHEAD, {7, 1, 9}},
    };
    char one[80], parts[3][80];
    (void)state;
    snprintf(one, sizeof(one), "%s.one", checkpoint);
    for (int i = 0; i < 3; i++)
        snprintf(parts[i], sizeof(parts[i]), "%s.%d", checkpoint, i);
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        const uint32_t *lengths = cases[c].lengths;
        struct tiny_task task;
        struct trainer_past whole, pieces;
        struct error err;
        tiny_task_open(&task, &cpu_device_ops, true);
        struct trainer_settings settings = tiny_task_settings();
        settings.augment = (struct augment){.translate = 1, .flip = 1, .cutout = 2};
        settings.optimizer.kind = cases[c].kind;
        settings.averaging = cases[c].averaging;
        settings.average = 0.9f;
        hold(&task, &settings, lengths[0] + lengths[1] + lengths[2], 0, NULL, one);
        hold(&task, &settings, lengths[0], 0, NULL, parts[0]);
        hold(&task, &settings, lengths[1], 4, parts[0], parts[1]);
        hold(&task, &settings, lengths[2], 2, parts[1], parts[2]);

        struct trainer *trainer = tiny_task_trainer(&task, &settings);
        const struct weight_table *table = trainer_weights(trainer);
        assert_int_equal(trainer_past_read(&whole, one, table, &err), ST_OK);
        assert_int_equal(trainer_past_read(&pieces, parts[2], table, &err), ST_OK);
        assert_int_equal(whole.state.step, lengths[0] + lengths[1] + lengths[2]);
        assert_int_equal(pieces.state.step, whole.state.step);
        assert_int_equal(pieces.state.epoch * TINY_TRAIN + pieces.state.position,
                         whole.state.epoch * TINY_TRAIN + whole.state.position);
        assert_int_equal(whole.slots, cases[c].kind == OPTIMIZER_ADAMW ? SLOT_SECOND + 1 : SLOT_FIRST + 1);
        assert_int_equal(pieces.slots, whole.slots);
        for (int32_t slot = 0; slot < whole.slots; slot++)
            assert_memory_equal(pieces.values[slot], whole.values[slot], table->total * sizeof(float));
        trainer_past_free(&whole);
        trainer_past_free(&pieces);
        trainer_close(trainer);
        tiny_task_close(&task);
    }
    unlink(one);
    for (int i = 0; i < 3; i++)
        unlink(parts[i]);
}

/* A past of another network is refused, and one that is damaged. */
static void test_other_pasts_are_refused(void **state)
{
    struct tiny_task task;
    struct trainer_past past;
    struct error err;
    (void)state;
    tiny_task_open(&task, &cpu_device_ops, true);
    struct trainer_settings settings = tiny_task_settings();
    struct trainer *trainer = tiny_task_trainer(&task, &settings);
    struct weight_table other = *trainer_weights(trainer);
    other.total++;
    assert_int_equal(trainer_checkpoint(trainer, checkpoint, 0, &err), ST_OK);
    assert_int_equal(trainer_past_read(&past, checkpoint, &other, &err), ST_FORMAT);
    trainer_past_free(&past);
    assert_int_equal(truncate(checkpoint, 100), 0);
    assert_int_equal(trainer_past_read(&past, checkpoint, trainer_weights(trainer), &err), ST_FORMAT);
    trainer_past_free(&past);
    trainer_close(trainer);
    tiny_task_close(&task);
    unlink(checkpoint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on_from_another),
        cmocka_unit_test(test_other_pasts_are_refused),
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_devices_agree),
        cmocka_unit_test(test_step_limits),
        cmocka_unit_test(test_seconds_limit),
        cmocka_unit_test(test_validates_now_and_then),
        cmocka_unit_test(test_stays_bound),
        cmocka_unit_test(test_goes_on_bit_by_bit),
        cmocka_unit_test(test_goes_on_bit_by_bit_in_bf16),
        cmocka_unit_test(test_looks_ahead),
        cmocka_unit_test(test_frozen_stays),
        cmocka_unit_test(test_evaluation_leaves_no_trace),
        cmocka_unit_test(test_confusion),
        cmocka_unit_test(test_divergence),
        cmocka_unit_test(test_patience),
        cmocka_unit_test(test_settings_of_job),
        cmocka_unit_test(test_refusals),
    };
    snprintf(checkpoint, sizeof(checkpoint), "/tmp/nasrun-checkpoint-%ld", (long)getpid());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
