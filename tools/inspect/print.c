#include "tools/inspect/print.h"

#include "host/base/csv.h"
#include "host/base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_LENGTH = 1024 };

/* ---- values ---- */

static void append(char *text, const char *more)
{
    const size_t used = strlen(text);
    snprintf(text + used, VALUE_LENGTH - used, "%s", more);
}

/* A number, a text, an array of numbers as "64x3x3x3", an object as "batch=64 average=0.9", nothing for null. */
static void value_text(const cJSON *value, char text[VALUE_LENGTH])
{
    char part[64];
    text[0] = '\0';
    if (cJSON_IsNumber(value) && isfinite(value->valuedouble)) /* others are null in JSON, too */
        snprintf(text, VALUE_LENGTH, "%.10g", value->valuedouble);
    else if (cJSON_IsBool(value))
        snprintf(text, VALUE_LENGTH, "%s", cJSON_IsTrue(value) ? "true" : "false");
    else if (cJSON_IsString(value))
        snprintf(text, VALUE_LENGTH, "%s", value->valuestring);
    for (const cJSON *item = cJSON_IsArray(value) || cJSON_IsObject(value) ? value->child : NULL;
         item != NULL; item = item->next) {
        append(text, item == value->child ? "" : cJSON_IsArray(value) ? "x" : " ");
        if (cJSON_IsObject(value)) {
            append(text, item->string);
            append(text, "=");
        }
        snprintf(part, sizeof(part), "%.10g", cJSON_GetNumberValue(item));
        append(text, part);
    }
}

static void print_value(const cJSON *object, const char *key, int width, FILE *out)
{
    char text[VALUE_LENGTH], shown[VALUE_LENGTH];
    value_text(cJSON_GetObjectItem(object, key), text);
    text_shown(text[0] != '\0' ? text : "-", shown, sizeof(shown));
    fprintf(out, "%*s", width, shown);
}

/* ---- formats ---- */

static enum status print_json(const cJSON *json, FILE *out, struct error *err)
{
    char *text = cJSON_Print(json);
    if (text == NULL)
        return error_memory(err, "JSON", 0);
    fprintf(out, "%s\n", text);
    cJSON_free(text);
    return ST_OK;
}

/* The keys of the first, then a row each. */
static void print_csv(const cJSON *rows, FILE *out)
{
    char text[VALUE_LENGTH];
    const cJSON *first = rows != NULL ? rows->child : NULL;
    for (const cJSON *key = first != NULL ? first->child : NULL; key != NULL; key = key->next)
        fprintf(out, "%s%s", key->string, key->next != NULL ? "," : "\n");
    for (const cJSON *row = first; row != NULL; row = row->next)
        for (const cJSON *value = row->child; value != NULL; value = value->next) {
            value_text(value, text);
            csv_write(out, text);
            fputc(value->next != NULL ? ',' : '\n', out);
        }
}

static void print_table(const cJSON *models, FILE *out)
{
    static const struct {
        const char *key;
        int width;
    } columns[] = {{"id", 5},        {"parent", 7},      {"kind", 11}, {"state", 11},
                   {"accuracy", 13}, {"parameters", 11}, {"steps", 8}, {"hash", 23}};
    enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };
    for (int c = 0; c < COLUMNS; c++)
        fprintf(out, "%*s", columns[c].width, columns[c].key);
    fprintf(out, "  operations\n");
    for (const cJSON *model = models->child; model != NULL; model = model->next) {
        for (int c = 0; c < COLUMNS; c++)
            print_value(model, columns[c].key, columns[c].width, out);
        fputs("  ", out);
        print_value(model, "operations", 0, out);
        if (cJSON_GetArraySize(cJSON_GetObjectItem(model, "hyperparameters")) > 0) {
            fputs("; ", out);
            print_value(model, "hyperparameters", 0, out);
        }
        fputc('\n', out);
    }
}

enum status print_models(const cJSON *models, enum print_format format, FILE *out, struct error *err)
{
    switch (format) {
    case PRINT_TEXT:
        print_table(models, out);
        return ST_OK;
    case PRINT_JSON:
        return print_json(models, out, err);
    case PRINT_CSV:
        print_csv(models, out);
        return ST_OK;
    }
    abort(); /* there are no others */
}

static void print_details(const cJSON *model, const cJSON *weights, FILE *out)
{
    for (const cJSON *value = model->child; value != NULL; value = value->next) {
        fprintf(out, "%s: ", value->string);
        print_value(model, value->string, 0, out);
        fputc('\n', out);
    }
    if (!cJSON_IsArray(weights)) {
        fprintf(out, "weights: the file is not kept\n");
        return;
    }
    fprintf(out, "\n%-28s %-12s %16s %10s %12s\n", "weights", "layer", "shape", "values", "norm");
    for (const cJSON *tensor = weights->child; tensor != NULL; tensor = tensor->next) {
        print_value(tensor, "name", -28, out);
        fputc(' ', out);
        print_value(tensor, "layer", -12, out);
        print_value(tensor, "shape", 17, out);
        print_value(tensor, "values", 11, out);
        fprintf(out, " %12.6g\n", cJSON_GetNumberValue(cJSON_GetObjectItem(tensor, "norm")));
    }
}

static enum status print_both(const cJSON *model, const cJSON *weights, FILE *out, struct error *err)
{
    cJSON *both = cJSON_Duplicate(model, true), *added = cJSON_Duplicate(weights, true);
    enum status st = ST_OK;
    if (both == NULL || added == NULL || !cJSON_AddItemToObject(both, "weights", added)) {
        cJSON_Delete(added);
        st = error_memory(err, "JSON", 0);
    }
    if (st == ST_OK)
        st = print_json(both, out, err);
    cJSON_Delete(both);
    return st;
}

enum status print_model(const cJSON *model, const cJSON *weights, enum print_format format, FILE *out,
                        struct error *err)
{
    switch (format) {
    case PRINT_TEXT:
        print_details(model, weights, out);
        return ST_OK;
    case PRINT_JSON:
        return print_both(model, weights, out, err);
    case PRINT_CSV:
        print_csv(weights, out);
        return ST_OK;
    }
    abort(); /* there are no others */
}
