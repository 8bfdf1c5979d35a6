/* For tests of the CPU's kernels: random shapes, guarded tensors in the blocked layout, and comparisons. */
#ifndef NASRUN_TESTS_KERNEL_CASE_H
#define NASRUN_TESTS_KERNEL_CASE_H

#include "host/cpu/kernels.h"

#include <float.h>

/* The shape of case `index`: small, channels seldom a multiple of the block, both blocks, sometimes a single
 * image or pixel. */
struct cpu_shape kernel_case_shape(int32_t index);

/* Random number `element` of case `index`, in [-1, 1), or a whole number in [0, n). */
float kernel_case_unit(int32_t index, uint32_t stream, size_t element);
int32_t kernel_case_below(int32_t index, uint32_t stream, size_t element, int32_t n);

/* `bytes` of memory on a 64 byte boundary, all NaN when read as floats, with a guard behind it that
 * kernel_free checks. kernel_zeros: zeros instead of NaN. */
void *kernel_alloc(size_t bytes);
void *kernel_zeros(size_t bytes);
void kernel_free(void *memory);

/* A blocked tensor, poisoned; one with random values center + [-1, 1) * width and zeros in the padding. */
float *kernel_tensor(struct cpu_shape s);
float *kernel_random(struct cpu_shape s, int32_t index, uint32_t stream, float center, float width);
/* Random whole numbers -span .. span: sums of them are exact, and equals are frequent. */
float *kernel_whole(struct cpu_shape s, int32_t index, uint32_t stream, int32_t span);
/* `count` random floats, not padded. */
float *kernel_vector(int32_t count, int32_t index, uint32_t stream, float center, float width);

/* Element of an element in the blocked layout. */
size_t kernel_offset(struct cpu_shape s, int32_t n, int32_t c, int32_t h, int32_t w);

/* Fails unless every lane beyond the channels is exactly 0. */
void kernel_check_padding(struct cpu_shape s, const float *x, const char *what);
/* Fails unless |found - expected| <= tolerance (so NaN fails). */
void kernel_check_close(double found, double expected, double tolerance, const char *what, int32_t index,
                        size_t element);

#endif
