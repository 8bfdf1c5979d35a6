/* What a training step costs a GPU, on paper: for each operation of the lowered program the bytes and the floating-point
 * operations that cuda/ moves and does, and the time below which no GPU of those rates gets.
 *
 *     roofline [--gpu h100|a100|b200|l40s|t4] [--batch N] [NET ...]        default: h100, 512, lean resnet
 *
 * Nothing here is measured. The time of an operation is the larger of flops / rate and bytes / bandwidth, plus what each
 * launch costs inside a CUDA Graph; the rates are the data sheets' (dense, without sparsity) times the shares in `shares`,
 * which say what well-made kernels reach. Bytes are those of DRAM: what stays in the L2 cache makes the truth better. */
#include "host/net/cost.h"
#include "host/net/start.h"
#include "host/program/lower.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES = 10, CHANNELS = 8 }; /* CHANNELS: stored channels are padded to multiples of it */

/* NVIDIA's data sheets: bf16 tensor-core operations and DRAM bytes a second. */
struct gpu {
    const char *name, *text;
    double flops, bytes;
    double element; /* bytes of a stored activation */
};

static const struct gpu gpus[] = {
    {"h100", "H100 SXM, bf16", 989e12, 3.35e12, 2}, {"a100", "A100 SXM 80 GB, bf16", 312e12, 2.04e12, 2},
    {"b200", "B200, bf16", 2250e12, 8.0e12, 2},     {"l40s", "L40S, bf16", 362e12, 0.864e12, 2},
    {"t4", "T4, float32", 8.1e12, 0.32e12, 4},
};

/* What is reached of the rates: of bandwidth by streaming kernels; of the tensor cores by convolutions, less where an output
 * has few channels, since a tile of the result is 64 or 128 channels wide. */
static const struct {
    double bandwidth, tensor, launch;
} shares = {0.85, 0.55, 1.5e-6}; /* launch: seconds between two dependent kernels of a graph */

struct work {
    double flops, bytes;
    int32_t launches;
    double narrow; /* share of a tile that a narrow result fills */
};

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

static struct work work_of(const struct gpu *gpu, const struct program *program, const struct prog_op *op)
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
        return product(gpu, program, op->inputs[0], op->outputs[0], op->inputs[1], op->outputs[0]);
    case PROG_OP_BATCH_NORM: /* statistics of slices, their join, the result: x is read twice */
        work.bytes += stored(gpu, &program->tensors[op->inputs[0]]);
        work.launches = 3;
        break;
    case PROG_OP_BATCH_NORM_BACKWARD: /* sums of slices, their end, the result: x, dy and y are read twice */
        work.bytes += stored(gpu, &program->tensors[op->inputs[0]]) +
                      stored(gpu, &program->tensors[op->inputs[2]]) +
                      (op->inputs[1] < 0 ? 0.0 : stored(gpu, &program->tensors[op->inputs[1]]));
        work.launches = 3;
        break;
    case PROG_OP_LOSS:
        work.launches = 2;
        break;
    case PROG_OP_OPTIMIZER: /* value and momentum are read and written, the gradient read; before it the kernels' gradients
                               change from their copies to float32, after it the copies are made anew */
        work.bytes = (5 * 4.0 + (gpu->element + 4.0) + (4.0 + gpu->element)) * parameters;
        work.launches = 3;
        break;
    case PROG_OP_WEIGHT_AVERAGE:
        work.bytes = 3 * 4.0 * parameters;
        break;
    default:
        break;
    }
    return work;
}

static double seconds_of(const struct gpu *gpu, const struct work *work)
{
    return fmax(work->flops / (gpu->flops * shares.tensor * work->narrow),
                work->bytes / (gpu->bytes * shares.bandwidth)) +
           work->launches * shares.launch;
}

/* One row of the table: operations of one kind over one shape. */
struct row {
    enum prog_op_kind kind;
    struct shape shape;
    struct work work; /* of one of them */
    int32_t count;
};

static struct shape shape_of(const struct program *program, const struct prog_op *op)
{
    const int32_t tensor = op->input_count > 0 && op->inputs[0] >= 0     ? op->inputs[0]
                           : op->output_count > 0 && op->outputs[0] >= 0 ? op->outputs[0]
                                                                         : -1;
    return tensor >= 0 ? program->tensors[tensor].shape : (struct shape){0, 0, 0, 0};
}

static bool same(const struct row *row, const struct row *other)
{
    return row->kind == other->kind && memcmp(&row->shape, &other->shape, sizeof row->shape) == 0 &&
           row->work.flops == other->work.flops && row->work.bytes == other->work.bytes;
}

