/* Working copies of kernels, for convolutions and dense layers: which there are, and the way to and from the
 * flat arrays. The operations of one layer share a copy. */
#include "cuda/cuda_internal.h"

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

static bool read_product(const struct program *program, const struct prog_op *op, struct product *product)
{
    const struct prog_tensor *tensors = program->tensors;
    int32_t x, y, kernel;
    switch (op->kind) {
    case PROG_OP_CONV:
    case PROG_OP_DENSE:
        product->kind = CONV_FORWARD;
        x = op->inputs[0], kernel = op->inputs[1], y = op->outputs[0];
        break;
    case PROG_OP_CONV_BACKWARD_DATA:
    case PROG_OP_DENSE_BACKWARD_DATA:
        product->kind = CONV_BACKWARD_DATA;
        y = op->inputs[0], kernel = op->inputs[1], x = op->outputs[0];
        break;
    case PROG_OP_CONV_BACKWARD_WEIGHTS:
    case PROG_OP_DENSE_BACKWARD_WEIGHTS:
        product->kind = CONV_BACKWARD_WEIGHTS;
        x = op->inputs[0], y = op->inputs[1], kernel = op->outputs[0];
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

/* The copy of that layer's kernel, added when it is the first operation to need it. geometry: NULL for a dense layer,
 * whose rows hold padded channels of all pixels, and whose gradient cuBLAS leaves in float32. */
static int32_t find_copy(struct device_program *prepared, const struct product *product,
                         const struct conv_geometry *geometry)
{
    int32_t *place = &prepared->copy_of[product->weight];
    if (*place >= 0)
        return *place;
    const struct weight_tensor *master = &prepared->program->weights.tensors[product->weight];
    struct cuda_kernel_copy copy = {.master = master->offset,
                                    .copy = prepared->copy_elements,
                                    .out = master->dims[0],
                                    .in = master->dims[1],
                                    .height = master->dims[2],
                                    .width = master->dims[3],
                                    .rows = cuda_padded(product->y.c),
                                    .depth = geometry != NULL ? geometry->depth : cuda_padded(product->x.c),
                                    .blocks = geometry != NULL ? geometry->blocks : 1,
                                    .wide = geometry == NULL,
                                    .gradient = prepared->copy_gradient_bytes,
                                    .first_pair = prepared->copy_pairs,
                                    .first_row = prepared->copy_rows};
    size_t size = cuda_type_size(prepared->device->type), unit = CUDA_ALIGNMENT / size;
    size_t count = cuda_kernel_copy_count(&copy);
    prepared->copy_elements += (count + unit - 1) / unit * unit;
    prepared->copy_gradient_bytes += cuda_round_up(count * (copy.wide ? sizeof(float) : size));
    prepared->copy_pairs += (uint64_t)copy.rows * (uint64_t)copy.depth;
    prepared->copy_rows += (uint64_t)copy.rows;
    prepared->copies[prepared->copy_count] = copy;
    *place = prepared->copy_count++;
    return *place;
}

enum status cuda_copies_plan(struct device_program *prepared, struct error *err)
{
    const struct program *program = prepared->program;
    size_t weights = (size_t)program->weights.count + 1; /* + 1: calloc may return NULL for nothing */
    prepared->copies = calloc(weights, sizeof *prepared->copies);
    prepared->copy_of = calloc(weights, sizeof *prepared->copy_of);
    if (prepared->copies == NULL || prepared->copy_of == NULL)
        return error_memory(err, "kernel copies",
                            weights * (sizeof *prepared->copies + sizeof *prepared->copy_of));
    for (size_t i = 0; i < weights; i++)
        prepared->copy_of[i] = -1;
    for (int32_t i = 0; i < program->op_count; i++) {
        const struct prog_op *op = &program->ops[i];
        struct cuda_op *state = &prepared->ops[i];
        struct conv_geometry geometry;
        struct product product;
        state->copy = state->folded_conv = -1;
        if (!read_product(program, op, &product))
            continue;
        if (product.dense) {
            state->copy = find_copy(prepared, &product, NULL);
            continue;
        }
        geometry_of(op, &product, &geometry);
        state->copy = find_copy(prepared, &product, &geometry);
        if (conv_planner_plan(prepared->device->planner, product.kind, &geometry, &state->plan, err) != ST_OK)
            return error_prefix(err, "%s, operation %d of layer %u", prog_op_name(op->kind), (int)i,
                                (unsigned)op->layer_id);
    }
    return ST_OK;
}

/* ---- in device memory ---- */

enum status cuda_copies_upload(struct device_program *prepared, struct error *err)
{
    size_t count = (size_t)prepared->copy_count, bytes = 2 * count * sizeof *prepared->copies;
    if (count == 0)
        return ST_OK;
    struct cuda_kernel_copy *lists = malloc(bytes);
    if (lists == NULL)
        return error_memory(err, "kernel copies", bytes);
    memcpy(lists, prepared->copies, count * sizeof *lists);
    memcpy(lists + count, prepared->copies, count * sizeof *lists);
    for (size_t i = count; i < 2 * count; i++)
        lists[i].first_pair = 0;
    enum status st = cuda_check(cudaMemcpyAsync(prepared->memory + prepared->at.entries, lists, bytes,
                                                cudaMemcpyHostToDevice, prepared->device->stream),
                                "upload kernel copies", err);
    if (st == ST_OK)
        st = cuda_wait(prepared->device, "upload kernel copies", err);
    free(lists);
    return st;
}

static const struct cuda_kernel_copy *entries_of(const struct device_program *prepared)
{
    return (const struct cuda_kernel_copy *)(const void *)(prepared->memory + prepared->at.entries);
}

enum status cuda_copies_refresh(struct device_program *prepared, bool folded, struct error *err)
{
    const struct device *device = prepared->device;
    uint64_t version = prepared->binding.weights->version;
    folded = folded && prepared->fold_count > 0;
    if ((prepared->copied_version == version && prepared->copied_folded == folded) ||
        prepared->copy_count == 0)
        return ST_OK;
    prepared->copied_version = version;
    prepared->copied_folded = folded;
    enum status st = cuda_check(
        cuda_launch_kernel_copies(device->stream, device->type, prepared->copy_count, entries_of(prepared),
                                  prepared->copy_pairs, cuda_weights_read(prepared), folded,
                                  GRAPH_BATCH_NORM_EPSILON, prepared->memory + prepared->at.copies),
        "copy kernels", err);
    if (st == ST_OK && folded)
        st = cuda_check(cuda_launch_folded_biases(device->stream, device->type, prepared->copy_count,
                                                  entries_of(prepared), prepared->copy_rows,
                                                  cuda_weights_read(prepared), GRAPH_BATCH_NORM_EPSILON,
                                                  prepared->memory + prepared->at.biases),
                        "fold biases", err);
    return st;
}

enum status cuda_copies_gradients(struct device_program *prepared, int32_t copy, cudaStream_t stream,
                                  struct error *err)
{
    const struct cuda_kernel_copy *entries = entries_of(prepared);
    int32_t count = prepared->copy_count;
    uint64_t pairs = prepared->copy_pairs;
    if (copy >= 0) {
        entries += prepared->copy_count + copy;
        count = 1;
        pairs = (uint64_t)prepared->copies[copy].rows * (uint64_t)prepared->copies[copy].depth;
    }
    if (count == 0)
        return ST_OK;
    return cuda_check(
        cuda_launch_kernel_gradients(stream, prepared->device->type, count, entries, pairs,
                                     prepared->memory + prepared->at.copy_gradients,
                                     (float *)(void *)(prepared->memory + prepared->at.gradients)),
        "convert kernel gradients", err);
}
