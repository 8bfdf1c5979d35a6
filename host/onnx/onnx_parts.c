#include "host/onnx/onnx_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void onnx_parts_free(struct onnx_parts *parts)
{
    for (int32_t i = 0; i < parts->count; i++)
        free(parts->items[i]);
    free(parts->items);
    *parts = (struct onnx_parts){0};
}

/* Takes what was allocated into the list; NULL when there is none, or no room. */
static void *keep(struct onnx_parts *parts, void *item)
{
    if (item != NULL && parts->count == parts->capacity) {
        const int32_t capacity = 2 * parts->capacity + 64;
        void **larger = realloc(parts->items, (size_t)capacity * sizeof(*larger));
        if (larger == NULL) {
            free(item);
            item = NULL;
        } else {
            parts->items = larger;
            parts->capacity = capacity;
        }
    }
    if (item == NULL)
        parts->failed = true;
    else
        parts->items[parts->count++] = item;
    return item;
}

void *onnx_part(struct onnx_parts *parts, size_t size)
{
    return keep(parts, calloc(1, size));
}

char *onnx_text(struct onnx_parts *parts, const char *format, ...)
{
    char *text;
    va_list arguments;
    va_start(arguments, format);
    const int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return keep(parts, length < 0 ? NULL : text);
}

Onnx__NodeProto *onnx_node(struct onnx_parts *parts, Onnx__GraphProto *graph, char *operation, char *output)
{
    struct whole_node {
        Onnx__NodeProto node;
        char *inputs[ONNX_MOST_INPUTS], *output[1];
        Onnx__AttributeProto *attributes[ONNX_MOST_ATTRIBUTES];
    } *whole = onnx_part(parts, sizeof(*whole));
    if (whole == NULL)
        return NULL;
    onnx__node_proto__init(&whole->node);
    whole->node.op_type = operation;
    whole->node.name = output;
    whole->node.input = whole->inputs;
    whole->node.output = whole->output;
    whole->output[0] = output;
    whole->node.n_output = 1;
    whole->node.attribute = whole->attributes;
    graph->node[graph->n_node++] = &whole->node;
    return &whole->node;
}

void onnx_input(Onnx__NodeProto *node, char *name)
{
    if (node != NULL)
        node->input[node->n_input++] = name;
}

static Onnx__AttributeProto *attribute(struct onnx_parts *parts, Onnx__NodeProto *node, char *name, int type)
{
    Onnx__AttributeProto *made = node != NULL ? onnx_part(parts, sizeof(*made)) : NULL;
    if (made == NULL)
        return NULL;
    onnx__attribute_proto__init(made);
    made->name = name;
    made->has_type = 1;
    made->type = (Onnx__AttributeProto__AttributeType)type;
    node->attribute[node->n_attribute++] = made;
    return made;
}

void onnx_int(struct onnx_parts *parts, Onnx__NodeProto *node, char *name, int64_t value)
{
    Onnx__AttributeProto *made = attribute(parts, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (made == NULL)
        return;
    made->has_i = 1;
    made->i = value;
}

void onnx_float(struct onnx_parts *parts, Onnx__NodeProto *node, char *name, float value)
{
    Onnx__AttributeProto *made = attribute(parts, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (made == NULL)
        return;
    made->has_f = 1;
    made->f = value;
}

void onnx_ints(struct onnx_parts *parts, Onnx__NodeProto *node, char *name, int32_t count,
               const int64_t *values)
{
    Onnx__AttributeProto *made = attribute(parts, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    int64_t *copy = onnx_part(parts, (size_t)count * sizeof(*copy));
    if (made == NULL || copy == NULL)
        return;
    memcpy(copy, values, (size_t)count * sizeof(*copy));
    made->n_ints = (size_t)count;
    made->ints = copy;
}

char *onnx_tensor(struct onnx_parts *parts, Onnx__GraphProto *graph, char *name, int32_t rank,
                  const int64_t *dims, const float *values)
{
    return onnx_tensor_raw(parts, graph, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, rank, dims, values);
}

char *onnx_tensor_raw(struct onnx_parts *parts, Onnx__GraphProto *graph, char *name, int32_t type,
                      int32_t rank, const int64_t *dims, const void *values)
{
    const size_t size = type == ONNX__TENSOR_PROTO__DATA_TYPE__INT8 ? 1 : 4;
    Onnx__TensorProto *tensor = onnx_part(parts, sizeof(*tensor));
    int64_t *copy = onnx_part(parts, (size_t)rank * sizeof(*copy));
    size_t count = 1;
    if (tensor == NULL || copy == NULL)
        return NULL;
    for (int32_t i = 0; i < rank; i++) {
        copy[i] = dims[i];
        count *= (size_t)dims[i];
    }
    onnx__tensor_proto__init(tensor);
    tensor->name = name;
    tensor->n_dims = (size_t)rank;
    tensor->dims = copy;
    tensor->has_data_type = 1;
    tensor->data_type = type;
    tensor->has_raw_data = 1;
    tensor->raw_data.len = count * size;
    tensor->raw_data.data = (uint8_t *)(uintptr_t)values; /* packing reads it only */
    graph->initializer[graph->n_initializer++] = tensor;
    return name;
}

Onnx__ValueInfoProto *onnx_value(struct onnx_parts *parts, char *name, int32_t type, int32_t rank,
                                 const int64_t *dims)
{
    struct whole_value {
        Onnx__ValueInfoProto value;
        Onnx__TypeProto type;
        Onnx__TypeProto__Tensor tensor;
        Onnx__TensorShapeProto shape;
        Onnx__TensorShapeProto__Dimension dims[4];
        Onnx__TensorShapeProto__Dimension *pointers[4];
    } *whole = onnx_part(parts, sizeof(*whole));
    if (whole == NULL)
        return NULL;
    onnx__value_info_proto__init(&whole->value);
    onnx__type_proto__init(&whole->type);
    onnx__type_proto__tensor__init(&whole->tensor);
    onnx__tensor_shape_proto__init(&whole->shape);
    for (int32_t i = 0; i < rank; i++) {
        Onnx__TensorShapeProto__Dimension *dim = whole->pointers[i] = &whole->dims[i];
        onnx__tensor_shape_proto__dimension__init(dim);
        dim->value_case = dims[i] < 0 ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM
                                      : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        if (dims[i] < 0)
            dim->dim_param = (char *)"N";
        else
            dim->dim_value = dims[i];
    }
    whole->shape.n_dim = (size_t)rank;
    whole->shape.dim = whole->pointers;
    whole->tensor.has_elem_type = 1;
    whole->tensor.elem_type = type;
    whole->tensor.shape = &whole->shape;
    whole->type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    whole->type.tensor_type = &whole->tensor;
    whole->value.name = name;
    whole->value.type = &whole->type;
    return &whole->value;
}
