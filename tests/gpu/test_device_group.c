/* Groups of emulated GPUs (emu/emu.h): one network on several of them, in every order that their streams leave open; what
 * happens when a member stays away, when NCCL tells of an error, and when any call fails. */
#include "cuda/cuda_internal.h"
#include "host/base/clock.h"
#include "tests/gpu/emu/emu_test.h"
#include "tests/support/crowd.h"
#include "tests/support/device_session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FLOAT_MAJOR = 7, ORDERS = 6 };

static void same_as_one(void **state)
{
    (void)state;
    emu.devices = CROWD_MOST;
    emu.major = FLOAT_MAJOR;
    crowd_same_as_one(&cuda_device_ops, CROWD_MOST, 2e-6); /* as the CPU: sums in float, in another order */
}

/* Replayed from a graph or queued one by one, whatever runs first: the same bits. */
static void same_bits_in_any_order(void **state)
{
    (void)state;
    emu.devices = 2;
    struct crowd crowd;
    struct trainer_result expected, found;
    size_t total;
    crowd_open(&crowd, &cuda_device_ops, 2, true);
    float *first = crowd_weights_after(&crowd, &expected, &total);
    assert_true(emu_count.collectives > 0);
    assert_true(emu_count.graph_launches > 0);
    for (emu.order = 1; emu.order <= ORDERS; emu.order++) {
        emu.refuse_recording = emu.order % 2;
        float *again = crowd_weights_after(&crowd, &found, &total);
        assert_memory_equal(first, again, total * sizeof *first);
        assert_true(found.loss == expected.loss);
        free(again);
    }
    free(first);
    crowd_close(&crowd);
}

/* Weights of two devices are the same bits without ever being sent. */
static void copies_and_broadcasts(void **state)
{
    (void)state;
    emu.devices = 2;
    struct error err;
    struct crowd crowd;
    struct device_weights *weights[2];
    struct weight_table table = {0};
    crowd_open(&crowd, &cuda_device_ops, 2, true);
    assert_int_equal(weight_table_new(&table, &crowd.tasks[0].graph, &err), ST_OK);
    float *values = malloc(table.total * sizeof *values), *back = malloc(table.total * sizeof *back);
    for (size_t i = 0; i < table.total; i++)
        values[i] = (float)i;
    for (int k = 0; k < 2; k++)
        assert_int_equal(
            cuda_device_ops.weights_new(crowd.places[k].device, &table, SLOT_GRADIENT, &weights[k], &err),
            ST_OK);
    assert_int_equal(
        cuda_device_ops.weights_upload(crowd.places[0].device, weights[0], SLOT_FIRST, values, &err), ST_OK);
    assert_int_equal(cuda_device_ops.weights_copy(crowd.places[1].device, weights[1], SLOT_VALUE,
                                                  crowd.places[0].device, weights[0], SLOT_FIRST, &err),
                     ST_OK);
    assert_int_equal(cuda_device_ops.weights_copy(crowd.places[1].device, weights[1], SLOT_AVERAGE,
                                                  crowd.places[1].device, weights[1], SLOT_VALUE, &err),
                     ST_OK);
    assert_int_equal(
        cuda_device_ops.weights_download(crowd.places[1].device, weights[1], SLOT_AVERAGE, back, &err),
        ST_OK);
    assert_memory_equal(values, back, table.total * sizeof *values);
    for (int k = 0; k < 2; k++)
        cuda_device_ops.weights_free(crowd.places[k].device, weights[k]);
    free(values);
    free(back);
    weight_table_free(&table);
    crowd_close(&crowd);
}

/* ---- trouble ---- */

static void absent_member(void **state)
{
    (void)state;
    emu.devices = 2;
    struct error err;
    struct crowd crowd;
    struct device_group *group;
    struct weight_table table = {0};
    struct device_weights *weights;
    crowd_open(&crowd, &cuda_device_ops, 2, true);
    struct device *devices[2] = {crowd.places[0].device, crowd.places[1].device};
    assert_int_equal(weight_table_new(&table, &crowd.tasks[0].graph, &err), ST_OK);
    assert_int_equal(cuda_device_ops.weights_new(devices[1], &table, SLOT_GRADIENT, &weights, &err), ST_OK);
    assert_int_equal(cuda_device_ops.group_open(devices, 2, 0.05, &group, &err), ST_OK);
    double began = clock_seconds();
    assert_int_equal(cuda_device_ops.group_broadcast(group, devices[1], weights, SLOT_VALUE, 0, &err),
                     ST_DEVICE);
    assert_string_equal(err.message,
                        "the group of devices is broken: broadcast: member 1 of 0 to 1 has waited for "
                        "the others for 0.05 s");
    assert_true(clock_seconds() - began < 30.0);
    assert_int_equal(cuda_device_ops.group_check(group, &err), ST_DEVICE);
    cuda_device_ops.weights_free(devices[1], weights);
    cuda_device_ops.group_close(group);
    struct device *twice[2] = {devices[0], devices[0]};
    assert_int_equal(cuda_device_ops.group_open(twice, 2, 0.05, &group, &err), ST_RANGE);
    weight_table_free(&table);
    crowd_close(&crowd);
}

