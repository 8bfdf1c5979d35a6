#include "host/search/hyperparameters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A journal's numbers are read back as they were, or nearly so. */
static const double SAME = 1e-9;

/* How far the search looks by itself, where the job leaves a key open: the learning rate's quarter to its fourfold, of
 * which round 0 tries half and twice. Others are in the recipe for good reasons, and a trial of each is dear. */
static const double OPEN_FACTOR = 4.0;

/* Of the range: how far round 0 goes, and chance. */
static const double FIRST_STEP = 0.25, CHANCE_STEP = 0.25;

/* Times which a value is raised. */
static const double RAISE = 2.0;

static const char *const names[] = {
#define NAME(field, usual_scale) #field,
    JOB_SEARCHED(NAME)
#undef NAME
};
enum { KEY_COUNT = sizeof(names) / sizeof(names[0]) };

/* Their values in the order of the rows; and the space's ranges. */
struct values {
    double items[KEY_COUNT];
};

static struct values values_of(const struct hyperparameters *set)
{
    return (struct values){{
#define VALUE(field, usual_scale) set->field,
        JOB_SEARCHED(VALUE)
#undef VALUE
    }};
}

static void set_value(struct hyperparameters *set, int32_t key, double value)
{
    double *const fields[] = {
#define FIELD(field, usual_scale) &set->field,
        JOB_SEARCHED(FIELD)
#undef FIELD
    };
    *fields[key] = value;
}

static const struct job_range *range_of(const struct hyperparameter_space *space, int32_t key)
{
    const struct job_range *const ranges[] = {
#define RANGE(field, usual_scale) &space->ranges.field,
        JOB_SEARCHED(RANGE)
#undef RANGE
    };
    return ranges[key];
}

struct hyperparameter_space hyperparameter_space_of(const struct job *job)
{
    struct hyperparameter_space space = {.usual = recipe_usual().hyperparameters, .ranges = job->ranges};
#define USUAL(field, usual_scale) space.usual.field = job->train.field;
    JOB_SEARCHED(USUAL)
#undef USUAL
    return space;
}

static bool is_given(const struct job_range *range)
{
    return range->kind == JOB_RANGE_LIST || range->kind == JOB_RANGE_BETWEEN;
}

bool hyperparameters_are_given(const struct hyperparameter_space *space)
{
    for (int32_t key = 0; key < KEY_COUNT; key++)
        if (is_given(range_of(space, key)))
            return true;
    return false;
}

/* ---- values ---- */

static bool is_same(double a, double b)
{
    return fabs(a - b) <= SAME * fmax(fabs(a), fabs(b));
}

/* The set's value, or the job's. */
static double value_of(const struct hyperparameter_space *space, const struct hyperparameters *set,
                       int32_t key)
{
    const double own = values_of(set).items[key];
    return isnan(own) ? values_of(&space->usual).items[key] : own;
}

/* The set with one value changed. */
static struct hyperparameters with(const struct hyperparameter_space *space,
                                   const struct hyperparameters *set, int32_t key, double value)
{
    struct hyperparameters changed = *set;
    set_value(&changed, key, is_same(value, values_of(&space->usual).items[key]) ? NAN : value);
    return changed;
}

bool hyperparameters_equal(const struct hyperparameter_space *space, const struct hyperparameters *a,
                           const struct hyperparameters *b)
{
    for (int32_t key = 0; key < KEY_COUNT; key++)
        if (!is_same(value_of(space, a, key), value_of(space, b, key)))
            return false;
    return true;
}

static int32_t item_of(const struct job_range *range, double value)
{
    int32_t nearest = 0;
    for (int32_t i = 1; i < range->values.count; i++)
        if (fabs(range->values.items[i] - value) < fabs(range->values.items[nearest] - value))
            nearest = i;
    return nearest;
}

static double distance_of(const struct job_range *range, double usual, double value)
{
    if (range->kind == JOB_RANGE_LIST)
        return abs(item_of(range, value) - item_of(range, usual));
    if (range->kind == JOB_RANGE_BETWEEN && range->scale == JOB_RANGE_LINEAR)
        return fabs(value - usual) / (0.25 * (range->max - range->min));
    return value > 0.0 && usual > 0.0 ? fabs(log2(value / usual)) : 0.0;
}

double hyperparameters_distance(const struct hyperparameter_space *space, const struct hyperparameters *set)
{
    double distance = 0.0;
    for (int32_t key = 0; key < KEY_COUNT; key++)
        if (!isnan(values_of(set).items[key]))
            distance += distance_of(range_of(space, key), values_of(&space->usual).items[key],
                                    values_of(set).items[key]);
    return distance;
}

/* ---- trials ---- */

struct trials {
    const struct hyperparameter_space *space;
    const struct hyperparameters *centre;
    struct hyperparameters *sets;
    int32_t count;
};

static void add(struct trials *trials, int32_t key, double value)
{
    if (trials->count < HYPERPARAMETERS_MOST && !is_same(value, value_of(trials->space, trials->centre, key)))
        trials->sets[trials->count++] = with(trials->space, trials->centre, key, value);
}

static void add_places(struct trials *trials, int32_t key, const struct job_range *range, int32_t round)
{
    const double place = job_range_place(range, value_of(trials->space, trials->centre, key));
    const double step = ldexp(FIRST_STEP, -round);
    if (place - step > -SAME)
        add(trials, key, job_range_value(range, fmax(place - step, 0.0)));
    if (place + step < 1.0 + SAME)
        add(trials, key, job_range_value(range, fmin(place + step, 1.0)));
}

