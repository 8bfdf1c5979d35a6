/* Convolutions by oneDNN: forward, gradient of the data, gradient of the kernel.
 *
 * The activations' layout is ours; oneDNN chooses the kernel's. Where it has nothing but its plain loops for
 * that (groups whose channels do not fill blocks), it may choose all layouts, and the operation changes
 * layouts on the way in and out: two more passes, but a hundred times faster than the loops. The gradient of a depthwise
 * kernel is our own where oneDNN has nothing made for it (all but 3 x 3): its matrix products are sixty times slower. */
#include "host/cpu/cpu_internal.h"

#include <string.h>

/* One convolution in oneDNN's words: x is its source, y its target. */
struct convolution {
    enum cpu_dnnl_direction direction;
    int32_t x, kernel_tensor, bias_tensor,
        y; /* tensors of the forward direction, or their gradients; bias -1: none */
    /* As the operands lie; the kernel in the weight table's order. bias is NULL where there is none. */
    struct cpu_dnnl_layout *source, *kernel, *bias, *target;
    struct cpu_dnnl_layout *chosen_kernel; /* left to oneDNN */
    struct cpu_dnnl_window window;
};

/* What describe has made, all of it or less. */
static void convolution_free(struct convolution *c)
{
    cpu_dnnl_layout_free(c->source);
    cpu_dnnl_layout_free(c->kernel);
    cpu_dnnl_layout_free(c->bias);
    cpu_dnnl_layout_free(c->target);
    cpu_dnnl_layout_free(c->chosen_kernel);
}

/* `chosen`: oneDNN is to choose; otherwise as the tensor lies in the arena. */
static enum status describe_activation(const struct device_program *prepared, int32_t id, bool chosen,
                                       struct cpu_dnnl_layout **layout, struct error *err)
{
    struct shape s = prepared->program->tensors[id].shape;
    dnnl_format_tag_t blocked = prepared->device->block == 16 ? dnnl_nChw16c : dnnl_nChw8c;
    const dnnl_dims_t dims = {s.n, s.c, s.h, s.w};
    dnnl_format_tag_t tag = prepared->tensors[id].plain ? dnnl_nchw : blocked;
    return cpu_check(cpu_dnnl_layout_new(layout, 4, dims, chosen ? dnnl_format_tag_any : tag),
                     "describe an activation", err);
}

/* `chosen`: oneDNN is to choose; otherwise the weight table's order. */
static enum status describe_kernel(struct shape kernel, int32_t groups, bool chosen,
                                   struct cpu_dnnl_layout **layout, struct error *err)
{
    const dnnl_dims_t plain = {kernel.n, kernel.c, kernel.h, kernel.w};
    const dnnl_dims_t grouped = {groups, kernel.n / groups, kernel.c, kernel.h, kernel.w};
    dnnl_format_tag_t tag = groups > 1 ? dnnl_goihw : dnnl_oihw;
    return cpu_check(cpu_dnnl_layout_new(layout, groups > 1 ? 5 : 4, groups > 1 ? grouped : plain,
                                         chosen ? dnnl_format_tag_any : tag),
                     "describe a kernel", err);
}

/* Whether oneDNN's name of what it would do begins so. */
static bool is_called(const_dnnl_primitive_desc_t description, const char *begin)
{
    const char *name = NULL;
    return dnnl_primitive_desc_query(description, dnnl_query_impl_info_str, 0, (void *)&name) ==
               dnnl_success &&
           strncmp(name, begin, strlen(begin)) == 0;
}

/* Whether this is oneDNN's implementation by plain loops. */
static bool is_plain_loops(const_dnnl_primitive_desc_t description)
{
    return is_called(description, "ref");
}

/* Whether the operation is the gradient of a depthwise kernel, which oneDNN has no implementation for that is made for
 * it. */
static bool is_ours(const struct device_program *prepared, const struct prog_op *op,
                    const_dnnl_primitive_desc_t description)
{
    if (op->kind != PROG_OP_CONV_BACKWARD_WEIGHTS)
        return false;
    const struct prog_tensor *tensors = prepared->program->tensors;
    const int32_t x = tensors[op->inputs[CONV_BACKWARD_WEIGHTS_IN_X]].shape.c,
                  y = tensors[op->inputs[CONV_BACKWARD_WEIGHTS_IN_DY]].shape.c;
    return op->window.groups > 1 && op->window.groups == x && x == y && !is_called(description, "jit_dw");
}

