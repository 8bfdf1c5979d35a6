#include "host/model/model_file.h"

#include "host/base/file.h"
#include "host/device/temperature.h"
#include "host/device/views.h"
#include "host/net/serialise.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && sizeof(float) == 4,
               "the data of a model file are copied as they lie in memory");

#define FORMAT_NAME "nasrun-1"

enum { LENGTH_BYTES = 8, NAME_BYTES = 64, MAX_HEADER = 100000000 /* the limit of the safetensors package */ };

/* ---- names and shapes of tensors ---- */

static void tensor_name(const struct weight_tensor *tensor, char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "layers.%" PRIu32 ".%s", tensor->layer_id, weight_role_name(tensor->role));
}

/* How many of the tensor's dims the file shows. */
static int tensor_rank(const struct weight_tensor *tensor, const struct graph *graph)
{
    if (tensor->role != WEIGHT_KERNEL)
        return 1;
    bool flat =
        graph->layers[tensor->layer].kind == LAYER_DENSE && tensor->dims[2] == 1 && tensor->dims[3] == 1;
    return flat ? 2 : 4;
}

/* ---- writing: functions that build JSON return false when out of memory ---- */

cJSON *model_channels_json(const float *values, int32_t channels)
{
    double numbers[4] = {0};
    for (int32_t c = 0; c < channels; c++)
        numbers[c] = values[c];
    return cJSON_CreateDoubleArray(numbers, channels);
}

static bool add_json_text(cJSON *metadata, const char *key, cJSON *json)
{
    char *text = cJSON_PrintUnformatted(json);
    bool added = text != NULL && cJSON_AddStringToObject(metadata, key, text) != NULL;
    cJSON_free(text);
    cJSON_Delete(json);
    return added;
}

static bool add_temperature(cJSON *metadata, const char *key, float temperature)
{
    char number[40];
    snprintf(number, sizeof(number), "%.9g", (double)temperature);
    return cJSON_AddStringToObject(metadata, key, number) != NULL;
}

static bool add_metadata(cJSON *header, const struct graph *graph, const struct model_about *about)
{
    char number[40];
    int32_t channels = graph->layers[0].shape.c;
    cJSON *metadata = cJSON_AddObjectToObject(header, "__metadata__");
    cJSON *names = cJSON_CreateStringArray((const char *const *)about->class_names, about->classes);

    if (!add_json_text(metadata, "class_names", names) ||
        cJSON_AddStringToObject(metadata, "format", FORMAT_NAME) == NULL ||
        !add_json_text(metadata, "graph", graph_to_json(graph)) ||
        !add_json_text(metadata, "mean", model_channels_json(about->mean, channels)) ||
        !add_json_text(metadata, "deviation", model_channels_json(about->deviation, channels)) ||
        cJSON_AddStringToObject(metadata, "fit", about->fit) == NULL)
        return false;
    snprintf(number, sizeof(number), "%" PRId64, about->id);
    if (cJSON_AddStringToObject(metadata, "id", number) == NULL)
        return false;
    if (isnan(about->validation_accuracy))
        snprintf(number, sizeof(number),
                 "nan"); /* without a sign, so that the same model gives the same bytes */
    else
        snprintf(number, sizeof(number), "%.17g", about->validation_accuracy);
    if (cJSON_AddStringToObject(metadata, "validation_accuracy", number) == NULL)
        return false;
    snprintf(number, sizeof(number), "%" PRId32, about->views);
    return cJSON_AddStringToObject(metadata, "views", number) != NULL &&
           add_temperature(metadata, "temperature", about->temperature) &&
           add_temperature(metadata, "plain_temperature", about->plain_temperature);
}

static bool add_tensor(cJSON *header, const struct graph *graph, const struct weight_tensor *tensor,
                       size_t begin)
{
    char name[NAME_BYTES];
    double ends[2] = {(double)begin, (double)(begin + tensor->count * sizeof(float))};

    tensor_name(tensor, name);
    cJSON *entry = cJSON_AddObjectToObject(header, name);
    cJSON *shape = cJSON_CreateIntArray(tensor->dims, tensor_rank(tensor, graph));
    if (cJSON_AddStringToObject(entry, "dtype", "F32") == NULL ||
        !cJSON_AddItemToObject(entry, "shape", shape)) {
        cJSON_Delete(shape);
        return false;
    }
    cJSON *offsets = cJSON_CreateDoubleArray(ends, 2);
    if (!cJSON_AddItemToObject(entry, "data_offsets", offsets)) {
        cJSON_Delete(offsets);
        return false;
    }
    return true;
}

