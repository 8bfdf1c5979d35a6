/* What the files of the CUDA device share; kernels.h describes the layouts.
 *
 * One stream a device: everything is queued on it in the order of the calls, so that nothing else has to be ordered;
 * only weight gradients of convolutions have another (cuda_branch.c), the collectives of a group (cuda_collectives.c),
 * and the planner (conv.h). A step ends on the device's stream, and what is read waits for that.
 *
 * Threads. A second one may prepare programs: cuda_program_prepare reads what is fixed since the device was opened, and
 * asks the planner, which has a lock, a cuDNN handle and a stream of its own; the device's stream and handle, its pace
 * and its counters belong to the first. Plans are executed only by the first, when they are whole.
 *
 * A step. Its parameters (struct cuda_step) are written to one address in device memory by a launch of their own
 * (step.cu); the kernels' working copies are made anew when the weights were changed by anything but the step before,
 * which leaves them as they are to be; then the operations run. The first step after a bind queues them one by one,
 * which also loads whatever the libraries load late; the second records them in a CUDA Graph; from then on a step is
 * two or three calls. Should the recording fail, steps go on being queued one by one, and the program's report says
 * why. In a group the first step waits for each of its collectives, and all members replay a recording or none does.
 *
 * Memory: a prepared program owns one block, taken at bind; struct device_program names its regions. Nothing
 * allocates in a step. */
#ifndef NASRUN_CUDA_DEVICE_CUDA_INTERNAL_H
#define NASRUN_CUDA_DEVICE_CUDA_INTERNAL_H

#include "cuda/conv/conv.h"
#include "cuda/kernels/kernels.h"
#include "host/device/checks.h"

#include <cublas_v2.h>
#include <stdbool.h>

enum {
    CUDA_ALIGNMENT = 256,
    CUDA_AHEAD = 8, /* steps that the host may be ahead of the device */
    CUDA_STAGING = 4 << 20,
};

/* The stream of weight gradients (cuda_branch.c). */
struct cuda_branch {
    cudaStream_t stream;
    cudnnHandle_t cudnn; /* bound to it */
    cudaEvent_t fork, join;
    bool forked; /* something is on it that the device's stream has not waited for */
};

struct device {
    struct device_base base;
    int32_t index;
    struct device_info info; /* as it was opened: free memory is asked for each time */
    enum cuda_type type;     /* of activations */
    cudaStream_t stream;
    cudaMemPool_t pool;  /* NULL: the device has none */
    uint64_t peers;      /* bit by index: whose memory it reaches, as far as that was asked for */
    cudnnHandle_t cudnn; /* bound to the stream */
    struct cuda_branch branch;
    struct conv_planner *planner;
    cublasHandle_t cublas; /* bound to the stream and to: */
    /* device memory, 32 MiB from compute capability 9.0 on, 4 MiB before; between products it may be used on the
     * stream, CUDA_STAGING bytes of it */
    void *cublas_workspace;
    cublasComputeType_t products; /* of float32, or of TF32 */
    struct cuda_step *step;       /* device memory: the step in hand */
    struct cuda_pace *pace;       /* of its steps */
    struct cuda_member *member;   /* its part in a group; NULL: none */
    uint64_t serial;              /* of the youngest weight set, dataset or membership */
};

struct device_dataset {
    struct device_dataset_base base;
    uint64_t serial; /* no two objects of a device have the same */
    char *memory;    /* device memory: */
    uint8_t *pixels;
    int32_t *labels;
    float *levels;        /* of cuda_gather_levels */
    float *class_weights; /* NULL: none */
    uint8_t *label_sets;  /* NULL: none */
};

struct device_weights {
    struct device_weights_base base;
    size_t floats;               /* of a slot: whole chunks */
    float *memory;               /* device memory, all of: */
    float *slots[SLOT_GRADIENT]; /* in the masters' order, zeros in the gaps; NULL where the set has none */
    uint64_t serial;
    uint64_t version; /* moves with every change of values or averages; starts at 1 */
};

/* What prepare found out about one operation. */
struct cuda_op {
    const struct conv_plan *plan; /* convolutions, folded batch norms; the planner's */
    int32_t kernel;               /* a convolution's or dense layer's: its index in the weight table; -1 */
    int32_t folded_conv;          /* a folded batch norm: the convolution that it does too; -1 */
    /* a convolution: its batch norm does it; a weight average: the optimizer's kernel does */
    bool folded_away;
};

