#include "host/base/matrix.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* Columns are factored so many at a time; what is behind them takes their products in tiles, whose sums stay in
 * registers. */
enum { PANEL = 32, TILE_ROWS = 8, TILE_COLUMNS = 4 };

/* Of rotations, the most: ten are usual. */
enum { SWEEPS = 60 };

/* ---- Cholesky ---- */

/* Factors the columns first ... end - 1, from which all columns before `first` were taken away already. */
static bool factor_panel(double *a, size_t n, size_t first, size_t end)
{
    for (size_t j = first; j < end; j++) {
        double *column = a + j * n;
        for (size_t k = first; k < j; k++) {
            const double *before = a + k * n, times = before[j];
            for (size_t i = j; i < n; i++)
                column[i] -= times * before[i];
        }
        const double pivot = column[j];
        if (!(pivot > 0.0 && isfinite(pivot)))
            return false;
        const double root = sqrt(pivot);
        column[j] = root;
        for (size_t i = j + 1; i < n; i++)
            column[i] /= root;
    }
    return true;
}

/* Takes the panel's products away from a tile of whole size. */
static void take_tile(double *a, size_t n, size_t first, size_t end, size_t row, size_t column)
{
    double sums[TILE_COLUMNS][TILE_ROWS] = {{0}};
    for (size_t k = first; k < end; k++) {
        const double *left = a + k * n + row, *right = a + k * n + column;
        for (size_t j = 0; j < TILE_COLUMNS; j++)
            for (size_t i = 0; i < TILE_ROWS; i++)
                sums[j][i] += left[i] * right[j];
    }
    for (size_t j = 0; j < TILE_COLUMNS; j++)
        for (size_t i = 0; i < TILE_ROWS; i++)
            a[(column + j) * n + row + i] -= sums[j][i];
}

/* The same of one element. */
static void take_element(double *a, size_t n, size_t first, size_t end, size_t row, size_t column)
{
    double sum = 0.0;
    for (size_t k = first; k < end; k++)
        sum += a[k * n + row] * a[k * n + column];
    a[column * n + row] -= sum;
}

/* Takes the panel's products away from all that is behind it, on and below the diagonal. */
static void take_panel(double *a, size_t n, size_t first, size_t end)
{
    for (size_t column = end; column < n; column += TILE_COLUMNS) {
        const size_t columns = n - column < TILE_COLUMNS ? n - column : TILE_COLUMNS;
        size_t row = column + columns;
        for (size_t j = column; j < column + columns; j++)
            for (size_t i = j; i < row; i++)
                take_element(a, n, first, end, i, j);
        for (; row + TILE_ROWS <= n; row += TILE_ROWS)
            take_tile(a, n, first, end, row, column);
        for (; row < n; row++)
            for (size_t j = column; j < column + columns; j++)
                take_element(a, n, first, end, row, j);
    }
}

bool matrix_cholesky(double *a, int32_t n)
{
    const size_t count = (size_t)n;
    for (size_t first = 0; first < count; first += PANEL) {
        const size_t end = count - first < PANEL ? count : first + PANEL;
        if (!factor_panel(a, count, first, end))
            return false;
        take_panel(a, count, first, end);
    }
    return true;
}

void matrix_solve_lower(const double *factor, int32_t n, double *x)
{
    const size_t count = (size_t)n;
    for (size_t j = 0; j < count; j++) {
        const double *column = factor + j * count;
        x[j] /= column[j];
        for (size_t i = j + 1; i < count; i++)
            x[i] -= x[j] * column[i];
    }
}

void matrix_solve_lower_transposed(const double *factor, int32_t n, double *x)
{
    const size_t count = (size_t)n;
    for (size_t j = count; j-- > 0;) {
        const double *column = factor + j * count;
        x[j] = (x[j] - matrix_dot(column + j + 1, x + j + 1, (int32_t)(count - j - 1))) / column[j];
    }
}

double matrix_dot(const double *x, const double *y, int32_t n)
{
    double sum = 0.0;
    for (int32_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

/* ---- eigenvectors ---- */

/* Turns rows p and q of a matrix with n columns. Elements of a row are `step` apart. */
static void turn(double *p, double *q, size_t n, size_t step, double cosine, double sine)
{
    for (size_t i = 0; i < n * step; i += step) {
        const double x = p[i], y = q[i];
        p[i] = cosine * x - sine * y;
        q[i] = sine * x + cosine * y;
    }
}

/* Makes a[p][q] zero. */
static void rotate(double *a, double *vectors, size_t n, size_t p, size_t q)
{
    const double off = a[p * n + q], ratio = (a[q * n + q] - a[p * n + p]) / (2.0 * off);
    const double tangent = copysign(1.0, ratio) / (fabs(ratio) + hypot(1.0, ratio));
    const double cosine = 1.0 / hypot(1.0, tangent), sine = tangent * cosine;
    turn(a + p * n, a + q * n, n, 1, cosine, sine);
    turn(a + p, a + q, n, n, cosine, sine);
    a[p * n + q] = a[q * n + p] = 0.0;
    turn(vectors + p * n, vectors + q * n, n, 1, cosine, sine);
}

/* In rising order of the values. */
static void sort_eigen(double *values, double *vectors, size_t n)
{
    for (size_t k = 0; k + 1 < n; k++) {
        size_t least = k;
        for (size_t i = k + 1; i < n; i++)
            if (values[i] < values[least])
                least = i;
        const double value = values[k];
        values[k] = values[least];
        values[least] = value;
        for (size_t i = 0; least != k && i < n; i++) {
            const double element = vectors[k * n + i];
            vectors[k * n + i] = vectors[least * n + i];
            vectors[least * n + i] = element;
        }
    }
}

bool matrix_eigen(double *a, int32_t n, double *values, double *vectors)
{
    const size_t count = (size_t)n;
    bool turned = true;
    for (size_t i = 0; i < count * count; i++)
        if (!isfinite(a[i]))
            return false;
    memset(vectors, 0, count * count * sizeof(*vectors));
    for (size_t i = 0; i < count; i++)
        vectors[i * count + i] = 1.0;
    /* Each sweep squares what is off the diagonal; it ends when all of that is lost in rounding. */
    for (int sweep = 0; turned && sweep < SWEEPS; sweep++) {
        turned = false;
        for (size_t p = 0; p < count; p++)
            for (size_t q = p + 1; q < count; q++)
                if (fabs(a[p * count + q]) > 1e-16 * sqrt(fabs(a[p * count + p] * a[q * count + q]))) {
                    rotate(a, vectors, count, p, q);
                    turned = true;
                }
    }
    for (size_t i = 0; i < count; i++)
        values[i] = a[i * count + i];
    sort_eigen(values, vectors, count);
    return true;
}