/* Member 1 queues a step that member 0 never comes to, and reads: also then it does not wait for ever, be it in a copy. */
static void absent_member_of_a_step(void **state)
{
    (void)state;
    emu.devices = 2;
    struct crowd crowd;
    struct device *other = NULL;
    struct device_group *group;
    struct device_session session;
    double metrics[METRIC_COUNT];
    const struct lower_options options = {
        .purpose = PROG_TRAIN, .batch = 4, .members = 2, .batch_norm_momentum = 0.1f};
    const struct step step = {.seed = 1, .valid = 4, .learning_rate = 0.01f};
    crowd_open(&crowd, &ref_device_ops, 1, true); /* for its graph */
    session_open(&session, &cuda_device_ops, &crowd.tasks[0].graph, &options, 8, 3);
    session_run(&session, &step);
    session_run(&session, &step); /* recorded, without collectives */
    assert_int_equal(emu_count.collectives, 0);
    assert_int_equal(cuda_device_ops.open(&(struct device_options){.index = 1}, &other, &session.err), ST_OK);
    struct device *devices[2] = {other, session.device};
    assert_int_equal(cuda_device_ops.group_open(devices, 2, 0.05, &group, &session.err), ST_OK);
    session.binding.group = group;
    session_bind(&session);
    session_run(&session, &step);
    assert_int_equal(cuda_device_ops.program_metrics(session.device, session.prepared, metrics, &session.err),
                     ST_DEVICE);
    assert_string_equal(session.err.message,
                        "the group of devices is broken: read metrics: member 1 of 0 to 1 has waited for "
                        "the others for 0.05 s");
    cuda_device_ops.group_close(group);
    session.binding.group = NULL;
    session_bind(&session);
    session_run(
        &session,
        &step); /* alone the device is as good as before, and has forgotten that something was not ready */
    session_close(&session);
    cuda_device_ops.close(other);
    crowd_close(&crowd);
}

static void error_of_a_collective(void **state)
{
    (void)state;
    emu.devices = 2;
    struct error err;
    struct crowd crowd;
    struct device_group *group;
    crowd_open(&crowd, &cuda_device_ops, 2, true);
    struct device *devices[2] = {crowd.places[0].device, crowd.places[1].device};
    assert_int_equal(cuda_device_ops.group_open(devices, 2, 60.0, &group, &err), ST_OK);
    assert_int_equal(cuda_device_ops.group_check(group, &err), ST_OK);
    emu.collective_error = 1;
    assert_int_equal(cuda_device_ops.group_check(group, &err), ST_DEVICE);
    assert_string_equal(err.message, "member 0 of 0 to 1: NCCL cannot go on: remote error");
    emu.collective_error = 0;
    assert_int_equal(cuda_device_ops.group_check(group, &err), ST_DEVICE); /* it stays broken */
    cuda_device_ops.group_close(group);
    crowd_close(&crowd);
}

/* Each call of a training fails in turn, on whichever device it is: one clear error or success, no hang, nothing left. */
static void every_call_may_fail(void **state)
{
    (void)state;
    struct crowd crowd;
    struct trainer_result result;
    struct error err;
    uint64_t first = 0, last = 0, failed = 0, survived = 0;
    for (uint64_t at = 0; at == 0 || at < last; at += at == 0 ? first + 1 : 1 + (last - first) / 150) {
        emu_reset();
        emu.devices = 2;
        crowd_open(&crowd, &cuda_device_ops, 2, true);
        first = emu_count.calls;
        emu.fail_at = at == 0 ? 0 : at;
        struct trainer *trainer = crowd_trainer(&crowd, &err);
        enum status st = trainer == NULL ? err.status : crowd_train(trainer, 0, NULL, &result, &err);
        if (at == 0)
            last = emu_count.calls;
        trainer_close(trainer);
        failed += st != ST_OK;
        survived += st == ST_OK;
        if (st != ST_OK && st != ST_DEVICE && st != ST_MEMORY)
            fail_msg("call %llu: %s", (unsigned long long)at, err.message);
        crowd_close(&crowd);
        if (emu_count.objects != 0)
            fail_msg("call %llu left %llu objects", (unsigned long long)at,
                     (unsigned long long)emu_count.objects);
    }
    print_message("%llu calls failed in turn, of %llu: %llu clear errors, %llu trainings went on\n",
                  (unsigned long long)(failed + survived - 1), (unsigned long long)(last - first),
                  (unsigned long long)failed, (unsigned long long)survived - 1);
    assert_true(failed > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(same_as_one, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(same_bits_in_any_order, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(copies_and_broadcasts, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(absent_member, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(absent_member_of_a_step, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(error_of_a_collective, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(every_call_may_fail, emu_test_begin, emu_test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
