/* Graphs to JSON and back, and their fingerprint. What is read may come from anybody: every value is checked
 * here or by graph_append. */
#include "host/net/serialise.h"
#include "host/base/file.h"

#include <math.h>
#include <string.h>

/* The keys of every kind: id, kind, inputs. */
enum { FIELD_EVERY = 128 };

/* ---- writing ---- */

static bool put_number(cJSON *object, const char *key, double value)
{
    return cJSON_AddNumberToObject(object, key, value) != NULL;
}

static bool put_array(cJSON *object, const char *key, const int32_t *values, int32_t count)
{
    cJSON *array = cJSON_CreateIntArray(values, count);
    if (array == NULL || !cJSON_AddItemToObject(object, key, array)) {
        cJSON_Delete(array);
        return false;
    }
    return true;
}

static bool put_settings(cJSON *object, const struct layer *layer)
{
    unsigned fields = layer_traits(layer->kind)->fields;
    const int32_t kernel[2] = {layer->kernel_h, layer->kernel_w}, pad[2] = {layer->pad_h, layer->pad_w};
    bool ok = true;
    if (fields & FIELD_OUT)
        ok = ok && put_number(object, "out", layer->out_channels);
    if (fields & FIELD_KERNEL)
        ok = ok && put_array(object, "kernel", kernel, 2);
    if (fields & FIELD_STRIDE && layer->stride != 1)
        ok = ok && put_number(object, "stride", layer->stride);
    if (fields & FIELD_PAD && (pad[0] != 0 || pad[1] != 0))
        ok = ok && put_array(object, "pad", pad, 2);
    if (fields & FIELD_GROUPS && layer->groups != 1)
        ok = ok && put_number(object, "groups", layer->groups);
    if (fields & FIELD_BIAS && layer->bias)
        ok = ok && cJSON_AddTrueToObject(object, "bias") != NULL;
    if (fields & FIELD_RATE)
        ok = ok && put_number(object, "rate", layer->rate);
    if (fields & FIELD_INIT && layer->init != LAYER_INIT_HE)
        ok = ok && cJSON_AddStringToObject(object, "init", layer_init_name(layer->init)) != NULL;
    if (fields & FIELD_FROZEN && layer->frozen)
        ok = ok && cJSON_AddTrueToObject(object, "frozen") != NULL;
    if (fields & FIELD_GAIN && layer->gain != 1.0f)
        ok = ok && put_number(object, "gain", layer->gain);
    if (fields & FIELD_PACE && layer->pace != 1.0f)
        ok = ok && put_number(object, "pace", layer->pace);
    return ok;
}

static cJSON *layer_to_json(const struct graph *graph, const struct layer *layer)
{
    int32_t inputs[GRAPH_MAX_INPUTS];
    for (int32_t i = 0; i < layer->input_count; i++)
        inputs[i] = (int32_t)graph->layers[layer->inputs[i]].id; /* at most GRAPH_MAX_ID */
    cJSON *object = cJSON_CreateObject();
    if (object == NULL)
        return NULL;
    if (!put_number(object, "id", layer->id) ||
        cJSON_AddStringToObject(object, "kind", layer_kind_name(layer->kind)) == NULL ||
        !put_array(object, "inputs", inputs, layer->input_count) || !put_settings(object, layer)) {
        cJSON_Delete(object);
        return NULL;
    }
    return object;
}

cJSON *graph_to_json(const struct graph *graph)
{
    struct shape image = graph->layers[0].shape;
    const int32_t input[3] = {image.c, image.h, image.w};
    cJSON *json = cJSON_CreateObject();
    if (json == NULL || !put_array(json, "input", input, 3) || !put_number(json, "next_id", graph->next_id))
        goto failed;
    cJSON *layers = cJSON_AddArrayToObject(json, "layers");
    if (layers == NULL)
        goto failed;
    for (int32_t l = 1; l < graph->count; l++) {
        cJSON *object = layer_to_json(graph, &graph->layers[l]);
        if (object == NULL || !cJSON_AddItemToArray(layers, object)) {
            cJSON_Delete(object);
            goto failed;
        }
    }
    return json;
failed:
    cJSON_Delete(json);
    return NULL;
}

/* ---- reading ---- */

/* `json` (NULL when absent) as a whole number in [0, INT32_MAX]; graph_append knows the narrower ranges. */
static enum status get_whole(const cJSON *json, const char *key, int32_t *value, struct error *err)
{
    if (json == NULL)
        return error_set(err, ST_FORMAT, "key \"%s\" is missing", key);
    if (!cJSON_IsNumber(json))
        return error_set(err, ST_FORMAT, "\"%s\" is not a number", key);
    double found = json->valuedouble;
    if (!(found >= 0.0 && found <= (double)INT32_MAX && floor(found) == found))
        return error_set(err, ST_FORMAT, "\"%s\" is %.17g, expected a whole number from 0 to %d", key, found,
                         INT32_MAX);
    *value = (int32_t)found;
    return ST_OK;
}

