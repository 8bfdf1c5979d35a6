/* The GPU's own kernels: everything but convolutions and dense layers, as launch functions over raw device
 * memory. They know neither programs nor devices, allocate nothing, and hold no state. The operations'
 * contracts stand in host/program/program.h, activation.h and optimizer.h; here stands what is particular to memory and
 * arithmetic.
 *
 * Every function queues its kernels on `stream` and returns at once: cudaSuccess, or the error of the launch. What it
 * works on comes in a structure, host memory that may go when the function returns. A call may be captured in a CUDA
 * Graph; what changes from step to step is therefore read from a struct cuda_step in device memory, and all other
 * arguments stay fixed from bind to bind. Pointers are device pointers unless a comment says "host".
 *
 * Layout: activations NHWC [n][h][w][padded], channels padded to a multiple of 8, in the activation type
 * (bf16, half or float32). Channels beyond c hold zeros in every input and receive zeros in every output. Logits
 * and probabilities follow with h = w = 1. Vectors (scale, shift, mean, invstd, running statistics, biases
 * and all their gradients) are float32 [c], not padded. Max pool's index is uint8 in y's layout. Activations
 * vectors and scratch begin on multiples of 16 bytes (arena and weight table give 64). Outputs never overlap
 * inputs, unless a function says "in place". A pointer may be NULL only where that is said. An activation has at
 * most CUDA_ELEMENTS elements, which the caller sees to.
 *
 * Arithmetic is float32; every stored activation is rounded once, to nearest even. All sums are taken in an
 * order that the shape fixes, and `multiprocessors` where that is asked for: results are the same bit for bit
 * from run to run, on equal devices. The only atomics are tickets: where several blocks have a result in common,
 * the last of them to be done makes it from what all have left.
 *
 * multiprocessors: of the device, at least 1. Such kernels are launched with no more blocks than it holds at once.
 *
 * NaN is handed on, by ReLU too (max(NaN, 0) is NaN), so that a diverged network shows in its loss.
 *
 * Zeros and plain copies need no kernel: cudaMemsetAsync and cudaMemcpyAsync. */
#ifndef NASRUN_CUDA_KERNELS_KERNELS_H
#define NASRUN_CUDA_KERNELS_KERNELS_H

#include "host/device/augment.h"
#include "host/device/optimizer.h"
#include "host/net/layer.h"

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__
#define CUDA_INLINE static __host__ __device__ __forceinline__
#else
#define CUDA_INLINE static inline
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum cuda_type { CUDA_BF16, CUDA_FLOAT, CUDA_HALF };

static inline size_t cuda_type_size(enum cuda_type type)
{
    return type == CUDA_FLOAT ? 4 : 2;
}

static inline const char *cuda_type_name(enum cuda_type type)
{
    return type == CUDA_BF16 ? "bf16" : type == CUDA_HALF ? "fp16" : "float32";
}

enum { CUDA_CHANNELS = 8 }; /* channels are padded to multiples of this */

/* Of an activation, at most: kernels count packs of eight in 31 bits. 32 GiB in bf16. */
#define CUDA_ELEMENTS ((size_t)1 << 34)

/* `tickets`: that many zeros in device memory, and zeros again after each launch function that takes them. Launches on
 * one stream may share them. */
enum { CUDA_TICKETS = 1024 };

CUDA_INLINE int32_t cuda_padded(int32_t channels)
{
    return (channels + CUDA_CHANNELS - 1) / CUDA_CHANNELS * CUDA_CHANNELS;
}

struct cuda_shape {
    int32_t n, c, h, w; /* c without padding */
};

/* Elements of an activation of that shape, padding included; a multiple of 8. */
static inline size_t cuda_shape_count(struct cuda_shape s)
{
    return (size_t)s.n * (size_t)s.h * (size_t)s.w * (size_t)cuda_padded(s.c);
}

/* What changes from step to step: struct step of host/device/device.h, and what follows from it. At one address in
 * device memory, which is written before each step. */
struct cuda_step {
    uint64_t seed;
    uint32_t number, epoch, first, row;
    int32_t valid;
    float learning_rate, average_decay;
    int32_t look_ahead;
    float drop_path;
    struct augment_view view;
    float first_scale;  /* AdamW: 1 / (1 - b1^t), t = number + 1; SGD: not read */
    float second_scale; /* AdamW: 1 / (1 - b2^t) */
};

