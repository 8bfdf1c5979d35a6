#include "host/inference/evaluate_layer.h"

#include "host/cpu/kernel_lanes.h"
#include "host/inference/code.h"
#include "host/inference/fold.h"
#include "host/program/activation.h"

#include <math.h>
#include <string.h>

enum { N = EVALUATE_LANES, ROWS = 4, VECTORS = N / LANES };

/* Products of codes that a float sums exactly: 512 * 127 * 255 < 2^24. */
enum { EXACT = 512 };

static float (*const activations[ACTIVATION_COUNT])(float x) = {
#define LAYER(KIND, ...)
#define ACTIVATION(KIND, name, ...) [ACTIVATION_##KIND] = activation_##name,
#include "host/net/layers.def"
};

/* ---- what layers read and write ---- */

static const struct layer *layer_of(const struct evaluate_layer *work)
{
    return &work->evaluation->folded->graph.layers[work->index];
}

static const struct layer *input_of(const struct evaluate_layer *work, int32_t k)
{
    return &work->evaluation->folded->graph.layers[layer_of(work)->inputs[k]];
}

static float *values_of(const struct evaluate_layer *work, int32_t layer)
{
    return work->arena + work->evaluation->plan->offsets[layer] * N;
}

static const float *read_from(const struct evaluate_layer *work, int32_t k)
{
    return values_of(work, layer_of(work)->inputs[k]);
}

static bool is_coded(const struct evaluate_layer *work)
{
    return work->evaluation->quantisation != NULL;
}

static struct coding coding_of(const struct evaluate_layer *work, int32_t layer)
{
    return is_coded(work) ? work->evaluation->quantisation->codings[layer] : (struct coding){.scale = 1.0f};
}

static const struct weight_tensor *weight_of(const struct evaluate_layer *work, enum weight_role role)
{
    const struct weight_table *table = &work->evaluation->folded->table;
    return &table->tensors[weight_find(table, layer_of(work)->id, role)];
}

/* ---- sums of products ---- */

struct conv {
    struct layer layer;      /* a dense one as a convolution */
    int32_t inputs, outputs; /* channels of a group */
    size_t depth;            /* values of a patch */
    struct shape x, y;
    size_t bias; /* its offset among the weights */
};

static struct conv conv_of(const struct evaluate_layer *work)
{
    const struct layer layer = plan_convolution(&work->evaluation->folded->graph, work->index);
    struct conv conv = {.layer = layer, .x = input_of(work, 0)->shape, .y = layer.shape};
    conv.inputs = conv.x.c / layer.groups;
    conv.outputs = conv.y.c / layer.groups;
    conv.depth = (size_t)conv.inputs * (size_t)layer.kernel_h * (size_t)layer.kernel_w;
    conv.bias = weight_of(work, WEIGHT_BIAS)->offset;
    return conv;
}

/* What a kernel sees at one place, in the order of its weights; outside of the image 0. */
static void gather(const struct evaluate_layer *work, const struct conv *conv, int32_t group, int32_t place)
{
    const float *x = read_from(work, 0), zero = (float)coding_of(work, layer_of(work)->inputs[0]).zero;
    const int32_t top = place / conv->y.w * conv->layer.stride - conv->layer.pad_h;
    const int32_t left = place % conv->y.w * conv->layer.stride - conv->layer.pad_w;
    float *patch = work->patch;
    for (int32_t c = group * conv->inputs; c < (group + 1) * conv->inputs; c++)
        for (int32_t ky = 0; ky < conv->layer.kernel_h; ky++)
            for (int32_t kx = 0; kx < conv->layer.kernel_w; kx++, patch += N) {
                const int32_t iy = top + ky, ix = left + kx;
                const bool inside = iy >= 0 && iy < conv->x.h && ix >= 0 && ix < conv->x.w;
                const size_t pixel = inside ? (size_t)iy * (size_t)conv->x.w + (size_t)ix : 0;
                const float *from = x + (pixel * (size_t)conv->x.c + (size_t)c) * N;
                for (int32_t n = 0; n < N; n++)
                    patch[n] = inside ? from[n] - zero : 0.0f;
            }
}

