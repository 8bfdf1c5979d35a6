/* Weight tables and their beginning. */
#include "host/net/graph.h"
#include "host/net/start.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* input 4 x 6 x 5, grouped conv with bias, batch norm, dense over the planes */
static void make(struct graph *graph)
{
    struct error err;
    struct layer conv = {.kind = LAYER_CONV,
                         .input_count = 1,
                         .out_channels = 6,
                         .kernel_h = 3,
                         .kernel_w = 5,
                         .stride = 1,
                         .pad_h = 1,
                         .pad_w = 2,
                         .groups = 2,
                         .bias = true};
    struct layer norm = {.kind = LAYER_BATCH_NORM, .input_count = 1, .inputs = {1}};
    struct layer dense = {.kind = LAYER_DENSE, .input_count = 1, .inputs = {2}, .out_channels = 3};
    assert_int_equal(graph_new(graph, 4, 6, 5, &err), ST_OK);
    assert_int_equal(graph_append(graph, conv, NULL, &err), ST_OK);
    assert_int_equal(graph_append(graph, norm, NULL, &err), ST_OK);
    assert_int_equal(graph_append(graph, dense, NULL, &err), ST_OK);
    assert_int_equal(graph_infer(graph, &err), ST_OK);
}

static void test_table(void **state)
{
    (void)state;
    static const struct {
        uint32_t id;
        enum weight_role role;
        int32_t dims[4];
        const char *name;
        bool trained;
    } expected[] = {
        {1, WEIGHT_KERNEL, {6, 2, 3, 5}, "weight", true},
        {1, WEIGHT_BIAS, {6, 1, 1, 1}, "bias", true},
        {2, WEIGHT_SCALE, {6, 1, 1, 1}, "weight", true},
        {2, WEIGHT_SHIFT, {6, 1, 1, 1}, "bias", true},
        {2, WEIGHT_RUNNING_MEAN, {6, 1, 1, 1}, "running_mean", false},
        {2, WEIGHT_RUNNING_VAR, {6, 1, 1, 1}, "running_var", false},
        {3, WEIGHT_KERNEL, {3, 6, 6, 5}, "weight", true},
    };
    struct graph graph;
    struct weight_table table;
    struct error err;
    make(&graph);
    assert_int_equal(weight_table_new(&table, &graph, &err), ST_OK);
    assert_int_equal(table.count, 7);
    size_t end = 0;
    for (int32_t t = 0; t < table.count; t++) {
        const struct weight_tensor *tensor = &table.tensors[t];
        assert_int_equal(tensor->layer_id, expected[t].id);
        assert_int_equal(tensor->layer, expected[t].id);
        assert_int_equal(tensor->role, expected[t].role);
        assert_memory_equal(tensor->dims, expected[t].dims, sizeof(tensor->dims));
        assert_int_equal(tensor->count,
                         tensor->dims[0] * tensor->dims[1] * tensor->dims[2] * tensor->dims[3]);
        assert_int_equal(tensor->offset % 16, 0);
        assert_true(tensor->offset >= end && tensor->offset < end + 16);
        end = tensor->offset + tensor->count;
        assert_string_equal(weight_role_name(tensor->role), expected[t].name);
        assert_int_equal(tensor->trained, expected[t].trained);
        assert_int_equal(weight_find(&table, expected[t].id, expected[t].role), t);
    }
    assert_true(table.total >= end);
    assert_int_equal(weight_find(&table, 3, WEIGHT_BIAS), -1);
    assert_int_equal(weight_find(&table, 9, WEIGHT_KERNEL), -1);
    weight_table_free(&table);
    weight_table_free(&table); /* a zeroed table */
    graph_free(&graph);
}

