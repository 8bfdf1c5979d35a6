/* What says shapes (Constant, Shape, Gather, Slice, Concat of them) and what changes them: Reshape, Squeeze,
 * Unsqueeze, and ReduceMean, which is a global pool. The number of images stays open. */
#include "host/onnx/onnx_node.h"

#include <string.h>

/* ---- shapes as values ---- */

enum status node_read_constant(const struct node *node)
{
    struct onnx_value value = {.kind = ONNX_VALUE_TENSOR, .factor = 1.0f};
    const Onnx__AttributeProto *found = node->proto->n_attribute == 1 ? node->proto->attribute[0] : NULL;
    const char *name = found != NULL ? found->name : "";
    const bool is_list = name[0] != '\0' && name[strlen(name) - 1] == 's';
    enum status st = ST_OK;
    if (strcmp(name, "value") == 0 && found->t != NULL) {
        st = onnx_value_constant(found->t, &value, node->err);
    } else if (strcmp(name, "value_float") == 0 || strcmp(name, "value_floats") == 0) {
        value.tensor = (struct onnx_tensor){.rank = is_list,
                                            .dims = {is_list ? (int32_t)found->n_floats : 1, 1, 1, 1},
                                            .count = is_list ? found->n_floats : 1,
                                            .values = is_list ? found->floats : &found->f,
                                            .number_size = sizeof(float)};
        st = value.tensor.count >= 1 && value.tensor.count < INT32_MAX
                 ? ST_OK
                 : error_set(node->err, ST_FORMAT, "found %zu numbers", value.tensor.count);
    } else if (strcmp(name, "value_int") == 0 || (is_list && found->n_ints <= ONNX_MOST_INTS)) {
        value.kind = ONNX_VALUE_INTS;
        value.int_count = is_list ? (int32_t)found->n_ints : 1;
        for (int32_t i = 0; i < value.int_count; i++)
            value.ints[i] = is_list ? found->ints[i] : found->i;
    } else {
        st = error_set(node->err, ST_UNSUPPORTED, "expected one value: a tensor, or numbers");
    }
    return st == ST_OK ? node_yield(node, value) : st;
}

/* The numbers that are input k; NULL: it is something else. */
static const struct onnx_value *ints_of(const struct node *node, int32_t k)
{
    const struct onnx_value *value = k < node->input_count ? node->inputs[k] : NULL;
    return value != NULL && value->kind == ONNX_VALUE_INTS ? value : NULL;
}

static enum status refuse_input(const struct node *node, int32_t k)
{
    return error_set(node->err, ST_UNSUPPORTED, "input %d is no constant of whole numbers", k);
}

/* Index `at`, from the end where it is negative, cut to 0 .. count. */
static int32_t place_of(int64_t at, int32_t count)
{
    const int64_t place = at < 0 ? at + count : at;
    return place < 0 ? 0 : place > count ? count : (int32_t)place;
}

/* Values `begin` to `end` of `from`. */
static enum status yield_part(const struct node *node, const struct onnx_value *from, int64_t begin,
                              int64_t end)
{
    struct onnx_value value = {.kind = ONNX_VALUE_INTS};
    const int32_t last = place_of(end, from->int_count);
    for (int32_t i = place_of(begin, from->int_count); i < last; i++)
        value.ints[value.int_count++] = from->ints[i];
    return node_yield(node, value);
}

/* Dense layers yield two dimensions, all others four. */
static bool is_flat(const struct node *node, const struct onnx_value *value)
{
    return value->kind == ONNX_VALUE_FLAT || node->reading->graph.layers[value->layer].kind == LAYER_DENSE;
}

static bool is_of_a_layer(const struct onnx_value *value)
{
    return value != NULL && (value->kind == ONNX_VALUE_LAYER || value->kind == ONNX_VALUE_FLAT ||
                             value->kind == ONNX_VALUE_PIXELS || value->kind == ONNX_VALUE_LOGISTIC ||
                             value->kind == ONNX_VALUE_HARD);
}

