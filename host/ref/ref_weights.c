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
    weight_table_free(&weights->table);
    free(weights);
}

enum status ref_weights_new(struct device *device, const struct weight_table *table, int32_t slots,
                            struct device_weights **weights, struct error *err)
{
    struct device_weights *made = calloc(1, sizeof *made);
    *weights = NULL;
    if (!made)
        return error_memory(err, "weights", sizeof *made);
    enum status st = weight_table_copy(&made->table, table, err);
    for (int32_t slot = 0; slot < slots && st == ST_OK; slot++) {
        made->slots[slot] = calloc(table->total + 1, sizeof *made->slots[slot]); /* + 1: NULL means none */
        if (made->slots[slot] == NULL)
            st = error_memory(err, "weights", table->total * sizeof(double));
    }
    if (st == ST_OK)
        *weights = made;
    else
        ref_weights_free(device, made);
    return st;
}

enum status ref_check_slot(const struct device_weights *weights, enum weight_slot slot, struct error *err)
{
    if ((unsigned)slot >= SLOT_COUNT || weights->slots[slot] == NULL)
        return error_set(err, ST_RANGE,
                         "weights: slot is %d, expected one that the set has (gradients belong to programs)",
                         (int)slot);
    return ST_OK;
}

enum status ref_weights_upload(struct device *device, struct device_weights *weights, enum weight_slot slot,
                               const float *values, struct error *err)
{
    (void)device;
    if (ref_check_slot(weights, slot, err) != ST_OK)
        return err->status;
    for (size_t i = 0; i < weights->table.total; i++)
        weights->slots[slot][i] = (double)values[i];
    return ST_OK;
}

enum status ref_weights_download(struct device *device, struct device_weights *weights, enum weight_slot slot,
                                 float *values, struct error *err)
{
    (void)device;
    if (ref_check_slot(weights, slot, err) != ST_OK)
        return err->status;
    for (size_t i = 0; i < weights->table.total; i++)
        values[i] = (float)weights->slots[slot][i];
    return ST_OK;
}

enum status ref_weights_copy(struct device *device, struct device_weights *weights, enum weight_slot to,
                             struct device *owner, const struct device_weights *source, enum weight_slot from,
                             struct error *err)
{
    (void)device;
    (void)owner;
    if (ref_check_slot(weights, to, err) != ST_OK || ref_check_slot(source, from, err) != ST_OK)
        return err->status;
    if (weights->table.total != source->table.total)
        return error_set(err, ST_RANGE, "weights: copy of %zu values, expected %zu", source->table.total,
                         weights->table.total);
    for (size_t i = 0; i < weights->table.total; i++) /* as if it had gone by way of the host */
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
    if (ref_check_slot(parent, from, err) != ST_OK)
        return err->status;
    enum status st = ST_OK;
    float *parent_values = calloc(parent->table.total, sizeof *parent_values);
    float *child_values = calloc(child->table.total, sizeof *child_values);
    if (!parent_values || !child_values) {
        st = error_memory(err, "remap", (parent->table.total + child->table.total) * sizeof(float));
        goto out;
    }
    for (size_t i = 0; i < parent->table.total; i++)
        parent_values[i] = (float)parent->slots[from][i];
    remap_apply(remaps, &child->table, &parent->table, parent_values, seed, child_values);
    for (int32_t slot = 0; slot < SLOT_COUNT; slot++)
        for (size_t i = 0; child->slots[slot] != NULL && i < child->table.total; i++)
            child->slots[slot][i] = slot <= SLOT_AVERAGE ? (double)child_values[i] : 0;
out:
    free(child_values);
    free(parent_values);
    return st;
}
