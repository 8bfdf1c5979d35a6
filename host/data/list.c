/* The list of single image files, with their classes and splits, before anything is decoded. */
#include "host/base/array.h"
#include "host/base/text.h"
#include "host/data/data_internal.h"

#include <errno.h>
#include <stdarg.h>
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
        int order = data_compare_names(list->classes[middle].name, name);
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

/* Adds a class of that name, which belongs to the list afterwards. */
static enum status insert_class(struct data_list *list, int32_t at, char *name, struct error *err)
{
    struct data_class *classes = array_with_room(list->classes, list->class_count, &list->class_capacity,
                                                 sizeof(*classes), "classes", err);
    if (classes == NULL)
        return ST_MEMORY;
    list->classes = classes;
    memmove(&list->classes[at + 1], &list->classes[at],
            (size_t)(list->class_count - at) * sizeof(*list->classes));
    list->classes[at] = (struct data_class){.name = name, .id = list->class_count++};
    return ST_OK;
}

enum status data_list_goes_on(const struct data_list *list, struct error *err)
{
    const struct data_way *way = list->way;
    if (way->alive != NULL)
        way->alive(way->context);
    return image_check_stop(way->stop, 0, err);
}

enum status data_list_class(struct data_list *list, const char *name, int32_t *id, struct error *err)
{
    bool found, foreign;
    enum status st = ST_OK;
    char *copy = data_name_utf8(name, &foreign);
    if (copy == NULL)
        return error_memory(err, "a class name", strlen(name) + 1);
    const int32_t at = class_index(list, copy, &found);
    if (!found)
        st = insert_class(list, at, copy, err);
    if (found || st != ST_OK)
        free(copy);
    else
        list->foreign += foreign;
    if (st == ST_OK)
        *id = list->classes[at].id;
    return st;
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
        return error_set(
            err, ST_FORMAT,
            "%s: no images found (%d files left out), expected PNG, JPEG, WebP, GIF, TIFF or BMP files",
            list->source, list->skipped);
    int32_t *rank = malloc(((size_t)list->class_count + 1) * sizeof(*rank));
    if (rank == NULL)
        return error_memory(err, "classes", (unsigned long long)list->class_count * sizeof(*rank));
    for (int32_t i = 0; i < list->class_count; i++)
        rank[list->classes[i].id] = i;
    for (int32_t i = 0; i < list->count && !list->several; i++)
        list->items[i].label = rank[list->items[i].label];
    data_list_rank_labels(list, rank);
    free(rank);
    return ST_OK;
}

enum status data_list_problem(struct data_list *list, struct error *err)
{
    if (!list->skip || err->status == ST_MEMORY || err->status == ST_IO || err->status == ST_INTERRUPTED)
        return err->status;
    list->skipped++;
    if (list->way->log != NULL)
        fprintf(list->way->log, "warning: left out: %s\n", err->message);
    return ST_OK;
}

enum status data_file_error(struct error *err, int number, const char *path)
{
    static const int machine[] = {ENOMEM, EMFILE, ENFILE, EIO, EINTR, EAGAIN, ENODEV, ENXIO, ESTALE};
    if (number == ELOOP)
        return error_set(err, ST_FORMAT, "%s: a symbolic link that leads back to itself", path);
    error_system(err, number, "%s", path);
    for (size_t i = 0; i < sizeof(machine) / sizeof(machine[0]); i++)
        if (number == machine[i])
            return err->status;
    err->status = ST_FORMAT;
    return ST_FORMAT;
}

enum status data_no_path(const char *folder, const char *name, struct error *err)
{
    return error_memory(err, name, strlen(folder) + strlen(name) + 2);
}

void data_list_say(const struct data_list *list, const char *format, ...)
{
    char text[ERROR_LENGTH];
    va_list arguments;
    if (list->way->log == NULL)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    fprintf(list->way->log, "warning: %s\n", text_clean(text));
}

enum status data_list_pass(struct data_list *list, const char *name, struct error *err)
{
    for (int32_t i = 0; i < list->passed_count; i++)
        if (strcasecmp(list->passed[i].name, name) == 0) {
            list->passed[i].count++;
            return ST_OK;
        }
    struct data_passed *passed = array_with_room(list->passed, list->passed_count, &list->passed_capacity,
                                                 sizeof(*passed), "names", err);
    if (passed == NULL)
        return ST_MEMORY;
    list->passed = passed;
    char *copy = strdup(name);
    if (copy == NULL)
        return error_memory(err, "a name", strlen(name) + 1);
    list->passed[list->passed_count++] = (struct data_passed){.name = copy, .count = 1};
    return ST_OK;
}

