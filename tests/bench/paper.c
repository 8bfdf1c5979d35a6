#include "tests/bench/paper.h"

#include <math.h>
#include <string.h>

enum { CHANNELS = 8 }; /* stored channels are padded to multiples of it */

static const struct gpu gpus[] = {
    {"h100", "H100 SXM, bf16", 989e12, 3.35e12, 2}, {"a100", "A100 SXM 80 GB, bf16", 312e12, 2.04e12, 2},
    {"b200", "B200, bf16", 2250e12, 8.0e12, 2},     {"l40s", "L40S, bf16", 362e12, 0.864e12, 2},
    {"t4", "T4, float32", 8.1e12, 0.32e12, 4},
};

/* What is reached of the rates: of bandwidth by streaming kernels; of the tensor cores by convolutions, less where an output
 * has few channels, since a tile of the result is 64 or 128 channels wide. */
static const struct {
    double bandwidth, tensor;
} shares = {0.85, 0.55};

const double paper_launch = 1.5e-6;

const struct gpu *paper_gpu(const char *name)
{
    for (size_t i = 0; i < sizeof gpus / sizeof gpus[0]; i++)
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

/* Convolutions and dense layers: kernel and its gradient are copies in the activations' type. */
static struct work product(const struct gpu *gpu, const struct program *program, int32_t x, int32_t kernel,
                           int32_t y, int32_t result)
{
    const struct prog_tensor *tensors = program->tensors;
    const struct shape k = tensors[kernel].shape;
    const double wide = fmin(tensors[result].kind == TENSOR_GRADIENT ? k.n : tensors[result].shape.c, 64.0);
    struct work work = {.launches = 1, .narrow = wide / 64.0};
    work.flops = 2.0 * elements(tensors[y].shape) * k.c * k.h * k.w;
    work.bytes = stored(gpu, &tensors[x]) + stored(gpu, &tensors[y]) + gpu->element * elements(k);
    return work;
}

/* Whether the batch norm that wrote y had an addend. */
static bool has_addend(const struct program *program, int32_t y)
{
    for (int32_t i = 0; i < program->op_count; i++)
        if (program->ops[i].kind == PROG_OP_BATCH_NORM && program->ops[i].outputs[0] == y)
            return program->ops[i].inputs[5] >= 0;
    return true;
}

/* What batch norm's backward pass reads and writes beyond every tensor once: x again; the gradient behind the ReLU again, which
 * is dy without a ReLU, daddend where that is written, and else dy seen through y, which x gives anew where nothing was added
 * to it. */
static double norm_backward_again(const struct gpu *gpu, const struct program *program,
                                  const struct prog_op *op)
{
    const struct prog_tensor *tensors = program->tensors;
    const double activation = stored(gpu, &tensors[op->inputs[0]]);
    if (op->inputs[1] < 0 || op->outputs[3] >= 0)
        return 2.0 * activation;
    return has_addend(program, op->inputs[1]) ? 3.0 * activation : activation;
}

struct work paper_work(const struct gpu *gpu, const struct program *program, const struct prog_op *op)
{
    const double parameters = (double)program->weights.total;
    struct work work = {.launches = 1, .bytes = touched(gpu, program, op), .narrow = 1.0};
    switch (op->kind) {
    case PROG_OP_CONV:
    case PROG_OP_DENSE:
        return product(gpu, program, op->inputs[0], op->inputs[1], op->outputs[0], op->outputs[0]);
    case PROG_OP_CONV_BACKWARD_DATA:
    case PROG_OP_DENSE_BACKWARD_DATA:
        return product(gpu, program, op->outputs[0], op->inputs[1], op->inputs[0], op->outputs[0]);
    case PROG_OP_CONV_BACKWARD_WEIGHTS:
    case PROG_OP_DENSE_BACKWARD_WEIGHTS:
        work = product(gpu, program, op->inputs[0], op->outputs[0], op->inputs[1], op->outputs[0]);
        if (op->kind == PROG_OP_DENSE_BACKWARD_WEIGHTS) /* whose gradient cuBLAS leaves in float32 */
            work.bytes += (4.0 - gpu->element) * elements(program->tensors[op->outputs[0]].shape);
        if (op->outputs[1] >= 0) { /* the bias' gradient reads dy once more */
            work.bytes += stored(gpu, &program->tensors[op->inputs[1]]);
            work.launches++;
        }
        return work;
    case PROG_OP_BATCH_NORM: /* statistics, the result: x is read twice */
        work.bytes += stored(gpu, &program->tensors[op->inputs[0]]);
        work.launches = 2;
        break;
    case PROG_OP_BATCH_NORM_BACKWARD: /* sums, the result */
        work.bytes += norm_backward_again(gpu, program, op);
        work.launches = 2;
        break;
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

double paper_computing(const struct gpu *gpu, const struct work *work)
{
    return work->flops / (gpu->flops * shares.tensor * work->narrow);
}

static double moving(const struct gpu *gpu, const struct work *work)
{
    return work->bytes / (gpu->bytes * shares.bandwidth);
}

bool paper_computes(const struct gpu *gpu, const struct work *work)
{
    return paper_computing(gpu, work) > moving(gpu, work);
}

double paper_seconds(const struct gpu *gpu, const struct work *work)
{
    return fmax(paper_computing(gpu, work), moving(gpu, work)) + work->launches * paper_launch;
}
