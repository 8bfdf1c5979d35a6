/* Prepared programs: from a list of operations to primitives, offsets and one block of memory; and the step
 * itself. */
#include "host/cpu/cpu_internal.h"

#include "host/base/clock.h"

#include <stdlib.h>
#include <string.h>

enum { LINE = 64 };

/* Operations that choose primitives, need scratch or have limits; the others need no preparation. */
static op_function *const prepare_functions[PROG_OP_KIND_COUNT] = {
    [PROG_OP_CONV] = cpu_prepare_conv,
    [PROG_OP_CONV_BACKWARD_DATA] = cpu_prepare_conv,
    [PROG_OP_CONV_BACKWARD_WEIGHTS] = cpu_prepare_conv,
    [PROG_OP_DENSE] = cpu_prepare_dense,
    [PROG_OP_DENSE_BACKWARD_DATA] = cpu_prepare_dense,
    [PROG_OP_DENSE_BACKWARD_WEIGHTS] = cpu_prepare_dense,
    [PROG_OP_BATCH_NORM] = cpu_prepare_batch_norm,
    [PROG_OP_BATCH_NORM_BACKWARD] = cpu_prepare_batch_norm_backward,
    [PROG_OP_BATCH_NORM_INFERENCE] = cpu_prepare_batch_norm_inference,
    [PROG_OP_MAX_POOL] = cpu_prepare_max_pool,
    [PROG_OP_LOSS] = cpu_prepare_loss,
    [PROG_OP_ORTHOGONALISE] = cpu_prepare_orthogonalise,
};

static op_function *const run_functions[PROG_OP_KIND_COUNT] = {
#define PROG_OP(KIND, name, ...) [PROG_OP_##KIND] = cpu_run_##name,
#include "host/program/ops.def"
#undef PROG_OP
};

/* ---- prepare ---- */

static enum status allocate_lists(struct device_program *prepared, struct error *err)
{
    const struct program *program = prepared->program;
    size_t tensors = (size_t)program->tensor_count + 1, ops = (size_t)program->op_count + 1;
    size_t weights = (size_t)program->weights.count + 1; /* + 1: calloc may return NULL for nothing */
    prepared->tensors = calloc(tensors, sizeof(*prepared->tensors));
    prepared->ops = calloc(ops, sizeof(*prepared->ops));
    prepared->ranges = calloc(weights, sizeof(*prepared->ranges));
    if (prepared->tensors == NULL || prepared->ops == NULL || prepared->ranges == NULL)
        return error_memory(err, "prepared program",
                            tensors * sizeof(*prepared->tensors) + ops * sizeof(*prepared->ops) +
                                weights * sizeof(*prepared->ranges));
    return ST_OK;
}

static enum status prepare_ops(struct device_program *prepared, struct error *err)
{
    const struct program *program = prepared->program;
    for (int32_t op = 0; op < program->op_count; op++) {
        op_function *prepare = prepare_functions[program->ops[op].kind];
        const struct op_call call = {prepared, program, op, &program->ops[op], NULL, err};
        if (prepare != NULL && prepare(&call) != ST_OK)
            return error_prefix(err, "%s, operation %d of layer %u", prog_op_name(program->ops[op].kind),
                                (int)op, (unsigned)program->ops[op].layer_id);
    }
    return ST_OK;
}

static enum status arena_offsets(struct device_program *prepared, size_t *arena, struct error *err)
{
    int32_t count = prepared->program->tensor_count;
    size_t *sizes = calloc(2 * (size_t)count + 1, sizeof(*sizes));
    if (sizes == NULL)
        return error_memory(err, "arena plan", 2 * (size_t)count * sizeof(*sizes));
    size_t *offsets = sizes + count;
    for (int32_t id = 0; id < count; id++)
        sizes[id] = prepared->tensors[id].bytes;
    enum status st = prog_arena_offsets(prepared->program, sizes, offsets, arena, err);
    for (int32_t id = 0; st == ST_OK && id < count; id++)
        prepared->tensors[id].offset = offsets[id];
    free(sizes);
    return st;
}