/* What was passed over, most of it first. */
static void tell_passed(const struct data_list *list)
{
    enum { SHOWN = 10 };
    char text[512];
    size_t used = 0;
    int32_t last = INT32_MAX, shown = 0;
    while (shown < list->passed_count && shown < SHOWN && used < sizeof(text)) {
        int32_t most = 0;
        for (int32_t i = 0; i < list->passed_count; i++)
            if (list->passed[i].count < last && list->passed[i].count > most)
                most = list->passed[i].count;
        for (int32_t i = 0; i < list->passed_count && used < sizeof(text) && shown < SHOWN; i++)
            if (list->passed[i].count == most) {
                used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%d %s", shown > 0 ? ", " : "",
                                         most, list->passed[i].name);
                shown++;
            }
        last = most;
    }
    if (shown > 0)
        data_list_say(list, "%s: passed over: %s%s", list->source, text,
                      shown < list->passed_count ? " and others" : "");
}

struct folded {
    char *key;
    int32_t class;
};

static int compare_folded(const void *a, const void *b)
{
    const struct folded *x = a, *y = b;
    const int order = strcmp(x->key, y->key);
    return order != 0 ? order : x->class < y->class ? -1 : x->class > y->class;
}

enum status data_list_tell(const struct data_list *list, struct error *err)
{
    enum status st = ST_OK;
    const size_t count = (size_t)list->class_count;
    struct folded *folded = calloc(count, sizeof(*folded));
    tell_passed(list);
    if (list->foreign > 0)
        data_list_say(list, "%s: %d class names are no UTF-8 and were taken for Windows' code page 1252",
                      list->source, list->foreign);
    if (folded == NULL)
        return error_memory(err, "class names", count * sizeof(*folded));
    for (int32_t i = 0; i < list->class_count && st == ST_OK; i++) {
        folded[i] = (struct folded){.key = data_name_folded(list->classes[i].name), .class = i};
        if (folded[i].key == NULL)
            st = error_memory(err, "class names", strlen(list->classes[i].name));
    }
    if (st == ST_OK)
        qsort(folded, count, sizeof(*folded), compare_folded);
    for (size_t i = 1; i < count && st == ST_OK; i++)
        if (strcmp(folded[i].key, folded[i - 1].key) == 0)
            data_list_say(
                list, "%s: classes \"%s\" and \"%s\" look alike, but for case, blanks or Unicode form",
                list->source, list->classes[folded[i - 1].class].name, list->classes[folded[i].class].name);
    for (size_t i = 0; i < count; i++)
        free(folded[i].key);
    free(folded);
    return st;
}

void data_list_free(struct data_list *list)
{
    for (int32_t i = 0; i < list->count; i++)
        free(list->items[i].path);
    for (int32_t i = 0; i < list->class_count; i++)
        free(list->classes[i].name);
    for (int32_t i = 0; i < list->passed_count; i++)
        free(list->passed[i].name);
    free(list->items);
    free(list->classes);
    free(list->labels);
    free(list->passed);
    *list = (struct data_list){0};
}

/* Cuts off what tools and people put around the word of a split: seg_train, training_set, test-images. */
static void bare_word(const char *word, char *bare, size_t size)
{
    static const char *const ends[] = {"images", "data", "set", "split"};
    snprintf(bare, size, "%s", strncasecmp(word, "seg_", 4) == 0 ? word + 4 : word);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        size_t length = strlen(bare), end = strlen(ends[i]);
        if (length <= end || strcasecmp(bare + length - end, ends[i]) != 0)
            continue;
        length -= end;
        while (length > 1 && strchr("_- ", bare[length - 1]) != NULL)
            length--;
        bare[length] = '\0';
    }
}

int data_split_of_word(const char *word)
{
    static const struct {
        const char *word;
        int split;
    } words[] = {
        {"train", SPLIT_TRAIN},      {"training", SPLIT_TRAIN},      {"val", SPLIT_VALIDATION},
        {"valid", SPLIT_VALIDATION}, {"validate", SPLIT_VALIDATION}, {"validation", SPLIT_VALIDATION},
        {"dev", SPLIT_VALIDATION},   {"eval", SPLIT_VALIDATION},     {"evaluation", SPLIT_VALIDATION},
        {"test", SPLIT_TEST},        {"testing", SPLIT_TEST},
    };
    char bare[32];
    bare_word(word, bare, sizeof(bare));
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasecmp(bare, words[i].word) == 0)
            return words[i].split;
    return -1;
}

bool data_is_image_name(const char *name, bool *other)
{
    static const char *const readable[] = {".png",  ".webp", ".gif",  ".tif", ".tiff", ".bmp",   ".jpg",
                                           ".jpeg", ".jpe",  ".jfif", ".jfi", ".jif",  ".pjpeg", ".pjp"};
    static const char *const unreadable[] = {".heic", ".heif", ".avif", ".jp2", ".jxl", ".ppm",
                                             ".pgm",  ".pnm",  ".tga",  ".svg", ".ico"};
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
