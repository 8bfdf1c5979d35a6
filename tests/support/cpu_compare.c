/* Operation by operation: the CPU device against the reference. */
#include "tests/support/cpu_compare.h"

#include "host/cpu/cpu_internal.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const double unit = 0x1p-24; /* half the distance of 1 to the next float */

struct pair {
    const struct cpu_case *c;
    struct device_session ref, cpu;
    struct cpu_tally *tally;
    int32_t op;
    double in[PROG_MAX_INPUTS];      /* largest sizes of the operation's inputs, 0 where absent */
    double least[PROG_MAX_INPUTS];   /* and smallest values */
    float *bounds[PROG_MAX_OUTPUTS]; /* of convolutions and dense layers: see measure_bounds */
    double invstd;                   /* largest 1 / deviation that a batch norm of the reference computed */
};

static const struct prog_op *op_of(const struct pair *pair)
{
    return &pair->ref.program.ops[pair->op];
}

static struct shape shape_of(const struct pair *pair, int32_t tensor)
{
    return pair->ref.program.tensors[tensor].shape;
}

static double largest(const float *values, size_t count)
{
    double size = 0;
    for (size_t i = 0; i < count; i++)
        size = fmax(size, fabs((double)values[i]));
    return size;
}

static void demand_close(const struct pair *pair, const char *what, size_t place, double found,
                         double expected, double tolerance)
{
    if (fabs(found - expected) <= tolerance)
        return;
    fail_msg("seed %llu, operation %d (%s of layer %u), %s at %zu: %.9g, expected %.9g within %.3g",
             (unsigned long long)pair->c->seed, (int)pair->op, prog_op_name(op_of(pair)->kind),
             (unsigned)op_of(pair)->layer_id, what, place, found, expected, tolerance);
}

/* ---- tolerances ----
 * A float sum of k terms errs by at most k roundings of the sum of the terms' sizes. */
static double sum_tolerance(double terms, double sizes)
{
    return unit * (terms + 8) * sizes;
}

static double norm_tolerance(const struct pair *pair, int32_t output)
{
    const struct prog_op *op = op_of(pair);
    const double *in = pair->in;
    struct shape x = shape_of(pair, op->inputs[0]);
    double count = (double)x.n * x.h * x.w,
           spread = sqrt(count); /* no value lies further out, in deviations */
    if (op->kind == PROG_OP_BATCH_NORM_INFERENCE) {
        double slope = in[1] / sqrt(pair->least[4] + (double)GRAPH_BATCH_NORM_EPSILON);
        return 16 * unit * (slope * (in[0] + in[3]) + in[2] + in[5]);
    }
    if (op->kind == PROG_OP_BATCH_NORM) {
        if (output == 0)
            return 16 * unit * (in[1] * (in[0] * pair->invstd + spread) + in[2] + in[5]);
        return output == 1 ? 8 * unit * in[0] : 32 * unit * pair->invstd;
    }
    double place = spread + in[0] * in[5]; /* size and rounding of (x - mean) * invstd */
    if (output == 0)
        return 32 * unit * in[3] * in[5] * in[2] * (1 + spread) * (1 + place);
    return output == 1   ? sum_tolerance(count, count * in[2] * (1 + place))
           : output == 2 ? sum_tolerance(count, count * in[2])
                         : 0;
}

static bool is_product(enum prog_op_kind kind)
{
    return kind == PROG_OP_CONV || kind == PROG_OP_CONV_BACKWARD_DATA ||
           kind == PROG_OP_CONV_BACKWARD_WEIGHTS || kind == PROG_OP_DENSE ||
           kind == PROG_OP_DENSE_BACKWARD_DATA || kind == PROG_OP_DENSE_BACKWARD_WEIGHTS;
}

/* Most terms of one sum of a convolution or dense layer, in whichever direction. */
static double terms_of(const struct pair *pair)
{
    const struct prog_op *op = op_of(pair);
    struct shape a = shape_of(pair, op->inputs[0]), b = shape_of(pair, op->inputs[1]);
    switch (op->kind) {
    case PROG_OP_CONV:
        return (double)b.c * b.h * b.w + 1;
    case PROG_OP_CONV_BACKWARD_DATA:
        return (double)a.c / op->window.groups * b.h * b.w;
    case PROG_OP_DENSE:
        return (double)a.c * a.h * a.w + 1;
    case PROG_OP_DENSE_BACKWARD_DATA:
        return a.c;
    default: /* the gradients of kernels: one term a place of dy */
        return (double)b.n * b.h * b.w;
    }
}

