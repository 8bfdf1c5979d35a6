/* Printing: one value, a whole job, the reference. */
#include "spec/schema.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A text in quotes that libconfig reads back as the same bytes. */
static void print_quoted(const char *text, FILE *out)
{
    fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if (*c < ' ' || *c == 127)
            fprintf(out, "\\x%02X", *c);
        else
            fputc(*c, out);
    }
    fputc('"', out);
}

static void print_number(double value, bool point, FILE *out)
{
    char text[SPEC_TEXT_MAX];
    spec_number_text(value, point, text);
    fputs(text, out);
}

/* Where the search may choose the value; false where the job has fixed it. */
static bool print_searched(const struct job *job, const struct spec_key *key, FILE *out)
{
    const struct job_range *range = spec_range_const(job, key);
    if (range == NULL || range->kind == JOB_RANGE_FIXED)
        return false;
    if (range->kind == JOB_RANGE_OPEN)
        print_quoted("auto", out);
    else
        spec_print_range(range, out);
    return true;
}

void spec_print_value(const struct job *job, const struct spec_key *key, FILE *out)
{
    const void *field = spec_field_const(job, key);
    if (print_searched(job, key, out))
        return;
    switch (key->type) {
    case SPEC_WHOLE:
        fprintf(out, "%" PRId32, *(const int32_t *)field);
        break;
    case SPEC_AUTO_WHOLE:
        if (*(const int32_t *)field == JOB_AUTO)
            print_quoted("auto", out);
        else
            fprintf(out, "%" PRId32, *(const int32_t *)field);
        break;
    case SPEC_SEED:
        fprintf(out, "%" PRId64, *(const int64_t *)field);
        break;
    case SPEC_NUMBER:
        print_number(*(const double *)field, true, out);
        break;
    case SPEC_SWITCH:
        fputs(*(const bool *)field ? "true" : "false", out);
        break;
    case SPEC_CHOICE:
        print_quoted(key->words[*(const int *)field], out);
        break;
    case SPEC_TEXT:
    case SPEC_PATH:
        print_quoted(*(char *const *)field, out);
        break;
    case SPEC_CHOICES: {
        const struct job_strings *list = field;
        fputc('[', out);
        for (int i = 0; i < list->count; i++) {
            fputs(i > 0 ? ", " : "", out);
            print_quoted(list->items[i], out);
        }
        fputc(']', out);
        break;
    }
    case SPEC_SIZE:
    case SPEC_RISING:
    case SPEC_RISING_WHOLE: {
        const struct job_numbers *list = field;
        fputc('[', out);
        for (int i = 0; i < list->count; i++) {
            fputs(i > 0 ? ", " : "", out);
            print_number(list->items[i], key->type == SPEC_RISING, out);
        }
        fputc(']', out);
        break;
    }
    }
}

