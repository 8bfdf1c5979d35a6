/* Whole steps on the CPU device: training agrees with the reference, is the same bit for bit from run to run,
 * takes no memory; copies of weights follow the weights; wrong use gets a clear error. */
#include "host/cpu/cpu_internal.h"
#include "host/net/start.h"
#include "tests/support/cpu_compare.h"
#include "tests/support/device_session.h"

#include <malloc.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { IMAGES = 40, CLASSES = 5, BATCH = 16 };

static void make_start(struct graph *graph, const char *name, int32_t side)
{
    struct error err;
    if (start_make(graph, name, 8, (struct shape){0, 3, side, side}, CLASSES, &err) != ST_OK)
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

/* Step i of the run: epochs of IMAGES rows, the last batch ragged. */
static struct step step_number(int32_t i)
{
    int32_t per_epoch = (IMAGES + BATCH - 1) / BATCH, position = i % per_epoch * BATCH;
    return (struct step){.seed = 11,
                         .number = (uint32_t)i,
                         .epoch = (uint32_t)(i / per_epoch),
                         .first = (uint32_t)position,
                         .valid = position + BATCH <= IMAGES ? BATCH : IMAGES - position,
                         .learning_rate = 0.004f,
                         .average_decay = 0.8f};
}

static void bind_training(struct device_session *session, enum optimizer_kind kind)
{
    session->binding.shuffled = 1;
    session->binding.augment = (struct augment){.translate = 2, .flip = 1, .cutout = 3};
    session->binding.optimizer = (struct optimizer){kind, 0.9f, 0.99f, 0.01f, 2.0f, 0.01f, 0.5f};
    session_bind(session);
}

static double metric_after(struct device_session *session, const struct step *step, enum metric metric)
{
    const double zero[METRIC_COUNT] = {0};
    double metrics[METRIC_COUNT];
    const struct device_ops *ops = session->ops;
    assert_int_equal(ops->program_set_metrics(session->device, session->prepared, zero, &session->err),
                     ST_OK);
    session_run(session, step);
    assert_int_equal(ops->program_metrics(session->device, session->prepared, metrics, &session->err), ST_OK);
    assert_int_equal((int)metrics[METRIC_SAMPLES], step->valid);
    return metrics[metric];
}

static void start_weights(struct device_session *session, const struct graph *graph)
{
    weight_initialise(&session->program.weights, graph, 3, NULL, session->values);
    session_upload(session);
}

static float *download(struct device_session *session, enum weight_slot slot)
{
    float *values = malloc(session->program.weights.total * sizeof(*values));
    assert_non_null(values);
    assert_int_equal(
        session->ops->weights_download(session->device, session->weights, slot, values, &session->err),
        ST_OK);
    return values;
}

/* Gives the reference the CPU's slots. */
static void synchronise(struct device_session *ref, struct device_session *cpu)
{
    for (enum weight_slot slot = SLOT_VALUE; slot < SLOT_GRADIENT; slot++) {
        float *values = download(cpu, slot);
        assert_int_equal(ref->ops->weights_upload(ref->device, ref->weights, slot, values, &ref->err), ST_OK);
        free(values);
    }
}

/* |a - b| over all weights (Euclid). */
static double distance(const struct device_session *session, const float *a, const float *b)
{
    double sum = 0;
    for (size_t i = 0; i < session->program.weights.total; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum);
}

/* Steps on both devices. `together`: each step starts from the same weights, so that no rounding grows from
 * step to step (deep networks with batch norm are chaotic: by a factor of thousands in ten steps); then the
 * changes of all weights must agree too, in sum: a ReLU whose input rounds to the other side of 0 changes a
 * few of them visibly. */
static void train_beside_reference(const char *name, int32_t side, int32_t steps, bool together)
{
    struct graph graph = {0};
    struct lower_options options = train_options();
    struct device_session ref, cpu;
    make_start(&graph, name, side);
    session_open(&ref, &ref_device_ops, &graph, &options, IMAGES, 5);
    session_open(&cpu, &cpu_device_ops, &graph, &options, IMAGES, 5);
    start_weights(&ref, &graph);
    start_weights(&cpu, &graph);
    bind_training(&ref, OPTIMIZER_SGD);
    bind_training(&cpu, OPTIMIZER_SGD);
    for (int32_t i = 0; i < steps; i++) {
        struct step step = step_number(i);
        float *before = download(&cpu, SLOT_VALUE);
        double expected = metric_after(&ref, &step, METRIC_LOSS),
               found = metric_after(&cpu, &step, METRIC_LOSS);
        if (!(fabs(found - expected) <= 1e-5 * expected))
            fail_msg("%s, step %d: loss %.9g, expected %.9g", name, (int)i, found, expected);
        float *there = download(&ref, SLOT_VALUE), *here = download(&cpu, SLOT_VALUE);
        double moved = distance(&ref, before, there), apart = distance(&ref, here, there);
        assert_true(moved > 1e-4);
        if (!(apart <= (together ? 1e-2 : 1e-4) * moved))
            fail_msg("%s, step %d: weights %.3g apart, moved by %.3g", name, (int)i, apart, moved);
        if (together)
            synchronise(&ref, &cpu);
        free(before);
        free(there);
        free(here);
    }
    session_close(&ref);
    session_close(&cpu);
    graph_free(&graph);
}

static void trains_like_the_reference(void **state)
{
    (void)state;
    train_beside_reference("cnn", 12, 20, false);
    train_beside_reference("lean", 12, 20, true);
    train_beside_reference("resnet", 16, 20, true);
    train_beside_reference("densenet", 16, 20, true);
}

/* Puts the session on a device with two threads and that precision. */
static void use_two_threads(struct device_session *session, enum device_precision precision)
{
    const struct device_ops *ops = session->ops;
    struct device_options options = {.threads = 2, .precision = precision};
    struct error *err = &session->err;
    ops->program_free(session->device, session->prepared);
    ops->weights_free(session->device, session->weights);
    ops->dataset_free(session->device, session->dataset);
    ops->close(session->device);
    assert_int_equal(ops->open(&options, &session->device, err), ST_OK);
    assert_int_equal(ops->dataset_upload(session->device, &session->images.view, &session->dataset, err),
                     ST_OK);
    assert_int_equal(
        ops->weights_new(session->device, &session->program.weights, SLOT_GRADIENT, &session->weights, err),
        ST_OK);
    assert_int_equal(ops->program_prepare(session->device, &session->program, &session->prepared, err),
                     ST_OK);
    session->binding.weights = session->weights;
    session->binding.dataset = session->dataset;
}

static void same_bits(enum device_precision precision)
{
    struct graph graph = {0};
    struct lower_options options = train_options();
    float *values[2][SLOT_GRADIENT];
    double losses[2];
    size_t bytes = 0;
    make_start(&graph, "resnet", 16);
    for (int32_t run = 0; run < 2; run++) {
        struct device_session session;
        session_open(&session, &cpu_device_ops, &graph, &options, IMAGES, 5);
        use_two_threads(&session, precision);
        start_weights(&session, &graph);
        bind_training(&session, OPTIMIZER_ADAMW);
        for (int32_t i = 0; i < 6; i++) {
            struct step step = step_number(i);
            losses[run] = metric_after(&session, &step, METRIC_LOSS);
        }
        for (enum weight_slot slot = SLOT_VALUE; slot < SLOT_GRADIENT; slot++)
            values[run][slot] = download(&session, slot);
        bytes = session.program.weights.total * sizeof(float);
        session_close(&session);
    }
    assert_memory_equal(&losses[0], &losses[1], sizeof(losses[0]));
    for (enum weight_slot slot = SLOT_VALUE; slot < SLOT_GRADIENT; slot++) {
        assert_memory_equal(values[0][slot], values[1][slot], bytes);
        free(values[0][slot]);
        free(values[1][slot]);
    }
    graph_free(&graph);
}

static void same_bits_twice(void **state)
{
    (void)state;
    same_bits(PRECISION_FP32);
}

static void same_bits_twice_in_bf16(void **state)
{
    (void)state;
    cpu_bf16_or_skip();
    same_bits(PRECISION_BF16);
}

static size_t heap_in_use(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* Whether the allocator tells what it holds (a sanitizer's does not). */
static bool heap_is_counted(void)
{
    enum { PROBE = 1 << 20 };
    size_t before = heap_in_use();
    char *probe = malloc(PROBE);
    assert_non_null(probe);
    memset(probe, 1, PROBE);
    bool counted = heap_in_use() >= before + PROBE;
    free(probe);
    return counted;
}

/* program_bytes tells what bind takes, and a step keeps nothing. */
static void memory_is_known(void **state)
{
    (void)state;
    enum { MARGIN = 3 << 20 }; /* what the allocator adds to reach an alignment of 2 MiB */
    struct graph graph = {0};
    struct lower_options options = train_options();
    struct device_session session;
    if (!heap_is_counted())
        skip();
    make_start(&graph, "cnn", 32);
    session_open(&session, &cpu_device_ops, &graph, &options, IMAGES, 5);
    start_weights(&session, &graph);
    struct device_program *other = NULL;
    assert_int_equal(cpu_device_ops.program_prepare(session.device, &session.program, &other, &session.err),
                     ST_OK);
    size_t bytes = cpu_device_ops.program_bytes(other), before = heap_in_use();
    assert_int_equal(cpu_device_ops.program_bind(session.device, other, &session.binding, &session.err),
                     ST_OK);
    size_t taken = heap_in_use() - before;
    assert_true(taken >= bytes && taken <= bytes + MARGIN);
    assert_int_equal(cpu_device_ops.program_bytes(other), bytes);
    struct step step = step_number(0);
    assert_int_equal(cpu_device_ops.program_run(session.device, other, &step, &session.err), ST_OK);
    before = heap_in_use();
    for (int32_t i = 0; i < 5; i++)
        assert_int_equal(cpu_device_ops.program_run(session.device, other, &step, &session.err), ST_OK);
    assert_int_equal(heap_in_use(), before);
    cpu_device_ops.program_free(session.device, other);
    session_close(&session);
    graph_free(&graph);
}

static void read_probabilities(struct device_session *session, float *probabilities)
{
    struct step step = step_number(0);
    session_run(session, &step);
    assert_int_equal(
        session->ops->program_probabilities(session->device, session->prepared, probabilities, &session->err),
        ST_OK);
}

/* Evaluation keeps copies of the weights in other layouts: they must follow uploads, remaps and the choice of
 * slot. */
static void copies_follow_the_weights(void **state)
{
    (void)state;
    struct graph graph = {0};
    struct lower_options options = {.purpose = PROG_EVALUATE, .batch = BATCH};
    struct device_session session;
    struct device_weights *parent = NULL;
    struct remap_list remaps = {0};
    float first[BATCH * CLASSES], changed[BATCH * CLASSES], again[BATCH * CLASSES];
    make_start(&graph, "cnn", 12);
    session_open(&session, &cpu_device_ops, &graph, &options, IMAGES, 5);
    const struct weight_table *table = &session.program.weights;
    start_weights(&session, &graph);
    read_probabilities(&session, first);
    assert_int_equal(session.ops->weights_new(session.device, table, SLOT_GRADIENT, &parent, &session.err),
                     ST_OK);
    assert_int_equal(
        session.ops->weights_upload(session.device, parent, SLOT_AVERAGE, session.values, &session.err),
        ST_OK);

    for (size_t i = 0; i < table->total; i++)
        session.values[i] *= 1.5f;
    session_upload(&session);
    read_probabilities(&session, changed);
    assert_memory_not_equal(first, changed, sizeof(first));

    session.binding.use_average = 1; /* still what session_open put there */
    session_bind(&session);
    read_probabilities(&session, again);
    assert_memory_not_equal(changed, again, sizeof(changed));
    session.binding.use_average = 0;
    session_bind(&session);
    read_probabilities(&session, again);
    assert_memory_equal(changed, again, sizeof(changed));

    assert_int_equal(remap_list_new(&remaps, table, table, &session.err), ST_OK);
    assert_int_equal(session.ops->weights_remap(session.device, session.weights, parent, SLOT_AVERAGE,
                                                &remaps, 1, &session.err),
                     ST_OK);
    read_probabilities(&session, again);
    assert_memory_equal(first, again, sizeof(first));

    remap_list_free(&remaps);
    session.ops->weights_free(session.device, parent);
    session_close(&session);
    graph_free(&graph);
}

/* Muon's updates are as large as their kernels. */
static void updates_take_their_kernels_memory(void **state)
{
    (void)state;
    struct graph graph = {0};
    struct lower_options options = train_options();
    struct device_session session;
    int32_t updates = 0;
    options.orthogonalise = true;
    make_start(&graph, "cnn", 32);
    session_open(&session, &cpu_device_ops, &graph, &options, IMAGES, 5);
    for (int32_t t = 0; t < session.program.tensor_count; t++) {
        const struct prog_tensor *tensor = &session.program.tensors[t];
        if (tensor->kind != TENSOR_UPDATE)
            continue;
        updates++;
        assert_int_equal(session.prepared->tensors[t].bytes,
                         session.program.weights.tensors[tensor->weight].count * sizeof(float));
    }
    assert_true(updates > 0);
    session_close(&session);
    graph_free(&graph);
}

/* What the job asks for, what a run that is gone on with was in, and what hangs on no clock. */
static void precision_is_chosen(void **state)
{
    (void)state;
    cpu_bf16_or_skip();
    static const struct {
        struct device_options options;
        enum device_precision taken;
    } cases[] = {
        {{.precision = PRECISION_BF16}, PRECISION_BF16},
        {{.precision = PRECISION_FP32}, PRECISION_FP32},
        {{.precision = PRECISION_FP32, .before = PRECISION_BF16}, PRECISION_FP32},
        {{.before = PRECISION_BF16}, PRECISION_BF16},
        {{.before = PRECISION_FP32}, PRECISION_FP32},
        {{.untimed = true}, PRECISION_FP32},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct device *device = NULL;
        struct device_info info;
        struct error err;
        assert_int_equal(cpu_device_ops.open(&cases[i].options, &device, &err), ST_OK);
        cpu_device_ops.info(device, &info);
        assert_int_equal(info.precision, cases[i].taken);
        assert_true(info.rounding == (info.precision == PRECISION_BF16 ? 0x1p-8 : 0x1p-24));
        assert_non_null(strstr(info.name, info.precision == PRECISION_BF16 ? ", bf16," : ", float32,"));
        cpu_device_ops.close(device);
    }
}

static void wrong_options_get_an_error(void **state)
{
    (void)state;
    struct error err;
    struct device *device = NULL;
    assert_int_equal(
        cpu_device_ops.open(&(struct device_options){.precision = PRECISION_TF32}, &device, &err),
        ST_UNSUPPORTED);
    assert_non_null(strstr(err.message, "train.precision: found tf32, expected "));
    assert_int_equal(cpu_device_ops.open(&(struct device_options){.threads = -1}, &device, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "-1 threads"));
    assert_int_equal(cpu_device_ops.open(&(struct device_options){.index = -1}, &device, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "index is -1"));
}

static void device_describes_itself(void **state)
{
    (void)state;
    struct error err;
    struct device *device = NULL;
    struct device_info info;
    cpu_set_t before, after;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    assert_int_equal(cpu_device_ops.open(&(struct device_options){.index = 1}, &device, &err), ST_OK);
    cpu_device_ops.info(device, &info);
    assert_int_equal(strncmp(info.name, "cpu:1 ", 6), 0);
    assert_string_equal(info.library, "onednn");
    assert_true(info.versions[0] >= '2' && info.versions[0] <= '9');
    assert_string_equal(strstr(info.name, "oneDNN ") + strlen("oneDNN "), info.versions);
    assert_true(info.threads >= 1 && info.threads <= CPU_COUNT(&before));
    assert_true(info.flops > 1e8 && info.flops < 1e15);
    assert_true(info.bytes > 1e8 && info.bytes < 1e13);
    assert_true(info.memory_free > 0 && info.memory_free <= info.memory_total);
    cpu_device_ops.close(device);
    assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
    assert_true(CPU_EQUAL(&before, &after)); /* the calling thread gets its CPUs back */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trains_like_the_reference),         cmocka_unit_test(same_bits_twice),
        cmocka_unit_test(same_bits_twice_in_bf16),           cmocka_unit_test(memory_is_known),
        cmocka_unit_test(copies_follow_the_weights),         cmocka_unit_test(wrong_options_get_an_error),
        cmocka_unit_test(updates_take_their_kernels_memory), cmocka_unit_test(precision_is_chosen),
        cmocka_unit_test(device_describes_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