/* Tolerance of the outputs that are no products of kernels; `size`: their largest. */
static double tolerance_of(const struct pair *pair, int32_t output, double size)
{
    const struct prog_op *op = op_of(pair);
    const double *in = pair->in;
    struct shape first = op->input_count > 0 ? shape_of(pair, op->inputs[0]) : (struct shape){0, 0, 0, 0};
    double window = (double)op->window.kernel_h * op->window.kernel_w;
    switch (op->kind) {
    case PROG_OP_BATCH_NORM:
    case PROG_OP_BATCH_NORM_BACKWARD:
    case PROG_OP_BATCH_NORM_INFERENCE:
        return norm_tolerance(pair, output);
    case PROG_OP_MAX_POOL_BACKWARD:
        return window > 1 ? sum_tolerance(window, window * in[0]) : 0;
    case PROG_OP_AVERAGE_POOL:
    case PROG_OP_AVERAGE_POOL_BACKWARD:
        return sum_tolerance(window, window * in[0]);
    case PROG_OP_GLOBAL_POOL:
        return sum_tolerance((double)first.h * first.w, in[0]);
    case PROG_OP_GATHER:
    case PROG_OP_GLOBAL_POOL_BACKWARD:
    case PROG_OP_DROPOUT:
    case PROG_OP_DROPOUT_BACKWARD:
    case PROG_OP_LOSS:
        return 8 * unit * fmax(size, 1.0);
    case PROG_OP_ADD:
    case PROG_OP_RELU:
    case PROG_OP_RELU_BACKWARD:
    case PROG_OP_CONCAT:
    case PROG_OP_SPLIT:
    case PROG_OP_MAX_POOL:
        break;
    default:
        fail_msg("no tolerance for %s", prog_op_name(op->kind));
    }
    return 0; /* exact */
}

/* ---- one operation ---- */

/* Gives both devices the reference's value of `tensor`, rounded to float. */
static float *share(struct pair *pair, int32_t tensor)
{
    float *values = session_read(&pair->ref, tensor);
    session_write(&pair->ref, tensor, values);
    session_write(&pair->cpu, tensor, values);
    return values;
}

static void share_inputs(struct pair *pair)
{
    const struct prog_op *op = op_of(pair);
    for (int32_t i = 0; i < PROG_MAX_INPUTS; i++) {
        pair->in[i] = pair->least[i] = 0;
        int32_t tensor = i < op->input_count ? op->inputs[i] : -1;
        enum tensor_kind kind = tensor >= 0 ? pair->ref.program.tensors[tensor].kind : TENSOR_INDEX;
        if (kind == TENSOR_INDEX || kind == TENSOR_LABELS)
            continue;
        float *values = kind == TENSOR_WEIGHT ? session_read(&pair->ref, tensor) : share(pair, tensor);
        size_t count = session_count(&pair->ref, tensor);
        pair->in[i] = largest(values, count);
        pair->least[i] = (double)values[0];
        for (size_t k = 1; k < count; k++)
            pair->least[i] = fmin(pair->least[i], (double)values[k]);
        free(values);
    }
    for (int32_t t = 0; op->kind == PROG_OP_OPTIMIZER && t < pair->ref.program.tensor_count; t++)
        if (pair->ref.program.tensors[t].kind == TENSOR_GRADIENT)
            free(share(pair, t));
}

/* Sizes of a float array, in place. */
static void take_sizes(float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = fabsf(values[i]);
}

/* The weights that the program reads become their sizes; returns what they were. */
static float *weights_to_sizes(struct pair *pair, enum weight_slot slot)
{
    struct device_session *ref = &pair->ref;
    size_t total = ref->program.weights.total;
    float *before = malloc(total * sizeof *before), *sizes = malloc(total * sizeof *sizes);
    assert_non_null(before);
    assert_non_null(sizes);
    assert_int_equal(ref->ops->weights_download(ref->device, ref->weights, slot, before, &ref->err), ST_OK);
    memcpy(sizes, before, total * sizeof *sizes);
    take_sizes(sizes, total);
    assert_int_equal(ref->ops->weights_upload(ref->device, ref->weights, slot, sizes, &ref->err), ST_OK);
    free(sizes);
    return before;
}

