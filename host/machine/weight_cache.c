#include "host/machine/weight_cache.h"

#include "host/base/array.h"

#include <pthread.h>
#include <stdlib.h>

enum { ON_HOST = -1 };

struct entry {
    int32_t id, device; /* ON_HOST: values are */
    double usefulness;
    bool dropped;                   /* to be freed by the device's thread */
    struct device_weights *weights; /* one slot; NULL on the host */
    float *values;                  /* pinned host memory; NULL on a device */
    int32_t pinned_by;              /* the device that gave the host memory */
    struct weight_table table;      /* a copy */
};

struct weight_cache {
    const struct devices *devices;
    pthread_mutex_t lock;
    struct entry *entries;
    int32_t count, capacity;
    int64_t found, evicted; /* so far */
};

static struct device *device_of(const struct weight_cache *cache, int32_t device)
{
    return cache->devices->items[device].device;
}

/* ---- entries ---- */

static void free_entry(const struct weight_cache *cache, struct entry *entry)
{
    const struct device_ops *ops = cache->devices->ops;
    if (entry->device == ON_HOST)
        ops->host_free(device_of(cache, entry->pinned_by), entry->values);
    else
        ops->weights_free(device_of(cache, entry->device), entry->weights);
    weight_table_free(&entry->table);
}

static void remove_entry(struct weight_cache *cache, int32_t index)
{
    free_entry(cache, &cache->entries[index]);
    cache->entries[index] = cache->entries[--cache->count];
}

/* Frees what was dropped on this device. */
static void tidy(struct weight_cache *cache, int32_t device)
{
    for (int32_t i = cache->count - 1; i >= 0; i--) {
        if (cache->entries[i].dropped && cache->entries[i].device == device)
            remove_entry(cache, i);
    }
}

/* The model's entry on that device; ON_HOST: in host memory. -1 when there is none. */
static int32_t index_of(const struct weight_cache *cache, int32_t id, int32_t device)
{
    for (int32_t i = 0; i < cache->count; i++) {
        const struct entry *entry = &cache->entries[i];
        if (entry->id == id && entry->device == device && !entry->dropped)
            return i;
    }
    return -1;
}

/* The model's entry anywhere but on that device, on other devices first. */
static int32_t elsewhere(const struct weight_cache *cache, int32_t id, int32_t device)
{
    int32_t found = index_of(cache, id, ON_HOST);
    for (int32_t k = 0; k < cache->devices->workers; k++) {
        int32_t index = k != device ? index_of(cache, id, k) : -1;
        found = index >= 0 ? index : found;
    }
    return found;
}

/* A new entry, whose table is a copy. Entries move. */
static enum status append(struct weight_cache *cache, const struct entry *like, struct error *err)
{
    struct entry *entries = array_with_room(cache->entries, cache->count, &cache->capacity, sizeof(*entries),
                                            "cache of weights", err);
    if (entries == NULL)
        return ST_MEMORY;
    cache->entries = entries;
    struct entry entry = *like;
    enum status st = weight_table_copy(&entry.table, &like->table, err);
    if (st != ST_OK)
        return st;
    cache->entries[cache->count++] = entry;
    return ST_OK;
}

/* ---- the interface ---- */

enum status weight_cache_open(const struct devices *devices, struct weight_cache **cache, struct error *err)
{
    struct weight_cache *made = calloc(1, sizeof(*made));
    *cache = made;
    if (made == NULL)
        return error_memory(err, "cache of weights", sizeof(*made));
    made->devices = devices;
    pthread_mutex_init(&made->lock, NULL);
    return ST_OK;
}

