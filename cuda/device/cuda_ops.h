/* Operations on the GPU: what the files cuda_NAME.c (host/program/README.md: which operation is in which) share.
 *
 * A function of op_call.h's type queues its operation and returns: on the device's stream, or, those of
 * cuda_is_branched, on the branch, which is forked before. It may be recorded in a CUDA Graph, so it takes nothing from
 * call->step, which is NULL: what changes from step to step is read from device memory (struct cuda_step). Contracts:
 * program.h; memory and arithmetic: kernels.h. */
#ifndef NASRUN_CUDA_DEVICE_CUDA_OPS_H
#define NASRUN_CUDA_DEVICE_CUDA_OPS_H

#include "cuda/device/cuda_internal.h"
#include "host/device/op_call.h"

#define PROG_OP(KIND, name, ...) op_function cuda_run_##name;
#include "host/program/ops.def"
#undef PROG_OP

/* Ways to run an operation in a whole step: a batch norm with its convolution (cuda_fold.c), the optimizer with the
 * average where one follows. */
op_function cuda_run_folded;
op_function cuda_run_update;

static inline struct op_call cuda_call(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct program *program = prepared->program;
    return (struct op_call){
        .prepared = prepared, .program = program, .index = index, .op = &program->ops[index], .err = err};
}

/* ---- operands, by their positions in ops.def ---- */

/* Device address; NULL for what is absent. */
static inline void *cuda_input(const struct op_call *call, int32_t position)
{
    return cuda_address(call->prepared, call->op->inputs[position]);
}
static inline void *cuda_output(const struct op_call *call, int32_t position)
{
    return cuda_address(call->prepared, call->op->outputs[position]);
}

/* Of an operand that is there. */
static inline struct cuda_shape cuda_input_shape(const struct op_call *call, int32_t position)
{
    return cuda_shape_of(call->prepared, call->op->inputs[position]);
}
static inline struct cuda_shape cuda_output_shape(const struct op_call *call, int32_t position)
{
    return cuda_shape_of(call->prepared, call->op->outputs[position]);
}

static inline struct cuda_window cuda_window_of(const struct op_call *call)
{
    const struct prog_op *op = call->op;
    return (struct cuda_window){op->window.kernel_h, op->window.kernel_w, op->window.stride, op->window.pad_h,
                                op->window.pad_w};
}

/* The working copy of a convolution's or dense layer's kernel. */
static inline const struct cuda_weight *cuda_kernel_of(const struct op_call *call)
{
    return &call->prepared->weights[call->prepared->ops[call->index].kernel];
}

/* What dropout and drop path are given to make y of x, or of their gradients. */
static inline struct cuda_dropout cuda_dropout_of(const struct op_call *call, int32_t x, int32_t y)
{
    const struct device_program *prepared = call->prepared;
    return (struct cuda_dropout){.shape = cuda_shape_of(prepared, x),
                                 .rate = call->op->dropout.rate,
                                 .layer_id = call->op->layer_id,
                                 .step = prepared->device->step,
                                 .x = cuda_address(prepared, x),
                                 .y = cuda_address(prepared, y)};
}

/* ---- where they are queued ---- */

/* And what nobody else uses while an operation runs there. */
struct cuda_lane {
    cudaStream_t stream;
    cudnnHandle_t cudnn;
    void *scratch;
    unsigned *tickets;
};

static inline struct cuda_lane cuda_main_lane(const struct op_call *call)
{
    const struct device_program *prepared = call->prepared;
    return (struct cuda_lane){prepared->device->stream, prepared->device->cudnn, cuda_scratch(prepared),
                              cuda_tickets(prepared)};
}

static inline struct cuda_lane cuda_branch_lane(const struct op_call *call)
{
    const struct device_program *prepared = call->prepared;
    const struct cuda_branch *branch = &prepared->device->branch;
    return (struct cuda_lane){branch->stream, branch->cudnn, prepared->memory + prepared->at.branch_scratch,
                              (unsigned *)(void *)(prepared->memory + prepared->at.branch_tickets)};
}

/* The launch's error as the call's. */
static inline enum status cuda_launched(const struct op_call *call, cudaError_t error)
{
    return cuda_check(error, "launch a kernel", call->err);
}

/* ---- cuda_scratch.c ---- */

/* Bytes of scratch that the operation takes. ST_UNSUPPORTED for what is beyond a limit of ours. */
enum status cuda_op_scratch(const struct op_call *call, size_t *bytes);

/* ---- cuda_dense.c: products of matrices by cuBLAS ---- */

/* As cuBLAS sees it: columns behind each other. */
struct cuda_matrix {
    void *memory;
    cudaDataType_t type;
    int rows, columns, stride; /* stride: elements from one column to the next, a multiple of 16 bytes */
    cublasOperation_t as;      /* in a product: CUBLAS_OP_N, as it is, or CUBLAS_OP_T, transposed */
};

static inline struct cuda_matrix cuda_transposed(struct cuda_matrix matrix)
{
    matrix.as = CUBLAS_OP_T;
    return matrix;
}

/* c = alpha a b + beta c; c is no memory of a or b. */
struct cuda_product {
    struct cuda_matrix a, b, c;
    float alpha, beta;
};
/* Queues it on the device's stream. products: how float32 is multiplied; sums are float32. */
enum status cuda_multiply(const struct device *device, cublasComputeType_t products,
                          const struct cuda_product *product, struct error *err);

/* ---- cuda_orthogonalise.c ---- */

size_t cuda_orthogonalise_scratch(const struct op_call *call);

/* ---- cuda_bias.c: biases of convolutions and dense layers; tensors, nothing is done for a bias of -1 ---- */

enum status cuda_add_bias(const struct op_call *call, int32_t bias, int32_t y);
enum status cuda_sum_bias_gradient(const struct op_call *call, struct cuda_lane lane, int32_t dy,
                                   int32_t dbias);

#endif
