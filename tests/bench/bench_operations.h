/* What each operation of a prepared program takes by itself. */
#ifndef NASRUN_TESTS_BENCH_BENCH_OPERATIONS_H
#define NASRUN_TESTS_BENCH_BENCH_OPERATIONS_H

#include "host/device/device.h"
#include "tests/bench/paper.h"

struct bench_operations {
    const struct device_ops *ops;
    struct device *device;
    const struct gpu *gpu; /* whose floor and prediction (paper.h) stand beside the times; NULL: unknown */
    int32_t together;      /* runs in a row that are timed as one */
    const struct step *step;
};

/* Prints a table, a line for alike operations: kind, shape, how many, and in us for all of them together what was
 * measured, floor, prediction, measured / predicted. `prepared`, of `program`, is bound.
 *
 * Runs are queued one by one, not recorded: of an operation that takes less than the host needs to queue it, some 5 us
 * a launch, the queueing is measured. And an operation that runs again finds in the L2 cache what it has left there. */
enum status bench_operations(const struct bench_operations *bench, const struct program *program,
                             struct device_program *prepared, struct error *err);

#endif
