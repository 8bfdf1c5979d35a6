/* Muon's update of one kernel: momentum by a kernel of ours, the iteration of Newton and Schulz by oneDNN's matrix
 * product. Formulas: optimizer.h.
 *
 * A product's result is cut into tiles, each of which is a product of its own, made by one thread: so the sums have one
 * order whatever the number of threads. A and B are symmetric: of them only tiles on and above the diagonal are
 * computed, the others are their mirror images. oneDNN packs operands into memory of its own, as it does for dense
 * layers.
 *
 * That is float32. Where activations are bf16 (which AMX multiplies eight times as fast), so are the factors of the
 * products: X and A are kept in float32, what is multiplied are copies. A factor's rounding, 2^-8, moves the singular
 * values of the update by about as much; they lie between 0.68 and 1.21 by the iteration's nature. */
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

/* What lies in the operation's scratch, reserved in this order by prepare, in bf16 behind it what the primitives
 * need. */
struct places {
    struct cpu_buffer sums; /* of the momentum's kernel */
    struct cpu_buffer x;    /* X, or in bf16 its copy: there X is the update itself */
    struct cpu_buffer a;    /* A, float32; in bf16 then its polynomial over c */
    struct cpu_buffer b;    /* A's polynomial; in bf16 the copy of either */
    size_t count, square;   /* elements of X, of A */
};

static struct matrix kernel_matrix(const struct op_call *call)
{
    const struct shape kernel = op_input_shape(call, ORTHOGONALISE_IN_DKERNEL);
    return (struct matrix){NULL, (size_t)kernel.n, (size_t)kernel.c * (size_t)kernel.h * (size_t)kernel.w,
                           false};
}

static struct places lay_out(const struct op_call *call, struct cpu_op *state)
{
    const struct matrix kernel = kernel_matrix(call);
    const size_t side = least(kernel.rows, kernel.columns),
                 size = cpu_type_size(call->prepared->device->type);
    struct places s = {.count = kernel.rows * kernel.columns, .square = side * side};
    s.sums = cpu_take_scratch(state, cpu_kernel_momentum_sums(s.count) * sizeof(double));
    s.x = cpu_take_scratch(state, s.count * size);
    s.a = cpu_take_scratch(state, s.square * sizeof(float));
    s.b = cpu_take_scratch(state, s.square * size);
    return s;
}

/* Where prepare has laid it. */
static struct places laid_out(const struct op_call *call)
{
    struct cpu_op layout = {0};
    return lay_out(call, &layout);
}

static void *address(const struct op_call *call, struct cpu_buffer buffer)
{
    return cpu_address(call->prepared, cpu_state(call), buffer);
}

/* ---- in float32 ---- */

static struct matrix transposed(struct matrix matrix)
{
    matrix.transposed = true;
    return matrix;
}

/* A, and its polynomial b. */
struct squares {
    struct matrix a, b;
};

/* next = a X + (b A + c A A) X, or X (b A + c A A) for tall matrices; A likewise. */
static enum status iterate(const struct squares *s, struct matrix x, struct matrix next, struct error *err)
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

/* The iteration from the X in the scratch to the update. */
static enum status iterate_wide(const struct op_call *call, struct matrix from, struct matrix to)
{
    _Static_assert(MUON_STEPS % 2 == 1, "the last step ends in the update");
    const struct places at = laid_out(call);
    const size_t side = least(from.rows, from.columns);
    const struct squares s = {{address(call, at.a), side, side, false},
                              {address(call, at.b), side, side, false}};
    enum status st = ST_OK;
    for (int step = 0; st == ST_OK && step < MUON_STEPS; step++) {
        st = iterate(&s, from, to, call->err);
        const struct matrix swapped = from;
        from = to;
        to = swapped;
    }
    return st;
}

/* ---- in bf16 ---- */

enum { SQUARE, POLYNOMIAL, RESULT }; /* the calls */

static enum status prepare_narrow(const struct op_call *call, struct places s)
{
    const struct matrix kernel = kernel_matrix(call);
    const bool wide = kernel.rows <= kernel.columns;
    const size_t side = least(kernel.rows, kernel.columns);
    struct cpu_op *state = cpu_state(call);
    const struct cpu_buffer update = cpu_at_tensor(call->op->outputs[ORTHOGONALISE_OUT_UPDATE]);
    const struct cpu_factor x = {s.x, kernel.rows, kernel.columns, false},
                            x_turned = {s.x, kernel.rows, kernel.columns, true}, b = {s.b, side, side, false};
    enum status st = cpu_call_matmul(call->prepared, state, wide ? &x : &x_turned, wide ? &x_turned : &x, s.a,
                                     0.0f, call->err);
    if (st == ST_OK)
        st = cpu_call_matmul(call->prepared, state, &b, &b, s.a, MUON_B / MUON_C, call->err);
    if (st == ST_OK)
        st =
            cpu_call_matmul(call->prepared, state, wide ? &b : &x, wide ? &x : &b, update, MUON_A, call->err);
    return st;
}

/* The iteration on X, which is the update. */
static enum status iterate_narrow(const struct op_call *call, float *x)
{
    const struct cpu_op *state = cpu_state(call);
    const struct places s = laid_out(call);
    uint16_t *copy = address(call, s.x), *b = address(call, s.b);
    float *a = address(call, s.a);
    enum status st = ST_OK;
    for (int step = 0; st == ST_OK && step < MUON_STEPS; step++) {
        cpu_kernel_narrow(s.count, 1.0f, x, copy);
        st = cpu_call_run(call->prepared, state, SQUARE, call->err);
        cpu_kernel_narrow(s.square, 1.0f, a, b);
        if (st == ST_OK)
            st = cpu_call_run(call->prepared, state, POLYNOMIAL, call->err);
        cpu_kernel_narrow(s.square, MUON_C, a, b);
        if (st == ST_OK)
            st = cpu_call_run(call->prepared, state, RESULT, call->err);
    }
    return st;
}

/* ---- the operation ---- */

static bool is_narrow(const struct op_call *call)
{
    return call->prepared->device->type == CPU_BF16;
}

enum status cpu_prepare_orthogonalise(const struct op_call *call)
{
    const struct places s = lay_out(call, cpu_state(call));
    return is_narrow(call) ? prepare_narrow(call, s) : ST_OK;
}

enum status cpu_run_orthogonalise(const struct op_call *call)
{
    const int32_t gradient = call->op->inputs[ORTHOGONALISE_IN_DKERNEL];
    const struct weight_tensor *tensor =
        &call->program->weights.tensors[call->program->tensors[gradient].weight];
    const struct device_binding *binding = &call->prepared->binding;
    struct matrix update = kernel_matrix(call), x = update;
    update.values = cpu_output(call, ORTHOGONALISE_OUT_UPDATE);
    const struct places at = laid_out(call);
    x.values = is_narrow(call) ? update.values : address(call, at.x);
    const double squares = cpu_kernel_momentum(
        tensor->count, binding->optimizer.momentum, cpu_input(call, ORTHOGONALISE_IN_DKERNEL),
        binding->weights->slots[SLOT_FIRST] + tensor->offset, x.values, address(call, at.sums));
    cpu_kernel_scale(tensor->count, (float)(1.0 / (sqrt(squares) + (double)MUON_EPSILON)), x.values);
    return is_narrow(call) ? iterate_narrow(call, x.values) : iterate_wide(call, x, update);
}