/* The header's text, padded; NULL when out of memory. cJSON_malloc'd. */
static char *header_text(const struct graph *graph, const struct weight_table *table,
                         const struct model_about *about, size_t *length)
{
    size_t begin = 0;
    char *padded = NULL, *text = NULL;
    cJSON *header = cJSON_CreateObject();

    if (!add_metadata(header, graph, about))
        goto out;
    for (int32_t i = 0; i < table->count; i++) {
        if (!add_tensor(header, graph, &table->tensors[i], begin))
            goto out;
        begin += table->tensors[i].count * sizeof(float);
    }
    text = cJSON_PrintUnformatted(header);
    if (text == NULL)
        goto out;
    size_t used = strlen(text);
    *length = (used + 7) / 8 * 8;
    padded = malloc(*length + 1);
    if (padded != NULL)
        snprintf(padded, *length + 1, "%-*s", (int)*length, text);
out:
    cJSON_free(text);
    cJSON_Delete(header);
    return padded;
}

enum status model_save(const char *path, const struct graph *graph, const float *values,
                       const struct model_about *about, struct error *err)
{
    struct weight_table table = {0};
    struct file_aside file = {0};
    unsigned char length_bytes[LENGTH_BYTES];
    size_t length = 0;
    char *header = NULL;

    enum status st = weight_table_new(&table, graph, err);
    if (st != ST_OK)
        goto out;
    header = header_text(graph, &table, about, &length);
    if (header == NULL) {
        st = error_memory(err, path, 1000ull * (unsigned)table.count);
        goto out;
    }
    st = file_aside_open(&file, path, err);
    if (st != ST_OK)
        goto out;
    for (int i = 0; i < LENGTH_BYTES; i++)
        length_bytes[i] = (unsigned char)(length >> (8 * i));
    fwrite(length_bytes, 1, LENGTH_BYTES, file.stream); /* write errors are found by the commit */
    fwrite(header, 1, length, file.stream);
    for (int32_t i = 0; i < table.count; i++)
        fwrite(values + table.tensors[i].offset, sizeof(float), table.tensors[i].count, file.stream);
    st = file_aside_commit(&file, err);
out:
    free(header);
    weight_table_free(&table);
    return st;
}

/* ---- reading ---- */

/* The string of the metadata, NULL and an error when there is none. */
static const char *metadata_string(const cJSON *metadata, const char *key, struct error *err)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(metadata, key));
    if (text == NULL)
        error_set(err, ST_FORMAT, "header: __metadata__ has no string \"%s\"", key);
    return text;
}

/* Parses the metadata string `key` as JSON. *json is the caller's to delete. */
static enum status metadata_json(const cJSON *metadata, const char *key, cJSON **json, struct error *err)
{
    const char *text = metadata_string(metadata, key, err);
    if (text == NULL)
        return err->status;
    errno = 0;
    *json = cJSON_Parse(text);
    if (*json == NULL && errno == ENOMEM)
        return error_memory(err, key, strlen(text));
    if (*json == NULL)
        return error_set(err, ST_FORMAT, "header: \"%s\" in __metadata__ is no JSON: %.40s", key, text);
    return ST_OK;
}

static enum status read_floats(const cJSON *metadata, const char *key, float values[4], int32_t count,
                               struct error *err)
{
    cJSON *array = NULL;
    int32_t i = 0;
    enum status st = metadata_json(metadata, key, &array, err);
    if (st != ST_OK)
        return st;
    const cJSON *item;
    if (!cJSON_IsArray(array) || cJSON_GetArraySize(array) != count) {
        st = error_set(err, ST_FORMAT, "header: \"%s\" has %d numbers, expected %d, one a channel", key,
                       cJSON_GetArraySize(array), count);
        goto out;
    }
    cJSON_ArrayForEach(item, array)
    {
        if (!cJSON_IsNumber(item) || !isfinite((float)item->valuedouble)) {
            st = error_set(err, ST_FORMAT, "header: \"%s\" holds something that is no finite number", key);
            goto out;
        }
        values[i++] = (float)item->valuedouble;
    }
out:
    cJSON_Delete(array);
    return st;
}

