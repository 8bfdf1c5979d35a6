/* Dropout (Srivastava et al. 2014) in its inverted form: what is kept is divided by its share. */
#include "host/ref/ref.h"

/* The mask depends on step, layer and element alone, so backward draws it again instead of keeping it. */
static void drop(const struct op_call *call, struct shape shape, const double *from, double *to)
{
    const struct step *step = call->step;
    float rate = call->op->dropout.rate;
    const size_t before =
        step->row * (ref_count(shape) / (size_t)shape.n); /* elements of other members' rows */
    for (size_t i = 0; i < ref_count(shape); i++) {
        uint64_t counter = (uint64_t)step->number << 24 | (before + i) / 4;
        struct random4 draw = random_draw(step->seed, RANDOM_DROPOUT, counter, call->op->layer_id);
        bool kept = random_unit(draw.v[(before + i) % 4]) >= rate;
        to[i] = kept ? from[i] / (1 - (double)rate) : 0;
    }
}

enum status ref_run_dropout(const struct op_call *call)
{
    drop(call, op_output_shape(call, DROPOUT_OUT_Y), ref_input(call, DROPOUT_IN_X),
         ref_output(call, DROPOUT_OUT_Y));
    return ST_OK;
}

enum status ref_run_dropout_backward(const struct op_call *call)
{
    drop(call, op_output_shape(call, DROPOUT_BACKWARD_OUT_DX), ref_input(call, DROPOUT_BACKWARD_IN_DY),
         ref_output(call, DROPOUT_BACKWARD_OUT_DX));
    return ST_OK;
}
