/* What the files of the CPU device share.
 *
 * Layout rule: every activation is *blocked*: [N][ceil(C / B)][H][W][B]; lanes beyond C hold zeros, always. In
 * float32 B is 16 where oneDNN uses AVX-512 and 8 elsewhere. In bf16 there is one block, of all channels rounded up to
 * 16: [N][H][W][B], because oneDNN's kernels for AMX take nothing else. With H = W = 1 both are row-major
 * [N][C rounded up], so logits and dense outputs are rows padded to a multiple of 8 or 16. Vectors are padded
 * likewise, a max pool's index is one byte an element in the order of its activation, labels are int32
 * [N]. One exception: a float32 image of at most four channels that only ungrouped convolutions read is plain
 * [N][C][H][W], which oneDNN's first-layer kernels take (blocked, three of four or more lanes would be
 * computed for nothing; AMX is fast enough to do that). Vectors, updates and all that belongs to weights are float32.
 * Weights and their slots are flat float arrays in the weight table's order, so that
 * optimizer, average, upload, download and remap are exact and plain. Convolutions and dense layers copy them
 * into the layout and the type that they like: one copy an operation ("kept"), made anew only when `version` of the
 * weight set has moved.
 *
 * Memory: a prepared program owns one block, taken at bind: arena | kept copies | scratch | gradients |
 * probabilities. Every offset in it is known after prepare. Nothing allocates in a step, oneDNN's small
 * argument maps apart.
 */
#ifndef NASRUN_CPU_INTERNAL_H
#define NASRUN_CPU_INTERNAL_H

#include "host/cpu/cpu_dnnl.h"
#include "host/cpu/kernels.h"
#include "host/device/checks.h"
#include "host/device/op_call.h"

#include <sched.h>

enum { CPU_MAX_CALLS = 4, CPU_MAX_ARGS = 5 };

struct device {
    struct device_base base;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t user_scratchpad; /* primitives take their scratchpad from the program's block */
    int32_t index, threads;
    enum cpu_type type; /* of activations and their gradients */
    int32_t block;      /* channels are rounded up to that */
    cpu_set_t allowed;  /* CPUs the opening thread might use */
    int32_t first_cpu;  /* of the allowed ones, where this device's own begin */
    bool pinned;        /* whether steps run with one thread bound to each allowed CPU */
    double flops, bytes;
};

struct device_dataset {
    struct device_dataset_base base;
    struct dataset_view view; /* what it points to are our copies */
    uint8_t *pixels;
    int32_t *labels;
    float *class_weights; /* NULL: none */
    uint8_t *label_sets;  /* NULL: none */
};

struct device_weights {
    struct device_weights_base base;
    float *slots[SLOT_GRADIENT]; /* base.table.total floats each; NULL where the set has none */
    uint64_t version;            /* moves with every change of values or averages; starts at 1 */
};

/* Where an operand lies; becomes an address at bind. */
enum cpu_region { CPU_TENSOR, CPU_KEPT, CPU_SCRATCH };

struct cpu_buffer {
    enum cpu_region region;
    int32_t tensor; /* of CPU_TENSOR */
    size_t offset;  /* bytes into the other regions */
};

/* One oneDNN primitive with its operands. */
struct cpu_call {
    dnnl_primitive_t primitive;
    int32_t count;
    dnnl_exec_arg_t args[CPU_MAX_ARGS];
    struct cpu_buffer buffers[CPU_MAX_ARGS];
};

/* What prepare found out about one operation. */
struct cpu_op {
    struct cpu_call calls[CPU_MAX_CALLS];
    int32_t call_count;
    bool copies_weight; /* the first call is the copy of the weight */
    /* A convolution whose channels were rounded up: its kernel or the kernel's gradient, float32, is at the beginning
     * of the scratch; its bias, or that one's gradient, is `filled_bias`. */
    bool filled;
    struct cpu_buffer filled_bias;
    bool clears_padding; /* of its result, behind its calls */
    bool by_product;     /* a kernel's gradient, see cpu_conv_product.c */
    uint64_t version;    /* of the weights that the kept copy was made from; 0: none yet */
    size_t kept, kept_bytes;
    size_t scratch_bytes; /* scratch is shared by all operations: the program takes the largest */
};