static void print_rows(const struct gpu *gpu, const struct row *rows, int32_t count, int32_t batch,
                       double checked)
{
    struct work all = {0};
    double seconds = 0.0, computing = 0.0, launching = 0.0;
    printf("| operation | of | times | GFLOP | MB | us each | us | bound by "
           "|\n|---|---|---|---|---|---|---|---|\n");
    for (int32_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        const struct work *work = &row->work;
        const double each = seconds_of(gpu, work), launch = work->launches * shares.launch;
        const double math = work->flops / (gpu->flops * shares.tensor * work->narrow);
        const bool computes = math > work->bytes / (gpu->bytes * shares.bandwidth);
        printf("| %s | %d x %d x %d | %d | %.2f | %.1f | %.1f | %.0f | %s |\n", prog_op_name(row->kind),
               (int)row->shape.c, (int)row->shape.h, (int)row->shape.w, (int)row->count, 1e-9 * work->flops,
               1e-6 * work->bytes, 1e6 * each, 1e6 * each * row->count,
               each < 2.0 * launch ? "launches"
               : computes          ? "tensor cores"
                                   : "memory");
        all.flops += row->count * work->flops;
        all.bytes += row->count * work->bytes;
        all.launches += row->count * work->launches;
        seconds += row->count * each;
        computing += computes ? row->count * (each - launch) : 0.0;
        launching += row->count * launch;
    }
    printf("| **step** | | | %.1f | %.0f | | **%.0f** | |\n\n", 1e-9 * all.flops, 1e-6 * all.bytes,
           1e6 * seconds);
    printf("%d launches (%.0f %% of the time), tensor cores %.0f %%, memory %.0f %%. **%.0f images/s** "
           "predicted.\n",
           (int)all.launches, 100.0 * launching / seconds, 100.0 * computing / seconds,
           100.0 * (seconds - computing - launching) / seconds, batch / seconds);
    printf("The network's cost by host/net/cost.h is %.1f GFLOP a step, %.1f %% of the above.\n\n",
           1e-9 * checked, 100.0 * checked / all.flops);
}

static enum status print_net(const struct gpu *gpu, const char *name, int32_t batch, struct error *err)
{
    const struct lower_options options = {.purpose = PROG_TRAIN,
                                          .batch = batch,
                                          .augment = true,
                                          .weight_average = true,
                                          .label_smoothing = 0.1f,
                                          .batch_norm_momentum = 0.1f};
    struct program program = {0};
    struct graph graph = {0};
    struct row *rows = NULL;
    int32_t count = 0;
    enum status st = start_make(&graph, name, 0, (struct shape){0, 3, 32, 32}, CLASSES, err);
    if (st == ST_OK)
        st = lower_graph(&graph, &options, &program, err);
    if (st != ST_OK)
        goto out;
    rows = calloc((size_t)program.op_count, sizeof *rows);
    if (rows == NULL) {
        st = error_memory(err, "table", (size_t)program.op_count * sizeof *rows);
        goto out;
    }
    for (int32_t i = 0; i < program.op_count; i++) {
        const struct prog_op *op = &program.ops[i];
        struct row row = {op->kind, shape_of(&program, op), work_of(gpu, &program, op), 1};
        int32_t place = 0;
        while (place < count && !same(&rows[place], &row))
            place++;
        if (place < count)
            rows[place].count++;
        else
            rows[count++] = row;
    }
    printf("### %s, batch %d, 3 x 32 x 32, %s\n\n", name, (int)batch, gpu->text);
    print_rows(gpu, rows, count, batch, batch * cost_of_graph(&graph).train_flops);
out:
    free(rows);
    program_free(&program);
    graph_free(&graph);
    return st;
}

static const struct gpu *find_gpu(const char *name)
{
    for (size_t i = 0; i < sizeof gpus / sizeof gpus[0]; i++)
        if (strcmp(gpus[i].name, name) == 0)
            return &gpus[i];
    return NULL;
}

int main(int count, char **arguments)
{
    const struct gpu *gpu = &gpus[0];
    const char *nets[16] = {"lean", "resnet"};
    int32_t batch = 512, net_count = 0;
    enum status st = ST_OK;
    struct error err;
    bool usage = false;
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--gpu") == 0 && i + 1 < count)
            gpu = find_gpu(arguments[++i]);
        else if (strcmp(arguments[i], "--batch") == 0 && i + 1 < count)
            batch = (int32_t)strtol(arguments[++i], NULL, 10);
        else if (arguments[i][0] != '-' && net_count < 16)
            nets[net_count++] = arguments[i];
        else
            usage = true;
    }
    if (usage || gpu == NULL || batch < 1) {
        fprintf(stderr, "usage: roofline [--gpu h100|a100|b200|l40s|t4] [--batch N] [NET ...]\n");
        return 2;
    }
    for (int32_t i = 0; st == ST_OK && i < (net_count > 0 ? net_count : 2); i++)
        st = print_net(gpu, nets[i], batch, &err);
    if (st != ST_OK)
        fprintf(stderr, "roofline: %s\n", err.message);
    return st == ST_OK ? 0 : 2;
}
