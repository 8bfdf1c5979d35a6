/* Values into the job's fields, each by the type that the schema gives its key; and what becomes of them. */
#include "spec/spec_value.h"

#include <stdlib.h>
#include <string.h>

void spec_found_text(const config_setting_t *value, char text[SPEC_TEXT_MAX])
{
    char inner[SPEC_TEXT_MAX];
    switch (config_setting_type(value)) {
    case CONFIG_TYPE_INT:
        snprintf(text, SPEC_TEXT_MAX, "0x%X (hexadecimal)", (unsigned)config_setting_get_int(value));
        break;
    case CONFIG_TYPE_INT64:
        snprintf(text, SPEC_TEXT_MAX, "%lld", config_setting_get_int64(value));
        break;
    case CONFIG_TYPE_FLOAT:
        spec_number_text(config_setting_get_float(value), true, text);
        break;
    case CONFIG_TYPE_STRING:
        spec_clean_text(config_setting_get_string(value), inner);
        snprintf(text, SPEC_TEXT_MAX, "\"%.200s\"", inner);
        break;
    case CONFIG_TYPE_BOOL:
        snprintf(text, SPEC_TEXT_MAX, "%s", config_setting_get_bool(value) ? "true" : "false");
        break;
    case CONFIG_TYPE_GROUP:
        snprintf(text, SPEC_TEXT_MAX, "a section");
        break;
    default:
        snprintf(text, SPEC_TEXT_MAX, "a list of %d", config_setting_length(value));
        break;
    }
}

/* Whether several values were given for a number of section train that can't be searched. */
static bool is_needless_range(const struct spec_assignment *a, const config_setting_t *value)
{
    const enum spec_type type = a->key->type;
    return (type == SPEC_WHOLE || type == SPEC_AUTO_WHOLE || type == SPEC_NUMBER) &&
           strncmp(a->key->name, "train.", 6) == 0 && !spec_is_searched(a->key) &&
           (config_setting_is_group(value) || spec_is_list(value));
}

enum status spec_refuse_value(const struct spec_assignment *a, enum status status,
                              const config_setting_t *value, struct error *err)
{
    char found[SPEC_TEXT_MAX], described[SPEC_TEXT_MAX], names[SPEC_TEXT_MAX], expected[2 * SPEC_TEXT_MAX];
    spec_describe(a->key, described);
    if (is_needless_range(a, value)) {
        spec_list_searched(names);
        snprintf(expected, sizeof(expected), "%.250s (the search chooses %.200s only)", described, names);
        return spec_refuse(err, status, a->location, a->key->name, "a range", expected);
    }
    spec_found_text(value, found);
    return spec_refuse(err, status, a->location, a->key->name, found, described);
}

bool spec_is_list(const config_setting_t *value)
{
    return config_setting_is_list(value) || config_setting_is_array(value);
}

/* Elements of a list; a single value counts as a list of one. */
static int element_count(const config_setting_t *value)
{
    return spec_is_list(value) ? config_setting_length(value) : 1;
}

static const config_setting_t *element(const config_setting_t *value, int i)
{
    return spec_is_list(value) ? config_setting_get_elem(value, (unsigned)i) : value;
}

/* Whole numbers arrive as INT64 (spec_prepare_text); an INT is a hexadecimal one, cut to 32 bits by
 * libconfig. */
static enum status read_whole(const struct spec_assignment *a, const config_setting_t *value, int64_t *number,
                              struct error *err)
{
    if (config_setting_type(value) != CONFIG_TYPE_INT64)
        return spec_refuse_value(a, ST_FORMAT, value, err);
    long long found = config_setting_get_int64(value);
    if (!((double)found >= a->key->least && (double)found <= a->key->most))
        return spec_refuse_value(a, ST_RANGE, value, err);
    *number = found;
    return ST_OK;
}

static enum status read_number(const struct spec_assignment *a, const config_setting_t *value, double *number,
                               struct error *err)
{
    double found;
    if (config_setting_type(value) == CONFIG_TYPE_INT64)
        found = (double)config_setting_get_int64(value);
    else if (config_setting_type(value) == CONFIG_TYPE_FLOAT)
        found = config_setting_get_float(value);
    else
        return spec_refuse_value(a, ST_FORMAT, value, err);
    if (!(found >= a->key->least && found <= a->key->most))
        return spec_refuse_value(a, ST_RANGE, value, err);
    *number = found;
    return ST_OK;
}

enum status spec_value_number(const struct spec_assignment *a, const config_setting_t *value, double *number,
                              struct error *err)
{
    int64_t whole = 0;
    if (a->key->type == SPEC_NUMBER)
        return read_number(a, value, number, err);
    enum status st = read_whole(a, value, &whole, err);
    if (st == ST_OK)
        *number = (double)whole;
    return st;
}

