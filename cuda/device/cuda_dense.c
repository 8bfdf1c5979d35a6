/* Dense layers by cuBLAS: its handle, operands to matrix products, and the biases around them.
 *
 * cuBLAS counts along columns: a row of ours is a column to it. For n images of f = h * w * padded(c) values and the
 * kernel's copy of r = padded(outputs) rows it sees
 *
 *     x, dx    [n][f]   as f x n        y   = kernel^T x
 *     kernel   [r][f]   as f x r        dx  = kernel dy
 *     y, dy    [n][r]   as r x n        dkernel = x dy^T
 *
 * All are multiples of 8 elements a column, hence of 16 bytes. Sums are taken in float32, also where they are split; y and dx
 * are rounded once to the activations' type, the kernel's gradient stays float32. Padding comes out as zeros, as it went in.
 *
 * One handle, one stream, one workspace: the same bits in every run, and nothing is allocated while a step is recorded. */
#include "cuda/device/cuda_internal.h"

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

/* As cuBLAS sees it: columns behind each other. */
struct matrix {
    void *memory;
    cudaDataType_t type;
    int rows, columns;
};

static cudaDataType_t data_type(enum cuda_type type)
{
    return type == CUDA_BF16 ? CUDA_R_16BF : type == CUDA_HALF ? CUDA_R_16F : CUDA_R_32F;
}

/* A column an image. */
static struct matrix activation(const struct device_program *prepared, int32_t tensor)
{
    const struct cuda_shape s = cuda_shape_of(prepared, tensor);
    return (struct matrix){cuda_address(prepared, tensor), data_type(prepared->device->type),
                           s.h * s.w * cuda_padded(s.c), s.n};
}

/* A column a row of the copy. */
static struct matrix kernel(const struct device_program *prepared, int32_t index)
{
    const struct cuda_weight *w = cuda_kernel_of(prepared, index);
    return (struct matrix){cuda_copied(prepared, w), data_type(prepared->device->type), w->taps * w->depth,
                           w->rows};
}

static struct matrix kernel_gradient(const struct device_program *prepared, int32_t index)
{
    struct matrix gradient = kernel(prepared, index);
    gradient.memory = cuda_copied_gradient(prepared, cuda_kernel_of(prepared, index));
    gradient.type = CUDA_R_32F;
    return gradient;
}

/* c = a b, each of a and b as it is or transposed. */
static enum status multiply(const struct device *device, cublasOperation_t a_as, struct matrix a,
                            cublasOperation_t b_as, struct matrix b, struct matrix c, struct error *err)
{
    const float one = 1.0f, zero = 0.0f;
    const int terms = a_as == CUBLAS_OP_N ? a.columns : a.rows;
    return check(cublasGemmEx(device->cublas, a_as, b_as, c.rows, c.columns, terms, &one, a.memory, a.type,
                              a.rows, b.memory, b.type, b.rows, &zero, c.memory, c.type, c.rows,
                              device->products, CUBLAS_GEMM_DEFAULT),
                 "multiply", err);
}

/* ---- operations ---- */

enum status cuda_run_dense(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct prog_op *op = &prepared->program->ops[index];
    enum status st = multiply(prepared->device, CUBLAS_OP_T, kernel(prepared, index), CUBLAS_OP_N,
                              activation(prepared, op->inputs[0]), activation(prepared, op->outputs[0]), err);
    return st == ST_OK ? cuda_add_bias(prepared, index, err) : st;
}

enum status cuda_run_dense_backward_data(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct prog_op *op = &prepared->program->ops[index];
    return multiply(prepared->device, CUBLAS_OP_N, kernel(prepared, index), CUBLAS_OP_N,
                    activation(prepared, op->inputs[0]), activation(prepared, op->outputs[0]), err);
}

/* In the order of the kernel's copy, which the update reads. */
enum status cuda_run_dense_backward_weights(struct device_program *prepared, int32_t index, struct error *err)
{
    const struct prog_op *op = &prepared->program->ops[index];
    enum status st = multiply(prepared->device, CUBLAS_OP_N, activation(prepared, op->inputs[0]), CUBLAS_OP_T,
                              activation(prepared, op->inputs[1]), kernel_gradient(prepared, index), err);
    return st == ST_OK ? cuda_sum_bias_gradient(prepared, index, cuda_main_lane(prepared), err) : st;
}
