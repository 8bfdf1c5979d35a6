/* Convolutions by oneDNN: forward, gradient of the data, gradient of the kernel.
 *
 * The activations' layout is ours; oneDNN chooses the kernel's. Where it has nothing but its plain loops for
 * that (groups whose channels do not fill blocks), it may choose all layouts, and the operation changes
 * layouts on the way in and out: two more passes, but a hundred times faster than the loops. */
#include "host/cpu/cpu_internal.h"

#include <string.h>

/* One convolution in oneDNN's words. source, target: of the forward direction (or their gradients). */
struct convolution {
    enum prog_op_kind kind;
    dnnl_memory_desc_t source, kernel, bias, target;
    bool has_bias;
    dnnl_dims_t strides, padding_before, padding_after;
};

static enum status describe_activation(const struct device_program *prepared, int32_t id,
                                       dnnl_memory_desc_t *layout, struct error *err)
{
    struct shape s = prepared->program->tensors[id].shape;
    dnnl_format_tag_t blocked = prepared->device->block == 16 ? dnnl_nChw16c : dnnl_nChw8c;
    dnnl_dims_t dims = {s.n, s.c, s.h, s.w};
    dnnl_format_tag_t tag = prepared->tensors[id].plain ? dnnl_nchw : blocked;
    return cpu_check(dnnl_memory_desc_init_by_tag(layout, 4, dims, dnnl_f32, tag), "describe an activation",
                     err);
}

/* `tag_any`: oneDNN is to choose; otherwise the weight table's order. */
static enum status describe_kernel(struct shape kernel, int32_t groups, bool tag_any,
                                   dnnl_memory_desc_t *layout, struct error *err)
{
    dnnl_dims_t plain = {kernel.n, kernel.c, kernel.h, kernel.w};
    dnnl_dims_t grouped = {groups, kernel.n / groups, kernel.c, kernel.h, kernel.w};
    dnnl_format_tag_t tag = groups > 1 ? dnnl_goihw : dnnl_oihw;
    return cpu_check(dnnl_memory_desc_init_by_tag(layout, groups > 1 ? 5 : 4, groups > 1 ? grouped : plain,
                                                  dnnl_f32, tag_any ? dnnl_format_tag_any : tag),
                     "describe a kernel", err);
}

static dnnl_memory_desc_t any_layout(dnnl_memory_desc_t layout)
{
    dnnl_memory_desc_t any;
    dnnl_memory_desc_init_by_tag(&any, layout.ndims, layout.dims, dnnl_f32, dnnl_format_tag_any);
    return any;
}

static dnnl_status_t create_forward(const struct device *device, const struct convolution *c,
                                    dnnl_primitive_desc_t *description)
{
    dnnl_convolution_desc_t d;
    dnnl_status_t status = dnnl_convolution_forward_desc_init(
        &d, dnnl_forward_training, dnnl_convolution_direct, &c->source, &c->kernel,
        c->has_bias ? &c->bias : NULL, &c->target, c->strides, c->padding_before, c->padding_after);
    if (status != dnnl_success)
        return status;
    return dnnl_primitive_desc_create(description, &d, device->user_scratchpad, device->engine, NULL);
}

/* NULL where oneDNN has nothing for these layouts. */
static dnnl_status_t create_description(const struct device *device, const struct convolution *c,
                                        dnnl_primitive_desc_t *description)
{
    *description = NULL;
    if (c->kind == PROG_OP_CONV)
        return create_forward(device, c, description);
    dnnl_convolution_desc_t d;
    dnnl_primitive_desc_t hint = NULL;
    dnnl_status_t status = create_forward(device, c, &hint);
    if (status != dnnl_success)
        return status;
    if (c->kind == PROG_OP_CONV_BACKWARD_DATA)
        status = dnnl_convolution_backward_data_desc_init(&d, dnnl_convolution_direct, &c->source, &c->kernel,
                                                          &c->target, c->strides, c->padding_before,
                                                          c->padding_after);
    else
        status = dnnl_convolution_backward_weights_desc_init(
            &d, dnnl_convolution_direct, &c->source, &c->kernel, c->has_bias ? &c->bias : NULL, &c->target,
            c->strides, c->padding_before, c->padding_after);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(description, &d, device->user_scratchpad, device->engine, hint);
    dnnl_primitive_desc_destroy(hint);
    return status;
}

