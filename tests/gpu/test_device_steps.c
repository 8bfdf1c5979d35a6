/* The plug-in's own objects on an emulated GPU (emu/emu.h): whole steps and their recording, and what
 * happens when any call fails. */
#include "cuda/device/cuda_internal.h"
#include "host/net/start.h"
#include "tests/gpu/emu/emu_test.h"
#include "tests/support/device_session.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FLOAT_MAJOR = 7 }; /* a device without bf16 */

/* ---- whole steps ---- */

/* SEED: no gradient is so close to zero that rounding chooses its sign. AdamW's first steps are as long whatever the
 * gradient's size, and within seven steps such a choice grows to per cents (one seed in three). */
enum { IMAGES = 20, CLASSES = 5, BATCH = 8, SIDE = 8, STEPS = 7, LONG_RUN = 3 * CUDA_AHEAD, SEED = 6 };

static void make_network(struct graph *graph)
{
    struct error err;
    if (start_make(graph, "resnet", 8, (struct shape){0, 3, SIDE, SIDE}, CLASSES, &err) != ST_OK)
        fail_msg("%s", err.message);
}

static struct lower_options train_options(void)
{
    return (struct lower_options){.purpose = PROG_TRAIN,
                                  .batch = BATCH,
                                  .augment = true,
                                  .weight_average = true,
                                  .label_smoothing = 0.1f,
                                  .batch_norm_momentum = 0.1f};
}

static struct step step_number(int32_t i)
{
    int32_t per_epoch = (IMAGES + BATCH - 1) / BATCH, position = i % per_epoch * BATCH;
    return (struct step){.seed = 11,
                         .number = (uint32_t)i,
                         .epoch = (uint32_t)(i / per_epoch),
                         .first = (uint32_t)position,
                         .valid = position + BATCH <= IMAGES ? BATCH : IMAGES - position,
                         .learning_rate = 0.01f,
                         .average_decay = 0.8f};
}

/* What a training leaves behind. */
struct trained {
    double metrics[METRIC_COUNT];
    size_t total;
    float *slots[SLOT_GRADIENT];
};

static void free_trained(struct trained *trained)
{
    for (int slot = 0; slot < SLOT_GRADIENT; slot++)
        free(trained->slots[slot]);
}

/* `wait`: reads the metrics after every step. */
static void train(const struct device_ops *ops, enum optimizer_kind optimizer, int32_t steps, bool wait,
                  struct trained *trained)
{
    struct graph graph = {0};
    struct device_session session;
    struct lower_options options = train_options();
    options.orthogonalise = optimizer == OPTIMIZER_MUON;
    make_network(&graph);
    session_open(&session, ops, &graph, &options, IMAGES, SEED);
    session.binding.shuffled = 1;
    session.binding.augment = (struct augment){.translate = 2, .flip = 1, .cutout = 3};
    session.binding.optimizer = (struct optimizer){optimizer, 0.9f, 0.99f, 0.01f, 2.0f, 0.01f, 0.5f};
    session_bind(&session);
    for (int32_t i = 0; i < steps; i++) {
        struct step step = step_number(i);
        session_run(&session, &step);
        if (wait)
            assert_int_equal(
                ops->program_metrics(session.device, session.prepared, trained->metrics, &session.err),
                ST_OK);
    }
    assert_int_equal(ops->program_metrics(session.device, session.prepared, trained->metrics, &session.err),
                     ST_OK);
    trained->total = session.program.weights.total;
    for (enum weight_slot slot = SLOT_VALUE; slot < SLOT_GRADIENT; slot++) {
        trained->slots[slot] = malloc(trained->total * sizeof(float));
        assert_non_null(trained->slots[slot]);
        assert_int_equal(
            ops->weights_download(session.device, session.weights, slot, trained->slots[slot], &session.err),
            ST_OK);
    }
    session_close(&session);
    graph_free(&graph);
}

static void demand_same(const struct trained *found, const struct trained *expected)
{
    assert_int_equal(found->total, expected->total);
    assert_memory_equal(found->metrics, expected->metrics, sizeof(found->metrics));
    for (int slot = 0; slot < SLOT_GRADIENT; slot++)
        assert_memory_equal(found->slots[slot], expected->slots[slot], found->total * sizeof(float));
    assert_true(isfinite(found->metrics[METRIC_LOSS]) && found->metrics[METRIC_LOSS] > 0);
}

/* A device of floats follows the reference as far as rounding lets it: the distance, measured by the change
 * that the training made. */
