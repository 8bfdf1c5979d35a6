/* Muon's update of one kernel: momentum by a kernel of ours, the iteration of Newton and Schulz by cuBLAS.
 * Formulas: optimizer.h.
 *
 * The matrix X [out][in * taps] has its columns in the masters' order, [out][taps][in]: a permutation of columns
 * permutes those of the result, so nothing is transposed. Its rows are padded with zeros to multiples of 8, which stay
 * zeros. cuBLAS counts along columns: a row of ours is a column to it, and X is columns x rows.
 *
 * Values are float32, multiplied as TF32 where activations are narrower or TF32 is asked for: finer than the bf16 of
 * the publication, with which the iteration is known to work, and hardly slower for matrices of this size.
 *
 * Scratch: norm | two of X | A | B. */
#include "cuda/device/cuda_ops.h"

/* One kernel's, and where they lie in the operation's scratch, in bytes. */
struct iteration {
    int32_t rows, columns, stride; /* of X; stride: columns, padded */
    int32_t side, side_stride;     /* of A and B, the lesser of rows and stride */
    size_t x, next, a, b, bytes;
};

static struct iteration lay_out(const struct op_call *call)
{
    const struct shape kernel = op_input_shape(call, ORTHOGONALISE_IN_DKERNEL);
    struct iteration s = {.rows = kernel.n, .columns = kernel.c * kernel.h * kernel.w};
    s.stride = cuda_padded(s.columns);
    s.side = s.rows < s.stride ? s.rows : s.stride;
    s.side_stride = cuda_padded(s.side);
    const size_t matrix = cuda_round_up((size_t)s.rows * (size_t)s.stride * sizeof(float)),
                 square = cuda_round_up((size_t)s.side * (size_t)s.side_stride * sizeof(float));
    s.x = cuda_round_up(cuda_momentum_scratch());
    s.next = s.x + matrix;
    s.a = s.next + matrix;
    s.b = s.a + square;
    s.bytes = s.b + square;
    return s;
}

size_t cuda_orthogonalise_scratch(const struct op_call *call)
{
    return lay_out(call).bytes;
}

static struct cuda_matrix matrix(const struct op_call *call, const struct iteration *s, size_t at)
{
    return (struct cuda_matrix){
        (char *)cuda_scratch(call->prepared) + at, CUDA_R_32F, s->stride, s->rows, s->stride, CUBLAS_OP_N};
}

static struct cuda_matrix square(const struct op_call *call, const struct iteration *s, size_t at)
{
    return (struct cuda_matrix){
        (char *)cuda_scratch(call->prepared) + at, CUDA_R_32F, s->side, s->side, s->side_stride, CUBLAS_OP_N};
}

/* c = alpha a b + beta addend; addend: like c, NULL: none. */
static enum status multiply(const struct op_call *call, const struct cuda_product *product,
                            const struct cuda_matrix *addend)
{
    const struct device *device = call->prepared->device;
    const struct cuda_matrix *c = &product->c;
    enum status st = ST_OK;
    if (addend != NULL)
        st = cuda_check(cudaMemcpyAsync(c->memory, addend->memory,
                                        (size_t)c->columns * (size_t)c->stride * sizeof(float),
                                        cudaMemcpyDeviceToDevice, device->stream),
                        "copy a matrix", call->err);
    if (st != ST_OK)
        return st;
    return cuda_multiply(device, device->type == CUDA_FLOAT ? device->products : CUBLAS_COMPUTE_32F_FAST_TF32,
                         product, call->err);
}

/* Xs and squares are as cuBLAS sees them: X is our X^T. */
static enum status iterate(const struct op_call *call, const struct iteration *s, size_t from, size_t to)
{
    const struct cuda_matrix x = matrix(call, s, from), next = matrix(call, s, to), a = square(call, s, s->a),
                             b = square(call, s, s->b);
    const bool wide = s->rows <= s->stride;
    enum status st = multiply(
        call,
        &(struct cuda_product){wide ? cuda_transposed(x) : x, wide ? x : cuda_transposed(x), a, 1.0f, 0.0f},
        NULL);
    if (st == ST_OK)
        st = multiply(call, &(struct cuda_product){a, a, b, MUON_C, MUON_B}, &a);
    if (st == ST_OK)
        st = multiply(call, &(struct cuda_product){wide ? x : b, wide ? b : x, next, 1.0f, MUON_A}, &x);
    return st;
}

/* X at s->x, divided by its norm. */
static enum status begin(const struct op_call *call, const struct iteration *s)
{
    struct device_program *prepared = call->prepared;
    char *scratch = cuda_scratch(prepared);
    const int32_t weight = call->program->tensors[call->op->inputs[ORTHOGONALISE_IN_DKERNEL]].weight;
    struct cuda_momentum momentum = {.weight = prepared->weights[weight],
                                     .columns = s->columns,
                                     .stride = s->stride,
                                     .x = (float *)(void *)(scratch + s->x),
                                     .scratch = scratch};
    enum status st = cuda_copies_scale(prepared, call->index, &momentum.scaling, call->err);
    if (st == ST_OK && s->columns < s->stride)
        st = cuda_check(cudaMemsetAsync(momentum.x, 0, s->next - s->x, prepared->device->stream),
                        "clear a matrix", call->err);
    return st == ST_OK ? cuda_copies_momentum(prepared, &momentum, call->err) : st;
}

enum status cuda_run_orthogonalise(const struct op_call *call)
{
    const struct iteration s = lay_out(call);
    size_t from = s.x, to = s.next;
    enum status st = begin(call, &s);
    for (int step = 0; st == ST_OK && step < MUON_STEPS; step++) {
        st = iterate(call, &s, from, to);
        const size_t swapped = from;
        from = to;
        to = swapped;
    }
    if (st != ST_OK)
        return st;
    return cuda_launched(call, cuda_launch_close_rows(call->prepared->device->stream,
                                                      (size_t)s.rows * (size_t)s.columns, s.columns, s.stride,
                                                      matrix(call, &s, from).memory,
                                                      cuda_output(call, ORTHOGONALISE_OUT_UPDATE)));
}
