/* One network on several devices: the same as on one where nothing depends on a device's own rows, the same bits every
 * time, checkpoints, and what happens when a member fails or stays away. */
#include "host/base/barrier.h"
#include "host/base/clock.h"
#include "tests/support/crowd.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char checkpoint[64]; /* a path of this process; set by main */

static void test_same_as_one_ref(void **state)
{
    (void)state;
    crowd_same_as_one(&ref_device_ops, CROWD_MOST,
                      1.2e-7); /* doubles, rounded to float once at the end: one unit at 1 */
}

static void test_same_as_one_cpu(void **state)
{
    (void)state;
    crowd_same_as_one(&cpu_device_ops, CROWD_MOST, 2e-6);
}

static void test_same_bits(void **state)
{
    static const struct device_ops *const devices[] = {&ref_device_ops, &cpu_device_ops};
    (void)state;
    for (int d = 0; d < 2; d++) {
        struct crowd crowd;
        struct trainer_result first, second;
        size_t total;
        crowd_open(&crowd, devices[d], 2, true);
        float *a = crowd_weights_after(&crowd, &first, &total),
              *b = crowd_weights_after(&crowd, &second, &total);
        assert_memory_equal(a, b, total * sizeof(*a));
        assert_true(first.loss == second.loss && first.accuracy == second.accuracy);
        assert_true(first.loss < log(TINY_CLASSES)); /* better than guessing */
        free(a);
        free(b);
        crowd_close(&crowd);
    }
}

static void test_resume(void **state)
{
    struct crowd crowd;
    struct trainer_result expected, found;
    struct error err;
    uint64_t note;
    size_t total;
    (void)state;
    crowd_open(&crowd, &cpu_device_ops, 2, true);
    float *undisturbed = crowd_weights_after(&crowd, &expected, &total);
    for (uint32_t stop_at = 1; stop_at < CROWD_STEPS; stop_at += 5) {
        struct trainer *trainer = crowd_trainer(&crowd, &err);
        assert_int_equal(crowd_train(trainer, stop_at, checkpoint, &found, &err), ST_INTERRUPTED);
        trainer_close(trainer);
        trainer = crowd_trainer(&crowd, &err);
        assert_int_equal(trainer_restore(trainer, checkpoint, &note, &err), ST_OK);
        assert_int_equal(note, 7);
        assert_int_equal(crowd_train(trainer, 0, NULL, &found, &err), ST_OK);
        float *values = malloc(total * sizeof(*values));
        assert_non_null(values);
        assert_int_equal(trainer_values(trainer, values, &err), ST_OK);
        assert_memory_equal(values, undisturbed, total * sizeof(*values));
        assert_true(found.loss == expected.loss);
        free(values);
        trainer_close(trainer);
    }
    unlink(checkpoint);
    free(undisturbed);
    crowd_close(&crowd);
}

static void test_averages(void **state)
{
    (void)state;
    for (int32_t count = 2; count <= CROWD_MOST; count += 2) {
        crowd_averages(&ref_device_ops, count);
        crowd_averages(&cpu_device_ops, count);
    }
    crowd_averages_seldom(&ref_device_ops);
    crowd_averages_seldom(&cpu_device_ops);
}

static void test_odd_batch(void **state)
{
    struct crowd crowd;
    struct error err;
    (void)state;
    crowd_open(&crowd, &ref_device_ops, 3, false);
    assert_null(crowd_trainer(&crowd, &err));
    assert_string_equal(err.message, "train.batch: found 16, expected a multiple of the 3 devices");
    crowd_close(&crowd);
}

/* ---- a member that fails ---- */

static struct device *failing; /* of the test that runs; set before its threads begin */

static enum status failing_run(struct device *device, struct device_program *prepared,
                               const struct step *step, struct error *err)
{
    if (device == failing && step->number == 3)
        return error_set(err, ST_DEVICE, "the device caught fire");
    return cpu_device_ops.program_run(device, prepared, step, err);
}

