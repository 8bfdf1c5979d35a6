/* The CPU's own kernels: everything but dense layers and most convolutions, as pure functions over raw arrays.
 * They know neither programs nor devices, allocate nothing, fail never, and hold no state. The operations'
 * contracts stand in host/program/program.h, activation.h and optimizer.h; here stands what is particular to memory and
 * arithmetic.
 *
 * Layout "blocked": [N][ceil(C / block)][H][W][block] of float32 or bf16. Blocks of float32 have 8 or 16 channels; in
 * bf16 one block has all of them, rounded up to a multiple of 16, which is [N][H][W][padded C], the layout that
 * oneDNN's kernels for AMX take. Lanes beyond C hold
 * zeros in every input and receive zeros in every output. With H = W = 1 it is row-major [N][padded C]. A
 * (image, channel block) pair, H * W * block values in a row, is called a plane; planes are what the threads
 * share out. Blocked arrays and scratch begin on multiples of 64 bytes; weights, statistics and flat arrays
 * on multiples of 4. Outputs never overlap inputs, unless a function says "in place".
 *
 * Threads: the OpenMP team of the caller (omp_set_num_threads). All sums are taken in an order fixed by the
 * shape, with vectors of fixed width and without contraction to fused multiply-add: results are bit for bit
 * the same from run to run, for any number of threads and any instruction set (but exp and pow are the C
 * library's, which may round differently on another processor).
 *
 * Bound: RAM (all kernels here do a few operations a byte). "reads 2, writes 1" counts passes over a tensor
 * of the operation's size; a write costs as much as a read and a write, since the cache fetches the line
 * first.
 *
 * NaN: arithmetic kernels hand it on, ReLU too (max(NaN, 0) is NaN), so that a diverged network shows in its
 * loss. */
#ifndef NASRUN_CPU_KERNELS_H
#define NASRUN_CPU_KERNELS_H

#include "host/device/device.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What activations and their gradients are kept in. Kernels compute in float32 and round once, to even, when they
 * write. */
enum cpu_type { CPU_FLOAT, CPU_BF16 };

static inline size_t cpu_type_size(enum cpu_type type)
{
    return type == CPU_BF16 ? 2 : 4;
}

/* bf16 is the upper half of a float; the other way rounds to even. */
static inline float cpu_from_bf16(uint16_t value)
{
    const uint32_t bits = (uint32_t)value << 16;
    float wide;
    memcpy(&wide, &bits, sizeof(wide));
    return wide;
}
static inline uint16_t cpu_to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    const uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1);
    /* a NaN's fraction must not round to that of an infinity */
    return (uint16_t)((value != value ? UINT32_MAX : rounded) >> 16);
}

/* Element i of values of a type. */
static inline float cpu_value(enum cpu_type type, const void *values, size_t i)
{
    return type == CPU_BF16 ? cpu_from_bf16(((const uint16_t *)values)[i]) : ((const float *)values)[i];
}
static inline void cpu_set_value(enum cpu_type type, void *values, size_t i, float value)
{
    if (type == CPU_BF16)
        ((uint16_t *)values)[i] = cpu_to_bf16(value);
    else
        ((float *)values)[i] = value;
}

struct cpu_shape {
    int32_t n, c, h, w;
    int32_t block; /* CPU_FLOAT: 8 or 16. CPU_BF16: all channels, rounded up to 16: [N][H][W][block] */
    enum cpu_type type;
};

/* Channel blocks, channels with padding, and values of a tensor in the blocked layout; its bytes. */
static inline int32_t cpu_shape_blocks(struct cpu_shape s)
{
    return (s.c + s.block - 1) / s.block;
}
static inline int32_t cpu_shape_padded(struct cpu_shape s)
{
    return cpu_shape_blocks(s) * s.block;
}
static inline size_t cpu_shape_count(struct cpu_shape s)
{
    return (size_t)s.n * (size_t)cpu_shape_padded(s) * (size_t)s.h * (size_t)s.w;
}
static inline size_t cpu_shape_bytes(struct cpu_shape s)
{
    return cpu_shape_count(s) * cpu_type_size(s.type);
}