/* Sums of `depth` products for ROWS rows of the kernel, `stride` apart. */
CPU_KERNEL static void sum_products(const float *kernel, size_t stride, const float *patch, size_t depth,
                                    float sums[ROWS * N])
{
    lanes acc[ROWS][VECTORS];
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++)
            acc[r][v] = LANES_ZERO;
    for (size_t i = 0; i < depth; i++)
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < VECTORS; v++)
                acc[r][v] += LANES_ALL(kernel[(size_t)r * stride + i]) * LANES_IN(patch + i * N + v * LANES);
    memcpy(sums, acc, sizeof(acc));
}

/* What a channel's sum becomes; its bias is at `at`. */
static void finish_channel(const struct evaluate_layer *work, size_t at, const double *sums, float *y)
{
    const struct model *folded = work->evaluation->folded;
    const struct quantisation *codes = work->evaluation->quantisation;
    const bool last = work->index + 1 == folded->graph.count;
    const struct coding read = coding_of(work, layer_of(work)->inputs[0]), own = coding_of(work, work->index);
    if (codes == NULL) {
        for (int32_t n = 0; n < N; n++)
            y[n] = (float)(sums[n] + (double)folded->values[at]);
    } else if (!last) {
        const struct rescale rescale = code_conv(read, codes->scales[at], own);
        for (int32_t n = 0; n < N; n++)
            y[n] = (float)code_cut(own.zero + rescale_apply((int64_t)sums[n] + codes->biases[at], rescale));
    } else {
        for (int32_t n = 0; n < N; n++)
            y[n] = (float)((sums[n] + codes->biases[at]) * (double)read.scale * (double)codes->scales[at]);
    }
}

static void evaluate_conv(const struct evaluate_layer *work)
{
    const struct conv conv = conv_of(work);
    const float *kernel = work->kernels + weight_of(work, WEIGHT_KERNEL)->offset;
    float *y = values_of(work, work->index);
    for (int32_t place = 0; place < conv.y.h * conv.y.w; place++)
        for (int32_t group = 0; group < conv.layer.groups; group++) {
            gather(work, &conv, group, place);
            for (int32_t k = 0; k < conv.outputs; k += ROWS) {
                /* Rows that the kernel has no more are the last one once more. */
                const int32_t rows = conv.outputs - k < ROWS ? conv.outputs - k : ROWS;
                const int32_t first = group * conv.outputs + k;
                double totals[ROWS * N] = {0};
                for (size_t i = 0; i < conv.depth; i += EXACT) {
                    const size_t depth = conv.depth - i < EXACT ? conv.depth - i : EXACT;
                    _Alignas(32) float sums[ROWS * N];
                    for (int32_t r = 0; r < (rows == ROWS ? 1 : rows); r++) {
                        const float *row = kernel + (size_t)(first + r) * conv.depth + i;
                        sum_products(row, rows == ROWS ? conv.depth : 0, work->patch + i * N, depth, sums);
                        for (int32_t n = 0; n < (rows == ROWS ? ROWS * N : N); n++)
                            totals[r * N + n] += (double)sums[n];
                    }
                }
                for (int32_t r = 0; r < rows; r++)
                    finish_channel(work, conv.bias + (size_t)(first + r), totals + r * N,
                                   y + ((size_t)place * (size_t)conv.y.c + (size_t)(first + r)) * N);
            }
        }
}

/* ---- pools ---- */

