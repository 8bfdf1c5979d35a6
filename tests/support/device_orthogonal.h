/* Muon's orthogonalisation on any device, by what it is for: all singular values near 1, singular vectors those of the
 * gradient. */
#ifndef NASRUN_TESTS_SUPPORT_DEVICE_ORTHOGONAL_H
#define NASRUN_TESTS_SUPPORT_DEVICE_ORTHOGONAL_H

#include "tests/support/device_session.h"

/* A convolution's kernel, whose matrix is [out][in * side * side]. */
struct orthogonal_kernel {
    int32_t out, in, side;
};

/* Wide, tall, square, of odd sizes, of one value, larger than what is multiplied at once. */
extern const struct orthogonal_kernel orthogonal_kernels[];
extern const int32_t orthogonal_kernel_count;

/* The update of a kernel whose gradient has singular values between 0.02 and 1 times its norm; the caller frees. With
 * `untidy` what is multiplied is rounded as TF32. Fails the test unless it is orthogonal as far as five steps of the
 * iteration make it. */
float *device_orthogonal_check(const struct device_ops *ops, const struct device_options *options,
                               const struct orthogonal_kernel *kernel, bool untidy);

#endif