/* Planes of a tensor, and values of one of them. */
static inline size_t cpu_shape_planes(struct cpu_shape s)
{
    return (size_t)s.n * (size_t)cpu_shape_blocks(s);
}
static inline size_t cpu_shape_plane_count(struct cpu_shape s)
{
    return (size_t)s.h * (size_t)s.w * (size_t)s.block;
}

/* ---- kernel_batch_norm.c, kernel_batch_norm_backward.c ---- */

/* Bytes of `scratch` for batch_norm, batch_norm_backward and batch_norm_inference. */
size_t cpu_kernel_batch_norm_scratch(struct cpu_shape s);

/* Training. The running statistics are updated (biased variance). Sums of a plane (in bf16: of some pixels) are taken
 * about the mean of its first pixels, in float over short runs, and joined in double: mean and variance are good to
 * about 1e-6 of the deviation also where the mean is thousands of deviations from zero. Reads 2 (3 with addend), writes
 * 1. */
struct cpu_batch_norm {
    struct cpu_shape shape; /* of x, addend and y */
    bool relu;
    float momentum, epsilon;
    const void *x;
    const float *scale, *shift;        /* [c] */
    const void *addend;                /* NULL: none */
    float *running_mean, *running_var; /* [c] */
    void *y;
    float *mean, *invstd; /* [padded c], zeros beyond c */
    void *scratch;
};
void cpu_kernel_batch_norm(const struct cpu_batch_norm *norm);

/* Reads 4 (6 with ReLU), writes 1 (2 with daddend). */
struct cpu_batch_norm_backward {
    struct cpu_shape shape; /* of x, y, dy, dx and daddend */
    const void *x;
    const void *y; /* the forward result; NULL without ReLU */
    const void *dy;
    const float *scale;         /* [c] */
    const float *mean, *invstd; /* [padded c] as left by batch_norm */
    void *dx;
    float *dscale, *dshift; /* [c] */
    void *daddend;          /* NULL: none */
    void *scratch;
};
void cpu_kernel_batch_norm_backward(const struct cpu_batch_norm_backward *norm);

/* Reads 1 (2 with addend), writes 1. */
struct cpu_batch_norm_inference {
    struct cpu_shape shape; /* of x, addend and y */
    bool relu;
    float epsilon;
    const void *x;
    const float *scale, *shift, *running_mean, *running_var; /* [c] */
    const void *addend;                                      /* NULL: none */
    void *y;
    void *scratch;
};
void cpu_kernel_batch_norm_inference(const struct cpu_batch_norm_inference *norm);

/* ---- kernel_activation.c ---- */

/* `count` = cpu_shape_count(): a multiple of 8. Forward reads 1, backward 2, both write 1. seen: x or y, as
 * activation_traits() says. Bound by computing where the formula has an e^x and one core works alone. */
void cpu_kernel_activation(enum activation_kind function, enum cpu_type type, size_t count, const void *x,
                           void *y);
void cpu_kernel_activation_backward(enum activation_kind function, enum cpu_type type, size_t count,
                                    const void *seen, const void *dy, void *dx);

/* ---- kernel_add.c ---- */

/* `count` as for activations. Reads 2, writes 1. May work in place. */
void cpu_kernel_add(enum cpu_type type, size_t count, const void *a, const void *b, void *y);

/* ---- kernel_gate.c ---- */

/* `s`: shape of x and y; gate [n][padded c]. Reads 1, writes 1. */
void cpu_kernel_gate(struct cpu_shape s, const void *x, const void *gate, void *y);

/* Reads 2, writes 1. */
struct cpu_gate_backward {
    struct cpu_shape shape; /* of x, dy and dx */
    const void *x, *gate, *dy;
    void *dx, *dgate; /* gate, dgate: [n][padded c] */
};
void cpu_kernel_gate_backward(const struct cpu_gate_backward *gate);

/* ---- kernel_dropout.c ---- */