/* Whether this is oneDNN's implementation by plain loops. */
static bool is_plain_loops(const_dnnl_primitive_desc_t description)
{
    const char *name = NULL;
    return dnnl_primitive_desc_query(description, dnnl_query_impl_info_str, 0, (void *)&name) ==
               dnnl_success &&
           strncmp(name, "ref", 3) == 0;
}

static enum status choose(const struct device *device, const struct convolution *c,
                          dnnl_primitive_desc_t *description, struct error *err)
{
    dnnl_status_t status = create_description(device, c, description);
    if (status == dnnl_success && !is_plain_loops(*description))
        return ST_OK;
    struct convolution free_choice = *c;
    free_choice.source = any_layout(c->source);
    free_choice.target = any_layout(c->target);
    dnnl_primitive_desc_t other = NULL;
    dnnl_status_t other_status = create_description(device, &free_choice, &other);
    if (other_status == dnnl_success) {
        dnnl_primitive_desc_destroy(*description);
        *description = other;
        status = dnnl_success;
    }
    return cpu_check(status, "do this convolution", err);
}

static enum status describe(const struct device_program *prepared, const struct prog_op *op,
                            struct convolution *c, struct shape *kernel, struct error *err)
{
    const struct prog_tensor *tensors = prepared->program->tensors;
    bool data = op->kind == PROG_OP_CONV_BACKWARD_DATA, weights = op->kind == PROG_OP_CONV_BACKWARD_WEIGHTS;
    int32_t source = data ? op->outputs[0] : op->inputs[0];
    int32_t target = data ? op->inputs[0] : weights ? op->inputs[1] : op->outputs[0];
    int32_t weight = weights ? op->outputs[0] : op->inputs[1];
    struct shape x = tensors[source].shape, y = tensors[target].shape;
    *kernel = tensors[weight].shape;
    *c = (struct convolution){.kind = op->kind};
    c->has_bias = weights ? op->outputs[1] >= 0 : !data && op->inputs[2] >= 0;
    c->strides[0] = c->strides[1] = op->window.stride;
    c->padding_before[0] = op->window.pad_h;
    c->padding_before[1] = op->window.pad_w;
    /* What the last window reaches beyond the image; less than nothing where the stride leaves pixels over.
     */
    c->padding_after[0] =
        (int64_t)(y.h - 1) * op->window.stride + op->window.kernel_h - x.h - op->window.pad_h;
    c->padding_after[1] =
        (int64_t)(y.w - 1) * op->window.stride + op->window.kernel_w - x.w - op->window.pad_w;
    dnnl_dims_t channels = {y.c};
    enum status st = describe_activation(prepared, source, &c->source, err);
    if (st == ST_OK)
        st = describe_activation(prepared, target, &c->target, err);
    if (st == ST_OK)
        st = describe_kernel(*kernel, op->window.groups, true, &c->kernel, err);
    if (st == ST_OK)
        st = cpu_check(dnnl_memory_desc_init_by_tag(&c->bias, 1, channels, dnnl_f32, dnnl_a),
                       "describe a bias", err);
    return st;
}

/* An operand that lies at `here` in layout `ours` and that the primitive takes in `theirs`: *place becomes
 * where the primitive reads it, with a call that brings it there when the layouts differ. */
static enum status bring(struct device_program *prepared, struct cpu_op *state,
                         const dnnl_memory_desc_t *ours, struct cpu_place here,
                         const dnnl_memory_desc_t *theirs, bool kept, struct cpu_place *place,
                         struct error *err)
{
    *place = here;
    if (dnnl_memory_desc_equal(ours, theirs))
        return ST_OK;
    size_t bytes = dnnl_memory_desc_get_size(theirs);
    *place = kept ? cpu_take_kept(state, bytes) : cpu_take_scratch(state, bytes);
    return cpu_call_reorder(prepared, state, ours, here, theirs, *place, err);
}

