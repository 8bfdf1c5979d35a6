/* Weights as a program sees them: the table of kernels.h, with the working copies of kernels that convolutions and
 * dense layers read. The operations of one layer share a copy. Copies are made from the masters before a step that
 * others than the step before it have changed weights for; a step's end updates both. */
#include "cuda/device/cuda_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- plan ---- */

/* A convolution in the words of conv.h, or a dense layer. */
struct product {
    enum conv_kind kind;
    bool dense;
    int32_t weight;    /* of its kernel, in the weight table */
    struct shape x, y; /* plain; of the forward direction */
};

/* Which tensors its operation has; false for operations of other families. */
static bool read_product(const struct program *program, const struct prog_op *op, struct product *product)
{
    const struct prog_tensor *tensors = program->tensors;
    const int32_t *in = op->inputs, *out = op->outputs;
    int32_t x, y, kernel;
    switch (op->kind) {
    case PROG_OP_CONV:
        product->kind = CONV_FORWARD;
        x = in[CONV_IN_X], kernel = in[CONV_IN_KERNEL], y = out[CONV_OUT_Y];
        break;
    case PROG_OP_CONV_BACKWARD_DATA:
        product->kind = CONV_BACKWARD_DATA;
        x = out[CONV_BACKWARD_DATA_OUT_DX], y = in[CONV_BACKWARD_DATA_IN_DY];
        kernel = in[CONV_BACKWARD_DATA_IN_KERNEL];
        break;
    case PROG_OP_CONV_BACKWARD_WEIGHTS:
        product->kind = CONV_BACKWARD_WEIGHTS;
        x = in[CONV_BACKWARD_WEIGHTS_IN_X], y = in[CONV_BACKWARD_WEIGHTS_IN_DY];
        kernel = out[CONV_BACKWARD_WEIGHTS_OUT_DKERNEL];
        break;
    case PROG_OP_DENSE:
        product->kind = CONV_FORWARD;
        x = in[DENSE_IN_X], kernel = in[DENSE_IN_KERNEL], y = out[DENSE_OUT_Y];
        break;
    case PROG_OP_DENSE_BACKWARD_DATA:
        product->kind = CONV_BACKWARD_DATA;
        x = out[DENSE_BACKWARD_DATA_OUT_DX], y = in[DENSE_BACKWARD_DATA_IN_DY];
        kernel = in[DENSE_BACKWARD_DATA_IN_KERNEL];
        break;
    case PROG_OP_DENSE_BACKWARD_WEIGHTS:
        product->kind = CONV_BACKWARD_WEIGHTS;
        x = in[DENSE_BACKWARD_WEIGHTS_IN_X], y = in[DENSE_BACKWARD_WEIGHTS_IN_DY];
        kernel = out[DENSE_BACKWARD_WEIGHTS_OUT_DKERNEL];
        break;
    default:
        return false;
    }
    product->dense = op->kind == PROG_OP_DENSE || op->kind == PROG_OP_DENSE_BACKWARD_DATA ||
                     op->kind == PROG_OP_DENSE_BACKWARD_WEIGHTS;
    product->weight = tensors[kernel].weight;
    product->x = tensors[x].shape;
    product->y = tensors[y].shape;
    return true;
}

static void geometry_of(const struct prog_op *op, const struct product *product,
                        struct conv_geometry *geometry)
{
    const struct conv_window window = {op->window.kernel_h, op->window.kernel_w, op->window.stride,
                                       op->window.pad_h,    op->window.pad_w,    op->window.groups};
    conv_geometry_of(product->x, product->y, &window, geometry);
}

/* Says what the copy of that layer's kernel is. geometry: NULL for a dense layer, whose rows hold padded channels of
 * all pixels, and whose gradient cuBLAS leaves in float32. */
static enum status describe_copy(struct device_program *prepared, const struct product *product,
                                 const struct conv_geometry *geometry, struct error *err)
{
    const int32_t *dims = prepared->program->weights.tensors[product->weight].dims;
    struct cuda_weight *w = &prepared->weights[product->weight];
    w->out = dims[0];
    w->in = dims[1];
    w->taps = dims[2] * dims[3];
    w->rows = cuda_padded(product->y.c);
    w->depth = geometry != NULL ? geometry->depth : cuda_padded(product->x.c);
    w->blocks = geometry != NULL ? geometry->blocks : 1;
    w->wide = geometry == NULL;
    return cuda_copy_count(w) <= CUDA_COPY_ELEMENTS
               ? ST_OK
               : error_set(err, ST_UNSUPPORTED, "kernel of %zu values with its padding, expected at most %zu",
                           cuda_copy_count(w), CUDA_COPY_ELEMENTS);
}

