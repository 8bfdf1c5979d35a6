/* The constants and statements of an int8 file. */
#include "host/csource/csource.h"

/* ---- constants ---- */

static void write_kernel(struct csource *source, const struct layer *layer)
{
    const struct weight_tensor *kernel = csource_weight(source, layer, WEIGHT_KERNEL);
    const struct weight_tensor *bias = csource_weight(source, layer, WEIGHT_BIAS);
    const struct quantisation *codes = source->evaluation->quantisation;
    size_t i = 0;
    csource_open(source, "int8_t", "weights", layer->id, kernel->count);
    for (int32_t k = 0; k < kernel->dims[0]; k++)
        for (int32_t y = 0; y < kernel->dims[2]; y++)
            for (int32_t x = 0; x < kernel->dims[3]; x++)
                for (int32_t input = 0; input < kernel->dims[1]; input++) {
                    const int32_t place[4] = {k, y, x, input};
                    csource_item_int(source, i++, codes->kernels[csource_kernel_place(kernel, place)]);
                }
    csource_close(source);
    csource_open(source, "int32_t", "bias", layer->id, bias->count);
    for (i = 0; i < bias->count; i++)
        csource_item_int(source, i, codes->biases[bias->offset + i]);
    csource_close(source);
}

static void write_convolution(struct csource *source, int32_t index)
{
    const struct layer layer = plan_convolution(&source->evaluation->folded->graph, index);
    const struct weight_tensor *bias = csource_weight(source, &layer, WEIGHT_BIAS);
    const struct quantisation *codes = source->evaluation->quantisation;
    const struct coding read = csource_coding(source, layer.inputs[0]), own = csource_coding(source, index);
    const bool last = index + 1 == source->evaluation->folded->graph.count;
    const unsigned id = (unsigned)layer.id;
    write_kernel(source, &layer);
    if (last)
        csource_open(source, "float", "scales", layer.id, bias->count);
    else
        csource_open(source, "struct rescale", "rescales", layer.id, bias->count);
    for (size_t i = 0; i < bias->count; i++) {
        const float scale = codes->scales[bias->offset + i];
        if (last)
            csource_item_float(source, i, (float)((double)read.scale * (double)scale));
        else
            csource_item_rescale(source, i, code_conv(read, scale, own));
    }
    csource_close(source);
    csource_open_convolution(source, &layer);
    fprintf(source->out, ", %d, %d, weights_%u, bias_%u, ", (int)read.zero, (int)own.zero, id, id);
    if (last)
        fputs("NULL};\n", source->out);
    else
        fprintf(source->out, "rescales_%u};\n", id);
}

static void write_scale(struct csource *source, int32_t index)
{
    const struct layer *layer = csource_layer(source, index);
    const struct coding read = csource_coding(source, layer->inputs[0]), own = csource_coding(source, index);
    csource_open(source, "struct norm", "norms", layer->id, (size_t)layer->shape.c);
    for (int32_t c = 0; c < layer->shape.c; c++) {
        const struct code_norm norm = code_batch_norm(source->evaluation->folded, layer, c, read, own);
        fprintf(source->out, "%s{%d, %d, {%d, %d}}",
                c == 0       ? "\n    "
                : c % 3 == 0 ? ",\n    "
                             : ", ",
                (int)norm.factor, (int)norm.summand, (int)norm.rescale.multiplier, (int)norm.rescale.shift);
    }
    csource_close(source);
}

static void write_pool(struct csource *source, int32_t index)
{
    csource_open_pool(source, csource_layer(source, index));
    fprintf(source->out, ", %d};\n", (int)csource_coding(source, index).zero);
}

static void write_table(struct csource *source, const char *name, uint32_t id, const int8_t table[CODES])
{
    csource_open(source, "int8_t", name, id, CODES);
    for (size_t i = 0; i < CODES; i++)
        csource_item_int(source, i, table[i]);
    csource_close(source);
}

static void write_activation(struct csource *source, int32_t index)
{
    const struct layer *layer = csource_layer(source, index);
    const struct coding read = csource_coding(source, layer->inputs[0]);
    int8_t table[CODES];
    if (read.fused)
        return;
    code_activation(layer_traits(layer->kind)->activation, read, csource_coding(source, index), table);
    write_table(source, "codes", layer->id, table);
}

static void write_gate(struct csource *source, int32_t index)
{
    const struct layer *layer = csource_layer(source, index);
    const struct coding read = csource_coding(source, layer->inputs[0]),
                        by = csource_coding(source, layer->inputs[1]);
    csource_open(source, "int32_t", "factors", layer->id, CODES);
    for (int32_t i = 0; i < CODES; i++)
        csource_item_int(source, (size_t)i,
                         code_gate(read, by, CODE_LEAST + i, csource_coding(source, index)));
    csource_close(source);
}

/* A table for each channel, which are numbered. */
static void write_pixels(struct csource *source)
{
    const struct model *folded = source->evaluation->folded;
    for (int32_t c = 0; c < folded->graph.layers[0].shape.c; c++) {
        int8_t table[CODES];
        code_pixels(&folded->about, c, csource_coding(source, 0), table);
        write_table(source, "pixels", (uint32_t)c, table);
    }
}

void csource_code_constants(struct csource *source, int32_t index)
{
    switch (layer_traits(csource_layer(source, index)->kind)->family) {
    case FAMILY_INPUT:
        write_pixels(source);
        break;
    case FAMILY_CONV:
    case FAMILY_DENSE:
        write_convolution(source, index);
        break;
    case FAMILY_BATCH_NORM:
        write_scale(source, index);
        break;
    case FAMILY_MAX_POOL:
    case FAMILY_AVERAGE_POOL:
        write_pool(source, index);
        break;
    case FAMILY_GATE:
        write_gate(source, index);
        break;
    case FAMILY_ACTIVATION:
        write_activation(source, index);
        break;
    case FAMILY_GLOBAL_POOL:
    case FAMILY_ADD:
    case FAMILY_CONCAT:
    case FAMILY_DROPOUT:
        break;
    }
}