/* ---- step.cu ---- */

/* step: host, copied. */
cudaError_t cuda_launch_step(cudaStream_t stream, const struct cuda_step *step, struct cuda_step *to);

/* ---- gather.cu ---- */

/* Host function. levels[channels][256]: byte v of channel c, normalised: (v / 255 - mean[c]) / deviation[c],
 * computed in double, so that all devices see the same image. All arrays are host memory; upload the result
 * with the dataset. */
void cuda_gather_levels(int32_t channels, const float *mean, const float *deviation, float *levels);

struct cuda_gather {
    const uint8_t *pixels;  /* [count][channels][height][width] */
    const int32_t *labels;  /* [count] */
    const float *levels;    /* [channels][256] */
    const int32_t *samples; /* [sample_count], indices into the dataset */
    int32_t sample_count, shuffled;
    int32_t channels, height, width; /* of the dataset's images; channels at most 8 */
    int32_t made_height, made_width; /* of the result, not larger */
    struct augment augment;          /* all zero: none */
    int32_t rows;                    /* of the batch; those from step->valid on repeat row 0 */
    const struct cuda_step *step;
    void *image;           /* out [rows][made_height][made_width][8] */
    int32_t *image_labels; /* out [rows] */
};

cudaError_t cuda_launch_gather(cudaStream_t stream, enum cuda_type type, const struct cuda_gather *gather);

/* ---- batch_norm.cu ---- */

/* Bytes of `scratch` for batch_norm and batch_norm_backward with as many multiprocessors. */
size_t cuda_batch_norm_scratch(struct cuda_shape s, int32_t multiprocessors);

/* Training. Squares are summed about a value of the block's, then of the first block's mean, so a mean far from zero
 * costs no digits. Reads x twice (and addend once), writes y once. */
struct cuda_batch_norm {
    int32_t multiprocessors;
    struct cuda_shape shape;
    int32_t relu;
    float momentum, epsilon;
    const void *x;
    const float *scale, *shift;
    const void *addend;                /* like x; NULL: none */
    float *running_mean, *running_var; /* updated, with the biased variance */
    void *y;
    float *mean, *invstd;
    void *scratch;
    unsigned *tickets;
};
cudaError_t cuda_launch_batch_norm(cudaStream_t stream, enum cuda_type type,
                                   const struct cuda_batch_norm *norm);

/* Reads x twice and writes dx once; reads dy (and y) twice; with daddend dy and y once, and writes and reads that. */
struct cuda_batch_norm_backward {
    int32_t multiprocessors;
    struct cuda_shape shape;
    const void *x;
    /* Without ReLU both are NULL. With it one of them is: forward had no addend, then its y is made anew from x and
     * shift, bit for bit, which costs no read; or y is what forward gave. */
    const void *y;
    const float *shift;
    const void *dy;
    const float *scale, *mean, *invstd;
    void *dx;
    float *dscale, *dshift;
    void *daddend; /* like x; NULL: not wanted */
    void *scratch;
    unsigned *tickets;
};
cudaError_t cuda_launch_batch_norm_backward(cudaStream_t stream, enum cuda_type type,
                                            const struct cuda_batch_norm_backward *norm);

struct cuda_batch_norm_inference {
    int32_t multiprocessors;
    struct cuda_shape shape;
    int32_t relu;
    float epsilon;
    const void *x;
    const float *scale, *shift, *running_mean, *running_var;
    const void *addend; /* like x; NULL: none */
    void *y;
};
cudaError_t cuda_launch_batch_norm_inference(cudaStream_t stream, enum cuda_type type,
                                             const struct cuda_batch_norm_inference *norm);

/* ---- bias.cu ---- */

/* y += bias[c], in place; padding stays zero. */
cudaError_t cuda_launch_add_bias(cudaStream_t stream, enum cuda_type type, struct cuda_shape s,
                                 const float *bias, void *y);

/* dbias = sum of dy over n, h, w. */
struct cuda_bias_gradient {
    int32_t multiprocessors;
    struct cuda_shape shape; /* of dy */
    const void *dy;
    float *dbias;  /* [c] */
    void *scratch; /* cuda_bias_gradient_scratch bytes */
    unsigned *tickets;
};
size_t cuda_bias_gradient_scratch(struct cuda_shape s, int32_t multiprocessors);
cudaError_t cuda_launch_bias_gradient(cudaStream_t stream, enum cuda_type type,
                                      const struct cuda_bias_gradient *bias);