char *spec_value_text(const struct job *job, const struct spec_key *key)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    if (stream == NULL)
        return NULL;
    spec_print_value(job, key, stream);
    if (fclose(stream) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* Whether both keys are in the same section, or both in none. */
static bool same_section(int i, int j)
{
    int length = spec_section_length(spec_keys[i].name);
    return length == spec_section_length(spec_keys[j].name) &&
           strncmp(spec_keys[i].name, spec_keys[j].name, (size_t)length) == 0;
}

/* Whether the key is the first of its section, or of those in none. */
static bool begins_section(int i)
{
    return i == 0 || !same_section(i, i - 1);
}

static bool ends_section(int i)
{
    return i + 1 == SPEC_KEY_COUNT || begins_section(i + 1);
}

/* What "auto" stands for, where that is a number: as a comment. */
static void print_auto_number(const struct job *job, const struct spec_key *key, FILE *out)
{
    const struct job_range *range = spec_range_const(job, key);
    if (range == NULL || range->kind != JOB_RANGE_OPEN || key->type != SPEC_NUMBER)
        return;
    fprintf(out, " # ");
    print_number(*(const double *)spec_field_const(job, key), true, out);
}

const char spec_written_mark[] = "# A nasrun job with every key filled in.";

/* `whole`: with the keys that say nothing of what a run does. */
static enum status write_keys(const struct job *job, bool whole, FILE *out, struct error *err)
{
    for (int i = 0; i < SPEC_KEY_COUNT; i++) {
        const struct spec_key *key = &spec_keys[i];
        int length = spec_section_length(key->name);
        if (!whole && spec_is_outside(key))
            continue;
        if (length > 0 && begins_section(i))
            fprintf(out, "%.*s = {\n", length - 1, key->name);
        fprintf(out, "%s%s = ", length > 0 ? "    " : "", key->name + length);
        spec_print_value(job, key, out);
        fprintf(out, ";");
        print_auto_number(job, key, out);
        fprintf(out, "\n");
        if (length > 0 && ends_section(i))
            fprintf(out, "};\n");
    }
    if (ferror(out))
        return error_set(err, ST_IO, "writing the job failed");
    return ST_OK;
}

enum status spec_write(const struct job *job, FILE *out, struct error *err)
{
    fprintf(out, "%s\n", spec_written_mark);
    return write_keys(job, true, out, err);
}

char *spec_run_text(const struct job *job)
{
    struct error err;
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    enum status st = stream != NULL ? write_keys(job, false, stream, &err) : ST_MEMORY;
    if (stream != NULL && fclose(stream) != 0)
        st = ST_MEMORY;
    if (st == ST_OK)
        return text;
    free(text);
    return NULL;
}

/* Put before the default of a number that the search may choose: nobody has fixed it then. */
static const char *default_word(const struct spec_key *key)
{
    return spec_is_searched(key) && key->type == SPEC_NUMBER ? "\"auto\": " : "";
}

static void print_key_text(const struct spec_key *key, FILE *out)
{
    char expected[SPEC_TEXT_MAX];
    spec_describe_all(key, expected);
    fprintf(out, "%s (%s%s)\n", key->name, default_word(key),
            key->default_text != NULL ? key->default_text : "required");
    fprintf(out, "    %s\n", key->meaning);
    fprintf(out, "    %s", expected);
    if (key->unit[0] != '\0')
        fprintf(out, "; unit: %s", key->unit);
    fprintf(out, "\n");
}

static void print_key_markdown(int i, FILE *out)
{
    const struct spec_key *key = &spec_keys[i];
    char expected[SPEC_TEXT_MAX];
    spec_describe_all(key, expected);
    int length = spec_section_length(key->name);
    if (begins_section(i) && length > 0)
        fprintf(out, "\n## %.*s\n", length - 1, key->name);
    else if (begins_section(i))
        fprintf(out, "\n## Outside of sections\n");
    if (begins_section(i))
        fprintf(out, "\n| key | value | unit | default | meaning |\n|---|---|---|---|---|\n");
    fprintf(out, "| `%s` | %s | %s | ", key->name, expected, key->unit);
    if (key->default_text != NULL)
        fprintf(out, "%s`%s`", default_word(key), key->default_text);
    else
        fprintf(out, "required");
    fprintf(out, " | %s |\n", key->meaning);
}

const char spec_reference_introduction[] =
    "A job file is written in libconfig's format: sections `name = { key = value; };`, texts in quotes,\n"
    "lists in brackets, comments behind `#`. One value may stand where a list is expected, and a whole\n"
    "number where any number is. `nasrun job.cfg budget.seconds=600` overrides a key for one run.\n"
    "\n"
    "Where a list or a range is allowed the search chooses the value. `learning_rate = 0.1;` fixes it,\n"
    "`learning_rate = [0.1, 0.2, 0.4];` has it tried, beginning with the first, and\n"
    "`learning_rate = { min = 0.01; max = 1.0; scale = \"log\"; };` within two bounds, beginning in the\n"
    "middle. The scale is \"log\" or \"linear\", and may be left out. On the command line:\n"
    "`train.learning_rate='{ min = 0.01; max = 1; }'`. With \"auto\" it is the default, and the search may\n"
    "try others where the budget pays for that.\n";

void spec_print_reference(FILE *out, bool markdown)
{
    if (markdown)
        fprintf(out, "# The job file\n\n"
                     "Made from `spec/schema.def` by `spec_print_reference`; edits belong there.\n\n");
    fputs(spec_reference_introduction, out);
    if (!markdown)
        fprintf(out, "In parentheses: the default.\n\n");
    for (int i = 0; i < SPEC_KEY_COUNT; i++) {
        if (markdown)
            print_key_markdown(i, out);
        else
            print_key_text(&spec_keys[i], out);
    }
}