struct cpu_tensor {
    size_t bytes, offset; /* in the arena; 0 bytes: not there */
    bool plain;           /* the exception of the layout rule */
};

struct device_program {
    struct device_program_base base;
    struct device *device;
    const struct program *program;
    struct cpu_tensor *tensors;      /* [tensor_count] */
    struct cpu_op *ops;              /* [op_count] */
    struct cpu_weight_range *ranges; /* the trained weights */
    int32_t range_count;
    size_t kept, scratch, gradients, output, total; /* offsets of the regions; the arena is at 0 */
    char *memory;                                   /* NULL before bind */
    struct device_binding binding;                  /* samples points to our copy */
    int32_t *samples;
    int32_t sample_capacity;
    double metrics[METRIC_COUNT];
    struct device_report report;
};

/* ---- cpu_memory.c ---- */
/* Bytes that a block of `bytes` takes in truth: whole huge pages from 4 MiB on, multiples of 64 below. */
size_t cpu_memory_size(size_t bytes);
/* Zeroed, aligned to 64 bytes at least; NULL when there is not enough. The pages are touched by the team. */
void *cpu_memory_new(size_t bytes, int32_t threads);
void cpu_memory_free(void *memory); /* NULL is allowed */

/* ---- cpu_threads.c ---- */
/* How many threads the calling thread's teams have, without making one: oneDNN plans for that. */
void cpu_threads_limit(const struct device *device);
/* A team of device->threads for the calling thread, bound to CPUs when device->pinned; leave gives the
 * calling thread its own mask back. */
void cpu_threads_enter(const struct device *device);
void cpu_threads_leave(const struct device *device);

/* ---- cpu_probe.c ---- */
/* Measures device->flops and device->bytes in a few hundredths of a second. `choose`: device->type becomes bf16 where
 * a convolution is clearly faster so than in float32, else float32. */
enum status cpu_probe(struct device *device, bool choose, struct error *err);

/* ---- cpu_layout.c ---- */
static inline size_t cpu_round_up(size_t value, size_t unit)
{
    return (value + unit - 1) / unit * unit;
}
static inline int32_t cpu_padded(const struct device *device, int32_t channels)
{
    return (int32_t)cpu_round_up((size_t)channels, (size_t)device->block);
}
/* Channels that lie together, B of the layout rule. */
static inline int32_t cpu_block(const struct device *device, int32_t channels)
{
    return device->type == CPU_BF16 ? cpu_padded(device, channels) : device->block;
}
/* Bytes of each arena tensor and which images are plain; offsets are left for the plan. */
void cpu_layout_tensors(const struct device *device, const struct program *program,
                        struct cpu_tensor *tensors);
/* Between the arena and plain float32 N,C,H,W (labels and indices as floats). */
void cpu_layout_unpack(const struct device_program *prepared, int32_t id, float *values);
void cpu_layout_pack(const struct device_program *prepared, int32_t id, const float *values);
/* Dense kernels from plain [K][C][H][W] to rows in the order of an input, [K padded][C blocks][H][W][B], of the
 * device's type; and the rows' gradient back, which is float32. Rows and lanes that stand for nothing are left. */
void cpu_layout_pack_rows(const struct device *device, struct shape kernel, const float *plain, void *rows);
void cpu_layout_unpack_rows(const struct device *device, struct shape kernel, const float *rows,
                            float *plain);
/* Kernels of convolutions between [k][c][taps] and the same with more of `k` and `c`, which are filled with zeros. */
void cpu_layout_fill_kernel(struct shape kernel, struct shape filled, const float *plain, float *wide);
void cpu_layout_cut_kernel(struct shape kernel, struct shape filled, const float *wide, float *plain);
/* Makes the lanes beyond C of an activation zeros. */
void cpu_layout_clear_padding(const struct device_program *prepared, int32_t id);

