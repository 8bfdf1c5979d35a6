/* cuBLAS's functions that the plug-in calls, by their own names. Matrices lie column by column, as the real one has
 * them; sums are taken in double (what cuBLAS adds in float32 it adds as a tree, which loses far less than one running
 * float) and rounded once to the result's type. The workspace is filled with NaN before each run.
 *
 * What the real one refuses is refused with its status. What it would do but slowly, or only by chance in the same way
 * from run to run, ends the process: operands that are not aligned to 16 bytes, a recorded product without a workspace
 * of the handle's own, a device that is not the handle's. */
#include "tests/gpu/emu/emu_memory.h"
#include "tests/gpu/emu/emu_queue.h"
#include "tests/gpu/emu/emu_values.h"

#include <cublas_v2.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNED = 16, WORKSPACE_ALIGNED = 256, AMPERE = 8 };

struct cublasContext {
    int device;
    cudaStream_t stream;
    void *workspace; /* NULL: cuBLAS's own */
    size_t workspace_bytes;
    cublasMath_t math;
};

/* ---- handle ---- */

static cublasStatus_t call(const char *name, cublasStatus_t failure)
{
    return emu_call(name) == cudaSuccess ? CUBLAS_STATUS_SUCCESS : failure;
}

cublasStatus_t cublasCreate_v2(cublasHandle_t *handle)
{
    if (emu_call_outside("cublasCreate") != cudaSuccess)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    *handle = emu_new(calloc(1, sizeof(**handle)));
    (*handle)->device = emu_device();
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle)
{
    const cublasStatus_t status = call("cublasDestroy", CUBLAS_STATUS_INTERNAL_ERROR);
    emu_drain();
    emu_discard(handle);
    return status;
}

/* As the real one it gives the handle back to cuBLAS's own workspace. */
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream)
{
    EMU_LOCKED;
    if (stream->device != handle->device)
        emu_die("cuBLAS: a stream of device %d, expected %d", stream->device, handle->device);
    handle->stream = stream;
    handle->workspace = NULL;
    handle->workspace_bytes = 0;
    return call("cublasSetStream", CUBLAS_STATUS_INTERNAL_ERROR);
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t bytes)
{
    EMU_LOCKED;
    const cublasStatus_t status = call("cublasSetWorkspace", CUBLAS_STATUS_INTERNAL_ERROR);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    if ((uintptr_t)workspace % WORKSPACE_ALIGNED != 0)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    emu_check_range("cuBLAS's workspace", workspace, bytes);
    handle->workspace = workspace;
    handle->workspace_bytes = bytes;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode)
{
    handle->math = mode;
    return call("cublasSetMathMode", CUBLAS_STATUS_INTERNAL_ERROR);
}

cublasStatus_t cublasGetProperty(libraryPropertyType type, int *value)
{
    *value = type == MAJOR_VERSION   ? CUBLAS_VER_MAJOR
             : type == MINOR_VERSION ? CUBLAS_VER_MINOR
                                     : CUBLAS_VER_PATCH;
    return CUBLAS_STATUS_SUCCESS;
}

const char *cublasGetStatusString(cublasStatus_t status)
{
    switch (status) {
    case CUBLAS_STATUS_SUCCESS:
        return "no error";
    case CUBLAS_STATUS_NOT_INITIALIZED:
        return "not initialised";
    case CUBLAS_STATUS_INVALID_VALUE:
        return "invalid value";
    case CUBLAS_STATUS_ARCH_MISMATCH:
        return "another architecture is needed";
    case CUBLAS_STATUS_NOT_SUPPORTED:
        return "not supported";
    default:
        return "an error of the emulated cuBLAS";
    }
}

/* ---- product ---- */

/* One operand as it is stored: `columns` columns of `rows` values, each `stride` values behind the last. */
struct operand {
    char *memory;
    enum cuda_type type;
    size_t rows, columns, stride;
};

struct product {
    struct operand a, b, c;
    bool a_transposed, b_transposed, tensor_float;
    float alpha, beta;
    size_t terms;
    void *workspace;
    size_t workspace_bytes;
};

