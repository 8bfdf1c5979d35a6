/* What a program for a group of devices has beside that for one: its gradients are averaged bucket by bucket while the
 * backward pass goes on, as PyTorch's DistributedDataParallel does it (Li et al. 2020, "PyTorch Distributed"). */
#include "host/program/lowering.h"

#include <string.h>

/* Gradients of a bucket, 1 MiB. An all-reduce between two GPUs takes some tens of microseconds however small it is, and
 * the backward pass of a step a few milliseconds: buckets of this size begin early and are still bound by bandwidth. */
static const size_t bucket_values = (size_t)1 << 18;

struct bucket {
    int32_t first, last; /* places in the weight table */
    int32_t ready; /* the operation that writes the last of its gradients; -1: nothing in it is trained */
};

/* The operation that writes the gradient of weight `weight`; -1 for weights without one. */
static int32_t writer_of(const struct program *program, int32_t weight)
{
    for (int32_t op = program->op_count - 1; op >= 0; op--) {
        for (int32_t k = 0; k < program->ops[op].output_count; k++) {
            int32_t id = program->ops[op].outputs[k];
            if (id >= 0 && program->tensors[id].kind == TENSOR_GRADIENT &&
                program->tensors[id].weight == weight)
                return op;
        }
    }
    return -1;
}

/* The bucket that ends with weight `last`. The backward pass writes the gradients of the last layers first, so buckets
 * are filled from the table's end. */
static struct bucket next_bucket(const struct program *program, int32_t last)
{
    struct bucket bucket = {.first = last, .last = last, .ready = writer_of(program, last)};
    size_t values = program->weights.tensors[last].count;
    while (bucket.first > 0 && (values < bucket_values || bucket.ready < 0)) {
        int32_t writer = writer_of(program, --bucket.first);
        values += writer < 0 ? 0 : program->weights.tensors[bucket.first].count;
        bucket.ready = writer > bucket.ready ? writer : bucket.ready;
    }
    return bucket;
}

/* Makes room behind operation `after`. */
static struct prog_op *insert_op(struct program *program, int32_t after, enum prog_op_kind kind)
{
    struct prog_op *op = &program->ops[after + 1];
    memmove(op + 1, op, (size_t)(program->op_count - after - 1) * sizeof(*op));
    prog_op_start(op, kind);
    program->op_count++;
    return op;
}

void lower_collectives(struct lowering *lowering)
{
    struct program *program = lowering->program;
    for (int32_t last = program->weights.count - 1; last >= 0;) {
        struct bucket bucket = next_bucket(program, last);
        last = bucket.first - 1;
        if (bucket.ready < 0)
            continue;
        /* Buckets that are ready at the same operation keep their order: the earlier one goes first. */
        while (program->ops[bucket.ready + 1].kind == PROG_OP_ALL_REDUCE)
            bucket.ready++;
        struct prog_op *op = insert_op(program, bucket.ready, PROG_OP_ALL_REDUCE);
        op->reduce.first = bucket.first;
        op->reduce.last = bucket.last;
    }
}
