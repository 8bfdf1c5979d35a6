/* Weight gradients beside the rest of the backward pass (cuda/device/cuda_branch.c) on emulated GPUs: whatever runs
 * first, the bits are the same; and each wait between the streams is needed: without it some order gives other bits. */
#include "cuda/device/cuda_internal.h"
#include "host/net/start.h"
#include "tests/gpu/emu/emu_test.h"
#include "tests/support/crowd.h"
#include "tests/support/device_session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { IMAGES = 16, CLASSES = 5, BATCH = 8, SIDE = 8, STEPS = 4, SEED = 6, ORDERS = 3 };

struct trained {
    size_t total;
    float *values;
    uint64_t waits_before, waits_after; /* of streams, until the last step, and with it */
};

/* What STEPS steps make of the network; the last one's waits are told apart. */
static struct trained train(const char *start)
{
    struct graph graph = {0};
    struct device_session session;
    struct trained trained = {0};
    const struct lower_options options = {
        .purpose = PROG_TRAIN, .batch = BATCH, .weight_average = true, .batch_norm_momentum = 0.1f};
    emu_count.stream_waits = 0;
    assert_int_equal(start_make(&graph, start, 8, (struct shape){0, 3, SIDE, SIDE}, CLASSES, &session.err),
                     ST_OK);
    session_open(&session, &cuda_device_ops, &graph, &options, IMAGES, SEED);
    for (uint32_t i = 0; i < STEPS; i++) {
        const struct step step = {.number = i,
                                  .first = i % 2 * BATCH,
                                  .valid = BATCH,
                                  .learning_rate = 0.1f,
                                  .average_decay = 0.5f};
        trained.waits_before = emu_count.stream_waits;
        session_run(&session, &step);
    }
    trained.waits_after = emu_count.stream_waits;
    trained.total = session.program.weights.total;
    trained.values = malloc(trained.total * sizeof(float));
    assert_non_null(trained.values);
    assert_int_equal(session.ops->weights_download(session.device, session.weights, SLOT_VALUE,
                                                   trained.values, &session.err),
                     ST_OK);
    session_close(&session);
    graph_free(&graph);
    return trained;
}

static bool is_same(const struct trained *a, const struct trained *b)
{
    return memcmp(a->values, b->values, a->total * sizeof(float)) == 0;
}

static void same_bits_in_any_order(void **state)
{
    (void)state;
    static const char *const starts[] = {"cnn", "resnet"};
    for (size_t k = 0; k < sizeof(starts) / sizeof(starts[0]); k++) {
        emu.order = emu.refuse_recording = 0;
        struct trained expected = train(starts[k]);
        for (emu.refuse_recording = 0; emu.refuse_recording < 2; emu.refuse_recording++)
            for (emu.order = -1; emu.order <= ORDERS; emu.order++) {
                struct trained found = train(starts[k]);
                if (!is_same(&found, &expected))
                    fail_msg("%s, order %d, %s: other weights", starts[k], emu.order,
                             emu.refuse_recording ? "queued" : "recorded");
                free(found.values);
            }
        free(expected.values);
    }
}

/* The last step with one wait forgotten: true when some order gives other bits. */
static bool is_needed(uint64_t wait, const struct trained *expected)
{
    bool needed = false;
    emu.forget_wait = wait;
    for (emu.order = -1; !needed && emu.order <= ORDERS; emu.order++) {
        struct trained found = train("resnet");
        needed = !is_same(&found, expected);
        free(found.values);
    }
    emu.forget_wait = 0;
    return needed;
}

/* Forks and joins take turns: a fork before each weight gradient, a join before the next and before the optimizer.
 * Every fork and the last join are needed at all events; another join is where what the branch reads would be
 * overwritten. */
