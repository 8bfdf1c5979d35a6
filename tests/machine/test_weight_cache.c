/* The cache of parents' weights on two devices: found where they are, copied where they are not, sent away least useful
 * first, and dropped. */
#include "host/machine/weight_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct device_ops *const OPS[] = {&ref_device_ops, &cpu_device_ops};
enum { KINDS = 2, VALUES = 512 };

/* A table with one tensor. */
static struct weight_tensor TENSOR = {
    .layer_id = 1, .role = WEIGHT_KERNEL, .dims = {VALUES, 1, 1, 1}, .count = VALUES};
static const struct weight_table TABLE = {.count = 1, .tensors = &TENSOR, .total = VALUES};

struct fixture {
    struct devices devices;
    struct weight_cache *cache;
    struct error err;
};

static void open_all(struct fixture *f, const struct device_ops *ops)
{
    *f = (struct fixture){.devices = {.ops = ops, .count = 2, .workers = 2}};
    for (int32_t k = 0; k < 2; k++) {
        const struct device_options options = {.index = k, .count = 2, .threads = 1};
        assert_int_equal(ops->open(&options, &f->devices.items[k].device, &f->err), ST_OK);
    }
    assert_int_equal(weight_cache_open(&f->devices, &f->cache, &f->err), ST_OK);
}

static void close_all(struct fixture *f)
{
    weight_cache_close(f->cache);
    for (int32_t k = 0; k < 2; k++)
        f->devices.ops->close(f->devices.items[k].device);
}

/* Model `id`, all of whose values are `id`, on that device. */
static void add(struct fixture *f, int32_t device, int32_t id, double usefulness)
{
    const struct device_ops *ops = f->devices.ops;
    struct device *handle = f->devices.items[device].device;
    struct device_weights *weights;
    float values[VALUES];
    for (int i = 0; i < VALUES; i++)
        values[i] = (float)id;
    assert_int_equal(ops->weights_new(handle, &TABLE, 1, &weights, &f->err), ST_OK);
    assert_int_equal(ops->weights_upload(handle, weights, SLOT_VALUE, values, &f->err), ST_OK);
    assert_int_equal(weight_cache_add(f->cache, device, id, usefulness, weights, &TABLE, &f->err), ST_OK);
}

static bool finds(struct fixture *f, int32_t device, int32_t id)
{
    struct device_weights *weights;
    float values[VALUES] = {0};
    assert_int_equal(weight_cache_find(f->cache, device, id, &weights, &f->err), ST_OK);
    if (weights == NULL)
        return false;
    assert_int_equal(f->devices.ops->weights_download(f->devices.items[device].device, weights, SLOT_VALUE,
                                                      values, &f->err),
                     ST_OK);
    for (int i = 0; i < VALUES; i++)
        assert_true(values[i] == (float)id);
    return true;
}

static bool evicts(struct fixture *f, int32_t device, int32_t kept)
{
    bool freed;
    assert_int_equal(weight_cache_evict(f->cache, device, kept, &freed, &f->err), ST_OK);
    return freed;
}

static int64_t found_there(struct fixture *f)
{
    int64_t found, evicted;
    weight_cache_counts(f->cache, &found, &evicted);
    return found;
}

static const size_t BYTES = VALUES * sizeof(float);

static void copies_to_where_it_is_wanted(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        struct fixture f;
        open_all(&f, OPS[kind]);
        assert_false(finds(&f, 0, 7));
        add(&f, 0, 7, 0.5);
        assert_true(finds(&f, 0, 7));
        assert_int_equal(found_there(&f), 1);
        assert_int_equal(weight_cache_bytes(f.cache, true), BYTES);
        assert_true(finds(&f, 1, 7)); /* a copy */
        assert_int_equal(found_there(&f), 1);
        assert_int_equal(weight_cache_bytes(f.cache, true), 2 * BYTES);
        assert_true(finds(&f, 1, 7));
        assert_int_equal(found_there(&f), 2);
        assert_int_equal(weight_cache_bytes(f.cache, false), 0);
        close_all(&f);
    }
}

static void sends_the_least_useful_away(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        struct fixture f;
        open_all(&f, OPS[kind]);
        add(&f, 0, 1, 0.7);
        add(&f, 0, 2, 0.2);
        add(&f, 0, 3, 0.9);
        assert_true(evicts(&f, 0, -1)); /* 2, to the host */
        assert_int_equal(weight_cache_bytes(f.cache, false), BYTES);
        assert_int_equal(weight_cache_bytes(f.cache, true), 3 * BYTES);
        assert_true(evicts(&f, 0, 1)); /* 3: 1 is to stay */
        assert_int_equal(weight_cache_bytes(f.cache, false), 2 * BYTES);
        assert_false(evicts(&f, 0, 1));
        assert_false(evicts(&f, 1, -1));
        assert_int_equal(found_there(&f), 0);
        assert_true(finds(&f, 0, 1));
        assert_int_equal(found_there(&f), 1);
        assert_true(finds(&f, 1, 2)); /* from the host, to the other device */
        assert_true(finds(&f, 0, 3));
        assert_int_equal(found_there(&f), 1);
        assert_true(evicts(&f, 1, -1)); /* the host has it still: nothing is copied */
        assert_int_equal(weight_cache_bytes(f.cache, false), 2 * BYTES);
        close_all(&f);
    }
}

static void drops_what_has_no_children(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        struct fixture f;
        open_all(&f, OPS[kind]);
        add(&f, 0, 1, 0.7);
        add(&f, 0, 2, 0.2);
        assert_true(finds(&f, 1, 1));
        assert_true(evicts(&f, 0, -1));
        weight_cache_drop(f.cache, 2); /* on the host: at once */
        assert_int_equal(weight_cache_bytes(f.cache, false), 0);
        assert_false(finds(&f, 0, 2));
        weight_cache_drop(f.cache, 1); /* on both devices: when their threads come by */
        assert_int_equal(weight_cache_bytes(f.cache, true), 2 * BYTES);
        assert_false(finds(&f, 0, 1));
        assert_int_equal(weight_cache_bytes(f.cache, true), BYTES);
        assert_true(evicts(&f, 1, -1)); /* room is made by what is dropped already */
        assert_int_equal(weight_cache_bytes(f.cache, true), 0);
        assert_int_equal(weight_cache_bytes(f.cache, false), 0);
        close_all(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_to_where_it_is_wanted),
        cmocka_unit_test(sends_the_least_useful_away),
        cmocka_unit_test(drops_what_has_no_children),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
