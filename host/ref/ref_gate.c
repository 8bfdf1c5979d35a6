/* Channels times what their gates are open; the formulas stand in activation.h. */
#define ACTIVATION_DOUBLE
#include "host/program/activation.h"
#include "host/ref/ref.h"

enum status ref_run_gate(const struct op_call *call)
{
    const double *x = ref_input(call, GATE_IN_X), *gate = ref_input(call, GATE_IN_GATE);
    double *y = ref_output(call, GATE_OUT_Y);
    size_t pixels = ref_plane(op_input_shape(call, GATE_IN_X));
    for (size_t at = 0; at < ref_count(op_output_shape(call, GATE_OUT_Y)); at++)
        y[at] = x[at] * activation_gate(gate[at / pixels]);
    return ST_OK;
}

enum status ref_run_gate_backward(const struct op_call *call)
{
    const double *x = ref_input(call, GATE_BACKWARD_IN_X), *gate = ref_input(call, GATE_BACKWARD_IN_GATE),
                 *dy = ref_input(call, GATE_BACKWARD_IN_DY);
    double *dx = ref_output(call, GATE_BACKWARD_OUT_DX), *dgate = ref_output(call, GATE_BACKWARD_OUT_DGATE);
    size_t pixels = ref_plane(op_input_shape(call, GATE_BACKWARD_IN_X));
    for (size_t p = 0; p < ref_count(op_output_shape(call, GATE_BACKWARD_OUT_DGATE)); p++) {
        double sum = 0;
        for (size_t i = p * pixels; i < (p + 1) * pixels; i++) {
            dx[i] = dy[i] * activation_gate(gate[p]);
            sum += dy[i] * x[i];
        }
        dgate[p] = sum * activation_gate_slope(gate[p]);
    }
    return ST_OK;
}
