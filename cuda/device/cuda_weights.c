/* Weight sets: flat float arrays, one for each slot, each tensor at its offset in the table, and inheritance between
 * them. On the device a kernel's elements stand in the masters' order (kernels.h); what goes up and comes down passes
 * through a piece of staging memory, where it is put into order. Gradients belong to programs (device.h). */
#include "cuda/device/cuda_internal.h"
#include "cuda/trace.h"

#include <stdlib.h>
#include <string.h>

/* ---- new, free ---- */

void cuda_weights_free(struct device *device, struct device_weights *weights)
{
    if (weights == NULL)
        return;
    (void)cudaSetDevice(device->index);
    cuda_release(device, weights->memory);       /* behind the steps that use them */
    (void)cudaStreamSynchronize(device->stream); /* only then it counts as free */
    free(weights);
}

static size_t slots_bytes(const struct device_weights *weights, int32_t slots)
{
    return (size_t)slots * weights->floats * sizeof(float);
}

static enum status allocate_slots(struct device *device, struct device_weights *made, int32_t slots,
                                  struct error *err)
{
    const size_t bytes = slots_bytes(made, slots);
    enum status st = cuda_allocate(device, bytes, "weights", &made->memory, err);
    if (st == ST_OK)
        st = cuda_check(cudaMemsetAsync(made->memory, 0, bytes, device->stream), "clear weights", err);
    for (int32_t slot = 0; st == ST_OK && slot < slots; slot++)
        made->slots[slot] = made->memory + (size_t)slot * made->floats;
    return st == ST_OK ? cuda_wait(device, "make weights", err) : st;
}

enum status cuda_weights_new(struct device *device, const struct weight_table *table, int32_t slots,
                             struct device_weights **weights, struct error *err)
{
    enum status st = cuda_enter(device, err);
    if (st != ST_OK)
        return st;
    struct device_weights *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(err, "weight set", sizeof(*made));
    made->version = 1;
    made->serial = ++device->serial;
    made->floats = cuda_chunk_count(table->total) * CUDA_CHUNK;
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
    const size_t bytes = weights->base.table.total * sizeof(float);
    enum status st = cuda_enter(device, err);
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

/* Whether host and device have the tensor's elements in different orders. */
static bool is_reordered(const struct weight_tensor *tensor)
{
    return tensor->dims[1] > 1 && tensor->dims[2] * tensor->dims[3] > 1;
}

/* A slot's way: up from the host's memory, or down to it; the other is NULL. */
struct transfer {
    const struct device *device;
    const float *up;
    float *down;
};

/* Between element `at` of the host's values and device memory. */
static enum status transfer_plain(const struct transfer *t, size_t at, float *there, size_t count,
                                  struct error *err)
{
    const size_t bytes = count * sizeof(*there);
    return t->up != NULL
               ? cuda_copy(t->device, there, t->up + at, bytes, cudaMemcpyHostToDevice, "upload weights", err)
               : cuda_copy(t->device, t->down + at, there, bytes, cudaMemcpyDeviceToHost, "download weights",
                           err);
}

static enum status transfer_kernel(const struct transfer *t, const struct weight_tensor *tensor,
                                   float *master, struct error *err)
{
    const size_t most = CUDA_STAGING / sizeof(*master);
    float *staging = t->device->cublas_workspace;
    const int32_t in = tensor->dims[1], taps = tensor->dims[2] * tensor->dims[3];
    enum status st = ST_OK;
    for (size_t first = 0; st == ST_OK && first < tensor->count; first += most) {
        const size_t count = tensor->count - first < most ? tensor->count - first : most;
        cudaStream_t stream = t->device->stream;
        if (t->up != NULL)
            st = transfer_plain(t, tensor->offset + first, staging, count, err);
        if (st == ST_OK)
            st = cuda_check(t->up != NULL
                                ? cuda_launch_to_master(stream, in, taps, first, count, staging, master)
                                : cuda_launch_from_master(stream, in, taps, first, count, master, staging),
                            "put weights into order", err);
        if (st == ST_OK && t->down != NULL)
            st = transfer_plain(t, tensor->offset + first, staging, count, err);
    }
    return st;
}

static enum status transfer_slot(const struct transfer *t, const struct weight_table *table, float *slot,
                                 struct error *err)
{
    enum status st = ST_OK;
    size_t done = 0;
    for (int32_t i = 0; st == ST_OK && i <= table->count; i++) { /* what lies before it, and it */
        const struct weight_tensor *tensor = i < table->count ? &table->tensors[i] : NULL;
        const size_t end = tensor != NULL ? tensor->offset : table->total;
        if (tensor != NULL && !is_reordered(tensor))
            continue;
        if (end > done)
            st = transfer_plain(t, done, slot + done, end - done, err);
        if (st == ST_OK && tensor != NULL)
            st = transfer_kernel(t, tensor, slot + end, err);
        done = tensor != NULL ? end + tensor->count : end;
    }
    return st == ST_OK ? cuda_wait(t->device, "put weights into order", err) : st;
}

enum status cuda_weights_upload(struct device *device, struct device_weights *weights, enum weight_slot slot,
                                const float *values, struct error *err)
{
    const struct transfer up = {.device = device, .up = values};
    enum status st = cuda_enter(device, err);
    if (st == ST_OK)
        st = transfer_slot(&up, &weights->base.table, weights->slots[slot], err);
    weights->version++;
    return st;
}

enum status cuda_weights_download(struct device *device, struct device_weights *weights,
                                  enum weight_slot slot, float *values, struct error *err)
{
    const struct transfer down = {.device = device, .down = values};
    enum status st = cuda_enter(device, err);
    return st == ST_OK ? transfer_slot(&down, &weights->base.table, weights->slots[slot], err) : st;
}

/* ---- remap ---- */

/* The list as the kernel wants it, entries first and all tables behind them: host and device hold the same
 * bytes. */
struct remap_block {
    size_t bytes, deviations; /* deviations: offset of the kernel's scratch */
    char *host, *device;
};

/* Appends an array of `count` items of four bytes into the block and yields its device address; NULL for no
 * array. */
static const void *append_array(struct remap_block *block, const void *array, int32_t count)
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
                                   .fill = remap->fill,
                                   .noise = remap->noise,
                                   .part = to->layer_id * 8 + (uint32_t)to->role,
                                   .first_element = elements};
        memcpy(entry.dims, to->dims, sizeof(entry.dims));
        if (remap->source >= 0) {
            const struct weight_tensor *from = &parent->tensors[remap->source];
            entry.source = from->offset;
            memcpy(entry.source_dims, from->dims, sizeof(entry.source_dims));
        }
        entry.out_index = append_array(block, remap->out_index, to->dims[0]);
        entry.in_index = append_array(block, remap->in_index, to->dims[1]);
        entry.identity = append_array(block, remap->identity, to->dims[0]);
        entry.out_scale = append_array(block, remap->out_scale, to->dims[0]);
        entry.in_scale = append_array(block, remap->in_scale, to->dims[1]);
        if (block->host != NULL)
            memcpy(block->host + (size_t)i * sizeof(entry), &entry, sizeof(entry));
        elements += to->count;
    }
    block->deviations = (block->bytes + sizeof(double) - 1) / sizeof(double) * sizeof(double);
    return elements;
}

