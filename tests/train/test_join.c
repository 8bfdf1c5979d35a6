/* The last part of a training, in which the validation images are trained on too: when it begins, what is reported, and
 * that a training goes on bit by bit from a checkpoint before, at and behind its beginning. */
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

/* Eight epochs' steps: three quarters of them are six epochs. Then epochs have seven steps, for a quarter of the
 * validation images are kept out, and the last one is cut. */
enum {
    STEPS_BEFORE = TINY_TRAIN / TINY_BATCH,
    KEPT_OUT = TINY_VALIDATION / 4,
    STEPS_AFTER = (TINY_IMAGES - KEPT_OUT) / TINY_BATCH,
    STEPS = 8 * STEPS_BEFORE,
    JOINS = 6 * STEPS_BEFORE,
    EPOCHS = 6 + 2,
    MAX_EPOCHS = 32,
};

static char checkpoint[64]; /* a path of this process; set by main */

struct witness {
    struct trainer *trainer;
    uint32_t stop_at; /* step at which a tick saves and stops; 0: never */
    uint32_t epochs;
    struct trainer_epoch seen[MAX_EPOCHS], last, last_validated;
};

static enum status on_epoch(void *context, const struct trainer_epoch *epoch, struct error *err)
{
    struct witness *witness = context;
    (void)err;
    if (witness->epochs < MAX_EPOCHS)
        witness->seen[witness->epochs] = *epoch;
    witness->epochs++;
    witness->last = *epoch;
    if (!isnan(epoch->validation.loss))
        witness->last_validated = *epoch;
    return ST_OK;
}

static enum status on_tick(void *context, const struct trainer_state *state, double progress,
                           struct error *err)
{
    const struct witness *witness = context;
    (void)progress;
    if (witness->stop_at == 0 || state->step < witness->stop_at)
        return ST_OK;
    assert_int_equal(trainer_checkpoint(witness->trainer, checkpoint, 1, err), ST_OK);
    return error_set(err, ST_INTERRUPTED, "stopped at step %u", state->step);
}

static enum status train(struct witness *witness, struct trainer *trainer, struct trainer_limit limit,
                         struct trainer_result *result)
{
    const struct trainer_events events = {.context = witness, .on_epoch = on_epoch, .on_tick = on_tick};
    struct error err;
    witness->trainer = trainer;
    enum status st = trainer_run(trainer, limit, &events, result, &err);
    if (st != ST_OK && st != ST_INTERRUPTED)
        fail_msg("%s", err.message);
    return st;
}

static const struct trainer_limit whole = {.seconds = INFINITY, .steps = STEPS};

static struct trainer *open_on(const struct crowd *crowd, bool use_validation)
{
    struct trainer_settings settings = tiny_task_settings();
    struct trainer *trainer;
    struct error err;
    size_t bytes;
    settings.use_validation = use_validation;
    settings.augment = (struct augment){.translate = 1, .flip = 1};
    settings.average = 0.9f;
    if (trainer_open(crowd->devices, crowd->count, &crowd->tasks[0].graph, &settings, SIZE_MAX, &trainer,
                     &bytes, &err) != ST_OK)
        fail_msg("%s", err.message);
    float *values = tiny_task_weights(&crowd->tasks[0].graph, 1, NULL);
    assert_int_equal(trainer_load_values(trainer, values, &err), ST_OK);
    free(values);
    return trainer;
}

static float *values_of(struct trainer *trainer)
{
    struct error err;
    float *values = malloc(trainer_weights(trainer)->total * sizeof(*values));
    assert_non_null(values);
    assert_int_equal(trainer_values(trainer, values, &err), ST_OK);
    return values;
}

static void assert_values(struct trainer *trainer, const float *expected, bool same)
{
    float *values = values_of(trainer);
    const size_t bytes = trainer_weights(trainer)->total * sizeof(*values);
    assert_int_equal(memcmp(values, expected, bytes) == 0, same);
    free(values);
}

static void assert_same_values(struct trainer *a, struct trainer *b, bool same)
{
    float *values = values_of(a);
    assert_values(b, values, same);
    free(values);
}

static void assert_alike(const struct device_ops *ops, double a, double b)
{
    /* A checkpoint holds floats: exact for the CPU device, a rounding of the reference device's doubles. */
    if (isnan(a) != isnan(b) ||
        (!isnan(a) && (ops == &ref_device_ops ? !(fabs(a - b) <= 1e-6 * fabs(a)) : !(a == b))))
        fail_msg("%s: found %.17g, expected %.17g", ops->kind, a, b);
}

