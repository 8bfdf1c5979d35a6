/* One network on several devices: the same as on one where nothing depends on a device's own rows, the same bits every
 * time, checkpoints, and what happens when a member fails or stays away. */
#include "host/base/clock.h"
#include "host/base/meeting.h"
#include "tests/support/tiny_task.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST = 4, STEPS = 13 }; /* two epochs of six steps and one step */

static char checkpoint[64]; /* a path of this process; set by main */

/* The tiny task on several devices, with dropout and augmentation. */
struct crowd {
    struct tiny_task tasks[MOST];
    struct trainer_place places[MOST];
    int32_t count;
};

static void crowd_open(struct crowd *crowd, const struct device_ops *ops, int32_t count, bool batch_norm)
{
    crowd->count = count;
    for (int32_t k = 0; k < count; k++) {
        tiny_task_open(&crowd->tasks[k], ops, batch_norm);
        crowd->places[k] = crowd->tasks[k].place;
    }
}

static void crowd_close(struct crowd *crowd)
{
    for (int32_t k = 0; k < crowd->count; k++)
        tiny_task_close(&crowd->tasks[k]);
}

/* The task's graph with a dropout before the dense layer. */
static void with_dropout(const struct graph *graph, struct graph *result)
{
    struct error err;
    int32_t last = graph->count - 1;
    assert_int_equal(graph_new(result, 1, TINY_SIDE, TINY_SIDE, &err), ST_OK);
    for (int32_t i = 1; i < last; i++)
        assert_int_equal(graph_append(result, graph->layers[i], NULL, &err), ST_OK);
    struct layer drop = {.kind = LAYER_DROPOUT, .rate = 0.25f, .input_count = 1, .inputs = {last - 1}};
    assert_int_equal(graph_append(result, drop, NULL, &err), ST_OK);
    struct layer dense = graph->layers[last];
    dense.inputs[0] = last;
    dense.id = 0;
    assert_int_equal(graph_append(result, dense, NULL, &err), ST_OK);
    assert_int_equal(graph_infer(result, &err), ST_OK);
}

static struct trainer *open_trainer(const struct crowd *crowd, enum status expected, struct error *err)
{
    struct trainer_settings settings = tiny_task_settings();
    struct graph graph = {0};
    struct trainer *trainer;
    size_t bytes;
    settings.augment.translate = 1;
    settings.augment.flip = 1;
    settings.average = 0.9f;
    with_dropout(&crowd->tasks[0].graph, &graph);
    assert_int_equal(
        trainer_open(crowd->places, crowd->count, &graph, &settings, SIZE_MAX, &trainer, &bytes, err),
        expected);
    if (expected == ST_OK) {
        float *values = tiny_task_weights(&graph, 1, NULL);
        assert_int_equal(trainer_load_values(trainer, values, err), ST_OK);
        free(values);
    }
    graph_free(&graph);
    return trainer;
}

struct stop {
    struct trainer *trainer;
    uint32_t at; /* step after which a tick saves and stops; 0: never */
};

static enum status on_epoch(void *context, const struct trainer_epoch *epoch, struct error *err)
{
    (void)context;
    (void)epoch;
    (void)err;
    return ST_OK;
}

static enum status on_tick(void *context, const struct trainer_state *state, double progress,
                           struct error *err)
{
    const struct stop *stop = context;
    (void)progress;
    if (stop->at == 0 || state->step < stop->at)
        return ST_OK;
    assert_int_equal(trainer_checkpoint(stop->trainer, checkpoint, 7, err), ST_OK);
    return error_set(err, ST_INTERRUPTED, "stopped");
}

static enum status train(struct trainer *trainer, uint32_t stop_at, struct trainer_result *result,
                         struct error *err)
{
    struct stop stop = {.trainer = trainer, .at = stop_at};
    const struct trainer_events events = {.context = &stop, .on_epoch = on_epoch, .on_tick = on_tick};
    return trainer_run(trainer, (struct trainer_limit){.seconds = INFINITY, .steps = STEPS}, &events, result,
                       err);
}

/* Trains to the end; the weights, malloc'd. */
static float *weights_after(const struct crowd *crowd, struct trainer_result *result, size_t *total)
{
    struct error err;
    struct trainer *trainer = open_trainer(crowd, ST_OK, &err);
    if (train(trainer, 0, result, &err) != ST_OK)
        fail_msg("%s", err.message);
    *total = trainer_weights(trainer)->total;
    float *values = malloc(*total * sizeof *values);
    assert_non_null(values);
    assert_int_equal(trainer_values(trainer, values, &err), ST_OK);
    trainer_close(trainer);
    return values;
}

/* Without batch norm a batch is a sum over rows, wherever they are: only rounding differs. 1e-6: weights are compared
 * as floats, of size 1; the CPU adds in float, in another order, 13 steps long. */
static void same_as_one_device(const struct device_ops *ops, double bound)
{
    struct crowd one, many;
    struct trainer_result expected, found;
    size_t total;
    crowd_open(&one, ops, 1, false);
    float *alone = weights_after(&one, &expected, &total);
    for (int32_t count = 2; count <= MOST; count += 2) {
        crowd_open(&many, ops, count, false);
        float *shared = weights_after(&many, &found, &total);
        double largest = 0.0, change = 0.0;
        float *fresh = tiny_task_weights(&many.tasks[0].graph, 1, NULL);
        for (size_t i = 0; i < total; i++) {
            largest = fmax(largest, fabs((double)shared[i] - (double)alone[i]));
            change = fmax(change, fabs((double)alone[i] - (double)fresh[i]));
        }
        assert_true(change > 0.01); /* it did learn something */
        assert_true(largest <= bound);
        assert_true(fabs(found.loss - expected.loss) <= bound * 10);
        assert_true(found.accuracy == expected.accuracy);
        free(fresh);
        free(shared);
        crowd_close(&many);
    }
    free(alone);
    crowd_close(&one);
}

