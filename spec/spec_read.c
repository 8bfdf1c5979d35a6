/* Reading a job: defaults, then the file, then the command line, each value through spec_set_*; then
 * spec_check. */
#include "host/base/file.h"
#include "spec/schema.h"

#include <libconfig.h>
#include <stdlib.h>
#include <string.h>

/* One value on its way into the job. */
struct assignment {
    const struct spec_key *key;
    const struct spec_place *place;
    const config_setting_t *value;
};

/* What a message shows as found. */
static void found_text(const config_setting_t *value, char text[SPEC_TEXT_MAX])
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

/* `value` is the setting or the element of its list that is wrong. */
static enum status refuse_value(const struct assignment *a, enum status status, const config_setting_t *value,
                                struct error *err)
{
    char found[SPEC_TEXT_MAX], expected[SPEC_TEXT_MAX];
    found_text(value, found);
    spec_describe(a->key, expected);
    return spec_refuse(err, status, a->place, a->key->name, found, expected);
}

static bool is_list(const config_setting_t *value)
{
    return config_setting_is_list(value) || config_setting_is_array(value);
}

/* Elements of a list; a single value counts as a list of one. */
static int element_count(const config_setting_t *value)
{
    return is_list(value) ? config_setting_length(value) : 1;
}

static const config_setting_t *element(const config_setting_t *value, int i)
{
    return is_list(value) ? config_setting_get_elem(value, (unsigned)i) : value;
}

/* Whole numbers arrive as INT64 (spec_prepare_text); an INT is a hexadecimal one, cut to 32 bits by
 * libconfig. */
static enum status read_whole(const struct assignment *a, const config_setting_t *value, int64_t *number,
                              struct error *err)
{
    if (config_setting_type(value) != CONFIG_TYPE_INT64)
        return refuse_value(a, ST_FORMAT, value, err);
    long long found = config_setting_get_int64(value);
    if (!((double)found >= a->key->least && (double)found <= a->key->most))
        return refuse_value(a, ST_RANGE, value, err);
    *number = found;
    return ST_OK;
}

static enum status read_number(const struct assignment *a, const config_setting_t *value, double *number,
                               struct error *err)
{
    double found;
    if (config_setting_type(value) == CONFIG_TYPE_INT64)
        found = (double)config_setting_get_int64(value);
    else if (config_setting_type(value) == CONFIG_TYPE_FLOAT)
        found = config_setting_get_float(value);
    else
        return refuse_value(a, ST_FORMAT, value, err);
    if (!(found >= a->key->least && found <= a->key->most))
        return refuse_value(a, ST_RANGE, value, err);
    *number = found;
    return ST_OK;
}

/* Whether `text` is the choice, or one of those that a choice ending in ":N" stands for: a number of up to
 * four digits in the place of the N. */
static bool matches_choice(const char *choice, size_t length, const char *text)
{
    size_t head = length - 1;
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
static enum status read_text(const struct assignment *a, const config_setting_t *value, char **text,
                             struct error *err)
{
    if (config_setting_type(value) != CONFIG_TYPE_STRING)
        return refuse_value(a, ST_FORMAT, value, err);
    const char *found = config_setting_get_string(value);
    if (a->key->choices != NULL && !is_choice(a->key->choices, found))
        return refuse_value(a, ST_RANGE, value, err);
    char *copy = strdup(found);
    if (copy == NULL)
        return error_memory(err, a->key->name, strlen(found) + 1);
    free(*text);
    *text = copy;
    return ST_OK;
}

/* The number of the word among the key's. */
static enum status read_choice(const struct assignment *a, int *choice, struct error *err)
{
    if (config_setting_type(a->value) != CONFIG_TYPE_STRING)
        return refuse_value(a, ST_FORMAT, a->value, err);
    int found = spec_word(a->key->words, config_setting_get_string(a->value));
    if (found < 0)
        return refuse_value(a, ST_RANGE, a->value, err);
    *choice = found;
    return ST_OK;
}

static void clear_strings(struct job_strings *list)
{
    for (int i = 0; i < list->count; i++)
        free(list->items[i]);
    *list = (struct job_strings){0};
}

static enum status refuse_length(const struct assignment *a, struct error *err)
{
    char found[SPEC_TEXT_MAX], expected[SPEC_TEXT_MAX];
    snprintf(found, sizeof found, "a list of %d", element_count(a->value));
    snprintf(expected, sizeof expected, "at most %d", JOB_LIST_MAX);
    return spec_refuse(err, ST_RANGE, a->place, a->key->name, found, expected);
}

/* Choices: at least one, each once. */
static enum status read_strings(const struct assignment *a, struct job_strings *list, struct error *err)
{
    int count = element_count(a->value);
    if (count == 0)
        return refuse_value(a, ST_RANGE, a->value, err);
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
                snprintf(found, sizeof found, "\"%.200s\" twice", list->items[i]);
                return spec_refuse(err, ST_RANGE, a->place, a->key->name, found, "each at most once");
            }
    }
    return ST_OK;
}

