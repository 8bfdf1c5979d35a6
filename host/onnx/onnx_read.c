#include "host/onnx/onnx_read.h"

#include "host/base/file.h"
#include "host/base/labels.h"
#include "host/base/text.h"
#include "host/device/temperature.h"
#include "host/model/model_metadata.h"
#include "host/onnx/onnx_reading.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(ONNX_CHANNELS == sizeof(((struct model_about *)0)->mean) / sizeof(float),
               "one mean a channel");

/* Of pixels from 0 to 1: less is no image's. */
static const double LEAST_DEVIATION = 1e-3;

enum { OLDEST_OPSET = 7, MOST_NODES = 8 * GRAPH_MAX_LAYERS };

/* ---- values by name ---- */

static size_t place_of(const struct onnx_reading *reading, const char *name)
{
    size_t place = file_hash(0, name, strlen(name)) & (reading->room - 1);
    while (reading->values[place].name != NULL && strcmp(reading->values[place].name, name) != 0)
        place = (place + 1) & (reading->room - 1);
    return place;
}

struct onnx_value *onnx_value_find(const struct onnx_reading *reading, const char *name)
{
    struct onnx_value *value = &reading->values[place_of(reading, name)];
    return value->name != NULL ? value : NULL;
}

enum status onnx_value_add(struct onnx_reading *reading, const struct onnx_value *value, struct error *err)
{
    struct onnx_value *place = &reading->values[place_of(reading, value->name)];
    if (place->name != NULL)
        return error_set(err, ST_FORMAT, "\"%.80s\" stands for two values", value->name);
    *place = *value;
    return ST_OK;
}

/* Room for all names that the file can make. */
static enum status make_room(struct onnx_reading *reading, struct error *err)
{
    size_t names = reading->proto->n_initializer + reading->proto->n_input;
    for (size_t i = 0; i < reading->proto->n_node; i++)
        names += reading->proto->node[i]->n_output;
    for (reading->room = 16; reading->room < 2 * names; reading->room *= 2)
        ;
    reading->values = calloc(reading->room, sizeof(*reading->values));
    return reading->values != NULL ? ST_OK
                                   : error_memory(err, "ONNX", reading->room * sizeof(*reading->values));
}

/* ---- parts of the file ---- */

static enum status check_opset(const Onnx__ModelProto *proto, struct error *err)
{
    int64_t version = 0;
    for (size_t i = 0; i < proto->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *set = proto->opset_import[i];
        if (set->domain == NULL || set->domain[0] == '\0')
            version = set->version;
    }
    if (version < OLDEST_OPSET)
        return error_set(err, ST_UNSUPPORTED, "opset: found %lld, expected %d or later", (long long)version,
                         OLDEST_OPSET);
    return ST_OK;
}

enum status onnx_value_constant(const Onnx__TensorProto *proto, struct onnx_value *value, struct error *err)
{
    if (proto->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64 ||
        proto->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__BOOL) {
        enum status st = onnx_tensor_ints(proto, value->ints, &value->int_count, err);
        value->kind = value->int_count >= 0 ? ONNX_VALUE_INTS : ONNX_VALUE_NONE;
        return st;
    }
    enum status st = onnx_tensor_of(proto, &value->tensor, err);
    value->kind = value->tensor.code_size > 0 ? ONNX_VALUE_CODES : ONNX_VALUE_TENSOR;
    return st;
}

static enum status read_initializers(struct onnx_reading *reading, struct error *err)
{
    enum status st = ST_OK;
    for (size_t i = 0; st == ST_OK && i < reading->proto->n_initializer; i++) {
        struct onnx_value value = {.name = reading->proto->initializer[i]->name};
        if (value.name == NULL)
            return error_set(err, ST_FORMAT, "initializer %zu has no name", i);
        st = onnx_value_constant(reading->proto->initializer[i], &value, err);
        if (st == ST_OK)
            st = onnx_value_add(reading, &value, err);
    }
    return st;
}