static void test_same_as_one_ref(void **state)
{
    (void)state;
    same_as_one_device(&ref_device_ops,
                       1.2e-7); /* doubles, rounded to float once at the end: one unit at 1 */
}

static void test_same_as_one_cpu(void **state)
{
    (void)state;
    same_as_one_device(&cpu_device_ops, 2e-6);
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
        float *a = weights_after(&crowd, &first, &total), *b = weights_after(&crowd, &second, &total);
        assert_memory_equal(a, b, total * sizeof *a);
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
    float *undisturbed = weights_after(&crowd, &expected, &total);
    for (uint32_t stop_at = 1; stop_at < STEPS; stop_at += 5) {
        struct trainer *trainer = open_trainer(&crowd, ST_OK, &err);
        assert_int_equal(train(trainer, stop_at, &found, &err), ST_INTERRUPTED);
        trainer_close(trainer);
        trainer = open_trainer(&crowd, ST_OK, &err);
        assert_int_equal(trainer_restore(trainer, checkpoint, &note, &err), ST_OK);
        assert_int_equal(note, 7);
        assert_int_equal(train(trainer, 0, &found, &err), ST_OK);
        float *values = malloc(total * sizeof *values);
        assert_non_null(values);
        assert_int_equal(trainer_values(trainer, values, &err), ST_OK);
        assert_memory_equal(values, undisturbed, total * sizeof *values);
        assert_true(found.loss == expected.loss);
        free(values);
        trainer_close(trainer);
    }
    unlink(checkpoint);
    free(undisturbed);
    crowd_close(&crowd);
}

static void test_odd_batch(void **state)
{
    struct crowd crowd;
    struct error err;
    (void)state;
    crowd_open(&crowd, &ref_device_ops, 3, false);
    assert_null(open_trainer(&crowd, ST_RANGE, &err));
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
        failing = crowd.places[member].device;
        struct trainer *trainer = open_trainer(&crowd, ST_OK, &err);
        double began = clock_seconds();
        assert_int_equal(train(trainer, 0, &result, &err), ST_DEVICE);
        assert_non_null(strstr(err.message, "caught fire"));
        assert_true(clock_seconds() - began < 60.0); /* did not wait for the timeout */
        trainer_close(trainer);
        crowd_close(&crowd);
    }
}

/* ---- meetings ---- */

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
    assert_int_equal(ref_device_ops.weights_new(devices[1], &table, &weights, &err), ST_OK);
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
    struct meeting *meeting;
    assert_int_equal(meeting_open(2, 60.0, &meeting, &err), ST_OK);
    meeting_call_off(meeting, "enough");
    meeting_call_off(meeting, "too late");
    assert_int_equal(meeting_join(meeting, 0, "lunch", NULL, &offers, &err), ST_DEVICE);
    assert_string_equal(err.message, "the group of devices is broken: enough");
    meeting_close(meeting);
}

struct guest {
    struct meeting *meeting;
    int32_t number;
    bool good;
};

enum { GUESTS = 3, MEETINGS = 2000 };

static void *attend(void *context)
{
    struct guest *guest = context;
    struct error err;
    void *const *offers;
    int32_t place;
    guest->good = true;
    for (place = 0; place < MEETINGS && guest->good; place++) {
        int32_t mine[2] = {guest->number, place};
        guest->good = meeting_join(guest->meeting, guest->number, "test", mine, &offers, &err) == ST_OK;
        for (int32_t k = 0; k < GUESTS && guest->good; k++) {
            const int32_t *theirs = offers[k];
            guest->good = theirs[0] == k && theirs[1] == place;
        }
        guest->good =
            guest->good && meeting_join(guest->meeting, guest->number, "test", NULL, &offers, &err) == ST_OK;
    }
    return NULL;
}

static void test_meetings(void **state)
{
    struct guest guests[GUESTS];
    pthread_t threads[GUESTS];
    struct meeting *meeting;
    struct error err;
    (void)state;
    assert_int_equal(meeting_open(GUESTS, 60.0, &meeting, &err), ST_OK);
    for (int32_t k = 0; k < GUESTS; k++) {
        guests[k] = (struct guest){.meeting = meeting, .number = k};
        assert_int_equal(pthread_create(&threads[k], NULL, attend, &guests[k]), 0);
    }
    for (int32_t k = 0; k < GUESTS; k++) {
        pthread_join(threads[k], NULL);
        assert_true(guests[k].good);
    }
    meeting_close(meeting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_one_ref), cmocka_unit_test(test_same_as_one_cpu),
        cmocka_unit_test(test_same_bits),       cmocka_unit_test(test_resume),
        cmocka_unit_test(test_odd_batch),       cmocka_unit_test(test_failing_member),
        cmocka_unit_test(test_absent_member),   cmocka_unit_test(test_meetings),
    };
    snprintf(checkpoint, sizeof checkpoint, "/tmp/nasrun-members-%d.bin", (int)getpid());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