static size_t extent(const struct operand *operand)
{
    return (operand->stride * (operand->columns - 1) + operand->rows) * cuda_type_size(operand->type);
}

/* The operand's values with those of one sum side by side: [lines][terms]. by_column: a column is a line. */
static double *gather(const struct operand *operand, bool by_column, bool tensor_float)
{
    const size_t lines = by_column ? operand->columns : operand->rows,
                 terms = by_column ? operand->rows : operand->columns;
    double *values = malloc(lines * terms * sizeof(*values));
    if (values == NULL)
        emu_die("out of host memory");
    for (size_t line = 0; line < lines; line++)
        for (size_t term = 0; term < terms; term++) {
            const size_t place = by_column ? line * operand->stride + term : term * operand->stride + line;
            const float value = emu_load(operand->type, operand->memory, place);
            values[line * terms + term] = tensor_float ? emu_tensor_float(value) : value;
        }
    return values;
}

static void run_product(void *work)
{
    const struct product *p = work;
    if (p->workspace != NULL)
        emu_memory_fill(p->workspace, 255, p->workspace_bytes);
    double *a = gather(&p->a, p->a_transposed, p->tensor_float);
    double *b = gather(&p->b, !p->b_transposed, p->tensor_float);
    for (size_t column = 0; column < p->c.columns; column++)
        for (size_t row = 0; row < p->c.rows; row++) {
            const size_t place = column * p->c.stride + row;
            const double *left = a + row * p->terms, *right = b + column * p->terms;
            double sum = 0;
#pragma omp simd reduction(+ : sum)
            for (size_t term = 0; term < p->terms; term++)
                sum += left[term] * right[term];
            sum *= (double)p->alpha;
            if (p->beta < 0.0f || p->beta > 0.0f) /* with 0 the result is not read */
                sum += (double)p->beta * (double)emu_load(p->c.type, p->c.memory, place);
            emu_store(p->c.type, p->c.memory, place, (float)sum);
        }
    free(a);
    free(b);
}

static bool known_type(cudaDataType_t type, enum cuda_type *known)
{
    *known = type == CUDA_R_16BF ? CUDA_BF16 : type == CUDA_R_16F ? CUDA_HALF : CUDA_FLOAT;
    return type == CUDA_R_16BF || type == CUDA_R_16F || type == CUDA_R_32F;
}

/* The rows of cublasGemmEx's table whose sums are float32: inputs alike; the result like them or float32. The
 * conversions of COMPUTE_32F_FAST_... exist for float32 only. */