static enum status read_shape(const Onnx__ValueInfoProto *input, int32_t sides[3], struct error *err)
{
    const Onnx__TypeProto *type = input->type;
    const Onnx__TensorShapeProto *shape =
        type != NULL && type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? type->tensor_type->shape
                                                                                : NULL;
    if (shape == NULL || shape->n_dim != 4)
        return error_set(err, ST_UNSUPPORTED,
                         "input \"%.80s\": found no four dimensions, expected N, channels, height, width",
                         input->name);
    for (int i = 0; i < 3; i++) {
        const Onnx__TensorShapeProto__Dimension *dim = shape->dim[i + 1];
        const bool known = dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        const int64_t most = i == 0 ? ONNX_CHANNELS : GRAPH_MAX_SIDE;
        if (!known || dim->dim_value < 1 || dim->dim_value > most)
            return error_set(err, ST_UNSUPPORTED,
                             "input \"%.80s\": dimension %d is %s%lld, expected 1 to %lld", input->name,
                             i + 1, known ? "" : "open, not ", known ? (long long)dim->dim_value : 0LL,
                             (long long)most);
        sides[i] = (int32_t)dim->dim_value;
    }
    return ST_OK;
}

/* The one input that is no constant. Older files name constants among the inputs. */
static enum status read_input(struct onnx_reading *reading, struct error *err)
{
    const Onnx__ValueInfoProto *image = NULL;
    int32_t sides[3] = {0};
    for (size_t i = 0; i < reading->proto->n_input; i++) {
        const Onnx__ValueInfoProto *input = reading->proto->input[i];
        if (input->name == NULL || onnx_value_find(reading, input->name) != NULL)
            continue;
        if (image != NULL)
            return error_set(err, ST_UNSUPPORTED, "found inputs \"%.80s\" and \"%.80s\", expected one",
                             image->name, input->name);
        image = input;
    }
    if (image == NULL)
        return error_set(err, ST_FORMAT, "found no input, expected one");
    enum status st = read_shape(image, sides, err);
    if (st != ST_OK)
        return st;
    const int32_t type = image->type->tensor_type->elem_type;
    if (type != ONNX__TENSOR_PROTO__DATA_TYPE__UINT8 && type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT &&
        type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16)
        return error_set(err, ST_UNSUPPORTED,
                         "input \"%.80s\": found type %d, expected uint8 (2), float32 (1) or float16 (10)",
                         image->name, (int)type);
    for (int c = 0; c < ONNX_CHANNELS; c++)
        reading->factor[c] = type == ONNX__TENSOR_PROTO__DATA_TYPE__UINT8 ? 1.0f : 1.0f / 255.0f;
    const struct onnx_value value = {.name = image->name, .kind = ONNX_VALUE_PIXELS};
    reading->pixels = image->name;
    st = onnx_value_add(reading, &value, err);
    if (st == ST_OK)
        st = graph_new(&reading->graph, sides[0], sides[1], sides[2], err);
    return st;
}

static enum status read_nodes(struct onnx_reading *reading, struct error *err)
{
    enum status st = ST_OK;
    for (size_t i = 0; st == ST_OK && i < reading->proto->n_node; i++)
        st = onnx_node_read(reading, reading->proto->node[i], err);
    return st;
}

/* A convolution of one pixel is a dense layer. */
static void name_head(struct graph *graph)
{
    struct layer *head = &graph->layers[graph->count - 1];
    const struct layer *read = &graph->layers[head->inputs[0]];
    if (head->kind != LAYER_CONV || head->groups != 1 || read->shape.h * read->shape.w != 1 ||
        head->kernel_h * head->kernel_w != 1 || head->pad_h + head->pad_w > 0)
        return;
    head->kind = LAYER_DENSE;
    head->kernel_h = head->kernel_w = head->stride = head->groups = 0;
}

