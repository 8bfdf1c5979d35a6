/* The loss: operands to cuda/kernels/loss.cu. */
#include "cuda/device/cuda_ops.h"

enum status cuda_run_loss(const struct op_call *call)
{
    const struct device *device = call->prepared->device;
    const struct device_dataset *dataset = call->prepared->binding.dataset;
    const struct cuda_lane lane = cuda_main_lane(call);
    const struct cuda_shape s = cuda_input_shape(call, LOSS_IN_LOGITS);
    const struct cuda_loss loss = {.rows = s.n,
                                   .classes = s.c,
                                   .smoothing = call->op->loss.smoothing,
                                   .focal = call->op->loss.focal,
                                   .class_weights = call->op->loss.weighted ? dataset->class_weights : NULL,
                                   .label_sets = call->op->loss.sets ? dataset->label_sets : NULL,
                                   .step = device->step,
                                   .logits = cuda_input(call, LOSS_IN_LOGITS),
                                   .labels = cuda_input(call, LOSS_IN_LABELS),
                                   .metrics = cuda_output(call, LOSS_OUT_METRICS),
                                   .probabilities = cuda_output(call, LOSS_OUT_PROBABILITIES),
                                   .dlogits = cuda_output(call, LOSS_OUT_DLOGITS),
                                   .scratch = lane.scratch,
                                   .tickets = lane.tickets};
    return cuda_launched(call, cuda_launch_loss(device->stream, device->type, &loss));
}
