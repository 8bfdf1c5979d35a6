/* Temperatures and thresholds set in a model's file. They are found after it was written, by a test, and the file is
 * not written anew from what was understood of it: so another version of nasrun makes the same bytes. */
#include "host/base/file.h"
#include "host/model/model_metadata.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8 };

static bool set_text(cJSON *metadata, const char *key, const char *value)
{
    cJSON *text = cJSON_CreateString(value);
    const bool set = cJSON_HasObjectItem(metadata, key)
                         ? cJSON_ReplaceItemInObjectCaseSensitive(metadata, key, text)
                         : cJSON_AddItemToObject(metadata, key, text);
    if (!set)
        cJSON_Delete(text);
    return set;
}

static bool set_temperature(cJSON *metadata, const char *key, float value)
{
    char number[40];
    snprintf(number, sizeof(number), "%.9g", (double)value);
    return set_text(metadata, key, number);
}

/* As many as there are names of classes; `values` NULL: what is there stays. */
static bool set_thresholds(cJSON *metadata, const double *values)
{
    if (values == NULL)
        return true;
    cJSON *names =
        cJSON_Parse(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(metadata, "class_names")));
    cJSON *array = model_thresholds_json(values, cJSON_GetArraySize(names));
    char *text = cJSON_PrintUnformatted(array);
    const bool set = names != NULL && text != NULL && set_text(metadata, "label_thresholds", text);
    cJSON_free(text);
    cJSON_Delete(array);
    cJSON_Delete(names);
    return set;
}

/* The header with them, cJSON_malloc'd; NULL when out of memory. */
static char *changed_header(cJSON *header, float temperature, float plain_temperature,
                            const double *label_thresholds)
{
    cJSON *metadata = cJSON_GetObjectItemCaseSensitive(header, "__metadata__");
    return set_temperature(metadata, "temperature", temperature) &&
                   set_temperature(metadata, "plain_temperature", plain_temperature) &&
                   set_thresholds(metadata, label_thresholds)
               ? cJSON_PrintUnformatted(header)
               : NULL;
}

/* The whole file, malloc'd; NULL when out of memory. */
static char *assemble(const char *header, const char *data, size_t data_length, size_t *length)
{
    const size_t used = strlen(header), padded = (used + 7) / 8 * 8;
    *length = LENGTH_BYTES + padded + data_length;
    char *bytes = malloc(*length);
    if (bytes == NULL)
        return NULL;
    for (int i = 0; i < LENGTH_BYTES; i++)
        bytes[i] = (char)(unsigned char)(padded >> (8 * i));
    memcpy(bytes + LENGTH_BYTES, header, used);
    memset(bytes + LENGTH_BYTES + used, ' ', padded - used);
    memcpy(bytes + LENGTH_BYTES + padded, data, data_length);
    return bytes;
}

enum status model_calibrate(const char *from, const char *to, float temperature, float plain_temperature,
                            const double *label_thresholds, char hash[MODEL_HASH_LENGTH], struct error *err)
{
    char *file = NULL, *text = NULL, *bytes = NULL;
    size_t length = 0, header_length = 0;
    cJSON *header = NULL;
    enum status st = file_read(from, &file, &length, err);
    if (st != ST_OK)
        return st;
    for (size_t i = 0; i < LENGTH_BYTES && i < length; i++)
        header_length |= (size_t)(unsigned char)file[i] << (8 * i);
    if (length >= LENGTH_BYTES && header_length <= length - LENGTH_BYTES)
        header = cJSON_ParseWithLength(file + LENGTH_BYTES, header_length);
    if (!cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(header, "__metadata__"))) {
        st = error_set(err, ST_FORMAT, "%s: header: found no __metadata__", from);
        goto out;
    }
    const size_t before = LENGTH_BYTES + header_length;
    text = changed_header(header, temperature, plain_temperature, label_thresholds);
    if (text != NULL)
        bytes = assemble(text, file + before, length - before, &length);
    if (bytes == NULL) {
        st = error_memory(err, to, length);
        goto out;
    }
    model_hash_text(bytes, length, hash);
    st = file_write_atomic(to, bytes, length, err);
out:
    free(bytes);
    cJSON_free(text);
    cJSON_Delete(header);
    free(file);
    return st;
}
