#include "host/run/class_weights.h"

#include "host/train/trainer.h"

#include <stdlib.h>
#include <string.h>

static enum status balance(const struct dataset *data, float *weights, struct error *err)
{
    const int32_t images = data->sample_count[SPLIT_TRAIN];
    int32_t *counts = data_count_classes(data, SPLIT_TRAIN, err), occur = 0;
    if (counts == NULL)
        return err->status;
    for (int32_t k = 0; k < data->classes; k++)
        occur += counts[k] > 0;
    for (int32_t k = 0; k < data->classes; k++)
        weights[k] = counts[k] == 0 || counts[k] == images ? 1.0f
                     : data->label_sets != NULL            ? (float)(images - counts[k]) / (float)counts[k]
                                                           : (float)((double)images / occur / counts[k]);
    free(counts);
    return ST_OK;
}

/* "NAME=WEIGHT"; the weight is a number (spec_check.c), and the name may have a '=' of its own. */
static enum status take(const struct dataset *data, const char *text, float *weights, struct error *err)
{
    const char *equals = strrchr(text, '=');
    const size_t length = (size_t)(equals - text);
    for (int32_t k = 0; k < data->classes; k++)
        if (strlen(data->class_names[k]) == length && memcmp(data->class_names[k], text, length) == 0) {
            weights[k] = strtof(equals + 1, NULL);
            return ST_OK;
        }
    return error_set(err, ST_RANGE,
                     "train.class_weights: found \"%.200s\", expected the name of a class, as %.200s=2", text,
                     data->class_names[0]);
}

enum status class_weights_of(const struct job_train *job, const struct dataset *data, float **weights,
                             struct error *err)
{
    const struct job_strings *list = &job->class_weights;
    enum status st = ST_OK;
    float sum = 0.0f;
    *weights = NULL;
    if (!trainer_is_weighted(job))
        return ST_OK;
    *weights = malloc((size_t)data->classes * sizeof(**weights));
    if (*weights == NULL)
        return error_memory(err, "classes", (size_t)data->classes * sizeof(**weights));
    for (int32_t k = 0; k < data->classes; k++)
        (*weights)[k] = 1.0f;
    if (strcmp(list->items[0], "balanced") == 0)
        st = balance(data, *weights, err);
    else
        for (int32_t i = 0; st == ST_OK && i < list->count; i++)
            st = take(data, list->items[i], *weights, err);
    for (int32_t k = 0; k < data->classes; k++)
        sum += (*weights)[k];
    if (st == ST_OK && !(sum > 0.0f))
        st = error_set(err, ST_RANGE, "train.class_weights: found 0 for each class, expected more for one");
    return st;
}