/* ---- cpu_primitive.c ---- */
/* oneDNN's name of it. */
static inline dnnl_data_type_t cpu_dnnl_type(enum cpu_type type)
{
    return type == CPU_BF16 ? dnnl_bf16 : dnnl_f32;
}
/* ST_DEVICE with "oneDNN cannot `what`" unless `status` is success. */
enum status cpu_check(dnnl_status_t status, const char *what, struct error *err);

struct cpu_arg {
    int index; /* DNNL_ARG_... */
    const struct cpu_dnnl_layout *layout;
    struct cpu_buffer buffer;
};

/* Appends the primitive of `description` to the operation, its scratchpad included. `description` stays the
 * caller's. */
enum status cpu_call_new(struct device_program *prepared, struct cpu_op *op,
                         const_dnnl_primitive_desc_t description, const struct cpu_arg *args, int32_t count,
                         struct error *err);
/* Appends a change of layout. */
enum status cpu_call_reorder(struct device_program *prepared, struct cpu_op *op,
                             const struct cpu_dnnl_layout *from, struct cpu_buffer source,
                             const struct cpu_dnnl_layout *to, struct cpu_buffer target, struct error *err);
/* A factor of a product of matrices in bf16: the values of a row behind each other. */
struct cpu_factor {
    struct cpu_buffer buffer;
    size_t rows, columns; /* as they lie */
    bool transposed;      /* in the product */
};
/* Appends product = left right + scale * product. The product is float32, [rows of left][columns of right]. */
enum status cpu_call_matmul(struct device_program *prepared, struct cpu_op *op, const struct cpu_factor *left,
                            const struct cpu_factor *right, struct cpu_buffer product, float scale,
                            struct error *err);
void cpu_calls_free(struct cpu_op *op);
/* Gives the operands their addresses. */
enum status cpu_calls_bind(struct device_program *prepared, struct cpu_op *op, struct error *err);
/* Runs one of the operation's calls. */
enum status cpu_call_run(struct device_program *prepared, const struct cpu_op *op, int32_t number,
                         struct error *err);
/* Runs the operation's calls in order; the copy of the weight only when the weights have changed. */
enum status cpu_calls_run(struct device_program *prepared, struct cpu_op *op, struct error *err);
/* Reserves bytes; the result is for cpu_buffer's offset. */
struct cpu_buffer cpu_take_scratch(struct cpu_op *op, size_t bytes);
struct cpu_buffer cpu_take_kept(struct cpu_op *op, size_t bytes);
static inline struct cpu_buffer cpu_at_tensor(int32_t id)
{
    return (struct cpu_buffer){CPU_TENSOR, id, 0};
}

static inline struct cpu_shape cpu_shape_of(const struct device_program *prepared, int32_t id)
{
    struct shape s = prepared->program->tensors[id].shape;
    const struct device *device = prepared->device;
    return (struct cpu_shape){s.n, s.c, s.h, s.w, cpu_block(device, s.c), device->type};
}

/* ---- cpu_program.c ---- */
/* Address of an operand of a bound program. A tensor that is absent (-1) has none: NULL. */
void *cpu_address(const struct device_program *prepared, const struct cpu_op *op, struct cpu_buffer buffer);
void *cpu_tensor_address(const struct device_program *prepared, int32_t id);

enum status cpu_program_prepare(struct device *device, const struct program *program,
                                struct device_program **prepared, struct error *err);
void cpu_program_free(struct device *device, struct device_program *prepared);
size_t cpu_program_bytes(const struct device_program *prepared);
enum status cpu_program_bind(struct device *device, struct device_program *prepared,
                             const struct device_binding *binding, struct error *err);
enum status cpu_program_run(struct device *device, struct device_program *prepared, const struct step *step,
                            struct error *err);
