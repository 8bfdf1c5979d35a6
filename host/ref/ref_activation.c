/* Activations, element by element; the formulas stand in activation.h. */
#define ACTIVATION_DOUBLE
#include "host/program/activation.h"
#include "host/ref/ref.h"

static double (*const forward[ACTIVATION_COUNT])(double x) = {
#define LAYER(KIND, ...)
#define ACTIVATION(KIND, name, ...) [ACTIVATION_##KIND] = activation_##name,
#include "host/net/layers.def"
};

static double (*const backward[ACTIVATION_COUNT])(double seen, double dy) = {
#define LAYER(KIND, ...)
#define ACTIVATION(KIND, name, ...) [ACTIVATION_##KIND] = activation_##name##_backward,
#include "host/net/layers.def"
};

enum status ref_run_activation(const struct op_call *call)
{
    const double *x = ref_input(call, ACTIVATION_IN_X);
    double *y = ref_output(call, ACTIVATION_OUT_Y);
    for (size_t i = 0; i < ref_count(op_output_shape(call, ACTIVATION_OUT_Y)); i++)
        y[i] = forward[call->op->activation.function](x[i]);
    return ST_OK;
}

enum status ref_run_activation_backward(const struct op_call *call)
{
    const double *seen = ref_input(call, ACTIVATION_BACKWARD_IN_SEEN),
                 *dy = ref_input(call, ACTIVATION_BACKWARD_IN_DY);
    double *dx = ref_output(call, ACTIVATION_BACKWARD_OUT_DX);
    for (size_t i = 0; i < ref_count(op_output_shape(call, ACTIVATION_BACKWARD_OUT_DX)); i++)
        dx[i] = backward[call->op->activation.function](seen[i], dy[i]);
    return ST_OK;
}
