/* The gradient of a kernel as one product of matrices, in bf16.
 *
 * Of dy, [pixels][K], and of columns, [pixels][taps][C], which hold for each pixel of the result what its window saw,
 * the gradient is dy^T columns, [K][taps][C]. oneDNN's own way (for AMX) takes time for each value of the kernel,
 * however few the pixels are: with many channels and small images the product is two to five times as fast, the columns
 * included. A kernel of one tap has x itself for columns. */
#include "host/cpu/cpu_internal.h"

/* Where the product was found to be faster: measured with a batch of 128 on cores with AMX. */
enum { MOST_PIXELS = 64, LEAST_KERNEL = 128 * 128, LEAST_POINTS = 64 * 64 };

static bool is_point(const struct prog_op *op)
{
    return op->window.kernel_h == 1 && op->window.kernel_w == 1 && op->window.stride == 1 &&
           op->window.pad_h == 0 && op->window.pad_w == 0;
}

bool cpu_conv_by_product(const struct op_call *call)
{
    const struct prog_op *op = call->op;
    if (call->prepared->device->type != CPU_BF16 || op->kind != PROG_OP_CONV_BACKWARD_WEIGHTS ||
        op->window.groups > 1 || op->outputs[CONV_BACKWARD_WEIGHTS_OUT_DBIAS] >= 0)
        return false;
    const struct shape x = op_input_shape(call, CONV_BACKWARD_WEIGHTS_IN_X),
                       y = op_input_shape(call, CONV_BACKWARD_WEIGHTS_IN_DY);
    return is_point(op) ? x.c * y.c >= LEAST_POINTS : y.h * y.w <= MOST_PIXELS && x.c * y.c >= LEAST_KERNEL;
}

/* What lies in the scratch, in this order. */
struct product {
    struct cpu_buffer rows;    /* the gradient, [K padded][taps][C padded] */
    struct cpu_buffer columns; /* or x */
};

static struct product lay_out(const struct op_call *call, struct cpu_op *state)
{
    const struct cpu_shape x = cpu_input_shape(call, CONV_BACKWARD_WEIGHTS_IN_X),
                           y = cpu_input_shape(call, CONV_BACKWARD_WEIGHTS_IN_DY);
    const struct prog_op *op = call->op;
    const size_t taps = (size_t)op->window.kernel_h * (size_t)op->window.kernel_w;
    const size_t row = taps * (size_t)x.block, pixels = (size_t)y.n * (size_t)y.h * (size_t)y.w;
    struct product p = {.columns = cpu_at_tensor(op->inputs[CONV_BACKWARD_WEIGHTS_IN_X])};
    p.rows = cpu_take_scratch(state, (size_t)y.block * row * sizeof(float));
    if (!is_point(op))
        p.columns = cpu_take_scratch(state, pixels * row * cpu_type_size(CPU_BF16));
    return p;
}

enum status cpu_prepare_conv_product(const struct op_call *call)
{
    const struct cpu_shape x = cpu_input_shape(call, CONV_BACKWARD_WEIGHTS_IN_X),
                           y = cpu_input_shape(call, CONV_BACKWARD_WEIGHTS_IN_DY);
    const struct prog_op *op = call->op;
    const size_t pixels = (size_t)y.n * (size_t)y.h * (size_t)y.w,
                 taps = (size_t)op->window.kernel_h * (size_t)op->window.kernel_w;
    struct cpu_op *state = cpu_state(call);
    const struct product p = lay_out(call, state);
    const struct cpu_factor dy = {cpu_at_tensor(op->inputs[CONV_BACKWARD_WEIGHTS_IN_DY]), pixels,
                                  (size_t)y.block, true},
                            columns = {p.columns, pixels, taps * (size_t)x.block, false};
    state->by_product = true;
    return cpu_call_matmul(call->prepared, state, &dy, &columns, p.rows, 0.0f, call->err);
}

enum status cpu_run_conv_product(const struct op_call *call)
{
    const struct cpu_shape x = cpu_input_shape(call, CONV_BACKWARD_WEIGHTS_IN_X),
                           y = cpu_input_shape(call, CONV_BACKWARD_WEIGHTS_IN_DY);
    const struct device_program *prepared = call->prepared;
    struct cpu_op *state = cpu_state(call);
    struct cpu_op layout = {0};
    const struct product p = lay_out(call, &layout);
    if (!is_point(call->op))
        cpu_kernel_columns(x, y, cpu_window_of(call->op), cpu_input(call, CONV_BACKWARD_WEIGHTS_IN_X),
                           cpu_address(prepared, state, p.columns));
    enum status st = cpu_calls_run(call->prepared, state, call->err);
    if (st == ST_OK)
        cpu_layout_unpack_rows(prepared->device, op_output_shape(call, CONV_BACKWARD_WEIGHTS_OUT_DKERNEL),
                               cpu_address(prepared, state, p.rows),
                               cpu_output(call, CONV_BACKWARD_WEIGHTS_OUT_DKERNEL));
    return st;
}