/* Of "FILE.safetensors": what any path stands for. */
enum { FILE_WORD = sizeof("FILE") - 1 };

/* Whether `text` is the choice, or one of those that a choice ending in ":N" stands for: a number of up to
 * four digits in the place of the N; or, for one with a '=', has something on both sides of one; or ends as one that
 * begins with "FILE." does. */
static bool matches_choice(const char *choice, size_t length, const char *text)
{
    size_t head = length - 1;
    const char *equals = strrchr(text, '=');
    if (length > FILE_WORD && strncmp(choice, "FILE.", FILE_WORD + 1) == 0)
        return strlen(text) > length - FILE_WORD && memcmp(text + strlen(text) - (length - FILE_WORD),
                                                           choice + FILE_WORD, length - FILE_WORD) == 0;
    if (memchr(choice, '=', length) != NULL)
        return equals != NULL && equals > text && equals[1] != '\0';
    if (strlen(text) == length && memcmp(choice, text, length) == 0)
        return true;
    if (length < 2 || memcmp(choice + length - 2, ":N", 2) != 0 || strncmp(choice, text, head) != 0)
        return false;
    size_t digits = strspn(text + head, "0123456789");
    return digits >= 1 && digits <= 4 && text[head + digits] == '\0';
}

static bool is_choice(const char *choices, const char *text)
{
    while (*choices != '\0') {
        size_t choice = strcspn(choices, "|");
        if (matches_choice(choices, choice, text))
            return true;
        choices += choice + (choices[choice] == '|');
    }
    return false;
}

/* Replaces *text, which may be NULL, by a copy of the setting's text. */
static enum status read_text(const struct spec_assignment *a, const config_setting_t *value, char **text,
                             struct error *err)
{
    if (config_setting_type(value) != CONFIG_TYPE_STRING)
        return spec_refuse_value(a, ST_FORMAT, value, err);
    const char *found = config_setting_get_string(value);
    if (a->key->choices != NULL && !is_choice(a->key->choices, found))
        return spec_refuse_value(a, ST_RANGE, value, err);
    char *copy = strdup(found);
    if (copy == NULL)
        return error_memory(err, a->key->name, strlen(found) + 1);
    free(*text);
    *text = copy;
    return ST_OK;
}

/* The number of the word among the key's. */
static enum status read_choice(const struct spec_assignment *a, int *choice, struct error *err)
{
    if (config_setting_type(a->value) != CONFIG_TYPE_STRING)
        return spec_refuse_value(a, ST_FORMAT, a->value, err);
    int found = spec_word(a->key->words, config_setting_get_string(a->value));
    if (found < 0)
        return spec_refuse_value(a, ST_RANGE, a->value, err);
    *choice = found;
    return ST_OK;
}

static void clear_strings(struct job_strings *list)
{
    for (int i = 0; i < list->count; i++)
        free(list->items[i]);
    *list = (struct job_strings){0};
}

static enum status refuse_length(const struct spec_assignment *a, struct error *err)
{
    char found[SPEC_TEXT_MAX], expected[SPEC_TEXT_MAX];
    snprintf(found, sizeof(found), "a list of %d", element_count(a->value));
    snprintf(expected, sizeof(expected), "at most %d", JOB_LIST_MAX);
    return spec_refuse(err, ST_RANGE, a->location, a->key->name, found, expected);
}

/* Choices: at least one, each once. */
static enum status read_strings(const struct spec_assignment *a, struct job_strings *list, struct error *err)
{
    int count = element_count(a->value);
    if (count == 0)
        return spec_refuse_value(a, ST_RANGE, a->value, err);
    if (count > JOB_LIST_MAX)
        return refuse_length(a, err);
    clear_strings(list);
    for (int i = 0; i < count; i++) {
        const config_setting_t *value = element(a->value, i);
        enum status st = read_text(a, value, &list->items[i], err);
        if (st != ST_OK)
            return st;
        list->count = i + 1;
        for (int j = 0; j < i; j++)
            if (strcmp(list->items[i], list->items[j]) == 0) {
                char found[SPEC_TEXT_MAX];
                snprintf(found, sizeof(found), "\"%.200s\" twice", list->items[i]);
                return spec_refuse(err, ST_RANGE, a->location, a->key->name, found, "each at most once");
            }
    }
    return ST_OK;
}

