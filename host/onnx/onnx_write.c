#include "host/onnx/onnx_write.h"

#include "host/base/version.h"
#include "host/model/model_metadata.h"
#include "host/onnx/onnx_coded.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "raw_data is little-endian");

enum {
    IR_VERSION = 7,
    OPSET = 13,
    NODES_OF_LAYER = 7, /* of one layer, at most */
    TENSORS_OF_LAYER = 6,
    NODES_BESIDE = 6, /* normalisation, temperature and softmax or sigmoid */
    CONSTANTS = 6,
    TENSORS_BESIDE = 3 + CONSTANTS,
    METADATA = 11,
    CHANNELS = 4
};

/* A protobuf message has at most 2^31 - 1 bytes. */
static const size_t MOST_BYTES = ((size_t)1 << 31) - 1;

/* Numbers that formulas of activations have. */
enum constant { CONSTANT_HALF, CONSTANT_ONE, CONSTANT_ROOT_HALF, CONSTANT_TWO, CONSTANT_ZERO, CONSTANT_SIX };
static const float CONSTANT_VALUES[CONSTANTS] = {0.5f, 1.0f, 0.70710678118654752440f, 2.0f, 0.0f, 6.0f};

struct writing {
    const struct model *model;
    const struct quantisation *codes; /* NULL: float32 */
    struct onnx_parts parts;
    Onnx__GraphProto graph;
    char *constants[CONSTANTS];                /* names; NULL: not written yet */
    float factor[CHANNELS], summand[CHANNELS]; /* a pixel's value times factor, plus summand, is normalised */
    char **outputs;                            /* [layers]: names of what they yield */
};

static char *constant(struct writing *w, enum constant which)
{
    static char *const names[CONSTANTS] = {"half", "one", "root_half", "two", "zero", "six"};
    if (w->constants[which] == NULL)
        w->constants[which] =
            onnx_tensor(&w->parts, &w->graph, names[which], 0, NULL, &CONSTANT_VALUES[which]);
    return w->constants[which];
}

/* output = operation(a[, b]) */
static char *apply(struct writing *w, char *operation, char *output, char *a, char *b)
{
    Onnx__NodeProto *node = onnx_node(&w->parts, &w->graph, operation, output);
    onnx_input(node, a);
    if (b != NULL)
        onnx_input(node, b);
    return output;
}

/* A name for what lies inside of a layer. */
static char *inner(struct writing *w, const char *output, const char *what)
{
    return onnx_text(&w->parts, "%s.%s", output, what);
}

/* The layer's tensor of that role, with `rank` dimensions, as another input of the node. */
static void add_weight(struct writing *w, Onnx__NodeProto *node, const struct layer *layer,
                       enum weight_role role, int32_t rank)
{
    const struct weight_table *table = &w->model->table;
    const struct weight_tensor *tensor = &table->tensors[weight_find(table, layer->id, role)];
    int64_t dims[4];
    for (int i = 0; i < 4; i++)
        dims[i] = tensor->dims[i];
    if (rank == 2) /* a dense kernel, over the flattened input */
        dims[1] *= dims[2] * dims[3];
    char *name = onnx_text(&w->parts, "layers.%u.%s", (unsigned)layer->id, weight_role_name(role));
    if (w->codes != NULL && (role == WEIGHT_KERNEL || role == WEIGHT_BIAS)) {
        struct onnx_coded_weight weight = {w->model, w->codes, tensor, w->codes->codings[layer->inputs[0]],
                                           rank,     {0}};
        memcpy(weight.dims, dims, sizeof(dims));
        onnx_input(node, onnx_coded_weight(&w->parts, &w->graph, name, &weight));
        /* Nodes stand in the order in which they are run: the layer's comes behind that of its weight. */
        if (node != NULL && !w->parts.failed) {
            w->graph.node[w->graph.n_node - 2] = w->graph.node[w->graph.n_node - 1];
            w->graph.node[w->graph.n_node - 1] = node;
        }
        return;
    }
    onnx_input(node, onnx_tensor(&w->parts, &w->graph, name, rank, dims, w->model->values + tensor->offset));
}

