/* What a training step costs a GPU, on paper: for each operation of the lowered program the bytes and the
 * floating-point operations that cuda/ moves and does, and the time that paper.h, which has the formula and its
 * constants, predicts from them. Nothing here is measured.
 *
 *     roofline                                                    the page cuda/ROOFLINE.md
 *     roofline [--gpu NAME] [--batch N] [NET ...]                 tables; by default h100, 512, lean resnet */
#include "host/net/cost.h"
#include "host/net/start.h"
#include "host/program/lower.h"
#include "tests/bench/paper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES = 10, NETS = 16 };

/* A network, lowered. */
struct lowered {
    struct graph graph;
    struct program program;
};

static enum status lower_net(const char *name, int32_t batch, struct lowered *net, struct error *err)
{
    const struct lower_options options = {.purpose = PROG_TRAIN,
                                          .batch = batch,
                                          .augment = true,
                                          .weight_average = true,
                                          .label_smoothing = 0.1f,
                                          .batch_norm_momentum = 0.1f};
    *net = (struct lowered){0};
    enum status st = start_make(&net->graph, name, 0, (struct shape){0, 3, 32, 32}, CLASSES, err);
    return st == ST_OK ? lower_graph(&net->graph, &options, &net->program, err) : st;
}

static void free_net(struct lowered *net)
{
    program_free(&net->program);
    graph_free(&net->graph);
}

static void print_rows(const struct gpu *gpu, const struct paper_row *rows, int32_t count)
{
    printf("| operation | of | times | GFLOP | MB | floor us each | predicted us each | us | bound by "
           "|\n|---|---|---|---|---|---|---|---|---|\n");
    for (int32_t i = 0; i < count; i++) {
        const struct paper_row *row = &rows[i];
        const struct work *work = &row->work;
        const double each = paper_seconds(gpu, work);
        printf("| %s | %d x %d x %d | %d | %.2f | %.1f | %.1f | %.1f | %.0f | %s |\n",
               prog_op_name(row->kind), (int)row->shape.c, (int)row->shape.h, (int)row->shape.w,
               (int)row->count, 1e-9 * work->flops, 1e-6 * work->bytes, 1e6 * paper_floor(gpu, work),
               1e6 * each, 1e6 * each * row->count,
               each < 2.0 * paper_launching(work) ? "launches"
               : paper_computes(gpu, work)        ? "tensor cores"
                                                  : "memory");
    }
}

static enum status print_net(const struct gpu *gpu, const char *name, int32_t batch, struct error *err)
{
    struct lowered net;
    struct paper_row *rows = NULL;
    int32_t count = 0;
    enum status st = lower_net(name, batch, &net, err);
    if (st != ST_OK)
        goto out;
    rows = calloc((size_t)net.program.op_count, sizeof(*rows));
    if (rows == NULL) {
        st = error_memory(err, "table", (size_t)net.program.op_count * sizeof(*rows));
        goto out;
    }
    for (int32_t i = 0; i < net.program.op_count; i++)
        paper_count(rows, &count, gpu, &net.program, &net.program.ops[i]);
    const struct paper_total all = paper_total(gpu, &net.program);
    const double cost = batch * cost_of_graph(&net.graph).train_flops;
    printf("### %s, batch %d, 3 x 32 x 32, %s\n\n", name, (int)batch, gpu->text);
    print_rows(gpu, rows, count);
    printf("| between steps | | 1 | | | | %.1f | %.0f | launches |\n", 1e6 * PAPER_STEP, 1e6 * PAPER_STEP);
    printf("| **step** | | | %.1f | %.0f | %.0f | | **%.0f** | |\n\n", 1e-9 * all.work.flops,
           1e-6 * all.work.bytes, 1e6 * all.floor, 1e6 * all.seconds);
    printf("%d launches (%.0f %% of the time), tensor cores %.0f %%, memory %.0f %%. **%.0f images/s** "
           "predicted.\n",
           (int)all.work.launches, 100.0 * all.launching / all.seconds, 100.0 * all.computing / all.seconds,
           100.0 * all.moving / all.seconds, batch / all.seconds);
    printf("The network's cost by host/net/cost.h is %.1f GFLOP a step, %.1f %% of the above.\n\n",
           1e-9 * cost, 100.0 * cost / all.work.flops);
out:
    free(rows);
    free_net(&net);
    return st;
}