enum status node_read_shape(const struct node *node)
{
    const struct onnx_value *of = node->inputs[0];
    struct onnx_value whole = {.int_count = 4};
    if (!is_of_a_layer(of))
        return error_set(node->err, ST_UNSUPPORTED, "input 0 is not what a layer yields");
    const struct shape *shape = &node->reading->graph.layers[of->layer].shape;
    whole.ints[0] = ONNX_BATCH;
    whole.ints[1] = shape->c;
    whole.ints[2] = shape->h;
    whole.ints[3] = shape->w;
    if (is_flat(node, of)) {
        whole.ints[1] = (int64_t)shape->c * shape->h * shape->w;
        whole.int_count = 2;
    }
    return yield_part(node, &whole, node_int(node, "start", 0), node_int(node, "end", 4));
}

enum status node_read_gather(const struct node *node)
{
    const struct onnx_value *from = ints_of(node, 0), *at = ints_of(node, 1);
    struct onnx_value value = {.kind = ONNX_VALUE_INTS};
    if (from == NULL || at == NULL)
        return refuse_input(node, from == NULL ? 0 : 1);
    enum status st = node_expect_int(node, "axis", 0, 0);
    for (int32_t i = 0; st == ST_OK && i < at->int_count; i++) {
        const int64_t place = at->ints[i] < 0 ? at->ints[i] + from->int_count : at->ints[i];
        if (place < 0 || place >= from->int_count)
            st = error_set(node->err, ST_FORMAT, "index %lld of %d numbers", (long long)at->ints[i],
                           (int)from->int_count);
        else
            value.ints[value.int_count++] = from->ints[place];
    }
    return st == ST_OK ? node_yield(node, value) : st;
}

enum status node_read_joined_ints(const struct node *node)
{
    struct onnx_value value = {.kind = ONNX_VALUE_INTS};
    enum status st = node_expect_int(node, "axis", 0, 0);
    for (int32_t i = 0; st == ST_OK && i < node->input_count; i++) {
        const struct onnx_value *part = ints_of(node, i);
        if (part == NULL)
            return refuse_input(node, i);
        if (value.int_count + part->int_count > ONNX_MOST_INTS)
            return error_set(node->err, ST_UNSUPPORTED, "found more than %d numbers", ONNX_MOST_INTS);
        for (int32_t k = 0; k < part->int_count; k++)
            value.ints[value.int_count++] = part->ints[k];
    }
    return st == ST_OK ? node_yield(node, value) : st;
}

/* Numbers of an attribute, or, of later opsets, of input k. False when they are neither. */
static bool find_ints(const struct node *node, const char *name, int32_t k, struct onnx_value *found)
{
    const Onnx__AttributeProto *attribute = node_attribute(node, name);
    const struct onnx_value *input = ints_of(node, k);
    *found = (struct onnx_value){0};
    if (input != NULL)
        *found = *input;
    else if (attribute == NULL || attribute->n_ints > ONNX_MOST_INTS)
        return false;
    else
        for (; found->int_count < (int32_t)attribute->n_ints; found->int_count++)
            found->ints[found->int_count] = attribute->ints[found->int_count];
    return true;
}

/* A stretch of a shape. */
enum status node_read_slice(const struct node *node)
{
    const struct onnx_value *from = ints_of(node, 0), *steps = ints_of(node, 4);
    struct onnx_value begins, ends, axes;
    if (from == NULL)
        return refuse_input(node, 0);
    if (!find_ints(node, "starts", 1, &begins) || !find_ints(node, "ends", 2, &ends) ||
        begins.int_count != 1 || ends.int_count != 1 ||
        (find_ints(node, "axes", 3, &axes) && (axes.int_count != 1 || axes.ints[0] != 0)) ||
        (steps != NULL && (steps->int_count != 1 || steps->ints[0] != 1)))
        return error_set(node->err, ST_UNSUPPORTED,
                         "expected one start and one end along axis 0, step by step");
    return yield_part(node, from, begins.ints[0], ends.ints[0]);
}

/* ---- layers in another shape ---- */

static bool is_a_pixel(const struct node *node, const struct onnx_value *value)
{
    const struct shape *shape = &node->reading->graph.layers[value->layer].shape;
    return shape->h == 1 && shape->w == 1;
}

/* What is one pixel an image may have two dimensions, or four. */
static enum status yield_reshaped(const struct node *node, const struct onnx_value *from, bool flat)
{
    struct onnx_value value = *from;
    if (value.kind == ONNX_VALUE_LAYER || value.kind == ONNX_VALUE_FLAT)
        value.kind = flat ? ONNX_VALUE_FLAT : ONNX_VALUE_LAYER;
    return node_yield(node, value);
}

