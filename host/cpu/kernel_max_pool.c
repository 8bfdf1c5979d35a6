/* Max pooling over blocked tensors and its gradient, a plane at a time, eight channels side by side.
 *
 * Bound by RAM for 2x2 windows; for others by the window's comparisons, which find their pixels in the first
 * cache. */
#include "host/cpu/kernel_lanes.h"
#include "host/cpu/kernels.h"

/* Compares one more pixel: where it beats `best` strictly, it takes its place. */
#define CONSIDER(type, x, pixel, position)                                                                   \
    do {                                                                                                     \
        lanes candidate[2];                                                                                  \
        LANES_LOAD(type, x, pixel, candidate);                                                               \
        for (int n = 0; n < LANES_VECTORS(type); n++) {                                                      \
            const lanes_mask better = candidate[n] > best[n];                                                \
            best[n] = LANES_CHOOSE(better, candidate[n], best[n]);                                           \
            at[n] = (better & (position)) | (~better & at[n]);                                               \
        }                                                                                                    \
    } while (0)

/* Positions between vectors and bytes in the order of the values that LANES_LOAD takes. */
#define STORE_POSITIONS(type, index, at)                                                                     \
    do {                                                                                                     \
        if ((type) == CPU_BF16)                                                                              \
            *(lanes_pair *)(index) = __builtin_convertvector((at)[0] | (at)[1] << 8, lanes_pair);            \
        else                                                                                                 \
            *(lanes_byte *)(index) = LANES_TO_BYTES((at)[0]);                                                \
    } while (0)
#define LOAD_POSITIONS(type, index, at)                                                                      \
    do {                                                                                                     \
        if ((type) == CPU_BF16) {                                                                            \
            const lanes_mask both = __builtin_convertvector(*(const lanes_pair *)(index), lanes_mask);       \
            (at)[0] = both & 0xff;                                                                           \
            (at)[1] = both >> 8;                                                                             \
        } else {                                                                                             \
            (at)[0] = LANES_FROM_BYTES(*(const lanes_byte *)(index));                                        \
        }                                                                                                    \
    } while (0)

/* What is the same for all planes. */
struct pooling {
    struct cpu_shape in, out;
    struct cpu_window k;
};

/* Windows of 2x2, stride 2, no padding: no window is clipped. */
CPU_INLINE void halving_body(const enum cpu_type type, const struct pooling *pool, const void *x, void *y,
                             uint8_t *index)
{
    const size_t block = (size_t)pool->in.block, row = (size_t)pool->in.w * block;
    size_t to = 0;
    for (int32_t i = 0; i < pool->out.h; i++) {
        size_t corner = (size_t)i * 2 * row;
        for (int32_t j = 0; j < pool->out.w; j++, corner += block) {
            for (size_t half = 0; half < block; half += LANES_VALUES(type)) {
                lanes best[2];
                lanes_mask at[2] = {{0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0, 0, 0}};
                LANES_LOAD(type, x, corner, best);
                CONSIDER(type, x, corner + block, 1);
                CONSIDER(type, x, corner + row, 2);
                CONSIDER(type, x, corner + row + block, 3);
                LANES_STORE(type, y, to, best);
                if (index)
                    STORE_POSITIONS(type, index + to, at);
                corner += LANES_VALUES(type);
                to += LANES_VALUES(type);
            }
        }
    }
}

CPU_KERNEL static void plane_pool_halving(const struct pooling *pool, const void *x, void *y, uint8_t *index)
{
    CPU_BY_TYPE(pool->in.type, halving_body, pool, x, y, index);
}

/* The part of a window inside the image, as rows and columns of the window: first inside, first behind. */
struct clip {
    int32_t begin, end;
};

CPU_INLINE struct clip clip_window(int32_t corner, int32_t kernel, int32_t size)
{
    struct clip c = {corner < 0 ? -corner : 0, kernel};
    if (c.end > size - corner)
        c.end = size - corner;
    return c;
}

