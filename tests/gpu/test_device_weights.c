/* The plug-in's own objects on an emulated GPU (emu/emu.h): weight sets, inheritance, and what is said when there is no
 * device. */
#include "cuda/device/cuda_internal.h"
#include "host/device/plugin.h"
#include "host/net/start.h"
#include "tests/gpu/emu/emu_test.h"
#include "tests/support/device_session.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { IMAGES = 20, CLASSES = 5, BATCH = 8, SIDE = 8 };

static void make_network(struct graph *graph)
{
    struct error err;
    if (start_make(graph, "resnet", 8, (struct shape){0, 3, SIDE, SIDE}, CLASSES, &err) != ST_OK)
        fail_msg("%s", err.message);
}

static void weights_are_exact(void **state)
{
    (void)state;
    struct graph graph = {0};
    struct device_session session;
    const struct lower_options options = {.purpose = PROG_TRAIN, .batch = BATCH};
    make_network(&graph);
    session_open(&session, &cuda_device_ops, &graph, &options, IMAGES, 5);
    size_t total = session.program.weights.total;
    uint32_t *bits = malloc(total * sizeof(*bits));
    float *back = malloc(total * sizeof(*back));
    assert_non_null(bits);
    assert_non_null(back);
    for (size_t i = 0; i < total; i++)
        bits[i] = (uint32_t)(i * 2654435761u);
    for (enum weight_slot slot = SLOT_VALUE; slot < SLOT_GRADIENT; slot++) {
        assert_int_equal(session.ops->weights_upload(session.device, session.weights, slot,
                                                     (const float *)(void *)bits, &session.err),
                         ST_OK);
        assert_int_equal(
            session.ops->weights_download(session.device, session.weights, slot, back, &session.err), ST_OK);
        assert_memory_equal(back, bits, total * sizeof(*bits));
    }
    free(bits);
    free(back);
    session_close(&session);
    graph_free(&graph);
}

/* Inheritance with scales, noise, fill and identities, against the host's. */
static void remap_agrees(void **state)
{
    (void)state;
    struct graph graph = {0};
    struct device_session session;
    struct device_weights *child = NULL;
    struct remap_list list = {0};
    const struct lower_options options = {.purpose = PROG_TRAIN, .batch = BATCH};
    make_network(&graph);
    session_open(&session, &cuda_device_ops, &graph, &options, IMAGES, 5);
    const struct weight_table *table = &session.program.weights;
    assert_int_equal(remap_list_new(&list, table, table, &session.err), ST_OK);
    for (int32_t i = 0; i < list.count; i++) {
        struct remap *remap = &list.remaps[i];
        const int32_t *dims = table->tensors[remap->child].dims;
        free(remap->out_index);
        free(remap->out_scale);
        remap->out_index = malloc((size_t)dims[0] * sizeof(int32_t));
        remap->out_scale = malloc((size_t)dims[0] * sizeof(float));
        assert_non_null(remap->out_index);
        assert_non_null(remap->out_scale);
        for (int32_t o = 0; o < dims[0]; o++) {
            remap->out_index[o] = o % 3 == 2 ? -1 : dims[0] - 1 - o;
            remap->out_scale[o] = 0.5f + (float)o;
        }
        remap->fill = 0.25f;
        remap->noise = 0.125f;
    }
    float *expected = calloc(table->total, sizeof(*expected)), *found = malloc(table->total * sizeof(*found));
    assert_non_null(expected);
    assert_non_null(found);
    remap_apply(&list, table, table, session.values, 77, expected);
    assert_int_equal(session.ops->weights_new(session.device, table, SLOT_GRADIENT, &child, &session.err),
                     ST_OK);
    assert_int_equal(session.ops->weights_remap(session.device, child, session.weights, SLOT_VALUE, &list, 77,
                                                &session.err),
                     ST_OK);
    for (enum weight_slot slot = SLOT_VALUE; slot <= SLOT_AVERAGE; slot++) {
        assert_int_equal(session.ops->weights_download(session.device, child, slot, found, &session.err),
                         ST_OK);
        for (size_t i = 0; i < table->total; i++)
            if (!(fabsf(found[i] - expected[i]) <= 0x1p-22f * fmaxf(fabsf(expected[i]), 1.0f)))
                fail_msg("slot %d, offset %zu: %.9g, expected %.9g", (int)slot, i, (double)found[i],
                         (double)expected[i]);
    }
    /* A set that has its values alone. */
    session.ops->weights_free(session.device, child);
    assert_int_equal(session.ops->weights_new(session.device, table, 1, &child, &session.err), ST_OK);
    assert_int_equal(session.ops->weights_remap(session.device, child, session.weights, SLOT_VALUE, &list, 77,
                                                &session.err),
                     ST_OK);
    assert_int_equal(session.ops->weights_download(session.device, child, SLOT_VALUE, expected, &session.err),
                     ST_OK);
    assert_memory_equal(expected, found, table->total * sizeof(*found));
    free(expected);
    free(found);
    remap_list_free(&list);
    session.ops->weights_free(session.device, child);
    session_close(&session);
    graph_free(&graph);
}