enum status model_take_class_names(struct model_about *about, const cJSON *names, int32_t wanted,
                                   struct error *err)
{
    const cJSON *name;
    if (!cJSON_IsArray(names) || cJSON_GetArraySize(names) != wanted)
        return error_set(err, ST_FORMAT, "\"class_names\" has %d names, expected %d, one for each output",
                         cJSON_GetArraySize(names), wanted);
    about->class_names = calloc((size_t)wanted, sizeof(*about->class_names));
    if (about->class_names == NULL)
        return error_memory(err, "class names", (size_t)wanted * sizeof(*about->class_names));
    cJSON_ArrayForEach(name, names)
    {
        if (!cJSON_IsString(name))
            return error_set(err, ST_FORMAT, "class_names[%d] is no string", about->classes);
        about->class_names[about->classes] = strdup(name->valuestring);
        if (about->class_names[about->classes] == NULL)
            return error_memory(err, "a class name", strlen(name->valuestring) + 1);
        about->classes++;
    }
    return ST_OK;
}

static enum status read_class_names(const cJSON *metadata, struct model *model, struct error *err)
{
    cJSON *names = NULL;
    enum status st = metadata_json(metadata, "class_names", &names, err);
    if (st != ST_OK)
        return st;
    st = model_take_class_names(&model->about, names,
                                model->graph.layers[model->graph.count - 1].out_channels, err);
    if (st == ST_FORMAT)
        error_prefix(err, "header");
    cJSON_Delete(names);
    return st;
}

static enum status read_graph(const cJSON *metadata, struct model *model, struct error *err)
{
    cJSON *json = NULL;
    enum status st = metadata_json(metadata, "graph", &json, err);
    if (st != ST_OK)
        return st;
    st = graph_from_json(&model->graph, json, err);
    if (st != ST_OK)
        error_prefix(err, "header: graph");
    cJSON_Delete(json);
    return st;
}

static enum status read_views(const cJSON *metadata, int32_t *views, struct error *err)
{
    char *end;
    *views = 1;
    if (!cJSON_HasObjectItem(metadata, "views"))
        return ST_OK;
    const char *text = metadata_string(metadata, "views", err);
    if (text == NULL)
        return err->status;
    const long value = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < 1 || value > VIEWS_MOST || !views_are_known((int32_t)value))
        return error_set(err, ST_FORMAT, "header: \"views\" is \"%.40s\", expected 1, 2, 3 or 6", text);
    *views = (int32_t)value;
    return ST_OK;
}

static enum status read_temperature(const cJSON *metadata, const char *key, float *temperature,
                                    struct error *err)
{
    char *end;
    *temperature = 1.0f;
    if (!cJSON_HasObjectItem(metadata, key))
        return ST_OK;
    const char *text = metadata_string(metadata, key, err);
    if (text == NULL)
        return err->status;
    const double value = strtod(text, &end);
    if (*text == '\0' || *end != '\0' || !(value >= TEMPERATURE_LEAST && value <= TEMPERATURE_MOST))
        return error_set(err, ST_FORMAT, "header: \"%s\" is \"%.40s\", expected %g to %g", key, text,
                         TEMPERATURE_LEAST, TEMPERATURE_MOST);
    *temperature = (float)value;
    return ST_OK;
}

static enum status read_metadata(const cJSON *header, struct model *model, struct error *err)
{
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(header, "__metadata__");
    const char *format = metadata_string(metadata, "format", err);
    char *end;

