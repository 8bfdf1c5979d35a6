/* Muon's update of one kernel: momentum, and the iteration of Newton and Schulz on the matrix [out][in * h * w].
 * Formulas: optimizer.h. */
#include "host/ref/ref.h"

#include <math.h>

/* The matrix as [rows][columns], and scratch for one step of the iteration. */
struct iteration {
    size_t rows, columns, side; /* side: the lesser of the two, of A and B */
    double *x, *a, *b, *next;   /* [rows][columns], [side][side] twice, [rows][columns] */
};

/* The k-th of the products whose sum is A's element (i, j): X X^T, or X^T X for tall matrices. */
static double term(const struct iteration *s, size_t i, size_t j, size_t k)
{
    return s->rows <= s->columns ? s->x[i * s->columns + k] * s->x[j * s->columns + k]
                                 : s->x[k * s->columns + i] * s->x[k * s->columns + j];
}

static void iterate(struct iteration *s)
{
    const double a = (double)MUON_A, b = (double)MUON_B, c = (double)MUON_C;
    const size_t side = s->side, terms = s->rows * s->columns / side;
    const bool wide = s->rows <= s->columns;
    for (size_t i = 0; i < side; i++)
        for (size_t j = 0; j < side; j++) {
            double sum = 0;
            for (size_t k = 0; k < terms; k++)
                sum += term(s, i, j, k);
            s->a[i * side + j] = sum;
        }
    for (size_t i = 0; i < side; i++)
        for (size_t j = 0; j < side; j++) {
            double square = 0;
            for (size_t k = 0; k < side; k++)
                square += s->a[i * side + k] * s->a[k * side + j];
            s->b[i * side + j] = b * s->a[i * side + j] + c * square;
        }
    for (size_t i = 0; i < s->rows; i++)
        for (size_t j = 0; j < s->columns; j++) {
            double sum = 0;
            for (size_t k = 0; k < side; k++)
                sum += wide ? s->b[i * side + k] * s->x[k * s->columns + j]
                            : s->x[i * s->columns + k] * s->b[k * side + j];
            s->next[i * s->columns + j] = a * s->x[i * s->columns + j] + sum;
        }
    double *before = s->x;
    s->x = s->next;
    s->next = before;
}

/* v and X of the gradient; X divided by its norm. */
static void begin(const struct op_call *call, const struct weight_tensor *tensor, double *x)
{
    const double momentum = (double)call->prepared->binding.optimizer.momentum;
    const double *g = ref_input(call, ORTHOGONALISE_IN_DKERNEL);
    double *v = call->prepared->binding.weights->slots[SLOT_FIRST] + tensor->offset, squares = 0;
    for (size_t i = 0; i < tensor->count; i++) {
        v[i] = momentum * v[i] + g[i];
        x[i] = g[i] + momentum * v[i];
        squares += x[i] * x[i];
    }
    const double norm = sqrt(squares) + (double)MUON_EPSILON;
    for (size_t i = 0; i < tensor->count; i++)
        x[i] /= norm;
}

static struct iteration sizes_of(struct shape kernel)
{
    struct iteration s = {.rows = (size_t)kernel.n};
    s.columns = ref_count(kernel) / s.rows;
    s.side = s.rows < s.columns ? s.rows : s.columns;
    return s;
}

size_t ref_orthogonalise_scratch(struct shape kernel)
{
    const struct iteration s = sizes_of(kernel);
    return 2 * (s.rows * s.columns + s.side * s.side) * sizeof(double);
}

enum status ref_run_orthogonalise(const struct op_call *call)
{
    const int32_t gradient = call->op->inputs[ORTHOGONALISE_IN_DKERNEL];
    const struct weight_tensor *tensor =
        &call->program->weights.tensors[call->program->tensors[gradient].weight];
    struct iteration s = sizes_of(call->program->tensors[gradient].shape);
    double *update = ref_output(call, ORTHOGONALISE_OUT_UPDATE);
    s.x = call->prepared->scratch;
    s.next = s.x + tensor->count;
    s.a = s.next + tensor->count;
    s.b = s.a + s.side * s.side;
    begin(call, tensor, s.x);
    for (int step = 0; step < MUON_STEPS; step++)
        iterate(&s);
    for (size_t i = 0; i < tensor->count; i++)
        update[i] = s.x[i];
    return ST_OK;
}
