/* The schema table and the texts made from it. */
#include "spec/schema.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A choice is read and printed as an int. */
#define SPEC_CHOICE_KEY(section, field, words, default_text, meaning)                                        \
    _Static_assert(_Generic((enum job_##field *)0, unsigned * : 1, int * : 1, default : 0),                  \
                   "enum job_" #field ": not as wide as an int");
#include "spec/schema.def"

int spec_word(const char *const *words, const char *text)
{
    for (int i = 0; words[i] != NULL; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    return -1;
}

#define SPEC_WORD(constant, text) [JOB_##constant] = text,
#define SPEC_CHOICE_KEY(section, field, words, default_text, meaning)                                        \
    static const char *const field##_words[] = {words NULL};                                                 \
    const char *job_##field##_text(enum job_##field value)                                                   \
    {                                                                                                        \
        return field##_words[value];                                                                         \
    }
#include "spec/schema.def"

bool job_fit_of(const char *text, enum job_fit *value)
{
    const int found = spec_word(fit_words, text);
    if (found >= 0)
        *value = (enum job_fit)found;
    return found >= 0;
}

/* clang-format off */
const struct spec_key spec_keys[SPEC_KEY_COUNT] = {
#define SPEC_KEY(section, field, type, least, most, choices, unit, default_text, meaning) \
    {#section "." #field, SPEC_##type, offsetof(struct job, section.field), least, most, choices, NULL, unit, \
     default_text, meaning},
#define SPEC_LONE_KEY(field, type, least, most, choices, unit, default_text, meaning) \
    {#field, SPEC_##type, offsetof(struct job, field), least, most, choices, NULL, unit, default_text, meaning},
/* The choices are "|stretch|crop|pad" without the first '|'. */
#define SPEC_WORD(constant, text) "|" text
#define SPEC_CHOICE_KEY(section, field, words, default_text, meaning) \
    {#section "." #field, SPEC_CHOICE, offsetof(struct job, section.field), 0, 0, &(words)[1], field##_words, "", \
     default_text, meaning},
#include "spec/schema.def"
};
/* clang-format on */

const struct spec_key *spec_find(const char *name)
{
    for (int i = 0; i < SPEC_KEY_COUNT; i++)
        if (strcmp(spec_keys[i].name, name) == 0)
            return &spec_keys[i];
    return NULL;
}

bool spec_is_key(const char *name, size_t length)
{
    for (int i = 0; i < SPEC_KEY_COUNT; i++)
        if (strlen(spec_keys[i].name) == length && strncmp(spec_keys[i].name, name, length) == 0)
            return true;
    return false;
}

int spec_index(const char *name)
{
    const struct spec_key *key = spec_find(name);
    assert(key != NULL);
    return (int)(key - spec_keys);
}

int spec_section_length(const char *name)
{
    const char *point = strchr(name, '.');
    return point == NULL ? 0 : (int)(point - name) + 1;
}

bool spec_is_outside(const struct spec_key *key)
{
    static const char output[] = "output.", report[] = "report.";
    return strncmp(key->name, output, sizeof(output) - 1) == 0 ||
           strncmp(key->name, report, sizeof(report) - 1) == 0;
}

bool spec_is_section(const char *name)
{
    size_t length = strlen(name);
    for (int i = 0; i < SPEC_KEY_COUNT; i++)
        if (strncmp(spec_keys[i].name, name, length) == 0 && spec_keys[i].name[length] == '.')
            return true;
    return false;
}

bool spec_is_budget(const struct spec_key *key)
{
    return strncmp(key->name, "budget.", sizeof("budget.") - 1) == 0 &&
           (key->type == SPEC_RISING || key->type == SPEC_RISING_WHOLE);
}

void *spec_field(struct job *job, const struct spec_key *key)
{
    return (char *)job + key->offset;
}

const void *spec_field_const(const struct job *job, const struct spec_key *key)
{
    return (const char *)job + key->offset;
}

void spec_number_text(double value, bool point, char text[SPEC_TEXT_MAX])
{
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, SPEC_TEXT_MAX, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    /* "3.6e+03" is shorter than "3600", yet nobody writes it. */
    if (value > -1e15 && value < 1e15 && value == (double)(long long)value)
        snprintf(text, SPEC_TEXT_MAX, "%.0f", value);
    if (point && isfinite(value) && strpbrk(text, ".e") == NULL)
        strcat(text, ".0");
}

void spec_clean_text(const char *from, char text[SPEC_TEXT_MAX])
{
    enum { SHOWN = 80 };
    size_t length = 0;
    while (from[length] != '\0' && length < SHOWN) {
        unsigned char c = (unsigned char)from[length];
        text[length++] = c < ' ' || c == 127 ? '?' : (char)c;
    }
    strcpy(text + length, from[length] != '\0' ? "..." : "");
}

static bool ends_in(const char *text, const char *end)
{
    const size_t length = strlen(text), wanted = strlen(end);
    return length > wanted && strcmp(text + length - wanted, end) == 0;
}

bool job_start_is_onnx(const char *start)
{
    return ends_in(start, ".onnx");
}

bool job_start_is_file(const char *start)
{
    return ends_in(start, ".safetensors") || job_start_is_onnx(start);
}

bool job_has_baseline(const struct job *job)
{
    return strcmp(job->baseline.start.items[0], "none") != 0;
}

const char *job_baseline_start(const struct job *job)
{
    const char *start = job->baseline.start.items[0];
    return !job_has_baseline(job) || strcmp(start, "first") == 0 ? NULL : start;
}

/* "\"a\", \"b\"" from "a|b". */
static void list_choices(const char *choices, char text[SPEC_TEXT_MAX])
{
    size_t filled = 0;
    text[0] = '\0';
    while (*choices != '\0' && filled < SPEC_TEXT_MAX - 1) {
        size_t length = strcspn(choices, "|");
        int wrote = snprintf(text + filled, SPEC_TEXT_MAX - filled, "%s\"%.*s\"", filled > 0 ? ", " : "",
                             (int)length, choices);
        filled += (size_t)wrote;
        choices += length + (choices[length] == '|');
    }
}

void spec_describe(const struct spec_key *key, char text[SPEC_TEXT_MAX])
{
    char least[SPEC_TEXT_MAX], most[SPEC_TEXT_MAX], choices[SPEC_TEXT_MAX] = "";
    spec_number_text(key->least, false, least);
    spec_number_text(key->most, false, most);
    if (key->choices != NULL)
        list_choices(key->choices, choices);
    switch (key->type) {
    case SPEC_WHOLE:
    case SPEC_SEED:
        snprintf(text, SPEC_TEXT_MAX, "a whole number from %.20s to %.20s", least, most);
        break;
    case SPEC_AUTO_WHOLE:
        snprintf(text, SPEC_TEXT_MAX, "\"auto\" or a whole number from %.20s to %.20s", least, most);
        break;
    case SPEC_NUMBER:
        snprintf(text, SPEC_TEXT_MAX, "a number from %.20s to %.20s", least, most);
        break;
    case SPEC_SWITCH:
        snprintf(text, SPEC_TEXT_MAX, "true or false");
        break;
    case SPEC_CHOICE:
        snprintf(text, SPEC_TEXT_MAX, "one of %.200s", choices);
        break;
    case SPEC_TEXT:
        snprintf(text, SPEC_TEXT_MAX, "a text in quotes");
        break;
    case SPEC_PATH:
        snprintf(text, SPEC_TEXT_MAX, "an existing file or folder, in quotes");
        break;
    case SPEC_CHOICES:
        snprintf(text, SPEC_TEXT_MAX, "one or more of %.200s", choices);
        break;
    case SPEC_SIZE:
        snprintf(text, SPEC_TEXT_MAX, "[] or [height, width], whole numbers from %.20s to %.20s", least,
                 most);
        break;
    case SPEC_RISING:
        snprintf(text, SPEC_TEXT_MAX, "a number from %.20s to %.20s or a rising list of such", least, most);
        break;
    case SPEC_RISING_WHOLE:
        snprintf(text, SPEC_TEXT_MAX, "a whole number from %.20s to %.20s or a rising list of such", least,
                 most);
        break;
    }
}

/* "job.cfg:3" or "command line: budget.seconds=abc". */
static void location_text(const struct spec_location *location, char *text, size_t size)
{
    char clean[SPEC_TEXT_MAX];
    if (location->override != NULL) {
        spec_clean_text(location->override, clean);
        snprintf(text, size, "command line: %s", clean);
    } else if (location->line > 0) {
        snprintf(text, size, "%s:%d", location->file, location->line);
    } else {
        snprintf(text, size, "%s", location->file);
    }
}

enum status spec_refuse(struct error *err, enum status status, const struct spec_location *location,
                        const char *name, const char *found, const char *expected)
{
    char where[ERROR_LENGTH];
    location_text(location, where, sizeof(where));
    if (location->override != NULL)
        return error_set(err, status, "%s: found %s, expected %s", where, found, expected);
    return error_set(err, status, "%s: %s: found %s, expected %s", where, name, found, expected);
}

enum status spec_refuse_unknown(struct error *err, const struct spec_location *location, const char *name)
{
    char where[ERROR_LENGTH], clean[SPEC_TEXT_MAX];
    const char *near = spec_suggest(name);
    location_text(location, where, sizeof(where));
    spec_clean_text(name, clean);
    if (near != NULL)
        return error_set(err, ST_FORMAT, "%s: unknown key '%s', did you mean '%s'?", where, clean, near);
    return error_set(err, ST_FORMAT,
                     "%s: unknown key '%s', expected a key of the reference (nasrun --print-spec)", where,
                     clean);
}