/* ---- activation.cu ---- */

/* count = cuda_shape_count(): a multiple of 8. Both may work in place. */
cudaError_t cuda_launch_activation(cudaStream_t stream, enum cuda_type type, enum activation_kind function,
                                   size_t count, const void *x, void *y);
/* seen: x or y, as activation_traits() says. */
cudaError_t cuda_launch_activation_backward(cudaStream_t stream, enum cuda_type type,
                                            enum activation_kind function, size_t count, const void *seen,
                                            const void *dy, void *dx);

/* ---- add.cu ---- */

/* count = cuda_shape_count(). May work in place. */
cudaError_t cuda_launch_add(cudaStream_t stream, enum cuda_type type, size_t count, const void *a,
                            const void *b, void *sum);

/* ---- dropout.cu ---- */

/* Forward (x to y) and backward (dy to dx) alike. The mask is drawn anew from step->seed, step->number and
 * layer_id; it is that of every other device, by the element's index in N,C,H,W order without padding. May
 * work in place. */
struct cuda_dropout {
    struct cuda_shape shape;
    float rate;
    uint32_t layer_id;
    const struct cuda_step *step;
    const void *x;
    void *y;
};
cudaError_t cuda_launch_dropout(cudaStream_t stream, enum cuda_type type, const struct cuda_dropout *dropout);

/* ---- drop_path.cu ---- */

/* Forward (x to y) and backward (dy to dx) alike: image r times drop_path_factor() of row step->row + r and
 * `rate` times step->drop_path. May work in place. */
cudaError_t cuda_launch_drop_path(cudaStream_t stream, enum cuda_type type,
                                  const struct cuda_dropout *drop_path);

/* ---- concat.cu ---- */

enum { CUDA_MAX_PARTS = 8 };

/* Parts of a whole, side by side along the channels. */
struct cuda_concat {
    struct cuda_shape whole;
    int32_t count;
    int32_t channels[CUDA_MAX_PARTS]; /* of each part; their sum is whole.c */
    const void *x[CUDA_MAX_PARTS];
    void *y; /* of shape `whole` */
};
cudaError_t cuda_launch_concat(cudaStream_t stream, enum cuda_type type, const struct cuda_concat *concat);
/* The inverse. */
struct cuda_split {
    struct cuda_shape whole;
    int32_t count;
    int32_t channels[CUDA_MAX_PARTS];
    const void *dy; /* of shape `whole` */
    void *dx[CUDA_MAX_PARTS];
};
cudaError_t cuda_launch_split(cudaStream_t stream, enum cuda_type type, const struct cuda_split *split);

/* ---- max_pool.cu, average_pool.cu ---- */

struct cuda_window {
    int32_t kernel_h, kernel_w, stride, pad_h, pad_w; /* pad < kernel */
};

/* Windows that index bytes can name; the caller refuses others. */
static inline int32_t cuda_window_fits(struct cuda_window k)
{
    return k.kernel_h * k.kernel_w <= 255;
}

/* The index of max pool: cuda_shape_count(out) bytes, the winner's position in its window, row by row (offsets outside
 * the image count too). Of equals the first wins. Average pool has none. */
struct cuda_pool {
    struct cuda_shape in, out; /* of x and y, equal in n and c */
    struct cuda_window window;
    const void *x;
    void *y;
    uint8_t *index; /* NULL: not wanted */
};
cudaError_t cuda_launch_max_pool(cudaStream_t stream, enum cuda_type type, const struct cuda_pool *pool);
cudaError_t cuda_launch_average_pool(cudaStream_t stream, enum cuda_type type, const struct cuda_pool *pool);

struct cuda_pool_backward {
    struct cuda_shape in, out; /* of dx and dy */
    struct cuda_window window;
    const void *dy;
    const uint8_t *index;
    void *dx;
};
cudaError_t cuda_launch_max_pool_backward(cudaStream_t stream, enum cuda_type type,
                                          const struct cuda_pool_backward *pool);
cudaError_t cuda_launch_average_pool_backward(cudaStream_t stream, enum cuda_type type,
                                              const struct cuda_pool_backward *pool);

/* ---- global_pool.cu ---- */

/* `s`: shape of x and dx; y, dy: [n][padded]. */
cudaError_t cuda_launch_global_pool(cudaStream_t stream, enum cuda_type type, struct cuda_shape s,
                                    const void *x, void *y);