/* Constants where constants are due, zeros in the gaps, one seed one result. */
static void test_initialise(void **state)
{
    (void)state;
    struct graph graph;
    struct weight_table table;
    struct error err;
    make(&graph);
    assert_int_equal(weight_table_new(&table, &graph, &err), ST_OK);
    size_t bytes = table.total * sizeof(float);
    float *a = malloc(bytes), *b = malloc(bytes), *c = malloc(bytes);
    assert_true(a != NULL && b != NULL && c != NULL);
    memset(a, 0xff, bytes); /* NaN: whatever is not written shows */
    weight_initialise(&table, &graph, 5, NULL, a);
    weight_initialise(&table, &graph, 5, NULL, b);
    weight_initialise(&table, &graph, 6, NULL, c);
    assert_memory_equal(a, b, bytes);
    for (int32_t t = 0; t < table.count; t++) {
        const struct weight_tensor *tensor = &table.tensors[t];
        size_t end = t + 1 < table.count ? table.tensors[t + 1].offset : table.total;
        for (size_t i = tensor->offset; i < end; i++) {
            bool gap = i >= tensor->offset + tensor->count;
            bool one = tensor->role == WEIGHT_SCALE || tensor->role == WEIGHT_RUNNING_VAR;
            if (tensor->role == WEIGHT_KERNEL && !gap)
                assert_true(a[i] != 0.0f && a[i] != c[i] && isfinite(a[i]));
            else
                assert_true(a[i] == (one && !gap ? 1.0f : 0.0f));
        }
    }
    free(a);
    free(b);
    free(c);
    weight_table_free(&table);
    graph_free(&graph);
}

/* Trained kernels shrink and get some of the fresh ones; all else stays. */
static void test_shrink(void **state)
{
    (void)state;
    struct graph graph;
    struct weight_table table;
    struct error err;
    make(&graph);
    assert_int_equal(weight_table_new(&table, &graph, &err), ST_OK);
    float *before = malloc(table.total * sizeof(float)), *fresh = malloc(table.total * sizeof(float)),
          *after = malloc(table.total * sizeof(float));
    assert_true(before != NULL && fresh != NULL && after != NULL);
    for (size_t i = 0; i < table.total; i++)
        before[i] = after[i] = (float)(i % 97) - 48.0f;
    weight_initialise(&table, &graph, 6, NULL, fresh);
    weight_shrink(&table, fresh, 0.5, 0.25, after);
    int shrunk = 0;
    for (int32_t t = 0; t < table.count; t++) {
        const struct weight_tensor *tensor = &table.tensors[t];
        const bool is_kernel = tensor->role == WEIGHT_KERNEL && tensor->trained;
        shrunk += is_kernel;
        for (size_t i = tensor->offset; i < tensor->offset + tensor->count; i++)
            assert_true(fabsf(after[i] - (is_kernel ? 0.5f * before[i] + 0.25f * fresh[i] : before[i])) <
                        1e-5f);
    }
    assert_true(shrunk > 1);
    free(after);
    free(fresh);
    free(before);
    weight_table_free(&table);
    graph_free(&graph);
}

/* Mean and variance within five standard errors, for the kernels of a real network. */
static void test_variance(void **state)
{
    (void)state;
    struct graph graph;
    struct weight_table table;
    struct error err;
    assert_int_equal(start_make(&graph, "cnn", 0, (struct shape){0, 3, 32, 32}, 10, &err), ST_OK);
    assert_int_equal(weight_table_new(&table, &graph, &err), ST_OK);
    float *values = malloc(table.total * sizeof(*values));
    assert_non_null(values);
    weight_initialise(&table, &graph, 11, NULL, values);
    int kernels = 0;
    for (int32_t t = 0; t < table.count; t++) {
        const struct weight_tensor *tensor = &table.tensors[t];
        if (tensor->role != WEIGHT_KERNEL)
            continue;
        kernels++;
        double n = (double)tensor->count, sum = 0.0, square = 0.0;
        for (size_t i = 0; i < tensor->count; i++) {
            sum += values[tensor->offset + i];
            square += (double)values[tensor->offset + i] * values[tensor->offset + i];
        }
        double fan_in = n / tensor->dims[0];
        double expected = (tensor->layer == graph.count - 1 ? 1.0 : 2.0) / fan_in;
        assert_true(fabs(sum / n) <= 5.0 * sqrt(expected / n));
        assert_true(fabs(square / n - expected) <= 5.0 * expected * sqrt(2.0 / n));
    }
    assert_int_equal(kernels, 5);
    free(values);
    weight_table_free(&table);
    graph_free(&graph);
}

/* A residual branch begins at zero, where something goes around it: ResNet's blocks that change the shape have a batch
 * norm on both ways. Frozen scales are 1 there, too. */