/* `json` as an array of `low` to `high` whole numbers. */
static enum status get_wholes(const cJSON *json, const char *key, int32_t low, int32_t high, int32_t *values,
                              int32_t *count, struct error *err)
{
    if (json == NULL)
        return error_set(err, ST_FORMAT, "key \"%s\" is missing", key);
    if (!cJSON_IsArray(json))
        return error_set(err, ST_FORMAT, "\"%s\" is not an array", key);
    int32_t found = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, json)
    {
        if (found < high) {
            enum status st = get_whole(item, key, &values[found], err);
            if (st != ST_OK)
                return st;
        }
        found++;
    }
    if (found < low || found > high)
        return error_set(err, ST_FORMAT, "\"%s\" has %d entries, expected %d to %d", key, found, low, high);
    *count = found;
    return ST_OK;
}

static const cJSON *get(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static enum status get_kind(const cJSON *json, enum layer_kind *kind, struct error *err)
{
    if (!cJSON_IsString(json))
        return error_set(err, ST_FORMAT, "\"kind\" is missing or not a string");
    for (int k = LAYER_INPUT + 1; k < LAYER_KIND_COUNT; k++)
        if (strcmp(json->valuestring, layer_kind_name((enum layer_kind)k)) == 0) {
            *kind = (enum layer_kind)k;
            return ST_OK;
        }
    return error_set(err, ST_FORMAT, "\"kind\" is \"%.32s\", expected a kind of layer such as \"conv\"",
                     json->valuestring);
}

/* Every key known, of this kind and standing once: a misspelt or doubled setting is not to be overlooked. */
static enum status check_keys(const cJSON *object, enum layer_kind kind, struct error *err)
{
    static const struct {
        const char *key;
        unsigned field;
    } keys[] = {{"id", FIELD_EVERY},  {"kind", FIELD_EVERY},    {"inputs", FIELD_EVERY},
                {"out", FIELD_OUT},   {"kernel", FIELD_KERNEL}, {"stride", FIELD_STRIDE},
                {"pad", FIELD_PAD},   {"groups", FIELD_GROUPS}, {"bias", FIELD_BIAS},
                {"rate", FIELD_RATE}, {"init", FIELD_INIT},     {"frozen", FIELD_FROZEN},
                {"gain", FIELD_GAIN}, {"pace", FIELD_PACE}};
    unsigned allowed = layer_traits(kind)->fields | FIELD_EVERY;
    unsigned seen = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        unsigned bit = 0;
        for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
            if (strcmp(item->string, keys[k].key) == 0 && keys[k].field & allowed)
                bit = 1u << k;
        if (bit == 0 || seen & bit)
            return error_set(err, ST_FORMAT, "key \"%.32s\" %s", item->string,
                             bit == 0 ? "is none of this kind of layer" : "stands twice");
        seen |= bit;
    }
    return ST_OK;
}

static enum status get_pair(const cJSON *object, const char *key, int32_t *first, int32_t *second,
                            struct error *err)
{
    int32_t pair[2], count;
    enum status st = get_wholes(get(object, key), key, 2, 2, pair, &count, err);
    if (st == ST_OK)
        *first = pair[0], *second = pair[1];
    return st;
}

/* `json` (NULL: false) as a switch. */
static enum status get_switch(const cJSON *json, const char *key, bool *value, struct error *err)
{
    if (json != NULL && !cJSON_IsBool(json))
        return error_set(err, ST_FORMAT, "\"%s\" is not true or false", key);
    *value = cJSON_IsTrue(json);
    return ST_OK;
}

static enum status get_init(const cJSON *json, enum layer_init *init, struct error *err)
{
    if (json == NULL)
        return ST_OK;
    for (int i = 0; cJSON_IsString(json) && i < LAYER_INIT_COUNT; i++)
        if (strcmp(json->valuestring, layer_init_name((enum layer_init)i)) == 0) {
            *init = (enum layer_init)i;
            return ST_OK;
        }
    return error_set(err, ST_FORMAT, "\"init\" is \"%.32s\", expected \"he\", \"dirac\" or \"whiten\"",
                     cJSON_IsString(json) ? json->valuestring : "no text");
}