static enum status read_output(struct onnx_reading *reading, struct error *err)
{
    if (reading->proto->n_output != 1 || reading->proto->output[0]->name == NULL)
        return error_set(err, ST_UNSUPPORTED, "found %zu outputs, expected one", reading->proto->n_output);
    const char *name = reading->proto->output[0]->name;
    const struct onnx_value *value = onnx_value_find(reading, name);
    const enum onnx_value_kind kind = value != NULL ? value->kind : ONNX_VALUE_NONE;
    reading->labels = kind == ONNX_VALUE_LOGISTIC;
    const bool is_last = kind == ONNX_VALUE_PROBABILITIES || kind == ONNX_VALUE_LAYER ||
                         kind == ONNX_VALUE_FLAT || kind == ONNX_VALUE_LOGISTIC;
    if (!is_last || value->layer != reading->graph.count - 1 ||
        (kind != ONNX_VALUE_PROBABILITIES && value->factor != 1.0f))
        return error_set(err, ST_UNSUPPORTED,
                         "output \"%.80s\" is not what the last layer or a softmax or sigmoid of it yields",
                         name);
    reading->temperature = 1.0f / (reading->labels ? value->inner : value->factor);
    if (!(reading->temperature >= (float)TEMPERATURE_LEAST &&
          reading->temperature <= (float)TEMPERATURE_MOST))
        return error_set(err, ST_UNSUPPORTED, "the last layer is divided by %g, expected %g to %g",
                         (double)reading->temperature, TEMPERATURE_LEAST, TEMPERATURE_MOST);
    name_head(&reading->graph);
    return ST_OK;
}

/* ---- the model ---- */

/* Value `index` of a tensor of the weight table. */
static float value_of(const struct onnx_weights *weights, const struct weight_tensor *tensor, size_t index)
{
    const struct onnx_tensor *from = &weights->tensor;
    if (weights->ones)
        return 1.0f;
    if (weights->transposed) {
        const size_t outputs = (size_t)from->dims[1], inputs = (size_t)from->dims[0];
        return onnx_tensor_at(from, index % inputs * outputs + index / inputs);
    }
    if (from->count == tensor->count)
        return onnx_tensor_at(from, index);
    const size_t width = (size_t)tensor->dims[3], height = (size_t)tensor->dims[2];
    const int64_t x = (int64_t)(index % width) - weights->front[1],
                  y = (int64_t)(index / width % height) - weights->front[0];
    if (x < 0 || x >= from->dims[3] || y < 0 || y >= from->dims[2])
        return 0.0f;
    const size_t plane = index / (width * height);
    return onnx_tensor_at(from,
                          (plane * (size_t)from->dims[2] + (size_t)y) * (size_t)from->dims[3] + (size_t)x);
}

/* A larger kernel takes all of a smaller one. */
static bool fits(const struct onnx_weights *weights, const struct weight_tensor *tensor)
{
    const struct onnx_tensor *from = &weights->tensor;
    if (weights->ones || from->count == tensor->count)
        return true;
    return weights->role == WEIGHT_KERNEL && !weights->transposed && from->rank == 4 &&
           from->dims[0] == tensor->dims[0] && from->dims[1] == tensor->dims[1] &&
           from->dims[2] <= tensor->dims[2] && from->dims[3] <= tensor->dims[3];
}

static enum status take_weights(const struct onnx_reading *reading, struct model *model, struct error *err)
{
    enum status st = weight_table_new(&model->table, &model->graph, err);
    if (st != ST_OK)
        return st;
    model->values = calloc(model->table.total, sizeof(float));
    if (model->values == NULL)
        return error_memory(err, "weights", model->table.total * sizeof(float));
    for (int32_t i = 0; i < reading->weight_count; i++) {
        const struct onnx_weights *weights = &reading->weights[i];
        const uint32_t id = model->graph.layers[weights->layer].id;
        const struct weight_tensor *tensor =
            &model->table.tensors[weight_find(&model->table, id, weights->role)];
        if (!fits(weights, tensor))
            return error_set(err, ST_FORMAT, "layer %u: found %zu values of its %s, expected %zu",
                             (unsigned)id, weights->tensor.count, weight_role_name(weights->role),
                             tensor->count);
        const float times = weights->times != 0.0f ? weights->times : 1.0f;
        for (size_t k = 0; k < tensor->count; k++)
            model->values[tensor->offset + k] = value_of(weights, tensor, k) * times + weights->added;
    }
    return ST_OK;
}

