/* The pool of parents' weights (host/machine/weight_cache.h) on emulated GPUs with too little memory for all of them:
 * what leaves a device lies in pinned host memory, comes back, and is right wherever it is asked for; every failing
 * call is told. */
#include "cuda/device/cuda_internal.h"
#include "host/machine/weight_cache.h"
#include "tests/gpu/emu/emu_test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MODELS = 8, VALUES = 1 << 17 };
/* What a device takes for itself (cuBLAS's workspace), and room for three models. */
static const size_t DEVICE_MEMORY = ((size_t)32 << 20) + 7 * (VALUES * sizeof(float)) / 2;

static struct weight_tensor TENSOR = {
    .layer_id = 1, .role = WEIGHT_KERNEL, .dims = {VALUES, 1, 1, 1}, .count = VALUES};
static const struct weight_table TABLE = {.count = 1, .tensors = &TENSOR, .total = VALUES};
static const size_t BYTES = VALUES * sizeof(float);

struct fixture {
    struct devices devices;
    struct weight_cache *pool;
    float *values; /* [VALUES] */
    struct error err;
};

static enum status open_all(struct fixture *f)
{
    enum status st = ST_OK;
    *f = (struct fixture){.devices = {.ops = &cuda_device_ops, .count = 2, .workers = 2},
                          .values = malloc(BYTES)};
    assert_non_null(f->values);
    for (int32_t k = 0; st == ST_OK && k < 2; k++) {
        const struct device_options options = {.index = k};
        st = cuda_device_ops.open(&options, &f->devices.items[k].device, &f->err);
    }
    if (st == ST_OK)
        st = weight_cache_open(&f->devices, &f->pool, &f->err);
    return st;
}

static void close_all(struct fixture *f)
{
    weight_cache_close(f->pool);
    for (int32_t k = 0; k < 2; k++)
        cuda_device_ops.close(f->devices.items[k].device);
    free(f->values);
}

/* Makes room as the run does. */
static enum status evict(struct fixture *f, int32_t device, bool *freed)
{
    struct error err;
    enum status st = weight_cache_evict(f->pool, device, -1, freed, &err);
    if (st != ST_OK)
        f->err = err;
    return st;
}

static enum status add(struct fixture *f, int32_t device, int32_t id)
{
    struct device *place = f->devices.items[device].device;
    struct device_weights *weights = NULL;
    bool again = true;
    enum status st = ST_OK;
    for (int i = 0; i < VALUES; i++)
        f->values[i] = (float)(id * VALUES + i);
    while (again) {
        st = cuda_device_ops.weights_new(place, &TABLE, 1, &weights, &f->err);
        again = st == ST_MEMORY && evict(f, device, &again) == ST_OK && again;
    }
    if (st == ST_OK)
        st = cuda_device_ops.weights_upload(place, weights, SLOT_VALUE, f->values, &f->err);
    if (st == ST_OK)
        st = weight_cache_add(f->pool, device, id, (double)(id * 5 % MODELS), weights, &TABLE, &f->err);
    if (st != ST_OK)
        cuda_device_ops.weights_free(place, weights);
    return st;
}

/* Every model, on both devices in turn. */
static enum status find_all(struct fixture *f)
{
    enum status st = ST_OK;
    for (int32_t i = 0; st == ST_OK && i < 2 * MODELS; i++) {
        const int32_t device = i % 2, id = i / 2;
        struct device_weights *weights = NULL;
        bool again = true;
        while (again) {
            st = weight_cache_find(f->pool, device, id, &weights, &f->err);
            again = st == ST_MEMORY && evict(f, device, &again) == ST_OK && again;
        }
        if (st == ST_OK && weights == NULL) { /* the host had no room for it: the run has its file */
            assert_int_not_equal(emu.fail_at, 0);
            continue;
        }
        if (st == ST_OK) {
            memset(f->values, 0, BYTES);
            st = cuda_device_ops.weights_download(f->devices.items[device].device, weights, SLOT_VALUE,
                                                  f->values, &f->err);
        }
        for (int k = 0; st == ST_OK && k < VALUES; k += 97)
            assert_true(f->values[k] == (float)(id * VALUES + k));
    }
    return st;
}

static enum status fill_and_find(struct fixture *f)
{
    enum status st = open_all(f);
    for (int32_t id = 0; st == ST_OK && id < MODELS; id++)
        st = add(f, id % 2, id);
    if (st == ST_OK)
        st = find_all(f);
    return st;
}

static void more_than_fits(void **state)
{
    (void)state;
    struct fixture f;
    int64_t found, evicted;
    emu.devices = 2;
    emu.memory = DEVICE_MEMORY;
    assert_int_equal(fill_and_find(&f), ST_OK);
    weight_cache_counts(f.pool, &found, &evicted);
    assert_true(evicted > MODELS);
    assert_true(weight_cache_bytes(f.pool, true) - weight_cache_bytes(f.pool, false) <= 6 * BYTES);
    assert_true(weight_cache_bytes(f.pool, false) > 0);
    close_all(&f);
}

/* Each call fails in turn: the error is told (or nothing was lost by it), nothing is left behind. */
static void failing_calls(void **state)
{
    (void)state;
    struct fixture f;
    uint64_t told = 0;
    emu.devices = 2;
    emu.memory = DEVICE_MEMORY;
    uint64_t before = emu_count.calls;
    assert_int_equal(fill_and_find(&f), ST_OK);
    close_all(&f);
    const uint64_t calls = emu_count.calls - before;
    for (uint64_t call = 1; call <= calls; call += 2) {
        emu_reset();
        emu.devices = 2;
        emu.memory = DEVICE_MEMORY;
        emu.fail_at = call;
        if (fill_and_find(&f) != ST_OK) {
            told++;
            assert_true(strlen(f.err.message) > 10);
        }
        close_all(&f);
        assert_int_equal(emu_count.objects, 0);
    }
    assert_true(told > calls / 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(more_than_fits, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(failing_calls, emu_test_begin, emu_test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