/* Forward (x to y) and backward (dy to dx) alike: drops the same elements and divides the others by 1 - rate.
 * The mask is drawn anew each time from the step's seed and number and from the layer; row 0 of x is row step->row of
 * the batch. n * c * h * w at most 2^26. Bound by drawing numbers. */
void cpu_kernel_dropout(struct cpu_shape s, const void *x, float rate, const struct step *step,
                        uint32_t layer_id, void *y);

/* ---- kernel_drop_path.c ---- */

/* Forward (x to y) and backward (dy to dx) alike: image r times drop_path_factor() of row step->row + r. Reads 1,
 * writes 1. */
void cpu_kernel_drop_path(struct cpu_shape s, const void *x, float rate, const struct step *step,
                          uint32_t layer_id, void *y);

/* ---- kernel_concat.c ---- */

/* y: shape `s`; x[i]: `channels[i]` channels, which sum up to s.c; count at most PROG_MAX_INPUTS. Where a
 * block of y is a block of one input it is copied whole, else lane by lane. Reads 1, writes 1. */
void cpu_kernel_concat(struct cpu_shape s, int32_t count, const int32_t *channels, const void *const *x,
                       void *y);
/* The inverse: dy of shape `s` to dx[i]. */
void cpu_kernel_split(struct cpu_shape s, int32_t count, const int32_t *channels, const void *dy,
                      void *const *dx);

/* ---- kernel_max_pool.c, kernel_average_pool.c, kernel_global_pool.c ---- */

struct cpu_window {
    int32_t kernel_h, kernel_w, stride, pad_h, pad_w; /* pad < kernel */
};

/* Windows that index bytes can name; the caller refuses others with ST_UNSUPPORTED. */
static inline bool cpu_window_fits(struct cpu_window k)
{
    return k.kernel_h * k.kernel_w <= 255;
}

/* `in`: shape of x and dx; `out`: shape of y and dy, equal in n, c and block. Reads in, writes out (and out /
 * 4 of index). index: cpu_shape_count(out) bytes, in y's order: the winner's position in its window, row by row
 * (positions outside the image are counted too); NULL: not wanted. */
void cpu_kernel_max_pool(struct cpu_shape in, struct cpu_shape out, struct cpu_window k, const void *x,
                         void *y, uint8_t *index);
/* Writes all of dx. Windows that overlap add up in their own order. */
void cpu_kernel_max_pool_backward(struct cpu_shape in, struct cpu_shape out, struct cpu_window k,
                                  const void *dy, const uint8_t *index, void *dx);

void cpu_kernel_average_pool(struct cpu_shape in, struct cpu_shape out, struct cpu_window k, const void *x,
                             void *y);
void cpu_kernel_average_pool_backward(struct cpu_shape in, struct cpu_shape out, struct cpu_window k,
                                      const void *dy, void *dx);

/* `s`: shape of x and dx; y, dy: [n][padded c]. */
void cpu_kernel_global_pool(struct cpu_shape s, const void *x, void *y);
void cpu_kernel_global_pool_backward(struct cpu_shape s, const void *dy, void *dx);

/* ---- kernel_columns.c ---- */

/* bf16 only: columns[n][oh][ow][taps][padded c], what each window of a convolution sees of x, row by row, zeros beyond
 * the image. Reads in, writes taps times out. */
void cpu_kernel_columns(struct cpu_shape in, struct cpu_shape out, struct cpu_window k, const void *x,
                        void *columns);

/* ---- kernel_depthwise.c ---- */

/* Bytes of `scratch`; `s`: shape of x. */
size_t cpu_kernel_depthwise_scratch(struct cpu_shape s, struct cpu_window k);

/* Gradient of a depthwise convolution's kernel, one filter a channel. Sums of a plane are taken in float, and joined in
 * double over a sixteenth of the images each. Reads in and out, from a cache as often as the kernel is high; bound by
 * computing from kernels of 5 x 5 on. */
struct cpu_depthwise_weights {
    struct cpu_shape in, out; /* of x, of dy: equal in n, c, block and type */
    struct cpu_window window;
    const void *x, *dy;
    float *dkernel; /* [c][kernel_h][kernel_w] */
    float *dbias;   /* [c]; NULL: not wanted */
    void *scratch;
};
void cpu_kernel_depthwise_weights(const struct cpu_depthwise_weights *d);