static void test_branches_begin_at_zero(void **state)
{
    static const struct {
        const char *start;
        int32_t zero;
    } rows[] = {{"resnet", 5}, {"air_deep", 0}, {"res9", 0}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct graph graph;
        struct weight_table table;
        struct error err;
        int32_t zero = 0;
        assert_int_equal(start_make(&graph, rows[i].start, 8, (struct shape){0, 3, 32, 32}, 10, &err), ST_OK);
        assert_int_equal(weight_table_new(&table, &graph, &err), ST_OK);
        float *values = malloc(table.total * sizeof(*values));
        assert_non_null(values);
        weight_initialise(&table, &graph, 11, NULL, values);
        for (int32_t t = 0; t < table.count; t++) {
            const struct weight_tensor *tensor = &table.tensors[t];
            if (tensor->role != WEIGHT_SCALE)
                continue;
            const float first = values[tensor->offset];
            assert_true(first == 0.0f || first == 1.0f);
            for (size_t k = 0; k < tensor->count; k++)
                assert_true(values[tensor->offset + k] == first);
            zero += first == 0.0f;
        }
        assert_int_equal(zero, rows[i].zero);
        free(values);
        weight_table_free(&table);
        graph_free(&graph);
    }
}

/* A layer's weights depend on its id, not on where it stands. */
static void test_index_does_not_count(void **state)
{
    (void)state;
    struct graph graph;
    struct weight_table before, after;
    struct error err;
    make(&graph);
    assert_int_equal(weight_table_new(&before, &graph, &err), ST_OK);
    float *a = malloc(before.total * sizeof(*a));
    assert_non_null(a);
    weight_initialise(&before, &graph, 3, NULL, a);
    struct layer norm = {.kind = LAYER_BATCH_NORM, .input_count = 1};
    assert_int_equal(graph_insert(&graph, 1, norm, &err), ST_OK);
    graph.layers[2].inputs[0] = 1;
    assert_int_equal(graph_infer(&graph, &err), ST_OK);
    assert_int_equal(weight_table_new(&after, &graph, &err), ST_OK);
    float *b = malloc(after.total * sizeof(*b));
    assert_non_null(b);
    weight_initialise(&after, &graph, 3, NULL, b);
    const uint32_t ids[] = {1, 3};
    for (int i = 0; i < 2; i++) {
        const struct weight_tensor *x = &before.tensors[weight_find(&before, ids[i], WEIGHT_KERNEL)];
        const struct weight_tensor *y = &after.tensors[weight_find(&after, ids[i], WEIGHT_KERNEL)];
        assert_int_not_equal(x->offset, y->offset);
        assert_memory_equal(a + x->offset, b + y->offset, x->count * sizeof(*a));
    }
    free(a);
    free(b);
    weight_table_free(&before);
    weight_table_free(&after);
    graph_free(&graph);
}

/* ---- other beginnings ---- */

/* input `in` x 4 x 4, one convolution, dense; the kernel of fresh weights of seed 1, malloc'd. */
static float *fresh_kernel(struct layer conv, int32_t in, const struct whitening *whitening, size_t *count)
{
    struct graph graph;
    struct weight_table table;
    struct error err;
    conv.kind = LAYER_CONV;
    conv.input_count = conv.stride = 1;
    struct layer dense = {.kind = LAYER_DENSE, .input_count = 1, .inputs = {1}, .out_channels = 3};
    assert_int_equal(graph_new(&graph, in, 4, 4, &err), ST_OK);
    assert_int_equal(graph_append(&graph, conv, NULL, &err), ST_OK);
    assert_int_equal(graph_append(&graph, dense, NULL, &err), ST_OK);
    assert_int_equal(graph_infer(&graph, &err), ST_OK);
    assert_int_equal(weight_table_new(&table, &graph, &err), ST_OK);
    float *values = malloc(table.total * sizeof(*values));
    assert_non_null(values);
    weight_initialise(&table, &graph, 1, whitening, values);
    const struct weight_tensor *kernel = &table.tensors[weight_find(&table, 1, WEIGHT_KERNEL)];
    *count = kernel->count;
    memmove(values, values + kernel->offset, kernel->count * sizeof(*values));
    weight_table_free(&table);
    graph_free(&graph);
    return values;
}

/* Output k is input k of its group, as far as there are inputs; further outputs have PyTorch's variance. The centre of
 * an even kernel is the upper of the two, as PyTorch has it. */