cudaError_t cuda_launch_global_pool_backward(cudaStream_t stream, enum cuda_type type, struct cuda_shape s,
                                             const void *dy, void *dx);

/* ---- gate.cu ---- */

/* `s`: shape of x and y; gate: [n][padded]. */
cudaError_t cuda_launch_gate(cudaStream_t stream, enum cuda_type type, struct cuda_shape s, const void *x,
                             const void *gate, void *y);

struct cuda_gate_backward {
    struct cuda_shape shape; /* of x, dy and dx */
    const void *x, *gate, *dy;
    void *dx, *dgate; /* gate, dgate: [n][padded] */
};
cudaError_t cuda_launch_gate_backward(cudaStream_t stream, enum cuda_type type,
                                      const struct cuda_gate_backward *gate);

/* ---- loss.cu ---- */

/* Indices into the metrics, as in enum metric of host/program/program.h.
 *
 * Half precision has no room for small gradients, so the loss that is differentiated, and with it every gradient, is
 * multiplied by a scale (Micikevicius et al. 2018, "Mixed Precision Training"): a power of two, kept beside the
 * metrics; 0 stands for CUDA_SCALE_FIRST. A step whose gradients are not finite changes no weight and halves the scale,
 * GROWTH good steps on end double it, as PyTorch's GradScaler does; nothing of this reaches the host. */
enum cuda_metric {
    CUDA_METRIC_LOSS,
    CUDA_METRIC_CORRECT,
    CUDA_METRIC_SAMPLES,
    CUDA_METRIC_SCALE,
    CUDA_METRIC_GOOD
};
enum { CUDA_SCALE_FIRST = 1 << 15, CUDA_SCALE_MOST = 1 << 24, CUDA_SCALE_GROWTH = 2000 };

/* Bytes of `scratch`. */
size_t cuda_loss_scratch(int32_t rows);

struct cuda_loss {
    int32_t rows, classes;
    float smoothing;
    float focal;                /* gamma; 0: none */
    const float *class_weights; /* [classes]; NULL: all 1 */
    const uint8_t *label_sets;  /* [sets][classes], 0 or 1; NULL: labels are classes */
    const struct cuda_step *step;
    const void *logits;    /* [rows][padded] */
    const int32_t *labels; /* [rows], of classes or sets that there are */
    double *metrics;       /* [METRIC_COUNT], added to: valid rows only, summed in double by the last block */
    float *probabilities;  /* float32 [rows][classes] without padding, all rows; NULL: not wanted */
    void *dlogits;         /* [rows][padded], in half precision scaled; NULL: not wanted */
    void *scratch;
    unsigned *tickets;
};
cudaError_t cuda_launch_loss(cudaStream_t stream, enum cuda_type type, const struct cuda_loss *loss);

/* ---- weights ---- */

/* Flat arrays (slots, gradients) hold each tensor at its offset in the weight table, zeros in the gaps, and end with a
 * whole chunk. A kernel's elements stand in one of three orders:
 *
 *     the host's   [out][in][height][width]
 *     master's     [out][height][width][in]         float32, in all flat arrays on the device
 *     copy's       [rows][height][width][depth]     activation type, zeros in the padding: what convolutions and dense
 *                                                   layers read, and the order in which they leave the kernel's
 *                                                   gradient
 *
 * So where nothing is padded, master, copy and gradient are in one order, and eight neighbours of each are a pack.
 *
 * Groups: with `blocks` = 1 the copy's row o holds the master's row o, channel i of the copy being channel i of the
 * master (the convolution keeps its groups, or has one). With `blocks` = groups the copy is that of a plain convolution
 * over all input channels: row o holds the master's channels at o / (out / blocks) * in, and zeros elsewhere.
 *
 * Folding: a batch norm in inference behind the convolution is a factor and a summand for each row,
 *     factor = scale / sqrt(var + epsilon)     bias = shift - mean * factor [+ the convolution's bias * factor]
 * The kernel's row times factor is rounded once, as it would be without. */
enum { CUDA_CHUNK = 16 }; /* floats: the alignment of tensors in the weight table */

