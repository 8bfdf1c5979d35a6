/* Linear algebra: factors and eigenvectors put together again, known matrices, what has no factor. */
#include "host/base/matrix.h"
#include "host/base/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Around the sizes of panels and tiles. */
static const int32_t sizes[] = {1, 2, 3, 4, 5, 8, 12, 31, 32, 33, 35, 36, 44, 45, 64, 65, 97, 150};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]), MOST = 150 };

/* A matrix with the values v of a random product of `rank` columns, symmetric. */
static void draw(double *a, int32_t n, int32_t rank)
{
    struct random_sequence random = {.seed = 7, .stream = RANDOM_TEST, .part = (uint32_t)n};
    double *half = malloc((size_t)n * (size_t)rank * sizeof(*half));
    assert_non_null(half);
    for (int32_t i = 0; i < n * rank; i++)
        half[i] = 2.0 * (double)random_next_unit(&random) - 1.0;
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < n; j++) {
            a[j * n + i] = 0.0;
            for (int32_t k = 0; k < rank; k++)
                a[j * n + i] += half[i * rank + k] * half[j * rank + k];
        }
    free(half);
}

/* L L^T is the matrix, what is above the diagonal stays as it was, and both solutions are L's. */
static void test_cholesky(void **state)
{
    (void)state;
    static double a[MOST * MOST], factor[MOST * MOST], x[MOST], solved[MOST];
    for (int32_t s = 0; s < SIZES; s++) {
        const int32_t n = sizes[s];
        draw(a, n, n + 5);
        memcpy(factor, a, sizeof(factor));
        assert_true(matrix_cholesky(factor, n));
        for (int32_t i = 0; i < n; i++)
            for (int32_t j = 0; j < n; j++) {
                double sum = 0.0;
                for (int32_t k = 0; k <= (i < j ? i : j); k++)
                    sum += factor[k * n + i] * factor[k * n + j];
                assert_true(fabs(sum - a[j * n + i]) <= 1e-13 * n);
                if (i < j)
                    assert_true(factor[j * n + i] == a[j * n + i]);
            }
        for (int32_t i = 0; i < n; i++)
            solved[i] = x[i] = 1.0 + i % 3;
        matrix_solve_lower(factor, n, solved);
        for (int32_t i = 0; i < n; i++) {
            double sum = 0.0;
            for (int32_t k = 0; k <= i; k++)
                sum += factor[k * n + i] * solved[k];
            assert_true(fabs(sum - x[i]) <= 1e-10);
        }
        memcpy(solved, x, sizeof(solved));
        matrix_solve_lower_transposed(factor, n, solved);
        for (int32_t i = 0; i < n; i++)
            assert_true(fabs(matrix_dot(factor + i * n + i, solved + i, n - i) - x[i]) <= 1e-9);
    }
}

/* Indefinite in the last row of each size, and not a number or infinite anywhere on the diagonal. */
static void test_no_factor(void **state)
{
    (void)state;
    static double a[MOST * MOST];
    for (int32_t s = 0; s < SIZES; s++) {
        const int32_t n = sizes[s];
        const double spoilt[] = {-1.0, 0.0, NAN, INFINITY};
        for (int32_t k = 0; k < 4; k++) {
            draw(a, n, n + 5);
            for (int32_t i = 0; k < 2 && i < n; i++)
                a[i * n + n - 1] = 0.0;
            a[(n - 1) * n + n - 1] = spoilt[k];
            assert_false(matrix_cholesky(a, n));
        }
    }
}

/* The matrix times each vector is its value times the vector; the vectors are of length 1 and at right angles; also
 * where most values are 0, and where all are the same. */
static void test_eigen(void **state)
{
    (void)state;
    static double a[MOST * MOST], work[MOST * MOST], vectors[MOST * MOST], values[MOST];
    for (int32_t s = 0; s < SIZES; s++)
        for (int32_t kind = 0; kind < 3; kind++) {
            const int32_t n = sizes[s];
            draw(a, n, kind == 1 ? 1 + n / 3 : n + 5);
            for (int32_t i = 0; kind == 2 && i < n * n; i++)
                a[i] = i % (n + 1) == 0 ? 2.5 : 0.0;
            memcpy(work, a, sizeof(work));
            assert_true(matrix_eigen(work, n, values, vectors));
            for (int32_t k = 0; k < n; k++) {
                const double *vector = vectors + k * n;
                assert_true(k == 0 || values[k] >= values[k - 1]);
                for (int32_t i = 0; i < n; i++)
                    assert_true(fabs(matrix_dot(a + i * n, vector, n) - values[k] * vector[i]) <= 1e-12 * n);
                for (int32_t l = 0; l <= k; l++)
                    assert_true(fabs(matrix_dot(vector, vectors + l * n, n) - (k == l)) <= 1e-13 * n);
            }
        }
    memcpy(a, (double[]){2, 1, 1, 2}, 4 * sizeof(*a));
    assert_true(matrix_eigen(a, 2, values, vectors));
    assert_true(fabs(values[0] - 1.0) <= 1e-15 && fabs(values[1] - 3.0) <= 1e-15);
    a[1] = NAN;
    assert_false(matrix_eigen(a, 2, values, vectors));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cholesky), cmocka_unit_test(test_no_factor),
                                       cmocka_unit_test(test_eigen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
