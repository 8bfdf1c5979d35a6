/* Whole evaluation steps of a device, which may do several operations at once that program_run_op does one by one:
 * beside the reference, and beside the same operations one by one. Failures end the test. */
#ifndef NASRUN_TESTS_SUPPORT_DEVICE_EVALUATION_H
#define NASRUN_TESTS_SUPPORT_DEVICE_EVALUATION_H

#include "tests/support/device_session.h"

struct logits {
    size_t count;
    float *values; /* the caller frees */
};

/* The logits of the session's first batch, all rows valid. */
struct logits evaluation_run(struct device_session *session, bool one_by_one);
/* Root of the mean square of the differences, relative to that of the expected. */
double evaluation_distance(const struct logits *found, const struct logits *expected);

/* How many convolutions of the program have a batch norm in inference as their only reader. */
int32_t evaluation_pairs(const struct program *program);

/* Some twenty graphs: the starts, then random ones; convolutions have biases in every other graph. Whole steps on the
 * open device are within a few `rounding`s of the reference (that of a stored activation, relative), and on the whole
 * no further from it than one by one. `look` is called for each session; NULL: nothing. */
void evaluation_check(const struct device_ops *ops, struct device *device, double rounding,
                      void (*look)(const struct device_session *session));

#endif