/* [N, values], or [N, channels, height, width] as it was, either with 0 or one -1 where a number may be left out. */
enum status node_read_reshape(const struct node *node)
{
    const struct onnx_value *from = node->inputs[0], *wanted = ints_of(node, 1);
    enum status st = node_expect_int(node, "allowzero", 0, 0);
    if (st != ST_OK)
        return st;
    if (from != NULL && from->kind == ONNX_VALUE_INTS)
        return node_yield(node, *from);
    if (!is_of_a_layer(from) || from->kind == ONNX_VALUE_PIXELS)
        return error_set(node->err, ST_UNSUPPORTED, "input 0 is not what a layer yields");
    if (wanted == NULL)
        return refuse_input(node, 1);
    const struct shape *shape = &node->reading->graph.layers[from->layer].shape;
    const int64_t all = (int64_t)shape->c * shape->h * shape->w,
                  sides[4] = {ONNX_BATCH, shape->c, shape->h, shape->w};
    const bool flat = wanted->int_count == 2;
    bool fits = flat || wanted->int_count == 4;
    int32_t open = 0;
    for (int32_t i = 0; fits && i < wanted->int_count; i++) {
        const int64_t side = wanted->ints[i], expected = flat && i == 1 ? all : sides[i];
        const bool kept = side == 0 && (!flat || i == 0 || is_flat(node, from));
        open += side == -1;
        /* 1 is how files of one image say their batch. */
        fits = side == -1 || kept || side == expected || (i == 0 && side == 1);
    }
    if (!fits || open > 1)
        return error_set(node->err, ST_UNSUPPORTED,
                         "expected the shape [N, %lld], or that of the input, [N, %d, %d, %d]",
                         (long long)all, (int)shape->c, (int)shape->h, (int)shape->w);
    return yield_reshaped(node, from, flat);
}

/* Squeeze, Unsqueeze: of shapes, and of what is one pixel an image. */
enum status node_read_squeeze(const struct node *node)
{
    const struct onnx_value *from = node->inputs[0];
    struct onnx_value axes;
    if (from != NULL && from->kind == ONNX_VALUE_INTS)
        return node_yield(node, *from);
    if (!is_of_a_layer(from) || from->kind == ONNX_VALUE_PIXELS || !is_a_pixel(node, from))
        return error_set(node->err, ST_UNSUPPORTED, "expected what a layer yields, one pixel an image");
    if (!find_ints(node, "axes", 1, &axes))
        return error_set(node->err, ST_UNSUPPORTED, "expected constant axes");
    for (int32_t i = 0; i < axes.int_count; i++)
        if (axes.ints[i] != 2 && axes.ints[i] != 3 && axes.ints[i] != -1 && axes.ints[i] != -2)
            return error_set(node->err, ST_UNSUPPORTED, "axis %lld: expected height and width, 2 and 3",
                             (long long)axes.ints[i]);
    return yield_reshaped(node, from, node->proto->op_type[0] == 'S');
}

static bool is_axis_pair(const struct onnx_value *axes)
{
    const int64_t a = axes->ints[0], b = axes->ints[1];
    const int64_t first = a < 0 ? a + 4 : a, second = b < 0 ? b + 4 : b;
    return axes->int_count == 2 && ((first == 2 && second == 3) || (first == 3 && second == 2));
}

/* Over height and width: a global pool. */
enum status node_read_mean(const struct node *node)
{
    struct layer layer = {.kind = LAYER_GLOBAL_POOL, .input_count = 1};
    struct onnx_value axes, value = {.kind = ONNX_VALUE_LAYER, .factor = 1.0f};
    if (!find_ints(node, "axes", 1, &axes) || !is_axis_pair(&axes))
        return error_set(node->err, ST_UNSUPPORTED, "expected the mean over height and width, axes 2 and 3");
    enum status st = node_layer(node, 0, &layer.inputs[0]);
    if (st == ST_OK)
        st = graph_append(&node->reading->graph, layer, &value.layer, node->err);
    return st == ST_OK ? yield_reshaped(node, &value, node_int(node, "keepdims", 1) == 0) : st;
}
