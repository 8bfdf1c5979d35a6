/* Groups of emulated GPUs (emu/emu.h): one network on several of them, in every order that their streams leave open;
 * what happens when a member stays away, when NCCL tells of an error, and when any call fails. */
#include "cuda/device/cuda_internal.h"
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

static void averages(void **state)
{
    (void)state;
    emu.devices = CROWD_MOST;
    crowd_averages(&cuda_device_ops, 2);
    crowd_averages(&cuda_device_ops, CROWD_MOST);
    crowd_averages_seldom(&cuda_device_ops);
}

/* What NCCL takes is known when the group is open, and a network that fits without it only does not fit. */
static void buffers_are_counted(void **state)
{
    (void)state;
    emu.devices = 2;
    struct error err;
    struct crowd crowd;
    struct trainer *trainer;
    size_t alone, bytes;
    crowd_open(&crowd, &cuda_device_ops, 2, true);
    const struct trainer_settings settings = tiny_task_settings();
    const struct graph *graph = &crowd.tasks[0].graph;
    assert_int_equal(trainer_open(crowd.devices, 1, graph, &settings, SIZE_MAX, &trainer, &alone, &err),
                     ST_OK);
    assert_int_equal(trainer_group_bytes(trainer), 0);
    trainer_close(trainer);
    assert_int_equal(trainer_open(crowd.devices, 2, graph, &settings, SIZE_MAX, &trainer, &bytes, &err),
                     ST_OK);
    assert_int_equal(trainer_group_bytes(trainer), EMU_NCCL_BYTES);
    trainer_close(trainer);
    assert_int_equal(
        trainer_open(crowd.devices, 2, graph, &settings, bytes + EMU_NCCL_BYTES, &trainer, &bytes, &err),
        ST_OK);
    trainer_close(trainer);
    assert_int_equal(
        trainer_open(crowd.devices, 2, graph, &settings, bytes + EMU_NCCL_BYTES - 1, &trainer, &bytes, &err),
        ST_MEMORY);
    assert_non_null(strstr(err.message, "and the group of devices 65536"));
    assert_null(trainer);
    crowd_close(&crowd);
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
        assert_memory_equal(first, again, total * sizeof(*first));
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
    float *values = malloc(table.total * sizeof(*values)), *back = malloc(table.total * sizeof(*back));
    for (size_t i = 0; i < table.total; i++)
        values[i] = (float)i;
    for (int k = 0; k < 2; k++)
        assert_int_equal(
            cuda_device_ops.weights_new(crowd.devices[k].handle, &table, SLOT_GRADIENT, &weights[k], &err),
            ST_OK);
    assert_int_equal(
        cuda_device_ops.weights_upload(crowd.devices[0].handle, weights[0], SLOT_FIRST, values, &err), ST_OK);
    assert_int_equal(cuda_device_ops.weights_copy(crowd.devices[1].handle, weights[1], SLOT_VALUE,
                                                  crowd.devices[0].handle, weights[0], SLOT_FIRST, &err),
                     ST_OK);
    assert_int_equal(cuda_device_ops.weights_copy(crowd.devices[1].handle, weights[1], SLOT_AVERAGE,
                                                  crowd.devices[1].handle, weights[1], SLOT_VALUE, &err),
                     ST_OK);
    assert_int_equal(
        cuda_device_ops.weights_download(crowd.devices[1].handle, weights[1], SLOT_AVERAGE, back, &err),
        ST_OK);
    assert_memory_equal(values, back, table.total * sizeof(*values));
    for (int k = 0; k < 2; k++)
        cuda_device_ops.weights_free(crowd.devices[k].handle, weights[k]);
    free(values);
    free(back);
    weight_table_free(&table);
    crowd_close(&crowd);
}

/* ---- recording ---- */

enum { SPOILT_MEMBER = 1 };
static int spoilt_recording, recordings_there; /* of SPOILT_MEMBER's: the one that fails, how many so far */

/* On the thread that records: a call that no recording survives. */
static void spoil(void)
{
    int device = 0;
    void *none = NULL;
    if (cudaGetDevice(&device) == cudaSuccess && device == SPOILT_MEMBER &&
        ++recordings_there == spoilt_recording)
        assert_int_not_equal(cudaMalloc(&none, 1), cudaSuccess);
}

/* Where one member can't record a step, be it with its collectives only, none replays a recording: no collective that
 * one replays meets one that another queues (the emulator sees to it). And the bits are the same. */
static void recorded_by_all_or_by_none(void **state)
{
    (void)state;
    emu.devices = 2;
    struct crowd crowd;
    struct trainer_result expected, found;
    size_t total;
    crowd_open(&crowd, &cuda_device_ops, 2, true);
    float *first = crowd_weights_after(&crowd, &expected, &total);
    const uint64_t replayed = emu_count.graph_launches;
    emu.recording_begun = spoil;
    for (spoilt_recording = 1; spoilt_recording <= 2; spoilt_recording++) {
        recordings_there = 0;
        emu_count.graph_launches = 0;
        float *again = crowd_weights_after(&crowd, &found, &total);
        assert_true(recordings_there >= spoilt_recording);
        assert_int_equal(replayed - emu_count.graph_launches, 2 * (CROWD_STEPS - 1)); /* not in training */
        assert_memory_equal(first, again, total * sizeof(*first));
        assert_true(found.loss == expected.loss);
        free(again);
    }
    free(first);
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
    struct device *devices[2] = {crowd.devices[0].handle, crowd.devices[1].handle};
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
    weight_table_free(&table);
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
    struct device *devices[2] = {crowd.devices[0].handle, crowd.devices[1].handle};
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

/* Each call of a training fails in turn, on whichever device it is: one clear error or success, no hang, nothing
 * left. */
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
        cmocka_unit_test_setup_teardown(averages, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(buffers_are_counted, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(same_bits_in_any_order, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(recorded_by_all_or_by_none, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(copies_and_broadcasts, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(absent_member, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(error_of_a_collective, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(every_call_may_fail, emu_test_begin, emu_test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
