/* The cost of a program's operations on a GPU, on paper: what roofline.c prints and bench_train compares with. */
#ifndef NASRUN_TESTS_BENCH_PAPER_H
#define NASRUN_TESTS_BENCH_PAPER_H

#include "host/program/program.h"

/* NVIDIA's data sheets: tensor-core operations (dense, without sparsity) and DRAM bytes a second. */
struct gpu {
    const char *name, *text;
    double flops, bytes;
    double element; /* bytes of a stored activation */
};

/* "h100", or a device's name that has it somewhere; NULL when unknown. */
const struct gpu *paper_gpu(const char *name);

/* Seconds between two dependent kernels of a CUDA Graph. */
extern const double paper_launch;

struct work {
    double flops, bytes;
    int32_t launches;
    double narrow; /* share of a tile that a narrow result fills */
};

/* What one operation of cuda/ does. */
struct work paper_work(const struct gpu *gpu, const struct program *program, const struct prog_op *op);

/* The time of its arithmetic at the share of the tensor cores that well-made convolutions reach; and all its time: the
 * larger of arithmetic and memory, and its launches. */
double paper_computing(const struct gpu *gpu, const struct work *work);
bool paper_computes(const struct gpu *gpu, const struct work *work); /* arithmetic takes longer than memory */
double paper_seconds(const struct gpu *gpu, const struct work *work);

#endif
