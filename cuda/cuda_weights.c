/* Weight sets: flat float arrays, one for each slot, each tensor at its place in the table, and inheritance between them. On the
 * device a kernel's elements stand in the masters' order (kernels.h); what goes up and comes down is put into order on the
 * host, a row of a kernel at a time. Gradients belong to programs (device.h). */
#include "cuda/cuda_internal.h"
#include "cuda/trace.h"

#include <stdlib.h>
#include <string.h>

enum status cuda_check_slot(const struct device_weights *weights, enum weight_slot slot, struct error *err)
{
    if (slot < SLOT_VALUE || slot >= SLOT_GRADIENT || weights->slots[slot] == NULL)
        return error_set(
            err, ST_UNSUPPORTED,
            "weights: slot %d, expected one that the set has (gradients are read as a program's tensors)",
            (int)slot);
    return ST_OK;
}

/* ---- new, free ---- */

void cuda_weights_free(struct device *device, struct device_weights *weights)
{
    if (weights == NULL)
        return;
    (void)cudaSetDevice(device->index);
    cuda_release(device, weights->memory);       /* behind the steps that use them */
    (void)cudaStreamSynchronize(device->stream); /* only then it counts as free */
    free(weights->row);
    weight_table_free(&weights->table);
    free(weights);
}

static size_t slots_bytes(const struct device_weights *weights)
{
    return (size_t)weights->slot_count * weights->floats * sizeof(float);
}

static enum status allocate_slots(struct device *device, struct device_weights *made, struct error *err)
{
    const size_t bytes = slots_bytes(made);
    enum status st = cuda_allocate(device, bytes, "weights", &made->memory, err);
    if (st == ST_OK)
        st = cuda_check(cudaMemsetAsync(made->memory, 0, bytes, device->stream), "clear weights", err);
    for (int32_t slot = 0; st == ST_OK && slot < made->slot_count; slot++)
        made->slots[slot] = made->memory + (size_t)slot * made->floats;
    return st == ST_OK ? cuda_wait(device, "make weights", err) : st;
}

/* Floats of a row of the tensor, a kernel's output channel. */
static size_t row_size(const struct weight_tensor *tensor)
{
    return (size_t)tensor->dims[1] * (size_t)tensor->dims[2] * (size_t)tensor->dims[3];
}

static enum status allocate_row(struct device_weights *made, struct error *err)
{
    size_t longest = 1; /* malloc may return NULL for nothing */
    for (int32_t i = 0; i < made->table.count; i++)
        longest = row_size(&made->table.tensors[i]) > longest ? row_size(&made->table.tensors[i]) : longest;
    made->row = malloc(longest * sizeof *made->row);
    return made->row != NULL ? ST_OK : error_memory(err, "row of a kernel", longest * sizeof *made->row);
}

enum status cuda_weights_new(struct device *device, const struct weight_table *table, int32_t slots,
                             struct device_weights **weights, struct error *err)
{
    enum status st = cuda_enter(device, err);
    if (st != ST_OK)
        return st;
    struct device_weights *made = calloc(1, sizeof *made);
    if (made == NULL)
        return error_memory(err, "weight set", sizeof *made);
    made->version = 1;
    made->serial = ++device->serial;
    made->floats = cuda_chunk_count(table->total) * CUDA_CHUNK;
    made->slot_count = slots;
    st = weight_table_copy(&made->table, table, err);
    if (st == ST_OK)
        st = allocate_row(made, err);
    if (st == ST_OK)
        st = allocate_slots(device, made, err);
    if (st == ST_OK) {
        *weights = made;
        made = NULL;
    }
    cuda_weights_free(device, made);
    return st;
}

/* ---- copies ---- */

/* Whether the masters of both lie alike. */
static bool same_order(const struct weight_table *a, const struct weight_table *b)
{
    bool same = a->count == b->count && a->total == b->total;
    for (int32_t i = 0; same && i < a->count; i++)
        same = a->tensors[i].offset == b->tensors[i].offset &&
               memcmp(a->tensors[i].dims, b->tensors[i].dims, sizeof a->tensors[i].dims) == 0;
    return same;
}

/* The owner's thread has waited for what it last wrote there, as it does after everything that writes weights from
 * outside a step; so this device's stream has nothing to wait for. */
