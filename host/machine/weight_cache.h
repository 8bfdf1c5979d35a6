/* The weight cache: weights of models that may have children, kept where they are wanted, so that a child inherits
 * without a file being read. The files (store.h) hold the same values; the cache is a cache of them, and whether it
 * finds something changes no result.
 *
 * A model may be on several devices at once. What a device has no room for goes, least useful first, to host memory
 * that is pinned for it, unless another device or the host holds it too. A device's entries are made, read and freed by
 * the thread that uses the device; threads of other devices may copy from them. Functions that name a device are for
 * that thread.
 */
#ifndef NASRUN_MACHINE_WEIGHT_CACHE_H
#define NASRUN_MACHINE_WEIGHT_CACHE_H

#include "host/machine/devices.h"

struct weight_cache;

enum status weight_cache_open(const struct devices *devices, struct weight_cache **cache, struct error *err);
/* when no thread uses any of the devices; NULL is allowed */
void weight_cache_close(struct weight_cache *cache);

/* Takes `weights` (one slot, on `device`) over as model `id`'s, `usefulness` being its score. Not taken over on
 * errors. */
enum status weight_cache_add(struct weight_cache *cache, int32_t device, int32_t id, double usefulness,
                             struct device_weights *weights, const struct weight_table *table,
                             struct error *err);

/* Model `id`'s weights on `device`, copied there from where they are: another device or the host. *weights is NULL when
 * they are nowhere. They are the cache's, and stay until this thread calls weight_cache_evict. */
enum status weight_cache_find(struct weight_cache *cache, int32_t device, int32_t id,
                              struct device_weights **weights, struct error *err);

/* Frees the memory of the least useful entry on `device` but model `kept`'s (-1: none); *freed is false when there was
 * none. */
enum status weight_cache_evict(struct weight_cache *cache, int32_t device, int32_t kept, bool *freed,
                               struct error *err);

/* Model `id` will have no more children: its entries are freed, each when its device's thread calls next. */
void weight_cache_drop(struct weight_cache *cache, int32_t id);

/* How often weights were found on the device, and how often some had to leave one. */
void weight_cache_counts(struct weight_cache *cache, int64_t *found, int64_t *evicted);

/* Bytes of what is kept on devices (with `devices`) and in host memory. */
size_t weight_cache_bytes(struct weight_cache *cache, bool devices);

#endif
