/* oneDNN primitives as operations use them: made in prepare, given their addresses at bind, run in a step.
 * oneDNN's own cache (1024 primitives, keyed by description) keeps the generated code, so that the next
 * candidate with the same layer finds it made. */
#include "host/cpu/cpu_internal.h"

enum { LINE = 64 };

enum status cpu_check(dnnl_status_t status, const char *what, struct error *err)
{
    if (status == dnnl_success)
        return ST_OK;
    if (status == dnnl_out_of_memory)
        return error_set(err, ST_MEMORY, "out of memory: oneDNN, to %s", what);
    return error_set(err, status == dnnl_unimplemented ? ST_UNSUPPORTED : ST_DEVICE,
                     "oneDNN cannot %s: status %d", what, (int)status);
}

struct cpu_buffer cpu_take_scratch(struct cpu_op *op, size_t bytes)
{
    struct cpu_buffer buffer = {CPU_SCRATCH, -1, op->scratch_bytes};
    op->scratch_bytes += cpu_round_up(bytes, LINE);
    return buffer;
}

struct cpu_buffer cpu_take_kept(struct cpu_op *op, size_t bytes)
{
    struct cpu_buffer buffer = {CPU_KEPT, -1, op->kept_bytes};
    op->kept_bytes += cpu_round_up(bytes, LINE);
    return buffer;
}

static enum status append_argument(struct device_program *prepared, struct cpu_call *call, struct cpu_arg arg,
                                   struct error *err)
{
    dnnl_exec_arg_t *slot = &call->args[call->count];
    slot->arg = arg.index;
    enum status st =
        cpu_check(cpu_dnnl_memory_new(&slot->memory, prepared->device->engine, arg.layout, DNNL_MEMORY_NONE),
                  "describe memory", err);
    if (st == ST_OK)
        call->buffers[call->count++] = arg.buffer;
    return st;
}

enum status cpu_call_new(struct device_program *prepared, struct cpu_op *op,
                         const_dnnl_primitive_desc_t description, const struct cpu_arg *args, int32_t count,
                         struct error *err)
{
    /* Counted at once, so that cpu_calls_free finds also what a failure leaves half made. */
    struct cpu_call *call = &op->calls[op->call_count++];
    *call = (struct cpu_call){0};
    enum status st = cpu_check(cpu_dnnl_primitive(&call->primitive, description), "make a primitive", err);
    for (int32_t i = 0; st == ST_OK && i < count; i++)
        st = append_argument(prepared, call, args[i], err);
    const struct cpu_dnnl_layout *scratchpad = cpu_dnnl_operand(description, DNNL_ARG_SCRATCHPAD);
    size_t bytes = cpu_dnnl_layout_bytes(scratchpad);
    if (st == ST_OK && bytes > 0)
        st = append_argument(prepared, call,
                             (struct cpu_arg){DNNL_ARG_SCRATCHPAD, scratchpad, cpu_take_scratch(op, bytes)},
                             err);
    return st;
}

enum status cpu_call_reorder(struct device_program *prepared, struct cpu_op *op,
                             const struct cpu_dnnl_layout *from, struct cpu_buffer source,
                             const struct cpu_dnnl_layout *to, struct cpu_buffer target, struct error *err)
{
    const struct device *device = prepared->device;
    dnnl_primitive_desc_t description;
    enum status st =
        cpu_check(cpu_dnnl_reorder(&description, device->engine, device->user_scratchpad, from, to),
                  "change a layout", err);
    if (st == ST_OK) {
        struct cpu_arg args[] = {{DNNL_ARG_FROM, from, source}, {DNNL_ARG_TO, to, target}};
        st = cpu_call_new(prepared, op, description, args, 2, err);
    }
    dnnl_primitive_desc_destroy(description);
    return st;
}

enum status cpu_call_matmul(struct device_program *prepared, struct cpu_op *op, const struct cpu_factor *left,
                            const struct cpu_factor *right, struct cpu_buffer product, float scale,
                            struct error *err)
{
    const struct cpu_factor *const factors[] = {left, right};
    const dnnl_dim_t rows = (dnnl_dim_t)(left->transposed ? left->columns : left->rows),
                     columns = (dnnl_dim_t)(right->transposed ? right->rows : right->columns);
    const dnnl_dims_t dims = {rows, columns}, strides = {columns, 1};
    struct cpu_dnnl_layout *layouts[3] = {NULL};
    dnnl_primitive_desc_t description = NULL;
    dnnl_status_t status = cpu_dnnl_layout_strided(&layouts[2], 2, dims, dnnl_f32, strides);
    for (int k = 0; k < 2 && status == dnnl_success; k++) {
        const dnnl_dim_t down = (dnnl_dim_t)factors[k]->rows, across = (dnnl_dim_t)factors[k]->columns;
        const dnnl_dims_t lying = {down, across}, turned = {across, down}, steps = {across, 1},
                          turned_steps = {1, across};
        const bool turn = factors[k]->transposed;
        status = cpu_dnnl_layout_strided(&layouts[k], 2, turn ? turned : lying, dnnl_bf16,
                                         turn ? turned_steps : steps);
    }
    if (status == dnnl_success)
        status = cpu_dnnl_matmul(&description, prepared->device->engine, layouts[0], layouts[1], layouts[2],
                                 scale);
    enum status st = cpu_check(status, "multiply these matrices", err);
    if (st == ST_OK) {
        const struct cpu_arg args[] = {{DNNL_ARG_SRC, layouts[0], left->buffer},
                                       {DNNL_ARG_WEIGHTS, layouts[1], right->buffer},
                                       {DNNL_ARG_DST, layouts[2], product}};
        st = cpu_call_new(prepared, op, description, args, 3, err);
    }
    dnnl_primitive_desc_destroy(description);
    for (int k = 0; k < 3; k++)
        cpu_dnnl_layout_free(layouts[k]);
    return st;
}

void cpu_calls_free(struct cpu_op *op)
{
    for (int32_t i = 0; i < op->call_count; i++) {
        struct cpu_call *call = &op->calls[i];
        for (int32_t k = 0; k < call->count; k++)
            dnnl_memory_destroy(call->args[k].memory);
        dnnl_primitive_destroy(call->primitive);
    }
    op->call_count = 0;
}

enum status cpu_calls_bind(struct device_program *prepared, struct cpu_op *op, struct error *err)
{
    for (int32_t i = 0; i < op->call_count; i++) {
        struct cpu_call *call = &op->calls[i];
        for (int32_t k = 0; k < call->count; k++) {
            void *address = cpu_address(prepared, op, call->buffers[k]);
            enum status st =
                cpu_check(dnnl_memory_set_data_handle(call->args[k].memory, address), "set memory", err);
            if (st != ST_OK)
                return st;
        }
    }
    op->version = 0;
    return ST_OK;
}

enum status cpu_call_run(struct device_program *prepared, const struct cpu_op *op, int32_t number,
                         struct error *err)
{
    const struct cpu_call *call = &op->calls[number];
    return cpu_check(
        dnnl_primitive_execute(call->primitive, prepared->device->stream, call->count, call->args), "run",
        err);
}

enum status cpu_calls_run(struct device_program *prepared, struct cpu_op *op, struct error *err)
{
    uint64_t version = prepared->binding.weights->version;
    bool fresh = op->copies_weight && op->version == version;
    for (int32_t i = fresh ? 1 : 0; i < op->call_count; i++) {
        enum status st = cpu_call_run(prepared, op, i, err);
        if (st != ST_OK)
            return st;
    }
    op->version = version;
    return ST_OK;
}
