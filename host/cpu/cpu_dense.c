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
    int64_t rows, in, out;                 /* batch, D, outputs rounded up */
    struct shape kernel;                   /* [K, C, H, W] */
    struct cpu_dnnl_layout *x, *w, *b, *y; /* [rows, in], [out, in], [out], [rows, out] */
    struct cpu_place copy, bias; /* of the kernel or its gradient, and of the bias or its gradient */
};

/* What describe has made, all of it or less. */
static void dense_free(struct dense *d)
{
    cpu_dnnl_layout_free(d->x);
    cpu_dnnl_layout_free(d->w);
    cpu_dnnl_layout_free(d->b);
    cpu_dnnl_layout_free(d->y);
}

static enum status describe(const struct device_program *prepared, const struct prog_op *op, struct dense *d,
                            struct error *err)
{
    *d = (struct dense){0};
    const struct prog_tensor *tensors = prepared->program->tensors;
    bool weights = op->kind == PROG_OP_DENSE_BACKWARD_WEIGHTS;
    d->kernel = tensors[weights ? op->outputs[0] : op->inputs[1]].shape;
    d->rows = tensors[op->inputs[0]].shape.n;
    d->in = (int64_t)cpu_padded(prepared->device, d->kernel.c) * d->kernel.h * d->kernel.w;
    d->out = cpu_padded(prepared->device, d->kernel.n);
    dnnl_dims_t x = {d->rows, d->in}, w = {d->out, d->in}, b = {d->out}, y = {d->rows, d->out};
    enum status st = cpu_check(cpu_dnnl_layout_new(&d->x, 2, x, dnnl_nc), "describe rows", err);
    if (st == ST_OK)
        st = cpu_check(cpu_dnnl_layout_new(&d->w, 2, w, dnnl_oi), "describe a kernel", err);
    if (st == ST_OK)
        st = cpu_check(cpu_dnnl_layout_new(&d->b, 1, b, dnnl_a), "describe a bias", err);
    if (st == ST_OK)
        st = cpu_check(cpu_dnnl_layout_new(&d->y, 2, y, dnnl_nc), "describe rows", err);
    return st;
}

/* Where the copies lie: first in the operation's kept bytes, or in its scratch for gradients. The same for
 * prepare, which reserves them in this order, and run. */
static void place_copies(struct dense *d, struct cpu_op *state, bool weights)
{
    size_t kernel = cpu_dnnl_layout_bytes(d->w), bias = cpu_dnnl_layout_bytes(d->b);
    d->copy = weights ? cpu_take_scratch(state, kernel) : cpu_take_kept(state, kernel);
    d->bias = weights ? cpu_take_scratch(state, bias) : cpu_take_kept(state, bias);
}

/* Appends the inner product of the operation. */
static enum status make_call(struct device_program *prepared, const struct prog_op *op, struct cpu_op *state,
                             const struct dense *d, struct error *err)
{
    const struct device *device = prepared->device;
    const struct cpu_dnnl_operands operands = {d->x, d->w, d->b, d->y};
    enum cpu_dnnl_direction direction = CPU_DNNL_FORWARD;
    struct cpu_arg args[4];
    int32_t count = 0;
    if (op->kind == PROG_OP_DENSE) {
        args[count++] = (struct cpu_arg){DNNL_ARG_SRC, d->x, cpu_at_tensor(op->inputs[0])};
        args[count++] = (struct cpu_arg){DNNL_ARG_WEIGHTS, d->w, d->copy};
        args[count++] = (struct cpu_arg){DNNL_ARG_BIAS, d->b, d->bias};
        args[count++] = (struct cpu_arg){DNNL_ARG_DST, d->y, cpu_at_tensor(op->outputs[0])};
    } else if (op->kind == PROG_OP_DENSE_BACKWARD_DATA) {
        direction = CPU_DNNL_BACKWARD_DATA;
        args[count++] = (struct cpu_arg){DNNL_ARG_DIFF_DST, d->y, cpu_at_tensor(op->inputs[0])};
        args[count++] = (struct cpu_arg){DNNL_ARG_WEIGHTS, d->w, d->copy};
        args[count++] = (struct cpu_arg){DNNL_ARG_DIFF_SRC, d->x, cpu_at_tensor(op->outputs[0])};
    } else {
        direction = CPU_DNNL_BACKWARD_WEIGHTS;
        args[count++] = (struct cpu_arg){DNNL_ARG_SRC, d->x, cpu_at_tensor(op->inputs[0])};
        args[count++] = (struct cpu_arg){DNNL_ARG_DIFF_DST, d->y, cpu_at_tensor(op->inputs[1])};
        args[count++] = (struct cpu_arg){DNNL_ARG_DIFF_WEIGHTS, d->w, d->copy};
        args[count++] = (struct cpu_arg){DNNL_ARG_DIFF_BIAS, d->b, d->bias};
    }
    dnnl_primitive_desc_t description;
    enum status st = cpu_check(
        cpu_dnnl_inner_product(&description, device->engine, device->user_scratchpad, direction, &operands),
        "do this dense layer", err);
    if (st == ST_OK)
        st = cpu_call_new(prepared, state, description, args, count, err);
    dnnl_primitive_desc_destroy(description);
    return st;
}