enum status cuda_weights_copy(struct device *device, struct device_weights *weights, enum weight_slot to,
                              struct device *owner, const struct device_weights *source,
                              enum weight_slot from, struct error *err)
{
    const size_t bytes = weights->table.total * sizeof(float);
    enum status st = cuda_check_slot(weights, to, err);
    if (st == ST_OK)
        st = cuda_check_slot(source, from, err);
    if (st == ST_OK && !same_order(&weights->table, &source->table))
        st = error_set(err, ST_RANGE, "weights: copy of another network's (%zu values, expected %zu)",
                       source->table.total, weights->table.total);
    if (st == ST_OK)
        st = cuda_enter(device, err);
    if (st == ST_OK)
        st = cuda_memory_reach(device, owner, err);
    if (st != ST_OK)
        return st;
    weights->version++;
    cudaError_t error = owner == device
                            ? cudaMemcpyAsync(weights->slots[to], source->slots[from], bytes,
                                              cudaMemcpyDeviceToDevice, device->stream)
                            : cudaMemcpyPeerAsync(weights->slots[to], device->index, source->slots[from],
                                                  owner->index, bytes, device->stream);
    st = cuda_check(error, "copy weights", err);
    return st == ST_OK ? cuda_wait(device, "copy weights", err) : st;
}

/* ---- upload, download ---- */

/* A matrix of `rows` rows, in place. scratch: as large as the matrix. */
static void transpose(float *values, size_t rows, size_t columns, float *scratch)
{
    memcpy(scratch, values, rows * columns * sizeof *values);
    for (size_t column = 0; column < columns; column++)
        for (size_t row = 0; row < rows; row++)
            *values++ = scratch[row * columns + column];
}

/* From the host's order, in which each row of a kernel is a matrix [in][taps], to the masters', or back. */
static void reorder(const struct device_weights *weights, bool to_masters, float *values)
{
    for (int32_t i = 0; i < weights->table.count; i++) {
        const struct weight_tensor *tensor = &weights->table.tensors[i];
        const size_t in = (size_t)tensor->dims[1], taps = row_size(tensor) / in;
        if (in == 1 || taps == 1)
            continue;
        for (size_t row = 0; row < (size_t)tensor->dims[0]; row++)
            transpose(values + tensor->offset + row * in * taps, to_masters ? in : taps,
                      to_masters ? taps : in, weights->row);
    }
}

enum status cuda_weights_upload(struct device *device, struct device_weights *weights, enum weight_slot slot,
                                const float *values, struct error *err)
{
    const size_t bytes = weights->table.total * sizeof *values;
    float *masters = NULL;
    enum status st = cuda_check_slot(weights, slot, err);
    if (st == ST_OK)
        st = cuda_enter(device, err);
    if (st != ST_OK)
        return st;
    masters = malloc(bytes + 1);
    if (masters == NULL)
        return error_memory(err, "weights", bytes);
    memcpy(masters, values, bytes);
    reorder(weights, true, masters);
    st = cuda_copy(device, weights->slots[slot], masters, bytes, cudaMemcpyHostToDevice, "upload weights",
                   err);
    weights->version++;
    free(masters);
    return st;
}

enum status cuda_weights_download(struct device *device, struct device_weights *weights,
                                  enum weight_slot slot, float *values, struct error *err)
{
    enum status st = cuda_check_slot(weights, slot, err);
    if (st == ST_OK)
        st = cuda_enter(device, err);
    if (st == ST_OK)
        st = cuda_copy(device, values, weights->slots[slot], weights->table.total * sizeof *values,
                       cudaMemcpyDeviceToHost, "download weights", err);
    if (st == ST_OK)
        reorder(weights, false, values);
    return st;
}

/* ---- remap ---- */

/* The list as the kernel wants it, entries first and all tables behind them: host and device hold the same
 * bytes. */
struct remap_block {
    size_t bytes, deviations; /* deviations: place of the kernel's scratch */
    char *host, *device;
};

/* Places an array of `count` items of four bytes into the block and yields its device address; NULL for no
 * array. */
static const void *place_array(struct remap_block *block, const void *array, int32_t count)
{
    if (array == NULL)
        return NULL;
    size_t bytes = (size_t)count * sizeof(int32_t), at = block->bytes;
    if (block->host != NULL)
        memcpy(block->host + at, array, bytes);
    block->bytes += bytes;
    return block->device != NULL ? block->device + at : NULL;
}

