/* Weight sets: flat float arrays in the table's order, one for each slot, and inheritance between them.
 * Gradients belong to programs (device.h). */
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

static size_t slot_floats(const struct device_weights *weights)
{
    return weights->chunks * CUDA_CHUNK;
}

/* ---- new, free ---- */

void cuda_weights_free(struct device *device, struct device_weights *weights)
{
    if (weights == NULL)
        return;
    (void)cudaSetDevice(device->index);
    cuda_release(device, weights->memory);       /* behind the steps that use them */
    (void)cudaStreamSynchronize(device->stream); /* only then it counts as free */
    weight_table_free(&weights->table);
    free(weights);
}

/* What the optimizer does with each chunk. */
static void fill_kinds(const struct weight_table *table, uint8_t *kinds)
{
    for (int32_t i = 0; i < table->count; i++) {
        const struct weight_tensor *tensor = &table->tensors[i];
        enum cuda_chunk kind = !weight_is_trained(tensor->role) ? CUDA_CHUNK_KEPT
                               : tensor->role == WEIGHT_KERNEL  ? CUDA_CHUNK_DECAYED
                                                                : CUDA_CHUNK_TRAINED;
        memset(kinds + tensor->offset / CUDA_CHUNK, (int)kind, cuda_chunk_count(tensor->count));
    }
}

static enum status allocate_slots(struct device *device, struct device_weights *made, int32_t slots,
                                  struct error *err)
{
    size_t floats = slot_floats(made), bytes = (size_t)slots * floats * sizeof(float);
    uint8_t *kinds = calloc(made->chunks + 1, 1); /* CUDA_CHUNK_KEPT */
    if (kinds == NULL)
        return error_memory(err, "weight chunks", made->chunks);
    fill_kinds(&made->table, kinds);
    enum status st = cuda_allocate(device, bytes + made->chunks, "weights", &made->memory, err);
    if (st != ST_OK)
        goto out;
    for (int32_t slot = 0; slot < slots; slot++)
        made->slots[slot] = made->memory + (size_t)slot * floats;
    made->kinds = (uint8_t *)(made->memory + (size_t)slots * floats);
    st = cuda_check(cudaMemsetAsync(made->memory, 0, bytes, device->stream), "clear weights", err);
    if (st == ST_OK && made->chunks > 0)
        st = cuda_check(
            cudaMemcpyAsync(made->kinds, kinds, made->chunks, cudaMemcpyHostToDevice, device->stream),
            "upload weight chunks", err);
    if (st == ST_OK)
        st = cuda_wait(device, "make weights", err);
out:
    free(kinds);
    return st;
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
    made->chunks = cuda_chunk_count(table->total);
    st = weight_table_copy(&made->table, table, err);
    if (st == ST_OK)
        st = allocate_slots(device, made, slots, err);
    if (st == ST_OK) {
        *weights = made;
        made = NULL;
    }
    cuda_weights_free(device, made);
    return st;
}

/* ---- copies ---- */

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
    if (st == ST_OK && weights->table.total != source->table.total)
        st = error_set(err, ST_RANGE, "weights: copy of %zu values, expected %zu", source->table.total,
                       weights->table.total);
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

enum status cuda_weights_upload(struct device *device, struct device_weights *weights, enum weight_slot slot,
                                const float *values, struct error *err)
{
    enum status st = cuda_check_slot(weights, slot, err);
    if (st == ST_OK)
        st = cuda_enter(device, err);
    if (st == ST_OK)
        st = cuda_copy(device, weights->slots[slot], values, weights->table.total * sizeof *values,
                       cudaMemcpyHostToDevice, "upload weights", err);
    weights->version++;
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
    size_t bytes = slot_floats(child) * sizeof(float);
    size_t all = (size_t)((char *)child->kinds - (char *)child->memory);
    enum status st = cuda_check(cudaMemsetAsync(child->memory, 0, all, device->stream), "clear weights", err);
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
