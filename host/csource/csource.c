#include "host/csource/csource.h"

#include <stdlib.h>
#include <string.h>

const struct layer *csource_layer(const struct csource *source, int32_t index)
{
    return &source->evaluation->folded->graph.layers[index];
}

const struct weight_tensor *csource_weight(const struct csource *source, const struct layer *layer,
                                           enum weight_role role)
{
    const struct weight_table *table = &source->evaluation->folded->table;
    return &table->tensors[weight_find(table, layer->id, role)];
}

struct coding csource_coding(const struct csource *source, int32_t index)
{
    return source->evaluation->quantisation->codings[index];
}

bool csource_is_depthwise(const struct csource *source, const struct layer *layer)
{
    return layer->kind == LAYER_CONV && layer->groups > 1 && layer->groups == layer->out_channels &&
           layer->groups == csource_layer(source, layer->inputs[0])->shape.c;
}

size_t csource_kernel_place(const struct weight_tensor *kernel, const int32_t place[4])
{
    const int32_t output = place[0], y = place[1], x = place[2], input = place[3];
    const size_t row =
        ((size_t)output * (size_t)kernel->dims[1] + (size_t)input) * (size_t)kernel->dims[2] + (size_t)y;
    return kernel->offset + row * (size_t)kernel->dims[3] + (size_t)x;
}

void csource_float(struct csource *source, float value)
{
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    fprintf(source->out, "%s%sf", text, strpbrk(text, ".e") != NULL ? "" : ".0");
}

void csource_open(struct csource *source, const char *type, const char *name, uint32_t id, size_t count)
{
    fprintf(source->out, "static const %s %s_%u[%zu] = {", type, name, (unsigned)id, count);
}

/* What stands between two numbers. */
static void separate(struct csource *source, size_t i, size_t in_line)
{
    fputs(i == 0 ? "\n    " : i % in_line == 0 ? ",\n    " : ", ", source->out);
}

void csource_item_float(struct csource *source, size_t i, float value)
{
    separate(source, i, 8);
    csource_float(source, value);
}

void csource_item_int(struct csource *source, size_t i, int32_t value)
{
    separate(source, i, 20);
    if (value == INT32_MIN)
        fputs("-2147483647 - 1", source->out);
    else
        fprintf(source->out, "%d", (int)value);
}

void csource_item_rescale(struct csource *source, size_t i, struct rescale rescale)
{
    separate(source, i, 6);
    fprintf(source->out, "{%d, %d}", (int)rescale.multiplier, (int)rescale.shift);
}

void csource_close(struct csource *source)
{
    fputs("};\n", source->out);
}

static void open_layer(struct csource *source, const struct layer *layer, const char *type)
{
    const struct shape x = csource_layer(source, layer->inputs[0])->shape;
    fprintf(source->out, "static const struct %s layer_%u = {%d, %d, %d", type, (unsigned)layer->id, x.c, x.h,
            x.w);
}

void csource_open_pool(struct csource *source, const struct layer *layer)
{
    open_layer(source, layer, "window");
    fprintf(source->out, ", %d, %d, %d, %d, %d, %d, %d", layer->shape.h, layer->shape.w, layer->kernel_h,
            layer->kernel_w, layer->stride, layer->pad_h, layer->pad_w);
}

void csource_open_convolution(struct csource *source, const struct layer *layer)
{
    open_layer(source, layer, "convolution");
    fprintf(source->out, ", %d, %d, %d, %d, %d, %d, %d, %d, %d", layer->shape.c, layer->shape.h,
            layer->shape.w, layer->kernel_h, layer->kernel_w, layer->stride, layer->pad_h, layer->pad_w,
            layer->groups);
}