/* ---- statements ---- */

static void state_concat(struct csource *source, int32_t index)
{
    const struct layer *layer = csource_layer(source, index);
    const size_t *offsets = source->evaluation->plan->offsets;
    const struct coding own = csource_coding(source, index);
    int32_t first = 0;
    for (int32_t k = 0; k < layer->input_count; k++) {
        const int32_t channels = csource_layer(source, layer->inputs[k])->shape.c;
        const struct coding read = csource_coding(source, layer->inputs[k]);
        fprintf(source->out, "    join(%d, %d, %d, (struct term){%d, %d}, %d, values + %zu, values + %zu);\n",
                layer->shape.h * layer->shape.w, channels, layer->shape.c, (int)read.zero,
                (int)code_factor(read, own), (int)own.zero, offsets[layer->inputs[k]],
                offsets[index] + (size_t)first);
        first += channels;
    }
}

static void state_add(struct csource *source, int32_t index)
{
    const struct layer *layer = csource_layer(source, index);
    const size_t *offsets = source->evaluation->plan->offsets;
    const struct coding own = csource_coding(source, index);
    const struct coding a = csource_coding(source, layer->inputs[0]),
                        b = csource_coding(source, layer->inputs[1]);
    fprintf(source->out,
            "    add(%zu, (struct term){%d, %d}, values + %zu, (struct term){%d, %d}, values + %zu, %d, "
            "values + %zu);\n",
            plan_values(layer), (int)a.zero, (int)code_factor(a, own), offsets[layer->inputs[0]], (int)b.zero,
            (int)code_factor(b, own), offsets[layer->inputs[1]], (int)own.zero, offsets[index]);
}

static void state_mean(struct csource *source, int32_t index)
{
    const struct layer *layer = csource_layer(source, index);
    const size_t *offsets = source->evaluation->plan->offsets;
    const struct shape x = csource_layer(source, layer->inputs[0])->shape;
    const struct coding read = csource_coding(source, layer->inputs[0]), own = csource_coding(source, index);
    const struct rescale rescale = code_mean(read, x.h * x.w, own);
    fprintf(source->out, "    mean(%d, %d, %d, (struct rescale){%d, %d}, %d, values + %zu, values + %zu);\n",
            x.h * x.w, x.c, (int)read.zero, (int)rescale.multiplier, (int)rescale.shift, (int)own.zero,
            offsets[layer->inputs[0]], offsets[index]);
}

static void state_activation(struct csource *source, int32_t index)
{
    const struct layer *layer = csource_layer(source, index);
    const struct plan *plan = source->evaluation->plan;
    const size_t from = plan->offsets[layer->inputs[0]], to = plan->offsets[index],
                 count = plan_values(layer);
    if (!csource_coding(source, layer->inputs[0]).fused)
        fprintf(source->out, "    look_up(%zu, codes_%u, values + %zu, values + %zu);\n", count,
                (unsigned)layer->id, from, to);
    else if (from != to)
        fprintf(source->out, "    memcpy(values + %zu, values + %zu, %zu);\n", to, from, count);
    else
        fputs("    /* cut off by what is before it */\n", source->out);
}

void csource_code_statement(struct csource *source, int32_t index)
{
    const struct layer *layer = csource_layer(source, index);
    const size_t *offsets = source->evaluation->plan->offsets;
    const size_t from = offsets[layer->inputs[0]], to = offsets[index];
    const unsigned id = (unsigned)layer->id;
    const char *window = NULL;
    switch (layer_traits(layer->kind)->family) {
    case FAMILY_INPUT:
        for (int32_t c = 0; c < layer->shape.c; c++)
            fprintf(source->out, "    load(%d, pixels_%d, image, values + %zu);\n", (int)c, (int)c, to);
        break;
    case FAMILY_CONV:
    case FAMILY_DENSE:
        if (index + 1 == source->evaluation->folded->graph.count)
            fprintf(source->out, "    score(&layer_%u, scales_%u, values + %zu, logits);\n", id, id, from);
        else
            window = "convolve";
        break;
    case FAMILY_MAX_POOL:
        window = "max_pool";
        break;
    case FAMILY_AVERAGE_POOL:
        window = "average_pool";
        break;
    case FAMILY_GLOBAL_POOL:
        state_mean(source, index);
        break;
    case FAMILY_BATCH_NORM:
        fprintf(source->out, "    scale(%d, %d, norms_%u, %d, %d, values + %zu, values + %zu);\n",
                layer->shape.h * layer->shape.w, layer->shape.c, id,
                (int)csource_coding(source, layer->inputs[0]).zero, (int)csource_coding(source, index).zero,
                from, to);
        break;
    case FAMILY_ADD:
        state_add(source, index);
        break;
    case FAMILY_CONCAT:
        state_concat(source, index);
        break;
    case FAMILY_GATE:
        fprintf(source->out,
                "    gate(%d, %d, factors_%u, %d, values + %zu, values + %zu, %d, values + %zu);\n",
                layer->shape.h * layer->shape.w, layer->shape.c, id,
                (int)csource_coding(source, layer->inputs[0]).zero, from, offsets[layer->inputs[1]],
                (int)csource_coding(source, index).zero, to);
        break;
    case FAMILY_ACTIVATION:
        state_activation(source, index);
        break;
    case FAMILY_DROPOUT:
        break;
    }
    if (window != NULL)
        fprintf(source->out, "    %s(&layer_%u, values + %zu, values + %zu);\n", window, id, from, to);
}
