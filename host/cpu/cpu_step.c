/* The ends of a step: batch gather, loss, optimizer, weight average. */
#include "host/cpu/cpu_internal.h"

enum status cpu_prepare_loss(struct device_program *prepared, int32_t index, struct error *err)
{
    (void)err;
    cpu_take_scratch(&prepared->ops[index], cpu_kernel_loss_scratch(prepared->program->batch));
    return ST_OK;
}

enum status cpu_run_gather(struct device_program *prepared, int32_t index, const struct step *step,
                           struct error *err)
{
    (void)err;
    const struct prog_op *op = &prepared->program->ops[index];
    const struct device_binding *binding = &prepared->binding;
    int32_t image = op->outputs[0];
    cpu_kernel_gather(&binding->dataset->view, binding->samples, binding->sample_count,
                      binding->shuffled != 0, op->gather.augment ? &binding->augment : NULL, step,
                      prepared->program->batch, prepared->tensors[image].plain ? 0 : prepared->device->block,
                      cpu_tensor_address(prepared, image), cpu_tensor_address(prepared, op->outputs[1]));
    return ST_OK;
}

enum status cpu_run_loss(struct device_program *prepared, int32_t index, const struct step *step,
                         struct error *err)
{
    (void)err;
    const struct prog_op *op = &prepared->program->ops[index];
    struct cpu_shape s = cpu_shape_of(prepared, op->inputs[0]);
    cpu_kernel_loss(s.n, s.c, cpu_shape_padded(s), step->valid, op->loss.smoothing,
                    cpu_tensor_address(prepared, op->inputs[0]), cpu_tensor_address(prepared, op->inputs[1]),
                    prepared->metrics, cpu_tensor_address(prepared, op->outputs[1]),
                    cpu_tensor_address(prepared, op->outputs[2]),
                    cpu_address(prepared, &prepared->ops[index], (struct cpu_place){CPU_SCRATCH, -1, 0}));
    return ST_OK;
}

enum status cpu_run_optimizer(struct device_program *prepared, int32_t op, const struct step *step,
                              struct error *err)
{
    (void)op;
    (void)err;
    struct device_weights *weights = prepared->binding.weights;
    cpu_kernel_optimizer(prepared->range_count, prepared->ranges, &prepared->binding.optimizer,
                         step->learning_rate, step->number,
                         (const float *)(const void *)(prepared->memory + prepared->gradients),
                         weights->slots[SLOT_VALUE], weights->slots[SLOT_FIRST], weights->slots[SLOT_SECOND]);
    weights->version++;
    return ST_OK;
}

enum status cpu_run_weight_average(struct device_program *prepared, int32_t op, const struct step *step,
                                   struct error *err)
{
    (void)op;
    (void)err;
    struct device_weights *weights = prepared->binding.weights;
    if (step->average_decay == 1.0f && step->look_ahead == 0)
        return ST_OK;
    cpu_kernel_weight_average(weights->table.total, step->average_decay, step->look_ahead != 0,
                              weights->slots[SLOT_VALUE], weights->slots[SLOT_AVERAGE]);
    weights->version++;
    return ST_OK;
}
