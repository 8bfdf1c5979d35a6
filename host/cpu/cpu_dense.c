/* Dense layers by oneDNN's inner product, over rows.
 *
 * The input is read as it lies: rows of D = [C blocks][H][W][B] values. So the kernel's copy has its columns
 * in that order, zeros for the lanes that stand for no channel, and as many zero rows as fill up the output's
 * padded row: the padding of the result is then a true 0, and no activation changes its layout. A layer
 * without a bias has a bias of zeros here. */
#include "host/cpu/cpu_internal.h"

#include <string.h>

/* Sizes of one dense layer, padding included. */
struct dense {
    enum cpu_dnnl_direction direction;
    int32_t x_tensor, kernel_tensor, y_tensor; /* of the forward direction, or their gradients */
    int64_t rows, in, out;                     /* batch, D, outputs rounded up */
    struct shape kernel;                       /* [K, C, H, W] */
    struct cpu_dnnl_layout *x, *w, *b, *y;     /* [rows, in], [out, in], [out], [rows, out] */
    struct cpu_dnnl_layout *forward; /* the kernel's where w is its gradient's and has another type */
    struct cpu_buffer copy, bias;    /* of the kernel or its gradient, and of the bias or its gradient */
};

/* What describe has made, all of it or less. */
static void dense_free(struct dense *d)
{
    cpu_dnnl_layout_free(d->x);
    cpu_dnnl_layout_free(d->w);
    cpu_dnnl_layout_free(d->b);
    cpu_dnnl_layout_free(d->y);
    cpu_dnnl_layout_free(d->forward);
}

/* Direction and tensors of the operation. */
static struct dense dense_of(const struct prog_op *op)
{
    switch (op->kind) {
    case PROG_OP_DENSE:
        return (struct dense){
            .direction = CPU_DNNL_FORWARD,
            .x_tensor = op->inputs[DENSE_IN_X],
            .kernel_tensor = op->inputs[DENSE_IN_KERNEL],
            .y_tensor = op->outputs[DENSE_OUT_Y],
        };
    case PROG_OP_DENSE_BACKWARD_DATA:
        return (struct dense){
            .direction = CPU_DNNL_BACKWARD_DATA,
            .x_tensor = op->outputs[DENSE_BACKWARD_DATA_OUT_DX],
            .kernel_tensor = op->inputs[DENSE_BACKWARD_DATA_IN_KERNEL],
            .y_tensor = op->inputs[DENSE_BACKWARD_DATA_IN_DY],
        };
    default:
        return (struct dense){
            .direction = CPU_DNNL_BACKWARD_WEIGHTS,
            .x_tensor = op->inputs[DENSE_BACKWARD_WEIGHTS_IN_X],
            .kernel_tensor = op->outputs[DENSE_BACKWARD_WEIGHTS_OUT_DKERNEL],
            .y_tensor = op->inputs[DENSE_BACKWARD_WEIGHTS_IN_DY],
        };
    }
}

static enum status describe(const struct device_program *prepared, const struct prog_op *op, struct dense *d,
                            struct error *err)
{
    const struct prog_tensor *tensors = prepared->program->tensors;
    *d = dense_of(op);
    d->kernel = tensors[d->kernel_tensor].shape;
    d->rows = tensors[d->x_tensor].shape.n;
    d->in = (int64_t)cpu_padded(prepared->device, d->kernel.c) * d->kernel.h * d->kernel.w;
    d->out = cpu_padded(prepared->device, d->kernel.n);
    const dnnl_data_type_t type = cpu_dnnl_type(prepared->device->type);
    /* Gradients of weights are float32. */
    const dnnl_data_type_t own = d->direction == CPU_DNNL_BACKWARD_WEIGHTS ? dnnl_f32 : type;
    dnnl_dims_t x = {d->rows, d->in}, w = {d->out, d->in}, b = {d->out}, y = {d->rows, d->out};
    enum status st = cpu_check(cpu_dnnl_layout_new(&d->x, 2, x, type, dnnl_nc), "describe rows", err);
    if (st == ST_OK)
        st = cpu_check(cpu_dnnl_layout_new(&d->w, 2, w, own, dnnl_oi), "describe a kernel", err);
    if (st == ST_OK)
        st = cpu_check(cpu_dnnl_layout_new(&d->b, 1, b, dnnl_f32, dnnl_a), "describe a bias", err);
    if (st == ST_OK)
        st = cpu_check(cpu_dnnl_layout_new(&d->y, 2, y, type, dnnl_nc), "describe rows", err);
    if (st == ST_OK && own != type)
        st = cpu_check(cpu_dnnl_layout_new(&d->forward, 2, w, type, dnnl_oi), "describe a kernel", err);
    return st;
}

/* Where the copies lie: first in the operation's kept bytes, or in its scratch for gradients. The same for
 * prepare, which reserves them in this order, and run. */
static void lay_out_copies(struct dense *d, struct cpu_op *state)
{
    bool weights = d->direction == CPU_DNNL_BACKWARD_WEIGHTS;
    size_t kernel = cpu_dnnl_layout_bytes(d->w), bias = cpu_dnnl_layout_bytes(d->b);
    d->copy = weights ? cpu_take_scratch(state, kernel) : cpu_take_kept(state, kernel);
    d->bias = weights ? cpu_take_scratch(state, bias) : cpu_take_kept(state, bias);
}