/* Sums of products: the reference runs the operation once over the sizes of all its operands, which yields,
 * for every element of the result, the sum of the sizes of its terms. */
static void measure_bounds(struct pair *pair, const struct step *step)
{
    const struct prog_op *op = op_of(pair);
    struct device_session *ref = &pair->ref;
    if (!is_product(op->kind))
        return;
    enum weight_slot slot = pair->c->use_average ? SLOT_AVERAGE : SLOT_VALUE;
    float *weights = weights_to_sizes(pair, slot), *before[PROG_MAX_INPUTS] = {0};
    for (int32_t i = 0; i < op->input_count; i++) {
        if (op->inputs[i] < 0 || ref->program.tensors[op->inputs[i]].kind != TENSOR_ACTIVATION)
            continue;
        before[i] = session_read(ref, op->inputs[i]);
        float *sizes = session_read(ref, op->inputs[i]);
        take_sizes(sizes, session_count(ref, op->inputs[i]));
        session_write(ref, op->inputs[i], sizes);
        free(sizes);
    }
    session_run_op(ref, pair->op, step);
    for (int32_t o = 0; o < op->output_count; o++)
        pair->bounds[o] = op->outputs[o] >= 0 ? session_read(ref, op->outputs[o]) : NULL;
    for (int32_t i = 0; i < op->input_count; i++) {
        if (before[i] != NULL)
            session_write(ref, op->inputs[i], before[i]);
        free(before[i]);
    }
    assert_int_equal(ref->ops->weights_upload(ref->device, ref->weights, slot, weights, &ref->err), ST_OK);
    free(weights);
}

/* Makes what the operation has to write NaN on the CPU (bytes 255), and all scratch. */
static void poison(struct pair *pair)
{
    const struct prog_op *op = op_of(pair);
    struct device_program *prepared = pair->cpu.prepared;
    memset(prepared->memory + prepared->scratch, 255, prepared->gradients - prepared->scratch);
    for (int32_t o = 0; o < op->output_count; o++) {
        int32_t tensor = op->outputs[o];
        if (tensor < 0 || prepared->program->tensors[tensor].kind == TENSOR_METRICS)
            continue;
        size_t bytes = prepared->tensors[tensor].bytes;
        if (bytes == 0)
            bytes = session_count(&pair->cpu, tensor) * sizeof(float);
        memset(cpu_tensor_address(prepared, tensor), 255, bytes);
    }
}

/* Lanes beyond the channels of an activation or vector. */
static void check_lanes(struct pair *pair, int32_t tensor)
{
    struct device_program *prepared = pair->cpu.prepared;
    enum tensor_kind kind = prepared->program->tensors[tensor].kind;
    if (prepared->tensors[tensor].plain || (kind != TENSOR_ACTIVATION && kind != TENSOR_VECTOR))
        return;
    struct shape s = shape_of(pair, tensor);
    const float *values = cpu_tensor_address(prepared, tensor);
    int32_t block = prepared->device->block, blocks = (s.c + block - 1) / block;
    size_t plane = (size_t)s.h * (size_t)s.w;
    for (size_t i = 0; i < (size_t)s.n * (size_t)blocks * plane * (size_t)block; i++) {
        size_t channel = i / ((size_t)block * plane) % (size_t)blocks * (size_t)block + i % (size_t)block;
        if (channel >= (size_t)s.c)
            demand_close(pair, "padding", i, (double)values[i], 0, 0);
    }
}

/* Compares a tensor within `tolerance`, or as the operation's output number `output` when that is not -1. */
static void compare_tensor(struct pair *pair, int32_t output, int32_t tensor, const char *what,
                           double tolerance, bool *alive)
{
    float *expected = session_read(&pair->ref, tensor), *found = session_read(&pair->cpu, tensor);
    size_t count = session_count(&pair->ref, tensor);
    double size = largest(expected, count);
    const float *bounds = output >= 0 ? pair->bounds[output] : NULL;
    if (output >= 0 && bounds == NULL)
        tolerance = tolerance_of(pair, output, size);
    for (size_t i = 0; i < count; i++)
        demand_close(pair, what, i, (double)found[i], (double)expected[i],
                     bounds != NULL ? sum_tolerance(terms_of(pair), (double)bounds[i]) : tolerance);
    *alive = *alive || size > 0;
    free(expected);
    free(found);
}