CPU_INLINE void pool_body(const enum cpu_type type, const struct pooling *pool, const void *x, void *y,
                          uint8_t *index)
{
    const struct cpu_window k = pool->k;
    const size_t block = (size_t)pool->in.block, width = (size_t)pool->in.w;
    size_t to = 0;
    for (int32_t i = 0; i < pool->out.h; i++) {
        const int32_t top = i * k.stride - k.pad_h;
        const struct clip rows = clip_window(top, k.kernel_h, pool->in.h);
        for (int32_t j = 0; j < pool->out.w; j++) {
            const int32_t left = j * k.stride - k.pad_w;
            const struct clip columns = clip_window(left, k.kernel_w, pool->in.w);
            for (size_t half = 0; half < block; half += LANES_VALUES(type), to += LANES_VALUES(type)) {
                /* The first pixel inside stands even when it is NaN, so the position always lies inside. */
                const size_t first =
                    ((size_t)(top + rows.begin) * width + (size_t)(left + columns.begin)) * block + half;
                lanes best[2];
                const lanes_mask begin =
                    (lanes_mask){0, 0, 0, 0, 0, 0, 0, 0} + (rows.begin * k.kernel_w + columns.begin);
                lanes_mask at[2] = {begin, begin};
                LANES_LOAD(type, x, first, best);
                for (int32_t r = rows.begin; r < rows.end; r++) {
                    size_t pixel = first + (size_t)(r - rows.begin) * width * block;
                    for (int32_t c = columns.begin; c < columns.end; c++, pixel += block)
                        CONSIDER(type, x, pixel, r * k.kernel_w + c);
                }
                LANES_STORE(type, y, to, best);
                if (index)
                    STORE_POSITIONS(type, index + to, at);
            }
        }
    }
}

CPU_KERNEL static void plane_pool(const struct pooling *pool, const void *x, void *y, uint8_t *index)
{
    CPU_BY_TYPE(pool->in.type, pool_body, pool, x, y, index);
}

static bool is_halving(struct cpu_window k)
{
    return k.kernel_h == 2 && k.kernel_w == 2 && k.stride == 2 && k.pad_h == 0 && k.pad_w == 0;
}

void cpu_kernel_max_pool(struct cpu_shape in, struct cpu_shape out, struct cpu_window k, const void *x,
                         void *y, uint8_t *index)
{
    const struct pooling pool = {in, out, k};
    const size_t planes = cpu_shape_planes(in), in_count = cpu_shape_plane_count(in),
                 out_count = cpu_shape_plane_count(out);
    const bool halving = is_halving(k);
#pragma omp parallel for schedule(static)
    for (size_t p = 0; p < planes; p++) {
        const void *from = cpu_read_from(in.type, x, p * in_count);
        void *to = cpu_write_to(in.type, y, p * out_count);
        uint8_t *winners = index ? index + p * out_count : NULL;
        if (halving)
            plane_pool_halving(&pool, from, to, winners);
        else
            plane_pool(&pool, from, to, winners);
    }
}

/* ---- gradient ---- */

/* Every pixel of dx is written once; a last odd row or column lies in no window and becomes 0. */
CPU_INLINE void spread_halving_body(const enum cpu_type type, const struct pooling *pool, const void *dy,
                                    const uint8_t *index, void *dx)
{
    const size_t block = (size_t)pool->in.block, row = (size_t)pool->in.w * block;
    size_t from = 0;
    for (int32_t i = 0; i < pool->out.h; i++) {
        size_t corner = (size_t)i * 2 * row;
        for (int32_t j = 0; j < pool->out.w; j++, corner += block) {
            for (size_t half = 0; half < block; half += LANES_VALUES(type)) {
                const size_t pixels[4] = {corner, corner + block, corner + row, corner + row + block};
                lanes d[2], share[2];
                lanes_mask at[2];
                LANES_LOAD(type, dy, from, d);
                LOAD_POSITIONS(type, index + from, at);
                for (int position = 0; position < 4; position++) {
                    for (int n = 0; n < LANES_VECTORS(type); n++)
                        share[n] = LANES_WHERE(d[n], at[n] == position);
                    LANES_STORE(type, dx, pixels[position], share);
                }
                corner += LANES_VALUES(type);
                from += LANES_VALUES(type);
            }
        }
        if (pool->in.w % 2) {
            memset(cpu_write_to(type, dx, corner), 0, block * cpu_type_size(type));
            memset(cpu_write_to(type, dx, corner + row), 0, block * cpu_type_size(type));
        }
    }
    if (pool->in.h % 2)
        memset(cpu_write_to(type, dx, (size_t)(pool->in.h - 1) * row), 0, row * cpu_type_size(type));
}

