#include "host/model/model_metadata.h"

#include "host/device/temperature.h"
#include "host/device/views.h"
#include "host/net/serialise.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT_NAME "nasrun-1"

/* ---- writing: functions that build JSON return false when out of memory ---- */

cJSON *model_channels_json(const float *values, int32_t channels)
{
    double numbers[4] = {0};
    for (int32_t c = 0; c < channels; c++)
        numbers[c] = values[c];
    return cJSON_CreateDoubleArray(numbers, channels);
}

/* In the fewest digits that give the same number back; cJSON's own may differ in the last bit. */
static cJSON *number_json(double value)
{
    char number[40];
    snprintf(number, sizeof(number), "%.15g", value);
    if (strtod(number, NULL) != value)
        snprintf(number, sizeof(number), "%.17g", value);
    return cJSON_CreateRaw(number);
}

cJSON *model_thresholds_json(const double *values, int32_t classes)
{
    cJSON *array = cJSON_CreateArray();
    for (int32_t k = 0; array != NULL && k < classes; k++) {
        cJSON *number = number_json(values[k]);
        if (!cJSON_AddItemToArray(array, number)) {
            cJSON_Delete(number);
            cJSON_Delete(array);
            array = NULL;
        }
    }
    return array;
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

bool model_metadata_write(cJSON *header, const struct graph *graph, const struct model_about *about)
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
           add_temperature(metadata, "plain_temperature", about->plain_temperature) &&
           (about->label_thresholds == NULL ||
            add_json_text(metadata, "label_thresholds",
                          model_thresholds_json(about->label_thresholds, about->classes)));
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

enum status model_take_label_thresholds(struct model_about *about, const cJSON *values, struct error *err)
{
    const cJSON *value;
    int32_t k = 0;
    if (!cJSON_IsArray(values) || cJSON_GetArraySize(values) != about->classes)
        return error_set(err, ST_FORMAT, "\"label_thresholds\" has %d numbers, expected %d, one a class",
                         cJSON_GetArraySize(values), about->classes);
    about->label_thresholds = calloc((size_t)about->classes, sizeof(*about->label_thresholds));
    if (about->label_thresholds == NULL)
        return error_memory(err, "thresholds", (size_t)about->classes * sizeof(*about->label_thresholds));
    cJSON_ArrayForEach(value, values)
    {
        if (!cJSON_IsNumber(value) || !(value->valuedouble >= 0.0 && value->valuedouble <= 1.0))
            return error_set(err, ST_FORMAT, "label_thresholds[%d] is no number from 0 to 1", k);
        about->label_thresholds[k++] = value->valuedouble;
    }
    return ST_OK;
}

static enum status read_label_thresholds(const cJSON *metadata, struct model_about *about, struct error *err)
{
    cJSON *values = NULL;
    if (!cJSON_HasObjectItem(metadata, "label_thresholds"))
        return ST_OK;
    enum status st = metadata_json(metadata, "label_thresholds", &values, err);
    if (st != ST_OK)
        return st;
    st = model_take_label_thresholds(about, values, err);
    if (st == ST_FORMAT)
        error_prefix(err, "header");
    cJSON_Delete(values);
    return st;
}

enum status model_metadata_read(const cJSON *header, struct model *model, struct error *err)
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
    return st == ST_OK ? read_label_thresholds(metadata, &model->about, err) : st;
}
