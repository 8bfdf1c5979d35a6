/* What a training step costs a GPU, on paper: for each operation of the lowered program the bytes and the floating-point
 * operations that cuda/ moves and does, and the time below which no GPU of those rates gets.
 *
 *     roofline [--gpu h100|a100|b200|l40s|t4] [--batch N] [NET ...]        default: h100, 512, lean resnet
 *
 * Nothing here is measured. The time of an operation is the larger of flops / rate and bytes / bandwidth, plus what each
 * launch costs inside a CUDA Graph; the rates are the data sheets' times the shares that well-made kernels reach (paper.c).
 * Bytes are those of DRAM: what stays in the L2 cache makes the truth better. */
#include "host/net/cost.h"
#include "host/net/start.h"
#include "host/program/lower.h"
#include "tests/bench/paper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES = 10 };

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
        const double each = paper_seconds(gpu, work), launch = work->launches * paper_launch;
        const bool computes = paper_computes(gpu, work);
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
        struct row row = {op->kind, shape_of(&program, op), paper_work(gpu, &program, op), 1};
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

int main(int count, char **arguments)
{
    const struct gpu *gpu = paper_gpu("h100");
    const char *nets[16] = {"lean", "resnet"};
    int32_t batch = 512, net_count = 0;
    enum status st = ST_OK;
    struct error err;
    bool usage = false;
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--gpu") == 0 && i + 1 < count)
            gpu = paper_gpu(arguments[++i]);
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
