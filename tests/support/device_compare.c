/* Operation by operation: a device against the reference. */
#include "tests/support/device_compare.h"

#include "tests/support/activations.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const double unit = 0x1p-24; /* half the distance of 1 to the next float */

struct pair {
    const struct device_case *c;
    const struct device_under_test *kind;
    struct device_session ref, device;
    struct device_tally *tally;
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

static void demand_close(const struct pair *pair, const char *what, size_t element, double found,
                         double expected, double tolerance)
{
    if (fabs(found - expected) <= tolerance)
        return;
    fail_msg("seed %llu, operation %d (%s of layer %u), %s at %zu: %.9g, expected %.9g within %.3g",
             (unsigned long long)pair->c->seed, (int)pair->op, prog_op_name(op_of(pair)->kind),
             (unsigned)op_of(pair)->layer_id, what, element, found, expected, tolerance);
}

/* ---- tolerances ----
 * A float sum of k terms errs by at most k roundings of the sum of the terms' sizes. */
static double sum_tolerance(double terms, double sizes)
{
    return unit * (terms + 8) * sizes;
}

/* Training and inference, whose inputs have the same positions. */
static double norm_tolerance(const struct pair *pair, int32_t output)
{
    const struct prog_op *op = op_of(pair);
    const double *in = pair->in;
    struct shape x = shape_of(pair, op->inputs[BATCH_NORM_IN_X]);
    double spread = sqrt((double)x.n * x.h * x.w); /* no value lies further out, in deviations */
    double moved = in[BATCH_NORM_IN_SHIFT] + in[BATCH_NORM_IN_ADDEND];
    if (op->kind == PROG_OP_BATCH_NORM_INFERENCE) {
        double variance = pair->least[BATCH_NORM_IN_RUNNING_VAR];
        double slope = in[BATCH_NORM_IN_SCALE] / sqrt(variance + (double)GRAPH_BATCH_NORM_EPSILON);
        return 16 * unit * (slope * (in[BATCH_NORM_IN_X] + in[BATCH_NORM_IN_RUNNING_MEAN]) + moved);
    }
    switch (output) {
    case BATCH_NORM_OUT_Y:
        return 16 * unit * (in[BATCH_NORM_IN_SCALE] * (in[BATCH_NORM_IN_X] * pair->invstd + spread) + moved);
    case BATCH_NORM_OUT_MEAN:
        return 8 * unit * in[BATCH_NORM_IN_X];
    default:
        return 32 * unit * pair->invstd;
    }
}

static double norm_backward_tolerance(const struct pair *pair, int32_t output)
{
    const double *in = pair->in;
    struct shape x = shape_of(pair, op_of(pair)->inputs[BATCH_NORM_BACKWARD_IN_X]);
    double count = (double)x.n * x.h * x.w, spread = sqrt(count);
    double invstd = in[BATCH_NORM_BACKWARD_IN_INVSTD], dy = in[BATCH_NORM_BACKWARD_IN_DY];
    double normal =
        spread + in[BATCH_NORM_BACKWARD_IN_X] * invstd; /* size and rounding of (x - mean) * invstd */
    switch (output) {
    case BATCH_NORM_BACKWARD_OUT_DX:
        return 32 * unit * in[BATCH_NORM_BACKWARD_IN_SCALE] * invstd * dy * (1 + spread) * (1 + normal);
    case BATCH_NORM_BACKWARD_OUT_DSCALE:
        return sum_tolerance(count, count * dy * (1 + normal));
    case BATCH_NORM_BACKWARD_OUT_DSHIFT:
        return sum_tolerance(count, count * dy);
    default:
        return 0;
    }
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
    struct shape k, dy;
    switch (op->kind) {
    case PROG_OP_CONV:
        k = shape_of(pair, op->inputs[CONV_IN_KERNEL]);
        return (double)k.c * k.h * k.w + 1;
    case PROG_OP_CONV_BACKWARD_DATA:
        k = shape_of(pair, op->inputs[CONV_BACKWARD_DATA_IN_KERNEL]);
        dy = shape_of(pair, op->inputs[CONV_BACKWARD_DATA_IN_DY]);
        return (double)dy.c / op->window.groups * k.h * k.w;
    case PROG_OP_DENSE:
        k = shape_of(pair, op->inputs[DENSE_IN_KERNEL]);
        return (double)k.c * k.h * k.w + 1;
    case PROG_OP_DENSE_BACKWARD_DATA:
        return shape_of(pair, op->inputs[DENSE_BACKWARD_DATA_IN_DY]).c;
    case PROG_OP_CONV_BACKWARD_WEIGHTS: /* one term a element of dy */
        dy = shape_of(pair, op->inputs[CONV_BACKWARD_WEIGHTS_IN_DY]);
        return (double)dy.n * dy.h * dy.w;
    default:
        return shape_of(pair, op->inputs[DENSE_BACKWARD_WEIGHTS_IN_DY]).n;
    }
}

/* `bound`: sum of the terms' sizes. The device may round kernels before, results and gradients after the sum,
 * and a result once more with its bias; and both factors of a term. */
static double product_tolerance(const struct pair *pair, double bound)
{
    return sum_tolerance(terms_of(pair), bound) +
           (3 * pair->kind->rounding + 2 * pair->kind->factors) * bound;
}

/* The iteration makes of a singular value x the polynomial a x + b x^3 + c x^5, whose slope is at most 3.9 from 0 to
 * its largest value, 1.2; so in five steps what is wrong grows at most 3.9^5 times, wherever singular values are small
 * (which those of a few images' gradients are). An element of X is below 1, one of a product errs by as many roundings
 * as its terms' signs leave of them, their number's root, and so by 8 of these in all. For factors in bf16 that bound
 * is above all values: only what is not finite is found here, all else by device_orthogonal.h. */
static double orthogonal_tolerance(const struct pair *pair)
{
    const bool coarse =
        pair->kind->rounding > 0 || pair->kind->factors > 0; /* multiplied as TF32, or narrow */
    const struct shape k = shape_of(pair, op_of(pair)->inputs[ORTHOGONALISE_IN_DKERNEL]);
    const double terms = fmax(k.n, (double)k.c * k.h * k.w), growth = 900;
    if (pair->kind->narrow_products)
        return growth * pair->kind->rounding;
    return coarse ? growth * 0x1p-11 : 8 * growth * unit * sqrt(terms);
}

/* Of what a gate multiplies by, below 2, and of its slope, at most a half: that of e^x, and a few roundings. */
static const double gate_error = 0x1p-20;

/* Tolerance of the outputs that are no products of kernels; `size`: their largest. */
static double tolerance_of(const struct pair *pair, int32_t output, double size)
{
    const struct prog_op *op = op_of(pair);
    const double *in = pair->in;
    struct shape x;
    double window = (double)op->window.kernel_h * op->window.kernel_w;
    switch (op->kind) {
    case PROG_OP_BATCH_NORM:
    case PROG_OP_BATCH_NORM_INFERENCE:
        return norm_tolerance(pair, output);
    case PROG_OP_BATCH_NORM_BACKWARD:
        return norm_backward_tolerance(pair, output);
    case PROG_OP_MAX_POOL_BACKWARD:
        return window > 1 ? sum_tolerance(window, window * in[MAX_POOL_BACKWARD_IN_DY]) : 0;
    case PROG_OP_AVERAGE_POOL:
        return sum_tolerance(window, window * in[AVERAGE_POOL_IN_X]);
    case PROG_OP_AVERAGE_POOL_BACKWARD:
        return sum_tolerance(window, window * in[AVERAGE_POOL_BACKWARD_IN_DY]);
    case PROG_OP_GLOBAL_POOL:
        x = shape_of(pair, op->inputs[GLOBAL_POOL_IN_X]);
        return sum_tolerance((double)x.h * x.w, in[GLOBAL_POOL_IN_X]);
    case PROG_OP_GATE:
        return gate_error * in[GATE_IN_X];
    case PROG_OP_GATE_BACKWARD: {
        x = shape_of(pair, op->inputs[GATE_BACKWARD_IN_X]);
        const double dy = in[GATE_BACKWARD_IN_DY], sum = (double)x.h * x.w * in[GATE_BACKWARD_IN_X] * dy;
        return output == GATE_BACKWARD_OUT_DX ? gate_error * dy
                                              : sum_tolerance((double)x.h * x.w, sum) + gate_error * sum;
    }
    case PROG_OP_GATHER:
    case PROG_OP_GLOBAL_POOL_BACKWARD:
    case PROG_OP_DROPOUT:
    case PROG_OP_DROPOUT_BACKWARD:
    case PROG_OP_DROP_PATH:
    case PROG_OP_DROP_PATH_BACKWARD:
    case PROG_OP_LOSS:
        return 8 * unit * fmax(size, 1.0);
    case PROG_OP_ORTHOGONALISE:
        return orthogonal_tolerance(pair);
    case PROG_OP_ACTIVATION:
        return activation_error(op->activation.function, in[ACTIVATION_IN_X]);
    case PROG_OP_ACTIVATION_BACKWARD:
        return activation_backward_error(op->activation.function, in[ACTIVATION_BACKWARD_IN_DY]);
    case PROG_OP_ADD:
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

static bool is_metrics(const struct pair *pair, int32_t tensor)
{
    return pair->ref.program.tensors[tensor].kind == TENSOR_METRICS;
}

/* Gives both devices the reference's value of `tensor`, rounded to float and to what the device stores. The loss's
 * scale, which the reference has not, remains the device's. */
static float *share(struct pair *pair, int32_t tensor)
{
    float *values = session_read(&pair->ref, tensor);
    if (is_metrics(pair, tensor)) {
        float *own = session_read(&pair->device, tensor);
        memcpy(values + METRIC_SUMS, own + METRIC_SUMS, (METRIC_COUNT - METRIC_SUMS) * sizeof(*values));
        free(own);
    }
    session_write(&pair->device, tensor, values);
    free(values);
    values = session_read(&pair->device, tensor);
    session_write(&pair->ref, tensor, values);
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
        if (pair->ref.program.tensors[t].kind == TENSOR_GRADIENT ||
            pair->ref.program.tensors[t].kind == TENSOR_UPDATE)
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
    float *before = malloc(total * sizeof(*before)), *sizes = malloc(total * sizeof(*sizes));
    assert_non_null(before);
    assert_non_null(sizes);
    assert_int_equal(ref->ops->weights_download(ref->device, ref->weights, slot, before, &ref->err), ST_OK);
    memcpy(sizes, before, total * sizeof(*sizes));
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

/* Compares a tensor within `tolerance`, or as the operation's output number `output` when that is not -1. */
static void compare_tensor(struct pair *pair, int32_t output, int32_t tensor, const char *what,
                           double tolerance, bool *alive)
{
    float *expected = session_read(&pair->ref, tensor), *found = session_read(&pair->device, tensor);
    size_t count = is_metrics(pair, tensor) ? METRIC_SUMS : session_count(&pair->ref, tensor);
    double size = largest(expected, count);
    const float *bounds = output >= 0 ? pair->bounds[output] : NULL;
    if (output >= 0 && bounds == NULL)
        tolerance = tolerance_of(pair, output, size);
    bool stored = pair->ref.program.tensors[tensor].kind == TENSOR_ACTIVATION;
    for (size_t i = 0; i < count; i++) {
        double within = bounds != NULL ? product_tolerance(pair, (double)bounds[i]) : tolerance;
        if (stored || bounds != NULL)
            within += pair->kind->least;
        if (stored)
            within += pair->kind->rounding * (fabs((double)expected[i]) + within);
        demand_close(pair, what, i, (double)found[i], (double)expected[i], within);
    }
    *alive = *alive || size > 0;
    free(expected);
    free(found);
}

/* Compares a slot of the weights and gives both devices the same floats again. */
static void compare_slot(struct pair *pair, enum weight_slot slot)
{
    size_t total = pair->ref.program.weights.total;
    float *expected = malloc(total * sizeof(*expected)), *found = malloc(total * sizeof(*found));
    assert_non_null(expected);
    assert_non_null(found);
    struct error err;
    struct device_session *ref = &pair->ref, *device = &pair->device;
    assert_int_equal(ref->ops->weights_download(ref->device, ref->weights, slot, expected, &err), ST_OK);
    assert_int_equal(device->ops->weights_download(device->device, device->weights, slot, found, &err),
                     ST_OK);
    double tolerance = 16 * unit * largest(expected, total);
    for (size_t i = 0; i < total; i++)
        demand_close(pair, "weights", i, (double)found[i], (double)expected[i], tolerance);
    assert_int_equal(ref->ops->weights_upload(ref->device, ref->weights, slot, expected, &err), ST_OK);
    assert_int_equal(device->ops->weights_upload(device->device, device->weights, slot, expected, &err),
                     ST_OK);
    free(expected);
    free(found);
}

static bool changes_slots(enum prog_op_kind kind)
{
    return kind == PROG_OP_ORTHOGONALISE || kind == PROG_OP_OPTIMIZER || kind == PROG_OP_WEIGHT_AVERAGE;
}

static void compare_outputs(struct pair *pair)
{
    const struct prog_op *op = op_of(pair);
    bool alive = op->kind == PROG_OP_OPTIMIZER || op->kind == PROG_OP_WEIGHT_AVERAGE;
    if (op->kind == PROG_OP_BATCH_NORM) {
        const double *in = pair->in, x = in[BATCH_NORM_IN_X];
        float *invstd = session_read(&pair->ref, op->outputs[BATCH_NORM_OUT_INVSTD]);
        pair->invstd = largest(invstd, session_count(&pair->ref, op->outputs[BATCH_NORM_OUT_INVSTD]));
        free(invstd);
        compare_tensor(pair, -1, op->inputs[BATCH_NORM_IN_RUNNING_MEAN], "running mean",
                       16 * unit * (x + in[BATCH_NORM_IN_RUNNING_MEAN]), &alive);
        compare_tensor(pair, -1, op->inputs[BATCH_NORM_IN_RUNNING_VAR], "running variance",
                       16 * unit * (x * x + in[BATCH_NORM_IN_RUNNING_VAR]), &alive);
    }
    for (int32_t o = 0; o < op->output_count; o++) {
        int32_t tensor = op->outputs[o];
        if (tensor < 0 || pair->ref.program.tensors[tensor].kind == TENSOR_INDEX)
            continue;
        compare_tensor(pair, o, tensor, "output", 0, &alive);
        if (pair->kind->check_padding != NULL)
            pair->kind->check_padding(&pair->device, tensor);
    }
    for (enum weight_slot slot = SLOT_VALUE; changes_slots(op->kind) && slot < SLOT_GRADIENT; slot++)
        compare_slot(pair, slot);
    pair->tally->ops[op->kind]++;
    pair->tally->alive[op->kind] += alive;
    if (op->kind == PROG_OP_ACTIVATION)
        pair->tally->activations[op->activation.function] += alive;
    if (op->kind == PROG_OP_ACTIVATION_BACKWARD)
        pair->tally->gradients[op->activation.function] += alive;
}

static void bind_case(struct device_session *session, const struct device_case *c)
{
    session->binding.shuffled = 1;
    session->binding.augment = c->augment;
    session->binding.use_average = c->use_average;
    session->binding.optimizer = (struct optimizer){c->optimizer, 0.9f, 0.99f, 0.01f, 3.0f, 0.02f, 0.5f};
    session_bind(session);
}

static void unscale(struct device_session *session)
{
    const double one[METRIC_COUNT] = {[METRIC_SCALE] = 1.0};
    assert_int_equal(
        session->ops->program_set_metrics(session->device, session->prepared, one, &session->err), ST_OK);
}

void device_compare(const struct device_under_test *kind, const struct device_case *c,
                    struct device_tally *tally)
{
    struct pair pair = {.c = c, .kind = kind, .tally = tally};
    session_open(&pair.ref, &ref_device_ops, c->graph, &c->options, c->images, c->seed);
    if (kind->device != NULL)
        session_open_with(&pair.device, kind->ops, kind->device, c->graph, &c->options, c->images, c->seed);
    else
        session_open_on(&pair.device, kind->ops,
                        &(struct device_options){.threads = 1, .precision = kind->precision, .untimed = true},
                        c->graph, &c->options, c->images, c->seed);
    if (c->larger > 0) {
        session_enlarge(&pair.ref, c->larger, c->larger / 2, c->seed);
        session_enlarge(&pair.device, c->larger, c->larger / 2, c->seed);
    }
    bind_case(&pair.ref, c);
    bind_case(&pair.device, c);
    if (kind->precision == PRECISION_FP16)
        unscale(&pair.device);
    for (int32_t i = 0; i < c->steps; i++) {
        struct step step = {.seed = c->seed,
                            .number = (uint32_t)i,
                            .epoch = (uint32_t)i,
                            .first = (uint32_t)(i % (c->images - c->valid + 1)),
                            .valid = c->valid,
                            .learning_rate = 0.125f,
                            .average_decay = 0.75f,
                            .look_ahead = i % 2,
                            .drop_path = 0.5f + 0.5f * (float)(i % 2),
                            .view = {.shift_y = i % 2, .shift_x = -1, .mirrored = i % 2}};
        for (pair.op = 0; pair.op < pair.ref.program.op_count; pair.op++) {
            share_inputs(&pair);
            measure_bounds(&pair, &step);
            if (kind->poison != NULL)
                kind->poison(&pair.device, pair.op);
            session_run_op(&pair.ref, pair.op, &step);
            session_run_op(&pair.device, pair.op, &step);
            compare_outputs(&pair);
            for (int32_t o = 0; o < PROG_MAX_OUTPUTS; o++) {
                free(pair.bounds[o]);
                pair.bounds[o] = NULL;
            }
        }
    }
    session_close(&pair.device);
    session_close(&pair.ref);
}