/* ---- layers ---- */

static void add_window(struct writing *w, Onnx__NodeProto *node, const struct layer *layer)
{
    const int64_t kernel[] = {layer->kernel_h, layer->kernel_w}, strides[] = {layer->stride, layer->stride};
    const int64_t pads[] = {layer->pad_h, layer->pad_w, layer->pad_h, layer->pad_w};
    onnx_ints(&w->parts, node, "kernel_shape", 2, kernel);
    onnx_ints(&w->parts, node, "strides", 2, strides);
    onnx_ints(&w->parts, node, "pads", 4, pads);
}

static void write_conv(struct writing *w, const struct layer *layer, char *x, char *output)
{
    Onnx__NodeProto *node = onnx_node(&w->parts, &w->graph, "Conv", output);
    onnx_input(node, x);
    add_weight(w, node, layer, WEIGHT_KERNEL, 4);
    if (layer->bias)
        add_weight(w, node, layer, WEIGHT_BIAS, 1);
    add_window(w, node, layer);
    onnx_int(&w->parts, node, "group", layer->groups);
}

static void write_batch_norm(struct writing *w, const struct layer *layer, char *x, char *output)
{
    Onnx__NodeProto *node = onnx_node(&w->parts, &w->graph, "BatchNormalization", output);
    onnx_input(node, x);
    add_weight(w, node, layer, WEIGHT_SCALE, 1);
    add_weight(w, node, layer, WEIGHT_SHIFT, 1);
    add_weight(w, node, layer, WEIGHT_RUNNING_MEAN, 1);
    add_weight(w, node, layer, WEIGHT_RUNNING_VAR, 1);
    onnx_float(&w->parts, node, "epsilon", GRAPH_BATCH_NORM_EPSILON);
}

static void write_pool(struct writing *w, const struct layer *layer, char *operation, char *x, char *output)
{
    Onnx__NodeProto *node = onnx_node(&w->parts, &w->graph, operation, output);
    onnx_input(node, x);
    add_window(w, node, layer);
}

/* The last layer: what comes is flattened, and so are the logits. */
static void write_classifier(struct writing *w, const struct layer *layer, char *x, char *output)
{
    char *flat = inner(w, output, "input");
    Onnx__NodeProto *flatten = onnx_node(&w->parts, &w->graph, "Flatten", flat);
    onnx_input(flatten, x);
    onnx_int(&w->parts, flatten, "axis", 1);
    Onnx__NodeProto *node = onnx_node(&w->parts, &w->graph, "Gemm", output);
    onnx_input(node, flat);
    add_weight(w, node, layer, WEIGHT_KERNEL, 2);
    if (layer->bias)
        add_weight(w, node, layer, WEIGHT_BIAS, 1);
    onnx_int(&w->parts, node, "transB", 1);
}

/* Any other dense layer is a convolution by a kernel as large as the image, whose output has four dimensions. */
static void write_dense(struct writing *w, const struct layer *layer, char *x, char *output)
{
    const struct shape image = w->model->graph.layers[layer->inputs[0]].shape;
    struct layer conv = *layer;
    conv.kernel_h = image.h;
    conv.kernel_w = image.w;
    conv.stride = conv.groups = 1;
    write_conv(w, &conv, x, output);
}

static void write_concat(struct writing *w, const struct layer *layer, char *output)
{
    Onnx__NodeProto *node = onnx_node(&w->parts, &w->graph, "Concat", output);
    for (int32_t i = 0; i < layer->input_count; i++)
        onnx_input(node, w->outputs[layer->inputs[i]]);
    onnx_int(&w->parts, node, "axis", 1);
}

/* x / 2 * (1 + erf(x * sqrt(1 / 2))), for opset 13 has no operator of its own. */
static void write_gelu(struct writing *w, char *x, char *output)
{
    char *scaled = apply(w, "Mul", inner(w, output, "scaled"), x, constant(w, CONSTANT_ROOT_HALF));
    char *erf = apply(w, "Erf", inner(w, output, "erf"), scaled, NULL);
    char *share = apply(w, "Add", inner(w, output, "share"), erf, constant(w, CONSTANT_ONE));
    char *half = apply(w, "Mul", inner(w, output, "half"), x, constant(w, CONSTANT_HALF));
    apply(w, "Mul", output, half, share);
}