static void test_dirac(void **state)
{
    (void)state;
    static const struct {
        int32_t in, out, groups, kernel_h, kernel_w, centre;
    } cases[] = {{4, 8, 1, 3, 3, 4}, {6, 6, 1, 3, 5, 7}, {8, 3, 1, 1, 1, 0}, {4, 200, 1, 3, 3, 4},
                 {2, 2, 1, 2, 4, 6}, {4, 8, 2, 3, 3, 4}, {6, 6, 6, 3, 3, 4}, {6, 4, 2, 1, 3, 1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const int32_t in = cases[i].in / cases[i].groups, out = cases[i].out;
        const int32_t rows = out / cases[i].groups; /* of a group */
        const int32_t taps = cases[i].kernel_h * cases[i].kernel_w, same = in < rows ? in : rows;
        const double variance = 1.0 / (3.0 * in * taps);
        struct layer conv = {.out_channels = out,
                             .kernel_h = cases[i].kernel_h,
                             .kernel_w = cases[i].kernel_w,
                             .pad_h = 1,
                             .pad_w = cases[i].kernel_w / 2,
                             .groups = cases[i].groups,
                             .init = LAYER_INIT_DIRAC};
        if (conv.kernel_h == 1)
            conv.pad_h = 0;
        size_t count;
        float *kernel = fresh_kernel(conv, cases[i].in, NULL, &count);
        assert_int_equal(count, out * in * taps);
        double square = 0.0;
        for (int32_t k = 0; k < out; k++)
            for (int32_t c = 0; c < in; c++)
                for (int32_t t = 0; t < taps; t++) {
                    const float value = kernel[(k * in + c) * taps + t];
                    if (k % rows < same)
                        assert_true(value == (c == k % rows && t == cases[i].centre ? 1.0f : 0.0f));
                    else
                        assert_true(value != 0.0f);
                    square += k % rows < same ? 0.0 : pow((double)value, 2);
                }
        const double n = (double)(rows - same) * cases[i].groups * in * taps;
        if (n > 0.0)
            assert_true(fabs(square / n - variance) <= 5.0 * variance * sqrt(2.0 / n));
        free(kernel);
    }
}

static void test_whitening(void **state)
{
    (void)state;
    struct whitening whitening = {.channels = 3};
    struct layer conv = {.out_channels = 24, .kernel_h = 2, .kernel_w = 2, .groups = 1};
    size_t count;
    for (size_t i = 0; i < 24 * 12; i++)
        whitening.filters[i] = (float)i;
    float *he = fresh_kernel(conv, 3, &whitening, &count);
    assert_int_equal(count, 24 * 12);
    assert_true(he[0] != 0.0f && he[7] != 7.0f);

    conv.init = LAYER_INIT_WHITEN;
    conv.frozen = true;
    float *white = fresh_kernel(conv, 3, &whitening, &count);
    assert_memory_equal(white, whitening.filters, count * sizeof(*white));
    free(white);
    /* Unknown, of other images, of another kernel: as He et al. */
    const struct whitening unknown = {0}, grey = {.channels = 1};
    const struct whitening *const others[] = {NULL, &unknown, &grey};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        float *kernel = fresh_kernel(conv, 3, others[i], &count);
        assert_memory_equal(kernel, he, count * sizeof(*kernel));
        free(kernel);
    }
    free(he);
    static const int32_t shapes[][3] = {{23, 2, 2}, {24, 3, 2}, {24, 2, 1}};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct layer other = conv;
        other.out_channels = shapes[i][0];
        other.kernel_h = shapes[i][1];
        other.kernel_w = shapes[i][2];
        float *kernel = fresh_kernel(other, 3, &whitening, &count);
        other.init = LAYER_INIT_HE;
        float *expected = fresh_kernel(other, 3, &whitening, &count);
        assert_memory_equal(kernel, expected, count * sizeof(*kernel));
        free(kernel);
        free(expected);
    }
}

