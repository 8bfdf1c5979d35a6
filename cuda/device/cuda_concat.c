/* Concat and split: operands to cuda/kernels/concat.cu. */
#include "cuda/device/cuda_ops.h"

_Static_assert((int)PROG_MAX_INPUTS <= (int)CUDA_MAX_PARTS && (int)PROG_MAX_OUTPUTS <= (int)CUDA_MAX_PARTS,
               "the kernels have no room for all parts");

enum status cuda_run_concat(const struct op_call *call)
{
    const struct device *device = call->prepared->device;
    struct cuda_concat concat = {.whole = cuda_output_shape(call, CONCAT_OUT_Y),
                                 .count = call->op->input_count - CONCAT_IN_X,
                                 .y = cuda_output(call, CONCAT_OUT_Y)};
    for (int32_t k = 0; k < concat.count; k++) {
        concat.channels[k] = cuda_input_shape(call, CONCAT_IN_X + k).c;
        concat.x[k] = cuda_input(call, CONCAT_IN_X + k);
    }
    return cuda_launched(call, cuda_launch_concat(device->stream, device->type, &concat));
}

enum status cuda_run_split(const struct op_call *call)
{
    const struct device *device = call->prepared->device;
    struct cuda_split split = {.whole = cuda_input_shape(call, SPLIT_IN_DY),
                               .count = call->op->output_count - SPLIT_OUT_DX,
                               .dy = cuda_input(call, SPLIT_IN_DY)};
    for (int32_t k = 0; k < split.count; k++) {
        split.channels[k] = cuda_output_shape(call, SPLIT_OUT_DX + k).c;
        split.dx[k] = cuda_output(call, SPLIT_OUT_DX + k);
    }
    return cuda_launched(call, cuda_launch_split(device->stream, device->type, &split));
}