    if (format == NULL)
        return err->status;
    if (strcmp(format, FORMAT_NAME) != 0)
        return error_set(err, ST_FORMAT, "header: format is \"%.40s\", expected \"" FORMAT_NAME "\"", format);
    enum status st = read_graph(metadata, model, err);
    if (st != ST_OK)
        return st;
    int32_t channels = model->graph.layers[0].shape.c;
    if (channels > 4)
        return error_set(err, ST_FORMAT, "header: the graph's images have %d channels, expected 1 to 4",
                         channels);
    st = read_class_names(metadata, model, err);
    if (st == ST_OK)
        st = read_floats(metadata, "mean", model->about.mean, channels, err);
    if (st == ST_OK)
        st = read_floats(metadata, "deviation", model->about.deviation, channels, err);
    if (st != ST_OK)
        return st;
    for (int32_t c = 0; c < channels; c++)
        if (!(model->about.deviation[c] > 0))
            return error_set(err, ST_FORMAT, "header: deviation[%d] is %g, expected above 0", c,
                             (double)model->about.deviation[c]);
    const char *fit = metadata_string(metadata, "fit", err);
    const char *id = fit == NULL ? NULL : metadata_string(metadata, "id", err);
    const char *accuracy = id == NULL ? NULL : metadata_string(metadata, "validation_accuracy", err);
    if (accuracy == NULL)
        return err->status;
    if (strlen(fit) >= sizeof(model->about.fit))
        return error_set(err, ST_FORMAT, "header: \"fit\" has %zu bytes, expected less than %zu", strlen(fit),
                         sizeof(model->about.fit));
    memcpy(model->about.fit, fit, strlen(fit) + 1);
    model->about.id = strtoll(id, &end, 10);
    if (*id == '\0' || *end != '\0')
        return error_set(err, ST_FORMAT, "header: \"id\" is \"%.40s\", expected a whole number", id);
    model->about.validation_accuracy = strtod(accuracy, &end);
    if (*accuracy == '\0' || *end != '\0')
        return error_set(err, ST_FORMAT, "header: \"validation_accuracy\" is \"%.40s\", expected a number",
                         accuracy);
    st = read_views(metadata, &model->about.views, err);
    if (st == ST_OK)
        st = read_temperature(metadata, "temperature", &model->about.temperature, err);
    if (st == ST_OK)
        st = read_temperature(metadata, "plain_temperature", &model->about.plain_temperature, err);
    return st;
}

/* Whether the array holds exactly these whole numbers. */
static bool holds(const cJSON *array, const int32_t *numbers, int count)
{
    if (!cJSON_IsArray(array) || cJSON_GetArraySize(array) != count)
        return false;
    const cJSON *item;
    cJSON_ArrayForEach(item,
                       array) if (!cJSON_IsNumber(item) || item->valuedouble != *numbers++) return false;
    return true;
}

/* Copies one tensor from data[data_length] into the model's values. */
static enum status read_tensor(const cJSON *header, const struct weight_tensor *tensor, struct model *model,
                               const char *data, size_t data_length, struct error *err)
{
    char name[NAME_BYTES];
    size_t bytes = tensor->count * sizeof(float);

    tensor_name(tensor, name);
    const cJSON *entry = cJSON_GetObjectItemCaseSensitive(header, name);
    if (!cJSON_IsObject(entry))
        return error_set(err, ST_FORMAT, "tensor %s is missing", name);
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(entry, "dtype"));
    if (type == NULL || strcmp(type, "F32") != 0)
        return error_set(err, ST_FORMAT, "tensor %s: dtype is %.20s, expected F32", name,
                         type == NULL ? "missing" : type);
    int rank = tensor_rank(tensor, &model->graph);
    if (!holds(cJSON_GetObjectItemCaseSensitive(entry, "shape"), tensor->dims, rank))
        return error_set(err, ST_FORMAT,
                         "tensor %s: the shape is another, expected %d dimensions, %zu values", name, rank,
                         tensor->count);
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
    const cJSON *first = cJSON_GetArrayItem(offsets, 0), *second = cJSON_GetArrayItem(offsets, 1);
    double begin = cJSON_IsNumber(first) ? first->valuedouble : NAN;
    double end = cJSON_IsNumber(second) ? second->valuedouble : NAN;
    if (!(begin >= 0 && begin == floor(begin) && end == begin + (double)bytes && end <= (double)data_length))
        return error_set(err, ST_FORMAT,
                         "tensor %s: data_offsets are [%.17g, %.17g], expected %zu bytes inside 0 to %zu",
                         name, begin, end, bytes, data_length);
    float *values = model->values + tensor->offset;
    memcpy(values, data + (size_t)begin, bytes);
    for (size_t i = 0; i < tensor->count; i++)
        if (!isfinite(values[i]))
            return error_set(err, ST_FORMAT, "tensor %s: value %zu is %g, expected finite numbers", name, i,
                             (double)values[i]);
    return ST_OK;
}

