#include "tests/support/graph_forward.h"

#include "tests/support/activations.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t shape_size(const struct shape *shape)
{
    return (size_t)shape->c * (size_t)shape->h * (size_t)shape->w;
}

static const float *weights_of(const struct weight_table *table, const float *weights, uint32_t id,
                               enum weight_role role)
{
    int32_t found = weight_find(table, id, role);
    return found < 0 ? NULL : weights + table->tensors[found].offset;
}

/* The window of output row or column `at`: from *begin to before *end of an input `size` long, its tap 0 at
 * *corner. */
static void window(int32_t at, int32_t stride, int32_t pad, int32_t kernel, int32_t size, int32_t *corner,
                   int32_t *begin, int32_t *end)
{
    *corner = at * stride - pad;
    *begin = *corner < 0 ? 0 : *corner;
    *end = *corner + kernel > size ? size : *corner + kernel;
}

static void forward_conv(const struct layer *layer, const struct shape *in, const double *x,
                         const float *kernel, const float *bias, double *y)
{
    const struct shape *out = &layer->shape;
    int32_t group_in = in->c / layer->groups, group_out = out->c / layer->groups;
    for (int32_t o = 0; o < out->c; o++)
        for (int32_t i = 0; i < out->h; i++)
            for (int32_t j = 0; j < out->w; j++) {
                int32_t top, left, y0, y1, x0, x1;
                window(i, layer->stride, layer->pad_h, layer->kernel_h, in->h, &top, &y0, &y1);
                window(j, layer->stride, layer->pad_w, layer->kernel_w, in->w, &left, &x0, &x1);
                double sum = bias ? (double)bias[o] : 0.0;
                for (int32_t c = 0; c < group_in; c++) {
                    const float *taps = kernel + (o * group_in + c) * layer->kernel_h * layer->kernel_w;
                    const double *plane = x + (o / group_out * group_in + c) * in->h * in->w;
                    for (int32_t r = y0; r < y1; r++)
                        for (int32_t s = x0; s < x1; s++)
                            sum +=
                                (double)taps[(r - top) * layer->kernel_w + s - left] * plane[r * in->w + s];
                }
                y[(o * out->h + i) * out->w + j] = sum;
            }
}

static void forward_pool(const struct layer *layer, const struct shape *in, const double *x, double *y)
{
    const struct shape *out = &layer->shape;
    for (int32_t c = 0; c < out->c; c++)
        for (int32_t i = 0; i < out->h; i++)
            for (int32_t j = 0; j < out->w; j++) {
                int32_t top, left, y0, y1, x0, x1;
                window(i, layer->stride, layer->pad_h, layer->kernel_h, in->h, &top, &y0, &y1);
                window(j, layer->stride, layer->pad_w, layer->kernel_w, in->w, &left, &x0, &x1);
                double sum = 0.0, most = -INFINITY;
                for (int32_t r = y0; r < y1; r++)
                    for (int32_t s = x0; s < x1; s++) {
                        double value = x[(c * in->h + r) * in->w + s];
                        sum += value;
                        most = value > most ? value : most;
                    }
                bool mean = layer->kind == LAYER_AVERAGE_POOL;
                y[(c * out->h + i) * out->w + j] = mean ? sum / ((y1 - y0) * (x1 - x0)) : most;
            }
}

static void forward_global_pool(const struct shape *in, const double *x, double *y)
{
    int32_t plane = in->h * in->w;
    for (int32_t c = 0; c < in->c; c++) {
        double sum = 0.0;
        for (int32_t p = 0; p < plane; p++)
            sum += x[c * plane + p];
        y[c] = sum / plane;
    }
}

static void forward_dense(const struct layer *layer, size_t inputs, const double *x, const float *kernel,
                          const float *bias, double *y)
{
    for (int32_t o = 0; o < layer->shape.c; o++) {
        double sum = bias ? (double)bias[o] : 0.0;
        for (size_t i = 0; i < inputs; i++)
            sum += (double)kernel[(size_t)o * inputs + i] * x[i];
        y[o] = sum;
    }
}

