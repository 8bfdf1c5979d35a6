#include "tests/bench/paper.h"

#include <math.h>
#include <string.h>

enum { CHANNELS = 8 }; /* stored channels are padded to multiples of it */

/* A name that has another inside comes before it. */
static const struct gpu gpus[] = {
    {"h100 pcie", "H100 PCIe, bf16", 756e12, 2.0e12, 114, 2},
    {"h100", "H100 SXM, bf16", 989e12, 3.35e12, 132, 2},
    {"h200", "H200, bf16", 989e12, 4.8e12, 132, 2},
    {"a100-sxm4-40gb", "A100 SXM 40 GB, bf16", 312e12, 1.555e12, 108, 2},
    {"a100", "A100 SXM 80 GB, bf16", 312e12, 2.04e12, 108, 2},
    {"b200", "B200, bf16", 2250e12, 8.0e12, 148, 2},
    {"l40s", "L40S, bf16", 362e12, 0.864e12, 142, 2},
    {"t4", "T4, float32", 8.1e12, 0.32e12, 40, 4},
};

const struct gpu *paper_gpu(const char *name)
{
    for (size_t i = 0; i < sizeof(gpus) / sizeof(gpus[0]); i++)
        if (strcasestr(name, gpus[i].name) != NULL)
            return &gpus[i];
    return NULL;
}

static double stored(const struct gpu *gpu, const struct prog_tensor *tensor)
{
    struct shape s = tensor->shape;
    const double channels = ceil((double)s.c / CHANNELS) * CHANNELS;
    const double places = (double)s.n * s.h * s.w;
    switch (tensor->kind) {
    case TENSOR_ACTIVATION:
        return places * channels * gpu->element;
    case TENSOR_INDEX:
        return places * channels;
    default:
        return 4.0 * places * s.c;
    }
}

/* All inputs and outputs once. */
static double touched(const struct gpu *gpu, const struct program *program, const struct prog_op *op)
{
    double bytes = 0.0;
    for (int32_t i = 0; i < op->input_count; i++)
        bytes += op->inputs[i] < 0 ? 0.0 : stored(gpu, &program->tensors[op->inputs[i]]);
    for (int32_t i = 0; i < op->output_count; i++)
        bytes += op->outputs[i] < 0 ? 0.0 : stored(gpu, &program->tensors[op->outputs[i]]);
    return bytes;
}

static double elements(struct shape s)
{
    return (double)s.n * s.c * s.h * s.w;
}

/* Convolutions and dense layers: kernel and its gradient are copies in the activations' type. `result` is an
 * activation: the product's rows are its pixels, in as many tiles as there are. */
static struct work product(const struct gpu *gpu, const struct program *program, int32_t x, int32_t kernel,
                           int32_t y, int32_t result)
{
    const struct prog_tensor *tensors = program->tensors;
    const struct shape k = tensors[kernel].shape, r = tensors[result].shape;
    const double rows = (double)r.n * r.h * r.w;
    const double tiles = ceil(rows / PAPER_TILE) * ceil((double)r.c / PAPER_TILE);
    struct work work = {.launches = 1,
                        .narrow = fmin(1.0, (double)r.c / PAPER_TILE),
                        .fill = fmin(1.0, tiles / gpu->multiprocessors),
                        .share = PAPER_LIBRARY_BANDWIDTH,
                        .slower = 1.0};
    work.flops = 2.0 * elements(tensors[y].shape) * k.c * k.h * k.w;
    work.bytes = stored(gpu, &tensors[x]) + stored(gpu, &tensors[y]) + gpu->element * elements(k);
    return work;
}

double paper_split_slower(double channels)
{
    return 1.0 + PAPER_SPLIT_SLOWER * pow(CHANNELS / channels, PAPER_SPLIT_POWER);
}

/* The same for the kernel's gradient, whose result is as small as the kernel: it is cut until all multiprocessors have
 * a part. */
static struct work weight_product(const struct gpu *gpu, const struct program *program, int32_t x,
                                  int32_t gradient, int32_t y, bool bias)
{
    const struct shape k = program->tensors[gradient].shape;
    const double channels = fmax(CHANNELS, fmin(k.n, k.c));
    struct work work = product(gpu, program, x, gradient, y, y);
    work.narrow = fmin(1.0, (double)k.n / PAPER_TILE);
    work.fill = 1.0;
    work.slower = paper_split_slower(channels);
    work.launches = 2;
    if (bias) { /* whose gradient reads dy once more */
        work.bytes += stored(gpu, &program->tensors[y]);
        work.launches++;
    }
    return work;
}