enum status cpu_program_run_op(struct device *device, struct device_program *prepared, int32_t op,
                               const struct step *step, struct error *err);

/* ---- cpu_weights.c ---- */
enum status cpu_weights_new(struct device *device, const struct weight_table *table, int32_t slots,
                            struct device_weights **weights, struct error *err);
void cpu_weights_free(struct device *device, struct device_weights *weights);
enum status cpu_weights_upload(struct device *device, struct device_weights *weights, enum weight_slot slot,
                               const float *values, struct error *err);
enum status cpu_weights_download(struct device *device, struct device_weights *weights, enum weight_slot slot,
                                 float *values, struct error *err);
enum status cpu_weights_copy(struct device *device, struct device_weights *weights, enum weight_slot to,
                             struct device *owner, const struct device_weights *source, enum weight_slot from,
                             struct error *err);
enum status cpu_weights_remap(struct device *device, struct device_weights *child,
                              const struct device_weights *parent, enum weight_slot from,
                              const struct remap_list *remaps, uint64_t seed, struct error *err);
/* The slot that a program's weight tensors read: averages in an evaluation that asks for them. */
static inline float *cpu_weights_read(const struct device_program *prepared)
{
    return prepared->binding.weights->slots[prepared->binding.use_average ? SLOT_AVERAGE : SLOT_VALUE];
}

/* ---- cpu_all_reduce.c ---- */
enum status cpu_group_average(struct device_group *group, struct device *device,
                              struct device_weights *weights, enum weight_slot slot, struct error *err);
enum status cpu_group_broadcast(struct device_group *group, struct device *device,
                                struct device_weights *weights, enum weight_slot slot, int32_t root,
                                struct error *err);

/* ---- operations: cpu_NAME.c (host/program/README.md) ---- */
/* The operand at that position, CONV_IN_X or CONV_OUT_Y; NULL when absent. Of a bound program. */
static inline void *cpu_input(const struct op_call *call, int32_t position)
{
    return cpu_tensor_address(call->prepared, call->op->inputs[position]);
}
static inline void *cpu_output(const struct op_call *call, int32_t position)
{
    return cpu_tensor_address(call->prepared, call->op->outputs[position]);
}
/* Their shapes; the operand must be there. */
static inline struct cpu_shape cpu_input_shape(const struct op_call *call, int32_t position)
{
    return cpu_shape_of(call->prepared, call->op->inputs[position]);
}
static inline struct cpu_shape cpu_output_shape(const struct op_call *call, int32_t position)
{
    return cpu_shape_of(call->prepared, call->op->outputs[position]);
}
static inline struct cpu_op *cpu_state(const struct op_call *call)
{
    return &call->prepared->ops[call->index];
}
/* The first of the operation's scratch bytes. */
static inline void *cpu_scratch(const struct op_call *call)
{
    return cpu_address(call->prepared, cpu_state(call), (struct cpu_buffer){CPU_SCRATCH, -1, 0});
}
static inline struct cpu_window cpu_window_of(const struct prog_op *op)
{
    return (struct cpu_window){op->window.kernel_h, op->window.kernel_w, op->window.stride, op->window.pad_h,
                               op->window.pad_w};
}

/* Kernels' gradients as products of matrices (cpu_conv_product.c): whether that is the better way for this operation,
 * and its two parts. */
bool cpu_conv_by_product(const struct op_call *call);
op_function cpu_prepare_conv_product, cpu_run_conv_product;

/* Prepare chooses and reserves; operations without such a function need nothing. */
op_function cpu_prepare_conv, cpu_prepare_dense, cpu_prepare_batch_norm, cpu_prepare_batch_norm_backward,
    cpu_prepare_batch_norm_inference, cpu_prepare_max_pool, cpu_prepare_loss, cpu_prepare_orthogonalise;

/* Run works on a bound program. */
#define PROG_OP(KIND, name, ...) op_function cpu_run_##name;
#include "host/program/ops.def"
#undef PROG_OP

#endif