static void forward_batch_norm(const struct layer *layer, const struct weight_table *table,
                               const float *weights, const double *x, double *y)
{
    const float *scale = weights_of(table, weights, layer->id, WEIGHT_SCALE);
    const float *shift = weights_of(table, weights, layer->id, WEIGHT_SHIFT);
    const float *mean = weights_of(table, weights, layer->id, WEIGHT_RUNNING_MEAN);
    const float *variance = weights_of(table, weights, layer->id, WEIGHT_RUNNING_VAR);
    int32_t plane = layer->shape.h * layer->shape.w;
    for (int32_t c = 0; c < layer->shape.c; c++) {
        double factor = (double)scale[c] / sqrt((double)variance[c] + (double)GRAPH_BATCH_NORM_EPSILON);
        for (int32_t p = c * plane; p < (c + 1) * plane; p++)
            y[p] = (x[p] - (double)mean[c]) * factor + (double)shift[c];
    }
}

/* `outputs[i]` is layer i's output, made for all layers before `layer`. */
static void forward_layer(const struct graph *graph, const struct layer *layer,
                          const struct weight_table *table, const float *weights, double *const *outputs,
                          double *y)
{
    const struct shape *in = &graph->layers[layer->inputs[0]].shape;
    const double *x = outputs[layer->inputs[0]];
    size_t count = shape_size(&layer->shape), at = 0;
    const float *kernel = weights_of(table, weights, layer->id, WEIGHT_KERNEL);
    const float *bias = weights_of(table, weights, layer->id, WEIGHT_BIAS);
    const struct layer_traits *traits = layer_traits(layer->kind);
    switch (traits->family) {
    case FAMILY_CONV:
        forward_conv(layer, in, x, kernel, bias, y);
        break;
    case FAMILY_BATCH_NORM:
        forward_batch_norm(layer, table, weights, x, y);
        break;
    case FAMILY_ACTIVATION:
        for (size_t i = 0; i < count; i++)
            y[i] = activation_value(traits->activation, x[i]);
        break;
    case FAMILY_MAX_POOL:
    case FAMILY_AVERAGE_POOL:
        forward_pool(layer, in, x, y);
        break;
    case FAMILY_GLOBAL_POOL:
        forward_global_pool(in, x, y);
        break;
    case FAMILY_ADD:
        for (size_t i = 0; i < count; i++)
            y[i] = x[i] + outputs[layer->inputs[1]][i];
        break;
    case FAMILY_CONCAT:
        for (int32_t k = 0; k < layer->input_count; k++) {
            size_t part = shape_size(&graph->layers[layer->inputs[k]].shape);
            memcpy(y + at, outputs[layer->inputs[k]], part * sizeof(*y));
            at += part;
        }
        break;
    case FAMILY_GATE:
        for (size_t i = 0; i < count; i++) {
            const size_t channel = i / ((size_t)in->h * (size_t)in->w);
            y[i] = x[i] * 2.0 / (1.0 + exp(-outputs[layer->inputs[1]][channel]));
        }
        break;
    case FAMILY_DENSE:
        forward_dense(layer, shape_size(in), x, kernel, bias, y);
        break;
    case FAMILY_DROPOUT: /* in inference */
    case FAMILY_INPUT:
        memcpy(y, x, count * sizeof(*y));
        break;
    }
}

bool graph_forward(const struct graph *graph, const struct weight_table *table, const float *weights,
                   const double *image, double *logits)
{
    size_t total = 0;
    for (int32_t i = 0; i < graph->count; i++)
        total += shape_size(&graph->layers[i].shape);
    double **outputs = calloc((uint32_t)graph->count, sizeof(*outputs));
    double *values = malloc(total * sizeof(*values));
    bool made = outputs && values;
    if (!made)
        goto out;
    size_t offset = 0;
    for (int32_t i = 0; i < graph->count; i++) {
        const struct layer *layer = &graph->layers[i];
        outputs[i] = values + offset;
        offset += shape_size(&layer->shape);
        if (i == 0)
            memcpy(outputs[0], image, shape_size(&layer->shape) * sizeof(*image));
        else
            forward_layer(graph, layer, table, weights, outputs, outputs[i]);
    }
    memcpy(logits, outputs[graph->count - 1],
           shape_size(&graph->layers[graph->count - 1].shape) * sizeof(*logits));
out:
    free(values);
    free(outputs);
    return made;
}
