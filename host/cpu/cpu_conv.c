/* Convolutions by oneDNN: forward, gradient of the data, gradient of the kernel.
 *
 * The activations' layout is ours; oneDNN chooses the kernel's. Where it has nothing but its plain loops for
 * that (groups whose channels do not fill blocks), it may choose all layouts, and the operation changes
 * layouts on the way in and out: two more passes, but a hundred times faster than the loops.
 *
 * In bf16, where lanes beyond the channels are not known to oneDNN, they are channels of their own: the convolution has
 * as many as there are lanes, its kernel zeros for those that stand for nothing, and so their results are zeros. With
 * groups of several channels that can't be; where they do not fill the lanes, the operation changes layouts.
 *
 * The gradient of a depthwise kernel is our own where oneDNN has nothing made for it (all but 3 x 3): its matrix
 * products are fifty times slower. */
#include "host/cpu/cpu_internal.h"

#include <string.h>

/* One convolution in oneDNN's words: x is its source, y its target. */
struct convolution {
    enum cpu_dnnl_direction direction;
    int32_t x, kernel_tensor, bias_tensor,
        y;                 /* tensors of the forward direction, or their gradients; bias -1: none */
    dnnl_data_type_t type; /* of activations; biases and gradients of weights are float32 */
    /* As the convolution has them: `filled` when channels were rounded up. */
    struct shape source_shape, kernel_shape, target_shape;
    int32_t groups;
    bool filled;
    /* As the operands lie; the kernel in the weight table's order, float32. bias is NULL where there is none. */
    struct cpu_dnnl_layout *source, *kernel, *bias, *target;
    /* Left to oneDNN; the second where the first one's gradient has another type, or NULL. */
    struct cpu_dnnl_layout *chosen_kernel, *forward_kernel;
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
    cpu_dnnl_layout_free(c->forward_kernel);
}

/* Tensor `id` as it lies in the arena, of that shape. */
static enum status describe_activation(const struct device_program *prepared, const struct convolution *c,
                                       int32_t id, struct shape s, struct cpu_dnnl_layout **layout,
                                       struct error *err)
{
    const struct device *device = prepared->device;
    const dnnl_dims_t dims = {s.n, s.c, s.h, s.w};
    const int64_t pixel = cpu_padded(device, s.c);
    const dnnl_dims_t strides = {s.h * s.w * pixel, 1, s.w * pixel, pixel};
    const dnnl_format_tag_t blocked = device->block == 16 ? dnnl_nChw16c : dnnl_nChw8c;
    return cpu_check(device->type == CPU_BF16
                         ? cpu_dnnl_layout_strided(layout, 4, dims, c->type, strides)
                         : cpu_dnnl_layout_new(layout, 4, dims, c->type,
                                               prepared->tensors[id].plain ? dnnl_nchw : blocked),
                     "describe an activation", err);
}

/* Of that shape, in a layout that oneDNN is to choose. */
static enum status describe_chosen(const struct convolution *c, struct shape s,
                                   struct cpu_dnnl_layout **layout, struct error *err)
{
    const dnnl_dims_t dims = {s.n, s.c, s.h, s.w};
    return cpu_check(cpu_dnnl_layout_new(layout, 4, dims, c->type, dnnl_format_tag_any),
                     "describe an activation", err);
}

