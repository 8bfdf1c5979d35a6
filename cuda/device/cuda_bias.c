/* Biases of convolutions and dense layers, which cuDNN and cuBLAS do without here: added behind the product, and their
 * gradients. */
#include "cuda/device/cuda_ops.h"

enum status cuda_add_bias(const struct op_call *call, int32_t bias, int32_t y)
{
    const struct device_program *prepared = call->prepared;
    if (bias < 0)
        return ST_OK;
    return cuda_check(cuda_launch_add_bias(prepared->device->stream, prepared->device->type,
                                           cuda_shape_of(prepared, y), cuda_address(prepared, bias),
                                           cuda_address(prepared, y)),
                      "add a bias", call->err);
}

enum status cuda_sum_bias_gradient(const struct op_call *call, struct cuda_lane lane, int32_t dy,
                                   int32_t dbias)
{
    const struct device_program *prepared = call->prepared;
    if (dbias < 0)
        return ST_OK;
    const struct cuda_bias_gradient bias = {.multiprocessors = prepared->device->info.threads,
                                            .shape = cuda_shape_of(prepared, dy),
                                            .dy = cuda_address(prepared, dy),
                                            .dbias = cuda_address(prepared, dbias),
                                            .scratch = lane.scratch,
                                            .tickets = lane.tickets};
    return cuda_check(cuda_launch_bias_gradient(lane.stream, prepared->device->type, &bias),
                      "sum up a bias' gradient", call->err);
}
