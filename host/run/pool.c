#include "host/run/pool.h"

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

struct pool {
    const struct devices *devices;
    pthread_mutex_t lock;
    struct entry *entries;
    int32_t count, capacity;
    int64_t found, evicted; /* so far */
};

static struct device *device_of(const struct pool *pool, int32_t device)
{
    return pool->devices->items[device].device;
}

/* ---- entries ---- */

static void free_entry(const struct pool *pool, struct entry *entry)
{
    const struct device_ops *ops = pool->devices->ops;
    if (entry->device == ON_HOST)
        ops->host_free(device_of(pool, entry->pinned_by), entry->values);
    else
        ops->weights_free(device_of(pool, entry->device), entry->weights);
    weight_table_free(&entry->table);
}

static void remove_entry(struct pool *pool, int32_t index)
{
    free_entry(pool, &pool->entries[index]);
    pool->entries[index] = pool->entries[--pool->count];
}

/* Frees what was dropped on this device. */
static void tidy(struct pool *pool, int32_t device)
{
    for (int32_t i = pool->count - 1; i >= 0; i--) {
        if (pool->entries[i].dropped && pool->entries[i].device == device)
            remove_entry(pool, i);
    }
}

/* The model's entry on that device; ON_HOST: in host memory. -1 when there is none. */
static int32_t place_of(const struct pool *pool, int32_t id, int32_t device)
{
    for (int32_t i = 0; i < pool->count; i++) {
        const struct entry *entry = &pool->entries[i];
        if (entry->id == id && entry->device == device && !entry->dropped)
            return i;
    }
    return -1;
}

/* The model's entry anywhere but on that device, on other devices first. */
static int32_t elsewhere(const struct pool *pool, int32_t id, int32_t device)
{
    int32_t found = place_of(pool, id, ON_HOST);
    for (int32_t k = 0; k < pool->devices->workers; k++) {
        int32_t place = k != device ? place_of(pool, id, k) : -1;
        found = place >= 0 ? place : found;
    }
    return found;
}

/* A new entry, whose table is a copy. Entries move. */
static enum status append(struct pool *pool, const struct entry *like, struct error *err)
{
    if (pool->count == pool->capacity) {
        int32_t capacity = pool->capacity == 0 ? 16 : 2 * pool->capacity;
        struct entry *larger = realloc(pool->entries, (size_t)capacity * sizeof(*larger));
        if (larger == NULL)
            return error_memory(err, "pool of weights", (size_t)capacity * sizeof(*larger));
        pool->entries = larger;
        pool->capacity = capacity;
    }
    struct entry entry = *like;
    enum status st = weight_table_copy(&entry.table, &like->table, err);
    if (st != ST_OK)
        return st;
    pool->entries[pool->count++] = entry;
    return ST_OK;
}

/* ---- the interface ---- */

enum status pool_open(const struct devices *devices, struct pool **pool, struct error *err)
{
    struct pool *made = calloc(1, sizeof(*made));
    *pool = made;
    if (made == NULL)
        return error_memory(err, "pool of weights", sizeof(*made));
    made->devices = devices;
    pthread_mutex_init(&made->lock, NULL);
    return ST_OK;
}