/* Lays out the block and, once it has memory, fills it. Returns the elements of all entries. */
static uint64_t fill_block(struct remap_block *block, const struct remap_list *list,
                           const struct weight_table *child, const struct weight_table *parent)
{
    uint64_t elements = 0;
    block->bytes = (size_t)list->count * sizeof(struct cuda_remap);
    for (int32_t i = 0; i < list->count; i++) {
        const struct remap *remap = &list->remaps[i];
        const struct weight_tensor *to = &child->tensors[remap->child];
        struct cuda_remap entry = {.child = to->offset,
                                   .has_source = remap->source >= 0,
                                   .noise_everywhere = remap->noise_everywhere,
                                   .fill = remap->fill,
                                   .noise = remap->noise,
                                   .part = to->layer_id * 8 + (uint32_t)to->role,
                                   .first_element = elements};
        memcpy(entry.dims, to->dims, sizeof entry.dims);
        if (remap->source >= 0) {
            const struct weight_tensor *from = &parent->tensors[remap->source];
            entry.source = from->offset;
            memcpy(entry.source_dims, from->dims, sizeof entry.source_dims);
        }
        entry.out_index = place_array(block, remap->out_index, to->dims[0]);
        entry.in_index = place_array(block, remap->in_index, to->dims[1]);
        entry.identity = place_array(block, remap->identity, to->dims[0]);
        entry.out_scale = place_array(block, remap->out_scale, to->dims[0]);
        entry.in_scale = place_array(block, remap->in_scale, to->dims[1]);
        if (block->host != NULL)
            memcpy(block->host + (size_t)i * sizeof entry, &entry, sizeof entry);
        elements += to->count;
    }
    block->deviations = (block->bytes + sizeof(double) - 1) / sizeof(double) * sizeof(double);
    return elements;
}

static enum status launch_remap(struct device *device, const struct remap_block *block, int32_t count,
                                uint64_t elements, uint64_t seed, const float *parent,
                                struct device_weights *child, struct error *err)
{
    float *values = child->slots[SLOT_VALUE], *average = child->slots[SLOT_AVERAGE];
    size_t bytes = child->floats * sizeof(float);
    enum status st = cuda_check(cudaMemsetAsync(child->memory, 0, slots_bytes(child), device->stream),
                                "clear weights", err);
    if (st == ST_OK && count > 0)
        st = cuda_check(
            cudaMemcpyAsync(block->device, block->host, block->bytes, cudaMemcpyHostToDevice, device->stream),
            "upload a remap", err);
    if (st == ST_OK && count > 0)
        st = cuda_check(cuda_launch_remap(
                            device->stream, count, (const struct cuda_remap *)(void *)block->device, elements,
                            seed, parent, (double *)(void *)(block->device + block->deviations), values),
                        "remap weights", err);
    if (st == ST_OK && average != NULL)
        st = cuda_check(cudaMemcpyAsync(average, values, bytes, cudaMemcpyDeviceToDevice, device->stream),
                        "copy weights", err);
    if (st == ST_OK)
        st = cuda_wait(device, "remap weights", err);
    return st;
}

enum status cuda_weights_remap(struct device *device, struct device_weights *child,
                               const struct device_weights *parent, enum weight_slot from,
                               const struct remap_list *remaps, uint64_t seed, struct error *err)
{
    struct remap_block block = {0};
    enum status st = cuda_check_slot(parent, from, err);
    if (st == ST_OK)
        st = cuda_enter(device, err);
    if (st != ST_OK)
        return st;
    trace_begin("remap");
    uint64_t elements = fill_block(&block, remaps, &child->table, &parent->table);
    size_t room = block.deviations + (size_t)remaps->count * sizeof(double);
    st = cuda_allocate(device, room, "remap", &block.device, err);
    if (st != ST_OK)
        goto out;
    block.host = malloc(room + 1);
    if (block.host == NULL) {
        st = error_memory(err, "remap", room);
        goto out;
    }
    fill_block(&block, remaps, &child->table, &parent->table);
    st = launch_remap(device, &block, remaps->count, elements, seed, parent->slots[from], child, err);
    child->version++;
out:
    trace_end();
    free(block.host);
    cuda_release(device, block.device);
    return st;
}