static cublasStatus_t check_types(const struct product *p, cublasComputeType_t compute)
{
    if (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (p->a.type != p->b.type || (p->c.type != p->a.type && p->c.type != CUDA_FLOAT))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (compute == CUBLAS_COMPUTE_32F_FAST_TF32 && p->a.type != CUDA_FLOAT)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    return p->a.type == CUDA_BF16 && emu.major < AMPERE ? CUBLAS_STATUS_ARCH_MISMATCH : CUBLAS_STATUS_SUCCESS;
}

static void check_operand(const char *what, const struct operand *operand, const cublasHandle_t handle)
{
    emu_check_range(what, operand->memory, extent(operand));
    if (emu_memory_device(operand->memory) != handle->device)
        emu_die("%s belongs to device %d, expected %d", what, emu_memory_device(operand->memory),
                handle->device);
    if ((uintptr_t)operand->memory % ALIGNED != 0 ||
        operand->stride * cuda_type_size(operand->type) % ALIGNED != 0)
        emu_die("%s at %p, a column every %zu values: expected multiples of %d bytes", what,
                (void *)operand->memory, operand->stride, ALIGNED);
}

static bool overlap(const void *one, size_t bytes, const void *other, size_t other_bytes)
{
    const char *first = one, *second = other;
    return first < second + other_bytes && second < first + bytes;
}

static void check_memory(const struct product *p, const cublasHandle_t handle)
{
    const size_t written = extent(&p->c);
    check_operand("product's a", &p->a, handle);
    check_operand("product's b", &p->b, handle);
    check_operand("product's c", &p->c, handle);
    if (overlap(p->c.memory, written, p->a.memory, extent(&p->a)) ||
        overlap(p->c.memory, written, p->b.memory, extent(&p->b)))
        emu_die("a product is written over what it is made of");
    if (p->workspace == NULL && handle->stream->recording != NULL)
        emu_die("a product is recorded that would allocate its workspace");
    const struct operand *operands[] = {&p->a, &p->b, &p->c};
    for (int i = 0; i < 3 && p->workspace != NULL; i++)
        if (overlap(p->workspace, p->workspace_bytes, operands[i]->memory, extent(operands[i])))
            emu_die("a product's operand lies in the workspace");
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t a_as, cublasOperation_t b_as, int m,
                            int n, int k, const void *alpha, const void *a, cudaDataType_t a_type,
                            int a_stride, const void *b, cudaDataType_t b_type, int b_stride,
                            const void *beta, void *c, cudaDataType_t c_type, int c_stride,
                            cublasComputeType_t compute, cublasGemmAlgo_t algorithm)
{
    EMU_LOCKED;
    const cublasStatus_t status = call("cublasGemmEx", CUBLAS_STATUS_EXECUTION_FAILED);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    if (emu_device() != handle->device)
        emu_die("cuBLAS: device %d is the current one, expected the handle's, %d", emu_device(),
                handle->device);
    const bool a_transposed = a_as != CUBLAS_OP_N, b_transposed = b_as != CUBLAS_OP_N;
    const int a_rows = a_transposed ? k : m, b_rows = b_transposed ? n : k;
    if (m < 0 || n < 0 || k < 0 || alpha == NULL || beta == NULL || a_stride < (a_rows > 1 ? a_rows : 1) ||
        b_stride < (b_rows > 1 ? b_rows : 1) || c_stride < (m > 1 ? m : 1) ||
        algorithm != CUBLAS_GEMM_DEFAULT)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (m == 0 || n == 0 || k == 0)
        emu_die("an empty product");
    struct product made = {.a_transposed = a_transposed,
                           .b_transposed = b_transposed,
                           .tensor_float = compute == CUBLAS_COMPUTE_32F_FAST_TF32,
                           .terms = (size_t)k,
                           .workspace = handle->workspace,
                           .workspace_bytes = handle->workspace_bytes};
    made.a = (struct operand){
        .rows = (size_t)a_rows, .columns = (size_t)(a_transposed ? m : k), .stride = (size_t)a_stride};
    made.b = (struct operand){
        .rows = (size_t)b_rows, .columns = (size_t)(b_transposed ? k : n), .stride = (size_t)b_stride};
    made.c =
        (struct operand){.memory = c, .rows = (size_t)m, .columns = (size_t)n, .stride = (size_t)c_stride};
    memcpy(&made.a.memory, &a, sizeof(a)); /* what is only read, in the form of what is written */
    memcpy(&made.b.memory, &b, sizeof(b));
    memcpy(&made.alpha, alpha, sizeof(made.alpha));
    memcpy(&made.beta, beta, sizeof(made.beta));
    if (!known_type(a_type, &made.a.type) || !known_type(b_type, &made.b.type) ||
        !known_type(c_type, &made.c.type))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    const cublasStatus_t types = check_types(&made, compute);
    if (types != CUBLAS_STATUS_SUCCESS)
        return types;
    check_memory(&made, handle);
    if (handle->math != CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION && made.a.type != CUDA_FLOAT)
        emu_die("a product whose partial sums may be rounded to the type of its operands");
    struct product *queued = malloc(sizeof(*queued));
    if (queued == NULL)
        emu_die("out of host memory");
    *queued = made;
    emu_load_code(handle);
    emu_count.products++;
    emu_submit(handle->stream, run_product, free, queued);
    return CUBLAS_STATUS_SUCCESS;
}