/* Offsets into the block of a program, in bytes. */
struct cuda_regions {
    size_t arena;   /* 0 */
    size_t scratch; /* shared by all operations on the device's stream: each may use all of it */
    size_t tickets; /* of kernels.h; zeros between operations */
    size_t branch_scratch, branch_tickets; /* the same of the branch; nothing in evaluation */
    size_t scaling; /* cuda_scaling_scratch() bytes, of the step in hand; training in fp16 only */
    size_t weights; /* struct cuda_weight, [weights.count] */
    size_t copies;  /* working copies of kernels */
    size_t biases;  /* of folded batch norms, in the activation type, [copy_rows]; nothing without them */
    size_t copy_gradients; /* gradients in the copies' layout; training only */
    size_t gradients;      /* float, flat like a weight slot: see cuda_gradient_copied; training only */
    size_t probabilities;  /* float32 [batch][classes] */
    size_t metrics;        /* METRIC_COUNT doubles */
    size_t total;
};

struct device_program {
    struct device_program_base base;
    struct device *device;
    const struct program *program;
    size_t *offsets;     /* [tensor_count], into the arena */
    struct cuda_op *ops; /* [op_count] */

    struct cuda_weight *weights; /* [weights.count], host; offsets in bytes follow from `copy` */
    uint64_t copy_rows;          /* sum of rows */
    size_t copy_elements;        /* of all copies */
    size_t copy_gradient_bytes;
    int32_t fold_count; /* batch norms that are folded */

    struct cuda_regions at;
    size_t scratch_bytes, branch_scratch_bytes;
    char *memory; /* device memory; NULL before bind */

    struct device_binding binding; /* samples is NULL: they are on the device */
    int32_t *samples;              /* device memory */
    int32_t sample_capacity;
    uint64_t weights_serial, dataset_serial, group_serial; /* of what the graph was recorded with */
    uint64_t copied_version;     /* of the bound weights when the copies were made; 0: none yet */
    bool copied_folded;          /* with batch norms folded into them */
    int32_t steps_queued;        /* one by one, since the binding changed */
    struct device_report report; /* recorded: of `graph`; after a failure no other recording is tried */
    cudaGraphExec_t graph;       /* NULL: not recorded */

    double metrics[METRIC_COUNT]; /* before bind */
};

/* ---- cuda_device.c ---- */

/* Makes the device the calling thread's current one; the first thing in every function of the interface that
 * may be called with a device. */
enum status cuda_enter(const struct device *device, struct error *err);
/* Waits for everything queued. `what` for the message: "read metrics". */
enum status cuda_wait(const struct device *device, const char *what, struct error *err);
/* ST_OK, or ST_DEVICE (ST_MEMORY when that is what lacks) with "CUDA cannot `what`: REASON". */
enum status cuda_check(cudaError_t error, const char *what, struct error *err);
/* The same for an event; what comes behind it goes on meanwhile. */
enum status cuda_wait_event(const struct device *device, cudaEvent_t event, const char *what,
                            struct error *err);
/* Copies between host and device memory and waits until that is done. In a group the stream is waited for before the
 * copy, too: one from or to memory that is not pinned may wait inside CUDA, where no timeout reaches. */
enum status cuda_copy(const struct device *device, void *to, const void *from, size_t bytes,
                      enum cudaMemcpyKind kind, const char *what, struct error *err);
/* Pinned host memory (device.h). */
enum status cuda_host_allocate(struct device *device, size_t bytes, void **memory, struct error *err);
void cuda_host_free(struct device *device, void *memory);
/* How many devices there are, and what one is; struct device_plugin. */
enum status cuda_count(int32_t *count, struct error *err);
enum status cuda_describe(int32_t index, struct device_info *info, struct error *err);

extern const struct device_ops cuda_device_ops;

static inline size_t cuda_round_up(size_t value)
{
    return (value + CUDA_ALIGNMENT - 1) / CUDA_ALIGNMENT * CUDA_ALIGNMENT;
}

/* ---- cuda_versions.c: struct device_plugin ---- */

/* The driver and the libraries that are loaded: "driver for CUDA 13.0, CUDA 13.0, cuDNN 9.19.0, NCCL 2.28.9". */
void cuda_versions(char *text, size_t size);
enum status cuda_can_group(struct error *err);
bool cuda_library(int32_t index, char *text, size_t size);

/* ---- cuda_memory.c ---- */

