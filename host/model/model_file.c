#include "host/model/model_file.h"

#include "host/base/file.h"
#include "host/model/model_metadata.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && sizeof(float) == 4,
               "the data of a model file are copied as they lie in memory");

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

    if (!model_metadata_write(header, graph, about))
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
    st = model_metadata_read(header, model, err);
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
    free(model->about.label_thresholds);
    free(model->values);
    weight_table_free(&model->table);
    graph_free(&model->graph);
    *model = (struct model){0};
}
