/* Batch gather: operands to the kernel. */
#include "host/cpu/cpu_internal.h"

enum status cpu_run_gather(const struct op_call *call)
{
    const struct device_program *prepared = call->prepared;
    const struct device_binding *binding = &prepared->binding;
    const struct cpu_shape s = cpu_output_shape(call, GATHER_OUT_IMAGE);
    const bool plain = prepared->tensors[call->op->outputs[GATHER_OUT_IMAGE]].plain;
    cpu_kernel_gather(&(struct cpu_gather){
        .view = &binding->dataset->view,
        .samples = binding->samples,
        .sample_count = binding->sample_count,
        .shuffled = binding->shuffled != 0,
        .augment = call->op->gather.augment ? &binding->augment : NULL,
        .step = call->step,
        .height = s.h,
        .width = s.w,
        .rows = s.n,
        .block = plain ? 0 : s.block,
        .type = s.type,
        .image = cpu_output(call, GATHER_OUT_IMAGE),
        .labels = cpu_output(call, GATHER_OUT_LABELS),
    });
    return ST_OK;
}