/* Whether the batch norm that wrote y had an addend. */
static bool has_addend(const struct program *program, int32_t y)
{
    for (int32_t i = 0; i < program->op_count; i++)
        if (program->ops[i].kind == PROG_OP_BATCH_NORM && program->ops[i].outputs[BATCH_NORM_OUT_Y] == y)
            return program->ops[i].inputs[BATCH_NORM_IN_ADDEND] >= 0;
    return true;
}

/* What batch norm's backward pass reads and writes beyond every tensor once: x again; the gradient behind the ReLU
 * again, which is dy without a ReLU, daddend where that is written, and else dy seen through y, which x gives anew
 * where nothing was added to it. */
static double norm_backward_again(const struct gpu *gpu, const struct program *program,
                                  const struct prog_op *op)
{
    const struct prog_tensor *tensors = program->tensors;
    const double activation = stored(gpu, &tensors[op->inputs[BATCH_NORM_BACKWARD_IN_X]]);
    const int32_t y = op->inputs[BATCH_NORM_BACKWARD_IN_Y];
    if (y < 0 || op->outputs[BATCH_NORM_BACKWARD_OUT_DADDEND] >= 0)
        return 2.0 * activation;
    return has_addend(program, y) ? 3.0 * activation : activation;
}

/* Three launches beside the matrix products; in each of five steps three products and two copies. Of float32 numbers,
 * which are multiplied at half the speed of the activations' where those are bf16. */
static struct work orthogonalisation(const struct gpu *gpu, const struct program *program,
                                     const struct prog_op *op)
{
    const struct shape k = program->tensors[op->inputs[ORTHOGONALISE_IN_DKERNEL]].shape;
    const double rows = k.n, columns = (double)k.c * k.h * k.w, side = fmin(rows, columns),
                 values = rows * columns;
    const double tiles = ceil(rows / PAPER_TILE) * ceil(columns / PAPER_TILE);
    return (struct work){.flops = 5.0 * (4.0 * side * values + 2.0 * side * side * side),
                         .bytes = 4.0 * (6.0 * values + 5.0 * (5.0 * values + 7.0 * side * side)),
                         .launches = 3 + 5 * 5,
                         .narrow = fmin(1.0, side / PAPER_TILE),
                         .fill = fmin(1.0, tiles / gpu->multiprocessors),
                         .share = PAPER_LIBRARY_BANDWIDTH,
                         .slower = gpu->element < 4.0 ? 2.0 : 1.0};
}

struct work paper_work(const struct gpu *gpu, const struct program *program, const struct prog_op *op)
{
    const double parameters = (double)program->weights.total;
    struct work work = {.launches = 1,
                        .bytes = touched(gpu, program, op),
                        .narrow = 1.0,
                        .fill = 1.0,
                        .share = PAPER_OWN_BANDWIDTH,
                        .slower = 1.0};
    switch (op->kind) {
    case PROG_OP_CONV:
        return product(gpu, program, op->inputs[CONV_IN_X], op->inputs[CONV_IN_KERNEL],
                       op->outputs[CONV_OUT_Y], op->outputs[CONV_OUT_Y]);
    case PROG_OP_DENSE:
        return product(gpu, program, op->inputs[DENSE_IN_X], op->inputs[DENSE_IN_KERNEL],
                       op->outputs[DENSE_OUT_Y], op->outputs[DENSE_OUT_Y]);
    case PROG_OP_CONV_BACKWARD_DATA:
        return product(gpu, program, op->outputs[CONV_BACKWARD_DATA_OUT_DX],
                       op->inputs[CONV_BACKWARD_DATA_IN_KERNEL], op->inputs[CONV_BACKWARD_DATA_IN_DY],
                       op->outputs[CONV_BACKWARD_DATA_OUT_DX]);
    case PROG_OP_DENSE_BACKWARD_DATA:
        return product(gpu, program, op->outputs[DENSE_BACKWARD_DATA_OUT_DX],
                       op->inputs[DENSE_BACKWARD_DATA_IN_KERNEL], op->inputs[DENSE_BACKWARD_DATA_IN_DY],
                       op->outputs[DENSE_BACKWARD_DATA_OUT_DX]);
    case PROG_OP_CONV_BACKWARD_WEIGHTS:
        return weight_product(gpu, program, op->inputs[CONV_BACKWARD_WEIGHTS_IN_X],
                              op->outputs[CONV_BACKWARD_WEIGHTS_OUT_DKERNEL],
                              op->inputs[CONV_BACKWARD_WEIGHTS_IN_DY],
                              op->outputs[CONV_BACKWARD_WEIGHTS_OUT_DBIAS] >= 0);
    case PROG_OP_DENSE_BACKWARD_WEIGHTS: {
        const int32_t gradient = op->outputs[DENSE_BACKWARD_WEIGHTS_OUT_DKERNEL];
        work = weight_product(gpu, program, op->inputs[DENSE_BACKWARD_WEIGHTS_IN_X], gradient,
                              op->inputs[DENSE_BACKWARD_WEIGHTS_IN_DY],
                              op->outputs[DENSE_BACKWARD_WEIGHTS_OUT_DBIAS] >= 0);
        /* whose gradient cuBLAS leaves in float32 */
        work.bytes += (4.0 - gpu->element) * elements(program->tensors[gradient].shape);
        return work;
    }
    case PROG_OP_BATCH_NORM: /* statistics, the result: x is read twice */
        work.bytes += stored(gpu, &program->tensors[op->inputs[BATCH_NORM_IN_X]]);
        work.launches = 2;
        break;
    case PROG_OP_BATCH_NORM_BACKWARD: /* sums, the result */
        work.bytes += norm_backward_again(gpu, program, op);
        work.launches = 2;
        break;
    case PROG_OP_ORTHOGONALISE:
        return orthogonalisation(gpu, program, op);
    case PROG_OP_OPTIMIZER: /* value and momentum are read and written, a kernel's gradient read and its copy written */
        work.bytes = (2 * 4.0 + 2 * 4.0 + gpu->element + gpu->element) * parameters;
        break;
    case PROG_OP_WEIGHT_AVERAGE: /* the optimizer's kernel has the value at hand, and does this too */
        work.bytes = 2 * 4.0 * parameters;
        work.launches = 0;
        break;
    default:
        break;
    }
    return work;
}

