/* Weight sets: doubles in the order of the weight table. A float is exact in a double, so upload and download
 * return the same bits; what was computed in between is rounded at download. */
#include "host/ref/ref.h"

#include <stdlib.h>
#include <string.h>

void ref_weights_free(struct device *device, struct device_weights *weights)
{
    (void)device;
    if (!weights)
        return;
    for (int32_t slot = 0; slot < SLOT_COUNT; slot++)
        free(weights->slots[slot]);
    free(weights);
}

enum status ref_weights_new(struct device *device, const struct weight_table *table, int32_t slots,
                            struct device_weights **weights, struct error *err)
{
    struct device_weights *made = calloc(1, sizeof(*made));
    if (!made)
        return error_memory(err, "weights", sizeof(*made));
    enum status st = ST_OK;
    for (int32_t slot = 0; slot < slots && st == ST_OK; slot++) {
        made->slots[slot] = calloc(table->total + 1, sizeof(*made->slots[slot])); /* + 1: NULL means none */
        if (made->slots[slot] == NULL)
            st = error_memory(err, "weights", table->total * sizeof(double));
    }
    if (st == ST_OK)
        *weights = made;
    else
        ref_weights_free(device, made);
    return st;
}

enum status ref_weights_upload(struct device *device, struct device_weights *weights, enum weight_slot slot,
                               const float *values, struct error *err)
{
    (void)device;
    (void)err;
    for (size_t i = 0; i < weights->base.table.total; i++)
        weights->slots[slot][i] = (double)values[i];
    return ST_OK;
}

enum status ref_weights_download(struct device *device, struct device_weights *weights, enum weight_slot slot,
                                 float *values, struct error *err)
{
    (void)device;
    (void)err;
    for (size_t i = 0; i < weights->base.table.total; i++)
        values[i] = (float)weights->slots[slot][i];
    return ST_OK;
}

enum status ref_weights_copy(struct device *device, struct device_weights *weights, enum weight_slot to,
                             struct device *owner, const struct device_weights *source, enum weight_slot from,
                             struct error *err)
{
    (void)device;
    (void)owner;
    (void)err;
    for (size_t i = 0; i < weights->base.table.total; i++) /* as if it had gone by way of the host */
        weights->slots[to][i] = (double)(float)source->slots[from][i];
    return ST_OK;
}

/* By way of the host's remap_apply, which defines what a remap means, so the parent's values are rounded to
 * float. */
enum status ref_weights_remap(struct device *device, struct device_weights *child,
                              const struct device_weights *parent, enum weight_slot from,
                              const struct remap_list *remaps, uint64_t seed, struct error *err)
{
    (void)device;
    enum status st = ST_OK;
    float *parent_values = calloc(parent->base.table.total, sizeof(*parent_values));
    float *child_values = calloc(child->base.table.total, sizeof(*child_values));
    if (!parent_values || !child_values) {
        st = error_memory(err, "remap", (parent->base.table.total + child->base.table.total) * sizeof(float));
        goto out;
    }
    for (size_t i = 0; i < parent->base.table.total; i++)
        parent_values[i] = (float)parent->slots[from][i];
    remap_apply(remaps, &child->base.table, &parent->base.table, parent_values, seed, child_values);
    for (int32_t slot = 0; slot < SLOT_COUNT; slot++)
        for (size_t i = 0; child->slots[slot] != NULL && i < child->base.table.total; i++)
            child->slots[slot][i] = slot <= SLOT_AVERAGE ? (double)child_values[i] : 0;
out:
    free(child_values);
    free(parent_values);
    return st;
}
