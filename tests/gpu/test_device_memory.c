/* Memory of the emulated GPU (emu/emu_pools.c): what a program takes is what was planned, and what is given back is
 * there for whoever comes next, without waiting for the device. */
#include "cuda/device/cuda_internal.h"
#include "host/net/start.h"
#include "tests/gpu/emu/emu_test.h"
#include "tests/support/device_session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { IMAGES = 20, CLASSES = 5, BATCH = 8, SIDE = 8, CANDIDATES = 3 };

static void make_network(struct graph *graph)
{
    struct error err;
    if (start_make(graph, "resnet", 8, (struct shape){0, 3, SIDE, SIDE}, CLASSES, &err) != ST_OK)
        fail_msg("%s", err.message);
}

/* Kernels count packs in 31 bits: what they cannot count is refused, and not done wrongly. */
static void too_large_is_refused(void **state)
{
    (void)state;
    struct graph graph = {0};
    struct device_session session;
    struct lower_options options = {.purpose = PROG_TRAIN, .batch = BATCH, .batch_norm_momentum = 0.1f};
    struct device_program *prepared = NULL;
    struct program large = {0};
    make_network(&graph);
    session_open(&session, &cuda_device_ops, &graph, &options, IMAGES, 5);
    options.batch = (int32_t)(CUDA_ELEMENTS / (8 * SIDE * SIDE)) + 1;
    assert_int_equal(lower_graph(&graph, &options, &large, &session.err), ST_OK);
    assert_int_equal(session.ops->program_prepare(session.device, &large, &prepared, &session.err),
                     ST_UNSUPPORTED);
    assert_null(prepared);
    program_free(&large);
    session_close(&session);
    graph_free(&graph);
}

static void memory_is_as_planned(void **state)
{
    (void)state;
    struct graph graph = {0};
    struct device_session session;
    struct device_program *second = NULL;
    struct lower_options options = {.purpose = PROG_TRAIN, .batch = BATCH, .batch_norm_momentum = 0.1f};
    make_network(&graph);
    session_open(&session, &cuda_device_ops, &graph, &options, IMAGES, 5);
    const struct device_ops *ops = session.ops;
    size_t before = emu_count.bytes;
    assert_int_equal(ops->program_prepare(session.device, &session.program, &second, &session.err), ST_OK);
    assert_int_equal(emu_count.bytes, before);
    assert_int_equal(ops->program_bind(session.device, second, &session.binding, &session.err), ST_OK);
    size_t samples = (IMAGES * sizeof(int32_t) + CUDA_ALIGNMENT - 1) / CUDA_ALIGNMENT * CUDA_ALIGNMENT;
    assert_int_equal(emu_count.bytes - before, ops->program_bytes(second) + samples);
    ops->program_free(session.device, second);
    assert_int_equal(emu_count.bytes, before);
    emu.memory = before + ops->program_bytes(session.prepared) / 2;
    assert_int_equal(ops->program_prepare(session.device, &session.program, &second, &session.err), ST_OK);
    assert_int_equal(ops->program_bind(session.device, second, &session.binding, &session.err), ST_MEMORY);
    assert_non_null(strstr(session.err.message, "out of device memory: tensors of a program"));
    const struct step step = {.valid = BATCH, .learning_rate = 0.01f};
    assert_int_equal(ops->program_run(session.device, second, &step, &session.err), ST_RANGE);
    session_run(&session, &step); /* the device is as good as before */
    ops->program_free(session.device, second);
    session_close(&session);
    graph_free(&graph);
}

/* ---- one candidate after the other ---- */

/* Trains a network of its own for two steps beside the session's. */
static enum status train_candidate(struct device_session *session, int32_t batch, struct error *err)
{
    const struct lower_options options = {.purpose = PROG_TRAIN, .batch = batch, .batch_norm_momentum = 0.1f};
    const struct device_ops *ops = session->ops;
    struct device_binding binding = session->binding;
    struct device_program *prepared = NULL;
    struct device_weights *weights = NULL;
    struct graph graph = {0};
    struct program program = {0};
    double metrics[METRIC_COUNT];
    make_network(&graph);
    assert_int_equal(lower_graph(&graph, &options, &program, err), ST_OK);
    enum status st = ops->weights_new(session->device, &program.weights, SLOT_GRADIENT, &weights, err);
    if (st == ST_OK)
        st = ops->program_prepare(session->device, &program, &prepared, err);
    binding.weights = weights;
    if (st == ST_OK)
        st = ops->program_bind(session->device, prepared, &binding, err);
    for (uint32_t i = 0; st == ST_OK && i < 3; i++) {
        const struct step step = {.number = i, .valid = batch, .learning_rate = 0.01f};
        st = ops->program_run(session->device, prepared, &step, err);
    }
    if (st == ST_OK)
        st = ops->program_metrics(session->device, prepared, metrics, err);
    ops->program_free(session->device, prepared);
    ops->weights_free(session->device, weights);
    program_free(&program);
    graph_free(&graph);
    return st;
}