/* The device's stream is there already. */
enum status cuda_memory_open(struct device *device, struct error *err);
/* Waits for the device, and gives what its pool holds unused to whoever wants it. */
void cuda_memory_trim(const struct device *device);
/* Of the calling thread's current device; what is unused in the pool (NULL: none) is free. */
enum status cuda_memory_available(cudaMemPool_t pool, size_t *available, size_t *total, struct error *err);
/* Device memory; *memory is NULL on errors. `what`: what it is for. ST_MEMORY only when it is not to be had without the
 * planner's trials either: those last for moments, and nothing that follows may depend on them. It may be used by what
 * is queued on the device's stream from now on, and by what waits for that. */
enum status cuda_allocate(const struct device *device, size_t bytes, const char *what, void *memory,
                          struct error *err);
/* Gives it back when the device's stream gets there; NULL is allowed. */
void cuda_release(const struct device *device, void *memory);
/* Lets the device, the calling thread's current one, read and write the memory of another one without the host's help,
 * where the hardware can. */
enum status cuda_memory_reach(struct device *device, const struct device *owner, struct error *err);
/* The same, each of them every other one. */
enum status cuda_memory_reach_all(struct device *const *devices, int32_t count, struct error *err);

/* ---- cuda_probe.c ---- */

/* Measures device->info.flops and bytes in a few hundredths of a second. cache: bytes of the device's. */
enum status cuda_probe(struct device *device, size_t cache, struct error *err);
/* The folder where convolution plans are kept, made when it is not there; "" when there is no folder that can be
 * written to.
 */
void cuda_cache_folder(char *path, size_t size);

/* ---- cuda_nvml.c ---- */

/* Bytes of the GPU that are free, without making a context there; 0 where nobody can tell. */
size_t cuda_nvml_free(const struct cudaDeviceProp *properties);
/* Joules that the GPU has used since its driver was loaded; NAN where nobody can tell. */
double cuda_nvml_joules(const struct cudaDeviceProp *properties);

/* ---- cuda_dataset.c ---- */

enum status cuda_dataset_upload(struct device *device, const struct dataset_view *view,
                                struct device_dataset **dataset, struct error *err);
void cuda_dataset_free(struct device *device, struct device_dataset *dataset);

/* ---- cuda_weights.c ---- */

enum status cuda_weights_new(struct device *device, const struct weight_table *table, int32_t slots,
                             struct device_weights **weights, struct error *err);
void cuda_weights_free(struct device *device, struct device_weights *weights);
enum status cuda_weights_upload(struct device *device, struct device_weights *weights, enum weight_slot slot,
                                const float *values, struct error *err);
enum status cuda_weights_download(struct device *device, struct device_weights *weights,
                                  enum weight_slot slot, float *values, struct error *err);
enum status cuda_weights_remap(struct device *device, struct device_weights *child,
                               const struct device_weights *parent, enum weight_slot from,
                               const struct remap_list *remaps, uint64_t seed, struct error *err);

enum status cuda_weights_copy(struct device *device, struct device_weights *weights, enum weight_slot to,
                              struct device *owner, const struct device_weights *source,
                              enum weight_slot from, struct error *err);

/* ---- cuda_group.c ---- */

enum status cuda_group_open(struct device *const *devices, int32_t count, double timeout,
                            struct device_group **group, struct error *err);
void cuda_group_close(struct device_group *group);
void cuda_group_abort(struct device_group *group, const char *reason);
enum status cuda_group_check(struct device_group *group, struct error *err);
size_t cuda_group_bytes(const struct device_group *group);
/* Waits for the event, or for the device's stream where it is NULL, of a device that is in a group: not longer than the
 * group's timeout, and not when the group is broken. */
enum status cuda_group_wait(const struct device *device, cudaEvent_t event, const char *what,
                            struct error *err);
/* *able becomes whether every member is able, once all have asked; as it is for a program without a group. Not between
 * enter and leave. Who waits for the others longer than the group's timeout breaks it. */
enum status cuda_group_agree(const struct device_program *prepared, const char *what, bool *able,
                             struct error *err);

/* ---- cuda_collectives.c ---- */

enum status cuda_group_average(struct device_group *group, struct device *device,
                               struct device_weights *weights, enum weight_slot slot, struct error *err);
enum status cuda_group_broadcast(struct device_group *group, struct device *device,
                                 struct device_weights *weights, enum weight_slot slot, int32_t root,
                                 struct error *err);
