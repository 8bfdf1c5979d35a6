#include "tests/bench/bench_operations.h"

#include "host/base/clock.h"

#include <stdio.h>
#include <stdlib.h>

/* Seconds of one run. */
static enum status time_operation(const struct bench_operations *bench, struct device_program *prepared,
                                  int32_t op, double *seconds, struct error *err)
{
    double metrics[METRIC_COUNT], began = 0.0;
    enum status st = ST_OK;
    for (int32_t k = -1; st == ST_OK && k < bench->together; k++) { /* the first warms up */
        if (k == 0) {
            st = bench->ops->program_metrics(bench->device, prepared, metrics, err); /* waits */
            began = clock_seconds();
        }
        if (st == ST_OK)
            st = bench->ops->program_run_op(bench->device, prepared, op, bench->step, err);
    }
    if (st == ST_OK)
        st = bench->ops->program_metrics(bench->device, prepared, metrics, err);
    *seconds = (clock_seconds() - began) / bench->together;
    return st;
}

/* What an operation does when it runs alone: in a step the weight average is part of the optimizer's kernel, by itself
 * it is a kernel that reads the weights, too. */
static struct work alone(const struct paper_row *row)
{
    struct work work = row->work;
    if (row->kind == PROG_OP_WEIGHT_AVERAGE) {
        work.bytes *= 1.5;
        work.launches = 1;
    }
    return work;
}

static void print_row(const struct gpu *gpu, const struct paper_row *row, double seconds)
{
    char shape[32];
    snprintf(shape, sizeof(shape), "%dx%dx%d", (int)row->shape.c, (int)row->shape.h, (int)row->shape.w);
    printf("%-32s %-12s %5d %10.1f", prog_op_name(row->kind), shape, (int)row->count, 1e6 * seconds);
    if (gpu == NULL) {
        printf(" %10s %10s %9s\n", "-", "-", "-");
        return;
    }
    const struct work work = alone(row);
    const double predicted = row->count * paper_seconds(gpu, &work);
    printf(" %10.1f %10.1f %9.2f\n", 1e6 * row->count * paper_floor(gpu, &work), 1e6 * predicted,
           seconds / predicted);
}

enum status bench_operations(const struct bench_operations *bench, const struct program *program,
                             struct device_program *prepared, struct error *err)
{
    /* Without a data sheet any will do to tell which operations are alike. */
    const struct gpu *gpu = bench->gpu != NULL ? bench->gpu : paper_gpu("h100");
    struct paper_row *rows = calloc((size_t)program->op_count, sizeof(*rows));
    double *seconds = calloc((size_t)program->op_count, sizeof(*seconds));
    enum status st = ST_OK;
    int32_t count = 0;
    if (rows == NULL || seconds == NULL) {
        st = error_memory(err, "table of operations", (size_t)program->op_count * sizeof(*rows));
        goto out;
    }
    for (int32_t at = 0; st == ST_OK && at < program->op_count; at++) {
        double one;
        st = time_operation(bench, prepared, at, &one, err);
        seconds[paper_count(rows, &count, gpu, program, &program->ops[at])] += one;
    }
    if (st != ST_OK)
        goto out;
    printf("%-32s %-12s %5s %10s %10s %10s %9s\n", "operation", "of", "times", "us", "floor", "predicted",
           "ratio");
    for (int32_t i = 0; i < count; i++)
        print_row(bench->gpu, &rows[i], seconds[i]);
out:
    free(rows);
    free(seconds);
    return st;
}
