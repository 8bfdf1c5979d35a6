#include "tests/support/device_orthogonal.h"

#include "host/base/matrix.h"
#include "host/base/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

const struct orthogonal_kernel orthogonal_kernels[] = {
    {24, 16, 3}, {150, 9, 1}, {64, 64, 1}, {13, 5, 3},    {7, 3, 1},
    {1, 1, 1},   {1, 4, 2},   {9, 1, 1},   {140, 300, 1}, {270, 131, 1},
};
const int32_t orthogonal_kernel_count = sizeof(orthogonal_kernels) / sizeof(orthogonal_kernels[0]);

/* Five steps take everything from 0.02 to 1 to between these. */
static const double LEAST = 0.68, MOST = 1.21;

static void make_graph(struct graph *graph, const struct orthogonal_kernel *kernel)
{
    struct error err;
    struct layer first = {
        .kind = LAYER_CONV, .input_count = 1, .out_channels = kernel->in, .kernel_h = 1, .kernel_w = 1};
    struct layer second = {.kind = LAYER_CONV, .input_count = 1, .inputs = {1}, .out_channels = kernel->out};
    struct layer dense = {.kind = LAYER_DENSE, .input_count = 1, .inputs = {2}, .out_channels = 2};
    second.kernel_h = second.kernel_w = kernel->side;
    first.stride = first.groups = second.stride = second.groups = dense.stride = dense.groups = 1;
    assert_int_equal(graph_new(graph, 1, 4, 4, &err), ST_OK);
    if (graph_append(graph, first, NULL, &err) != ST_OK || graph_append(graph, second, NULL, &err) != ST_OK ||
        graph_append(graph, dense, NULL, &err) != ST_OK || graph_infer(graph, &err) != ST_OK)
        fail_msg("%s", err.message);
}

/* Even noise, and twice as much on the diagonal as its largest singular value. */
static void draw_gradient(size_t rows, size_t columns, float *gradient)
{
    struct random_sequence random = {.seed = 1, .stream = RANDOM_TEST, .part = 5};
    const float diagonal = 4.0f * sqrtf((float)(rows > columns ? rows : columns));
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            gradient[i * columns + j] = 0.001f * ((float)random_next_below(&random, 2001) * 0.001f - 1.0f +
                                                  (i == j ? diagonal : 0.0f));
}

/* [side][side]: a b^T, or a^T b for tall matrices. The caller frees. */
static double *gram(const float *a, const float *b, size_t rows, size_t columns)
{
    const bool wide = rows <= columns;
    const size_t side = wide ? rows : columns, terms = wide ? columns : rows;
    double *product = calloc(side * side, sizeof(*product));
    assert_non_null(product);
    for (size_t i = 0; i < side; i++)
        for (size_t j = 0; j < side; j++)
            for (size_t k = 0; k < terms; k++)
                product[i * side + j] += wide ? (double)a[i * columns + k] * (double)b[j * columns + k]
                                              : (double)a[k * columns + i] * (double)b[k * columns + j];
    return product;
}

static void demand_singular_values(const float *x, size_t rows, size_t columns, double slack)
{
    const size_t side = rows <= columns ? rows : columns;
    double *squares = gram(x, x, rows, columns), *values = malloc(side * sizeof(*values)),
           *vectors = malloc(side * side * sizeof(*vectors));
    assert_non_null(values);
    assert_non_null(vectors);
    assert_true(matrix_eigen(squares, (int32_t)side, values, vectors));
    for (size_t i = 0; i < side; i++)
        if (!(sqrt(values[i]) >= LEAST - slack && sqrt(values[i]) <= MOST + slack))
            fail_msg("%zu x %zu: singular value %zu is %g, expected %g to %g", rows, columns, i,
                     sqrt(values[i]), LEAST, MOST);
    free(vectors);
    free(values);
    free(squares);
}

/* With the gradient's singular vectors, and of its sign: X G^T is symmetric and its trace positive. */
static void demand_same_vectors(const float *x, const float *gradient, size_t rows, size_t columns,
                                double slack)
{
    const size_t side = rows <= columns ? rows : columns;
    double *product = gram(x, gradient, rows, columns), trace = 0;
    for (size_t i = 0; i < side; i++)
        trace += product[i * side + i];
    assert_true(trace > 0);
    for (size_t i = 0; i < side; i++)
        for (size_t j = 0; j < i; j++)
            if (!(fabs(product[i * side + j] - product[j * side + i]) <= slack * trace))
                fail_msg("%zu x %zu: (%zu, %zu) is %g, mirrored %g", rows, columns, i, j,
                         product[i * side + j], product[j * side + i]);
    free(product);
}

float *device_orthogonal_check(const struct device_ops *ops, const struct device_options *options,
                               const struct orthogonal_kernel *kernel, bool untidy)
{
    const struct lower_options lowered = {
        .purpose = PROG_TRAIN, .batch = 1, .orthogonalise = true, .batch_norm_momentum = 0.1f};
    const struct step step = {.valid = 1};
    struct graph graph = {0};
    struct device_session session;
    make_graph(&graph, kernel);
    session_open_on(&session, ops, options, &graph, &lowered, 1, 1);
    const int32_t at = session_find_op(&session, PROG_OP_ORTHOGONALISE, 0);
    const int32_t gradient = session.program.ops[at].inputs[ORTHOGONALISE_IN_DKERNEL];
    const size_t rows = (size_t)kernel->out,
                 columns = (size_t)kernel->in * (size_t)kernel->side * (size_t)kernel->side;
    float *values = malloc(rows * columns * sizeof(*values));
    assert_non_null(values);
    draw_gradient(rows, columns, values);
    session_write(&session, gradient, values);
    session_run_op(&session, at, &step);
    float *update = session_read(&session, session.program.ops[at].outputs[ORTHOGONALISE_OUT_UPDATE]);
    demand_singular_values(update, rows, columns, untidy ? 0.02 : 1e-4);
    demand_same_vectors(update, values, rows, columns, untidy ? 2e-2 : 1e-4);
    assert_int_equal(session_find_op(&session, PROG_OP_ORTHOGONALISE, 1), -1);
    free(values);
    session_close(&session);
    graph_free(&graph);
    return update;
}
