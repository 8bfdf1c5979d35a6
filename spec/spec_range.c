/* Ranges: values that the search may choose from, instead of one that the job fixes. */
#include "spec/spec_value.h"

#include <math.h>
#include <string.h>

static const struct searched {
    const char *name;
    size_t offset; /* of its range in struct job */
    enum job_range_scale usual_scale;
} searched[] = {
#define ROW(field, usual_scale)                                                                              \
    {"train." #field, offsetof(struct job, ranges.field), JOB_RANGE_##usual_scale},
    JOB_SEARCHED(ROW)
#undef ROW
};
enum { SEARCHED_COUNT = sizeof(searched) / sizeof(searched[0]) };

static const char *const scales[] = {[JOB_RANGE_LOG] = "log", [JOB_RANGE_LINEAR] = "linear", NULL};

/* ---- which keys have one ---- */

static const struct searched *find(const struct spec_key *key)
{
    for (int i = 0; i < SEARCHED_COUNT; i++)
        if (strcmp(searched[i].name, key->name) == 0)
            return &searched[i];
    return NULL;
}

bool spec_is_searched(const struct spec_key *key)
{
    return find(key) != NULL;
}

struct job_range *spec_range(struct job *job, const struct spec_key *key)
{
    const struct searched *row = find(key);
    return row != NULL ? (struct job_range *)((char *)job + row->offset) : NULL;
}

const struct job_range *spec_range_const(const struct job *job, const struct spec_key *key)
{
    const struct searched *row = find(key);
    return row != NULL ? (const struct job_range *)((const char *)job + row->offset) : NULL;
}

/* ---- places ---- */

double job_range_value(const struct job_range *range, double place)
{
    const double value = range->scale == JOB_RANGE_LOG ? range->min * pow(range->max / range->min, place)
                                                       : range->min + (range->max - range->min) * place;
    return fmin(fmax(range->whole ? rint(value) : value, range->min), range->max);
}

double job_range_place(const struct job_range *range, double value)
{
    const double inside = fmin(fmax(value, range->min), range->max);
    return range->scale == JOB_RANGE_LOG ? log(inside / range->min) / log(range->max / range->min)
                                         : (inside - range->min) / (range->max - range->min);
}

/* ---- reading ---- */

static enum status refuse(const struct spec_assignment *a, const char *found, const char *expected,
                          struct error *err)
{
    return spec_refuse(err, ST_RANGE, a->location, a->key->name, found, expected);
}

static enum status read_list(const struct spec_assignment *a, struct job_range *range, struct error *err)
{
    char found[SPEC_TEXT_MAX], number[SPEC_TEXT_MAX];
    const int count = config_setting_length(a->value);
    if (count == 0)
        return spec_refuse_value(a, ST_RANGE, a->value, err);
    if (count > JOB_LIST_MAX) {
        snprintf(found, sizeof(found), "a list of %d", count);
        snprintf(number, sizeof(number), "at most %d", JOB_LIST_MAX);
        return refuse(a, found, number, err);
    }
    for (int i = 0; i < count; i++) {
        double *item = &range->values.items[i];
        enum status st = spec_value_number(a, config_setting_get_elem(a->value, (unsigned)i), item, err);
        if (st != ST_OK)
            return st;
        for (int j = 0; j < i; j++)
            if (range->values.items[j] == *item) {
                spec_number_text(*item, false, number);
                snprintf(found, sizeof(found), "%.40s twice", number);
                return refuse(a, found, "each at most once", err);
            }
    }
    range->values.count = count;
    range->kind = count == 1 ? JOB_RANGE_FIXED : JOB_RANGE_LIST;
    return ST_OK;
}

static enum status read_scale(const struct spec_assignment *a, const config_setting_t *value,
                              enum job_range_scale *scale, struct error *err)
{
    const bool is_text = config_setting_type(value) == CONFIG_TYPE_STRING;
    const int word = is_text ? spec_word(scales, config_setting_get_string(value)) : -1;
    char inner[SPEC_TEXT_MAX], found[SPEC_TEXT_MAX];
    if (word >= 0) {
        *scale = (enum job_range_scale)word;
        return ST_OK;
    }
    spec_found_text(value, inner);
    snprintf(found, sizeof(found), "the scale %.200s", inner);
    return refuse(a, found, "\"log\" or \"linear\"", err);
}

/* Its bounds and its scale, in any order. */
static enum status read_members(const struct spec_assignment *a, struct job_range *range, struct error *err)
{
    enum status st = ST_OK;
    for (int i = 0; i < config_setting_length(a->value) && st == ST_OK; i++) {
        const config_setting_t *member = config_setting_get_elem(a->value, (unsigned)i);
        const char *name = config_setting_name(member);
        if (strcmp(name, "min") == 0) {
            st = spec_value_number(a, member, &range->min, err);
        } else if (strcmp(name, "max") == 0) {
            st = spec_value_number(a, member, &range->max, err);
        } else if (strcmp(name, "scale") == 0) {
            st = read_scale(a, member, &range->scale, err);
        } else {
            char clean[SPEC_TEXT_MAX], found[SPEC_TEXT_MAX];
            spec_clean_text(name, clean);
            snprintf(found, sizeof(found), "%.100s in a range", clean);
            return refuse(a, found, "min, max and scale", err);
        }
    }
    return st;
}

static enum status read_bounds(const struct spec_assignment *a, struct job_range *range, struct error *err)
{
    char least[SPEC_TEXT_MAX], most[SPEC_TEXT_MAX], found[SPEC_TEXT_MAX];
    *range = (struct job_range){.kind = JOB_RANGE_BETWEEN,
                                .min = NAN,
                                .max = NAN,
                                .scale = find(a->key)->usual_scale,
                                .whole = range->whole};
    enum status st = read_members(a, range, err);
    if (st != ST_OK)
        return st;
    if (isnan(range->min) || isnan(range->max)) {
        snprintf(found, sizeof(found), "a range without %s", isnan(range->min) ? "min" : "max");
        return refuse(a, found, "{ min = ...; max = ...; scale = \"log\"; }", err);
    }
    spec_number_text(range->min, false, least);
    spec_number_text(range->max, false, most);
    if (range->min >= range->max) {
        snprintf(found, sizeof(found), "a range from %.40s to %.40s", least, most);
        return refuse(a, found, "min below max", err);
    }
    if (range->scale == JOB_RANGE_LOG && range->min <= 0.0) {
        snprintf(found, sizeof(found), "a logarithmic range from %.40s", least);
        return refuse(a, found, "min above 0, or scale = \"linear\"", err);
    }
    return ST_OK;
}

enum status spec_value_range(const struct spec_assignment *a, struct job_range *range, struct error *err)
{
    return spec_is_list(a->value) ? read_list(a, range, err) : read_bounds(a, range, err);
}

/* ---- in words ---- */

void spec_print_range(const struct job_range *range, FILE *out)
{
    char text[SPEC_TEXT_MAX];
    if (range->kind == JOB_RANGE_LIST) {
        for (int i = 0; i < range->values.count; i++) {
            spec_number_text(range->values.items[i], !range->whole, text);
            fprintf(out, "%s%s", i > 0 ? ", " : "[", text);
        }
        fputc(']', out);
        return;
    }
    spec_number_text(range->min, !range->whole, text);
    fprintf(out, "{ min = %s; ", text);
    spec_number_text(range->max, !range->whole, text);
    fprintf(out, "max = %s; scale = \"%s\"; }", text, scales[range->scale]);
}

void spec_describe_all(const struct spec_key *key, char text[SPEC_TEXT_MAX])
{
    char one[SPEC_TEXT_MAX];
    spec_describe(key, one);
    snprintf(text, SPEC_TEXT_MAX, "%s%.150s%s",
             spec_is_searched(key) && key->type == SPEC_NUMBER ? "\"auto\" or " : "", one,
             spec_is_searched(key) ? ", a list of such, or { min, max, scale }" : "");
}

void spec_list_searched(char text[SPEC_TEXT_MAX])
{
    size_t filled = 0;
    for (int i = 0; i < SEARCHED_COUNT && filled < SPEC_TEXT_MAX; i++) {
        const char *name = searched[i].name + spec_section_length(searched[i].name);
        filled += (size_t)snprintf(text + filled, SPEC_TEXT_MAX - filled, "%s%s", i > 0 ? ", " : "", name);
    }
}
