/* Devices of a run: opened at the same time, the first error told and all of them closed; further workers on them,
 * which share the data. On a device that does nothing else. */
#include "host/base/barrier.h"
#include "host/machine/devices.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DEVICES = 4, TIMEOUT = 20 };

struct device {
    int32_t index;
};

struct device_dataset {
    const struct device *owner;
};

static struct barrier *barrier; /* of those that are opened; NULL: nobody waits */
static bool fails[DEVICES];     /* by index */
static atomic_int open_now, data_now;

/* Waits for the others: opened one after the other, they would wait in vain. */
static enum status fake_open(const struct device_options *options, struct device **device, struct error *err)
{
    void *const *offers;
    *device = NULL;
    if (barrier != NULL && barrier_wait(barrier, options->index, "open", NULL, &offers, err) != ST_OK)
        return err->status;
    if (fails[options->index])
        return error_set(err, ST_DEVICE, "device %d is broken", (int)options->index);
    *device = calloc(1, sizeof(**device));
    assert_non_null(*device);
    (*device)->index = options->index;
    atomic_fetch_add(&open_now, 1);
    return ST_OK;
}

static void fake_close(struct device *device)
{
    atomic_fetch_sub(&open_now, 1);
    free(device);
}

static void fake_info(struct device *device, struct device_info *info)
{
    *info = (struct device_info){0};
    snprintf(info->name, sizeof(info->name), "fake:%d", (int)device->index);
}

static enum status fake_upload(struct device *device, const struct dataset_view *view,
                               struct device_dataset **dataset, struct error *err)
{
    (void)view;
    (void)err;
    *dataset = calloc(1, sizeof(**dataset));
    assert_non_null(*dataset);
    (*dataset)->owner = device;
    atomic_fetch_add(&data_now, 1);
    return ST_OK;
}

/* Only by their owner, when nobody else is there any more that may read them. */
static void fake_free(struct device *device, struct device_dataset *dataset)
{
    if (dataset == NULL)
        return;
    assert_ptr_equal(dataset->owner, device);
    assert_true(atomic_load(&open_now) <= DEVICES);
    atomic_fetch_sub(&data_now, 1);
    free(dataset);
}

static const struct device_ops OPS = {.kind = "fake",
                                      .open = fake_open,
                                      .close = fake_close,
                                      .info = fake_info,
                                      .dataset_upload = fake_upload,
                                      .dataset_free = fake_free};

static void choose(struct devices *devices)
{
    *devices = (struct devices){.ops = &OPS, .count = DEVICES, .workers = DEVICES};
    for (int32_t k = 0; k < DEVICES; k++) {
        devices->options[k].index = k;
        fails[k] = false;
    }
}

static void test_opens_at_the_same_time(void **state)
{
    struct devices devices;
    struct error err;
    (void)state;
    choose(&devices);
    assert_int_equal(barrier_open(DEVICES, TIMEOUT, &barrier, &err), ST_OK);
    assert_int_equal(devices_open(&devices, &err), ST_OK);
    assert_int_equal(open_now, DEVICES);
    for (int32_t k = 0; k < DEVICES; k++)
        assert_int_equal(devices.items[k].name[5], '0' + k);
    devices_close(&devices);
    assert_int_equal(open_now, 0);
    barrier_close(barrier);
    barrier = NULL;
}

static void test_first_error(void **state)
{
    struct devices devices;
    struct error err;
    (void)state;
    choose(&devices);
    fails[1] = fails[3] = true;
    assert_int_equal(devices_open(&devices, &err), ST_DEVICE);
    assert_string_equal(err.message, "device 1 is broken");
    assert_int_equal(open_now, 2);
    devices_close(&devices);
    assert_int_equal(open_now, 0);
}

static void test_workers(void **state)
{
    static const char *const names[] = {"fake:1", "fake:1, worker 2", "fake:1, worker 3"};
    const struct dataset data = {0};
    struct devices devices;
    struct error err;
    (void)state;
    choose(&devices);
    assert_int_equal(devices_open(&devices, &err), ST_OK);
    assert_int_equal(devices_upload(&devices, &data, NULL, &err), ST_OK);
    for (int32_t each = 1; each <= 3; each++) {
        assert_int_equal(devices_share(&devices, each, &err), ST_OK);
        assert_int_equal(devices.workers, each * DEVICES);
        assert_int_equal(open_now, each * DEVICES);
        for (int32_t k = 0; k < devices.workers; k++) {
            assert_int_equal(devices.items[k].device->index, k % DEVICES);
            assert_ptr_equal(devices.items[k].data, devices.items[k % DEVICES].data);
        }
        assert_string_equal(devices.items[(each - 1) * DEVICES + 1].name, names[each - 1]);
    }
    assert_int_equal(devices_share(&devices, 1, &err), ST_OK);
    assert_int_equal(open_now, DEVICES);
    assert_int_equal(data_now, DEVICES);

    fails[2] =
        true; /* one of the second workers'; the error is told and the run can be closed, or go on with one each */
    assert_int_equal(devices_share(&devices, 2, &err), ST_DEVICE);
    assert_string_equal(err.message, "device 2 is broken");
    assert_int_equal(devices_share(&devices, 1, &err), ST_OK);
    assert_int_equal(open_now, DEVICES);
    fails[2] = false;
    assert_int_equal(devices_share(&devices, 2, &err), ST_OK);
    assert_int_equal(devices_share(&devices, DEVICES_MOST / DEVICES + 1, &err), ST_RANGE);
    devices_close(&devices);
    assert_int_equal(open_now, 0);
    assert_int_equal(data_now, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens_at_the_same_time),
        cmocka_unit_test(test_first_error),
        cmocka_unit_test(test_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
