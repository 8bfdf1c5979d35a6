/* Activations, sums, joins along the channels and dropout: operands to kernels. */
#include "host/cpu/cpu_internal.h"

enum status cpu_run_activation(struct device_program *prepared, int32_t index, const struct step *step,
                               struct error *err)
{
    (void)step;
    (void)err;
    const struct prog_op *op = &prepared->program->ops[index];
    cpu_kernel_activation(op->activation.function, cpu_shape_count(cpu_shape_of(prepared, op->outputs[0])),
                          cpu_tensor_address(prepared, op->inputs[0]),
                          cpu_tensor_address(prepared, op->outputs[0]));
    return ST_OK;
}

enum status cpu_run_activation_backward(struct device_program *prepared, int32_t index,
                                        const struct step *step, struct error *err)
{
    (void)step;
    (void)err;
    const struct prog_op *op = &prepared->program->ops[index];
    cpu_kernel_activation_backward(
        op->activation.function, cpu_shape_count(cpu_shape_of(prepared, op->outputs[0])),
        cpu_tensor_address(prepared, op->inputs[0]), cpu_tensor_address(prepared, op->inputs[1]),
        cpu_tensor_address(prepared, op->outputs[0]));
    return ST_OK;
}

enum status cpu_run_add(struct device_program *prepared, int32_t index, const struct step *step,
                        struct error *err)
{
    (void)step;
    (void)err;
    const struct prog_op *op = &prepared->program->ops[index];
    cpu_kernel_add(cpu_shape_count(cpu_shape_of(prepared, op->outputs[0])),
                   cpu_tensor_address(prepared, op->inputs[0]), cpu_tensor_address(prepared, op->inputs[1]),
                   cpu_tensor_address(prepared, op->outputs[0]));
    return ST_OK;
}

enum status cpu_run_concat(struct device_program *prepared, int32_t index, const struct step *step,
                           struct error *err)
{
    (void)step;
    (void)err;
    const struct prog_op *op = &prepared->program->ops[index];
    int32_t channels[PROG_MAX_INPUTS];
    const float *parts[PROG_MAX_INPUTS];
    for (int32_t i = 0; i < op->input_count; i++) {
        channels[i] = prepared->program->tensors[op->inputs[i]].shape.c;
        parts[i] = cpu_tensor_address(prepared, op->inputs[i]);
    }
    cpu_kernel_concat(cpu_shape_of(prepared, op->outputs[0]), op->input_count, channels, parts,
                      cpu_tensor_address(prepared, op->outputs[0]));
    return ST_OK;
}

enum status cpu_run_split(struct device_program *prepared, int32_t index, const struct step *step,
                          struct error *err)
{
    (void)step;
    (void)err;
    const struct prog_op *op = &prepared->program->ops[index];
    int32_t channels[PROG_MAX_OUTPUTS];
    float *parts[PROG_MAX_OUTPUTS];
    for (int32_t i = 0; i < op->output_count; i++) {
        channels[i] = prepared->program->tensors[op->outputs[i]].shape.c;
        parts[i] = cpu_tensor_address(prepared, op->outputs[i]);
    }
    cpu_kernel_split(cpu_shape_of(prepared, op->inputs[0]), op->output_count, channels,
                     cpu_tensor_address(prepared, op->inputs[0]), parts);
    return ST_OK;
}

enum status cpu_run_dropout(struct device_program *prepared, int32_t index, const struct step *step,
                            struct error *err)
{
    (void)err;
    const struct prog_op *op = &prepared->program->ops[index];
    cpu_kernel_dropout(cpu_shape_of(prepared, op->outputs[0]), cpu_tensor_address(prepared, op->inputs[0]),
                       op->dropout.rate, step->seed, step->number, step->row, op->layer_id,
                       cpu_tensor_address(prepared, op->outputs[0]));
    return ST_OK;
}

enum status cpu_run_dropout_backward(struct device_program *prepared, int32_t index, const struct step *step,
                                     struct error *err)
{
    return cpu_run_dropout(prepared, index, step, err); /* the same mask over the gradient */
}