/* ---- kernel_loss.c ---- */

/* Bytes of `scratch`. */
size_t cpu_kernel_loss_scratch(int32_t rows);

/* Adds to the metrics, rows in order; a row is correct when its label is the first of its largest logits, with sets
 * when exactly its classes have logits of at least 0. Arithmetic in double. */
struct cpu_loss {
    int32_t rows, classes, padded, valid; /* padded >= classes */
    float smoothing;
    float focal;                /* gamma; 0: none */
    const float *class_weights; /* [classes]; NULL: all 1 */
    const uint8_t *label_sets;  /* [sets][classes], 0 or 1; NULL: labels are classes */
    enum cpu_type type;         /* of logits and dlogits */
    const void *logits;         /* [rows][padded], zeros beyond classes */
    const int32_t *labels; /* [rows], of classes or sets that there are (also in rows that are not valid) */
    double *metrics;       /* [METRIC_COUNT] */
    float *probabilities;  /* [rows][classes] without padding, all rows; NULL: not wanted */
    void *dlogits;         /* [rows][padded], zeros beyond classes; NULL: not wanted */
    void *scratch;
};
void cpu_kernel_loss(const struct cpu_loss *loss);

/* ---- kernel_gather.c ---- */

/* Fills image and labels for a step. Augmentation is drawn for a sample by its index in the dataset. */
struct cpu_gather {
    const struct dataset_view *view; /* whose pixels and labels are read */
    const int32_t *samples;          /* the bound list: [sample_count] indices */
    int32_t sample_count;
    bool shuffled;
    const struct augment *augment; /* NULL: none */
    const struct step *step;
    int32_t height, width; /* of the result, not larger than the view's images */
    int32_t rows, block;   /* block: that of struct cpu_shape, or 0 for plain N,C,H,W */
    enum cpu_type type;    /* of the image */
    void *image;           /* [rows, channels, height, width] */
    int32_t *labels;       /* [rows] */
};
void cpu_kernel_gather(const struct cpu_gather *gather);

/* ---- kernel_optimizer.c ---- */

/* A trained weight tensor. */
struct cpu_weight_range {
    size_t offset, count; /* floats, in the flat arrays */
    size_t gradient;      /* offset of its gradient, or of its update */
    bool orthogonal;      /* it has an update: first is not touched */
    enum optimizer_part part;
    float rate; /* struct weight_tensor's */
};

/* Updates value (and first, second). SGD reads 3, writes 2; AdamW reads 4, writes 3. */
struct cpu_optimizer {
    const struct cpu_weight_range *ranges; /* [range_count] */
    int32_t range_count;
    const struct optimizer *optimizer;
    float rate;
    uint32_t number; /* as in struct step */
    const float *gradients;
    float *value, *first;
    float *second; /* touched by AdamW alone, otherwise it may be NULL */
};
void cpu_kernel_optimizer(const struct cpu_optimizer *update);

/* ---- kernel_orthogonalise.c ---- */

/* velocity = momentum * velocity + gradient; update = gradient + momentum * velocity, over `count` floats. Returns the
 * sum of the update's squares. sums: scratch, cpu_kernel_momentum_sums(count) doubles. Reads 2, writes 2. */
double cpu_kernel_momentum(size_t count, float momentum, const float *gradient, float *velocity,
                           float *update, double *sums);
size_t cpu_kernel_momentum_sums(size_t count);
/* In place. Reads 1, writes 1. */
void cpu_kernel_scale(size_t count, float factor, float *values);
/* factor * values, rounded to bf16, to even. Reads 1, writes a half. */
void cpu_kernel_narrow(size_t count, float factor, const float *values, uint16_t *narrow);

/* ---- kernel_weight_average.c ---- */

/* average += (1 - decay) * (value - average) over `count` floats, then value = average with `look_ahead`. Reads 2,
 * writes 1 or 2. */
void cpu_kernel_weight_average(size_t count, float decay, bool look_ahead, float *value, float *average);

#endif
