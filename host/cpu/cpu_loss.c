/* The loss: operands to the kernel. */
#include "host/cpu/cpu_internal.h"

enum status cpu_prepare_loss(const struct op_call *call)
{
    cpu_take_scratch(cpu_state(call), cpu_kernel_loss_scratch(call->program->batch));
    return ST_OK;
}

enum status cpu_run_loss(const struct op_call *call)
{
    const struct cpu_shape s = cpu_input_shape(call, LOSS_IN_LOGITS);
    const struct dataset_view *view = &call->prepared->binding.dataset->view;
    cpu_kernel_loss(&(struct cpu_loss){
        .rows = s.n,
        .classes = s.c,
        .padded = cpu_shape_padded(s),
        .valid = call->step->valid,
        .smoothing = call->op->loss.smoothing,
        .focal = call->op->loss.focal,
        .class_weights = call->op->loss.weighted ? view->class_weights : NULL,
        .label_sets = call->op->loss.sets ? view->label_sets : NULL,
        .type = s.type,
        .logits = cpu_input(call, LOSS_IN_LOGITS),
        .labels = cpu_input(call, LOSS_IN_LABELS),
        .metrics = cpu_output(call, LOSS_OUT_METRICS),
        .probabilities = cpu_output(call, LOSS_OUT_PROBABILITIES),
        .dlogits = cpu_output(call, LOSS_OUT_DLOGITS),
        .scratch = cpu_scratch(call),
    });
    return ST_OK;
}
