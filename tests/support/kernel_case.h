/* For tests of the CPU's kernels: random shapes, guarded tensors in the blocked layout, and comparisons. */
#ifndef NASRUN_TESTS_KERNEL_CASE_H
#define NASRUN_TESTS_KERNEL_CASE_H

#include "host/cpu/kernels.h"

#include <float.h>

/* A shape in the layout of its type; `block` 8 or 16 is of float32, bf16 has its own. */
struct cpu_shape kernel_shape(enum cpu_type type, int32_t n, int32_t c, int32_t h, int32_t w, int32_t block);
/* What windows over a tensor of that shape give. */
struct cpu_shape kernel_windowed(struct cpu_shape in, struct cpu_window k);
/* The shape of case `index`: small, channels seldom a multiple of the block, both blocks, sometimes a single
 * image or pixel. */
struct cpu_shape kernel_case_shape(enum cpu_type type, int32_t index);

/* Random number `element` of case `index`, in [-1, 1), or a whole number in [0, n). */
float kernel_case_unit(int32_t index, uint32_t stream, size_t element);
int32_t kernel_case_below(int32_t index, uint32_t stream, size_t element, int32_t n);

/* `bytes` of memory on a 64 byte boundary, all NaN when read as floats, with a guard behind it that
 * kernel_free checks. kernel_zeros: zeros instead of NaN. */
void *kernel_alloc(size_t bytes);
void *kernel_zeros(size_t bytes);
void kernel_free(void *memory);

/* A blocked tensor, poisoned; one with random values center + [-1, 1) * width and zeros in the padding. Both of the
 * shape's type, to which the values are rounded. */
void *kernel_tensor(struct cpu_shape s);
void *kernel_random(struct cpu_shape s, int32_t index, uint32_t stream, float center, float width);
/* Random whole numbers -span .. span, in bf16 at most 256, which it can tell apart: sums of them are exact in float,
 * and equals are frequent. */
void *kernel_whole(struct cpu_shape s, int32_t index, uint32_t stream, int32_t span);
/* `count` random floats, not padded. */
float *kernel_vector(int32_t count, int32_t index, uint32_t stream, float center, float width);

/* Element of an element in the blocked layout. */
size_t kernel_offset(struct cpu_shape s, int32_t n, int32_t c, int32_t h, int32_t w);

/* That element of a tensor. */
static inline double kernel_at(struct cpu_shape s, const void *x, size_t element)
{
    return (double)cpu_value(s.type, x, element);
}

/* Fails unless every lane beyond the channels is exactly 0. */
void kernel_check_padding(struct cpu_shape s, const void *x, const char *what);
/* Fails unless |found - expected| <= tolerance (so NaN fails). */
void kernel_check_close(double found, double expected, double tolerance, const char *what, int32_t index,
                        size_t element);
/* The same of an element of a tensor. The tolerance is of the arithmetic in float32, its last rounding included; the
 * rounding to bf16 comes on top: half a unit in the last of eight digits, of at most what was expected and the
 * tolerance. */
void kernel_check_at(struct cpu_shape s, const void *x, size_t element, double expected, double tolerance,
                     const char *what, int32_t index);

#endif