/* One channel at one place of a window. */
static void pool_place(const struct evaluate_layer *work, int32_t c, int32_t place, float *y)
{
    const struct layer *layer = layer_of(work);
    const struct shape x = input_of(work, 0)->shape;
    const int32_t top = place / layer->shape.w * layer->stride - layer->pad_h;
    const int32_t left = place % layer->shape.w * layer->stride - layer->pad_w;
    const float *from = read_from(work, 0);
    const struct coding coding = coding_of(work, work->index);
    const bool largest = layer->kind == LAYER_MAX_POOL;
    float most[N];
    double sums[N] = {0};
    int32_t count = 0;
    for (int32_t iy = top < 0 ? 0 : top; iy < top + layer->kernel_h && iy < x.h; iy++)
        for (int32_t ix = left < 0 ? 0 : left; ix < left + layer->kernel_w && ix < x.w; ix++, count++) {
            const float *value =
                from + (((size_t)iy * (size_t)x.w + (size_t)ix) * (size_t)x.c + (size_t)c) * N;
            for (int32_t n = 0; n < N; n++) {
                most[n] = count == 0 || value[n] > most[n] ? value[n] : most[n];
                sums[n] += (double)value[n];
            }
        }
    for (int32_t n = 0; n < N; n++)
        if (largest)
            y[n] = most[n];
        else if (!is_coded(work))
            y[n] = (float)(sums[n] / count);
        else
            y[n] = (float)(coding.zero + code_divide((int64_t)sums[n] - (int64_t)count * coding.zero, count));
}

static void evaluate_pool(const struct evaluate_layer *work)
{
    const struct shape shape = layer_of(work)->shape;
    float *y = values_of(work, work->index);
    for (int32_t place = 0; place < shape.h * shape.w; place++)
        for (int32_t c = 0; c < shape.c; c++, y += N)
            pool_place(work, c, place, y);
}

static void evaluate_global_pool(const struct evaluate_layer *work)
{
    const struct shape x = input_of(work, 0)->shape;
    const struct coding read = coding_of(work, layer_of(work)->inputs[0]), own = coding_of(work, work->index);
    const int32_t count = x.h * x.w;
    const struct rescale rescale = code_mean(read, count, own);
    float *y = values_of(work, work->index);
    for (int32_t c = 0; c < x.c; c++)
        for (int32_t n = 0; n < N; n++) {
            double sum = 0.0;
            for (int32_t place = 0; place < count; place++)
                sum += (double)read_from(work, 0)[((size_t)place * (size_t)x.c + (size_t)c) * N + (size_t)n];
            y[c * N + n] =
                is_coded(work)
                    ? (float)code_cut(own.zero +
                                      rescale_apply((int64_t)sum - (int64_t)count * read.zero, rescale))
                    : (float)(sum / count);
        }
}

/* ---- value by value ---- */

static void evaluate_batch_norm(const struct evaluate_layer *work)
{
    const struct layer *layer = layer_of(work);
    const struct shape shape = layer->shape;
    const float *x = read_from(work, 0);
    float *y = values_of(work, work->index);
    const struct coding read = coding_of(work, layer->inputs[0]), own = coding_of(work, work->index);
    for (int32_t c = 0; c < shape.c; c++) {
        const struct code_norm codes = code_batch_norm(work->evaluation->folded, layer, c, read, own);
        double factor, summand;
        fold_batch_norm(work->evaluation->folded, layer, c, &factor, &summand);
        for (int32_t place = 0; place < shape.h * shape.w; place++)
            for (int32_t n = 0; n < N; n++) {
                const size_t at = ((size_t)place * (size_t)shape.c + (size_t)c) * N + (size_t)n;
                const int64_t units = ((int64_t)x[at] - read.zero) * codes.factor + codes.summand;
                y[at] = is_coded(work) ? (float)code_cut(own.zero + rescale_apply(units, codes.rescale))
                                       : (float)(factor * (double)x[at] + summand);
            }
    }
}

static void evaluate_activation(const struct evaluate_layer *work, enum activation_kind activation)
{
    const struct layer *layer = layer_of(work);
    const size_t count = plan_values(layer) * N;
    const float *x = read_from(work, 0);
    float *y = values_of(work, work->index);
    int8_t table[CODES];
    if (!is_coded(work)) {
        for (size_t i = 0; i < count; i++)
            y[i] = activations[activation](x[i]);
        return;
    }
    if (coding_of(work, layer->inputs[0]).fused) { /* that layer has done it */
        memmove(y, x, count * sizeof(*y));
        return;
    }
    code_activation(activation, coding_of(work, layer->inputs[0]), coding_of(work, work->index), table);
    for (size_t i = 0; i < count; i++)
        y[i] = (float)table[(int32_t)x[i] - CODE_LEAST];
}