/* The text of that key; NULL: there is none. */
static const char *metadata_of(const Onnx__ModelProto *proto, const char *key)
{
    for (size_t i = 0; i < proto->n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *entry = proto->metadata_props[i];
        if (entry->key != NULL && strcmp(entry->key, key) == 0)
            return entry->value;
    }
    return NULL;
}

/* The numbers of that key are what was rounded when the normalisation was written: where they say the same, they are
 * taken; and in any case for a network that has no normalisation of its own (`open`), if they are within bounds. */
static void take_exactly(const Onnx__ModelProto *proto, const char *key, int32_t channels, bool open,
                         double least, float *values)
{
    const char *text = metadata_of(proto, key);
    cJSON *numbers = text != NULL ? cJSON_Parse(text) : NULL;
    bool same = cJSON_GetArraySize(numbers) == channels;
    for (int32_t c = 0; same && c < channels; c++) {
        const cJSON *number = cJSON_GetArrayItem(numbers, c);
        same = cJSON_IsNumber(number) &&
               (fabs(number->valuedouble - (double)values[c]) <= 1e-6 * (fabs((double)values[c]) + 1e-3) ||
                (open && number->valuedouble >= least && number->valuedouble <= 1.0));
    }
    for (int32_t c = 0; same && c < channels; c++)
        values[c] = (float)cJSON_GetArrayItem(numbers, c)->valuedouble;
    cJSON_Delete(numbers);
}

static void tell_about(const struct onnx_reading *reading, const Onnx__ModelProto *proto, struct model *model)
{
    const struct graph *graph = &model->graph;
    model->about = (struct model_about){.views = 1,
                                        .temperature = 1.0f,
                                        .plain_temperature = reading->temperature,
                                        .id = -1,
                                        .validation_accuracy = (double)NAN};
    bool open = true; /* pixels reach the first layer as they are, from 0 to 1 */
    for (int32_t c = 0; c < graph->layers[0].shape.c; c++)
        open = open && reading->factor[c] == 1.0f / 255.0f && reading->summand[c] == 0.0f;
    for (int32_t c = 0; c < graph->layers[0].shape.c; c++) {
        const double deviation = open ? 1.0 : 1.0 / (255.0 * (double)reading->factor[c]);
        model->about.deviation[c] = (float)deviation;
        model->about.mean[c] = open ? 0.0f : (float)(-(double)reading->summand[c] * deviation);
    }
    take_exactly(proto, "mean", graph->layers[0].shape.c, open, 0.0, model->about.mean);
    take_exactly(proto, "deviation", graph->layers[0].shape.c, open, LEAST_DEVIATION, model->about.deviation);
}

/* The names that the file has, or the classes' numbers; NULL when out of memory, or for what is no JSON. */
static cJSON *class_names_of(const Onnx__ModelProto *proto, int32_t classes)
{
    const char *text = metadata_of(proto, "class_names");
    if (text != NULL)
        return cJSON_Parse(text);
    cJSON *names = cJSON_CreateArray();
    for (int32_t k = 0; names != NULL && k < classes; k++) {
        char number[16];
        snprintf(number, sizeof(number), "%d", (int)k);
        cJSON *name = cJSON_CreateString(number);
        if (!cJSON_AddItemToArray(names, name)) {
            cJSON_Delete(name);
            cJSON_Delete(names);
            names = NULL;
        }
    }
    return names;
}

static enum status name_classes(const Onnx__ModelProto *proto, int32_t classes, struct model_about *about,
                                struct error *err)
{
    cJSON *names = class_names_of(proto, classes);
    enum status st = names != NULL || metadata_of(proto, "class_names") != NULL
                         ? model_take_class_names(about, names, classes, err)
                         : error_memory(err, "class names", (unsigned long long)classes);
    if (st == ST_FORMAT)
        error_prefix(err, "metadata");
    cJSON_Delete(names);
    return st;
}

