#include "host/csource/csource.h"

#include "host/inference/fold.h"

/* ---- constants ---- */

static void write_kernel(struct csource *source, const struct layer *layer)
{
    const struct weight_tensor *kernel = csource_weight(source, layer, WEIGHT_KERNEL);
    const float *values = source->evaluation->folded->values;
    const int32_t outputs = kernel->dims[0] / layer->groups;
    const bool depthwise = csource_is_depthwise(source, layer);
    const int32_t groups = depthwise ? 1 : layer->groups, each = depthwise ? kernel->dims[0] : outputs;
    size_t i = 0;
    csource_open(source, "float", "weights", layer->id, kernel->count);
    for (int32_t g = 0; g < groups; g++)
        for (int32_t y = 0; y < kernel->dims[2]; y++)
            for (int32_t x = 0; x < kernel->dims[3]; x++)
                for (int32_t input = 0; input < kernel->dims[1]; input++)
                    for (int32_t k = 0; k < each; k++) {
                        const int32_t place[4] = {g * each + k, y, x, input};
                        csource_item_float(source, i++, values[csource_kernel_place(kernel, place)]);
                    }
    csource_close(source);
}

static void write_convolution(struct csource *source, int32_t index)
{
    const struct layer layer = plan_convolution(&source->evaluation->folded->graph, index);
    const struct weight_tensor *bias = csource_weight(source, &layer, WEIGHT_BIAS);
    write_kernel(source, &layer);
    csource_open(source, "float", "bias", layer.id, bias->count);
    for (size_t i = 0; i < bias->count; i++)
        csource_item_float(source, i, source->evaluation->folded->values[bias->offset + i]);
    csource_close(source);
    csource_open_convolution(source, &layer);
    fprintf(source->out, ", weights_%u, bias_%u};\n", (unsigned)layer.id, (unsigned)layer.id);
}

static void write_scale(struct csource *source, const struct layer *layer)
{
    double factor, summand;
    csource_open(source, "float", "factors", layer->id, (size_t)layer->shape.c);
    for (int32_t c = 0; c < layer->shape.c; c++) {
        fold_batch_norm(source->evaluation->folded, layer, c, &factor, &summand);
        csource_item_float(source, (size_t)c, (float)factor);
    }
    csource_close(source);
    csource_open(source, "float", "summands", layer->id, (size_t)layer->shape.c);
    for (int32_t c = 0; c < layer->shape.c; c++) {
        fold_batch_norm(source->evaluation->folded, layer, c, &factor, &summand);
        csource_item_float(source, (size_t)c, (float)summand);
    }
    csource_close(source);
}

void csource_float_constants(struct csource *source, int32_t index)
{
    const struct layer *layer = csource_layer(source, index);
    switch (layer_traits(layer->kind)->family) {
    case FAMILY_CONV:
    case FAMILY_DENSE:
        write_convolution(source, index);
        break;
    case FAMILY_BATCH_NORM:
        write_scale(source, layer);
        break;
    case FAMILY_MAX_POOL:
    case FAMILY_AVERAGE_POOL:
        csource_open_pool(source, layer);
        fputs("};\n", source->out);
        break;
    case FAMILY_INPUT:
    case FAMILY_GLOBAL_POOL:
    case FAMILY_ADD:
    case FAMILY_CONCAT:
    case FAMILY_GATE:
    case FAMILY_ACTIVATION:
    case FAMILY_DROPOUT:
        break;
    }
}

/* ---- statements ---- */

/* What works value by value works in place: elsewhere its input is copied first. Returns where. */
static size_t copy_first(struct csource *source, int32_t index, int32_t input)
{
    const struct plan *plan = source->evaluation->plan;
    if (!plan->in_place[index])
        fprintf(source->out, "    memcpy(values + %zu, values + %zu, %zu * sizeof(float));\n",
                plan->offsets[index], plan->offsets[input], plan_values(csource_layer(source, index)));
    return plan->offsets[index];
}

static void state_concat(struct csource *source, int32_t index)
{
    const struct layer *layer = csource_layer(source, index);
    const size_t *offsets = source->evaluation->plan->offsets;
    int32_t first = 0;
    for (int32_t k = 0; k < layer->input_count; k++) {
        const int32_t channels = csource_layer(source, layer->inputs[k])->shape.c;
        fprintf(source->out, "    join(%d, %d, %d, values + %zu, values + %zu);\n",
                layer->shape.h * layer->shape.w, channels, layer->shape.c, offsets[layer->inputs[k]],
                offsets[index] + (size_t)first);
        first += channels;
    }
}

static void state_add(struct csource *source, int32_t index)
{
    const struct layer *layer = csource_layer(source, index);
    const size_t *offsets = source->evaluation->plan->offsets;
    const bool second =
        source->evaluation->plan->in_place[index] && offsets[layer->inputs[1]] == offsets[index];
    const size_t to = copy_first(source, index, layer->inputs[second ? 1 : 0]);
    fprintf(source->out, "    add(%zu, values + %zu, values + %zu);\n", plan_values(layer),
            offsets[layer->inputs[second ? 0 : 1]], to);
}

void csource_float_statement(struct csource *source, int32_t index)
{
    const struct layer *layer = csource_layer(source, index);
    const struct layer_traits *traits = layer_traits(layer->kind);
    const size_t *offsets = source->evaluation->plan->offsets;
    const size_t from = offsets[layer->inputs[0]], to = offsets[index];
    const int32_t pixels = layer->shape.h * layer->shape.w;
    const unsigned id = (unsigned)layer->id;
    const char *window = NULL;
    switch (traits->family) {
    case FAMILY_INPUT:
        fprintf(source->out, "    load(image, values + %zu);\n", to);
        break;
    case FAMILY_CONV:
    case FAMILY_DENSE:
        window = csource_is_depthwise(source, layer) ? "convolve_channels" : "convolve";
        break;
    case FAMILY_MAX_POOL:
        window = "max_pool";
        break;
    case FAMILY_AVERAGE_POOL:
        window = "average_pool";
        break;
    case FAMILY_GLOBAL_POOL: {
        const struct shape x = csource_layer(source, layer->inputs[0])->shape;
        fprintf(source->out, "    mean(%d, %d, values + %zu, values + %zu);\n", x.h * x.w, x.c, from, to);
        break;
    }
    case FAMILY_BATCH_NORM:
        copy_first(source, index, layer->inputs[0]);
        fprintf(source->out, "    scale(%d, %d, factors_%u, summands_%u, values + %zu);\n", pixels,
                layer->shape.c, id, id, to);
        break;
    case FAMILY_ADD:
        state_add(source, index);
        break;
    case FAMILY_CONCAT:
        state_concat(source, index);
        break;
    case FAMILY_GATE:
        copy_first(source, index, layer->inputs[0]);
        fprintf(source->out, "    gate(%d, %d, values + %zu, values + %zu);\n", pixels, layer->shape.c,
                offsets[layer->inputs[1]], to);
        break;
    case FAMILY_ACTIVATION:
        copy_first(source, index, layer->inputs[0]);
        fprintf(source->out, "    %s(%zu, values + %zu);\n", traits->name, plan_values(layer), to);
        break;
    case FAMILY_DROPOUT:
        break;
    }
    if (window != NULL)
        fprintf(source->out, "    %s(&layer_%u, values + %zu, values + %zu);\n", window, id, from, to);
}
