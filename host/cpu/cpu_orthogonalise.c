/* Muon's update of one kernel: momentum by a kernel of ours, the iteration of Newton and Schulz by oneDNN's matrix
 * product. Formulas: optimizer.h.
 *
 * A product's result is cut into tiles, each of which is a product of its own, made by one thread: so the sums have one
 * order whatever the number of threads. A and B are symmetric: of them only tiles on and above the diagonal are
 * computed, the others are their mirror images. All in float32, since processors without AMX have nothing that would be
 * faster. oneDNN packs operands into memory of its own, as it does for dense layers. */
#include "host/cpu/cpu_internal.h"

#include <math.h>
#include <string.h>

enum { TILE = 128 };

/* [rows][columns], the values of a row behind each other. */
struct matrix {
    float *values;
    size_t rows, columns;
    bool transposed; /* in a product */
};

/* c = alpha * a * b + beta * addend. */
struct product {
    struct matrix a, b, c;
    float alpha, beta;
    const float *addend; /* like c */
    bool symmetric;      /* the result is */
};

struct tile {
    size_t row, column, rows, columns;
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* `count` of them lie side by side. */
static struct tile tile_at(const struct matrix *c, size_t number, size_t count)
{
    struct tile t = {.row = number / count * TILE, .column = number % count * TILE};
    t.rows = least(TILE, c->rows - t.row);
    t.columns = least(TILE, c->columns - t.column);
    return t;
}

static dnnl_status_t multiply_tile(const struct product *p, const struct tile *t)
{
    const struct matrix *a = &p->a, *b = &p->b;
    const size_t stride = p->c.columns, terms = a->transposed ? a->rows : a->columns;
    float *c = p->c.values + t->row * stride + t->column;
    for (size_t i = 0; p->addend != NULL && i < t->rows; i++)
        memcpy(c + i * stride, p->addend + (t->row + i) * stride + t->column, t->columns * sizeof(*c));
    return dnnl_sgemm(a->transposed ? 'T' : 'N', b->transposed ? 'T' : 'N', (dnnl_dim_t)t->rows,
                      (dnnl_dim_t)t->columns, (dnnl_dim_t)terms, p->alpha,
                      a->values + t->row * (a->transposed ? 1 : a->columns), (dnnl_dim_t)a->columns,
                      b->values + t->column * (b->transposed ? b->columns : 1), (dnnl_dim_t)b->columns,
                      p->beta, c, (dnnl_dim_t)stride);
}

static void mirror_tile(const struct matrix *c, const struct tile *t)
{
    for (size_t i = t->row; i < t->row + t->rows; i++)
        for (size_t j = t->column; j < t->column + t->columns; j++)
            c->values[j * c->columns + i] = c->values[i * c->columns + j];
}

static enum status multiply(const struct product *p, struct error *err)
{
    const size_t across = (p->c.columns + TILE - 1) / TILE, down = (p->c.rows + TILE - 1) / TILE;
    int failed = 0;
#pragma omp parallel for default(shared) schedule(static) reduction(max : failed)
    for (size_t k = 0; k < across * down; k++) {
        const struct tile t = tile_at(&p->c, k, across);
        if (p->symmetric && t.column < t.row)
            continue;
        const dnnl_status_t status = multiply_tile(p, &t);
        failed = (int)status > failed ? (int)status : failed;
        if (p->symmetric && t.column > t.row)
            mirror_tile(&p->c, &t);
    }
    return cpu_check((dnnl_status_t)failed, "multiply matrices", err);
}

/* What lies in the operation's scratch. */
struct iteration {
    struct matrix x, a, b; /* b stands for A's polynomial */
    double *sums;          /* of the momentum's kernel */
    size_t bytes;          /* of all of it */
};

/* memory: NULL where only the bytes are asked for. */
static struct iteration lay_out(const struct op_call *call, char *memory)
{
    const struct shape kernel = op_input_shape(call, ORTHOGONALISE_IN_DKERNEL);
    const size_t rows = (size_t)kernel.n, columns = (size_t)kernel.c * (size_t)kernel.h * (size_t)kernel.w,
                 side = least(rows, columns), line = 64;
    const size_t sums = cpu_round_up(cpu_kernel_momentum_sums(rows * columns) * sizeof(double), line),
                 x = cpu_round_up(rows * columns * sizeof(float), line),
                 a = cpu_round_up(side * side * sizeof(float), line);
    struct iteration s = {.bytes = sums + x + 2 * a};
    if (memory == NULL)
        return s;
    s.sums = (double *)(void *)memory;
    s.x = (struct matrix){(float *)(void *)(memory + sums), rows, columns, false};
    s.a = (struct matrix){(float *)(void *)(memory + sums + x), side, side, false};
    s.b = (struct matrix){(float *)(void *)(memory + sums + x + a), side, side, false};
    return s;
}

enum status cpu_prepare_orthogonalise(const struct op_call *call)
{
    (void)cpu_take_scratch(cpu_state(call), lay_out(call, NULL).bytes);
    return ST_OK;
}

static struct matrix transposed(struct matrix matrix)
{
    matrix.transposed = true;
    return matrix;
}

/* next = a X + (b A + c A A) X, or X (b A + c A A) for tall matrices; A likewise. */
static enum status iterate(const struct iteration *s, struct matrix x, struct matrix next, struct error *err)
{
    const bool wide = x.rows <= x.columns;
    const struct product square = {.a = wide ? x : transposed(x),
                                   .b = wide ? transposed(x) : x,
                                   .c = s->a,
                                   .alpha = 1.0f,
                                   .symmetric = true};
    const struct product polynomial = {.a = s->a,
                                       .b = s->a,
                                       .c = s->b,
                                       .alpha = MUON_C,
                                       .beta = MUON_B,
                                       .addend = s->a.values,
                                       .symmetric = true};
    const struct product result = {.a = wide ? s->b : x,
                                   .b = wide ? x : s->b,
                                   .c = next,
                                   .alpha = 1.0f,
                                   .beta = MUON_A,
                                   .addend = x.values};
    enum status st = multiply(&square, err);
    if (st == ST_OK)
        st = multiply(&polynomial, err);
    return st == ST_OK ? multiply(&result, err) : st;
}

enum status cpu_run_orthogonalise(const struct op_call *call)
{
    _Static_assert(MUON_STEPS % 2 == 1, "the last step ends in the update");
    const int32_t gradient = call->op->inputs[ORTHOGONALISE_IN_DKERNEL];
    const struct weight_tensor *tensor =
        &call->program->weights.tensors[call->program->tensors[gradient].weight];
    const struct device_binding *binding = &call->prepared->binding;
    const struct iteration s = lay_out(call, cpu_scratch(call));
    struct matrix from = s.x, to = {cpu_output(call, ORTHOGONALISE_OUT_UPDATE), s.x.rows, s.x.columns, false};
    const double squares = cpu_kernel_momentum(
        tensor->count, binding->optimizer.momentum, cpu_input(call, ORTHOGONALISE_IN_DKERNEL),
        binding->weights->slots[SLOT_FIRST] + tensor->offset, s.x.values, s.sums);
    cpu_kernel_scale(tensor->count, (float)(1.0 / (sqrt(squares) + (double)MUON_EPSILON)), s.x.values);
    enum status st = ST_OK;
    for (int step = 0; st == ST_OK && step < MUON_STEPS; step++) {
        st = iterate(&s, from, to, call->err);
        const struct matrix swapped = from;
        from = to;
        to = swapped;
    }
    return st;
}
