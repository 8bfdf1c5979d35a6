#include "host/inference/quantise.h"

#include <math.h>
#include <stdlib.h>

/* Biases stay below this, and sums of products below the rest of int32. */
static const double MOST_BIAS = 268435456.0; /* 2^28 */
enum { MOST_PRODUCTS = (INT32_MAX - (1 << 28)) / (KERNEL_CODE_MOST * (CODE_MOST - CODE_LEAST)) };

struct rescale rescale_of(double factor)
{
    struct rescale rescale = {0, 1};
    int exponent;
    const double mantissa = frexp(factor, &exponent); /* factor = mantissa * 2^exponent, mantissa 0.5 to 1 */
    int64_t multiplier = llround(mantissa * 2147483648.0);
    int shift = 31 - exponent;
    if (multiplier == 2147483648 || multiplier == -2147483648) {
        multiplier /= 2;
        shift--;
    }
    if (shift > 62) /* nothing is left of it */
        return rescale;
    rescale.multiplier = (int32_t)multiplier;
    rescale.shift = shift;
    return rescale;
}

int64_t rescale_apply(int64_t value, struct rescale rescale)
{
    const int64_t product = value * rescale.multiplier, half = (int64_t)1 << (rescale.shift - 1);
    return product >= 0 ? (product + half) >> rescale.shift : -((half - product) >> rescale.shift);
}

int32_t code_cut(int64_t code)
{
    return code < CODE_LEAST ? CODE_LEAST : code > CODE_MOST ? CODE_MOST : (int32_t)code;
}

void value_ranges_begin(struct value_range *ranges, int32_t layers)
{
    for (int32_t i = 0; i < layers; i++)
        ranges[i] = (struct value_range){INFINITY, -INFINITY};
}

enum status quantisation_new(const struct model *folded, struct quantisation *quantisation, struct error *err)
{
    const size_t total = folded->table.total;
    *quantisation = (struct quantisation){calloc((size_t)folded->graph.count, sizeof(*quantisation->codings)),
                                          calloc(total, sizeof(*quantisation->kernels)),
                                          calloc(total, sizeof(*quantisation->biases)),
                                          calloc(total, sizeof(*quantisation->scales))};
    if (quantisation->codings == NULL || quantisation->kernels == NULL || quantisation->biases == NULL ||
        quantisation->scales == NULL)
        return error_memory(err, "whole numbers", total * 9);
    return ST_OK;
}

void quantisation_free(struct quantisation *quantisation)
{
    free(quantisation->codings);
    free(quantisation->kernels);
    free(quantisation->biases);
    free(quantisation->scales);
    *quantisation = (struct quantisation){0};
}

int32_t quantise_fused(const struct graph *graph, int32_t i)
{
    const enum layer_family family = layer_traits(graph->layers[i].kind)->family;
    int32_t reader = -1;
    if (family != FAMILY_CONV && family != FAMILY_DENSE && family != FAMILY_BATCH_NORM &&
        family != FAMILY_ADD && family != FAMILY_GATE)
        return -1;
    for (int32_t k = i + 1; k < graph->count; k++)
        for (int32_t input = 0; input < graph->layers[k].input_count; input++)
            if (graph->layers[k].inputs[input] == i) {
                if (reader >= 0 || graph->layers[k].kind != LAYER_RELU)
                    return -1;
                reader = k;
            }
    return reader;
}

/* Codes for values in that range, 0 among them exactly. */
static struct coding coding_of(struct value_range range)
{
    const double low = fmin((double)range.low, 0.0), high = fmax((double)range.high, 0.0);
    const double scale = fmax((high - low) / (CODE_MOST - CODE_LEAST), 1e-9);
    return (struct coding){.scale = (float)scale, .zero = code_cut(llround(CODE_LEAST - low / scale))};
}

static void code_values(const struct graph *graph, const struct value_range *ranges, struct coding *codings)
{
    for (int32_t i = 0; i < graph->count; i++) {
        const struct layer *layer = &graph->layers[i];
        const bool same = layer->kind == LAYER_MAX_POOL || layer->kind == LAYER_AVERAGE_POOL;
        const int32_t relu = quantise_fused(graph, i);
        codings[i] = same ? codings[layer->inputs[0]] : coding_of(ranges[relu >= 0 ? relu : i]);
        codings[i].fused = relu >= 0;
    }
}

/* Kernel and bias of one layer. The scale of a channel is such that the bias, too, has a code. */
static enum status code_kernel(const struct model *folded, const struct layer *layer,
                               struct quantisation *quantisation, struct error *err)
{
    const struct weight_table *table = &folded->table;
    const struct weight_tensor *kernel = &table->tensors[weight_find(table, layer->id, WEIGHT_KERNEL)];
    const struct weight_tensor *bias = &table->tensors[weight_find(table, layer->id, WEIGHT_BIAS)];
    const size_t each = kernel->count / (size_t)kernel->dims[0];
    const double read = (double)quantisation->codings[layer->inputs[0]].scale;
    if (each > MOST_PRODUCTS)
        return error_set(err, ST_UNSUPPORTED,
                         "layer %u: found sums of %zu products, expected at most %d for int8",
                         (unsigned)layer->id, each, (int)MOST_PRODUCTS);
    for (int32_t c = 0; c < kernel->dims[0]; c++) {
        const float *values = folded->values + kernel->offset + (size_t)c * each;
        const double added = (double)folded->values[bias->offset + (size_t)c];
        double most = 0.0;
        for (size_t i = 0; i < each; i++)
            most = fmax(most, fabs((double)values[i]));
        const float scale =
            (float)fmax(fmax(most / KERNEL_CODE_MOST, fabs(added) / (read * MOST_BIAS)), 1e-30);
        quantisation->scales[bias->offset + (size_t)c] = scale;
        for (size_t i = 0; i < each; i++) {
            const double code = nearbyint((double)values[i] / (double)scale);
            quantisation->kernels[kernel->offset + (size_t)c * each + i] =
                (int8_t)fmin(fmax(code, -KERNEL_CODE_MOST), KERNEL_CODE_MOST);
        }
        quantisation->biases[bias->offset + (size_t)c] =
            (int32_t)nearbyint(fmin(fmax(added / (read * (double)scale), -MOST_BIAS), MOST_BIAS));
    }
    return ST_OK;
}

enum status quantise(const struct model *folded, const struct value_range *ranges,
                     struct quantisation *quantisation, struct error *err)
{
    enum status st = quantisation_new(folded, quantisation, err);
    if (st != ST_OK)
        return st;
    code_values(&folded->graph, ranges, quantisation->codings);
    for (int32_t i = 0; st == ST_OK && i < folded->graph.count; i++)
        if (layer_traits(folded->graph.layers[i].kind)->weights == LAYER_WEIGHTS_KERNEL)
            st = code_kernel(folded, &folded->graph.layers[i], quantisation, err);
    return st;
}
