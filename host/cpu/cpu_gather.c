/* Batch gather: operands to the kernel. */
#include "host/cpu/cpu_internal.h"

enum status cpu_run_gather(const struct op_call *call)
{
    const struct device_program *prepared = call->prepared;
    const struct device_binding *binding = &prepared->binding;
    const bool plain = prepared->tensors[call->op->outputs[GATHER_OUT_IMAGE]].plain;
    const struct shape shape = op_output_shape(call, GATHER_OUT_IMAGE);
    cpu_kernel_gather(&(struct cpu_gather){
        .view = &binding->dataset->view,
        .samples = binding->samples,
        .sample_count = binding->sample_count,
        .shuffled = binding->shuffled != 0,
        .augment = call->op->gather.augment ? &binding->augment : NULL,
        .step = call->step,
        .height = shape.h,
        .width = shape.w,
        .rows = shape.n,
        .block = plain ? 0 : prepared->device->block,
        .image = cpu_output(call, GATHER_OUT_IMAGE),
        .labels = cpu_output(call, GATHER_OUT_LABELS),
    });
    return ST_OK;
}