/* A tensor of the weight table. */
struct cuda_weight {
    uint64_t offset;    /* of its first float in the flat arrays; a multiple of CUDA_CHUNK */
    uint64_t count;     /* floats */
    int32_t trained;    /* 0: running statistics, and what is frozen */
    int32_t part;       /* enum optimizer_part, of what is trained */
    float rate;         /* struct weight_tensor's */
    int32_t orthogonal; /* it has an update; if not, the next field is not read */
    uint64_t update;    /* offset of that, in floats; a multiple of CUDA_CHUNK */

    /* Of a kernel that has a copy; rows is 0 where there is none, and then only copy and first_row are read. */
    int32_t out, in, taps; /* of the master; taps = height * width */
    int32_t rows, depth;   /* of the copy: rows >= out, depth >= in * blocks */
    int32_t blocks;
    int32_t wide;       /* its gradient is float32, whatever the type; otherwise of the activation type */
    uint64_t copy;      /* offset of the first element in the array of copies; a multiple of 8 */
    uint64_t gradient;  /* offset of its gradient's first byte in the array of gradients; a multiple of 16 */
    uint64_t first_row; /* sum of rows of the tensors before this one */

    int32_t folded; /* whether there is such a batch norm; if not, its fields are not read */
    uint64_t scale, shift, mean, var; /* of the batch norm, [out] each: offsets in the flat array */
    uint64_t bias;                    /* the convolution's, likewise; CUDA_NO_BIAS */
};
#define CUDA_NO_BIAS UINT64_MAX
/* Of a copy, at most: our kernels count offsets in it in 32 bits, cuBLAS those of a row in 31. */
#define CUDA_COPY_ELEMENTS ((size_t)1 << 31)

CUDA_INLINE size_t cuda_chunk_count(size_t total)
{
    return (total + CUDA_CHUNK - 1) / CUDA_CHUNK;
}

/* Elements of the copy. */
CUDA_INLINE size_t cuda_copy_count(const struct cuda_weight *w)
{
    return (size_t)w->rows * (size_t)w->taps * (size_t)w->depth;
}

/* Where the element at `plain` in the host's order stands in the master. */
CUDA_INLINE size_t cuda_master_offset(size_t plain, size_t in, size_t taps)
{
    const size_t pair = plain / taps, tap = plain % taps, row = pair / in;
    return (row * taps + tap) * in + pair % in;
}

/* ---- optimizer.cu ---- */

/* What a step's gradients are multiplied by, and whether the step counts. */
struct cuda_scaling {
    float factor; /* 1 / scale; 0: the step changes nothing */
};

/* All that happens to the weights at the end of a step. */
struct cuda_update {
    size_t floats; /* of a flat array; whole chunks */
    int32_t count;
    const struct cuda_weight *weights; /* [count], in the table's order */
    const struct cuda_step *step;
    struct optimizer optimizer;
    const struct cuda_scaling *scaling; /* NULL: gradients are as they are */
    /* of kernels that have copies, each in its copy's order; NULL: theirs are flat, too */
    const void *kernel_gradients;
    const float *gradients;        /* flat: all others; NULL: no weight changes */
    const float *updates;          /* of the weights that are orthogonal */
    float *value, *first, *second; /* second is touched by AdamW alone and may otherwise be NULL */
    float *average;                /* NULL: not wanted */
    void *copies;
};

/* Updates trained weights and, rounded, their copies (not the padding); then average = decay * average + (1 - decay) *
 * value over all weights, decay = step->average_decay; then, with step->look_ahead, values and copies become the
 * averages. */
cudaError_t cuda_launch_update(cudaStream_t stream, enum cuda_type type, const struct cuda_update *update);

/* Bytes of `scratch`, which begins with the struct cuda_scaling that the update reads. */
size_t cuda_scaling_scratch(void);
/* Looks for gradients of trained weights that are not finite, fills the struct and changes the scale in `metrics`. Of
 * the update it reads weights and gradients. */
cudaError_t cuda_launch_scaling(cudaStream_t stream, enum cuda_type type, const struct cuda_update *update,
                                double *metrics, void *scratch, unsigned *tickets);

/* ---- orthogonalise.cu ---- */

/* The beginning of Muon's update of one kernel: the velocity's change by the gradient, which is read as the update
 * reads it, and X, divided by its norm. A step whose factor is 0 leaves the velocity as it is; X is then zeros. */
