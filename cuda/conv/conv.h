/* Convolutions by cuDNN: forward, gradient of the data, gradient of the kernel; and for inference forward with what
 * follows it in the same pass: a sum, a bias, ReLU.
 *
 *     conv_planner_open(index, &options, &planner, &err)              one a device
 *     conv_geometry_of(x, y, &window, &geometry)
 *     conv_planner_plan(planner, CONV_FORWARD, &geometry, &plan, &err)    chosen once a shape, then remembered
 *     conv_plan_workspace(plan)                                       bytes, part of the memory plan
 *     conv_plan_execute(plan, handle, &operands, &err)                may be captured in a CUDA Graph
 *
 * Layouts (kernels.h): activations NHWC with channels padded to multiples of 8, kernels KRSC copies as struct
 * cuda_weight describes them, both in the planner's type; sums are taken in float32. Padding channels hold zeros in
 * every input and receive zeros in y and dx; in dkernel nobody reads them. Biases that are not fused are not ours:
 * cuda_launch_add_bias, cuda_launch_bias_gradient.
 *
 * bf16 needs compute capability 8.0: cuDNN has nothing for it on older devices (they take CUDA_FLOAT). */
#ifndef NASRUN_CUDA_CONV_CONV_H
#define NASRUN_CUDA_CONV_CONV_H

#include "cuda/kernels/kernels.h"
#include "host/base/error.h"
#include "host/net/graph.h"

#include <cudnn.h>
#include <stdbool.h>

enum conv_kind {
    CONV_FORWARD,
    CONV_BACKWARD_DATA,
    CONV_BACKWARD_WEIGHTS,
    /* Fused: y = ReLU(convolution + addend + bias), of which the name's parts are there. In this order, and with a bias
     * of the planner's type, cuDNN has them precompiled for all devices; only such plans are taken, so there may be
     * none. ReLU may make 0 of NaN. */
    CONV_BIAS,
    CONV_BIAS_RELU,
    CONV_ADD_BIAS,
    CONV_ADD_BIAS_RELU,
    CONV_KIND_COUNT
};

/* "convolution backward data", "convolution + bias + ReLU" */
const char *conv_kind_name(enum conv_kind kind);

static inline enum conv_kind conv_fused_kind(bool adds, bool rectifies)
{
    return adds ? (rectifies ? CONV_ADD_BIAS_RELU : CONV_ADD_BIAS) : rectifies ? CONV_BIAS_RELU : CONV_BIAS;
}
static inline bool conv_is_fused(enum conv_kind kind)
{
    return kind >= CONV_BIAS;
}
static inline bool conv_adds(enum conv_kind kind)
{
    return kind == CONV_ADD_BIAS || kind == CONV_ADD_BIAS_RELU;
}
static inline bool conv_rectifies(enum conv_kind kind)
{
    return kind == CONV_BIAS_RELU || kind == CONV_ADD_BIAS_RELU;
}

/* ---- geometry ---- */

struct conv_window {
    int32_t kernel_h, kernel_w, stride, pad_h, pad_w, groups;
};

/* A convolution as the device does it: sizes of the stored tensors. Only int32, without gaps: two can be
 * compared and hashed as bytes. */
struct conv_geometry {
    int32_t n, c, h, w; /* x and dx: c is padded */
    int32_t rows;       /* channels of y and dy: padded; cuda_weight.rows */
    int32_t depth;      /* channels of a kernel's row; cuda_weight.depth */
    int32_t kernel_h, kernel_w, stride, pad_h, pad_w;
    int32_t groups; /* of the device's convolution: c / depth */
    int32_t blocks; /* cuda_weight.blocks */
};

/* x, y: plain shapes. Groups stay groups where both channel counts of a group are multiples of 8 and where
 * each channel is its own group with one output (depthwise); other groups become a plain convolution whose
 * kernel copy holds zeros outside the groups' blocks. */
void conv_geometry_of(struct shape x, struct shape y, const struct conv_window *window,
                      struct conv_geometry *geometry);

/* Height and width of y. */
int32_t conv_out_height(const struct conv_geometry *geometry);
int32_t conv_out_width(const struct conv_geometry *geometry);

/* ---- plans ---- */