/* A number above 0, which may be absent. */
static enum status get_factor(const cJSON *object, const char *key, double most, float *value,
                              struct error *err)
{
    const cJSON *json = get(object, key);
    if (json == NULL)
        return ST_OK;
    /* As float: what rounds to 0 would be taken for nothing said. */
    if (!cJSON_IsNumber(json) || !((float)json->valuedouble > 0.0f && json->valuedouble <= most))
        return error_set(err, ST_FORMAT, "\"%s\" is not a number above 0 and up to %g", key, most);
    *value = (float)json->valuedouble;
    return ST_OK;
}

/* What a training does with the layer's weights; each may be absent. */
static enum status get_training(const cJSON *object, struct layer *layer, struct error *err)
{
    enum status st = get_switch(get(object, "bias"), "bias", &layer->bias, err);
    if (st == ST_OK)
        st = get_switch(get(object, "frozen"), "frozen", &layer->frozen, err);
    if (st == ST_OK)
        st = get_init(get(object, "init"), &layer->init, err);
    if (st == ST_OK)
        st = get_factor(object, "gain", GRAPH_MAX_GAIN, &layer->gain, err);
    if (st == ST_OK)
        st = get_factor(object, "pace", 1.0, &layer->pace, err);
    return st;
}

static enum status get_settings(const cJSON *object, struct layer *layer, struct error *err)
{
    unsigned fields = layer_traits(layer->kind)->fields;
    const cJSON *rate = get(object, "rate");
    enum status st = ST_OK;
    if (fields & FIELD_OUT)
        st = get_whole(get(object, "out"), "out", &layer->out_channels, err);
    if (st == ST_OK && fields & FIELD_KERNEL)
        st = get_pair(object, "kernel", &layer->kernel_h, &layer->kernel_w, err);
    if (st == ST_OK && get(object, "stride") != NULL)
        st = get_whole(get(object, "stride"), "stride", &layer->stride, err);
    if (st == ST_OK && get(object, "pad") != NULL)
        st = get_pair(object, "pad", &layer->pad_h, &layer->pad_w, err);
    if (st == ST_OK && get(object, "groups") != NULL)
        st = get_whole(get(object, "groups"), "groups", &layer->groups, err);
    if (st == ST_OK)
        st = get_training(object, layer, err);
    if (st != ST_OK || !(fields & FIELD_RATE))
        return st;
    /* The range is checked as double: what rounds to 1 in float is for graph_append to refuse. */
    if (!cJSON_IsNumber(rate) || !(rate->valuedouble >= 0.0 && rate->valuedouble < 1.0))
        return error_set(err, ST_FORMAT, "\"rate\" is missing or not a number from 0 to below 1");
    layer->rate = (float)rate->valuedouble;
    return ST_OK;
}

static enum status layer_from_json(struct graph *graph, const cJSON *object, struct error *err)
{
    if (!cJSON_IsObject(object))
        return error_set(err, ST_FORMAT, "not an object");
    struct layer layer = {.stride = 1, .groups = 1};
    int32_t id, ids[GRAPH_MAX_INPUTS];
    enum status st = get_kind(get(object, "kind"), &layer.kind, err);
    if (st == ST_OK)
        st = check_keys(object, layer.kind, err);
    if (st == ST_OK)
        st = get_whole(get(object, "id"), "id", &id, err);
    if (st == ST_OK)
        st = get_wholes(get(object, "inputs"), "inputs", 1, GRAPH_MAX_INPUTS, ids, &layer.input_count, err);
    if (st == ST_OK)
        st = get_settings(object, &layer, err);
    if (st != ST_OK)
        return st;
    if (id == 0)
        return error_set(err, ST_FORMAT, "\"id\" is 0, expected at least 1 (0 is the input's)");
    layer.id = (uint32_t)id;
    for (int32_t i = 0; i < layer.input_count; i++) {
        layer.inputs[i] = graph_find(graph, (uint32_t)ids[i]);
        if (layer.inputs[i] < 0)
            return error_set(err, ST_FORMAT, "\"inputs\" names %d, expected the id of a layer before it",
                             ids[i]);
    }
    return graph_append(graph, layer, NULL, err);
}

