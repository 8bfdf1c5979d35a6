/* Dense layers by cuBLAS: its handle, operands to matrix products, and the biases around them.
 *
 * cuBLAS counts along columns: a row of ours is a column to it. For n images of f = h * w * padded(c) values and the
 * kernel's copy of r = padded(outputs) rows it sees
 *
 *     x, dx    [n][f]   as f x n        y   = kernel^T x
 *     kernel   [r][f]   as f x r        dx  = kernel dy
 *     y, dy    [n][r]   as r x n        dkernel = x dy^T
 *
 * All are multiples of 8 elements a column, hence of 16 bytes. Sums are taken in float32, also where they are split; y
 * and dx are rounded once to the activations' type, the kernel's gradient stays float32. Padding comes out as zeros, as
 * it went in.
 *
 * One handle, one stream, one workspace: the same bits in every run, and nothing is allocated while a step is
 * recorded. */
#include "cuda/device/cuda_ops.h"

#include <stdio.h>

/* What NVIDIA recommends for cublasSetWorkspace. */
enum { HOPPER = 9, WORKSPACE = 32 << 20, OLD_WORKSPACE = 4 << 20 };
_Static_assert((int)CUDA_STAGING <= (int)OLD_WORKSPACE, "weights are staged in the workspace");

static enum status check(cublasStatus_t status, const char *what, struct error *err)
{
    if (status == CUBLAS_STATUS_SUCCESS)
        return ST_OK;
    return error_set(err, status == CUBLAS_STATUS_ALLOC_FAILED ? ST_MEMORY : ST_DEVICE,
                     "cuBLAS cannot %s: %s", what, cublasGetStatusString(status));
}

/* ---- handle ---- */

enum status cuda_dense_open(struct device *device, int major, bool tensor_float, struct error *err)
{
    const size_t bytes = major >= HOPPER ? WORKSPACE : OLD_WORKSPACE;
    device->products = tensor_float ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    enum status st = check(cublasCreate(&device->cublas), "open the device", err);
    if (st == ST_OK)
        st = check(cublasSetMathMode(device->cublas, CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION),
                   "set its arithmetic", err);
    if (st == ST_OK)
        st = check(cublasSetStream(device->cublas, device->stream), "use a stream", err);
    if (st == ST_OK)
        st = cuda_allocate(device, bytes, "workspace of cuBLAS", &device->cublas_workspace, err);
    if (st == ST_OK) /* last: a new stream would undo it */
        st = check(cublasSetWorkspace(device->cublas, device->cublas_workspace, bytes), "use a workspace",
                   err);
    return st;
}

void cuda_dense_close(struct device *device)
{
    if (device->cublas != NULL)
        (void)cublasDestroy(device->cublas);
    cuda_release(device, device->cublas_workspace);
}

void cuda_dense_version(char *text, size_t size)
{
    int version[3] = {0};
    static const libraryPropertyType parts[] = {MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL};
    for (int i = 0; i < 3; i++)
        (void)cublasGetProperty(parts[i], &version[i]);
    snprintf(text, size, "cuBLAS %d.%d.%d", version[0], version[1], version[2]);
}

/* ---- operands ---- */

static cudaDataType_t data_type(enum cuda_type type)
{
    return type == CUDA_BF16 ? CUDA_R_16BF : type == CUDA_HALF ? CUDA_R_16F : CUDA_R_32F;
}

/* A column an image. */
static struct cuda_matrix activation(const struct device_program *prepared, int32_t tensor)
{
    const struct cuda_shape s = cuda_shape_of(prepared, tensor);
    return (struct cuda_matrix){cuda_address(prepared, tensor), data_type(prepared->device->type),
                                s.h * s.w * cuda_padded(s.c),   s.n,
                                s.h * s.w * cuda_padded(s.c),   CUBLAS_OP_N};
}

/* A column a row of the copy. */
static struct cuda_matrix kernel(const struct op_call *call)
{
    const struct cuda_weight *w = cuda_kernel_of(call);
    return (struct cuda_matrix){cuda_copied(call->prepared, w),
                                data_type(call->prepared->device->type),
                                w->taps * w->depth,
                                w->rows,
                                w->taps * w->depth,
                                CUBLAS_OP_N};
}

static struct cuda_matrix kernel_gradient(const struct op_call *call)
{
    struct cuda_matrix gradient = kernel(call);
    gradient.memory = cuda_copied_gradient(call->prepared, cuda_kernel_of(call));
    gradient.type = CUDA_R_32F;
    return gradient;
}

enum status cuda_multiply(const struct device *device, cublasComputeType_t products,
                          const struct cuda_product *product, struct error *err)
{
    const struct cuda_matrix a = product->a, b = product->b, c = product->c;
    const int terms = a.as == CUBLAS_OP_N ? a.columns : a.rows;
    return check(cublasGemmEx(device->cublas, a.as, b.as, c.rows, c.columns, terms, &product->alpha, a.memory,
                              a.type, a.stride, b.memory, b.type, b.stride, &product->beta, c.memory, c.type,
                              c.stride, products, CUBLAS_GEMM_DEFAULT),
                 "multiply", err);
}

/* c = a b */
static enum status multiply(const struct op_call *call, struct cuda_matrix a, struct cuda_matrix b,
                            struct cuda_matrix c)
{
    const struct device *device = call->prepared->device;
    return cuda_multiply(device, device->products, &(struct cuda_product){a, b, c, 1.0f, 0.0f}, call->err);
}

/* ---- operations ---- */

enum status cuda_run_dense(const struct op_call *call)
{
    const int32_t x = call->op->inputs[DENSE_IN_X], y = call->op->outputs[DENSE_OUT_Y];
    enum status st = multiply(call, cuda_transposed(kernel(call)), activation(call->prepared, x),
                              activation(call->prepared, y));
    return st == ST_OK ? cuda_add_bias(call, call->op->inputs[DENSE_IN_BIAS], y) : st;
}

enum status cuda_run_dense_backward_data(const struct op_call *call)
{
    const int32_t dy = call->op->inputs[DENSE_BACKWARD_DATA_IN_DY],
                  dx = call->op->outputs[DENSE_BACKWARD_DATA_OUT_DX];
    return multiply(call, kernel(call), activation(call->prepared, dy), activation(call->prepared, dx));
}

/* In the order of the kernel's copy, which the update reads. */
enum status cuda_run_dense_backward_weights(const struct op_call *call)
{
    const int32_t x = call->op->inputs[DENSE_BACKWARD_WEIGHTS_IN_X],
                  dy = call->op->inputs[DENSE_BACKWARD_WEIGHTS_IN_DY],
                  dbias = call->op->outputs[DENSE_BACKWARD_WEIGHTS_OUT_DBIAS];
    enum status st = multiply(call, activation(call->prepared, x),
                              cuda_transposed(activation(call->prepared, dy)), kernel_gradient(call));
    return st == ST_OK ? cuda_sum_bias_gradient(call, cuda_main_lane(call), dy, dbias) : st;
}
