/* Linear algebra of small symmetric matrices in double precision, without a library: the same results on every machine,
 * no memory of its own, no threads. Matrices are n x n, column by column: element (i, j) is a[j * n + i]. */
#ifndef NASRUN_BASE_MATRIX_H
#define NASRUN_BASE_MATRIX_H

#include <stdbool.h>
#include <stdint.h>

/* Replaces the lower triangle, diagonal included, by the Cholesky factor L of the matrix L L^T that it was of; what is
 * above the diagonal is neither read nor written. False when the matrix is not positive definite, or not finite: the
 * triangle is spoilt then. (Golub, Van Loan, "Matrix computations", 4th ed., section 4.2.) */
bool matrix_cholesky(double *a, int32_t n);

/* x becomes L^-1 x, or L^-T x. */
void matrix_solve_lower(const double *factor, int32_t n, double *x);
void matrix_solve_lower_transposed(const double *factor, int32_t n, double *x);

double matrix_dot(const double *x, const double *y, int32_t n);

/* The eigenvalues of the symmetric matrix `a`, all of which is read and destroyed, in rising order, and their
 * eigenvectors of length 1: vectors[k * n ...] is value k's. By Jacobi's rotations (section 8.5 there), so that small
 * eigenvalues are as accurate as large ones; for tens of rows. False when the matrix is not finite. */
bool matrix_eigen(double *a, int32_t n, double *values, double *vectors);

#endif