static enum status read_tensors(const cJSON *header, struct model *model, const char *data,
                                size_t data_length, struct error *err)
{
    size_t expected = 0;
    enum status st = weight_table_new(&model->table, &model->graph, err);
    if (st != ST_OK)
        return st;
    /* before anything of the table's size is allocated, the file must have that size */
    for (int32_t i = 0; i < model->table.count; i++)
        expected += model->table.tensors[i].count * sizeof(float);
    if (expected != data_length)
        return error_set(err, ST_FORMAT,
                         "%zu bytes of data behind the header, expected %zu for the graph's weights",
                         data_length, expected);
    int entries = cJSON_GetArraySize(header) - 1;
    if (entries != model->table.count)
        return error_set(err, ST_FORMAT, "header: %d tensors, expected the graph's %d", entries,
                         model->table.count);
    model->values = calloc(model->table.total + 1, sizeof(float));
    if (model->values == NULL)
        return error_memory(err, "weights", model->table.total * sizeof(float));
    for (int32_t i = 0; st == ST_OK && i < model->table.count; i++)
        st = read_tensor(header, &model->table.tensors[i], model, data, data_length, err);
    return st;
}

void model_hash_text(const char *data, size_t length, char text[MODEL_HASH_LENGTH])
{
    file_hash_text(file_hash(0, data, length), text);
}

enum status model_hash(const char *path, char text[MODEL_HASH_LENGTH], struct error *err)
{
    char *data = NULL;
    size_t length = 0;
    enum status st = file_read(path, &data, &length, err);
    if (st == ST_OK)
        model_hash_text(data, length, text);
    free(data);
    return st;
}

enum status model_load(const char *path, struct model *model, struct error *err)
{
    char *file = NULL;
    size_t length = 0;
    uint64_t header_length = 0;
    cJSON *header = NULL;

    *model = (struct model){0};
    enum status st = file_read(path, &file, &length, err);
    if (st != ST_OK)
        return st;
    for (size_t i = 0; i < LENGTH_BYTES && i < length; i++)
        header_length |= (uint64_t)(unsigned char)file[i] << (8 * i);
    if (length < LENGTH_BYTES || header_length > length - LENGTH_BYTES || header_length > MAX_HEADER) {
        st =
            error_set(err, ST_FORMAT,
                      "header: its length is %" PRIu64 " in a file of %zu bytes, no safetensors or cut short",
                      header_length, length);
        goto out;
    }
    errno = 0;
    header = cJSON_ParseWithLength(file + LENGTH_BYTES, header_length);
    if (header == NULL && errno == ENOMEM) {
        st = error_memory(err, "header", header_length);
        goto out;
    }
    if (!cJSON_IsObject(header)) {
        st = error_set(err, ST_FORMAT, "header: %" PRIu64 " bytes that are no JSON object", header_length);
        goto out;
    }
    st = read_metadata(header, model, err);
    if (st != ST_OK)
        goto out;
    size_t before = LENGTH_BYTES + (size_t)header_length;
    st = read_tensors(header, model, file + before, length - before, err);
    model_hash_text(file, length, model->hash);
out:
    if (st != ST_OK) {
        error_prefix(err, "%s", path);
        model_free(model);
    }
    cJSON_Delete(header);
    free(file);
    return st;
}

void model_free(struct model *model)
{
    for (int32_t i = 0; i < model->about.classes; i++)
        free(model->about.class_names[i]);
    free(model->about.class_names);
    free(model->values);
    weight_table_free(&model->table);
    graph_free(&model->graph);
    *model = (struct model){0};
}