/* A kernel of more than one piece between two vectors: on the device in the masters' order, and back as it was. */
enum { OUT = 48, IN = 1000, TAPS = 25, KERNEL = OUT * IN * TAPS, VECTOR = 16, TOTAL = KERNEL + 2 * VECTOR };

struct masters {
    const struct device_weights *weights;
    size_t wrong;
};

static void count_wrong(void *context)
{
    struct masters *masters = context;
    const float *slot = masters->weights->slots[SLOT_VALUE];
    for (size_t i = 0; i < TOTAL; i++) {
        const bool kernel = i >= VECTOR && i < VECTOR + KERNEL;
        const size_t offset = kernel ? VECTOR + cuda_master_offset(i - VECTOR, IN, TAPS) : i;
        masters->wrong += slot[offset] != (float)i;
    }
}

static void kernels_go_in_pieces(void **state)
{
    (void)state;
    struct weight_tensor tensors[] = {
        {.role = WEIGHT_BIAS, .dims = {VECTOR, 1, 1, 1}, .offset = 0, .count = VECTOR},
        {.role = WEIGHT_KERNEL, .dims = {OUT, IN, 5, 5}, .offset = VECTOR, .count = KERNEL},
        {.role = WEIGHT_BIAS, .dims = {VECTOR, 1, 1, 1}, .offset = VECTOR + KERNEL, .count = VECTOR}};
    const struct weight_table table = {.count = 3, .tensors = tensors, .total = TOTAL};
    struct device *device = NULL;
    struct device_weights *weights = NULL;
    struct error err;
    float *values = malloc(TOTAL * sizeof(*values)), *back = malloc(TOTAL * sizeof(*back));
    assert_true(values != NULL && back != NULL && KERNEL * sizeof(*values) > CUDA_STAGING);
    for (size_t i = 0; i < TOTAL; i++)
        values[i] = (float)i;
    assert_int_equal(cuda_device_ops.open(&(struct device_options){0}, &device, &err), ST_OK);
    assert_int_equal(cuda_device_ops.weights_new(device, &table, 1, &weights, &err), ST_OK);
    assert_int_equal(cuda_device_ops.weights_upload(device, weights, SLOT_VALUE, values, &err), ST_OK);
    struct masters masters = {weights, 0};
    emu_look(count_wrong, &masters);
    assert_int_equal(masters.wrong, 0);
    assert_int_equal(cuda_device_ops.weights_download(device, weights, SLOT_VALUE, back, &err), ST_OK);
    assert_memory_equal(back, values, TOTAL * sizeof(*values));
    cuda_device_ops.weights_free(device, weights);
    cuda_device_ops.close(device);
    free(values);
    free(back);
}

static void absent_devices(void **state)
{
    (void)state;
    static const struct {
        int devices, driver;
        const char *message;
    } cases[] = {
        {0, CUDART_VERSION, "the NVIDIA driver shows no GPU (is CUDA_VISIBLE_DEVICES set?)"},
        {0, 0, "no NVIDIA driver on this machine"},
        {0, 12020, "the NVIDIA driver supports CUDA 12.2, expected at least "},
    };
    const struct device_plugin *plugin = nasrun_device_plugin();
    const struct device_options second = {.index = 1};
    struct device *device = NULL;
    struct device_info info;
    struct error err;
    int32_t count = 0;
    assert_int_equal(plugin->version, DEVICE_INTERFACE_VERSION);
    assert_int_equal(plugin->count(&count, &err), ST_OK);
    assert_int_equal(count, 1);
    const uint64_t calls = emu_count.calls;
    assert_int_equal(plugin->describe(0, &info, &err), ST_OK);
    assert_string_equal(info.library, "cuda");
    assert_non_null(strstr(info.versions, ", cuDNN 9."));
    assert_int_equal(emu_count.calls - calls, 1); /* for its properties: none that makes a context */
    assert_true(info.memory_total == emu.memory);
    assert_string_equal(info.name, "cuda:0 emulated GPU, compute capability 9.0, bf16");
    assert_int_equal(plugin->ops->open(&second, &device, &err), ST_RANGE);
    assert_string_equal(err.message, "cuda device 1, expected 0 to 0");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        emu.devices = cases[i].devices;
        emu.driver = cases[i].driver;
        assert_int_equal(plugin->count(&count, &err), ST_DEVICE);
        assert_memory_equal(err.message, cases[i].message, strlen(cases[i].message));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(weights_are_exact, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(remap_agrees, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(kernels_go_in_pieces, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(absent_devices, emu_test_begin, emu_test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