/* Until then nothing differs; from then on epochs are longer and not validated, and what was last found is reported. */
static void test_begins_at_an_epoch(void **state)
{
    (void)state;
    for (int d = 0; d < 2; d++) {
        struct crowd crowd;
        struct witness with = {0}, without = {0};
        struct trainer_result found, other;
        crowd_open(&crowd, DEVICES[d], 1, true);
        struct trainer *a = open_on(&crowd, true), *b = open_on(&crowd, false);
        assert_int_equal(train(&with, a, whole, &found), ST_OK);
        assert_int_equal(train(&without, b, whole, &other), ST_OK);
        assert_int_equal(trainer_state(a)->joined, JOINS);
        assert_int_equal(trainer_state(b)->joined, 0);
        assert_int_equal(with.epochs, EPOCHS);
        assert_int_equal(without.epochs, 8);
        for (int i = 0; i < EPOCHS; i++) {
            const struct trainer_epoch *seen = &with.seen[i];
            const bool joined = i >= 6;
            assert_int_equal(seen->epoch, i + 1);
            assert_int_equal(isnan(seen->validation.loss) && isnan(seen->validation.accuracy), joined);
            assert_int_equal(seen->validation_seconds > 0.0, !joined);
            if (!joined)
                assert_true(seen->train.loss == without.seen[i].train.loss &&
                            seen->validation.loss == without.seen[i].validation.loss);
        }
        assert_int_equal(with.seen[5].step, JOINS);
        assert_int_equal(with.seen[6].step, JOINS + STEPS_AFTER);
        assert_int_equal(with.seen[7].step, STEPS);
        assert_true(found.loss == with.seen[5].validation.loss);
        assert_true(found.accuracy == with.seen[5].validation.accuracy);
        assert_true(other.loss != found.loss);
        assert_same_values(a, b, false);
        trainer_close(a);
        trainer_close(b);
        crowd_close(&crowd);
    }
}

static int32_t bound[TINY_IMAGES], bound_count; /* what a training program was last bound to */

static enum status watched_bind(struct device *device, struct device_program *prepared,
                                const struct device_binding *binding, struct error *err)
{
    if (binding->shuffled) {
        bound_count = binding->sample_count;
        memcpy(bound, binding->samples, (size_t)bound_count * sizeof(*bound));
    }
    return cpu_device_ops.program_bind(device, prepared, binding, err);
}

static void test_which_images(void **state)
{
    struct device_ops ops = cpu_device_ops;
    struct crowd crowd;
    struct witness witness = {0};
    struct trainer_result result;
    (void)state;
    ops.program_bind = watched_bind;
    crowd_open(&crowd, &ops, 1, true);
    struct trainer *trainer = open_on(&crowd, true);
    assert_int_equal(bound_count, TINY_TRAIN);
    assert_int_equal(train(&witness, trainer, whole, &result), ST_OK);
    assert_int_equal(bound_count, TINY_IMAGES - KEPT_OUT);
    for (int32_t i = 0, at = 0; i < TINY_IMAGES; i++) /* the task's training images come first */
        if (i < TINY_TRAIN || (i - TINY_TRAIN) % 4 != 3)
            assert_int_equal(bound[at++], i);
    trainer_close(trainer);
    crowd_close(&crowd);
}

/* So many are kept out as is promised, and in each part of the list. */
static void test_kept_out(void **state)
{
    static const int32_t counts[][2] = {{0, 0},       {1, 0},       {3, 0},       {4, 1},       {43, 10},
                                        {4000, 1000}, {4003, 1000}, {6000, 1000}, {59999, 1000}};
    (void)state;
    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        const int32_t count = counts[c][0], expected = counts[c][1];
        int32_t found = 0, since = 0;
        assert_int_equal(trainer_kept_out_count(count), expected);
        for (int32_t i = 0; i < count; i++) {
            const bool out = trainer_keeps_out(count, i);
            since = out ? 0 : since + 1;
            assert_true(expected == 0 || since <= count / expected + 1);
            found += out;
        }
        assert_int_equal(found, expected);
    }
}

/* A training whose last quarter has no end of an epoch in it ends as if nothing had been asked. */
static void test_too_short(void **state)
{
    static const uint32_t steps[] = {1, STEPS_BEFORE, STEPS_BEFORE + 3};
    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        const struct trainer_limit limit = {.seconds = INFINITY, .steps = steps[i]};
        struct crowd crowd;
        struct witness with = {0}, without = {0};
        struct trainer_result found, expected;
        crowd_open(&crowd, &cpu_device_ops, 1, true);
        struct trainer *a = open_on(&crowd, true), *b = open_on(&crowd, false);
        assert_int_equal(train(&with, a, limit, &found), ST_OK);
        assert_int_equal(train(&without, b, limit, &expected), ST_OK);
        assert_int_equal(trainer_state(a)->joined, 0);
        assert_true(found.loss == expected.loss && found.accuracy == expected.accuracy);
        assert_same_values(a, b, true);
        trainer_close(a);
        trainer_close(b);
        crowd_close(&crowd);
    }
}