static void open_session(struct device_session *session, struct graph *graph)
{
    const struct lower_options options = {.purpose = PROG_TRAIN, .batch = 1, .batch_norm_momentum = 0.1f};
    make_network(graph);
    session_open(session, &cuda_device_ops, graph, &options, IMAGES, 5);
}

/* Candidates come and go, and nobody waits for the whole device; where it has no pools, that is how memory is given
 * back. What they leave is free in the eyes of those who ask. */
static void candidates_come_and_go(void **state)
{
    (void)state;
    for (emu.no_pools = 0; emu.no_pools < 2; emu.no_pools++) {
        struct graph graph = {0};
        struct device_session session;
        struct device_info before, after;
        open_session(&session, &graph);
        const uint64_t waits = emu_count.device_waits;
        session.ops->info(session.device, &before);
        for (int32_t i = 0; i < CANDIDATES; i++)
            assert_int_equal(train_candidate(&session, BATCH - i, &session.err), ST_OK);
        session.ops->info(session.device, &after);
        assert_int_equal(after.memory_free, before.memory_free);
        assert_int_equal(emu_count.device_waits > waits, emu.no_pools);
        session_close(&session);
        graph_free(&graph);
    }
}

/* What one candidate has left, the next one gets, be it in other pieces: the pool is emptied before memory is said to
 * be out. */
static void pools_are_emptied_in_time(void **state)
{
    (void)state;
    struct graph graph = {0};
    struct device_session session;
    open_session(&session, &graph);
    const size_t before = emu_count.bytes;
    emu_count.peak_bytes = before;
    assert_int_equal(train_candidate(&session, BATCH, &session.err), ST_OK);
    assert_int_equal(emu_count.bytes, before);
    emu.scattered_pool = 1;
    emu.memory = emu_count.peak_bytes; /* as much as the first one has needed */
    for (int32_t i = 0; i < CANDIDATES; i++)
        if (train_candidate(&session, BATCH, &session.err) != ST_OK)
            fail_msg("candidate %d: %s", (int)i, session.err.message);
    emu.memory = before + (emu_count.peak_bytes - before) / 2;
    assert_int_equal(train_candidate(&session, BATCH, &session.err), ST_MEMORY);
    emu.memory = emu_count.peak_bytes;
    assert_int_equal(train_candidate(&session, BATCH, &session.err), ST_OK);
    session_close(&session);
    graph_free(&graph);
}

/* ---- several devices ---- */

/* Weights go from one device to another without the host's help, with pools and without. */
static void devices_reach_each_other(void **state)
{
    (void)state;
    for (emu.no_pools = 0; emu.no_pools < 2; emu.no_pools++) {
        struct graph graph = {0};
        struct device_session sessions[2];
        const struct lower_options options = {.purpose = PROG_TRAIN, .batch = 1, .batch_norm_momentum = 0.1f};
        struct error err;
        emu.devices = 2;
        make_network(&graph);
        for (int32_t k = 0; k < 2; k++)
            session_open_on(&sessions[k], &cuda_device_ops, &(struct device_options){.index = k}, &graph,
                            &options, IMAGES, (uint64_t)k);
        for (int32_t i = 0; i < 4; i++) /* to and fro, and once more */
            assert_int_equal(cuda_device_ops.weights_copy(sessions[i % 2].device, sessions[i % 2].weights,
                                                          SLOT_VALUE, sessions[1 - i % 2].device,
                                                          sessions[1 - i % 2].weights, SLOT_VALUE, &err),
                             ST_OK);
        assert_int_equal(emu_count.staged, 0);
        for (int32_t k = 0; k < 2; k++)
            session_close(&sessions[k]);
        graph_free(&graph);
    }
}

/* NCCL has memory of its own: what candidates have left in the pools is no obstacle. */
static void groups_find_memory(void **state)
{
    (void)state;
    struct graph graph = {0};
    struct device_session sessions[2];
    struct device *devices[2];
    struct device_group *group;
    const struct lower_options options = {.purpose = PROG_TRAIN, .batch = 1, .batch_norm_momentum = 0.1f};
    struct error err;
    size_t before[2];
    emu.devices = 2;
    make_network(&graph);
    for (int32_t k = 0; k < 2; k++) {
        session_open_on(&sessions[k], &cuda_device_ops, &(struct device_options){.index = k}, &graph,
                        &options, IMAGES, (uint64_t)k);
        devices[k] = sessions[k].device;
        before[k] = emu_count.bytes;
        assert_int_equal(train_candidate(&sessions[k], BATCH, &err), ST_OK);
        assert_int_equal(emu_count.bytes, before[k]);
    }
    assert_int_equal(before[0], before[1]);
    emu.memory = emu_count.peak_bytes; /* all of it used, or in the pools */
    assert_int_equal(cuda_device_ops.group_open(devices, 2, 60.0, &group, &err), ST_OK);
    cuda_device_ops.group_close(group);
    for (int32_t k = 0; k < 2; k++)
        session_close(&sessions[k]);
    graph_free(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(too_large_is_refused, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(memory_is_as_planned, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(candidates_come_and_go, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(pools_are_emptied_in_time, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(devices_reach_each_other, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(groups_find_memory, emu_test_begin, emu_test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