static enum status plan_product(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct prog_op *op = &prepared->program->ops[index];
    struct cuda_op *state = &prepared->ops[index];
    struct conv_geometry geometry;
    struct product product;
    state->kernel = state->folded_conv = -1;
    if (!read_product(prepared->program, op, &product))
        return ST_OK;
    state->kernel = product.weight;
    if (product.dense)
        return describe_copy(prepared, &product, NULL, err);
    geometry_of(op, &product, &geometry);
    enum status st = describe_copy(prepared, &product, &geometry, err);
    return st == ST_OK
               ? conv_planner_plan(prepared->device->planner, product.kind, &geometry, &state->plan, err)
               : st;
}

/* Gives each copy and its gradient their offsets. */
static void lay_out_copies(struct device_program *prepared)
{
    const size_t size = cuda_type_size(prepared->device->type), unit = CUDA_ALIGNMENT / size;
    for (int32_t i = 0; i < prepared->program->weights.count; i++) {
        struct cuda_weight *w = &prepared->weights[i];
        const size_t count = cuda_copy_count(w);
        w->copy = prepared->copy_elements;
        w->gradient = prepared->copy_gradient_bytes;
        w->first_row = prepared->copy_rows;
        prepared->copy_elements += (count + unit - 1) / unit * unit;
        prepared->copy_gradient_bytes += cuda_round_up(count * (w->wide ? sizeof(float) : size));
        prepared->copy_rows += (uint64_t)w->rows;
    }
}

enum status cuda_copies_find(struct device_program *prepared, struct error *err)
{
    const struct program *program = prepared->program;
    size_t count = (size_t)program->weights.count + 1; /* + 1: calloc may return NULL for nothing */
    prepared->weights = calloc(count, sizeof(*prepared->weights));
    if (prepared->weights == NULL)
        return error_memory(err, "weights of a program", count * sizeof(*prepared->weights));
    for (int32_t i = 0; i < program->weights.count; i++) {
        const struct weight_tensor *tensor = &program->weights.tensors[i];
        prepared->weights[i] = (struct cuda_weight){.offset = tensor->offset,
                                                    .count = tensor->count,
                                                    .trained = tensor->trained,
                                                    .part = (int32_t)weight_part(tensor),
                                                    .rate = tensor->rate};
    }
    for (int32_t i = 0; i < program->op_count; i++) {
        const struct prog_op *op = &program->ops[i];
        prepared->ops[i].folded_away =
            op->kind == PROG_OP_WEIGHT_AVERAGE && i > 0 && program->ops[i - 1].kind == PROG_OP_OPTIMIZER;
        if (plan_product(prepared, i, err) != ST_OK)
            return error_prefix(err, "%s, operation %d of layer %u", prog_op_name(op->kind), (int)i,
                                (unsigned)op->layer_id);
    }
    lay_out_copies(prepared);
    return ST_OK;
}

/* ---- in device memory ---- */

/* Says where the updates lie that programs for Muon make; after the arena's offsets. */
static void note_updates(struct device_program *prepared)
{
    for (int32_t i = 0; i < prepared->program->weights.count; i++) {
        const int32_t update = prog_update_of(prepared->program, i);
        prepared->weights[i].orthogonal = update >= 0;
        prepared->weights[i].update = update >= 0 ? prepared->offsets[update] / sizeof(float) : 0;
    }
}

enum status cuda_copies_upload(struct device_program *prepared, struct error *err)
{
    const size_t bytes = (size_t)prepared->program->weights.count * sizeof(*prepared->weights);
    if (bytes == 0)
        return ST_OK;
    note_updates(prepared);
    return cuda_copy(prepared->device, prepared->memory + prepared->at.weights, prepared->weights, bytes,
                     cudaMemcpyHostToDevice, "upload a table of weights", err);
}

static const struct cuda_weight *table_of(const struct device_program *prepared)
{
    return (const struct cuda_weight *)(const void *)(prepared->memory + prepared->at.weights);
}

static float *flat_gradients(const struct device_program *prepared)
{
    return (float *)(void *)(prepared->memory + prepared->at.gradients);
}