CPU_KERNEL static void plane_spread_halving(const struct pooling *pool, const void *dy, const uint8_t *index,
                                            void *dx)
{
    CPU_BY_TYPE(pool->in.type, spread_halving_body, pool, dy, index, dx);
}

/* The windows over pixel `at` of a row or column, [begin, end), from those over the pixel before. */
CPU_INLINE void windows_over(struct clip *windows, int32_t at, int32_t kernel, int32_t stride, int32_t pad,
                             int32_t count)
{
    while (windows->begin < windows->end && windows->begin * stride - pad + kernel <= at)
        windows->begin++;
    while (windows->end < count && windows->end * stride - pad <= at) {
        windows->end++;
        if (windows->end * stride - stride - pad + kernel <= at) /* one that is over no pixel between */
            windows->begin = windows->end;
    }
}

/* Each pixel takes from the windows over it, window by window, so that it is rounded once. */
CPU_INLINE void spread_body(const enum cpu_type type, const struct pooling *pool, const void *dy,
                            const uint8_t *index, void *dx)
{
    const struct cpu_window k = pool->k;
    const size_t block = (size_t)pool->in.block, row = (size_t)pool->out.w * block;
    struct clip rows = {0, 0};
    size_t to = 0;
    for (int32_t y = 0; y < pool->in.h; y++) {
        struct clip columns = {0, 0};
        windows_over(&rows, y, k.kernel_h, k.stride, k.pad_h, pool->out.h);
        for (int32_t x = 0; x < pool->in.w; x++) {
            windows_over(&columns, x, k.kernel_w, k.stride, k.pad_w, pool->out.w);
            for (size_t half = 0; half < block; half += LANES_VALUES(type), to += LANES_VALUES(type)) {
                lanes sum[2] = {LANES_ZERO, LANES_ZERO}, d[2];
                lanes_mask at[2];
                for (int32_t i = rows.begin; i < rows.end; i++) {
                    /* of this pixel in the window, which moves a stride to the left with each window */
                    int32_t position =
                        (y + k.pad_h - i * k.stride) * k.kernel_w + x + k.pad_w - columns.begin * k.stride;
                    size_t from = (size_t)i * row + (size_t)columns.begin * block + half;
                    for (int32_t j = columns.begin; j < columns.end;
                         j++, position -= k.stride, from += block) {
                        LANES_LOAD(type, dy, from, d);
                        LOAD_POSITIONS(type, index + from, at);
                        for (int n = 0; n < LANES_VECTORS(type); n++)
                            sum[n] += LANES_WHERE(d[n], at[n] == position);
                    }
                }
                LANES_STORE(type, dx, to, sum);
            }
        }
    }
}

CPU_KERNEL static void plane_spread(const struct pooling *pool, const void *dy, const uint8_t *index,
                                    void *dx)
{
    CPU_BY_TYPE(pool->in.type, spread_body, pool, dy, index, dx);
}

void cpu_kernel_max_pool_backward(struct cpu_shape in, struct cpu_shape out, struct cpu_window k,
                                  const void *dy, const uint8_t *index, void *dx)
{
    const struct pooling pool = {in, out, k};
    const size_t planes = cpu_shape_planes(in), in_count = cpu_shape_plane_count(in),
                 out_count = cpu_shape_plane_count(out);
    const bool halving = is_halving(k);
#pragma omp parallel for schedule(static)
    for (size_t p = 0; p < planes; p++) {
        const void *from = cpu_read_from(in.type, dy, p * out_count);
        const uint8_t *winners = index + p * out_count;
        void *to = cpu_write_to(in.type, dx, p * in_count);
        if (halving)
            plane_spread_halving(&pool, from, winners, to);
        else
            plane_spread(&pool, from, winners, to);
    }
}