struct conv_options {
    enum cuda_type type;
    bool deterministic;     /* only algorithms that give the same bits in every run */
    bool tensor_float;      /* CUDA_FLOAT: the tensor cores' TF32 may be used, with 10 bits of mantissa */
    size_t workspace_limit; /* bytes; a plan beyond it is taken only where there is no other */
    /* So many candidates, CONV_MOST_TIMED at most, are timed and the fastest taken, but for fused kinds; below 2: the
     * first that runs. Two runs, or two equal devices, may measure differently and then round differently, unless the
     * cache folder remembers the choice. */
    int32_t timed;
    const char *cache_folder; /* where choices are kept; private to the user, for they hold executable code;
                                 NULL: nowhere */
};

enum { CONV_WORKSPACE_LIMIT = 64 << 20 /* the default */, CONV_MOST_TIMED = 16 };

struct conv_planner;
struct conv_plan;

/* For the device `index`: CUDA's number, the calling thread's current device. `options` are copied. The planner has a
 * cuDNN handle and a stream of its own, of the highest priority: what it tries waits for nothing that others have
 * queued on the device, and they don't wait for it. Planners of equal devices choose apart from each other but for the
 * cache folder: there they take turns, a shape is tried on one of them only, and the others do as it did. */
enum status conv_planner_open(int32_t index, const struct conv_options *options,
                              struct conv_planner **planner, struct error *err);

/* For a device that is not there, described in JSON as CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION has it:
 * plans can be made and asked about, not executed. */
enum status conv_planner_open_described(const char *description, const struct conv_options *options,
                                        struct conv_planner **planner, struct error *err);

/* Frees its plans too. NULL is allowed. */
void conv_planner_close(struct conv_planner *planner);

/* The plan for that shape: remembered, or read from the cache folder, or chosen. It belongs to the planner. Any thread
 * whose current device is the planner's may call, also while another one plans (they take turns) or records a CUDA
 * Graph in thread-local mode. Takes milliseconds where it is chosen without timing, seconds where cuDNN has to compile
 * a kernel (depthwise). ST_UNSUPPORTED when cuDNN has no plan, or none of a fused kind that runs: there is another way;
 * ST_DEVICE when none of another kind runs. Where candidates are run, that takes device memory for as long as it lasts:
 * the operation's tensors and the largest workspace. */
enum status conv_planner_plan(struct conv_planner *planner, enum conv_kind kind,
                              const struct conv_geometry *geometry, const struct conv_plan **plan,
                              struct error *err);

/* Between the two calls nobody plans, so no trial holds device memory: how much is free then, and whether an allocation
 * is refused, does not depend on what another thread happens to try. `hold` waits for one plan at most, which may in
 * turn wait for the same one of an equal device. The thread that holds does not plan. NULL is allowed: a device without
 * a planner yet. */
void conv_planner_hold(struct conv_planner *planner);
void conv_planner_release(struct conv_planner *planner);

size_t conv_plan_workspace(const struct conv_plan *plan); /* bytes */

/* What was planned, and what cuDNN says of its choice. */
struct conv_plan_info {
    enum conv_kind kind;
    enum cuda_type type;
    struct conv_geometry geometry;
    int64_t engine;                            /* its number in this version of cuDNN */
    bool tensor_core, deterministic, compiled; /* compiled: at run time, not with the library */
    bool cached;                               /* read from the cache folder */
    int32_t rank;                              /* place among the candidates, from 0; -1 when cached */
    double seconds;                            /* measured; 0: not timed */
};
struct conv_plan_info conv_plan_describe(const struct conv_plan *plan);

/* Device pointers, multiples of 16, to the tensors of those places or to their gradients. */
struct conv_operands {
    void *x, *kernel, *y;
    void *addend; /* like y; only where the kind adds */
    void *bias;   /* [rows], in the planner's type; only where it is fused */
    /* conv_plan_workspace bytes, a multiple of 256, free for the duration; NULL where that is 0. */
    void *workspace;
};

/* Queues the operation on the handle's stream. CONV_BACKWARD_DATA writes dx, CONV_BACKWARD_WEIGHTS dkernel, all others
 * y; the rest is only read. */
enum status conv_plan_execute(const struct conv_plan *plan, cudnnHandle_t handle,
                              const struct conv_operands *operands, struct error *err);

#endif