/* Of the device's membership that the binding uses; 0: none. */
uint64_t cuda_group_serial(const struct device *device, const struct device_binding *binding);
/* Around the queueing of a step; nothing for a program without a group. ST_DEVICE when the group is broken; there is
 * nothing to leave then. */
enum status cuda_group_enter(struct device_program *prepared, struct error *err);
void cuda_group_leave(struct device_program *prepared);
/* Lets what is queued from now on wait for the program's collectives. */
enum status cuda_group_join(struct device_program *prepared, struct error *err);
/* Waits for them, between enter and leave. */
enum status cuda_group_settle(struct device_program *prepared, struct error *err);

/* ---- cuda_copies.c: working copies of kernels ---- */

/* Fills `weights` and the sums of copies from the operations; their ops[].kernel and ops[].plan too. */
enum status cuda_copies_find(struct device_program *prepared, struct error *err);
/* Fills the region `weights`. */
enum status cuda_copies_upload(struct device_program *prepared, struct error *err);
/* Queues the making of all copies when the weights have moved since, or were not `folded` as they are to be. */
enum status cuda_copies_refresh(struct device_program *prepared, bool folded, struct error *err);
/* Queues on `stream` the conversion of the gradients of kernels first .. last of the weight table into the flat
 * buffer. */
enum status cuda_copies_gradients(struct device_program *prepared, int32_t first, int32_t last,
                                  cudaStream_t stream, struct error *err);
/* *scaling: of the step's gradients; NULL in all types but fp16. The first of the
 * operations that take gradients to weights, of which one is `index`, queues what fills it. */
enum status cuda_copies_scale(struct device_program *prepared, int32_t index,
                              const struct cuda_scaling **scaling, struct error *err);
/* Queues the momentum of a kernel; weight, scaling, sizes, x and scratch are filled in already. */
enum status cuda_copies_momentum(const struct device_program *prepared, struct cuda_momentum *momentum,
                                 struct error *err);
/* Queues the end of a step (kernels.h: struct cuda_update), with the weights' change and their average or one of them,
 * and the copies that follow from the change. scaling: NULL: gradients are as they are. */
enum status cuda_copies_update(struct device_program *prepared, const struct cuda_scaling *scaling,
                               bool change, bool average, struct error *err);
/* Whether a kernel's gradient stays in its copy's order, where the update reads it. In a group all gradients are summed
 * up in the flat buffer, in float32. */
static inline bool cuda_gradient_copied(const struct device_program *prepared, int32_t weight)
{
    return prepared->weights[weight].rows > 0 && prepared->binding.group == NULL;
}

/* ---- cuda_fold.c: batch norms folded into convolutions ---- */

/* After cuda_copies_find: finds them and their plans, and tells the copies. */
enum status cuda_fold_find(struct device_program *prepared, struct error *err);
/* Lets the inputs of folded convolutions live until their batch norms; tensors: [tensor_count], the program's. */
void cuda_fold_lifetimes(const struct device_program *prepared, struct prog_tensor *tensors);
/* ---- cuda_branch.c: weight gradients beside the rest ---- */

/* Makes all but the cuDNN handle. Closing frees what an opening that failed has made, too. */
enum status cuda_branch_open(struct device *device, struct error *err);
void cuda_branch_close(struct device *device);
/* Whether operations of that kind run on the branch. */
bool cuda_is_branched(enum prog_op_kind kind);
/* The operations that take gradients to weights, behind all that make gradients: they wait for the branch. */
static inline bool cuda_takes_gradients(enum prog_op_kind kind)
{
    return kind == PROG_OP_ORTHOGONALISE || kind == PROG_OP_OPTIMIZER;
}
/* Lets what is queued on the branch from now on wait for what the device's stream has been given so far. */
enum status cuda_branch_fork(struct device *device, struct error *err);
/* The other way round. */
enum status cuda_branch_join(struct device *device, struct error *err);
/* Lets what the branch reads live until the device's stream has waited for it; tensors: the program's, or a copy. */
void cuda_branch_lifetimes(const struct program *program, struct prog_tensor *tensors);

/* ---- cuda_program.c ---- */

enum status cuda_program_prepare(struct device *device, const struct program *program,
                                 struct device_program **prepared, struct error *err);