static enum status choose(const struct device_program *prepared, const struct convolution *c,
                          dnnl_primitive_desc_t *description, struct error *err)
{
    const struct device *device = prepared->device;
    const struct cpu_dnnl_operands lying = {c->source, c->chosen_kernel, c->bias, c->target};
    dnnl_status_t status = cpu_dnnl_convolution(description, device->engine, device->user_scratchpad,
                                                c->direction, &lying, &c->window);
    if (status == dnnl_out_of_memory)
        return cpu_check(status, "choose a convolution", err);
    if (status == dnnl_success && !is_plain_loops(*description))
        return ST_OK;
    struct cpu_dnnl_layout *source = NULL, *target = NULL;
    dnnl_primitive_desc_t other = NULL;
    enum status st = describe_activation(prepared, c->x, true, &source, err);
    if (st == ST_OK)
        st = describe_activation(prepared, c->y, true, &target, err);
    if (st == ST_OK) {
        const struct cpu_dnnl_operands chosen = {source, c->chosen_kernel, c->bias, target};
        const dnnl_status_t found = cpu_dnnl_convolution(&other, device->engine, device->user_scratchpad,
                                                         c->direction, &chosen, &c->window);
        if (found == dnnl_success) {
            dnnl_primitive_desc_destroy(*description);
            *description = other;
        }
        if (found == dnnl_success || found == dnnl_out_of_memory)
            status = found;
        st = cpu_check(status, "do this convolution", err);
    }
    cpu_dnnl_layout_free(source);
    cpu_dnnl_layout_free(target);
    return st;
}

/* Direction and tensors of the operation. */
static struct convolution convolution_of(const struct prog_op *op)
{
    switch (op->kind) {
    case PROG_OP_CONV:
        return (struct convolution){
            .direction = CPU_DNNL_FORWARD,
            .x = op->inputs[CONV_IN_X],
            .kernel_tensor = op->inputs[CONV_IN_KERNEL],
            .bias_tensor = op->inputs[CONV_IN_BIAS],
            .y = op->outputs[CONV_OUT_Y],
        };
    case PROG_OP_CONV_BACKWARD_DATA:
        return (struct convolution){
            .direction = CPU_DNNL_BACKWARD_DATA,
            .x = op->outputs[CONV_BACKWARD_DATA_OUT_DX],
            .kernel_tensor = op->inputs[CONV_BACKWARD_DATA_IN_KERNEL],
            .bias_tensor = -1,
            .y = op->inputs[CONV_BACKWARD_DATA_IN_DY],
        };
    default:
        return (struct convolution){
            .direction = CPU_DNNL_BACKWARD_WEIGHTS,
            .x = op->inputs[CONV_BACKWARD_WEIGHTS_IN_X],
            .kernel_tensor = op->outputs[CONV_BACKWARD_WEIGHTS_OUT_DKERNEL],
            .bias_tensor = op->outputs[CONV_BACKWARD_WEIGHTS_OUT_DBIAS],
            .y = op->inputs[CONV_BACKWARD_WEIGHTS_IN_DY],
        };
    }
}

static enum status describe(const struct device_program *prepared, const struct prog_op *op,
                            struct convolution *c, struct error *err)
{
    const struct prog_tensor *tensors = prepared->program->tensors;
    *c = convolution_of(op);
    struct shape x = tensors[c->x].shape, y = tensors[c->y].shape, kernel = tensors[c->kernel_tensor].shape;
    struct cpu_dnnl_window *window = &c->window;
    window->strides[0] = window->strides[1] = op->window.stride;
    window->padding_before[0] = op->window.pad_h;
    window->padding_before[1] = op->window.pad_w;
    /* What the last window reaches beyond the image; less than nothing where the stride leaves pixels over. */
    window->padding_after[0] =
        (int64_t)(y.h - 1) * op->window.stride + op->window.kernel_h - x.h - op->window.pad_h;
    window->padding_after[1] =
        (int64_t)(y.w - 1) * op->window.stride + op->window.kernel_w - x.w - op->window.pad_w;
    const dnnl_dims_t channels = {y.c};
    enum status st = describe_activation(prepared, c->x, false, &c->source, err);
    if (st == ST_OK)
        st = describe_activation(prepared, c->y, false, &c->target, err);
    if (st == ST_OK)
        st = describe_kernel(kernel, op->window.groups, false, &c->kernel, err);
    if (st == ST_OK)
        st = describe_kernel(kernel, op->window.groups, true, &c->chosen_kernel, err);
    if (st == ST_OK && c->bias_tensor >= 0)
        st = cpu_check(cpu_dnnl_layout_new(&c->bias, 1, channels, dnnl_a), "describe a bias", err);
    return st;
}

/* An operand of the primitive: a tensor in our layout. */
struct operand {
    int index; /* DNNL_ARG_... */
    const struct cpu_dnnl_layout *ours;
    int32_t tensor;
};

/* Of an operand that the primitive takes in layout `theirs`: *buffer becomes where the primitive reads it, with a call
 * that brings it there when the layouts differ. Weights are kept. */
static enum status bring(struct device_program *prepared, struct cpu_op *state, const struct operand *operand,
                         const struct cpu_dnnl_layout *theirs, struct cpu_buffer *buffer, struct error *err)
{
    const struct cpu_buffer here = *buffer = cpu_at_tensor(operand->tensor);
    if (cpu_dnnl_layout_equal(operand->ours, theirs))
        return ST_OK;
    size_t bytes = cpu_dnnl_layout_bytes(theirs);
    *buffer =
        operand->index == DNNL_ARG_WEIGHTS ? cpu_take_kept(state, bytes) : cpu_take_scratch(state, bytes);
    return cpu_call_reorder(prepared, state, operand->ours, here, theirs, *buffer, err);
}

