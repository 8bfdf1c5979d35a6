/* Remaps on the host: the list and the reference that devices are compared with. */
#include "host/net/remap.h"
#include "host/base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum status remap_list_new(struct remap_list *list, const struct weight_table *child,
                           const struct weight_table *parent, struct error *err)
{
    *list = (struct remap_list){0};
    size_t count = (size_t)(child->count > 0 ? child->count : 1);
    list->remaps = calloc(count, sizeof(*list->remaps));
    if (list->remaps == NULL)
        return error_memory(err, "remaps", count * sizeof(*list->remaps));
    list->count = child->count;
    for (int32_t t = 0; t < child->count; t++) {
        const struct weight_tensor *tensor = &child->tensors[t];
        int32_t source = weight_find(parent, tensor->layer_id, tensor->role);
        if (source >= 0 && memcmp(tensor->dims, parent->tensors[source].dims, sizeof(tensor->dims)) != 0)
            source = -1;
        list->remaps[t].child = t;
        list->remaps[t].source = source;
    }
    return ST_OK;
}

void remap_list_free(struct remap_list *list)
{
    for (int32_t t = 0; t < list->count; t++) {
        free(list->remaps[t].out_index);
        free(list->remaps[t].in_index);
        free(list->remaps[t].out_scale);
        free(list->remaps[t].in_scale);
        free(list->remaps[t].identity);
    }
    free(list->remaps);
    *list = (struct remap_list){0};
}

static double deviation_of(const float *values, size_t count)
{
    double mean = 0.0, square = 0.0;
    for (size_t i = 0; i < count; i++)
        mean += values[i];
    mean /= (double)count;
    for (size_t i = 0; i < count; i++)
        square += (values[i] - mean) * (values[i] - mean);
    return sqrt(square / (double)count);
}

/* The source's value for element (o, i, y, x) of the child, scaled; false when the element is to be filled. */
static bool source_value(const struct remap *remap, const struct weight_tensor *child,
                         const struct weight_tensor *source, const float *values, const int32_t at[4],
                         float *value)
{
    if (source == NULL)
        return false;
    int32_t o = remap->out_index != NULL ? remap->out_index[at[0]] : at[0];
    int32_t i = remap->in_index != NULL ? remap->in_index[at[1]] : at[1];
    int32_t y = at[2] - (child->dims[2] - source->dims[2]) / 2;
    int32_t x = at[3] - (child->dims[3] - source->dims[3]) / 2;
    if (o < 0 || o >= source->dims[0] || i < 0 || i >= source->dims[1] || y < 0 || y >= source->dims[2] ||
        x < 0 || x >= source->dims[3])
        return false;
    size_t index = (((size_t)o * (size_t)source->dims[1] + (size_t)i) * (size_t)source->dims[2] + (size_t)y) *
                       (size_t)source->dims[3] +
                   (size_t)x;
    float out_scale = remap->out_scale != NULL ? remap->out_scale[at[0]] : 1.0f;
    float in_scale = remap->in_scale != NULL ? remap->in_scale[at[1]] : 1.0f;
    *value = out_scale * in_scale * values[index];
    return true;
}

static void apply_one(const struct remap *remap, const struct weight_tensor *child,
                      const struct weight_tensor *source, const float *source_values, uint64_t seed,
                      float *values)
{
    double amplitude = remap->noise;
    if (remap->noise != 0.0f && source != NULL)
        amplitude *= deviation_of(source_values, source->count);
    uint32_t part = child->layer_id * 8 + (uint32_t)child->role;
    size_t element = 0;
    int32_t at[4];
    for (at[0] = 0; at[0] < child->dims[0]; at[0]++)
        for (at[1] = 0; at[1] < child->dims[1]; at[1]++)
            for (at[2] = 0; at[2] < child->dims[2]; at[2]++)
                for (at[3] = 0; at[3] < child->dims[3]; at[3]++, element++) {
                    float value = remap->fill;
                    bool filled = !source_value(remap, child, source, source_values, at, &value);
                    if (remap->identity != NULL && remap->identity[at[0]] == at[1] &&
                        at[2] == child->dims[2] / 2 && at[3] == child->dims[3] / 2)
                        value += 1.0f;
                    if (amplitude != 0.0 && filled) {
                        double normal, unused;
                        random_normal2(random_draw(seed, RANDOM_MORPH_NOISE, element, part), &normal,
                                       &unused);
                        value += (float)(amplitude * normal);
                    }
                    values[element] = value;
                }
}

void remap_apply(const struct remap_list *list, const struct weight_table *child,
                 const struct weight_table *parent, const float *parent_values, uint64_t seed,
                 float *child_values)
{
    memset(child_values, 0, child->total * sizeof(*child_values));
    for (int32_t r = 0; r < list->count; r++) {
        const struct remap *remap = &list->remaps[r];
        const struct weight_tensor *tensor = &child->tensors[remap->child];
        const struct weight_tensor *source = remap->source >= 0 ? &parent->tensors[remap->source] : NULL;
        apply_one(remap, tensor, source, source != NULL ? parent_values + source->offset : NULL, seed,
                  child_values + tensor->offset);
    }
}