static enum status read_numbers(const struct assignment *a, struct job_numbers *list, struct error *err)
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
            snprintf(found, sizeof found, "%.40s after %.40s", this, last);
            return spec_refuse(err, ST_RANGE, a->place, a->key->name, found, "rising numbers");
        }
    }
    if (a->key->type == SPEC_SIZE && read.count == 1) {
        read.items[1] = read.items[0];
        read.count = 2;
    }
    if (a->key->type == SPEC_SIZE && read.count != 0 && read.count != 2)
        return refuse_value(a, ST_RANGE, a->value, err);
    *list = read;
    return ST_OK;
}

static enum status assign(const struct assignment *a, struct job *job, struct error *err)
{
    void *field = spec_field(job, a->key);
    enum status st = ST_OK;
    int64_t whole = 0;
    switch (a->key->type) {
    case SPEC_WHOLE:
        st = read_whole(a, a->value, &whole, err);
        if (st == ST_OK)
            *(int32_t *)field = (int32_t)whole;
        return st;
    case SPEC_AUTO_WHOLE:
        if (config_setting_type(a->value) == CONFIG_TYPE_STRING &&
            strcmp(config_setting_get_string(a->value), "auto") == 0)
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
            return refuse_value(a, ST_FORMAT, a->value, err);
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

/* libconfig's message with the line it stopped at. */
static enum status refuse_syntax(const char *file, const char *text, const config_t *config,
                                 struct error *err)
{
    int line = config_error_line(config);
    const char *start = text;
    for (int i = 1; i < line && strchr(start, '\n') != NULL; i++)
        start = strchr(start, '\n') + 1;
    char copy[SPEC_TEXT_MAX], clean[SPEC_TEXT_MAX];
    start += strspn(start, " \t");
    snprintf(copy, sizeof copy, "%.*s", (int)strcspn(start, "\r\n"), start);
    spec_clean_text(copy, clean);
    return error_set(err, ST_FORMAT, "%s:%d: %s: found '%s'", file, line, config_error_text(config), clean);
}

/* Parses text into an initialised config. */
static enum status parse_text(const char *file, const char *text, size_t length, config_t *config,
                              struct error *err)
{
    char *prepared = NULL;
    enum status st = spec_prepare_text(file, text, length, &prepared, err);
    if (st == ST_OK && config_read_string(config, prepared) != CONFIG_TRUE)
        st = refuse_syntax(file, text, config, err);
    free(prepared);
    return st;
}

/* Parses a value that stands alone. *value is NULL when the text is not exactly one; that is no error here,
 * since the caller takes the text itself then. */
static enum status parse_value(const char *text, config_t *config, config_setting_t **value,
                               struct error *err)
{
    struct error syntax;
    *value = NULL;
    size_t size = strlen(text) + sizeof "value = \n";
    char *line = malloc(size);
    if (line == NULL)
        return error_memory(err, "a value", size);
    int length = snprintf(line, size, "value = %s\n", text);
    enum status st = parse_text("", line, (size_t)length, config, &syntax);
    if (st == ST_OK && config_setting_length(config_root_setting(config)) == 1)
        *value = config_setting_get_member(config_root_setting(config), "value");
    free(line);
    if (st == ST_MEMORY)
        *err = syntax;
    return st == ST_MEMORY ? st : ST_OK;
}

static enum status apply_defaults(const struct spec_place *place, struct job *job, struct error *err)
{
    enum status st = ST_OK;
    for (int i = 0; i < SPEC_KEY_COUNT && st == ST_OK; i++) {
        const struct spec_key *key = &spec_keys[i];
        struct assignment a = {.key = key, .place = place};
        config_setting_t *value = NULL;
        config_t config;
        config_init(&config);
        /* A required text is empty until it is given, so that the job never holds NULL. */
        st = parse_value(key->default_text != NULL ? key->default_text : "\"\"", &config, &value, err);
        a.value = value;
        if (st == ST_OK)
            st = assign(&a, job, err);
        config_destroy(&config);
    }
    return st;
}

static enum status apply_setting(const char *file, const char *name, const config_setting_t *value,
                                 struct job *job, struct spec_place *places, struct error *err)
{
    struct spec_place place = {.file = file, .line = (int)config_setting_source_line(value)};
    const struct spec_key *key = spec_find(name);
    if (key == NULL)
        return spec_refuse_unknown(err, &place, name);
    places[key - spec_keys] = place;
    struct assignment a = {.key = key, .place = &place, .value = value};
    return assign(&a, job, err);
}

static enum status apply_file(const char *file, const config_t *config, struct job *job,
                              struct spec_place *places, struct error *err)
{
    const config_setting_t *root = config_root_setting(config);
    for (int i = 0; i < config_setting_length(root); i++) {
        const config_setting_t *top = config_setting_get_elem(root, (unsigned)i);
        const char *section = config_setting_name(top);
        enum status st = ST_OK;
        if (!config_setting_is_group(top) && spec_is_section(section)) {
            struct spec_place place = {.file = file, .line = (int)config_setting_source_line(top)};
            char found[SPEC_TEXT_MAX];
            found_text(top, found);
            return spec_refuse(err, ST_FORMAT, &place, section, found, "a section { key = value; ... }");
        }
        bool has_keys = config_setting_is_group(top) && spec_find(section) == NULL &&
                        (spec_is_section(section) || config_setting_length(top) > 0);
        if (!has_keys)
            st = apply_setting(file, section, top, job, places, err);
        for (int j = 0; has_keys && j < config_setting_length(top) && st == ST_OK; j++) {
            const config_setting_t *value = config_setting_get_elem(top, (unsigned)j);
            char name[SPEC_TEXT_MAX];
            snprintf(name, sizeof name, "%s.%s", section, config_setting_name(value));
            st = apply_setting(file, name, value, job, places, err);
        }
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* Whether the command line's text is taken as it stands, quotes not needed. */
static bool is_bare_text(const struct spec_key *key, const char *text)
{
    switch (key->type) {
    case SPEC_CHOICE:
    case SPEC_TEXT:
    case SPEC_PATH:
        return text[0] != '"';
    case SPEC_CHOICES:
        return text[0] != '"' && text[0] != '[' && text[0] != '(';
    default:
        return false;
    }
}

/* A budget on the command line takes the place of one of another kind in the file. */
static void replace_budgets(const struct spec_key *key, struct job *job, struct spec_place *places)
{
    static const char section[] = "budget.";
    if (strncmp(key->name, section, sizeof section - 1) != 0)
        return;
    for (int i = 0; i < SPEC_KEY_COUNT; i++)
        if (strncmp(spec_keys[i].name, section, sizeof section - 1) == 0 && places[i].override == NULL) {
            *(struct job_numbers *)spec_field(job, &spec_keys[i]) = (struct job_numbers){0};
            places[i].line = 0;
        }
}

static enum status apply_override(const char *file, const char *text, struct job *job,
                                  struct spec_place *places, struct error *err)
{
    enum status st = ST_OK;
    struct spec_place place = {.file = file, .override = text};
    config_setting_t *value = NULL;
    config_t config;
    config_init(&config);
    const char *equals = strchr(text, '=');
    char *name = strndup(text, equals != NULL ? (size_t)(equals - text) : 0);
    if (name == NULL) {
        st = error_memory(err, "an override", strlen(text) + 1);
        goto out;
    }
    if (equals == NULL) {
        st = spec_refuse(err, ST_FORMAT, &place, "", "no =", "key=value");
        goto out;
    }
    const struct spec_key *key = spec_find(name);
    if (key == NULL) {
        st = spec_refuse_unknown(err, &place, name);
        goto out;
    }
    if (!is_bare_text(key, equals + 1))
        st = parse_value(equals + 1, &config, &value, err);
    if (st != ST_OK)
        goto out;
    if (value == NULL) { /* bare, or not a value at all: the text itself is what was found */
        config_destroy(&config);
        config_init(&config);
        value = config_setting_add(config_root_setting(&config), "value", CONFIG_TYPE_STRING);
        if (value == NULL || config_setting_set_string(value, equals + 1) != CONFIG_TRUE) {
            st = error_memory(err, "an override", strlen(text) + 1);
            goto out;
        }
    }
    replace_budgets(key, job, places);
    places[key - spec_keys] = place;
    struct assignment a = {.key = key, .place = &place, .value = value};
    st = assign(&a, job, err);
out:
    free(name);
    config_destroy(&config);
    return st;
}

enum status spec_read(const char *path, char *const *overrides, int override_count, struct job *job,
                      struct error *err)
{
    struct spec_place places[SPEC_KEY_COUNT];
    char *text = NULL;
    size_t length = 0;
    config_t config;

    *job = (struct job){0};
    config_init(&config);
    for (int i = 0; i < SPEC_KEY_COUNT; i++)
        places[i] = (struct spec_place){.file = path};
    enum status st = file_read(path, &text, &length, err);
    if (st != ST_OK)
        goto out;
    job->file = strdup(path);
    if (job->file == NULL) {
        st = error_memory(err, "the job file's name", strlen(path) + 1);
        goto out;
    }
    st = apply_defaults(&places[0], job, err);
    if (st != ST_OK)
        goto out;
    st = parse_text(path, text, length, &config, err);
    if (st != ST_OK)
        goto out;
    st = apply_file(path, &config, job, places, err);
    for (int i = 0; i < override_count && st == ST_OK; i++)
        st = apply_override(path, overrides[i], job, places, err);
    if (st == ST_OK)
        st = spec_check(job, places, err);
out:
    free(text);
    config_destroy(&config);
    if (st != ST_OK)
        spec_free(job);
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