static void write_hard_swish(struct writing *w, char *x, char *output)
{
    Onnx__NodeProto *share = onnx_node(&w->parts, &w->graph, "HardSigmoid", inner(w, output, "share"));
    onnx_input(share, x);
    onnx_float(&w->parts, share, "alpha", 1.0f / 6.0f);
    onnx_float(&w->parts, share, "beta", 0.5f);
    apply(w, "Mul", output, x, inner(w, output, "share"));
}

static void write_clip(struct writing *w, char *x, char *output)
{
    char *least = constant(w, CONSTANT_ZERO), *most = constant(w, CONSTANT_SIX);
    Onnx__NodeProto *node = onnx_node(&w->parts, &w->graph, "Clip", output);
    onnx_input(node, x);
    onnx_input(node, least);
    onnx_input(node, most);
}

static void write_activation(struct writing *w, enum activation_kind activation, char *x, char *output)
{
    switch (activation) {
    case ACTIVATION_RELU:
        apply(w, "Relu", output, x, NULL);
        break;
    case ACTIVATION_GELU:
        write_gelu(w, x, output);
        break;
    case ACTIVATION_SILU:
        apply(w, "Mul", output, x, apply(w, "Sigmoid", inner(w, output, "share"), x, NULL));
        break;
    case ACTIVATION_HARD_SWISH:
        write_hard_swish(w, x, output);
        break;
    case ACTIVATION_RELU6:
        write_clip(w, x, output);
        break;
    case ACTIVATION_COUNT:
        break;
    }
}

static void write_gate(struct writing *w, const struct layer *layer, char *output)
{
    char *share = apply(w, "Sigmoid", inner(w, output, "share"), w->outputs[layer->inputs[1]], NULL);
    char *factor = apply(w, "Mul", inner(w, output, "factor"), share, constant(w, CONSTANT_TWO));
    apply(w, "Mul", output, w->outputs[layer->inputs[0]], factor);
}

