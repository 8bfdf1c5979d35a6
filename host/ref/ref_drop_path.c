/* Drop path: a residual block's branch is left out for some images; which ones stands in drop_path.h. */
#include "host/device/drop_path.h"
#include "host/ref/ref.h"

static void drop(const struct op_call *call, struct shape shape, const double *from, double *to)
{
    const struct step *step = call->step;
    const float rate = call->op->dropout.rate * step->drop_path;
    const size_t image = ref_count(shape) / (size_t)shape.n;
    for (size_t i = 0; i < ref_count(shape); i++) {
        const uint32_t row = step->row + (uint32_t)(i / image);
        to[i] = from[i] * (double)drop_path_factor(step->seed, step->number, row, call->op->layer_id, rate);
    }
}

enum status ref_run_drop_path(const struct op_call *call)
{
    drop(call, op_output_shape(call, DROP_PATH_OUT_Y), ref_input(call, DROP_PATH_IN_X),
         ref_output(call, DROP_PATH_OUT_Y));
    return ST_OK;
}

enum status ref_run_drop_path_backward(const struct op_call *call)
{
    drop(call, op_output_shape(call, DROP_PATH_BACKWARD_OUT_DX), ref_input(call, DROP_PATH_BACKWARD_IN_DY),
         ref_output(call, DROP_PATH_BACKWARD_OUT_DX));
    return ST_OK;
}
