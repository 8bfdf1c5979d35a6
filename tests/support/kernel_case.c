#include "tests/support/kernel_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { HEAD = 64, GUARD = 64, POISON = 0xFF, TEST_SEED = 20190125 };

float kernel_case_unit(int32_t index, uint32_t stream, size_t element)
{
    struct random4 r = random_draw(TEST_SEED + (uint64_t)index, RANDOM_TEST, element, stream);
    return 2.0f * random_unit(r.v[0]) - 1.0f;
}

int32_t kernel_case_below(int32_t index, uint32_t stream, size_t element, int32_t n)
{
    struct random4 r = random_draw(TEST_SEED + (uint64_t)index, RANDOM_TEST, element, stream);
    return (int32_t)random_below(r.v[1], (uint32_t)n);
}

struct cpu_shape kernel_shape(enum cpu_type type, int32_t n, int32_t c, int32_t h, int32_t w, int32_t block)
{
    return (struct cpu_shape){n, c, h, w, type == CPU_BF16 ? (c + 15) / 16 * 16 : block, type};
}

struct cpu_shape kernel_windowed(struct cpu_shape in, struct cpu_window k)
{
    struct cpu_shape out = in;
    out.h = (in.h + 2 * k.pad_h - k.kernel_h) / k.stride + 1;
    out.w = (in.w + 2 * k.pad_w - k.kernel_w) / k.stride + 1;
    return out;
}

struct cpu_shape kernel_case_shape(enum cpu_type type, int32_t index)
{
    struct cpu_shape s = {
        .n = 1 + kernel_case_below(index, 1000, 0, 4),
        .c = 1 + kernel_case_below(index, 1000, 1, 37),
        .h = 1 + kernel_case_below(index, 1000, 2, 19),
        .w = 1 + kernel_case_below(index, 1000, 3, 19),
        .block = index % 2 ? 16 : 8,
    };
    if (index % 7 == 3)
        s.h = s.w = 1;
    if (index % 5 == 4)
        s.c = s.block * (1 + s.c % 3);
    return kernel_shape(type, s.n, s.c, s.h, s.w, s.block);
}

void *kernel_alloc(size_t bytes)
{
    const size_t body = (bytes + 63) / 64 * 64;
    unsigned char *memory = aligned_alloc(64, HEAD + body + GUARD);
    assert_non_null(memory);
    memset(memory, POISON, HEAD + body + GUARD);
    memcpy(memory, &bytes, sizeof(bytes));
    return memory + HEAD;
}

void *kernel_zeros(size_t bytes)
{
    void *memory = kernel_alloc(bytes);
    memset(memory, 0, bytes);
    return memory;
}

void kernel_free(void *memory)
{
    unsigned char *body = memory, *head = body - HEAD;
    size_t bytes;
    memcpy(&bytes, head, sizeof(bytes));
    for (size_t i = bytes; i < (bytes + 63) / 64 * 64 + GUARD; i++)
        assert_int_equal(body[i], POISON);
    for (size_t i = sizeof(bytes); i < HEAD; i++)
        assert_int_equal(head[i], POISON);
    free(head);
}

size_t kernel_offset(struct cpu_shape s, int32_t n, int32_t c, int32_t h, int32_t w)
{
    size_t plane = (size_t)n * (size_t)cpu_shape_blocks(s) + (size_t)(c / s.block);
    return ((plane * (size_t)s.h + (size_t)h) * (size_t)s.w + (size_t)w) * (size_t)s.block +
           (size_t)(c % s.block);
}

void *kernel_tensor(struct cpu_shape s)
{
    return kernel_alloc(cpu_shape_bytes(s));
}

static bool is_padding(struct cpu_shape s, size_t element)
{
    const size_t pixels = (size_t)s.h * (size_t)s.w, block = (size_t)s.block;
    const size_t channel_block = element / (pixels * block) % (size_t)cpu_shape_blocks(s);
    return channel_block * block + element % block >= (size_t)s.c;
}

void *kernel_random(struct cpu_shape s, int32_t index, uint32_t stream, float center, float width)
{
    void *x = kernel_tensor(s);
    for (size_t i = 0; i < cpu_shape_count(s); i++)
        cpu_set_value(s.type, x, i,
                      is_padding(s, i) ? 0.0f : center + width * kernel_case_unit(index, stream, i));
    return x;
}

void *kernel_whole(struct cpu_shape s, int32_t index, uint32_t stream, int32_t span)
{
    void *x = kernel_tensor(s);
    if (s.type == CPU_BF16 && span > 256)
        span = 256;
    for (size_t i = 0; i < cpu_shape_count(s); i++)
        cpu_set_value(s.type, x, i,
                      is_padding(s, i) ? 0.0f
                                       : (float)(kernel_case_below(index, stream, i, 2 * span + 1) - span));
    return x;
}

float *kernel_vector(int32_t count, int32_t index, uint32_t stream, float center, float width)
{
    float *x = kernel_alloc((size_t)count * sizeof(*x));
    for (int32_t i = 0; i < count; i++)
        x[i] = center + width * kernel_case_unit(index, stream, (size_t)i);
    return x;
}

void kernel_check_padding(struct cpu_shape s, const void *x, const char *what)
{
    for (size_t i = 0; i < cpu_shape_count(s); i++)
        if (is_padding(s, i) && !(fabs(kernel_at(s, x, i)) <= 0.0))
            fail_msg("%s: element %zu of the padding is %g, expected 0", what, i, kernel_at(s, x, i));
}

void kernel_check_close(double found, double expected, double tolerance, const char *what, int32_t index,
                        size_t element)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("case %d, %s, element %zu: found %.9g, expected %.9g, tolerance %.3g", index, what, element,
                 found, expected, tolerance);
}

void kernel_check_at(struct cpu_shape s, const void *x, size_t element, double expected, double tolerance,
                     const char *what, int32_t index)
{
    if (s.type == CPU_BF16)
        tolerance += 0x1p-8 * (fabs(expected) + tolerance) + 0x1p-134;
    kernel_check_close(kernel_at(s, x, element), expected, tolerance, what, index, element);
}
