/* The cost of a program's operations on a GPU, on paper: what roofline.c prints and bench_train compares with. Two
 * times:
 *
 *     floor       max(flops / rate, bytes / bandwidth)                        every byte once from DRAM
 *     prediction  max(slower * flops / (rate * PAPER_TENSOR * narrow * fill),
 *                     slower * bytes / (bandwidth * share))
 *                 + launches * (PAPER_GAP + PAPER_RAMP)
 *
 * and a step is the sum of its operations and PAPER_STEP; what it gains from weight gradients that run beside the rest
 * of the backward pass is not taken off. Bytes are those of DRAM: what stays in the L2 cache can make the truth better
 * than both. Each constant below is an estimate, with its reason; none was fitted to a GPU. */
#ifndef NASRUN_TESTS_BENCH_PAPER_H
#define NASRUN_TESTS_BENCH_PAPER_H

#include "host/program/program.h"

/* Seconds between the end of a kernel and the start of one that depends on it, in a recorded graph. */
#define PAPER_GAP 1.5e-6

/* Seconds in which a kernel has begun and moves little: three round trips to DRAM of 0.6 us each, which nothing hides:
 * what its addresses depend on (a channel's scale, an entry of a table), its first rows, and its last stores. */
#define PAPER_RAMP (3 * 0.6e-6)

/* Seconds between two steps: the step's parameters go to the GPU, and the recording of the next is launched. */
#define PAPER_STEP 5e-6

/* Share of the tensor cores' rate that convolutions of 64 channels and more reach when all multiprocessors are busy. */
#define PAPER_TENSOR 0.55

/* A tile of the result is at least that many rows high and channels wide: fewer channels leave a part of it idle
 * (narrow), fewer tiles than multiprocessors leave those idle (fill). */
#define PAPER_TILE 64

/* Share of DRAM's bandwidth: of cuDNN's and cuBLAS's kernels; and of our own, streaming kernels that nobody has tuned
 * on a GPU yet: 60 to 75 % is what such kernels get. */
#define PAPER_LIBRARY_BANDWIDTH 0.80
#define PAPER_OWN_BANDWIDTH     0.67

/* Weight gradients are products with a small result and a long sum (batch x height x width). They are cut along the sum
 * into parts that a second kernel adds up: one launch more, and slower than the forward pass by 1 + 1.5 * (8 / c)^0.53,
 * c being the smaller count of channels: 2.5 times at 8, 1.5 times at 64, 1.2 times at 512. */
#define PAPER_SPLIT_SLOWER 1.5
#define PAPER_SPLIT_POWER  0.53
double paper_split_slower(double channels); /* 8 or more */

/* NVIDIA's data sheets: tensor-core operations (dense, without sparsity) and DRAM bytes a second. */
struct gpu {
    const char *name, *text;
    double flops, bytes;
    double multiprocessors;
    double element; /* bytes of a stored activation */
};

/* "h100", or a device's name that has it somewhere; NULL when unknown. */
const struct gpu *paper_gpu(const char *name);

struct work {
    double flops, bytes;
    int32_t launches;
    double narrow, fill; /* shares, see PAPER_TILE */
    double share;        /* of the bandwidth */
    double slower;       /* weight gradients; else 1 */
};

/* What one operation of cuda/ does. */
struct work paper_work(const struct gpu *gpu, const struct program *program, const struct prog_op *op);

double paper_floor(const struct gpu *gpu, const struct work *work);
bool paper_computes(const struct gpu *gpu, const struct work *work); /* arithmetic takes longer than memory */
double paper_launching(const struct work *work);                     /* the launches' part of paper_seconds */
double paper_seconds(const struct gpu *gpu, const struct work *work);

/* Operations of one kind over one shape that do the same work: a row of a table. */
struct paper_row {
    enum prog_op_kind kind;
    struct shape shape; /* of the first input, or the first output where there is none */
    struct work work;   /* of one of them */
    int32_t count;
};

/* Counts the operation in its row, which is added where it is new; rows has room for all. Returns the row's place. */
int32_t paper_count(struct paper_row *rows, int32_t *count, const struct gpu *gpu,
                    const struct program *program, const struct prog_op *op);

/* A whole step: what its parts take, in seconds. */
struct paper_total {
    struct work work; /* flops, bytes and launches; nothing else */
    double seconds, floor, computing, moving, launching;
};
struct paper_total paper_total(const struct gpu *gpu, const struct program *program);

#endif