static double computing(const struct gpu *gpu, const struct work *work)
{
    return work->slower * work->flops / (gpu->flops * PAPER_TENSOR * work->narrow * work->fill);
}

static double moving(const struct gpu *gpu, const struct work *work)
{
    return work->slower * work->bytes / (gpu->bytes * work->share);
}

double paper_floor(const struct gpu *gpu, const struct work *work)
{
    return fmax(work->flops / gpu->flops, work->bytes / gpu->bytes);
}

bool paper_computes(const struct gpu *gpu, const struct work *work)
{
    return computing(gpu, work) > moving(gpu, work);
}

double paper_launching(const struct work *work)
{
    return work->launches * (PAPER_GAP + PAPER_RAMP);
}

double paper_seconds(const struct gpu *gpu, const struct work *work)
{
    return fmax(computing(gpu, work), moving(gpu, work)) + paper_launching(work);
}

/* The first operand's that is there, inputs before outputs. */
static struct shape shape_of(const struct program *program, const struct prog_op *op)
{
    for (int32_t i = 0; i < op->input_count; i++)
        if (op->inputs[i] >= 0)
            return program->tensors[op->inputs[i]].shape;
    for (int32_t i = 0; i < op->output_count; i++)
        if (op->outputs[i] >= 0)
            return program->tensors[op->outputs[i]].shape;
    return (struct shape){0, 0, 0, 0};
}

static bool same(const struct paper_row *row, const struct paper_row *other)
{
    return row->kind == other->kind && memcmp(&row->shape, &other->shape, sizeof(row->shape)) == 0 &&
           row->work.flops == other->work.flops && row->work.bytes == other->work.bytes;
}

int32_t paper_count(struct paper_row *rows, int32_t *count, const struct gpu *gpu,
                    const struct program *program, const struct prog_op *op)
{
    const struct paper_row row = {op->kind, shape_of(program, op), paper_work(gpu, program, op), 1};
    int32_t place = 0;
    while (place < *count && !same(&rows[place], &row))
        place++;
    if (place < *count)
        rows[place].count++;
    else
        rows[(*count)++] = row;
    return place;
}

struct paper_total paper_total(const struct gpu *gpu, const struct program *program)
{
    struct paper_total step = {.seconds = PAPER_STEP, .launching = PAPER_STEP};
    for (int32_t i = 0; i < program->op_count; i++) {
        const struct work work = paper_work(gpu, program, &program->ops[i]);
        const double seconds = paper_seconds(gpu, &work), launching = paper_launching(&work);
        step.work.flops += work.flops;
        step.work.bytes += work.bytes;
        step.work.launches += work.launches;
        step.seconds += seconds;
        step.floor += paper_floor(gpu, &work);
        step.launching += launching;
        *(paper_computes(gpu, &work) ? &step.computing : &step.moving) += seconds - launching;
    }
    return step;
}