/* Appends the inner product of the operation. */
static enum status make_call(struct device_program *prepared, struct cpu_op *state, const struct dense *d,
                             struct error *err)
{
    const struct device *device = prepared->device;
    const struct cpu_dnnl_operands operands = {d->x, d->w, d->b, d->y, d->forward};
    const struct cpu_buffer x = cpu_at_tensor(d->x_tensor), y = cpu_at_tensor(d->y_tensor);
    struct cpu_arg args[4];
    int32_t count = 0;
    switch (d->direction) {
    case CPU_DNNL_FORWARD:
        args[count++] = (struct cpu_arg){DNNL_ARG_SRC, d->x, x};
        args[count++] = (struct cpu_arg){DNNL_ARG_WEIGHTS, d->w, d->copy};
        args[count++] = (struct cpu_arg){DNNL_ARG_BIAS, d->b, d->bias};
        args[count++] = (struct cpu_arg){DNNL_ARG_DST, d->y, y};
        break;
    case CPU_DNNL_BACKWARD_DATA:
        args[count++] = (struct cpu_arg){DNNL_ARG_DIFF_DST, d->y, y};
        args[count++] = (struct cpu_arg){DNNL_ARG_WEIGHTS, d->w, d->copy};
        args[count++] = (struct cpu_arg){DNNL_ARG_DIFF_SRC, d->x, x};
        break;
    case CPU_DNNL_BACKWARD_WEIGHTS:
        args[count++] = (struct cpu_arg){DNNL_ARG_SRC, d->x, x};
        args[count++] = (struct cpu_arg){DNNL_ARG_DIFF_DST, d->y, y};
        args[count++] = (struct cpu_arg){DNNL_ARG_DIFF_WEIGHTS, d->w, d->copy};
        args[count++] = (struct cpu_arg){DNNL_ARG_DIFF_BIAS, d->b, d->bias};
        break;
    }
    dnnl_primitive_desc_t description;
    enum status st = cpu_check(cpu_dnnl_inner_product(&description, device->engine, device->user_scratchpad,
                                                      d->direction, &operands),
                               "do this dense layer", err);
    if (st == ST_OK)
        st = cpu_call_new(prepared, state, description, args, count, err);
    dnnl_primitive_desc_destroy(description);
    return st;
}

enum status cpu_prepare_dense(const struct op_call *call)
{
    struct cpu_op *state = cpu_state(call);
    struct dense d;
    enum status st = describe(call->prepared, call->op, &d, call->err);
    if (st == ST_OK) {
        lay_out_copies(&d, state);
        st = make_call(call->prepared, state, &d, call->err);
    }
    dense_free(&d);
    return st;
}

/* Bytes of a kernel's copy, or of its gradient's, behind which the bias' lies. */
static size_t copy_bytes(const struct device *device, struct shape kernel, enum cpu_type type)
{
    size_t row = (size_t)cpu_padded(device, kernel.c) * (size_t)kernel.h * (size_t)kernel.w;
    return (size_t)cpu_padded(device, kernel.n) * row * cpu_type_size(type);
}

/* The copy of the kernel at input `kernel_position` and of the bias (NULL: none), when the weights have changed
 * since. Rows and lanes that stand for nothing are zero from bind on and never written. */
static void refresh_copy(const struct op_call *call, int32_t kernel_position, const float *bias)
{
    const struct device *device = call->prepared->device;
    if (cpu_state(call)->version == call->prepared->binding.weights->version)
        return;
    struct shape kernel = op_input_shape(call, kernel_position);
    char *copy = cpu_address(call->prepared, cpu_state(call), (struct cpu_buffer){CPU_KEPT, -1, 0});
    cpu_layout_pack_rows(device, kernel, cpu_input(call, kernel_position), copy);
    if (bias != NULL)
        memcpy(copy + copy_bytes(device, kernel, device->type), bias, (size_t)kernel.n * sizeof(*bias));
}

enum status cpu_run_dense(const struct op_call *call)
{
    refresh_copy(call, DENSE_IN_KERNEL, cpu_input(call, DENSE_IN_BIAS));
    return cpu_calls_run(call->prepared, cpu_state(call), call->err);
}

enum status cpu_run_dense_backward_data(const struct op_call *call)
{
    refresh_copy(call, DENSE_BACKWARD_DATA_IN_KERNEL, NULL);
    return cpu_calls_run(call->prepared, cpu_state(call), call->err);
}

enum status cpu_run_dense_backward_weights(const struct op_call *call)
{
    const struct device *device = call->prepared->device;
    enum status st = cpu_calls_run(call->prepared, cpu_state(call), call->err);
    if (st != ST_OK)
        return st;
    struct shape kernel = op_output_shape(call, DENSE_BACKWARD_WEIGHTS_OUT_DKERNEL);
    const char *copy = cpu_scratch(call), *bias = copy + copy_bytes(device, kernel, CPU_FLOAT);
    float *dbias = cpu_output(call, DENSE_BACKWARD_WEIGHTS_OUT_DBIAS);
    cpu_layout_unpack_rows(device, kernel, (const float *)(const void *)copy,
                           cpu_output(call, DENSE_BACKWARD_WEIGHTS_OUT_DKERNEL));
    if (dbias != NULL)
        memcpy(dbias, bias, (size_t)kernel.n * sizeof(*dbias));
    return ST_OK;
}
