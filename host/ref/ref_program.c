/* Programs on the reference device: positions, memory, binding, running, reading back. */
#include "host/ref/ref.h"

#include "host/base/clock.h"

#include <stdlib.h>
#include <string.h>

double *ref_tensor(const struct device_program *prepared, int32_t id)
{
    if (id < 0)
        return NULL;
    const struct program *program = prepared->program;
    const struct prog_tensor *tensor = &program->tensors[id];
    switch (tensor->kind) {
    case TENSOR_WEIGHT: {
        bool average = program->purpose == PROG_EVALUATE && prepared->binding.use_average;
        double *values = prepared->binding.weights->slots[average ? SLOT_AVERAGE : SLOT_VALUE];
        return values + program->weights.tensors[tensor->weight].offset;
    }
    case TENSOR_GRADIENT:
        return prepared->gradients + program->weights.tensors[tensor->weight].offset;
    case TENSOR_METRICS:
        return (double *)prepared->metrics;
    case TENSOR_OUTPUT:
        return prepared->outputs;
    case TENSOR_ACTIVATION:
    case TENSOR_LABELS:
    case TENSOR_VECTOR:
    case TENSOR_INDEX:
    case TENSOR_UPDATE:
        break;
    }
    return (double *)(void *)(prepared->arena + prepared->offsets[id]); /* offsets are multiples of 64 */
}

static bool lies_in_arena(enum tensor_kind kind)
{
    return kind == TENSOR_ACTIVATION || kind == TENSOR_LABELS || kind == TENSOR_VECTOR ||
           kind == TENSOR_INDEX || kind == TENSOR_UPDATE;
}

static size_t most_scratch(const struct program *program)
{
    size_t most = 0;
    for (int32_t i = 0; i < program->op_count; i++) {
        const struct prog_op *op = &program->ops[i];
        if (op->kind != PROG_OP_ORTHOGONALISE)
            continue;
        const size_t bytes =
            ref_orthogonalise_scratch(program->tensors[op->inputs[ORTHOGONALISE_IN_DKERNEL]].shape);
        most = bytes > most ? bytes : most;
    }
    return most;
}

enum status ref_program_prepare(struct device *device, const struct program *program,
                                struct device_program **prepared, struct error *err)
{
    size_t tensors = (size_t)program->tensor_count;
    enum status st = ST_OK;
    size_t *sizes = calloc(tensors, sizeof(*sizes));
    struct device_program *made = calloc(1, sizeof(*made));
    if (made)
        made->offsets = calloc(tensors, sizeof(*made->offsets));
    if (!sizes || !made || !made->offsets) {
        st = error_memory(err, "program", sizeof(*made) + 2 * tensors * sizeof(*sizes));
        goto out;
    }
    made->device = device;
    made->program = program;
    for (size_t t = 0; t < tensors; t++) {
        const struct prog_tensor *tensor = &program->tensors[t];
        size_t size = ref_count(tensor->shape) * sizeof(double);
        sizes[t] = lies_in_arena(tensor->kind) ? size : 0;
        made->output_size += tensor->kind == TENSOR_OUTPUT ? size : 0;
    }
    made->scratch_size = most_scratch(program);
    st = prog_arena_offsets(program, sizes, made->offsets, &made->arena_size, err);
    if (st != ST_OK)
        goto out;
    *prepared = made;
    made = NULL;
out:
    free(sizes);
    ref_program_free(device, made);
    return st;
}

void ref_program_free(struct device *device, struct device_program *prepared)
{
    (void)device;
    if (!prepared)
        return;
    free(prepared->arena);
    free(prepared->gradients);
    free(prepared->outputs);
    free(prepared->scratch);
    free(prepared->samples);
    free(prepared->offsets);
    free(prepared);
}

static size_t gradient_bytes(const struct program *program)
{
    return program->purpose == PROG_TRAIN ? program->weights.total * sizeof(double) : 0;
}

size_t ref_program_bytes(const struct device_program *prepared)
{
    return prepared->arena_size + prepared->output_size + prepared->scratch_size +
           gradient_bytes(prepared->program);
}