/* Pixels as they come are normalised. */
static void write_image(struct writing *w, char *output)
{
    const struct model_about *about = &w->model->about;
    const int32_t channels = w->model->graph.layers[0].shape.c;
    const int64_t dims[] = {1, channels, 1, 1};
    for (int32_t c = 0; c < channels; c++) {
        w->factor[c] = (float)(1.0 / (255.0 * (double)about->deviation[c]));
        w->summand[c] = (float)(-(double)about->mean[c] / (double)about->deviation[c]);
    }
    Onnx__NodeProto *cast = onnx_node(&w->parts, &w->graph, "Cast", "images.float");
    onnx_input(cast, "images");
    onnx_int(&w->parts, cast, "to", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    char *factor = onnx_tensor(&w->parts, &w->graph, "images.factor", 4, dims, w->factor);
    char *summand = onnx_tensor(&w->parts, &w->graph, "images.summand", 4, dims, w->summand);
    char *scaled = apply(w, "Mul", "images.scaled", "images.float", factor);
    /* The identity tells where the network begins: what follows may multiply, too. */
    apply(w, "Identity", output, apply(w, "Add", "images.normalised", scaled, summand), NULL);
}

static void write_layer(struct writing *w, int32_t index)
{
    const struct layer *layer = &w->model->graph.layers[index];
    const struct layer_traits *traits = layer_traits(layer->kind);
    char *x = layer->input_count > 0 ? w->outputs[layer->inputs[0]] : NULL;
    char *output = onnx_text(&w->parts, "layers.%u", (unsigned)layer->id);
    w->outputs[index] = output;
    switch (traits->family) {
    case FAMILY_INPUT:
        write_image(w, output);
        break;
    case FAMILY_CONV:
        write_conv(w, layer, x, output);
        break;
    case FAMILY_BATCH_NORM:
        write_batch_norm(w, layer, x, output);
        break;
    case FAMILY_ACTIVATION:
        write_activation(w, traits->activation, x, output);
        break;
    case FAMILY_MAX_POOL:
        write_pool(w, layer, "MaxPool", x, output);
        break;
    case FAMILY_AVERAGE_POOL: /* what is padded does not count, as by default */
        write_pool(w, layer, "AveragePool", x, output);
        break;
    case FAMILY_GLOBAL_POOL:
        apply(w, "GlobalAveragePool", output, x, NULL);
        break;
    case FAMILY_ADD:
        apply(w, "Add", output, x, w->outputs[layer->inputs[1]]);
        break;
    case FAMILY_CONCAT:
        write_concat(w, layer, output);
        break;
    case FAMILY_DENSE:
        if (index + 1 == w->model->graph.count)
            write_classifier(w, layer, x, output);
        else
            write_dense(w, layer, x, output);
        break;
    case FAMILY_GATE:
        write_gate(w, layer, output);
        break;
    case FAMILY_DROPOUT:
        w->outputs[index] = x;
        break;
    }
}

/* ---- what is known beside ---- */

static void add_metadata(struct writing *w, Onnx__ModelProto *model, char *key, char *value)
{
    Onnx__StringStringEntryProto *entry = onnx_part(&w->parts, sizeof(*entry));
    if (entry == NULL)
        return;
    onnx__string_string_entry_proto__init(entry);
    entry->key = key;
    entry->value = value;
    model->metadata_props[model->n_metadata_props++] = entry;
}

/* The array's text, which the parts own. */
static char *json_text(struct writing *w, cJSON *json)
{
    char *printed = cJSON_PrintUnformatted(json);
    char *text = printed != NULL ? onnx_text(&w->parts, "%s", printed) : NULL;
    w->parts.failed = w->parts.failed || text == NULL;
    cJSON_free(printed);
    cJSON_Delete(json);
    return text;
}

static void write_about(struct writing *w, Onnx__ModelProto *model)
{
    const struct model_about *about = &w->model->about;
    const int32_t channels = w->model->graph.layers[0].shape.c;
    add_metadata(
        w, model, "class_names",
        json_text(w, cJSON_CreateStringArray((const char *const *)about->class_names, about->classes)));
    add_metadata(w, model, "mean", json_text(w, model_channels_json(about->mean, channels)));
    add_metadata(w, model, "deviation", json_text(w, model_channels_json(about->deviation, channels)));
    add_metadata(w, model, "fit", onnx_text(&w->parts, "%s", about->fit));
    add_metadata(w, model, "temperature", onnx_text(&w->parts, "%.9g", (double)about->plain_temperature));
    add_metadata(w, model, "id", onnx_text(&w->parts, "%lld", (long long)about->id));
    if (!isnan(about->validation_accuracy))
        add_metadata(w, model, "validation_accuracy",
                     onnx_text(&w->parts, "%.17g", about->validation_accuracy));
    if (about->label_thresholds == NULL)
        return;
    add_metadata(w, model, "labels", "several");
    add_metadata(w, model, "label_thresholds",
                 json_text(w, model_thresholds_json(about->label_thresholds, about->classes)));
}

static void write_thresholds(struct writing *w, Onnx__ModelProto *model,
                             const struct class_thresholds *thresholds)
{
    cJSON *values = cJSON_CreateArray();
    for (int32_t k = 0; k < w->model->about.classes; k++) {
        cJSON *value =
            isinf(thresholds->values[k]) ? cJSON_CreateNull() : cJSON_CreateNumber(thresholds->values[k]);
        if (!cJSON_AddItemToArray(values, value)) {
            cJSON_Delete(value);
            w->parts.failed = true;
        }
    }
    add_metadata(w, model, "thresholds", json_text(w, values));
    add_metadata(w, model, "precision", onnx_text(&w->parts, "%.9g", thresholds->precision));
}

/* ---- the whole ---- */

/* Arrays as long as they may become. */
static void make_room(struct writing *w, Onnx__ModelProto *model)
{
    const size_t layers = (size_t)w->model->graph.count;
    w->graph.node = onnx_part(&w->parts, (layers * NODES_OF_LAYER + NODES_BESIDE) * sizeof(*w->graph.node));
    w->graph.initializer =
        onnx_part(&w->parts, (layers * TENSORS_OF_LAYER + TENSORS_BESIDE) * sizeof(*w->graph.initializer));
    w->graph.input = onnx_part(&w->parts, sizeof(*w->graph.input));
    w->graph.output = onnx_part(&w->parts, sizeof(*w->graph.output));
    w->outputs = onnx_part(&w->parts, layers * sizeof(*w->outputs));
    model->metadata_props = onnx_part(&w->parts, METADATA * sizeof(*model->metadata_props));
}

static void write_graph(struct writing *w)
{
    const struct graph *graph = &w->model->graph;
    const struct shape image = graph->layers[0].shape;
    const int64_t images[] = {-1, image.c, image.h, image.w};
    const int64_t answers[] = {-1, graph->layers[graph->count - 1].shape.c};
    w->graph.input[w->graph.n_input++] =
        onnx_value(&w->parts, "images", ONNX__TENSOR_PROTO__DATA_TYPE__UINT8, 4, images);
    for (int32_t i = 0; i < graph->count; i++) {
        write_layer(w, i);
        if (w->codes != NULL && i + 1 < graph->count && !w->codes->codings[i].fused)
            w->outputs[i] = onnx_coded_value(&w->parts, &w->graph, w->outputs[i], &w->codes->codings[i]);
    }
    char *logits = w->outputs[graph->count - 1];
    if (w->model->about.plain_temperature != 1.0f)
        logits = apply(
            w, "Div", "logits", logits,
            onnx_tensor(&w->parts, &w->graph, "temperature", 0, NULL, &w->model->about.plain_temperature));
    const bool labels = w->model->about.label_thresholds != NULL;
    Onnx__NodeProto *head = onnx_node(&w->parts, &w->graph, labels ? "Sigmoid" : "Softmax", "probabilities");
    onnx_input(head, logits);
    if (!labels)
        onnx_int(&w->parts, head, "axis", 1);
    w->graph.output[w->graph.n_output++] =
        onnx_value(&w->parts, "probabilities", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 2, answers);
}

static enum status pack(const Onnx__ModelProto *model, unsigned char **bytes, size_t *length,
                        struct error *err)
{
    *length = onnx__model_proto__get_packed_size(model);
    if (*length > MOST_BYTES)
        return error_set(err, ST_UNSUPPORTED, "ONNX: the model has %zu bytes, expected at most %zu", *length,
                         MOST_BYTES);
    *bytes = malloc(*length);
    if (*bytes == NULL)
        return error_memory(err, "ONNX", *length);
    onnx__model_proto__pack(model, *bytes);
    return ST_OK;
}

enum status onnx_write(const struct model *model, const struct quantisation *codes,
                       const struct class_thresholds *thresholds, unsigned char **bytes, size_t *length,
                       struct error *err)
{
    struct writing w = {.model = model, .codes = codes};
    Onnx__ModelProto whole;
    Onnx__OperatorSetIdProto opset, *opsets[] = {&opset};

    onnx__model_proto__init(&whole);
    onnx__graph_proto__init(&w.graph);
    onnx__operator_set_id_proto__init(&opset);
    opset.domain = "";
    opset.has_version = 1;
    opset.version = OPSET;
    whole.opset_import = opsets;
    whole.n_opset_import = 1;
    whole.has_ir_version = 1;
    whole.ir_version = IR_VERSION;
    whole.producer_name = "nasrun";
    whole.producer_version = NASRUN_VERSION;
    w.graph.name = "nasrun";
    whole.graph = &w.graph;
    *bytes = NULL;
    make_room(&w, &whole);
    if (!w.parts.failed) {
        write_graph(&w);
        write_about(&w, &whole);
        if (thresholds != NULL)
            write_thresholds(&w, &whole, thresholds);
    }
    enum status st = w.parts.failed ? error_memory(err, "ONNX", model->table.total * sizeof(float))
                                    : pack(&whole, bytes, length, err);
    onnx_parts_free(&w.parts);
    return st;
}