/* `chosen`: oneDNN is to choose; otherwise the weight table's order. */
static enum status describe_kernel(const struct convolution *c, dnnl_data_type_t type, bool chosen,
                                   struct cpu_dnnl_layout **layout, struct error *err)
{
    const struct shape kernel = c->kernel_shape;
    const dnnl_dims_t plain = {kernel.n, kernel.c, kernel.h, kernel.w};
    const dnnl_dims_t grouped = {c->groups, kernel.n / c->groups, kernel.c, kernel.h, kernel.w};
    const dnnl_format_tag_t tag = c->groups > 1 ? dnnl_goihw : dnnl_oihw;
    return cpu_check(cpu_dnnl_layout_new(layout, c->groups > 1 ? 5 : 4, c->groups > 1 ? grouped : plain, type,
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

static bool is_depthwise(const struct convolution *c)
{
    return c->groups > 1 && c->kernel_shape.c == 1 && c->source_shape.c == c->target_shape.c;
}

/* Whether it is the gradient of a depthwise kernel, which oneDNN has no implementation for that is made for it. */
static bool is_ours(const struct convolution *c, const_dnnl_primitive_desc_t description)
{
    return c->direction == CPU_DNNL_BACKWARD_WEIGHTS && is_depthwise(c) && !is_called(description, "jit_dw");
}

static enum status choose(const struct device_program *prepared, const struct convolution *c,
                          dnnl_primitive_desc_t *description, struct error *err)
{
    const struct device *device = prepared->device;
    const struct cpu_dnnl_operands lying = {c->source, c->chosen_kernel, c->bias, c->target,
                                            c->forward_kernel};
    dnnl_status_t status = cpu_dnnl_convolution(description, device->engine, device->user_scratchpad,
                                                c->direction, &lying, &c->window);
    if (status == dnnl_out_of_memory)
        return cpu_check(status, "choose a convolution", err);
    if (status == dnnl_success && !is_plain_loops(*description))
        return ST_OK;
    struct cpu_dnnl_layout *source = NULL, *target = NULL;
    dnnl_primitive_desc_t other = NULL;
    enum status st = describe_chosen(c, c->source_shape, &source, err);
    if (st == ST_OK)
        st = describe_chosen(c, c->target_shape, &target, err);
    if (st == ST_OK) {
        const struct cpu_dnnl_operands chosen = {source, c->chosen_kernel, c->bias, target,
                                                 c->forward_kernel};
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

/* Rounds channels up, where lanes are channels and that leaves the sums as they are. */
static void fill(const struct device *device, struct convolution *c)
{
    struct shape *x = &c->source_shape, *kernel = &c->kernel_shape, *y = &c->target_shape;
    const int32_t in = cpu_padded(device, x->c), out = cpu_padded(device, y->c);
    const bool depthwise = is_depthwise(c);
    if (device->type != CPU_BF16 || (in == x->c && out == y->c) || (c->groups > 1 && !depthwise))
        return;
    x->c = in;
    y->c = kernel->n = out;
    if (depthwise)
        c->groups = out;
    else
        kernel->c = in;
    c->filled = true;
}

static enum status describe(const struct device_program *prepared, const struct prog_op *op,
                            struct convolution *c, struct error *err)
{
    const struct prog_tensor *tensors = prepared->program->tensors;
    *c = convolution_of(op);
    struct shape x = tensors[c->x].shape, y = tensors[c->y].shape;
    struct cpu_dnnl_window *window = &c->window;
    c->type = cpu_dnnl_type(prepared->device->type);
    c->groups = op->window.groups;
    c->source_shape = x;
    c->target_shape = y;
    c->kernel_shape = tensors[c->kernel_tensor].shape;
    fill(prepared->device, c);
    window->strides[0] = window->strides[1] = op->window.stride;
    window->padding_before[0] = op->window.pad_h;
    window->padding_before[1] = op->window.pad_w;
    /* What the last window reaches beyond the image; less than nothing where the stride leaves pixels over. */
    window->padding_after[0] =
        (int64_t)(y.h - 1) * op->window.stride + op->window.kernel_h - x.h - op->window.pad_h;
    window->padding_after[1] =
        (int64_t)(y.w - 1) * op->window.stride + op->window.kernel_w - x.w - op->window.pad_w;
    const dnnl_dims_t channels = {c->target_shape.c};
    const bool yields_kernel = c->direction == CPU_DNNL_BACKWARD_WEIGHTS;
    enum status st = describe_activation(prepared, c, c->x, c->source_shape, &c->source, err);
    if (st == ST_OK)
        st = describe_activation(prepared, c, c->y, c->target_shape, &c->target, err);
    if (st == ST_OK)
        st = describe_kernel(c, dnnl_f32, false, &c->kernel, err);
    if (st == ST_OK)
        st = describe_kernel(c, yields_kernel ? dnnl_f32 : c->type, true, &c->chosen_kernel, err);
    if (st == ST_OK && yields_kernel && c->type != dnnl_f32)
        st = describe_kernel(c, c->type, true, &c->forward_kernel, err);
    if (st == ST_OK && c->bias_tensor >= 0)
        st = cpu_check(cpu_dnnl_layout_new(&c->bias, 1, channels, dnnl_f32, dnnl_a), "describe a bias", err);
    return st;
}

/* An operand of the primitive in our layout. */
struct operand {
    int index; /* DNNL_ARG_... */
    const struct cpu_dnnl_layout *ours;
    struct cpu_buffer here;
};

/* Of an operand that the primitive takes in layout `theirs`: *buffer becomes where the primitive reads it, with a call
 * that brings it there when the layouts differ. Weights are kept. */
static enum status bring(struct device_program *prepared, struct cpu_op *state, const struct operand *operand,
                         const struct cpu_dnnl_layout *theirs, struct cpu_buffer *buffer, struct error *err)
{
    *buffer = operand->here;
    if (cpu_dnnl_layout_equal(operand->ours, theirs))
        return ST_OK;
    size_t bytes = cpu_dnnl_layout_bytes(theirs);
    *buffer =
        operand->index == DNNL_ARG_WEIGHTS ? cpu_take_kept(state, bytes) : cpu_take_scratch(state, bytes);
    return cpu_call_reorder(prepared, state, operand->ours, operand->here, theirs, *buffer, err);
}

/* Where kernel and bias lie, or their gradients: in copies, where channels were rounded up. */
static void place_weights(struct cpu_op *state, const struct convolution *c, struct cpu_buffer *kernel,
                          struct cpu_buffer *bias)
{
    *kernel = cpu_at_tensor(c->kernel_tensor);
    *bias = cpu_at_tensor(c->bias_tensor);
    if (!c->filled)
        return;
    state->filled = true;
    *kernel = cpu_take_scratch(state, cpu_dnnl_layout_bytes(c->kernel));
    if (c->bias == NULL)
        return;
    const size_t bytes = cpu_dnnl_layout_bytes(c->bias);
    *bias = c->direction == CPU_DNNL_FORWARD ? cpu_take_kept(state, bytes) : cpu_take_scratch(state, bytes);
    state->filled_bias = *bias;
}

/* The calls of one operation: kernel and activations brought, the convolution, its result taken back. */
static enum status make_calls(struct device_program *prepared, struct cpu_op *state,
                              const struct convolution *c, const_dnnl_primitive_desc_t description,
                              struct error *err)
{
    struct cpu_buffer kernel, bias;
    place_weights(state, c, &kernel, &bias);
    const struct cpu_buffer x = cpu_at_tensor(c->x), y = cpu_at_tensor(c->y);
    struct operand in[2], out;
    if (c->direction == CPU_DNNL_FORWARD) {
        in[0] = (struct operand){DNNL_ARG_WEIGHTS, c->kernel, kernel};
        in[1] = (struct operand){DNNL_ARG_SRC, c->source, x};
        out = (struct operand){DNNL_ARG_DST, c->target, y};
    } else if (c->direction == CPU_DNNL_BACKWARD_WEIGHTS) {
        in[0] = (struct operand){DNNL_ARG_SRC, c->source, x};
        in[1] = (struct operand){DNNL_ARG_DIFF_DST, c->target, y};
        out = (struct operand){DNNL_ARG_DIFF_WEIGHTS, c->kernel, kernel};
    } else {
        in[0] = (struct operand){DNNL_ARG_WEIGHTS, c->kernel, kernel};
        in[1] = (struct operand){DNNL_ARG_DIFF_DST, c->target, y};
        out = (struct operand){DNNL_ARG_DIFF_SRC, c->source, x};
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
    struct cpu_buffer result = taken_back ? cpu_take_scratch(state, cpu_dnnl_layout_bytes(theirs)) : out.here;
    args[count++] = (struct cpu_arg){out.index, theirs, result};
    if (c->bias != NULL) {
        bool forward = c->direction == CPU_DNNL_FORWARD;
        args[count++] = (struct cpu_arg){forward ? DNNL_ARG_BIAS : DNNL_ARG_DIFF_BIAS, c->bias, bias};
    }
    if (st == ST_OK)
        st = cpu_call_new(prepared, state, description, args, count, err);
    if (st == ST_OK && taken_back)
        st = cpu_call_reorder(prepared, state, theirs, result, out.ours, out.here, err);
    /* The last call knows nothing of lanes beyond the channels. */
    state->clears_padding = taken_back && !c->filled && c->direction != CPU_DNNL_BACKWARD_WEIGHTS &&
                            prepared->device->type == CPU_BF16;
    return st;
}

enum status cpu_prepare_conv(const struct op_call *call)
{
    if (cpu_conv_by_product(call))
        return cpu_prepare_conv_product(call);
    struct convolution c;
    dnnl_primitive_desc_t description = NULL;
    enum status st = describe(call->prepared, call->op, &c, call->err);
    if (st == ST_OK)
        st = choose(call->prepared, &c, &description, call->err);
    if (st == ST_OK && is_ours(&c, description))
        (void)cpu_take_scratch(cpu_state(call),
                               cpu_kernel_depthwise_scratch(cpu_input_shape(call, CONV_BACKWARD_WEIGHTS_IN_X),
                                                            cpu_window_of(call->op)));
    else if (st == ST_OK)
        st = make_calls(call->prepared, cpu_state(call), &c, description, call->err);
    dnnl_primitive_desc_destroy(description);
    convolution_free(&c);
    return st;
}

/* The kernel's shape when channels are rounded up. */
static struct shape filled_shape(const struct op_call *call, struct shape kernel)
{
    const struct device *device = call->prepared->device;
    struct shape filled = kernel;
    filled.n = cpu_padded(device, kernel.n);
    filled.c = call->op->window.groups > 1 ? kernel.c : cpu_padded(device, kernel.c);
    return filled;
}

/* The copies of kernel and bias (NULL: none) that have more channels, when the weights have changed since. */
static void refresh_filled(const struct op_call *call, int32_t kernel_position, const float *bias)
{
    const struct cpu_op *state = cpu_state(call);
    if (!state->filled || state->version == call->prepared->binding.weights->version)
        return;
    const struct shape kernel = op_input_shape(call, kernel_position);
    cpu_layout_fill_kernel(kernel, filled_shape(call, kernel), cpu_input(call, kernel_position),
                           cpu_scratch(call));
    if (bias == NULL)
        return;
    /* Values behind the last channel's are zero from bind on. */
    memcpy(cpu_address(call->prepared, state, state->filled_bias), bias, (size_t)kernel.n * sizeof(*bias));
}

static enum status run_calls(const struct op_call *call, int32_t result)
{
    struct cpu_op *state = cpu_state(call);
    enum status st = cpu_calls_run(call->prepared, state, call->err);
    if (st == ST_OK && state->clears_padding)
        cpu_layout_clear_padding(call->prepared, result);
    return st;
}

enum status cpu_run_conv(const struct op_call *call)
{
    refresh_filled(call, CONV_IN_KERNEL, cpu_input(call, CONV_IN_BIAS));
    return run_calls(call, call->op->outputs[CONV_OUT_Y]);
}

enum status cpu_run_conv_backward_data(const struct op_call *call)
{
    refresh_filled(call, CONV_BACKWARD_DATA_IN_KERNEL, NULL);
    return run_calls(call, call->op->outputs[CONV_BACKWARD_DATA_OUT_DX]);
}

enum status cpu_run_conv_backward_weights(const struct op_call *call)
{
    const struct cpu_op *state = cpu_state(call);
    if (state->by_product)
        return cpu_run_conv_product(call);
    if (state->call_count == 0) { /* it is ours */
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
    enum status st = cpu_calls_run(call->prepared, cpu_state(call), call->err);
    if (st != ST_OK || !state->filled)
        return st;
    const struct shape kernel = op_output_shape(call, CONV_BACKWARD_WEIGHTS_OUT_DKERNEL);
    float *dbias = cpu_output(call, CONV_BACKWARD_WEIGHTS_OUT_DBIAS);
    cpu_layout_cut_kernel(kernel, filled_shape(call, kernel), cpu_scratch(call),
                          cpu_output(call, CONV_BACKWARD_WEIGHTS_OUT_DKERNEL));
    if (dbias != NULL)
        memcpy(dbias, cpu_address(call->prepared, state, state->filled_bias),
               (size_t)kernel.n * sizeof(*dbias));
    return ST_OK;
}