static void training_agrees(void **state)
{
    (void)state;
    for (int kind = OPTIMIZER_SGD; kind <= OPTIMIZER_MUON; kind++) {
        struct trained ref = {0}, cuda = {0};
        emu.major = FLOAT_MAJOR;
        train(&ref_device_ops, (enum optimizer_kind)kind, STEPS, false, &ref);
        train(&cuda_device_ops, (enum optimizer_kind)kind, STEPS, false, &cuda);
        assert_true(fabs(cuda.metrics[METRIC_LOSS] - ref.metrics[METRIC_LOSS]) <=
                    1e-3 * ref.metrics[METRIC_LOSS]);
        assert_true(fabs(cuda.metrics[METRIC_SAMPLES] - ref.metrics[METRIC_SAMPLES]) <= 0);
        for (int slot = 0; slot < SLOT_GRADIENT; slot++) {
            double distance = 0, size = 0;
            for (size_t i = 0; i < ref.total; i++) {
                double expected = (double)ref.slots[slot][i];
                distance += pow((double)cuda.slots[slot][i] - expected, 2);
                size += expected * expected;
            }
            if (!(sqrt(distance) <= 1e-4 * sqrt(size)))
                fail_msg("optimizer %d, slot %d: %g from the reference of size %g", kind, slot,
                         sqrt(distance), sqrt(size));
            assert_true(size > 0 || (kind != OPTIMIZER_ADAMW && slot == SLOT_SECOND));
        }
        free_trained(&ref);
        free_trained(&cuda);
    }
}

/* Recorded, queued one by one, waited for after every step, in either order of the kernels' threads: the same
 * bits. */
static void demand_recorded_alike(enum optimizer_kind optimizer)
{
    struct trained recorded = {0}, queued = {0}, waited = {0};
    const int64_t recordings = emu_count.recordings, launches = emu_count.graph_launches;
    train(&cuda_device_ops, optimizer, STEPS, false, &recorded);
    assert_int_equal(emu_count.recordings - recordings, 1);
    assert_int_equal(emu_count.graph_launches - launches, STEPS - 1);
    train(&cuda_device_ops, optimizer, STEPS, true, &waited);
    emu.refuse_recording = 1;
    cuda_on_cpu.reverse = 1;
    train(&cuda_device_ops, optimizer, STEPS, false, &queued);
    assert_int_equal(emu_count.graph_launches - launches, 2 * (STEPS - 1));
    emu.refuse_recording = 0;
    cuda_on_cpu.reverse = 0;
    demand_same(&queued, &recorded);
    demand_same(&waited, &recorded);
    free_trained(&recorded);
    free_trained(&queued);
    free_trained(&waited);
}

static void recording_changes_nothing(void **state)
{
    (void)state;
    demand_recorded_alike(OPTIMIZER_ADAMW);
    demand_recorded_alike(OPTIMIZER_MUON);
}

/* Four steps; how they were run. */
static void report_of_steps(struct device_report *report)
{
    struct graph graph = {0};
    struct device_session session;
    struct lower_options options = train_options();
    make_network(&graph);
    session_open(&session, &cuda_device_ops, &graph, &options, IMAGES, SEED);
    for (int32_t i = 0; i < 4; i++) {
        struct step step = step_number(i);
        session_run(&session, &step);
    }
    session.ops->program_report(session.prepared, report);
    session_close(&session);
    graph_free(&graph);
}

/* A step that can't be recorded runs all the same, and the report says why and where: once, for it is not tried
 * again. */
static void failed_recordings_are_told(void **state)
{
    (void)state;
    struct device_report report;
    report_of_steps(&report);
    assert_int_equal(report.failures, 0);
    assert_in_range(report.recorded, 50, 500);
    assert_string_equal(report.reason, "");

    emu.refuse_recording = 1;
    report_of_steps(&report);
    assert_int_equal(report.failures, 1);
    assert_int_equal(report.recorded, 0);
    assert_string_equal(report.reason, "CUDA cannot begin a recording: an error of the emulated GPU "
                                       "(cudaErrorNotSupported)");

    emu.refuse_recording = 0;
    emu.spoil_recording = 2; /* behind the gather */
    report_of_steps(&report);
    assert_int_equal(report.failures, 1);
    assert_int_equal(report.recorded, 0);
    assert_string_equal(report.reason, "convolution, operation 1 of layer 1: it can't be recorded");
}

/* Workspaces as the real cuDNN plans them, for devices that are described in tests/gpu/devices (the test is
 * started from the root of the sources). */