void weight_cache_close(struct weight_cache *cache)
{
    if (cache == NULL)
        return;
    for (int32_t i = 0; i < cache->count; i++)
        free_entry(cache, &cache->entries[i]);
    free(cache->entries);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

enum status weight_cache_add(struct weight_cache *cache, int32_t device, int32_t id, double usefulness,
                             struct device_weights *weights, const struct weight_table *table,
                             struct error *err)
{
    const struct entry entry = {
        .id = id, .device = device, .usefulness = usefulness, .weights = weights, .table = *table};
    pthread_mutex_lock(&cache->lock);
    tidy(cache, device);
    enum status st = append(cache, &entry, err);
    pthread_mutex_unlock(&cache->lock);
    return st;
}

/* A copy on `device` of what stands at `index`. */
static enum status copy_here(struct weight_cache *cache, int32_t device, int32_t index,
                             struct device_weights **weights, struct error *err)
{
    const struct device_ops *ops = cache->devices->ops;
    struct device *here = device_of(cache, device);
    struct entry source = cache->entries[index]; /* entries move */
    enum status st = ops->weights_new(here, &source.table, 1, weights, err);
    if (st != ST_OK)
        return st;
    if (source.device == ON_HOST)
        st = ops->weights_upload(here, *weights, SLOT_VALUE, source.values, err);
    else
        st = ops->weights_copy(here, *weights, SLOT_VALUE, device_of(cache, source.device), source.weights,
                               SLOT_VALUE, err);
    const struct entry entry = {.id = source.id,
                                .device = device,
                                .usefulness = source.usefulness,
                                .weights = *weights,
                                .table = source.table};
    if (st == ST_OK)
        st = append(cache, &entry, err);
    if (st != ST_OK) {
        ops->weights_free(here, *weights);
        *weights = NULL;
    }
    return st;
}

enum status weight_cache_find(struct weight_cache *cache, int32_t device, int32_t id,
                              struct device_weights **weights, struct error *err)
{
    enum status st = ST_OK;
    *weights = NULL;
    pthread_mutex_lock(&cache->lock);
    tidy(cache, device);
    int32_t here = index_of(cache, id, device), there = elsewhere(cache, id, device);
    cache->found += here >= 0;
    if (here >= 0)
        *weights = cache->entries[here].weights;
    else if (there >= 0)
        st = copy_here(cache, device, there, weights, err);
    pthread_mutex_unlock(&cache->lock);
    return st;
}

/* Moves what an entry holds into pinned host memory. */
static enum status move_to_host(const struct weight_cache *cache, struct entry *entry, struct error *err)
{
    const struct device_ops *ops = cache->devices->ops;
    struct device *device = device_of(cache, entry->device);
    void *values = NULL;
    enum status st = ops->host_allocate(device, entry->table.total * sizeof(float), &values, err);
    if (st == ST_OK)
        st = ops->weights_download(device, entry->weights, SLOT_VALUE, values, err);
    if (st != ST_OK) {
        ops->host_free(device, values);
        return st;
    }
    ops->weights_free(device, entry->weights);
    entry->weights = NULL;
    entry->values = values;
    entry->pinned_by = entry->device;
    entry->device = ON_HOST;
    return ST_OK;
}

enum status weight_cache_evict(struct weight_cache *cache, int32_t device, int32_t kept, bool *freed,
                               struct error *err)
{
    enum status st = ST_OK;
    int32_t least = -1;
    pthread_mutex_lock(&cache->lock);
    int32_t before = cache->count;
    tidy(cache, device);
    *freed = cache->count < before;
    for (int32_t i = 0; !*freed && i < cache->count; i++) {
        const struct entry *entry = &cache->entries[i];
        if (entry->device == device && entry->id != kept &&
            (least < 0 || entry->usefulness < cache->entries[least].usefulness))
            least = i;
    }
    if (least >= 0) {
        *freed = true;
        cache->evicted++;
        if (elsewhere(cache, cache->entries[least].id, device) < 0)
            st = move_to_host(cache, &cache->entries[least], err);
        else
            remove_entry(cache, least);
        if (st == ST_MEMORY) { /* no room there either: the file still has it */
            remove_entry(cache, least);
            st = ST_OK;
        }
    }
    pthread_mutex_unlock(&cache->lock);
    return st;
}

void weight_cache_drop(struct weight_cache *cache, int32_t id)
{
    pthread_mutex_lock(&cache->lock);
    for (int32_t i = cache->count - 1; i >= 0; i--) {
        if (cache->entries[i].id == id)
            cache->entries[i].dropped = true;
        if (cache->entries[i].dropped && cache->entries[i].device == ON_HOST)
            remove_entry(cache, i);
    }
    pthread_mutex_unlock(&cache->lock);
}

size_t weight_cache_bytes(struct weight_cache *cache, bool devices)
{
    size_t bytes = 0;
    pthread_mutex_lock(&cache->lock);
    for (int32_t i = 0; i < cache->count; i++) {
        if (devices || cache->entries[i].device == ON_HOST)
            bytes += cache->entries[i].table.total * sizeof(float);
    }
    pthread_mutex_unlock(&cache->lock);
    return bytes;
}

void weight_cache_counts(struct weight_cache *cache, int64_t *found, int64_t *evicted)
{
    pthread_mutex_lock(&cache->lock);
    *found = cache->found;
    *evicted = cache->evicted;
    pthread_mutex_unlock(&cache->lock);
}