void pool_close(struct pool *pool)
{
    if (pool == NULL)
        return;
    for (int32_t i = 0; i < pool->count; i++)
        free_entry(pool, &pool->entries[i]);
    free(pool->entries);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

enum status pool_add(struct pool *pool, int32_t device, int32_t id, double usefulness,
                     struct device_weights *weights, const struct weight_table *table, struct error *err)
{
    const struct entry entry = {
        .id = id, .device = device, .usefulness = usefulness, .weights = weights, .table = *table};
    pthread_mutex_lock(&pool->lock);
    tidy(pool, device);
    enum status st = append(pool, &entry, err);
    pthread_mutex_unlock(&pool->lock);
    return st;
}

/* A copy on `device` of what stands in `place`. */
static enum status copy_here(struct pool *pool, int32_t device, int32_t place,
                             struct device_weights **weights, struct error *err)
{
    const struct device_ops *ops = pool->devices->ops;
    struct device *here = device_of(pool, device);
    struct entry source = pool->entries[place]; /* entries move */
    enum status st = ops->weights_new(here, &source.table, 1, weights, err);
    if (st != ST_OK)
        return st;
    if (source.device == ON_HOST)
        st = ops->weights_upload(here, *weights, SLOT_VALUE, source.values, err);
    else
        st = ops->weights_copy(here, *weights, SLOT_VALUE, device_of(pool, source.device), source.weights,
                               SLOT_VALUE, err);
    const struct entry entry = {.id = source.id,
                                .device = device,
                                .usefulness = source.usefulness,
                                .weights = *weights,
                                .table = source.table};
    if (st == ST_OK)
        st = append(pool, &entry, err);
    if (st != ST_OK) {
        ops->weights_free(here, *weights);
        *weights = NULL;
    }
    return st;
}

enum status pool_find(struct pool *pool, int32_t device, int32_t id, struct device_weights **weights,
                      struct error *err)
{
    enum status st = ST_OK;
    *weights = NULL;
    pthread_mutex_lock(&pool->lock);
    tidy(pool, device);
    int32_t here = place_of(pool, id, device), there = elsewhere(pool, id, device);
    pool->found += here >= 0;
    if (here >= 0)
        *weights = pool->entries[here].weights;
    else if (there >= 0)
        st = copy_here(pool, device, there, weights, err);
    pthread_mutex_unlock(&pool->lock);
    return st;
}

/* Moves what an entry holds into pinned host memory. */
static enum status move_to_host(const struct pool *pool, struct entry *entry, struct error *err)
{
    const struct device_ops *ops = pool->devices->ops;
    struct device *device = device_of(pool, entry->device);
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

enum status pool_evict(struct pool *pool, int32_t device, int32_t kept, bool *freed, struct error *err)
{
    enum status st = ST_OK;
    int32_t least = -1;
    pthread_mutex_lock(&pool->lock);
    int32_t before = pool->count;
    tidy(pool, device);
    *freed = pool->count < before;
    for (int32_t i = 0; !*freed && i < pool->count; i++) {
        const struct entry *entry = &pool->entries[i];
        if (entry->device == device && entry->id != kept &&
            (least < 0 || entry->usefulness < pool->entries[least].usefulness))
            least = i;
    }
    if (least >= 0) {
        *freed = true;
        pool->evicted++;
        if (elsewhere(pool, pool->entries[least].id, device) < 0)
            st = move_to_host(pool, &pool->entries[least], err);
        else
            remove_entry(pool, least);
        if (st == ST_MEMORY) { /* no room there either: the file still has it */
            remove_entry(pool, least);
            st = ST_OK;
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return st;
}

void pool_drop(struct pool *pool, int32_t id)
{
    pthread_mutex_lock(&pool->lock);
    for (int32_t i = pool->count - 1; i >= 0; i--) {
        if (pool->entries[i].id == id)
            pool->entries[i].dropped = true;
        if (pool->entries[i].dropped && pool->entries[i].device == ON_HOST)
            remove_entry(pool, i);
    }
    pthread_mutex_unlock(&pool->lock);
}

size_t pool_bytes(struct pool *pool, bool devices)
{
    size_t bytes = 0;
    pthread_mutex_lock(&pool->lock);
    for (int32_t i = 0; i < pool->count; i++) {
        if (devices || pool->entries[i].device == ON_HOST)
            bytes += pool->entries[i].table.total * sizeof(float);
    }
    pthread_mutex_unlock(&pool->lock);
    return bytes;
}

void pool_counts(struct pool *pool, int64_t *found, int64_t *evicted)
{
    pthread_mutex_lock(&pool->lock);
    *found = pool->found;
    *evicted = pool->evicted;
    pthread_mutex_unlock(&pool->lock);
}