/* Kernels that Muon makes orthogonal are one matrix, and don't read the image. */
static void test_hidden(void **state)
{
    (void)state;
    static const int32_t groups[] = {1, 1, 2, 8, 1};
    static const bool hidden[] = {false, true, false, false, true};
    enum { CONVS = sizeof(groups) / sizeof(groups[0]) };
    struct graph graph;
    struct weight_table table;
    struct error err;
    assert_int_equal(graph_new(&graph, 3, 6, 6, &err), ST_OK);
    for (int32_t i = 0; i < CONVS; i++) {
        const struct layer conv = {.kind = LAYER_CONV,
                                   .input_count = 1,
                                   .inputs = {i},
                                   .out_channels = 8,
                                   .kernel_h = 3,
                                   .kernel_w = 3,
                                   .stride = 1,
                                   .pad_h = 1,
                                   .pad_w = 1,
                                   .groups = groups[i],
                                   .bias = true};
        assert_int_equal(graph_append(&graph, conv, NULL, &err), ST_OK);
    }
    const struct layer dense = {
        .kind = LAYER_DENSE, .input_count = 1, .inputs = {CONVS}, .out_channels = 3, .bias = true};
    assert_int_equal(graph_append(&graph, dense, NULL, &err), ST_OK);
    assert_int_equal(graph_infer(&graph, &err), ST_OK);
    assert_int_equal(weight_table_new(&table, &graph, &err), ST_OK);
    for (int32_t t = 0; t < table.count; t++) {
        const struct weight_tensor *tensor = &table.tensors[t];
        const bool kernel = tensor->role == WEIGHT_KERNEL && tensor->layer <= CONVS;
        assert_int_equal(tensor->hidden, kernel && hidden[tensor->layer - 1]);
    }
    weight_table_free(&table);
    graph_free(&graph);
}

/* What is frozen is not trained; what stands beside it is. */
static void test_frozen(void **state)
{
    (void)state;
    struct graph graph;
    struct weight_table table;
    struct error err;
    make(&graph);
    assert_true(layer_is_trained(&graph.layers[1]) && layer_is_trained(&graph.layers[3]));
    assert_false(layer_is_trained(&graph.layers[0]));
    graph.layers[1].frozen = graph.layers[2].frozen = true;
    graph.layers[1].bias = false;
    assert_int_equal(graph_infer(&graph, &err), ST_OK);
    assert_false(layer_is_trained(&graph.layers[1]));
    assert_true(layer_is_trained(&graph.layers[2]));
    assert_int_equal(weight_table_new(&table, &graph, &err), ST_OK);
    assert_int_equal(table.count, 6);
    for (int32_t t = 0; t < table.count; t++) {
        const struct weight_tensor *tensor = &table.tensors[t];
        assert_int_equal(tensor->trained, tensor->role == WEIGHT_SHIFT || tensor->layer == 3);
        assert_int_equal(weight_is_statistic(tensor->role),
                         tensor->role == WEIGHT_RUNNING_MEAN || tensor->role == WEIGHT_RUNNING_VAR);
    }
    weight_table_free(&table);
    graph_free(&graph);
}

/* Weights of a layer with a gain begin so many times as large, its bias at 0 as ever. */
static void test_gain(void **state)
{
    (void)state;
    struct graph graph;
    struct error err;
    float *values[2];
    size_t total = 0;
    make(&graph);
    for (int i = 0; i < 2; i++) {
        struct weight_table table;
        graph.layers[3].gain = i == 0 ? 1.0f : 0.25f;
        graph.layers[3].bias = true;
        for (int32_t l = 1; l < 3; l++)
            graph.layers[l].pace = 0.5f;
        assert_int_equal(graph_infer(&graph, &err), ST_OK);
        assert_int_equal(weight_table_new(&table, &graph, &err), ST_OK);
        total = table.total;
        values[i] = malloc(total * sizeof(*values[i]));
        assert_non_null(values[i]);
        weight_initialise(&table, &graph, 5, NULL, values[i]);
        for (int32_t t = 0; t < table.count; t++)
            assert_true(table.tensors[t].gain == (table.tensors[t].layer == 3 ? graph.layers[3].gain : 1.0f));
        for (int32_t t = 0; t < table.count; t++)
            assert_true(table.tensors[t].rate == (table.tensors[t].layer < 3 ? 0.5f
                                                  : i == 0                   ? 1.0f
                                                                             : 0.0625f));
        if (i == 1)
            for (int32_t t = 0; t < table.count; t++)
                for (size_t k = 0; k < table.tensors[t].count; k++) {
                    const size_t at = table.tensors[t].offset + k;
                    assert_true(values[1][at] == table.tensors[t].gain * values[0][at]);
                }
        weight_table_free(&table);
    }
    free(values[0]);
    free(values[1]);
    graph_free(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_initialise),
        cmocka_unit_test(test_variance),
        cmocka_unit_test(test_branches_begin_at_zero),
        cmocka_unit_test(test_index_does_not_count),
        cmocka_unit_test(test_dirac),
        cmocka_unit_test(test_whitening),
        cmocka_unit_test(test_hidden),
        cmocka_unit_test(test_shrink),
        cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_gain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