enum status cuda_copies_refresh(struct device_program *prepared, bool folded, struct error *err)
{
    const struct device *device = prepared->device;
    uint64_t version = prepared->binding.weights->version;
    folded = folded && prepared->fold_count > 0;
    if ((prepared->copied_version == version && prepared->copied_folded == folded) ||
        prepared->copy_elements == 0)
        return ST_OK;
    prepared->copied_version = version;
    prepared->copied_folded = folded;
    const struct cuda_kernel_copies copies = {.count = prepared->program->weights.count,
                                              .weights = table_of(prepared),
                                              .values = cuda_weights_read(prepared),
                                              .fold = folded,
                                              .epsilon = GRAPH_BATCH_NORM_EPSILON,
                                              .elements = prepared->copy_elements,
                                              .copies = prepared->memory + prepared->at.copies,
                                              .rows = prepared->copy_rows,
                                              .biases = prepared->memory + prepared->at.biases};
    enum status st =
        cuda_check(cuda_launch_kernel_copies(device->stream, device->type, &copies), "copy kernels", err);
    if (st == ST_OK && folded)
        st = cuda_check(cuda_launch_folded_biases(device->stream, device->type, &copies), "fold biases", err);
    return st;
}

enum status cuda_copies_gradients(struct device_program *prepared, int32_t first, int32_t last,
                                  cudaStream_t stream, struct error *err)
{
    const struct cuda_weight *weights = prepared->weights;
    bool any = false;
    for (int32_t i = first; i <= last; i++)
        any = any || weights[i].rows > 0;
    if (!any)
        return ST_OK;
    const struct cuda_kernel_gradients flattened = {.count = prepared->program->weights.count,
                                                    .weights = table_of(prepared),
                                                    .first = weights[first].offset,
                                                    .end = weights[last].offset + weights[last].count,
                                                    .kernel_gradients =
                                                        prepared->memory + prepared->at.copy_gradients,
                                                    .gradients = flat_gradients(prepared)};
    return cuda_check(cuda_launch_kernel_gradients(stream, prepared->device->type, &flattened),
                      "convert kernel gradients", err);
}

/* Where the optimizer begins to look at gradients. */
static bool begins_update(const struct program *program, int32_t index)
{
    return index == 0 || program->ops[index - 1].kind != PROG_OP_ORTHOGONALISE;
}

enum status cuda_copies_scale(struct device_program *prepared, int32_t index,
                              const struct cuda_scaling **scaling, struct error *err)
{
    const struct device *device = prepared->device;
    void *memory = prepared->memory + prepared->at.scaling;
    *scaling = device->type == CUDA_HALF ? memory : NULL;
    if (*scaling == NULL || !begins_update(prepared->program, index))
        return ST_OK;
    const struct cuda_update update = {
        .floats = prepared->binding.weights->floats,
        .count = prepared->program->weights.count,
        .weights = table_of(prepared),
        .kernel_gradients =
            prepared->binding.group == NULL ? prepared->memory + prepared->at.copy_gradients : NULL,
        .gradients = flat_gradients(prepared)};
    return cuda_check(cuda_launch_scaling(device->stream, device->type, &update,
                                          (double *)(void *)(prepared->memory + prepared->at.metrics), memory,
                                          cuda_tickets(prepared)),
                      "look through gradients", err);
}

enum status cuda_copies_momentum(const struct device_program *prepared, struct cuda_momentum *momentum,
                                 struct error *err)
{
    const struct device *device = prepared->device;
    const struct device_binding *binding = &prepared->binding;
    momentum->momentum = binding->optimizer.momentum;
    momentum->kernel_gradients =
        binding->group == NULL ? prepared->memory + prepared->at.copy_gradients : NULL;
    momentum->gradients = flat_gradients(prepared);
    momentum->velocity = binding->weights->slots[SLOT_FIRST];
    momentum->tickets = cuda_tickets(prepared);
    return cuda_check(cuda_launch_momentum(device->stream, device->type, momentum), "add a momentum", err);
}

enum status cuda_copies_update(struct device_program *prepared, const struct cuda_scaling *scaling,
                               bool change, bool average, struct error *err)
{
    const struct device *device = prepared->device;
    const struct device_weights *weights = prepared->binding.weights;
    struct cuda_update update = {.floats = weights->floats,
                                 .count = prepared->program->weights.count,
                                 .weights = table_of(prepared),
                                 .step = device->step,
                                 .optimizer = prepared->binding.optimizer,
                                 .scaling = scaling,
                                 .gradients = change ? flat_gradients(prepared) : NULL,
                                 .updates =
                                     (const float *)(const void *)(prepared->memory + prepared->at.arena),
                                 .value = weights->slots[SLOT_VALUE],
                                 .first = weights->slots[SLOT_FIRST],
                                 .second = weights->slots[SLOT_SECOND],
                                 .average = average ? weights->slots[SLOT_AVERAGE] : NULL,
                                 .copies = prepared->memory + prepared->at.copies};
    if (prepared->binding.group == NULL)
        update.kernel_gradients = prepared->memory + prepared->at.copy_gradients;
    return cuda_check(cuda_launch_update(device->stream, device->type, &update), "update weights", err);
}