/* Compares a slot of the weights and gives both devices the same floats again. */
static void compare_slot(struct pair *pair, enum weight_slot slot)
{
    size_t total = pair->ref.program.weights.total;
    float *expected = malloc(total * sizeof *expected), *found = malloc(total * sizeof *found);
    assert_non_null(expected);
    assert_non_null(found);
    struct error err;
    struct device_session *ref = &pair->ref, *cpu = &pair->cpu;
    assert_int_equal(ref->ops->weights_download(ref->device, ref->weights, slot, expected, &err), ST_OK);
    assert_int_equal(cpu->ops->weights_download(cpu->device, cpu->weights, slot, found, &err), ST_OK);
    double tolerance = 16 * unit * largest(expected, total);
    for (size_t i = 0; i < total; i++)
        demand_close(pair, "weights", i, (double)found[i], (double)expected[i], tolerance);
    assert_int_equal(ref->ops->weights_upload(ref->device, ref->weights, slot, expected, &err), ST_OK);
    assert_int_equal(cpu->ops->weights_upload(cpu->device, cpu->weights, slot, expected, &err), ST_OK);
    free(expected);
    free(found);
}

static void compare_outputs(struct pair *pair)
{
    const struct prog_op *op = op_of(pair);
    bool alive = op->kind == PROG_OP_OPTIMIZER || op->kind == PROG_OP_WEIGHT_AVERAGE;
    if (op->kind == PROG_OP_BATCH_NORM) {
        float *invstd = session_read(&pair->ref, op->outputs[2]);
        pair->invstd = largest(invstd, session_count(&pair->ref, op->outputs[2]));
        free(invstd);
        compare_tensor(pair, -1, op->inputs[3], "running mean", 16 * unit * (pair->in[0] + pair->in[3]),
                       &alive);
        compare_tensor(pair, -1, op->inputs[4], "running variance",
                       16 * unit * (pair->in[0] * pair->in[0] + pair->in[4]), &alive);
    }
    for (int32_t o = 0; o < op->output_count; o++) {
        int32_t tensor = op->outputs[o];
        if (tensor < 0 || pair->ref.program.tensors[tensor].kind == TENSOR_INDEX)
            continue;
        compare_tensor(pair, o, tensor, "output", 0, &alive);
        check_lanes(pair, tensor);
    }
    for (enum weight_slot slot = SLOT_VALUE; alive && slot < SLOT_GRADIENT; slot++)
        if (op->kind == PROG_OP_OPTIMIZER || op->kind == PROG_OP_WEIGHT_AVERAGE)
            compare_slot(pair, slot);
    pair->tally->ops[op->kind]++;
    pair->tally->alive[op->kind] += alive;
}

static void bind_case(struct device_session *session, const struct cpu_case *c)
{
    session->binding.shuffled = 1;
    session->binding.augment = c->augment;
    session->binding.use_average = c->use_average;
    session->binding.optimizer = (struct optimizer){c->optimizer, 0.9f, 0.99f, 0.01f};
    session_bind(session);
}

void cpu_compare(const struct cpu_case *c, struct cpu_tally *tally)
{
    struct pair pair = {.c = c, .tally = tally};
    session_open(&pair.ref, &ref_device_ops, c->graph, &c->options, c->images, c->seed);
    session_open(&pair.cpu, &cpu_device_ops, c->graph, &c->options, c->images, c->seed);
    bind_case(&pair.ref, c);
    bind_case(&pair.cpu, c);
    for (int32_t i = 0; i < c->steps; i++) {
        struct step step = {.seed = c->seed,
                            .number = (uint32_t)i,
                            .epoch = (uint32_t)i,
                            .first = (uint32_t)(i % (c->images - c->valid + 1)),
                            .valid = c->valid,
                            .learning_rate = 0.125f,
                            .average_decay = 0.75f};
        for (pair.op = 0; pair.op < pair.ref.program.op_count; pair.op++) {
            share_inputs(&pair);
            measure_bounds(&pair, &step);
            poison(&pair);
            session_run_op(&pair.ref, pair.op, &step);
            session_run_op(&pair.cpu, pair.op, &step);
            compare_outputs(&pair);
            for (int32_t o = 0; o < PROG_MAX_OUTPUTS; o++) {
                free(pair.bounds[o]);
                pair.bounds[o] = NULL;
            }
        }
    }
    session_close(&pair.cpu);
    session_close(&pair.ref);
}