static void test_failing_member(void **state)
{
    struct device_ops ops = cpu_device_ops;
    struct crowd crowd;
    struct trainer_result result;
    struct error err;
    (void)state;
    ops.program_run = failing_run;
    for (int32_t member = 0; member < 2; member++) {
        crowd_open(&crowd, &ops, 2, true);
        failing = crowd.devices[member].handle;
        struct trainer *trainer = crowd_trainer(&crowd, &err);
        double began = clock_seconds();
        assert_int_equal(crowd_train(trainer, 0, NULL, &result, &err), ST_DEVICE);
        assert_non_null(strstr(err.message, "caught fire"));
        assert_true(clock_seconds() - began < 60.0); /* did not wait for the timeout */
        trainer_close(trainer);
        crowd_close(&crowd);
    }
}

/* ---- barriers ---- */

static void test_absent_member(void **state)
{
    struct device_group *group;
    struct device *devices[3];
    struct error err;
    void *const *offers;
    (void)state;
    for (int32_t k = 0; k < 3; k++)
        assert_int_equal(ref_device_ops.open(&(struct device_options){.index = k}, &devices[k], &err), ST_OK);
    assert_int_equal(ref_device_ops.group_open(devices, 3, 0.05, &group, &err), ST_OK);
    assert_int_equal(ref_device_ops.group_check(group, &err), ST_OK);
    struct weight_table table = {0};
    struct device_weights *weights;
    assert_int_equal(ref_device_ops.weights_new(devices[1], &table, SLOT_GRADIENT, &weights, &err), ST_OK);
    assert_int_equal(ref_device_ops.group_broadcast(group, devices[1], weights, SLOT_VALUE, 0, &err),
                     ST_DEVICE);
    assert_string_equal(err.message,
                        "the group of devices is broken: broadcast: after 0.05 s there is still no "
                        "member 0 2 of 0 to 2");
    assert_int_equal(ref_device_ops.group_check(group, &err), ST_DEVICE);
    ref_device_ops.weights_free(devices[1], weights);
    ref_device_ops.group_close(group);
    for (int32_t k = 0; k < 3; k++)
        ref_device_ops.close(devices[k]);
    struct barrier *barrier;
    assert_int_equal(barrier_open(2, 60.0, &barrier, &err), ST_OK);
    barrier_abort(barrier, "enough");
    barrier_abort(barrier, "too late");
    assert_int_equal(barrier_wait(barrier, 0, "lunch", NULL, &offers, &err), ST_DEVICE);
    assert_string_equal(err.message, "the group of devices is broken: enough");
    barrier_close(barrier);
}

struct guest {
    struct barrier *barrier;
    int32_t number;
    bool good;
};

enum { GUESTS = 3, MEETINGS = 2000 };

static void *attend(void *context)
{
    struct guest *guest = context;
    struct error err;
    void *const *offers;
    int32_t round;
    guest->good = true;
    for (round = 0; round < MEETINGS && guest->good; round++) {
        int32_t mine[2] = {guest->number, round};
        guest->good = barrier_wait(guest->barrier, guest->number, "test", mine, &offers, &err) == ST_OK;
        for (int32_t k = 0; k < GUESTS && guest->good; k++) {
            const int32_t *theirs = offers[k];
            guest->good = theirs[0] == k && theirs[1] == round;
        }
        guest->good =
            guest->good && barrier_wait(guest->barrier, guest->number, "test", NULL, &offers, &err) == ST_OK;
    }
    return NULL;
}

static void test_meetings(void **state)
{
    struct guest guests[GUESTS];
    pthread_t threads[GUESTS];
    struct barrier *barrier;
    struct error err;
    (void)state;
    assert_int_equal(barrier_open(GUESTS, 60.0, &barrier, &err), ST_OK);
    for (int32_t k = 0; k < GUESTS; k++) {
        guests[k] = (struct guest){.barrier = barrier, .number = k};
        assert_int_equal(pthread_create(&threads[k], NULL, attend, &guests[k]), 0);
    }
    for (int32_t k = 0; k < GUESTS; k++) {
        pthread_join(threads[k], NULL);
        assert_true(guests[k].good);
    }
    barrier_close(barrier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_one_ref), cmocka_unit_test(test_same_as_one_cpu),
        cmocka_unit_test(test_same_bits),       cmocka_unit_test(test_resume),
        cmocka_unit_test(test_averages),        cmocka_unit_test(test_odd_batch),
        cmocka_unit_test(test_failing_member),  cmocka_unit_test(test_absent_member),
        cmocka_unit_test(test_meetings),
    };
    snprintf(checkpoint, sizeof(checkpoint), "/tmp/nasrun-members-%d.bin", (int)getpid());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