static void real_plans(void **state)
{
    (void)state;
    static const struct {
        const char *profile;
        int major;
    } devices[] = {{"tests/gpu/devices/h100.json", 9}, {"tests/gpu/devices/t4.json", FLOAT_MAJOR}};
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
        struct trained planned = {0}, emulated = {0};
        emu.major = devices[i].major;
        emu.profile = NULL;
        train(&cuda_device_ops, OPTIMIZER_SGD, 3, false, &emulated);
        emu.profile = devices[i].profile;
        train(&cuda_device_ops, OPTIMIZER_SGD, 3, false, &planned);
        demand_same(&planned, &emulated);
        free_trained(&planned);
        free_trained(&emulated);
    }
}

/* No step waits, takes or copies memory, or asks for anything but its parameters and its graph: kernel copies are up to
 * date. */
static void steps_do_not_wait(void **state)
{
    (void)state;
    struct graph graph = {0};
    struct device_session session;
    struct lower_options options = train_options();
    make_network(&graph);
    session_open(&session, &cuda_device_ops, &graph, &options, IMAGES, 5);
    for (int32_t i = 0; i < 2; i++) {
        struct step step = step_number(i);
        session_run(&session, &step);
    }
    struct emu_counts before = emu_count;
    for (int32_t i = 2; i < CUDA_AHEAD; i++) {
        struct step step = step_number(i);
        session_run(&session, &step);
    }
    uint64_t steps = CUDA_AHEAD - 2;
    assert_int_equal(emu_count.waits, before.waits);
    assert_int_equal(emu_count.allocations, before.allocations);
    assert_int_equal(emu_count.copies, before.copies);
    assert_int_equal(emu_count.kernels - before.kernels, steps);
    assert_int_equal(emu_count.graph_launches - before.graph_launches, steps);
    session_close(&session);
    graph_free(&graph);
}

/* More steps than the host may be ahead, with and without waiting. */
static void long_runs(void **state)
{
    (void)state;
    struct trained far = {0}, waited = {0};
    train(&cuda_device_ops, OPTIMIZER_SGD, LONG_RUN, false, &far);
    train(&cuda_device_ops, OPTIMIZER_SGD, LONG_RUN, true, &waited);
    demand_same(&far, &waited);
    free_trained(&far);
    free_trained(&waited);
}

/* Three evaluations: with the weights that the graph was recorded for, bound to others, and back. */
static void evaluate_rebound(double results[3][METRIC_COUNT])
{
    struct graph graph = {0};
    struct device_session session;
    struct device_weights *other = NULL;
    struct lower_options options = {.purpose = PROG_EVALUATE, .batch = BATCH, .batch_norm_momentum = 0.1f};
    const double zeros[METRIC_COUNT] = {0};
    make_network(&graph);
    session_open(&session, &cuda_device_ops, &graph, &options, IMAGES, 5);
    const struct device_ops *ops = session.ops;
    struct step step = step_number(0);
    for (int i = 0; i < 2; i++)
        session_run(&session, &step);
    for (size_t i = 0; i < session.program.weights.total; i++)
        session.values[i] *= 0.5f;
    assert_int_equal(
        ops->weights_new(session.device, &session.program.weights, SLOT_GRADIENT, &other, &session.err),
        ST_OK);
    assert_int_equal(ops->weights_upload(session.device, other, SLOT_VALUE, session.values, &session.err),
                     ST_OK);
    for (int i = 0; i < 3; i++) {
        struct device_binding binding = session.binding;
        binding.weights = i == 1 ? other : session.weights;
        assert_int_equal(ops->program_bind(session.device, session.prepared, &binding, &session.err), ST_OK);
        assert_int_equal(ops->program_set_metrics(session.device, session.prepared, zeros, &session.err),
                         ST_OK);
        session_run(&session, &step);
        assert_int_equal(ops->program_metrics(session.device, session.prepared, results[i], &session.err),
                         ST_OK);
    }
    ops->weights_free(session.device, other);
    session_close(&session);
    graph_free(&graph);
}

/* A graph is used again after the same binding, and not for another. */
static void binds_again(void **state)
{
    (void)state;
    double recorded[3][METRIC_COUNT], queued[3][METRIC_COUNT];
    evaluate_rebound(recorded);
    assert_int_equal(emu_count.recordings, 1);
    assert_int_equal(emu_count.graph_launches, 2);
    emu.refuse_recording = 1;
    evaluate_rebound(queued);
    assert_memory_equal(recorded, queued, sizeof(recorded));
    assert_memory_equal(recorded[0], recorded[2], sizeof(recorded[0]));
    assert_true(fabs(recorded[0][METRIC_LOSS] - recorded[1][METRIC_LOSS]) > 0);
}

