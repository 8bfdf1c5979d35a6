/* Images with any number of labels: what the list gives each of them, and which sets of labels occur. */
#include "host/base/array.h"
#include "host/base/labels.h"
#include "host/data/data_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- in the list ---- */

enum status data_list_check_label(const struct data_list *list, int32_t line, const char *name,
                                  struct error *err)
{
    if (strchr(name, DATA_LABEL_MARK) == NULL)
        return ST_OK;
    return error_set(err, ST_FORMAT, "%s:%d: label \"%s\", expected a name without %c", list->source,
                     (int)line, name, DATA_LABEL_MARK);
}

enum status data_list_label(struct data_list *list, struct data_item *item, const char *name,
                            struct error *err)
{
    int32_t id = 0;
    enum status st = data_list_check_label(list, item->line, name, err);
    if (st == ST_OK)
        st = data_list_class(list, name, &id, err);
    if (st != ST_OK)
        return st;
    for (int32_t i = 0; i < item->label_count; i++)
        if (list->labels[item->first_label + i] == id)
            return ST_OK;
    int32_t *labels = array_with_room(list->labels, list->label_count, &list->label_capacity, sizeof(*labels),
                                      "labels", err);
    if (labels == NULL)
        return ST_MEMORY;
    list->labels = labels;
    labels[list->label_count++] = id;
    item->label_count++;
    return ST_OK;
}

static int compare_numbers(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

void data_list_rank_labels(struct data_list *list, const int32_t *rank)
{
    for (int32_t i = 0; i < list->label_count; i++)
        list->labels[i] = rank[list->labels[i]];
    for (int32_t i = 0; i < list->count; i++)
        if (list->items[i].label_count > 1)
            qsort(list->labels + list->items[i].first_label, (size_t)list->items[i].label_count,
                  sizeof(*list->labels), compare_numbers);
}

/* ---- classes that nobody trains ---- */

/* Of each class the images for training: [list->class_count]; NULL when out of memory. */
static int32_t *count_trained(const struct data_list *list, const int32_t *kept, int32_t count,
                              struct error *err)
{
    int32_t *trained = calloc((size_t)list->class_count + 1, sizeof(*trained));
    if (trained == NULL) {
        error_memory(err, "classes", (unsigned long long)list->class_count * sizeof(*trained));
        return NULL;
    }
    for (int32_t i = 0; i < count; i++) {
        const struct data_item *item = &list->items[kept[i]];
        for (int32_t k = 0; item->split == SPLIT_TRAIN && k < item->label_count; k++)
            trained[list->labels[item->first_label + k]]++;
    }
    return trained;
}

enum status data_list_drop_labels(struct data_list *list, const int32_t *kept, int32_t count,
                                  int32_t *classes_left, struct error *err)
{
    enum status st = ST_OK;
    int32_t left = 0;
    int32_t *trained = count_trained(list, kept, count, err);
    if (trained == NULL)
        return ST_MEMORY;
    for (int32_t c = 0; c < list->class_count && st == ST_OK; c++) {
        const struct data_class class = list->classes[c];
        const bool stays = trained[c] > 0;
        if (!stays) {
            error_set(err, ST_FORMAT, "%s: label \"%s\" has no training images", list->source, class.name);
            st = data_list_problem(list, err);
        }
        trained[c] = stays ? left : -1; /* its number from here on */
        list->classes[c] = list->classes[left];
        list->classes[left] = class;
        left += stays;
    }
    for (int32_t i = 0; i < list->count; i++) {
        struct data_item *item = &list->items[i];
        int32_t *labels = list->labels + item->first_label, stay = 0;
        for (int32_t k = 0; k < item->label_count; k++)
            if (trained[labels[k]] >= 0)
                labels[stay++] = trained[labels[k]];
        item->label_count = stay;
    }
    free(trained);
    *classes_left = left;
    return st;
}

/* ---- sets ---- */

struct labelled { /* an image and its labels, in rising order */
    const int32_t *labels;
    int32_t count, image;
};

static int compare_sets(const struct labelled *x, const struct labelled *y)
{
    for (int32_t k = 0; k < x->count && k < y->count; k++)
        if (x->labels[k] != y->labels[k])
            return x->labels[k] < y->labels[k] ? -1 : 1;
    return x->count < y->count ? -1 : x->count > y->count;
}

static int compare_labelled(const void *a, const void *b)
{
    const struct labelled *x = a, *y = b;
    const int order = compare_sets(x, y);
    return order != 0 ? order : x->image < y->image ? -1 : x->image > y->image;
}

static enum status number_sets(const struct labelled *images, struct dataset *set, struct error *err)
{
    int32_t sets = 0;
    for (int32_t i = 0; i < set->count; i++) {
        sets += i == 0 || compare_sets(&images[i - 1], &images[i]) != 0;
        set->labels[images[i].image] = sets - 1;
    }
    set->label_set_count = sets;
    set->label_sets = calloc((size_t)sets * (size_t)set->classes + 1, sizeof(*set->label_sets));
    if (set->label_sets == NULL)
        return error_memory(err, "sets of labels", (unsigned long long)sets * (unsigned)set->classes);
    for (int32_t i = 0; i < set->count; i++) {
        uint8_t *has = set->label_sets + (size_t)set->labels[images[i].image] * (size_t)set->classes;
        for (int32_t k = 0; k < images[i].count; k++)
            has[images[i].labels[k]] = 1;
    }
    return ST_OK;
}

enum status data_list_sets(const struct data_list *list, const int32_t *kept, struct dataset *set,
                           struct error *err)
{
    struct labelled *images = malloc(((size_t)set->count + 1) * sizeof(*images));
    if (images == NULL)
        return error_memory(err, "sets of labels", (unsigned long long)set->count * sizeof(*images));
    for (int32_t i = 0; i < set->count; i++) {
        const struct data_item *item = &list->items[kept[i]];
        images[i] =
            (struct labelled){.labels = item->label_count > 0 ? list->labels + item->first_label : NULL,
                              .count = item->label_count,
                              .image = i};
    }
    qsort(images, (size_t)set->count, sizeof(*images), compare_labelled);
    enum status st = number_sets(images, set, err);
    free(images);
    return st;
}

/* ---- in the dataset ---- */

int32_t data_label_count(const struct dataset *set)
{
    return set->label_sets != NULL ? set->label_set_count : set->classes;
}

int32_t *data_classes_of_labels(const struct dataset *set, const int32_t *of_label, struct error *err)
{
    int32_t *counts = calloc((size_t)set->classes + 1, sizeof(*counts));
    if (counts == NULL) {
        error_memory(err, "classes", (unsigned long long)set->classes * sizeof(*counts));
        return NULL;
    }
    for (int32_t label = 0; label < data_label_count(set); label++)
        for (int32_t c = 0; c < set->classes && of_label[label] > 0; c++)
            counts[c] += labels_have(set->label_sets, set->classes, label, c) ? of_label[label] : 0;
    return counts;
}