enum status cpu_prepare_dense(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct prog_op *op = &prepared->program->ops[index];
    struct cpu_op *state = &prepared->ops[index];
    struct dense d;
    enum status st = describe(prepared, op, &d, err);
    if (st == ST_OK) {
        place_copies(&d, state, op->kind == PROG_OP_DENSE_BACKWARD_WEIGHTS);
        st = make_call(prepared, op, state, &d, err);
    }
    dense_free(&d);
    return st;
}

/* The kernel's and the bias' copy, when the weights have changed since. Rows and lanes that stand for nothing
 * are zero from bind on and never written. */
static void refresh_copy(struct device_program *prepared, int32_t index)
{
    const struct prog_op *op = &prepared->program->ops[index];
    struct cpu_op *state = &prepared->ops[index];
    if (state->version == prepared->binding.weights->version)
        return;
    struct shape kernel = prepared->program->tensors[op->inputs[1]].shape;
    float *copy = cpu_address(prepared, state, (struct cpu_place){CPU_KEPT, -1, 0});
    cpu_layout_pack_rows(prepared->device, kernel, cpu_tensor_address(prepared, op->inputs[1]), copy);
    if (op->kind == PROG_OP_DENSE && op->inputs[2] >= 0) {
        size_t row = (size_t)cpu_padded(prepared->device, kernel.c) * (size_t)kernel.h * (size_t)kernel.w;
        float *bias = copy + (size_t)cpu_padded(prepared->device, kernel.n) * row;
        memcpy(bias, cpu_tensor_address(prepared, op->inputs[2]), (size_t)kernel.n * sizeof *bias);
    }
}

enum status cpu_run_dense(struct device_program *prepared, int32_t op, const struct step *step,
                          struct error *err)
{
    (void)step;
    refresh_copy(prepared, op);
    return cpu_calls_run(prepared, &prepared->ops[op], err);
}

enum status cpu_run_dense_backward_data(struct device_program *prepared, int32_t op, const struct step *step,
                                        struct error *err)
{
    (void)step;
    refresh_copy(prepared, op);
    return cpu_calls_run(prepared, &prepared->ops[op], err);
}

enum status cpu_run_dense_backward_weights(struct device_program *prepared, int32_t index,
                                           const struct step *step, struct error *err)
{
    (void)step;
    const struct prog_op *op = &prepared->program->ops[index];
    struct cpu_op *state = &prepared->ops[index];
    enum status st = cpu_calls_run(prepared, state, err);
    if (st != ST_OK)
        return st;
    struct shape kernel = prepared->program->tensors[op->outputs[0]].shape;
    const float *copy = cpu_address(prepared, state, (struct cpu_place){CPU_SCRATCH, -1, 0});
    size_t row = (size_t)cpu_padded(prepared->device, kernel.c) * (size_t)kernel.h * (size_t)kernel.w;
    const float *bias = copy + (size_t)cpu_padded(prepared->device, kernel.n) * row;
    cpu_layout_unpack_rows(prepared->device, kernel, copy, cpu_tensor_address(prepared, op->outputs[0]));
    if (op->outputs[1] >= 0)
        memcpy(cpu_tensor_address(prepared, op->outputs[1]), bias, (size_t)kernel.n * sizeof *bias);
    return ST_OK;
}