/* Gives every region its offset behind the arena. */
static void lay_out_regions(struct device_program *prepared, size_t arena)
{
    const struct program *program = prepared->program;
    size_t kept = 0, scratch = 0, output = 0;
    for (int32_t op = 0; op < program->op_count; op++) {
        prepared->ops[op].kept = kept;
        kept += prepared->ops[op].kept_bytes;
        if (prepared->ops[op].scratch_bytes > scratch)
            scratch = prepared->ops[op].scratch_bytes;
    }
    if (program->probabilities >= 0) {
        struct shape s = program->tensors[program->probabilities].shape;
        output = (size_t)s.n * (size_t)s.c * sizeof(float);
    }
    size_t gradients = program->purpose == PROG_TRAIN ? program->weights.total * sizeof(float) : 0;
    prepared->kept = cpu_round_up(arena, LINE);
    prepared->scratch = cpu_round_up(prepared->kept + kept, LINE);
    prepared->gradients = cpu_round_up(prepared->scratch + scratch, LINE);
    prepared->output = cpu_round_up(prepared->gradients + gradients, LINE);
    prepared->total = cpu_memory_size(prepared->output + output);
}

/* After lay_out_regions. */
static void list_ranges(struct device_program *prepared)
{
    const struct weight_table *table = &prepared->program->weights;
    for (int32_t i = 0; i < table->count; i++) {
        const struct weight_tensor *tensor = &table->tensors[i];
        const int32_t update = prog_update_of(prepared->program, i);
        const size_t gradient = update >= 0 ? prepared->tensors[update].offset / sizeof(float)
                                            : prepared->gradients / sizeof(float) + tensor->offset;
        if (tensor->trained)
            prepared->ranges[prepared->range_count++] = (struct cpu_weight_range){.offset = tensor->offset,
                                                                                  .count = tensor->count,
                                                                                  .gradient = gradient,
                                                                                  .orthogonal = update >= 0,
                                                                                  .part = weight_part(tensor),
                                                                                  .rate = tensor->rate};
    }
}

enum status cpu_program_prepare(struct device *device, const struct program *program,
                                struct device_program **prepared, struct error *err)
{
    struct device_program *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(err, "prepared program", sizeof(*made));
    size_t arena = 0;
    made->device = device;
    made->program = program;
    cpu_threads_limit(
        device); /* a second thread has no use for a team, which would crowd on the first one's CPUs */
    enum status st = allocate_lists(made, err);
    if (st != ST_OK)
        goto out;
    cpu_layout_tensors(device, program, made->tensors);
    st = prepare_ops(made, err);
    if (st != ST_OK)
        goto out;
    st = arena_offsets(made, &arena, err);
    if (st != ST_OK)
        goto out;
    lay_out_regions(made, arena);
    list_ranges(made);
    *prepared = made;
    made = NULL;
out:
    cpu_program_free(device, made);
    return st;
}

void cpu_program_free(struct device *device, struct device_program *prepared)
{
    (void)device;
    if (prepared == NULL)
        return;
    for (int32_t op = 0; prepared->ops != NULL && op < prepared->program->op_count; op++)
        cpu_calls_free(&prepared->ops[op]);
    free(prepared->tensors);
    free(prepared->ops);
    free(prepared->ranges);
    free(prepared->samples);
    cpu_memory_free(prepared->memory);
    free(prepared);
}

size_t cpu_program_bytes(const struct device_program *prepared)
{
    return prepared->total;
}

/* ---- addresses ---- */

