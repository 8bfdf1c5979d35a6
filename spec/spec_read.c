/* Reading a job: defaults, then the file, then the command line, each value through spec_assign; then
 * spec_check. */
#include "host/base/file.h"
#include "spec/spec_value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
    snprintf(copy, sizeof(copy), "%.*s", (int)strcspn(start, "\r\n"), start);
    spec_clean_text(copy, clean);
    return error_set(err, ST_FORMAT, "%s:%d: %s: found '%s'", file, line, config_error_text(config), clean);
}

/* Parses text into an initialised config. */
static enum status parse_text(const char *file, const char *text, size_t length, config_t *config,
                              struct error *err)
{
    char *prepared = NULL;
    enum status st = spec_prepare_text(file, text, length, &prepared, err);
    errno = 0;
    if (st == ST_OK && config_read_string(config, prepared) != CONFIG_TRUE)
        st = refuse_syntax(file, text, config, err);
    if (errno == ENOMEM) /* libconfig leaves out what it had no memory for */
        st = error_memory(err, file, length);
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

static enum status apply_defaults(const struct spec_location *location, struct job *job, struct error *err)
{
    enum status st = ST_OK;
    for (int i = 0; i < SPEC_KEY_COUNT && st == ST_OK; i++) {
        const struct spec_key *key = &spec_keys[i];
        struct spec_assignment a = {.key = key, .location = location};
        config_setting_t *value = NULL;
        config_t config;
        config_init(&config);
        /* A required text is empty until it is given, so that the job never holds NULL. */
        st = parse_value(key->default_text != NULL ? key->default_text : "\"\"", &config, &value, err);
        a.value = value;
        if (st == ST_OK)
            st = spec_assign(&a, job, err);
        if (spec_is_searched(key)) /* nobody has fixed it */
            spec_range(job, key)->kind = JOB_RANGE_OPEN;
        config_destroy(&config);
    }
    return st;
}

/* search.baseline = true or false, which older versions had for what baseline.start says now: their runs are gone on
 * with. */
static enum status apply_older_baseline(const struct spec_location *location, const config_setting_t *value,
                                        struct job *job, struct spec_location *locations, struct error *err)
{
    char found[SPEC_TEXT_MAX];
    spec_found_text(value, found);
    if (config_setting_type(value) != CONFIG_TYPE_BOOL)
        return spec_refuse(err, ST_FORMAT, location, "search.baseline", found, "true or false");
    char **start = &job->baseline.start.items[0];
    char *copy = strdup(config_setting_get_bool(value) ? "first" : "none");
    if (copy == NULL)
        return error_memory(err, "baseline.start", sizeof("first"));
    free(*start);
    *start = copy;
    locations[spec_index("baseline.start")] = *location;
    return ST_OK;
}

static enum status apply_setting(const char *file, const char *name, const config_setting_t *value,
                                 struct job *job, struct spec_location *locations, struct error *err)
{
    struct spec_location location = {.file = file, .line = (int)config_setting_source_line(value)};
    const struct spec_key *key = spec_find(name);
    if (key == NULL && strcmp(name, "search.baseline") == 0)
        return apply_older_baseline(&location, value, job, locations, err);
    if (key == NULL)
        return spec_refuse_unknown(err, &location, name);
    locations[key - spec_keys] = location;
    struct spec_assignment a = {.key = key, .location = &location, .value = value};
    return spec_assign(&a, job, err);
}

static enum status apply_file(const char *file, const config_t *config, struct job *job,
                              struct spec_location *locations, struct error *err)
{
    const config_setting_t *root = config_root_setting(config);
    for (int i = 0; i < config_setting_length(root); i++) {
        const config_setting_t *top = config_setting_get_elem(root, (unsigned)i);
        const char *section = config_setting_name(top);
        enum status st = ST_OK;
        if (!config_setting_is_group(top) && spec_is_section(section)) {
            struct spec_location location = {.file = file, .line = (int)config_setting_source_line(top)};
            char found[SPEC_TEXT_MAX];
            spec_found_text(top, found);
            return spec_refuse(err, ST_FORMAT, &location, section, found, "a section { key = value; ... }");
        }
        bool has_keys = config_setting_is_group(top) && spec_find(section) == NULL &&
                        (spec_is_section(section) || config_setting_length(top) > 0);
        if (!has_keys)
            st = apply_setting(file, section, top, job, locations, err);
        for (int j = 0; has_keys && j < config_setting_length(top) && st == ST_OK; j++) {
            const config_setting_t *value = config_setting_get_elem(top, (unsigned)j);
            char name[SPEC_TEXT_MAX];
            snprintf(name, sizeof(name), "%s.%s", section, config_setting_name(value));
            st = apply_setting(file, name, value, job, locations, err);
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
static void replace_budgets(const struct spec_key *key, struct job *job, struct spec_location *locations)
{
    if (!spec_is_budget(key))
        return;
    for (int i = 0; i < SPEC_KEY_COUNT; i++)
        if (spec_is_budget(&spec_keys[i]) && locations[i].override == NULL) {
            *(struct job_numbers *)spec_field(job, &spec_keys[i]) = (struct job_numbers){0};
            locations[i].line = 0;
        }
}

static enum status apply_override(const char *file, const char *text, struct job *job,
                                  struct spec_location *locations, struct error *err)
{
    enum status st = ST_OK;
    struct spec_location location = {.file = file, .override = text};
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
        st = spec_refuse(err, ST_FORMAT, &location, "", "no =", "key=value");
        goto out;
    }
    const struct spec_key *key = spec_find(name);
    if (key == NULL) {
        st = spec_refuse_unknown(err, &location, name);
        goto out;
    }
    if (!is_bare_text(key, equals + 1))
        st = parse_value(equals + 1, &config, &value, err);
    if (st != ST_OK)
        goto out;
    if (value == NULL) { /* bare, or not a value at all: the text itself is what was found */
        config_destroy(&config);
        config_init(&config);
        errno = 0;
        value = config_setting_add(config_root_setting(&config), "value", CONFIG_TYPE_STRING);
        if (value == NULL || config_setting_set_string(value, equals + 1) != CONFIG_TRUE || errno == ENOMEM) {
            st = error_memory(err, "an override", strlen(text) + 1);
            goto out;
        }
    }
    replace_budgets(key, job, locations);
    locations[key - spec_keys] = location;
    struct spec_assignment a = {.key = key, .location = &location, .value = value};
    st = spec_assign(&a, job, err);
out:
    free(name);
    config_destroy(&config);
    return st;
}

/* `check`: what no single key can tell is checked, and filled in, as well. */
static enum status read_text(const char *name, const char *text, size_t length, char *const *overrides,
                             int override_count, bool check, struct job *job, struct error *err)
{
    struct spec_location locations[SPEC_KEY_COUNT];
    config_t config;

    *job = (struct job){0};
    config_init(&config);
    for (int i = 0; i < SPEC_KEY_COUNT; i++)
        locations[i] = (struct spec_location){.file = name};
    enum status st = ST_OK;
    job->file = strdup(name);
    if (job->file == NULL) {
        st = error_memory(err, "the job file's name", strlen(name) + 1);
        goto out;
    }
    st = apply_defaults(&locations[0], job, err);
    if (st != ST_OK)
        goto out;
    st = parse_text(name, text, length, &config, err);
    if (st != ST_OK)
        goto out;
    st = apply_file(name, &config, job, locations, err);
    for (int i = 0; i < override_count && st == ST_OK; i++)
        st = apply_override(name, overrides[i], job, locations, err);
    if (st == ST_OK && check)
        st = spec_check(job, locations, err);
out:
    config_destroy(&config);
    if (st != ST_OK)
        spec_free(job);
    return st;
}

enum status spec_read_text(const char *name, const char *text, size_t length, char *const *overrides,
                           int override_count, struct job *job, struct error *err)
{
    return read_text(name, text, length, overrides, override_count, true, job, err);
}

enum status spec_read_written(const char *name, const char *text, size_t length, struct job *job,
                              struct error *err)
{
    return read_text(name, text, length, NULL, 0, false, job, err);
}

enum status spec_read(const char *path, char *const *overrides, int override_count, struct job *job,
                      struct error *err)
{
    char *text = NULL;
    size_t length = 0;
    *job = (struct job){0};
    enum status st = file_read(path, &text, &length, err);
    if (st == ST_OK)
        st = spec_read_text(path, text, length, overrides, override_count, job, err);
    free(text);
    return st;
}