static enum status read_numbers(const struct spec_assignment *a, struct job_numbers *list, struct error *err)
{
    struct job_numbers read = {.count = element_count(a->value)};
    bool rising = a->key->type != SPEC_SIZE;
    if (read.count > JOB_LIST_MAX)
        return refuse_length(a, err);
    for (int i = 0; i < read.count; i++) {
        int64_t whole = 0;
        enum status st = a->key->type == SPEC_RISING
                             ? read_number(a, element(a->value, i), &read.items[i], err)
                             : read_whole(a, element(a->value, i), &whole, err);
        if (st != ST_OK)
            return st;
        if (a->key->type != SPEC_RISING)
            read.items[i] = (double)whole;
        if (rising && i > 0 && !(read.items[i] > read.items[i - 1])) {
            char last[SPEC_TEXT_MAX], this[SPEC_TEXT_MAX], found[SPEC_TEXT_MAX];
            spec_number_text(read.items[i - 1], false, last);
            spec_number_text(read.items[i], false, this);
            snprintf(found, sizeof(found), "%.40s after %.40s", this, last);
            return spec_refuse(err, ST_RANGE, a->location, a->key->name, found, "rising numbers");
        }
    }
    if (a->key->type == SPEC_SIZE && read.count == 1) {
        read.items[1] = read.items[0];
        read.count = 2;
    }
    if (a->key->type == SPEC_SIZE && read.count != 0 && read.count != 2)
        return spec_refuse_value(a, ST_RANGE, a->value, err);
    *list = read;
    return ST_OK;
}

bool spec_is_auto(const config_setting_t *value)
{
    return config_setting_type(value) == CONFIG_TYPE_STRING &&
           strcmp(config_setting_get_string(value), "auto") == 0;
}

/* A key that the search may choose a value for: its range, and what it begins with. */
static enum status assign_searched(const struct spec_assignment *a, struct job *job, struct error *err)
{
    struct job_range *range = spec_range(job, a->key);
    void *field = spec_field(job, a->key);
    double value = JOB_AUTO;
    enum status st = ST_OK;
    *range = (struct job_range){.kind = JOB_RANGE_OPEN, .whole = a->key->type != SPEC_NUMBER};
    if (spec_is_list(a->value) || config_setting_is_group(a->value)) {
        st = spec_value_range(a, range, err);
        value = range->kind == JOB_RANGE_BETWEEN ? job_range_value(range, 0.5) : range->values.items[0];
    } else if (!spec_is_auto(a->value)) {
        st = spec_value_number(a, a->value, &value, err);
        range->kind = JOB_RANGE_FIXED;
    } else if (a->key->type == SPEC_NUMBER) {
        value = strtod(a->key->default_text, NULL);
    }
    if (st == ST_OK && a->key->type == SPEC_NUMBER)
        *(double *)field = value;
    else if (st == ST_OK)
        *(int32_t *)field = (int32_t)value;
    return st;
}

enum status spec_assign(const struct spec_assignment *a, struct job *job, struct error *err)
{
    void *field = spec_field(job, a->key);
    enum status st = ST_OK;
    int64_t whole = 0;
    if (spec_is_searched(a->key))
        return assign_searched(a, job, err);
    switch (a->key->type) {
    case SPEC_WHOLE:
    case SPEC_AUTO_WHOLE:
        if (a->key->type == SPEC_AUTO_WHOLE && spec_is_auto(a->value))
            whole = JOB_AUTO;
        else
            st = read_whole(a, a->value, &whole, err);
        if (st == ST_OK)
            *(int32_t *)field = (int32_t)whole;
        return st;
    case SPEC_SEED:
        return read_whole(a, a->value, field, err);
    case SPEC_NUMBER:
        return read_number(a, a->value, field, err);
    case SPEC_SWITCH:
        if (config_setting_type(a->value) != CONFIG_TYPE_BOOL)
            return spec_refuse_value(a, ST_FORMAT, a->value, err);
        *(bool *)field = config_setting_get_bool(a->value) == CONFIG_TRUE;
        return ST_OK;
    case SPEC_CHOICE:
        return read_choice(a, field, err);
    case SPEC_TEXT:
    case SPEC_PATH:
        return read_text(a, a->value, field, err);
    case SPEC_CHOICES:
        return read_strings(a, field, err);
    case SPEC_SIZE:
    case SPEC_RISING:
    case SPEC_RISING_WHOLE:
        return read_numbers(a, field, err);
    }
    return st;
}

void spec_free(struct job *job)
{
    for (int i = 0; i < SPEC_KEY_COUNT; i++) {
        void *field = spec_field(job, &spec_keys[i]);
        switch (spec_keys[i].type) {
        case SPEC_TEXT:
        case SPEC_PATH:
            free(*(char **)field);
            break;
        case SPEC_CHOICES:
            clear_strings(field);
            break;
        default:
            break;
        }
    }
    free(job->file);
    *job = (struct job){0};
}