/* ---- the page ---- */

static void print_terms(void)
{
    printf("# A training step on paper\n"
           "Made by `make roofline`; edits belong in `tests/bench/roofline.c`, the formula and the reason\n"
           "of each constant in `tests/bench/paper.h`. Nothing here was measured: it is what the first\n"
           "measurement of a GPU is to be compared with.\n\n");
    printf("An operation takes the larger of its arithmetic and its traffic with DRAM, and for each launch\n"
           "%.1f us of gap and %.1f us of ramp-up and drain; between two steps come another %.0f us.\n",
           1e6 * PAPER_GAP, 1e6 * PAPER_RAMP, 1e6 * PAPER_STEP);
    printf("Convolutions get %.0f %% of the tensor cores, less with fewer than %d channels or fewer tiles\n"
           "than multiprocessors; cuDNN's kernels get %.0f %% of the bandwidth, our own %.0f %%. Weight\n",
           100.0 * PAPER_TENSOR, PAPER_TILE, 100.0 * PAPER_LIBRARY_BANDWIDTH, 100.0 * PAPER_OWN_BANDWIDTH);
    printf("gradients are %.1f (8 channels), %.1f (64) or %.1f (512) times slower than that and have a\n"
           "launch more; that they run beside the rest of the backward pass is not taken off. The floor\n"
           "is that of the data sheet's rates alone.\n\n",
           paper_split_slower(8.0), paper_split_slower(64.0), paper_split_slower(512.0));
}

/* A line a GPU, network and batch. */
static enum status print_steps(struct error *err)
{
    static const char *const gpus[] = {"a100", "h100", "h200", "b200"}, *const nets[] = {"lean", "resnet"};
    static const int32_t batches[] = {8, 128, 512};
    enum status st = ST_OK;
    printf("| network | batch | GPU | us a step | images/s | launches | tensor cores | memory | floor us "
           "|\n|---|---|---|---|---|---|---|---|---|\n");
    for (size_t n = 0; n < sizeof(nets) / sizeof(nets[0]); n++)
        for (size_t b = 0; b < sizeof(batches) / sizeof(batches[0]); b++) {
            struct lowered net;
            st = lower_net(nets[n], batches[b], &net, err);
            for (size_t g = 0; st == ST_OK && g < sizeof(gpus) / sizeof(gpus[0]); g++) {
                const struct gpu *gpu = paper_gpu(gpus[g]);
                const struct paper_total all = paper_total(gpu, &net.program);
                printf("| %s | %d | %s | %.0f | %.0f | %.0f %% | %.0f %% | %.0f %% | %.0f |\n", nets[n],
                       (int)batches[b], gpu->text, 1e6 * all.seconds, batches[b] / all.seconds,
                       100.0 * all.launching / all.seconds, 100.0 * all.computing / all.seconds,
                       100.0 * all.moving / all.seconds, 1e6 * all.floor);
            }
            free_net(&net);
            if (st != ST_OK)
                return st;
        }
    printf("\n");
    return st;
}

int main(int count, char **arguments)
{
    const struct gpu *gpu = paper_gpu("h100");
    const char *nets[NETS] = {"lean", "resnet"};
    int32_t batch = 512, net_count = 0;
    enum status st = ST_OK;
    struct error err;
    bool usage = false;
    if (count == 1) {
        print_terms();
        st = print_steps(&err);
    }
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--gpu") == 0 && i + 1 < count)
            gpu = paper_gpu(arguments[++i]);
        else if (strcmp(arguments[i], "--batch") == 0 && i + 1 < count)
            batch = (int32_t)strtol(arguments[++i], NULL, 10);
        else if (arguments[i][0] != '-' && net_count < NETS)
            nets[net_count++] = arguments[i];
        else
            usage = true;
    }
    if (usage || gpu == NULL || batch < 1) {
        fprintf(stderr, "usage: roofline [--gpu a100|h100|h200|b200|l40s|t4] [--batch N] [NET ...]\n");
        return 2;
    }
    for (int32_t i = 0; st == ST_OK && i < (net_count > 0 ? net_count : 2); i++)
        st = print_net(gpu, nets[i], batch, &err);
    if (st != ST_OK)
        fprintf(stderr, "roofline: %s\n", err.message);
    return st == ST_OK ? 0 : 2;
}