void cuda_program_free(struct device *device, struct device_program *prepared);
size_t cuda_program_bytes(const struct device_program *prepared);
enum status cuda_program_bind(struct device *device, struct device_program *prepared,
                              const struct device_binding *binding, struct error *err);

/* Device address of a tensor of a bound program; NULL for -1. */
void *cuda_address(const struct device_program *prepared, int32_t tensor);
/* The slot that weight tensors read: averages in an evaluation that asks for them. */
static inline float *cuda_weights_read(const struct device_program *prepared)
{
    return prepared->binding.weights->slots[prepared->binding.use_average ? SLOT_AVERAGE : SLOT_VALUE];
}
/* What an operation on the device's stream may use while it runs: all of the region. */
static inline void *cuda_scratch(const struct device_program *prepared)
{
    return prepared->memory + prepared->at.scratch;
}
/* A kernel's working copy, and the offset of its gradient in the copies' layout. */
static inline void *cuda_copied(const struct device_program *prepared, const struct cuda_weight *kernel)
{
    return prepared->memory + prepared->at.copies + kernel->copy * cuda_type_size(prepared->device->type);
}
static inline void *cuda_copied_gradient(const struct device_program *prepared,
                                         const struct cuda_weight *kernel)
{
    return prepared->memory + prepared->at.copy_gradients + kernel->gradient;
}
static inline unsigned *cuda_tickets(const struct device_program *prepared)
{
    return (unsigned *)(void *)(prepared->memory + prepared->at.tickets);
}
static inline struct cuda_shape cuda_shape_of(const struct device_program *prepared, int32_t tensor)
{
    struct shape s = prepared->program->tensors[tensor].shape;
    return (struct cuda_shape){s.n, s.c, s.h, s.w};
}

/* ---- cuda_run.c ---- */

enum status cuda_program_run(struct device *device, struct device_program *prepared, const struct step *step,
                             struct error *err);
enum status cuda_program_run_op(struct device *device, struct device_program *prepared, int32_t op,
                                const struct step *step, struct error *err);
void cuda_program_report(const struct device_program *prepared, struct device_report *report);
/* Forgets the recorded graph. */
void cuda_graph_forget(struct device_program *prepared);

/* ---- cuda_pace.c: how far the host is ahead, how long steps take ---- */

enum status cuda_pace_open(struct device *device, struct error *err);
void cuda_pace_close(struct device *device); /* after an open that failed, too */
/* Before a step is queued, and behind it. May wait for an earlier one. timed: it is one of those whose time counts. */
enum status cuda_pace_begin_step(struct device_program *prepared, bool timed, struct error *err);
enum status cuda_pace_end_step(struct device_program *prepared, struct error *err);
/* Before the host waits for all that is queued on the device's stream, and when it has waited. */
enum status cuda_pace_pause(const struct device *device, struct error *err);
enum status cuda_pace_paused(const struct device *device, struct error *err);
/* The program's steps since the last wait are not timed. */
void cuda_pace_forget(const struct device_program *prepared);

/* ---- cuda_tensors.c: what can be read and written ---- */

/* Bytes of a tensor in the arena; 0 when it does not live there. */
size_t cuda_tensor_bytes(const struct device *device, const struct prog_tensor *tensor);
/* Bytes of a tensor from its address on, wherever it lives. */
size_t cuda_stored_bytes(const struct device_program *prepared, int32_t tensor);
enum status cuda_program_metrics(struct device *device, struct device_program *prepared,
                                 double metrics[METRIC_COUNT], struct error *err);
enum status cuda_program_set_metrics(struct device *device, struct device_program *prepared,
                                     const double metrics[METRIC_COUNT], struct error *err);
enum status cuda_program_probabilities(struct device *device, struct device_program *prepared,
                                       float *probabilities, struct error *err);
enum status cuda_program_tensor(struct device *device, struct device_program *prepared, int32_t id,
                                float *values, struct error *err);
enum status cuda_program_set_tensor(struct device *device, struct device_program *prepared, int32_t id,
                                    const float *values, struct error *err);

/* ---- cuda_dense.c ---- */

/* cuBLAS's handle and workspace. major: of the compute capability; tensor_float: float32 is multiplied as TF32. Closing
 * frees what an opening that failed has made, too. */
enum status cuda_dense_open(struct device *device, int major, bool tensor_float, struct error *err);
void cuda_dense_close(struct device *device);
/* "cuBLAS 13.1.0". */
void cuda_dense_version(char *text, size_t size);

#endif