/* Where the file has none. */
static enum status take_usual_thresholds(struct model_about *about, struct error *err)
{
    const size_t bytes = (size_t)about->classes * sizeof(*about->label_thresholds);
    about->label_thresholds = malloc(bytes);
    if (about->label_thresholds == NULL)
        return error_memory(err, "thresholds", bytes);
    for (int32_t k = 0; k < about->classes; k++)
        about->label_thresholds[k] = (double)LABELS_THRESHOLD;
    return ST_OK;
}

static enum status take_thresholds(const Onnx__ModelProto *proto, struct model_about *about,
                                   struct error *err)
{
    const char *text = metadata_of(proto, "label_thresholds");
    if (text == NULL)
        return take_usual_thresholds(about, err);
    cJSON *values = cJSON_Parse(text);
    enum status st = model_take_label_thresholds(about, values, err);
    if (st == ST_FORMAT)
        error_prefix(err, "metadata");
    cJSON_Delete(values);
    return st;
}

static enum status read_graph(struct onnx_reading *reading, struct model *model, struct quantisation *codes,
                              struct error *err)
{
    if (reading->proto->n_node > MOST_NODES)
        return error_set(err, ST_UNSUPPORTED, "found %zu nodes, expected at most %d", reading->proto->n_node,
                         MOST_NODES);
    enum status st = make_room(reading, err);
    if (st == ST_OK)
        st = read_initializers(reading, err);
    if (st == ST_OK)
        st = read_input(reading, err);
    if (st == ST_OK)
        st = read_nodes(reading, err);
    if (st == ST_OK)
        st = read_output(reading, err);
    if (st == ST_OK)
        st = graph_infer(&reading->graph, err);
    if (st != ST_OK)
        return st;
    model->graph = reading->graph;
    reading->graph = (struct graph){0};
    st = take_weights(reading, model, err);
    if (st == ST_OK && codes != NULL)
        st = onnx_codes_take(reading, model, codes, err);
    return st;
}

enum status onnx_read(const unsigned char *bytes, size_t length, struct model *model,
                      struct quantisation *codes, struct error *err)
{
    struct onnx_reading reading = {0};
    *model = (struct model){0};
    if (codes != NULL) {
        *codes = (struct quantisation){0};
        reading.codings = calloc(GRAPH_MAX_LAYERS, sizeof(*reading.codings));
        if (reading.codings == NULL)
            return error_memory(err, "codes", GRAPH_MAX_LAYERS * sizeof(*reading.codings));
    }
    Onnx__ModelProto *proto = onnx__model_proto__unpack(NULL, length, bytes);
    enum status st = proto == NULL          ? error_set(err, ST_FORMAT, "is no ONNX model")
                     : proto->graph == NULL ? error_set(err, ST_FORMAT, "is an ONNX model without a graph")
                                            : check_opset(proto, err);
    reading.proto = proto != NULL ? proto->graph : NULL;
    if (st == ST_OK)
        st = read_graph(&reading, model, codes, err);
    if (st == ST_OK)
        tell_about(&reading, proto, model);
    if (st == ST_OK)
        st = name_classes(proto, model->graph.layers[model->graph.count - 1].shape.c, &model->about, err);
    if (st == ST_OK && reading.labels)
        st = take_thresholds(proto, &model->about, err);
    graph_free(&reading.graph);
    free(reading.values);
    free(reading.weights);
    free(reading.codings);
    if (proto != NULL)
        onnx__model_proto__free_unpacked(proto, NULL);
    return st;
}

void onnx_read_origin(const unsigned char *bytes, size_t length, struct onnx_origin *origin)
{
    *origin = (struct onnx_origin){0};
    Onnx__ModelProto *proto = onnx__model_proto__unpack(NULL, length, bytes);
    if (proto == NULL)
        return;
    const char *name = metadata_of(proto, "name"), *license = metadata_of(proto, "license");
    text_shown(name != NULL ? name : "", origin->name, sizeof(origin->name));
    text_shown(license != NULL ? license : "", origin->license, sizeof(origin->license));
    onnx__model_proto__free_unpacked(proto, NULL);
}