struct cuda_momentum {
    struct cuda_weight weight;
    float momentum;
    const struct cuda_scaling *scaling; /* of the step's gradients; NULL: they are as they are */
    const void *kernel_gradients;       /* as in struct cuda_update */
    const float *gradients;
    float *velocity;         /* flat */
    int32_t columns, stride; /* of X; stride is a multiple of 8 */
    float *x;                /* out [rows][stride]; beyond the columns it is left alone */
    void *scratch;           /* cuda_momentum_scratch() bytes */
    unsigned *tickets;
};
size_t cuda_momentum_scratch(void);
cudaError_t cuda_launch_momentum(cudaStream_t stream, enum cuda_type type,
                                 const struct cuda_momentum *momentum);

/* `update`, [count] floats without gaps between rows, from x as above; zeros behind them to the end of the last chunk,
 * for the weights' update to leave gaps as they are. */
cudaError_t cuda_launch_close_rows(cudaStream_t stream, size_t count, int32_t columns, int32_t stride,
                                   const float *x, float *update);

/* ---- kernel_copies.cu ---- */

/* Copies are made from the masters, and biases from batch norms that are folded into kernels. */
struct cuda_kernel_copies {
    int32_t count;
    const struct cuda_weight *weights; /* [count], in the table's order */
    const float *values;               /* masters */
    int32_t fold;                      /* copies of folded kernels are times their factors */
    float epsilon;                     /* of those batch norms */
    size_t elements; /* of the array of copies, gaps between copies included; a multiple of 8 */
    void *copies;    /* all elements are written, padding included */
    uint64_t rows;   /* of all copies together */
    void *biases;    /* [rows] in the activation type; zeros in padding and where nothing is folded */
};
/* Makes every copy; does not read rows. */
cudaError_t cuda_launch_kernel_copies(cudaStream_t stream, enum cuda_type type,
                                      const struct cuda_kernel_copies *copies);
/* Makes the biases; does not read elements and fold. */
cudaError_t cuda_launch_folded_biases(cudaStream_t stream, enum cuda_type type,
                                      const struct cuda_kernel_copies *copies);

/* Gradients of kernels, as convolutions and dense layers leave them, into the flat array, for what sums them up
 * there. */
struct cuda_kernel_gradients {
    int32_t count;
    const struct cuda_weight *weights; /* [count], in the table's order */
    /* of the tensors that lie in these offsets, end not included; first: one's beginning */
    size_t first, end;
    const void *kernel_gradients;
    float *gradients; /* flat; of tensors without copy it is left alone */
};
cudaError_t cuda_launch_kernel_gradients(cudaStream_t stream, enum cuda_type type,
                                         const struct cuda_kernel_gradients *flattened);

/* ---- remap.cu ---- */

/* One entry of a remap list (host/net/remap.h), with its tables in device memory. */
struct cuda_remap {
    uint64_t child, source; /* offsets of the first float in the flat arrays */
    int32_t dims[4], source_dims[4];
    int32_t has_source; /* 0: everything is fill, source and source_dims are not read */
    uint32_t part;      /* layer id * 8 + role of the child: the noise's counter */
    const int32_t *out_index, *in_index,
        *identity;                     /* [dims[0]], [dims[1]], [dims[0]]; NULL as in struct remap */
    const float *out_scale, *in_scale; /* [dims[0]], [dims[1]]; NULL: 1 */
    float fill, noise;
    uint64_t first_element; /* sum of the elements (product of dims) of the entries before this one */
};

/* Fills all entries of child from parent, both in the masters' order; gaps and tensors without entry are
 * left alone. Values without noise are the host's bit for bit. Noise is the same draw, but the device's sine, logarithm
 * and root may round the last bit of the double differently: the float differs then by at most its last digit. */
struct cuda_inheritance {
    int32_t count;
    const struct cuda_remap *entries; /* [count] */
    uint64_t elements;                /* of all entries together */
    uint64_t seed;
    const float *parent;
    double *deviations; /* scratch, [count] */
    float *child;
};
cudaError_t cuda_launch_remap(cudaStream_t stream, const struct cuda_inheritance *inheritance);

/* Elements first .. first + count - 1, in the host's order, of a kernel [out][in][taps]: out of its master, or into
 * it. */
cudaError_t cuda_launch_from_master(cudaStream_t stream, int32_t in, int32_t taps, size_t first, size_t count,
                                    const float *master, float *plain);
cudaError_t cuda_launch_to_master(cudaStream_t stream, int32_t in, int32_t taps, size_t first, size_t count,
                                  const float *plain, float *master);

#ifdef __cplusplus
}
#endif

#endif