/* ---- failures ---- */

struct attempt {
    struct program program;
    struct random_images images;
    int32_t samples[IMAGES];
    struct device *device;
    struct device_dataset *dataset;
    struct device_weights *weights;
    struct device_program *prepared;
};

/* Open, prepare, train three steps, read. The first error, or ST_OK. */
static enum status run_attempt(struct attempt *a, struct error *err)
{
    const struct device_options options = {0};
    const struct device_ops *ops = &cuda_device_ops;
    double metrics[METRIC_COUNT];
    enum status st = ops->open(&options, &a->device, err);
    if (st == ST_OK)
        st = ops->dataset_upload(a->device, &a->images.view, &a->dataset, err);
    if (st == ST_OK)
        st = ops->weights_new(a->device, &a->program.weights, SLOT_GRADIENT, &a->weights, err);
    if (st == ST_OK)
        st = ops->program_prepare(a->device, &a->program, &a->prepared, err);
    if (st != ST_OK)
        return st;
    const struct device_binding binding = {
        .weights = a->weights,
        .dataset = a->dataset,
        .samples = a->samples,
        .sample_count = IMAGES,
        .optimizer = {.kind = OPTIMIZER_SGD, .momentum = 0.9f, .decay = 0.01f}};
    st = ops->program_bind(a->device, a->prepared, &binding, err);
    for (int32_t i = 0; st == ST_OK && i < 3; i++) {
        struct step step = step_number(i);
        st = ops->program_run(a->device, a->prepared, &step, err);
    }
    if (st == ST_OK)
        st = ops->program_metrics(a->device, a->prepared, metrics, err);
    return st;
}

static void end_attempt(struct attempt *a)
{
    const struct device_ops *ops = &cuda_device_ops;
    if (a->device != NULL) {
        ops->program_free(a->device, a->prepared);
        ops->weights_free(a->device, a->weights);
        ops->dataset_free(a->device, a->dataset);
        ops->close(a->device);
    }
    a->device = NULL, a->dataset = NULL, a->weights = NULL, a->prepared = NULL;
}

/* Call after call fails until a whole run gets through: each time an error of one line, and nothing is left. Memory to
 * try a convolution may be lacking: then its choice is untried. */
static void every_call_may_fail(void **state)
{
    (void)state;
    struct attempt attempt = {0};
    struct graph graph = {0};
    struct error err = {0};
    struct lower_options options = train_options();
    make_network(&graph);
    assert_int_equal(lower_graph(&graph, &options, &attempt.program, &err), ST_OK);
    assert_int_equal(random_images_make(&attempt.images, &graph, IMAGES, 3, &err), ST_OK);
    for (int32_t i = 0; i < IMAGES; i++)
        attempt.samples[i] = i;
    enum status st = run_attempt(&attempt, &err);
    assert_int_equal(st, ST_OK);
    uint64_t calls = emu_count.calls, failures = 0, untried = 0;
    end_attempt(&attempt);
    assert_true(calls > 100);
    for (uint64_t at = 1; at <= calls; at += at < 64 ? 1 : 5) {
        emu_reset();
        emu.fail_at = at;
        st = run_attempt(&attempt, &err);
        if (st != ST_DEVICE && st != ST_MEMORY && (st != ST_OK || emu_count.untried == 0))
            fail_msg("call %llu failed, and the run ended with %s", (unsigned long long)at, status_name(st));
        assert_true(st == ST_OK || (err.message[0] != '\0' && strchr(err.message, '\n') == NULL));
        failures++;
        untried += st == ST_OK;
        end_attempt(&attempt);
        if (emu_count.objects != 0)
            fail_msg("call %llu failed, and %llu objects are left", (unsigned long long)at,
                     (unsigned long long)emu_count.objects);
    }
    printf("%llu of %llu calls failed in turn, %llu of them for want of memory to try a convolution\n",
           (unsigned long long)failures, (unsigned long long)calls, (unsigned long long)untried);
    assert_in_range(untried, 1, failures / 5);
    random_images_free(&attempt.images);
    program_free(&attempt.program);
    graph_free(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(training_agrees, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(recording_changes_nothing, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(failed_recordings_are_told, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(real_plans, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(steps_do_not_wait, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(long_runs, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(binds_again, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(every_call_may_fail, emu_test_begin, emu_test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