static void each_wait_is_needed(void **state)
{
    (void)state;
    emu.refuse_recording = 1;
    struct trained expected = train("resnet");
    const uint64_t first = expected.waits_before + 1, last = expected.waits_after;
    int32_t forks = 0, joins = 0, needed_forks = 0, needed_joins = 0;
    bool last_needed = false;
    for (uint64_t wait = first; wait <= last; wait++) {
        const bool fork = (wait - first) % 2 == 0, needed = is_needed(wait, &expected);
        forks += fork;
        joins += !fork;
        needed_forks += fork && needed;
        needed_joins += !fork && needed;
        last_needed = needed;
    }
    print_message("%d of %d forks are needed, %d of %d joins\n", (int)needed_forks, (int)forks,
                  (int)needed_joins, (int)joins);
    assert_true(forks > 5);
    assert_int_equal(joins, forks);
    assert_int_equal(needed_forks, forks);
    assert_true(needed_joins > joins / 2);
    assert_true(last_needed);
    free(expected.values);
}

/* ---- in a group ---- */

static void append(struct graph *graph, struct layer layer)
{
    struct error err;
    layer.input_count = 1;
    layer.inputs[0] = graph->count - 1;
    assert_int_equal(graph_append(graph, layer, NULL, &err), ST_OK);
}

/* A dense layer with a bucket of its own: its gradient comes from the device's stream, before anything is on the
 * branch. */
static void make_wide(struct graph *graph)
{
    struct error err;
    struct layer conv = {
        .kind = LAYER_CONV, .kernel_h = 3, .kernel_w = 3, .stride = 1, .pad_h = 1, .pad_w = 1, .groups = 1};
    assert_int_equal(graph_new(graph, 1, TINY_SIDE, TINY_SIDE, &err), ST_OK);
    for (int32_t i = 0; i < 2; i++) {
        conv.out_channels = i == 0 ? 8 : 1024;
        append(graph, conv);
        append(graph, (struct layer){.kind = LAYER_BATCH_NORM});
        append(graph, (struct layer){.kind = LAYER_RELU});
    }
    append(graph, (struct layer){.kind = LAYER_DENSE, .out_channels = TINY_CLASSES});
    assert_int_equal(graph_infer(graph, &err), ST_OK);
}

static float *train_together(const struct crowd *crowd, const struct graph *graph, size_t *total)
{
    struct trainer_settings settings = tiny_task_settings();
    struct trainer_result result;
    struct trainer *trainer;
    struct error err;
    size_t bytes;
    settings.batch = 4;
    assert_int_equal(trainer_open(crowd->devices, 2, graph, &settings, SIZE_MAX, &trainer, &bytes, &err),
                     ST_OK);
    float *values = tiny_task_weights(graph, 1, total);
    assert_int_equal(trainer_load_values(trainer, values, &err), ST_OK);
    if (crowd_train(trainer, 0, NULL, &result, &err) != ST_OK)
        fail_msg("%s", err.message);
    assert_int_equal(trainer_values(trainer, values, &err), ST_OK);
    trainer_close(trainer);
    return values;
}

/* Each bucket waits for its gradients, wherever they come from. */
static void same_bits_in_a_group(void **state)
{
    (void)state;
    struct crowd crowd;
    struct graph graph = {0};
    size_t total;
    emu.devices = 2;
    crowd_open(&crowd, &cuda_device_ops, 2, true);
    make_wide(&graph);
    float *expected = train_together(&crowd, &graph, &total);
    for (int32_t i = 0; i < 4; i++) {
        emu.order = i - 1;
        emu.refuse_recording = i % 2;
        float *found = train_together(&crowd, &graph, &total);
        if (memcmp(found, expected, total * sizeof(*found)) != 0)
            fail_msg("order %d, %s: other weights", emu.order, emu.refuse_recording ? "queued" : "recorded");
        free(found);
    }
    free(expected);
    graph_free(&graph);
    crowd_close(&crowd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(same_bits_in_any_order, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(each_wait_is_needed, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(same_bits_in_a_group, emu_test_begin, emu_test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
