/* The CPU device against the reference, operation by operation: before each operation both get the same float
 * inputs, so what is compared is the rounding of one operation, and a tolerance can be derived from its
 * length. */
#ifndef NASRUN_TESTS_SUPPORT_CPU_COMPARE_H
#define NASRUN_TESTS_SUPPORT_CPU_COMPARE_H

#include "tests/support/device_session.h"

/* What has been compared so far. */
struct cpu_tally {
    int32_t ops[PROG_OP_KIND_COUNT];
    int32_t alive[PROG_OP_KIND_COUNT]; /* of these: with a result that is not all zeros */
};

struct cpu_case {
    const struct graph *graph;
    struct lower_options options;
    int32_t images; /* in the data set; steps read them in shuffled order */
    int32_t valid;  /* rows that count, 1 .. options.batch */
    int32_t steps;
    struct augment augment;
    enum optimizer_kind optimizer;
    bool use_average; /* evaluation only */
    uint64_t seed;
};

/* Runs the steps on both devices. Every output starts as NaN on the CPU, scratch too; lanes beyond the
 * channels must come out as zeros. Fails the test at the first value outside the tolerance, naming seed,
 * operation and place. */
void cpu_compare(const struct cpu_case *c, struct cpu_tally *tally);

#endif
