/* Weight sets: flat float arrays in the table's order, one for each slot. Gradients belong to programs
 * (device.h). */
#include "host/cpu/cpu_internal.h"

#include <stdlib.h>
#include <string.h>

enum status cpu_weights_new(struct device *device, const struct weight_table *table, int32_t slots,
                            struct device_weights **weights, struct error *err)
{
    enum status st = ST_OK;
    struct device_weights *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(err, "weight set", sizeof(*made));
    made->version = 1;
    for (int32_t slot = 0; slot < slots; slot++) {
        made->slots[slot] = cpu_memory_new(table->total * sizeof(float), device->threads);
        if (made->slots[slot] == NULL) {
            st = error_memory(err, "weights", table->total * sizeof(float));
            goto out;
        }
    }
    *weights = made;
    made = NULL;
out:
    cpu_weights_free(device, made);
    return st;
}

void cpu_weights_free(struct device *device, struct device_weights *weights)
{
    (void)device;
    if (weights == NULL)
        return;
    for (int slot = 0; slot < SLOT_GRADIENT; slot++)
        cpu_memory_free(weights->slots[slot]);
    free(weights);
}

enum status cpu_weights_upload(struct device *device, struct device_weights *weights, enum weight_slot slot,
                               const float *values, struct error *err)
{
    (void)device;
    (void)err;
    memcpy(weights->slots[slot], values, weights->base.table.total * sizeof(*values));
    weights->version++;
    return ST_OK;
}

enum status cpu_weights_download(struct device *device, struct device_weights *weights, enum weight_slot slot,
                                 float *values, struct error *err)
{
    (void)device;
    (void)err;
    memcpy(values, weights->slots[slot], weights->base.table.total * sizeof(*values));
    return ST_OK;
}

enum status cpu_weights_copy(struct device *device, struct device_weights *weights, enum weight_slot to,
                             struct device *owner, const struct device_weights *source, enum weight_slot from,
                             struct error *err)
{
    (void)device;
    (void)owner;
    (void)err;
    memcpy(weights->slots[to], source->slots[from], weights->base.table.total * sizeof(float));
    weights->version++;
    return ST_OK;
}

enum status cpu_weights_remap(struct device *device, struct device_weights *child,
                              const struct device_weights *parent, enum weight_slot from,
                              const struct remap_list *remaps, uint64_t seed, struct error *err)
{
    (void)device;
    (void)err;
    size_t bytes = child->base.table.total * sizeof(float);
    remap_apply(remaps, &child->base.table, &parent->base.table, parent->slots[from], seed,
                child->slots[SLOT_VALUE]);
    if (child->slots[SLOT_AVERAGE] != NULL)
        memcpy(child->slots[SLOT_AVERAGE], child->slots[SLOT_VALUE], bytes);
    for (int slot = SLOT_FIRST; slot <= SLOT_SECOND; slot++)
        if (child->slots[slot] != NULL)
            memset(child->slots[slot], 0, bytes);
    child->version++;
    return ST_OK;
}
