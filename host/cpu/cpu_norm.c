/* Batch normalisation: operands to kernels. Contracts: program.h; arithmetic: kernel_batch_norm.c. */
#include "host/cpu/cpu_internal.h"

/* Operand i, NULL where it is absent. */
static void *input(const struct device_program *prepared, const struct prog_op *op, int32_t i)
{
    return cpu_tensor_address(prepared, op->inputs[i]);
}

static void *output(const struct device_program *prepared, const struct prog_op *op, int32_t i)
{
    return cpu_tensor_address(prepared, op->outputs[i]);
}

enum status cpu_prepare_norm(struct device_program *prepared, int32_t index, struct error *err)
{
    (void)err;
    const struct prog_op *op = &prepared->program->ops[index];
    cpu_take_scratch(&prepared->ops[index],
                     cpu_kernel_batch_norm_scratch(cpu_shape_of(prepared, op->inputs[0])));
    return ST_OK;
}

static void *scratch(const struct device_program *prepared, int32_t index)
{
    return cpu_address(prepared, &prepared->ops[index], (struct cpu_place){CPU_SCRATCH, -1, 0});
}

enum status cpu_run_batch_norm(struct device_program *prepared, int32_t index, const struct step *step,
                               struct error *err)
{
    (void)step;
    (void)err;
    const struct prog_op *op = &prepared->program->ops[index];
    cpu_kernel_batch_norm(cpu_shape_of(prepared, op->inputs[0]), input(prepared, op, 0),
                          input(prepared, op, 1), input(prepared, op, 2), input(prepared, op, 5),
                          op->norm.relu, op->norm.momentum, GRAPH_BATCH_NORM_EPSILON, input(prepared, op, 3),
                          input(prepared, op, 4), output(prepared, op, 0), output(prepared, op, 1),
                          output(prepared, op, 2), scratch(prepared, index));
    return ST_OK;
}

enum status cpu_run_batch_norm_backward(struct device_program *prepared, int32_t index,
                                        const struct step *step, struct error *err)
{
    (void)step;
    (void)err;
    const struct prog_op *op = &prepared->program->ops[index];
    cpu_kernel_batch_norm_backward(cpu_shape_of(prepared, op->inputs[0]), input(prepared, op, 0),
                                   input(prepared, op, 1), input(prepared, op, 2), input(prepared, op, 3),
                                   input(prepared, op, 4), input(prepared, op, 5), output(prepared, op, 0),
                                   output(prepared, op, 1), output(prepared, op, 2), output(prepared, op, 3),
                                   scratch(prepared, index));
    return ST_OK;
}

enum status cpu_run_batch_norm_inference(struct device_program *prepared, int32_t index,
                                         const struct step *step, struct error *err)
{
    (void)step;
    (void)err;
    const struct prog_op *op = &prepared->program->ops[index];
    cpu_kernel_batch_norm_inference(cpu_shape_of(prepared, op->inputs[0]), input(prepared, op, 0),
                                    input(prepared, op, 1), input(prepared, op, 2), input(prepared, op, 3),
                                    input(prepared, op, 4), GRAPH_BATCH_NORM_EPSILON, input(prepared, op, 5),
                                    op->norm.relu, output(prepared, op, 0));
    return ST_OK;
}