/* Of a key that the job leaves open; whether it has one. */
static bool open_range(const struct hyperparameter_space *space, int32_t key, struct job_range *range)
{
    const double usual = values_of(&space->usual).items[key];
    *range = (struct job_range){.kind = JOB_RANGE_BETWEEN,
                                .min = usual / OPEN_FACTOR,
                                .max = usual * OPEN_FACTOR,
                                .scale = JOB_RANGE_LOG};
    return strcmp(names[key], "learning_rate") == 0;
}

int32_t hyperparameters_round(const struct hyperparameter_space *space, const struct hyperparameters *centre,
                              int32_t round, bool open, struct hyperparameters sets[HYPERPARAMETERS_MOST])
{
    struct trials trials = {.space = space, .centre = centre, .sets = sets};
    for (int32_t key = 0; key < KEY_COUNT; key++) {
        const struct job_range *range = range_of(space, key);
        struct job_range own;
        switch (range->kind) {
        case JOB_RANGE_FIXED:
            break;
        case JOB_RANGE_OPEN:
            if (open && round == 0 && open_range(space, key, &own))
                add_places(&trials, key, &own, 0);
            break;
        case JOB_RANGE_LIST:
            for (int32_t i = 0; round == 0 && i < range->values.count; i++)
                add(&trials, key, range->values.items[i]);
            break;
        case JOB_RANGE_BETWEEN:
            add_places(&trials, key, range, round);
            break;
        }
    }
    return trials.count;
}

/* ---- what is raised ---- */

/* The next value above that one which the job lets a search try; the same where there is none. */
static double value_above(const struct job_range *range, double value)
{
    double above = INFINITY;
    switch (range->kind) {
    case JOB_RANGE_FIXED:
        break;
    case JOB_RANGE_OPEN:
        return RAISE * value;
    case JOB_RANGE_LIST:
        for (int32_t i = 0; i < range->values.count; i++)
            if (range->values.items[i] > value && !is_same(range->values.items[i], value))
                above = fmin(above, range->values.items[i]);
        break;
    case JOB_RANGE_BETWEEN:
        return fmax(fmin(RAISE * value, range->max), value);
    }
    return isinf(above) ? value : above;
}

int32_t hyperparameters_raised(const struct hyperparameter_space *space, const struct hyperparameters *set,
                               struct hyperparameter_change changes[HYPERPARAMETERS_RAISED_MOST])
{
    static const struct {
        const char *name, *text;
    } raised[HYPERPARAMETERS_RAISED_MOST] = {{"learning_rate", "higher learning rate"},
                                             {"weight_decay", "more weight decay"}};
    int32_t count = 0;
    for (int32_t i = 0; i < HYPERPARAMETERS_RAISED_MOST; i++) {
        int32_t key = 0;
        while (strcmp(names[key], raised[i].name) != 0)
            key++;
        const double value = value_of(space, set, key), above = value_above(range_of(space, key), value);
        if (!is_same(value, above))
            changes[count++] =
                (struct hyperparameter_change){.set = with(space, set, key, above), .text = raised[i].text};
    }
    return count;
}

/* ---- chance ---- */

static double draw_place(double place, struct random_sequence *random)
{
    double normal, other;
    random_normal2(random_draw(random->seed, random->stream, random->counter++, random->part), &normal,
                   &other);
    place += CHANCE_STEP * normal;
    place = place < 0.0 ? -place : place; /* what goes beyond a bound comes back */
    place = place > 1.0 ? 2.0 - place : place;
    return fmin(fmax(place, 0.0), 1.0);
}

static double draw_item(const struct job_range *range, double value, struct random_sequence *random)
{
    const int32_t now = item_of(range, value);
    const int32_t other = (int32_t)random_next_below(random, (uint32_t)range->values.count - 1);
    return range->values.items[other + (other >= now)];
}

struct hyperparameters hyperparameters_vary(const struct hyperparameter_space *space,
                                            const struct hyperparameters *parent,
                                            struct random_sequence *random)
{
    struct hyperparameters child = recipe_usual().hyperparameters;
    for (int32_t key = 0; key < KEY_COUNT; key++) {
        const struct job_range *range = range_of(space, key);
        double value = value_of(space, parent, key);
        if (!is_given(range))
            continue;
        if (random_next_below(random, 2) == 0)
            value = range->kind == JOB_RANGE_LIST
                        ? draw_item(range, value, random)
                        : job_range_value(range, draw_place(job_range_place(range, value), random));
        child = with(space, &child, key, value);
    }
    return child;
}

struct hyperparameters hyperparameters_draw(const struct hyperparameter_space *space,
                                            struct random_sequence *random)
{
    struct hyperparameters drawn = recipe_usual().hyperparameters;
    for (int32_t key = 0; key < KEY_COUNT; key++) {
        const struct job_range *range = range_of(space, key);
        struct job_range own;
        if (range->kind == JOB_RANGE_OPEN && open_range(space, key, &own))
            range = &own;
        if (!is_given(range))
            continue;
        const double value =
            range->kind == JOB_RANGE_LIST
                ? range->values.items[random_next_below(random, (uint32_t)range->values.count)]
                : job_range_value(range, random_next_unit(random));
        drawn = with(space, &drawn, key, value);
    }
    return drawn;
}

/* ---- in words ---- */

void hyperparameters_describe(const struct hyperparameter_space *space, const struct hyperparameters *set,
                              char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int32_t key = 0; key < KEY_COUNT && used < size; key++) {
        const double value = values_of(set).items[key];
        if (isnan(value) || is_same(value, values_of(&space->usual).items[key]))
            continue;
        char name[32];
        snprintf(name, sizeof(name), "%s", names[key]);
        for (char *c = name; *c != '\0'; c++)
            *c = *c == '_' ? ' ' : *c;
        used += (size_t)snprintf(text + used, size - used, "%s%s %.4g", used > 0 ? ", " : "", name, value);
    }
}
