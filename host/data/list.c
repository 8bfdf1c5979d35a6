/* The list of single image files, with their classes and splits, before anything is decoded. */
#include "host/data/data_internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Where `name` is or belongs among the sorted classes. */
static int32_t class_index(const struct data_list *list, const char *name, bool *found)
{
    int32_t low = 0, high = list->class_count;
    *found = false;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        int order = strcmp(list->classes[middle].name, name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

enum status data_list_class(struct data_list *list, const char *name, int32_t *id, struct error *err)
{
    bool found;
    int32_t at = class_index(list, name, &found);
    if (found) {
        *id = list->classes[at].id;
        return ST_OK;
    }
    if (list->class_count == list->class_capacity) {
        int32_t capacity = list->class_capacity > 0 ? 2 * list->class_capacity : 16;
        struct data_class *larger = realloc(list->classes, (size_t)capacity * sizeof(*larger));
        if (larger == NULL)
            return error_memory(err, "classes", (unsigned long long)capacity * sizeof(*larger));
        list->classes = larger;
        list->class_capacity = capacity;
    }
    char *copy = strdup(name);
    if (copy == NULL)
        return error_memory(err, "a class name", strlen(name) + 1);
    memmove(&list->classes[at + 1], &list->classes[at],
            (size_t)(list->class_count - at) * sizeof(*list->classes));
    list->classes[at] = (struct data_class){.name = copy, .id = list->class_count};
    *id = list->class_count++;
    return ST_OK;
}

enum status data_list_add(struct data_list *list, struct data_item *item, struct error *err)
{
    if (list->count == list->capacity) {
        struct data_item *larger = NULL;
        int32_t capacity = list->capacity > 0 ? list->capacity : 512;
        if (capacity <= INT32_MAX / 2) {
            capacity *= 2;
            larger = realloc(list->items, (size_t)capacity * sizeof(*larger));
        }
        if (larger == NULL) {
            free(item->path);
            return error_memory(err, "the list of images", (unsigned long long)capacity * sizeof(*larger));
        }
        list->items = larger;
        list->capacity = capacity;
    }
    list->items[list->count++] = *item;
    return ST_OK;
}

enum status data_list_finish(struct data_list *list, struct error *err)
{
    if (list->count == 0)
        return error_set(err, ST_FORMAT,
                         "%s: no images found (%d files left out), expected PNG or JPEG files", list->source,
                         list->skipped);
    int32_t *rank = malloc((size_t)list->class_count * sizeof(*rank));
    if (rank == NULL)
        return error_memory(err, "classes", (unsigned long long)list->class_count * sizeof(*rank));
    for (int32_t i = 0; i < list->class_count; i++)
        rank[list->classes[i].id] = i;
    for (int32_t i = 0; i < list->count; i++)
        list->items[i].label = rank[list->items[i].label];
    free(rank);
    return ST_OK;
}

enum status data_list_problem(struct data_list *list, struct error *err)
{
    if (!list->skip || err->status == ST_MEMORY)
        return err->status;
    list->skipped++;
    if (list->log != NULL)
        fprintf(list->log, "warning: left out: %s\n", err->message);
    return ST_OK;
}

void data_list_free(struct data_list *list)
{
    for (int32_t i = 0; i < list->count; i++)
        free(list->items[i].path);
    for (int32_t i = 0; i < list->class_count; i++)
        free(list->classes[i].name);
    free(list->items);
    free(list->classes);
    *list = (struct data_list){0};
}

int data_split_of_word(const char *word)
{
    static const struct {
        const char *word;
        int split;
    } words[] = {
        {"train", SPLIT_TRAIN},      {"training", SPLIT_TRAIN},      {"val", SPLIT_VALIDATION},
        {"valid", SPLIT_VALIDATION}, {"validate", SPLIT_VALIDATION}, {"validation", SPLIT_VALIDATION},
        {"test", SPLIT_TEST},        {"testing", SPLIT_TEST},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasecmp(word, words[i].word) == 0)
            return words[i].split;
    return -1;
}

bool data_is_image_name(const char *name, bool *other)
{
    static const char *const readable[] = {".png", ".jpg", ".jpeg", ".jpe"};
    static const char *const unreadable[] = {".gif", ".bmp", ".webp", ".tif", ".tiff", ".heic", ".avif",
                                             ".jp2", ".ppm", ".pgm",  ".pnm", ".tga",  ".svg",  ".ico"};
    const char *end = strrchr(name, '.');
    *other = false;
    if (end == NULL)
        return false;
    for (size_t i = 0; i < sizeof(readable) / sizeof(readable[0]); i++)
        if (strcasecmp(end, readable[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof(unreadable) / sizeof(unreadable[0]); i++)
        if (strcasecmp(end, unreadable[i]) == 0)
            *other = true;
    return false;
}