/* The calls of one operation: kernel and activations brought, the convolution, its result taken back. */
static enum status make_calls(struct device_program *prepared, struct cpu_op *state,
                              const struct convolution *c, const_dnnl_primitive_desc_t description,
                              struct error *err)
{
    struct operand in[2], out;
    if (c->direction == CPU_DNNL_FORWARD) {
        in[0] = (struct operand){DNNL_ARG_WEIGHTS, c->kernel, c->kernel_tensor};
        in[1] = (struct operand){DNNL_ARG_SRC, c->source, c->x};
        out = (struct operand){DNNL_ARG_DST, c->target, c->y};
    } else if (c->direction == CPU_DNNL_BACKWARD_WEIGHTS) {
        in[0] = (struct operand){DNNL_ARG_SRC, c->source, c->x};
        in[1] = (struct operand){DNNL_ARG_DIFF_DST, c->target, c->y};
        out = (struct operand){DNNL_ARG_DIFF_WEIGHTS, c->kernel, c->kernel_tensor};
    } else {
        in[0] = (struct operand){DNNL_ARG_WEIGHTS, c->kernel, c->kernel_tensor};
        in[1] = (struct operand){DNNL_ARG_DIFF_DST, c->target, c->y};
        out = (struct operand){DNNL_ARG_DIFF_SRC, c->source, c->x};
    }
    struct cpu_arg args[CPU_MAX_ARGS];
    int32_t count = 0;
    enum status st = ST_OK;
    for (int32_t i = 0; st == ST_OK && i < 2; i++) {
        const struct cpu_dnnl_layout *theirs = cpu_dnnl_operand(description, in[i].index);
        args[count] = (struct cpu_arg){.index = in[i].index, .layout = theirs};
        st = bring(prepared, state, &in[i], theirs, &args[count++].buffer, err);
        if (in[i].index == DNNL_ARG_WEIGHTS)
            state->copies_weight = state->call_count > 0;
    }
    const struct cpu_dnnl_layout *theirs = cpu_dnnl_operand(description, out.index);
    bool taken_back = !cpu_dnnl_layout_equal(out.ours, theirs);
    struct cpu_buffer result =
        taken_back ? cpu_take_scratch(state, cpu_dnnl_layout_bytes(theirs)) : cpu_at_tensor(out.tensor);
    args[count++] = (struct cpu_arg){out.index, theirs, result};
    if (c->bias != NULL) {
        bool forward = c->direction == CPU_DNNL_FORWARD;
        args[count++] = (struct cpu_arg){forward ? DNNL_ARG_BIAS : DNNL_ARG_DIFF_BIAS, c->bias,
                                         cpu_at_tensor(c->bias_tensor)};
    }
    if (st == ST_OK)
        st = cpu_call_new(prepared, state, description, args, count, err);
    if (st == ST_OK && taken_back)
        st = cpu_call_reorder(prepared, state, theirs, result, out.ours, cpu_at_tensor(out.tensor), err);
    return st;
}

enum status cpu_prepare_conv(const struct op_call *call)
{
    struct convolution c;
    dnnl_primitive_desc_t description = NULL;
    enum status st = describe(call->prepared, call->op, &c, call->err);
    if (st == ST_OK)
        st = choose(call->prepared, &c, &description, call->err);
    if (st == ST_OK && is_ours(call->prepared, call->op, description))
        (void)cpu_take_scratch(cpu_state(call),
                               cpu_kernel_depthwise_scratch(cpu_input_shape(call, CONV_BACKWARD_WEIGHTS_IN_X),
                                                            cpu_window_of(call->op)));
    else if (st == ST_OK)
        st = make_calls(call->prepared, cpu_state(call), &c, description, call->err);
    dnnl_primitive_desc_destroy(description);
    convolution_free(&c);
    return st;
}

enum status cpu_run_conv(const struct op_call *call)
{
    return cpu_calls_run(call->prepared, cpu_state(call), call->err);
}

enum status cpu_run_conv_backward_data(const struct op_call *call)
{
    return cpu_calls_run(call->prepared, cpu_state(call), call->err);
}

enum status cpu_run_conv_backward_weights(const struct op_call *call)
{
    if (cpu_state(call)->call_count == 0) { /* it is ours */
        cpu_kernel_depthwise_weights(
            &(struct cpu_depthwise_weights){.in = cpu_input_shape(call, CONV_BACKWARD_WEIGHTS_IN_X),
                                            .out = cpu_input_shape(call, CONV_BACKWARD_WEIGHTS_IN_DY),
                                            .window = cpu_window_of(call->op),
                                            .x = cpu_input(call, CONV_BACKWARD_WEIGHTS_IN_X),
                                            .dy = cpu_input(call, CONV_BACKWARD_WEIGHTS_IN_DY),
                                            .dkernel = cpu_output(call, CONV_BACKWARD_WEIGHTS_OUT_DKERNEL),
                                            .dbias = cpu_output(call, CONV_BACKWARD_WEIGHTS_OUT_DBIAS),
                                            .scratch = cpu_scratch(call)});
        return ST_OK;
    }
    return cpu_calls_run(call->prepared, cpu_state(call), call->err);
}