/* The block's entries to the child, and its averages from its values. */
static enum status launch_remap(struct device *device, const struct remap_block *block,
                                const struct cuda_inheritance *inheritance, struct device_weights *child,
                                struct error *err)
{
    float *average = child->slots[SLOT_AVERAGE];
    size_t bytes = child->floats * sizeof(float);
    enum status st =
        cuda_check(cudaMemsetAsync(child->memory, 0, slots_bytes(child, child->base.slots), device->stream),
                   "clear weights", err);
    if (st == ST_OK && inheritance->count > 0)
        st = cuda_check(
            cudaMemcpyAsync(block->device, block->host, block->bytes, cudaMemcpyHostToDevice, device->stream),
            "upload a remap", err);
    if (st == ST_OK && inheritance->count > 0)
        st = cuda_check(cuda_launch_remap(device->stream, inheritance), "remap weights", err);
    if (st == ST_OK && average != NULL)
        st = cuda_check(
            cudaMemcpyAsync(average, inheritance->child, bytes, cudaMemcpyDeviceToDevice, device->stream),
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
    enum status st = cuda_enter(device, err);
    if (st != ST_OK)
        return st;
    trace_begin("remap");
    uint64_t elements = fill_block(&block, remaps, &child->base.table, &parent->base.table);
    size_t room = block.deviations + (size_t)remaps->count * sizeof(double);
    st = cuda_allocate(device, room, "remap", &block.device, err);
    if (st != ST_OK)
        goto out;
    block.host = malloc(room + 1);
    if (block.host == NULL) {
        st = error_memory(err, "remap", room);
        goto out;
    }
    fill_block(&block, remaps, &child->base.table, &parent->base.table);
    const struct cuda_inheritance inheritance = {.count = remaps->count,
                                                 .entries = (const struct cuda_remap *)(void *)block.device,
                                                 .elements = elements,
                                                 .seed = seed,
                                                 .parent = parent->slots[from],
                                                 .deviations =
                                                     (double *)(void *)(block.device + block.deviations),
                                                 .child = child->slots[SLOT_VALUE]};
    st = launch_remap(device, &block, &inheritance, child, err);
    child->version++;
out:
    trace_end();
    free(block.host);
    cuda_release(device, block.device);
    return st;
}
