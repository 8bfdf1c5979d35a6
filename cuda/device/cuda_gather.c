/* Batch gather: the bound samples of the data set to cuda/kernels/gather.cu. */
#include "cuda/device/cuda_ops.h"

enum status cuda_run_gather(const struct op_call *call)
{
    const struct device *device = call->prepared->device;
    const struct device_binding *binding = &call->prepared->binding;
    const struct device_dataset *dataset = binding->dataset;
    const struct shape made = op_output_shape(call, GATHER_OUT_IMAGE);
    struct cuda_gather gather = {.pixels = dataset->pixels,
                                 .labels = dataset->labels,
                                 .levels = dataset->levels,
                                 .samples = call->prepared->samples,
                                 .sample_count = binding->sample_count,
                                 .shuffled = binding->shuffled,
                                 .channels = dataset->base.channels,
                                 .height = dataset->base.height,
                                 .width = dataset->base.width,
                                 .made_height = made.h,
                                 .made_width = made.w,
                                 .rows = made.n,
                                 .step = device->step,
                                 .image = cuda_output(call, GATHER_OUT_IMAGE),
                                 .image_labels = cuda_output(call, GATHER_OUT_LABELS)};
    if (call->op->gather.augment)
        gather.augment = binding->augment;
    return cuda_launched(call, cuda_launch_gather(device->stream, device->type, &gather));
}
