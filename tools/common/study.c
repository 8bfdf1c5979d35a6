#include "tools/common/study.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

/* Seeds are told as numbers that a double holds. */
static const double MOST_SEED = 9e15;

static enum status append(struct study_list *list, double value, const char *option, struct error *err)
{
    if (list->count > 0 && value <= list->values[list->count - 1])
        return error_set(err, ST_RANGE, "%s: found %.10g behind %.10g, expected a rising list", option, value,
                         list->values[list->count - 1]);
    if (list->count == STUDY_LIST_MOST)
        return error_set(err, ST_RANGE, "%s: found more than %d, expected at most that", option,
                         STUDY_LIST_MOST);
    list->values[list->count++] = value;
    return ST_OK;
}

enum status study_read_budgets(const char *text, struct study_list *list, struct error *err)
{
    enum status st = ST_OK;
    list->count = 0;
    for (const char *at = text;; at++) {
        char *end;
        const double value = strtod(at, &end);
        if (!isdigit((unsigned char)*at) || !isfinite(value) || value <= 0 || (*end != '\0' && *end != ','))
            return error_set(err, ST_RANGE,
                             "--budgets: found \"%.40s\", expected numbers above 0, as in 900,3600", text);
        st = append(list, value, "--budgets", err);
        at = end;
        if (st != ST_OK || *at == '\0')
            return st;
    }
}

/* A whole number at *at, which goes behind it; negative: none. */
static double read_seed(const char **at)
{
    double value = 0;
    if (!isdigit((unsigned char)**at))
        return -1;
    for (; isdigit((unsigned char)**at); ++*at)
        value = 10 * value + (**at - '0');
    return value <= MOST_SEED ? value : -1;
}

enum status study_read_seeds(const char *text, struct study_list *list, struct error *err)
{
    enum status st = ST_OK;
    list->count = 0;
    for (const char *at = text;; at++) {
        const double first = read_seed(&at);
        double last = first;
        if (first >= 0 && *at == '-') {
            at++;
            last = read_seed(&at);
        }
        if (first < 0 || last < first || (*at != '\0' && *at != ','))
            return error_set(err, ST_RANGE, "--seeds: found \"%.40s\", expected whole numbers, as in 1-3,7",
                             text);
        for (double seed = first; st == ST_OK && seed <= last; seed++)
            st = append(list, seed, "--seeds", err);
        if (st != ST_OK || *at == '\0')
            return st;
    }
}
