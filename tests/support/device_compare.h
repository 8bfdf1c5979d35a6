/* A device against the reference, operation by operation: before each operation both get the same inputs, so
 * what is compared is the rounding of one operation, and a tolerance can be derived from its length and from
 * what the device stores. */
#ifndef NASRUN_TESTS_SUPPORT_DEVICE_COMPARE_H
#define NASRUN_TESTS_SUPPORT_DEVICE_COMPARE_H

#include "tests/support/device_session.h"

/* What has been compared so far. */
struct device_tally {
    int32_t ops[PROG_OP_KIND_COUNT];
    int32_t alive[PROG_OP_KIND_COUNT]; /* of these: with a result that is not all zeros */
    int32_t activations[ACTIVATION_COUNT], gradients[ACTIVATION_COUNT]; /* alive: forward, backward */
};

struct device_case {
    const struct graph *graph;
    struct lower_options options;
    int32_t images; /* in the data set; steps read them in shuffled order */
    int32_t larger; /* pixels that these are higher than the program's; half as many wider */
    int32_t valid;  /* rows that count, 1 .. options.batch */
    int32_t steps;
    struct augment augment;
    enum optimizer_kind optimizer;
    bool use_average; /* evaluation only */
    uint64_t seed;
};

/* The device, and what only its own tests know of it. In fp16 the loss is scaled by 1, so that gradients are what the
 * reference has. */
struct device_under_test {
    const struct device_ops *ops;
    enum device_precision precision;
    double rounding; /* of a stored activation or kernel, relative: 0 for float, 2^-8 for bf16 */
    double least;    /* of one near zero: half a unit, 2^-25 for half precision, nothing for the others */
    /* Makes what the operation has to write NaN, and all scratch. NULL where nobody can. */
    void (*poison)(struct device_session *session, int32_t op);
    /* Fails the test unless lanes beyond the channels of an activation or vector are zeros. NULL likewise. */
    void (*check_padding)(struct device_session *session, int32_t tensor);
    /* relative error of a factor as it is multiplied, where that is coarser than what is stored; else 0 */
    double factors;
    bool narrow_products;  /* Muon's have factors that are rounded as activations, not as TF32 */
    struct device *device; /* open, in that precision; NULL: each comparison opens one */
};

/* Runs the steps on both devices. Fails the test at the first value outside the tolerance, naming seed,
 * operation and element. */
void device_compare(const struct device_under_test *kind, const struct device_case *c,
                    struct device_tally *tally);

#endif