/* The calls of one operation: kernel and activations brought, the convolution, its result taken back. */
static enum status make_calls(struct device_program *prepared, const struct prog_op *op, struct cpu_op *state,
                              const struct convolution *c, const dnnl_memory_desc_t *plain_kernel,
                              const_dnnl_primitive_desc_t description, struct error *err)
{
    bool forward = op->kind == PROG_OP_CONV, weights = op->kind == PROG_OP_CONV_BACKWARD_WEIGHTS;
    struct operand {
        int index;
        const dnnl_memory_desc_t *ours, *theirs;
        int32_t tensor;
    } in[2], out;
    if (forward) {
        in[0] = (struct operand){DNNL_ARG_WEIGHTS, plain_kernel,
                                 dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0),
                                 op->inputs[1]};
        in[1] =
            (struct operand){DNNL_ARG_SRC, &c->source,
                             dnnl_primitive_desc_query_md(description, dnnl_query_src_md, 0), op->inputs[0]};
        out =
            (struct operand){DNNL_ARG_DST, &c->target,
                             dnnl_primitive_desc_query_md(description, dnnl_query_dst_md, 0), op->outputs[0]};
    } else if (weights) {
        in[0] =
            (struct operand){DNNL_ARG_SRC, &c->source,
                             dnnl_primitive_desc_query_md(description, dnnl_query_src_md, 0), op->inputs[0]};
        in[1] = (struct operand){DNNL_ARG_DIFF_DST, &c->target,
                                 dnnl_primitive_desc_query_md(description, dnnl_query_diff_dst_md, 0),
                                 op->inputs[1]};
        out = (struct operand){DNNL_ARG_DIFF_WEIGHTS, plain_kernel,
                               dnnl_primitive_desc_query_md(description, dnnl_query_diff_weights_md, 0),
                               op->outputs[0]};
    } else {
        in[0] = (struct operand){DNNL_ARG_WEIGHTS, plain_kernel,
                                 dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0),
                                 op->inputs[1]};
        in[1] = (struct operand){DNNL_ARG_DIFF_DST, &c->target,
                                 dnnl_primitive_desc_query_md(description, dnnl_query_diff_dst_md, 0),
                                 op->inputs[0]};
        out = (struct operand){DNNL_ARG_DIFF_SRC, &c->source,
                               dnnl_primitive_desc_query_md(description, dnnl_query_diff_src_md, 0),
                               op->outputs[0]};
    }
    struct cpu_arg args[CPU_MAX_ARGS];
    int32_t count = 0;
    enum status st = ST_OK;
    for (int32_t i = 0; st == ST_OK && i < 2; i++) {
        bool kernel = in[i].index == DNNL_ARG_WEIGHTS;
        args[count] = (struct cpu_arg){.index = in[i].index, .layout = in[i].theirs};
        st = bring(prepared, state, in[i].ours, cpu_at_tensor(in[i].tensor), in[i].theirs, kernel,
                   &args[count++].place, err);
        if (kernel)
            state->copies_weight = state->call_count > 0;
    }
    bool taken_back = !dnnl_memory_desc_equal(out.ours, out.theirs);
    struct cpu_place result = taken_back ? cpu_take_scratch(state, dnnl_memory_desc_get_size(out.theirs))
                                         : cpu_at_tensor(out.tensor);
    args[count++] = (struct cpu_arg){out.index, out.theirs, result};
    if (c->has_bias)
        args[count++] = (struct cpu_arg){forward ? DNNL_ARG_BIAS : DNNL_ARG_DIFF_BIAS, &c->bias,
                                         cpu_at_tensor(forward ? op->inputs[2] : op->outputs[1])};
    if (st == ST_OK)
        st = cpu_call_new(prepared, state, description, args, count, err);
    if (st == ST_OK && taken_back)
        st = cpu_call_reorder(prepared, state, out.theirs, result, out.ours, cpu_at_tensor(out.tensor), err);
    return st;
}

enum status cpu_prepare_conv(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct prog_op *op = &prepared->program->ops[index];
    struct convolution c;
    struct shape kernel;
    dnnl_memory_desc_t plain_kernel;
    dnnl_primitive_desc_t description = NULL;
    enum status st = describe(prepared, op, &c, &kernel, err);
    if (st == ST_OK)
        st = describe_kernel(kernel, op->window.groups, false, &plain_kernel, err);
    if (st == ST_OK)
        st = choose(prepared->device, &c, &description, err);
    if (st == ST_OK)
        st = make_calls(prepared, op, &prepared->ops[index], &c, &plain_kernel, description, err);
    dnnl_primitive_desc_destroy(description);
    return st;
}

enum status cpu_run_conv(struct device_program *prepared, int32_t op, const struct step *step,
                         struct error *err)
{
    (void)step;
    return cpu_calls_run(prepared, &prepared->ops[op], err);
}

enum status cpu_run_conv_backward_data(struct device_program *prepared, int32_t op, const struct step *step,
                                       struct error *err)
{
    (void)step;
    return cpu_calls_run(prepared, &prepared->ops[op], err);
}

enum status cpu_run_conv_backward_weights(struct device_program *prepared, int32_t op,
                                          const struct step *step, struct error *err)
{
    (void)step;
    return cpu_calls_run(prepared, &prepared->ops[op], err);
}
