/* Private to host/ref: the objects behind the device interface, and what an operation sees.
 *
 * Every tensor is an array of doubles in N,C,H,W order, labels and winners of a max pool too (whole numbers
 * are exact). */
#ifndef NASRUN_REF_REF_H
#define NASRUN_REF_REF_H

#include "host/device/checks.h"
#include "host/device/op_call.h"

struct device {
    struct device_base base;
    int32_t index;
};

struct device_dataset {
    struct device_dataset_base base;
    uint8_t *pixels; /* count x channels x height x width */
    int32_t *labels; /* count */
    float mean[4], deviation[4];
    float *class_weights; /* [classes]; NULL: none */
    uint8_t *label_sets;  /* sets x classes; NULL: labels are classes */
};

struct device_weights {
    struct device_weights_base base;
    double *slots[SLOT_COUNT]; /* [base.table.total] each; NULL where the set has none */
};

struct device_program {
    struct device_program_base base;
    struct device *device;
    const struct program *program;
    size_t *offsets;     /* [tensor_count] bytes from the arena's start */
    size_t arena_size;   /* bytes */
    size_t output_size;  /* bytes of the probabilities; 0 in training */
    size_t scratch_size; /* bytes, of the operation that needs most */
    double metrics[METRIC_COUNT];
    struct device_report report;
    /* From bind on: */
    char *arena;
    double *gradients; /* [weights.total], positions as in the weight table; NULL in evaluation */
    double *outputs;   /* probabilities [batch x classes]; NULL in training */
    double *scratch;   /* of orthogonalisations; NULL where there is none */
    int32_t *samples;  /* a copy of the binding's, to which binding.samples points */
    struct device_binding binding;
};

/* Where tensor `id` lies; NULL for -1. Only after bind. */
double *ref_tensor(const struct device_program *prepared, int32_t id);

/* The operand at that position, CONV_IN_X or CONV_OUT_Y; NULL when absent. */
static inline double *ref_input(const struct op_call *call, int32_t position)
{
    return ref_tensor(call->prepared, call->op->inputs[position]);
}
static inline double *ref_output(const struct op_call *call, int32_t position)
{
    return ref_tensor(call->prepared, call->op->outputs[position]);
}

static inline size_t ref_count(struct shape shape)
{
    return (size_t)shape.n * (size_t)shape.c * (size_t)shape.h * (size_t)shape.w;
}

/* Position of element (n, c, y, x). */
static inline size_t ref_at(struct shape shape, int32_t n, int32_t c, int32_t y, int32_t x)
{
    return (((size_t)n * (size_t)shape.c + (size_t)c) * (size_t)shape.h + (size_t)y) * (size_t)shape.w +
           (size_t)x;
}

static inline size_t ref_plane(struct shape shape)
{
    return (size_t)shape.h * (size_t)shape.w;
}

/* The part of a pool's window that lies inside the image; never empty, because pad < kernel. */
struct ref_window {
    int32_t top, bottom, left, right; /* top <= row < bottom, left <= column < right */
};

/* That of output (i, j). */
static inline struct ref_window ref_window_at(const struct prog_op *op, struct shape in, int32_t i, int32_t j)
{
    int32_t top = i * op->window.stride - op->window.pad_h, bottom = top + op->window.kernel_h;
    int32_t left = j * op->window.stride - op->window.pad_w, right = left + op->window.kernel_w;
    return (struct ref_window){top < 0 ? 0 : top, bottom > in.h ? in.h : bottom, left < 0 ? 0 : left,
                               right > in.w ? in.w : right};
}

/* Bytes of scratch for an orthogonalisation of a kernel. */
size_t ref_orthogonalise_scratch(struct shape kernel);

/* The operations, one for each row of ops.def; in ref_NAME.c (host/program/README.md). */
#define PROG_OP(KIND, name, ...) op_function ref_run_##name;
#include "host/program/ops.def"
#undef PROG_OP

/* The entries of the device's table, by the files they stand in. */

/* ref_weights.c */
enum status ref_weights_new(struct device *device, const struct weight_table *table, int32_t slots,
                            struct device_weights **weights, struct error *err);
void ref_weights_free(struct device *device, struct device_weights *weights);
enum status ref_weights_upload(struct device *device, struct device_weights *weights, enum weight_slot slot,
                               const float *values, struct error *err);
enum status ref_weights_download(struct device *device, struct device_weights *weights, enum weight_slot slot,
                                 float *values, struct error *err);
enum status ref_weights_copy(struct device *device, struct device_weights *weights, enum weight_slot to,
                             struct device *owner, const struct device_weights *source, enum weight_slot from,
                             struct error *err);
enum status ref_weights_remap(struct device *device, struct device_weights *child,
                              const struct device_weights *parent, enum weight_slot from,
                              const struct remap_list *remaps, uint64_t seed, struct error *err);

/* ref_all_reduce.c */
enum status ref_group_average(struct device_group *group, struct device *device,
                              struct device_weights *weights, enum weight_slot slot, struct error *err);
enum status ref_group_broadcast(struct device_group *group, struct device *device,
                                struct device_weights *weights, enum weight_slot slot, int32_t root,
                                struct error *err);

/* ref_program.c */
enum status ref_program_prepare(struct device *device, const struct program *program,
                                struct device_program **prepared, struct error *err);
void ref_program_free(struct device *device, struct device_program *prepared);
size_t ref_program_bytes(const struct device_program *prepared);
enum status ref_program_bind(struct device *device, struct device_program *prepared,
                             const struct device_binding *binding, struct error *err);
enum status ref_program_run(struct device *device, struct device_program *prepared, const struct step *step,
                            struct error *err);
void ref_program_report(const struct device_program *prepared, struct device_report *report);
enum status ref_program_metrics(struct device *device, struct device_program *prepared,
                                double metrics[METRIC_COUNT], struct error *err);
enum status ref_program_set_metrics(struct device *device, struct device_program *prepared,
                                    const double metrics[METRIC_COUNT], struct error *err);
enum status ref_program_probabilities(struct device *device, struct device_program *prepared,
                                      float *probabilities, struct error *err);
enum status ref_program_tensor(struct device *device, struct device_program *prepared, int32_t id,
                               float *values, struct error *err);
enum status ref_program_set_tensor(struct device *device, struct device_program *prepared, int32_t id,
                                   const float *values, struct error *err);
enum status ref_program_run_op(struct device *device, struct device_program *prepared, int32_t op,
                               const struct step *step, struct error *err);

#endif