enum status ref_program_bind(struct device *device, struct device_program *prepared,
                             const struct device_binding *binding, struct error *err)
{
    (void)device;
    const struct program *program = prepared->program;
    size_t list = (size_t)binding->sample_count * sizeof(*binding->samples);
    int32_t *samples = malloc(list);
    if (!samples)
        return error_memory(err, "sample list", list);
    memcpy(samples, binding->samples, list);
    free(prepared->samples);
    prepared->samples = samples;
    /* Zeroed, so that what nothing has written yet reads the same in every run. */
    if (!prepared->arena)
        prepared->arena = calloc(1, prepared->arena_size);
    if (!prepared->gradients && gradient_bytes(program) > 0)
        prepared->gradients = calloc(1, gradient_bytes(program));
    if (!prepared->outputs && prepared->output_size > 0)
        prepared->outputs = calloc(1, prepared->output_size);
    if (!prepared->scratch && prepared->scratch_size > 0)
        prepared->scratch = malloc(prepared->scratch_size);
    if (!prepared->arena || (!prepared->gradients && gradient_bytes(program) > 0) ||
        (!prepared->outputs && prepared->output_size > 0) ||
        (!prepared->scratch && prepared->scratch_size > 0))
        return error_memory(err, "program", ref_program_bytes(prepared));
    prepared->binding = *binding;
    prepared->binding.samples = samples;
    return ST_OK;
}

static op_function *const functions[PROG_OP_KIND_COUNT] = {
#define PROG_OP(KIND, name, ...) [PROG_OP_##KIND] = ref_run_##name,
#include "host/program/ops.def"
#undef PROG_OP
};

static enum status run_op(struct device_program *prepared, int32_t index, const struct step *step,
                          struct error *err)
{
    const struct prog_op *op = &prepared->program->ops[index];
    const struct op_call call = {prepared, prepared->program, index, op, step, err};
    return functions[op->kind](&call);
}

enum status ref_program_run(struct device *device, struct device_program *prepared, const struct step *step,
                            struct error *err)
{
    (void)device;
    const double began = clock_seconds();
    enum status st = ST_OK;
    for (int32_t i = 0; st == ST_OK && i < prepared->program->op_count; i++)
        st = run_op(prepared, i, step, err);
    prepared->report.steps += st == ST_OK;
    prepared->report.seconds += st == ST_OK ? clock_seconds() - began : 0.0;
    return st;
}

enum status ref_program_run_op(struct device *device, struct device_program *prepared, int32_t op,
                               const struct step *step, struct error *err)
{
    (void)device;
    return run_op(prepared, op, step, err);
}

void ref_program_report(const struct device_program *prepared, struct device_report *report)
{
    *report = prepared->report;
}

enum status ref_program_metrics(struct device *device, struct device_program *prepared,
                                double metrics[METRIC_COUNT], struct error *err)
{
    (void)device;
    (void)err; /* nothing here is asynchronous, so nothing can fail late */
    memcpy(metrics, prepared->metrics, sizeof(prepared->metrics));
    return ST_OK;
}

enum status ref_program_set_metrics(struct device *device, struct device_program *prepared,
                                    const double metrics[METRIC_COUNT], struct error *err)
{
    (void)device;
    (void)err;
    memcpy(prepared->metrics, metrics, sizeof(prepared->metrics));
    return ST_OK;
}

enum status ref_program_probabilities(struct device *device, struct device_program *prepared,
                                      float *probabilities, struct error *err)
{
    return ref_program_tensor(device, prepared, prepared->program->probabilities, probabilities, err);
}

enum status ref_program_tensor(struct device *device, struct device_program *prepared, int32_t id,
                               float *values, struct error *err)
{
    (void)device;
    (void)err;
    const double *from = ref_tensor(prepared, id);
    size_t count = ref_count(prepared->program->tensors[id].shape);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)from[i];
    return ST_OK;
}

enum status ref_program_set_tensor(struct device *device, struct device_program *prepared, int32_t id,
                                   const float *values, struct error *err)
{
    (void)device;
    (void)err;
    double *to = ref_tensor(prepared, id);
    size_t count = ref_count(prepared->program->tensors[id].shape);
    for (size_t i = 0; i < count; i++)
        to[i] = (double)values[i];
    return ST_OK;
}