static void evaluate_add(const struct evaluate_layer *work)
{
    const struct layer *layer = layer_of(work);
    const float *a = read_from(work, 0), *b = read_from(work, 1);
    float *y = values_of(work, work->index);
    const struct coding first = coding_of(work, layer->inputs[0]), second = coding_of(work, layer->inputs[1]);
    const struct coding own = coding_of(work, work->index);
    const int64_t factors[2] = {code_factor(first, own), code_factor(second, own)};
    for (size_t i = 0; i < plan_values(layer) * N; i++)
        if (is_coded(work))
            y[i] = (float)code_cut(own.zero + code_shift(((int64_t)a[i] - first.zero) * factors[0] +
                                                         ((int64_t)b[i] - second.zero) * factors[1]));
        else
            y[i] = a[i] + b[i];
}

static void evaluate_concat(const struct evaluate_layer *work)
{
    const struct layer *layer = layer_of(work);
    const struct coding own = coding_of(work, work->index);
    float *y = values_of(work, work->index);
    for (int32_t place = 0; place < layer->shape.h * layer->shape.w; place++)
        for (int32_t k = 0; k < layer->input_count; k++) {
            const int32_t channels = input_of(work, k)->shape.c;
            const float *x = read_from(work, k) + (size_t)place * (size_t)channels * N;
            const struct coding read = coding_of(work, layer->inputs[k]);
            const int64_t factor = code_factor(read, own);
            for (int32_t i = 0; i < channels * N; i++)
                *y++ = is_coded(work)
                           ? (float)code_cut(own.zero + code_shift(((int64_t)x[i] - read.zero) * factor))
                           : x[i];
        }
}

static void evaluate_gate(const struct evaluate_layer *work)
{
    const struct layer *layer = layer_of(work);
    const struct coding read = coding_of(work, layer->inputs[0]), by = coding_of(work, layer->inputs[1]);
    const struct coding own = coding_of(work, work->index);
    const float *x = read_from(work, 0), *gates = read_from(work, 1);
    float *y = values_of(work, work->index);
    int64_t factors[CODES];
    for (int32_t i = 0; i < CODES; i++)
        factors[i] = code_gate(read, by, CODE_LEAST + i, own);
    for (size_t place = 0; place < (size_t)layer->shape.h * (size_t)layer->shape.w; place++)
        for (size_t i = 0; i < (size_t)layer->shape.c * N; i++) {
            const size_t at = place * (size_t)layer->shape.c * N + i;
            if (is_coded(work))
                y[at] = (float)code_cut(own.zero + code_shift(((int64_t)x[at] - read.zero) *
                                                              factors[(int32_t)gates[i] - CODE_LEAST]));
            else
                y[at] = x[at] * activation_gate(gates[i]);
        }
}

void evaluate_layer(const struct evaluate_layer *work)
{
    const struct layer_traits *traits = layer_traits(layer_of(work)->kind);
    switch (traits->family) {
    case FAMILY_CONV:
    case FAMILY_DENSE:
        evaluate_conv(work);
        break;
    case FAMILY_BATCH_NORM:
        evaluate_batch_norm(work);
        break;
    case FAMILY_ACTIVATION:
        evaluate_activation(work, traits->activation);
        break;
    case FAMILY_MAX_POOL:
    case FAMILY_AVERAGE_POOL:
        evaluate_pool(work);
        break;
    case FAMILY_GLOBAL_POOL:
        evaluate_global_pool(work);
        break;
    case FAMILY_ADD:
        evaluate_add(work);
        break;
    case FAMILY_CONCAT:
        evaluate_concat(work);
        break;
    case FAMILY_GATE:
        evaluate_gate(work);
        break;
    case FAMILY_INPUT:
    case FAMILY_DROPOUT: /* folding leaves none */
        break;
    }
}
