/* Pooling: operands to kernels. Contracts: program.h; arithmetic: kernel_max_pool.c, kernel_average_pool.c.
 */
#include "host/cpu/cpu_internal.h"

static struct cpu_window window_of(const struct prog_op *op)
{
    return (struct cpu_window){op->window.kernel_h, op->window.kernel_w, op->window.stride, op->window.pad_h,
                               op->window.pad_w};
}

enum status cpu_prepare_max_pool(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct prog_op *op = &prepared->program->ops[index];
    if (!cpu_window_fits(window_of(op)))
        return error_set(err, ST_UNSUPPORTED, "max pool: window of %d x %d, expected at most 255 pixels",
                         (int)op->window.kernel_h, (int)op->window.kernel_w);
    return ST_OK;
}

enum status cpu_run_max_pool(struct device_program *prepared, int32_t index, const struct step *step,
                             struct error *err)
{
    (void)step;
    (void)err;
    const struct prog_op *op = &prepared->program->ops[index];
    cpu_kernel_max_pool(cpu_shape_of(prepared, op->inputs[0]), cpu_shape_of(prepared, op->outputs[0]),
                        window_of(op), cpu_tensor_address(prepared, op->inputs[0]),
                        cpu_tensor_address(prepared, op->outputs[0]),
                        cpu_tensor_address(prepared, op->outputs[1]));
    return ST_OK;
}

enum status cpu_run_max_pool_backward(struct device_program *prepared, int32_t index, const struct step *step,
                                      struct error *err)
{
    (void)step;
    (void)err;
    const struct prog_op *op = &prepared->program->ops[index];
    cpu_kernel_max_pool_backward(
        cpu_shape_of(prepared, op->outputs[0]), cpu_shape_of(prepared, op->inputs[0]), window_of(op),
        cpu_tensor_address(prepared, op->inputs[0]), cpu_tensor_address(prepared, op->inputs[1]),
        cpu_tensor_address(prepared, op->outputs[0]));
    return ST_OK;
}

enum status cpu_run_average_pool(struct device_program *prepared, int32_t index, const struct step *step,
                                 struct error *err)
{
    (void)step;
    (void)err;
    const struct prog_op *op = &prepared->program->ops[index];
    cpu_kernel_average_pool(cpu_shape_of(prepared, op->inputs[0]), cpu_shape_of(prepared, op->outputs[0]),
                            window_of(op), cpu_tensor_address(prepared, op->inputs[0]),
                            cpu_tensor_address(prepared, op->outputs[0]));
    return ST_OK;
}

enum status cpu_run_average_pool_backward(struct device_program *prepared, int32_t index,
                                          const struct step *step, struct error *err)
{
    (void)step;
    (void)err;
    const struct prog_op *op = &prepared->program->ops[index];
    cpu_kernel_average_pool_backward(
        cpu_shape_of(prepared, op->outputs[0]), cpu_shape_of(prepared, op->inputs[0]), window_of(op),
        cpu_tensor_address(prepared, op->inputs[0]), cpu_tensor_address(prepared, op->outputs[0]));
    return ST_OK;
}

enum status cpu_run_global_pool(struct device_program *prepared, int32_t index, const struct step *step,
                                struct error *err)
{
    (void)step;
    (void)err;
    const struct prog_op *op = &prepared->program->ops[index];
    cpu_kernel_global_pool(cpu_shape_of(prepared, op->inputs[0]), cpu_tensor_address(prepared, op->inputs[0]),
                           cpu_tensor_address(prepared, op->outputs[0]));
    return ST_OK;
}

enum status cpu_run_global_pool_backward(struct device_program *prepared, int32_t index,
                                         const struct step *step, struct error *err)
{
    (void)step;
    (void)err;
    const struct prog_op *op = &prepared->program->ops[index];
    cpu_kernel_global_pool_backward(cpu_shape_of(prepared, op->outputs[0]),
                                    cpu_tensor_address(prepared, op->inputs[0]),
                                    cpu_tensor_address(prepared, op->outputs[0]));
    return ST_OK;
}
