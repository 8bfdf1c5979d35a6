/* Devices of a run: chosen by their names, opened at the same time, the first error told and all of them closed; further workers on them,
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
static bool nameless;           /* it fails as soon as it is open, so that it can't tell its name */
static int32_t full = DEVICES;  /* index of the one without room for data */
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
    if (!nameless)
        snprintf(info->name, sizeof(info->name), "fake:%d", (int)device->index);
}

static enum status fake_upload(struct device *device, const struct dataset_view *view,
                               struct device_dataset **dataset, struct error *err)
{
    (void)view;
    if (device->index == full)
        return error_set(err, ST_DEVICE, "device %d is full", (int)device->index);
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

static void test_other_errors(void **state)
{
    const struct dataset data = {0};
    struct devices devices;
    struct error err;
    (void)state;
    choose(&devices);
    nameless = true;
    assert_int_equal(devices_open(&devices, &err), ST_DEVICE);
    assert_string_equal(err.message, "fake device 0 failed as soon as it was open");
    devices_close(&devices);
    nameless = false;
    choose(&devices);
    full = 2;
    assert_int_equal(devices_open(&devices, &err), ST_OK);
    assert_int_equal(devices_upload(&devices, &data, NULL, &err), ST_DEVICE);
    assert_string_equal(err.message, "device 2 is full");
    assert_int_equal(data_now, 2);
    devices_close(&devices);
    assert_int_equal(open_now, 0);
    assert_int_equal(data_now, 0);
    full = DEVICES;
}

/* ---- choosing; beside this program there is no plug-in for GPUs ---- */

static enum status choose_by(const char *first, const char *second, int32_t workers, struct devices *devices,
                             struct error *err)
{
    char names[2][32];
    struct job job = {.threads = 3, .search.workers_per_device = workers};
    snprintf(names[0], sizeof(names[0]), "%s", first);
    snprintf(names[1], sizeof(names[1]), "%s", second != NULL ? second : "");
    job.devices.items[0] = names[0];
    job.devices.items[1] = names[1];
    job.devices.count = second != NULL ? 2 : 1;
    return devices_choose(&job, devices, err);
}

static void test_names(void **state)
{
    static const char expected[] = "expected auto, cuda, cuda:N, cpu, cpu:N, ref or ref:N";
    static const struct {
        const char *first, *second, *kind, *message; /* `message` is part of that; NULL: chosen */
        int32_t workers, indices[2];
    } cases[] = {
        {"cpu", NULL, "cpu", NULL, 1, {0}},
        {"cpu:0", "cpu:12", "cpu", NULL, 1, {0, 12}},
        {"ref", NULL, "ref", NULL, 0, {0}},
        {"ref:2147483646", NULL, "ref", NULL, 1, {2147483646}},
        {"auto", NULL, "cpu", NULL, 1, {0}},
        {"cuda", NULL, NULL, "devices: \"cuda\": this nasrun was built without GPU support", 1, {0}},
        {"cuda:1", NULL, NULL, "devices: \"cuda:1\": this nasrun was built without GPU support", 1, {0}},
        {"cpu", NULL, NULL, "found 2 on \"cpu\", expected 1 or \"auto\": only a GPU has several", 2, {0}},
        {"ref:2147483647", NULL, NULL, expected, 1, {0}},
        {"cpu:99999999999999999999", NULL, NULL, expected, 1, {0}},
        {"cpu:", NULL, NULL, expected, 1, {0}},
        {"cpu:-1", NULL, NULL, expected, 1, {0}},
        {"cpu:x", NULL, NULL, expected, 1, {0}},
        {"cpu:1x", NULL, NULL, expected, 1, {0}},
        {"cpus", NULL, NULL, expected, 1, {0}},
        {"cpu", "gpu", NULL, expected, 1, {0}},
        {"", NULL, NULL, expected, 1, {0}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct devices devices;
        struct error err = {0};
        const enum status st = choose_by(cases[i].first, cases[i].second, cases[i].workers, &devices, &err);
        if (cases[i].message != NULL) {
            if (st != ST_UNSUPPORTED || strstr(err.message, cases[i].message) == NULL)
                fail_msg("%s: status %d, %s", cases[i].first, st, err.message);
            continue;
        }
        assert_int_equal(st, ST_OK);
        assert_string_equal(devices.ops->kind, cases[i].kind);
        assert_true(devices_are_host(&devices));
        assert_int_equal(devices.count, cases[i].second != NULL ? 2 : 1);
        assert_int_equal(devices.workers, devices.count);
        assert_int_equal(strlen(devices.without) > 0, strcmp(cases[i].first, "auto") == 0);
        for (int32_t k = 0; k < devices.count; k++) {
            assert_int_equal(devices.options[k].index, cases[i].indices[k]);
            assert_int_equal(devices.options[k].count, devices.count);
            assert_int_equal(devices.options[k].threads, 3);
        }
    }
}

/* What the job asks for, and what earlier devices of the run had taken. */
static void test_precisions(void **state)
{
    static const struct {
        const char *word;
        enum device_precision before;
    } words[] = {{"bf16", PRECISION_BF16}, {"fp16", PRECISION_FP16}, {"tf32", PRECISION_TF32},
                 {"fp32", PRECISION_FP32}, {"auto", PRECISION_AUTO}, {"of later versions", PRECISION_AUTO}};
    static const struct {
        enum job_precision asked;
        enum device_precision given;
    } asked[] = {{JOB_PRECISION_AUTO, PRECISION_AUTO},
                 {JOB_PRECISION_BF16, PRECISION_BF16},
                 {JOB_PRECISION_FP16, PRECISION_FP16},
                 {JOB_PRECISION_TF32, PRECISION_TF32},
                 {JOB_PRECISION_FP32, PRECISION_FP32}};
    char name[] = "ref";
    struct devices devices;
    struct error err;
    (void)state;
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        struct job job = {.devices = {.count = 1, .items = {name}}, .train.precision = asked[i].asked};
        assert_int_equal(devices_choose(&job, &devices, &err), ST_OK);
        assert_int_equal(devices.options[0].precision, asked[i].given);
        assert_int_equal(devices.options[0].before, PRECISION_AUTO);
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        devices_prefer(&devices, words[i].word);
        assert_int_equal(devices.options[0].before, words[i].before);
    }
}

/* So many of them that each gets as many images of a batch. */
static void test_sharing(void **state)
{
    (void)state;
    assert_int_equal(devices_sharing(1, 7), 1);
    assert_int_equal(devices_sharing(3, 12), 3);
    assert_int_equal(devices_sharing(4, 6), 3);
    assert_int_equal(devices_sharing(8, 7), 7);
    assert_int_equal(devices_sharing(6, 7), 1);
}

static void test_list(void **state)
{
    struct error err;
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    (void)state;
    assert_non_null(out);
    assert_int_equal(devices_list(out, &err), ST_OK);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(strncmp(text, "no GPU  this nasrun was built without GPU support", 49), 0);
    assert_non_null(strstr(text, "\ncpu:0 "));
    assert_non_null(strstr(text, " GB"));
    assert_non_null(strstr(text, "\nref     the slow reference"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens_at_the_same_time),
        cmocka_unit_test(test_first_error),
        cmocka_unit_test(test_workers),
        cmocka_unit_test(test_other_errors),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_precisions),
        cmocka_unit_test(test_sharing),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