static enum status layers_from_json(struct graph *graph, const cJSON *json, struct error *err)
{
    const cJSON *layers = get(json, "layers"), *item;
    int32_t image[3], count, next_id, entry = 0;
    enum status st = get_wholes(get(json, "input"), "input", 3, 3, image, &count, err);
    if (st == ST_OK)
        st = get_whole(get(json, "next_id"), "next_id", &next_id, err);
    if (st != ST_OK)
        return st;
    if (!cJSON_IsArray(layers))
        return error_set(err, ST_FORMAT, "\"layers\" is missing or not an array");
    st = graph_new(graph, image[0], image[1], image[2], err);
    if (st != ST_OK)
        return st;
    cJSON_ArrayForEach(item, layers)
    {
        if (layer_from_json(graph, item, err) != ST_OK)
            return error_prefix(err, "entry %d of \"layers\"", entry);
        entry++;
    }
    if ((uint32_t)next_id < graph->next_id)
        return error_set(err, ST_FORMAT, "\"next_id\" is %d, expected at least %u, above every id", next_id,
                         (unsigned)graph->next_id);
    graph->next_id = (uint32_t)next_id;
    return graph_infer(graph, err);
}

enum status graph_from_json(struct graph *graph, const cJSON *json, struct error *err)
{
    *graph = (struct graph){0};
    enum status st = cJSON_IsObject(json) ? layers_from_json(graph, json, err)
                                          : error_set(err, ST_FORMAT, "not an object");
    if (st != ST_OK) {
        graph_free(graph);
        return error_prefix(err, "graph");
    }
    return ST_OK;
}

int32_t graph_json_layers(const cJSON *json)
{
    const cJSON *layers = get(json, "layers");
    return cJSON_IsArray(layers) ? cJSON_GetArraySize(layers) : -1;
}

/* ---- fingerprint ---- */

static uint64_t hash_number(uint64_t hash, uint64_t number)
{
    return file_hash(hash, &number, sizeof(number));
}

/* Of the layer and all before it, without ids or indices. */
static uint64_t hash_layer(const struct layer *layer, const uint64_t *hashes)
{
    unsigned fields = layer_traits(layer->kind)->fields;
    uint64_t hash = hash_number(0, layer->kind);
    if (layer->kind == LAYER_INPUT) {
        hash = hash_number(hash, (uint64_t)layer->shape.c);
        hash = hash_number(hash, (uint64_t)layer->shape.h);
        hash = hash_number(hash, (uint64_t)layer->shape.w);
    }
    if (fields & FIELD_OUT)
        hash = hash_number(hash, (uint64_t)layer->out_channels);
    if (fields & FIELD_KERNEL)
        hash = hash_number(hash_number(hash, (uint64_t)layer->kernel_h), (uint64_t)layer->kernel_w);
    if (fields & FIELD_STRIDE)
        hash = hash_number(hash, (uint64_t)layer->stride);
    if (fields & FIELD_PAD)
        hash = hash_number(hash_number(hash, (uint64_t)layer->pad_h), (uint64_t)layer->pad_w);
    if (fields & FIELD_GROUPS)
        hash = hash_number(hash, (uint64_t)layer->groups);
    if (fields & FIELD_BIAS)
        hash = hash_number(hash, layer->bias);
    if (fields & FIELD_RATE)
        hash = hash_number(hash, (uint64_t)(layer->rate * 16777216.0f));
    if (fields & FIELD_INIT)
        hash = hash_number(hash, (uint64_t)layer->init);
    if (fields & FIELD_FROZEN)
        hash = hash_number(hash, layer->frozen);
    if (fields & FIELD_GAIN)
        hash = hash_number(hash, (uint64_t)(layer->gain * 16777216.0f));
    if (fields & FIELD_PACE && layer->pace != 1.0f) /* others have the hash of older versions */
        hash = hash_number(hash, (uint64_t)(layer->pace * 16777216.0f));
    if (layer->kind == LAYER_ADD) /* whose summands have no order */
        return hash_number(hash, hashes[layer->inputs[0]] + hashes[layer->inputs[1]]);
    for (int32_t i = 0; i < layer->input_count; i++)
        hash = hash_number(hash, hashes[layer->inputs[i]]);
    return hash;
}

/* A layer's final hash also covers everything behind it; the sum over all layers has no order. So the order
 * in which parallel branches were made does not count, but who shares whose output does. */
uint64_t graph_fingerprint(const struct graph *graph)
{
    uint64_t before[GRAPH_MAX_LAYERS], behind[GRAPH_MAX_LAYERS] = {0}, sum = 0;
    for (int32_t l = 0; l < graph->count; l++)
        before[l] = hash_layer(&graph->layers[l], before);
    for (int32_t l = graph->count - 1; l >= 0; l--) {
        const struct layer *layer = &graph->layers[l];
        uint64_t whole = hash_number(before[l], behind[l]);
        sum += whole;
        for (int32_t i = 0; i < layer->input_count; i++)
            behind[layer->inputs[i]] += hash_number(whole, layer->kind == LAYER_ADD ? 0 : (uint64_t)i);
    }
    return hash_number(hash_number(0, (uint64_t)graph->count), sum);
}