/* Where validations are seldom, there is one right before all the same. */
static void test_validates_before(void **state)
{
    const struct trainer_limit seldom = {.seconds = 1e9, .steps = STEPS, .validation_seconds = 1e8};
    struct crowd crowd;
    struct witness each = {0}, few = {0};
    struct trainer_result expected, found;
    (void)state;
    crowd_open(&crowd, &cpu_device_ops, 1, true);
    struct trainer *a = open_on(&crowd, true), *b = open_on(&crowd, true);
    assert_int_equal(train(&each, a, whole, &expected), ST_OK);
    assert_int_equal(train(&few, b, seldom, &found), ST_OK);
    assert_int_equal(few.epochs, 2);
    assert_int_equal(few.seen[0].step, JOINS);
    assert_int_equal(few.seen[1].step, STEPS);
    assert_true(isnan(few.seen[1].validation.loss));
    assert_true(found.loss == expected.loss && found.accuracy == expected.accuracy);
    assert_same_values(a, b, true);
    trainer_close(a);
    trainer_close(b);
    crowd_close(&crowd);
}

/* By the clock: hundreds of epochs, so that one ends in the last quarter. */
static void test_seconds(void **state)
{
    const struct trainer_limit limit = {.seconds = 1.0, .steps = UINT32_MAX};
    struct crowd crowd;
    struct witness witness = {0};
    struct trainer_result result;
    (void)state;
    crowd_open(&crowd, &cpu_device_ops, 1, true);
    struct trainer *trainer = open_on(&crowd, true);
    assert_int_equal(train(&witness, trainer, limit, &result), ST_OK);
    assert_int_equal(trainer_state(trainer)->joined, witness.last_validated.step);
    assert_true(witness.last.step > witness.last_validated.step && isnan(witness.last.validation.loss));
    assert_true(result.loss == witness.last_validated.validation.loss);
    assert_true(result.accuracy == witness.last_validated.validation.accuracy);
    trainer_close(trainer);
    crowd_close(&crowd);
}

static void go_on(const struct device_ops *ops, int32_t devices, uint32_t stop_at)
{
    struct crowd crowd;
    struct witness undisturbed = {0}, first = {.stop_at = stop_at}, second = {0};
    struct trainer_result expected, found;
    struct error err;
    uint64_t note;
    crowd_open(&crowd, ops, devices, true);
    struct trainer *a = open_on(&crowd, true);
    assert_int_equal(train(&undisturbed, a, whole, &expected), ST_OK);
    float *values = values_of(a);
    trainer_close(a); /* a device is in one group at a time */
    struct trainer *stopped = open_on(&crowd, true);
    assert_int_equal(train(&first, stopped, whole, &found), ST_INTERRUPTED);
    assert_int_equal(trainer_state(stopped)->joined, stop_at > JOINS ? JOINS : 0);
    trainer_close(stopped);

    struct trainer *b = open_on(&crowd, true);
    assert_int_equal(trainer_restore(b, checkpoint, &note, &err), ST_OK);
    assert_int_equal(trainer_state(b)->step, stop_at);
    assert_int_equal(train(&second, b, whole, &found), ST_OK);
    assert_alike(ops, found.loss, expected.loss);
    assert_alike(ops, found.accuracy, expected.accuracy);
    assert_int_equal(first.epochs + second.epochs, EPOCHS);
    for (uint32_t i = 0; i < second.epochs; i++) {
        const struct trainer_epoch *x = &undisturbed.seen[first.epochs + i], *y = &second.seen[i];
        assert_int_equal(x->step, y->step);
        assert_int_equal(x->epoch, y->epoch);
        assert_true(x->learning_rate == y->learning_rate);
        assert_alike(ops, y->train.loss, x->train.loss);
        assert_alike(ops, y->validation.loss, x->validation.loss);
    }
    if (ops != &ref_device_ops)
        assert_values(b, values, true);
    free(values);
    trainer_close(b);
    crowd_close(&crowd);
    unlink(checkpoint);
}

static void test_goes_on_bit_by_bit(void **state)
{
    static const uint32_t stops[] = {JOINS - 1, JOINS + 1, JOINS + STEPS_AFTER, STEPS - 1};
    (void)state;
    for (int d = 0; d < 2; d++)
        for (int32_t devices = 1; devices <= 2; devices++)
            for (size_t s = 0; s < sizeof(stops) / sizeof(stops[0]); s++)
                go_on(DEVICES[d], devices, stops[s]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_begins_at_an_epoch), cmocka_unit_test(test_which_images),
        cmocka_unit_test(test_kept_out),           cmocka_unit_test(test_too_short),
        cmocka_unit_test(test_validates_before),   cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_goes_on_bit_by_bit),
    };
    snprintf(checkpoint, sizeof(checkpoint), "/tmp/nasrun-join-%ld", (long)getpid());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