void *cpu_tensor_address(const struct device_program *prepared, int32_t id)
{
    if (id < 0)
        return NULL;
    const struct prog_tensor *tensor = &prepared->program->tensors[id];
    const struct weight_tensor *weights = prepared->program->weights.tensors;
    switch (tensor->kind) {
    case TENSOR_WEIGHT:
        return cpu_weights_read(prepared) + weights[tensor->weight].offset;
    case TENSOR_GRADIENT:
        return (float *)(void *)(prepared->memory + prepared->gradients) + weights[tensor->weight].offset;
    case TENSOR_METRICS:
        return (void *)(uintptr_t)prepared->metrics;
    case TENSOR_OUTPUT:
        return prepared->memory + prepared->output;
    case TENSOR_ACTIVATION:
    case TENSOR_LABELS:
    case TENSOR_VECTOR:
    case TENSOR_INDEX:
    case TENSOR_UPDATE:
        break;
    }
    return prepared->memory + prepared->tensors[id].offset;
}

void *cpu_address(const struct device_program *prepared, const struct cpu_op *op, struct cpu_buffer buffer)
{
    switch (buffer.region) {
    case CPU_KEPT:
        return prepared->memory + prepared->kept + op->kept + buffer.offset;
    case CPU_SCRATCH:
        return prepared->memory + prepared->scratch + buffer.offset;
    case CPU_TENSOR:
        break;
    }
    return cpu_tensor_address(prepared, buffer.tensor);
}

/* ---- bind ---- */

static enum status copy_samples(struct device_program *prepared, const struct device_binding *binding,
                                struct error *err)
{
    size_t bytes = (size_t)binding->sample_count * sizeof(int32_t);
    if (binding->sample_count > prepared->sample_capacity) {
        int32_t *samples = realloc(prepared->samples, bytes);
        if (samples == NULL)
            return error_memory(err, "sample list", bytes);
        prepared->samples = samples;
        prepared->sample_capacity = binding->sample_count;
    }
    memcpy(prepared->samples, binding->samples, bytes);
    return ST_OK;
}

enum status cpu_program_bind(struct device *device, struct device_program *prepared,
                             const struct device_binding *binding, struct error *err)
{
    enum status st = copy_samples(prepared, binding, err);
    if (st != ST_OK)
        return st;
    cpu_threads_enter(device);
    if (prepared->memory == NULL)
        prepared->memory = cpu_memory_new(prepared->total, device->threads);
    if (prepared->memory == NULL)
        st = error_memory(err, "tensors of a program", prepared->total);
    prepared->binding = *binding;
    prepared->binding.samples = prepared->samples;
    for (int32_t op = 0; st == ST_OK && op < prepared->program->op_count; op++)
        st = cpu_calls_bind(prepared, &prepared->ops[op], err);
    cpu_threads_leave(device);
    return st;
}

/* ---- run ---- */

/* Runs operations first .. end - 1. */
static enum status run_range(struct device_program *prepared, int32_t first, int32_t end,
                             const struct step *step, struct error *err)
{
    enum status st = ST_OK;
    const struct prog_op *ops = prepared->program->ops;
    cpu_threads_enter(prepared->device);
    for (int32_t op = first; st == ST_OK && op < end; op++) {
        const struct op_call call = {prepared, prepared->program, op, &ops[op], step, err};
        if (run_functions[ops[op].kind](&call) != ST_OK)
            st = error_prefix(err, "%s, operation %d of layer %u", prog_op_name(ops[op].kind), (int)op,
                              (unsigned)ops[op].layer_id);
    }
    cpu_threads_leave(prepared->device);
    return st;
}

enum status cpu_program_run(struct device *device, struct device_program *prepared, const struct step *step,
                            struct error *err)
{
    (void)device;
    const double began = clock_seconds();
    enum status st = run_range(prepared, 0, prepared->program->op_count, step, err);
    prepared->report.steps += st == ST_OK;
    prepared->report.seconds += st == ST_OK ? clock_seconds() - began : 0.0;
    return st;
}

enum status cpu_program_run_op(struct device *device, struct device_program *prepared, int32_t op,
                               const struct step *step, struct error *err)
{
    (void)device;
    return run_range(prepared, op, op + 1, step, err);
}
