/* What no single key can tell: keys that depend on each other, and whether a later job may continue an
 * earlier run. */
#include "host/base/file.h"
#include "spec/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether the key names a file or folder. */
static bool is_path(const struct spec_key *key)
{
    return key->type == SPEC_PATH || strcmp(key->name, "dataset.cache") == 0 ||
           strcmp(key->name, "output.dir") == 0;
}

/* A folder that is called ~ is nobody's wish. */
static enum status check_tildes(const struct job *job, const struct spec_location *locations,
                                struct error *err)
{
    const char *home = getenv("HOME");
    for (int i = 0; i < SPEC_KEY_COUNT; i++) {
        const struct spec_key *key = &spec_keys[i];
        char clean[SPEC_TEXT_MAX], found[SPEC_TEXT_MAX], expected[2 * SPEC_TEXT_MAX];
        if (!is_path(key))
            continue;
        const char *path = *(char *const *)spec_field_const(job, key);
        if (path[0] != '~' || (path[1] != '/' && path[1] != '\0') || file_exists(path))
            continue;
        spec_clean_text(path, clean);
        snprintf(found, sizeof(found), "\"%.200s\"", clean);
        spec_clean_text(home != NULL ? home : "/home/NAME", clean);
        snprintf(expected, sizeof(expected), "\"%.200s%.200s\", for ~ is known to shells alone", clean,
                 path + 1);
        return spec_refuse(err, ST_IO, &locations[i], key->name, found, expected);
    }
    return ST_OK;
}

static enum status check_paths(const struct job *job, const struct spec_location *locations,
                               struct error *err)
{
    for (int i = 0; i < SPEC_KEY_COUNT; i++) {
        const struct spec_key *key = &spec_keys[i];
        if (key->type != SPEC_PATH)
            continue;
        char expected[SPEC_TEXT_MAX], clean[SPEC_TEXT_MAX], found[SPEC_TEXT_MAX];
        const char *path = *(char *const *)spec_field_const(job, key);
        spec_describe(key, expected);
        if (path[0] == '\0' && key->default_text != NULL)
            continue;
        if (path[0] == '\0')
            return spec_refuse(err, ST_FORMAT, &locations[i], key->name, "nothing", expected);
        if (file_exists(path))
            continue;
        spec_clean_text(path, clean);
        snprintf(found, sizeof(found), "\"%.200s\", which does not exist", clean);
        return spec_refuse(err, ST_IO, &locations[i], key->name, found, expected);
    }
    return ST_OK;
}

/* Three kinds, at most one given; the default one only when none is. */
static enum status check_budget(struct job *job, const struct spec_location *locations, struct error *err)
{
    int seconds = spec_index("budget.seconds");
    const int kinds[] = {seconds, spec_index("budget.steps"), spec_index("budget.models")};
    int given = -1;
    if ((job->budget.steps.count > 0 || job->budget.models.count > 0) && spec_is_default(&locations[seconds]))
        job->budget.seconds = (struct job_numbers){0};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const struct spec_key *key = &spec_keys[kinds[i]];
        const struct job_numbers *list = spec_field_const(job, key);
        if (list->count == 0)
            continue;
        if (given >= 0) {
            char found[SPEC_TEXT_MAX];
            snprintf(found, sizeof(found), "%s beside it", spec_keys[given].name);
            return spec_refuse(err, ST_RANGE, &locations[kinds[i]], key->name, found,
                               "at most one of seconds, steps, models");
        }
        given = kinds[i];
    }
    if (given < 0)
        return spec_refuse(err, ST_RANGE, &locations[seconds], "budget.seconds", "no budget of any kind",
                           "one of seconds, steps, models");
    return ST_OK;
}

/* Three ways to look at an image. */
static enum status check_views(const struct job *job, const struct spec_location *locations,
                               struct error *err)
{
    const int32_t views = job->evaluate.views;
    char found[32];
    if (views == JOB_AUTO || views == 1 || views == 2 || views == 6)
        return ST_OK;
    snprintf(found, sizeof(found), "%d", (int)views);
    return spec_refuse(err, ST_RANGE, &locations[spec_index("evaluate.views")], "evaluate.views", found,
                       "\"auto\", 1, 2 or 6");
}

/* Both are parts of one training. */
static enum status check_hold(const struct job *job, const struct spec_location *locations, struct error *err)
{
    const double warmup = job->train.warmup, hold = job->train.hold;
    char found[64], expected[64];
    if (hold == 0.0 || warmup + hold <= 1.0)
        return ST_OK;
    snprintf(found, sizeof(found), "%g", hold);
    snprintf(expected, sizeof(expected), "at most %g beside a warm-up of %g", 1.0 - warmup, warmup);
    return spec_refuse(err, ST_RANGE, &locations[spec_index("train.hold")], "train.hold", found, expected);
}

/* One name, or several numbered devices of one kind: only equals share the batches of a final fit. */
static enum status check_devices(const struct job *job, const struct spec_location *locations,
                                 struct error *err)
{
    const struct spec_location *location = &locations[spec_index("devices")];
    char found[128];
    for (int i = 0; job->devices.count > 1 && i < job->devices.count; i++) {
        const char *name = job->devices.items[i], *first = job->devices.items[0];
        const size_t kind = strcspn(name, ":");
        snprintf(found, sizeof(found), "\"%s\" among others", name);
        if (name[kind] == '\0')
            return spec_refuse(err, ST_RANGE, location, "devices", found, "it alone, or numbered devices");
        snprintf(found, sizeof(found), "\"%s\" beside \"%s\"", name, first);
        if (strncmp(name, first, kind + 1) != 0)
            return spec_refuse(err, ST_RANGE, location, "devices", found, "one kind of device");
    }
    return ST_OK;
}

static enum status check_start_file(const char *key, const char *path, const struct spec_location *locations,
                                    struct error *err)
{
    char clean[SPEC_TEXT_MAX], found[SPEC_TEXT_MAX];
    if (!job_start_is_file(path) || file_exists(path))
        return ST_OK;
    spec_clean_text(path, clean);
    snprintf(found, sizeof(found), "\"%.200s\", which does not exist", clean);
    return spec_refuse(err, ST_IO, &locations[spec_index(key)], key, found, "the file of a network");
}

/* Starting networks that are files have to be there. */
static enum status check_start_files(const struct job *job, const struct spec_location *locations,
                                     struct error *err)
{
    enum status st = ST_OK;
    for (int i = 0; st == ST_OK && i < job->search.starts.count; i++)
        st = check_start_file("search.starts", job->search.starts.items[i], locations, err);
    return st == ST_OK ? check_start_file("baseline.start", job->baseline.start.items[0], locations, err)
                       : st;
}

/* Without a search nobody chooses between several starting networks: of the default ones it is the first. */
static enum status check_starts(struct job *job, const struct spec_location *locations, struct error *err)
{
    const struct spec_location *location = &locations[spec_index("search.starts")];
    struct job_strings *starts = &job->search.starts;
    char found[SPEC_TEXT_MAX];
    if (job->search.strategy != JOB_STRATEGY_NONE || starts->count == 1)
        return ST_OK;
    if (spec_is_default(location)) {
        while (starts->count > 1)
            free(starts->items[--starts->count]);
        return ST_OK;
    }
    snprintf(found, sizeof(found), "%d starting networks", starts->count);
    return spec_refuse(err, ST_RANGE, location, "search.starts", found,
                       "one, as search.strategy is \"none\"");
}

/* Lists alone can tell of several labels an image. */
static enum status check_labels(const struct job *job, const struct spec_location *locations,
                                struct error *err)
{
    const enum job_format format = job->dataset.format;
    char found[SPEC_TEXT_MAX];
    if (job->dataset.labels == JOB_LABELS_ONE || format == JOB_FORMAT_AUTO || format == JOB_FORMAT_CSV)
        return ST_OK;
    snprintf(found, sizeof(found), "\"several\" and dataset.format = \"%s\"", job_format_text(format));
    return spec_refuse(err, ST_RANGE, &locations[spec_index("dataset.labels")], "dataset.labels", found,
                       "a CSV file beside it");
}

/* One network beside a search, and a width of it where it has none of its own. */
static enum status check_baseline(const struct job *job, const struct spec_location *locations,
                                  struct error *err)
{
    const struct spec_location *start = &locations[spec_index("baseline.start")];
    const char *name = job->baseline.start.items[0];
    char found[SPEC_TEXT_MAX], expected[SPEC_TEXT_MAX];
    if (job->baseline.start.count > 1) {
        snprintf(found, sizeof(found), "%d networks", job->baseline.start.count);
        return spec_refuse(err, ST_RANGE, start, "baseline.start", found, "one");
    }
    if (job_has_baseline(job) && job->search.strategy == JOB_STRATEGY_NONE) {
        snprintf(found, sizeof(found), "\"%.200s\"", name);
        return spec_refuse(err, ST_RANGE, start, "baseline.start", found,
                           "\"none\", as search.strategy is \"none\"");
    }
    if (job->baseline.width == 0 || !job_start_is_file(name))
        return ST_OK;
    snprintf(found, sizeof(found), "%d", (int)job->baseline.width);
    snprintf(expected, sizeof(expected), "0, as \"%.200s\" has its own", name);
    return spec_refuse(err, ST_RANGE, &locations[spec_index("baseline.width")], "baseline.width", found,
                       expected);
}

/* One word, or classes with their weights. */
static enum status check_class_weights(const struct job *job, const struct spec_location *locations,
                                       struct error *err)
{
    static const char key[] = "train.class_weights";
    const struct job_strings *list = &job->train.class_weights;
    char found[SPEC_TEXT_MAX], *end;
    for (int i = 0; i < list->count; i++) {
        const char *text = list->items[i], *equals = strrchr(text, '=');
        const double weight = equals != NULL ? strtod(equals + 1, &end) : 0.0;
        snprintf(found, sizeof(found), "\"%.200s\"%s", text, equals == NULL ? " among others" : "");
        if (equals == NULL && list->count > 1)
            return spec_refuse(err, ST_RANGE, &locations[spec_index(key)], key, found, "it alone");
        if (equals != NULL && (*end != '\0' || !(weight >= 0.0 && weight <= 1e6)))
            return spec_refuse(err, ST_RANGE, &locations[spec_index(key)], key, found,
                               "a weight from 0 to 1000000 behind the \"=\"");
    }
    return ST_OK;
}

/* Nor between values of a key, which the points of a grid have in common. */
static enum status check_ranges(const struct job *job, const struct spec_location *locations,
                                struct error *err)
{
    const enum job_strategy strategy = job->search.strategy;
    const bool one_value = strategy == JOB_STRATEGY_NONE || strategy == JOB_STRATEGY_GRID;
    char expected[64];
    snprintf(expected, sizeof(expected), "one value, as search.strategy is \"%s\"",
             job_strategy_text(strategy));
    for (int i = 0; one_value && i < SPEC_KEY_COUNT; i++) {
        const struct job_range *range = spec_range_const(job, &spec_keys[i]);
        if (range != NULL && (range->kind == JOB_RANGE_LIST || range->kind == JOB_RANGE_BETWEEN))
            return spec_refuse(err, ST_RANGE, &locations[i], spec_keys[i].name,
                               range->kind == JOB_RANGE_LIST ? "a list" : "a range", expected);
    }
    return ST_OK;
}

/* An amount is of something. */
static enum status check_cost(const struct job *job, const struct spec_location *locations, struct error *err)
{
    if (job->report.cost_per_hour == 0.0 || job->report.currency[0] != '\0')
        return ST_OK;
    return spec_refuse(err, ST_RANGE, &locations[spec_index("report.currency")], "report.currency", "nothing",
                       "a name, as \"EUR\", beside report.cost_per_hour");
}

static enum status check_width(const char *key, int32_t width, const struct spec_location *locations,
                               struct error *err)
{
    char found[32], expected[64];
    if (width % SPEC_WIDTH_UNIT == 0)
        return ST_OK;
    snprintf(found, sizeof(found), "%d", (int)width);
    snprintf(expected, sizeof(expected), "0 or a multiple of %d", SPEC_WIDTH_UNIT);
    return spec_refuse(err, ST_RANGE, &locations[spec_index(key)], key, found, expected);
}

static enum status check_widths(const struct job *job, const struct spec_location *locations,
                                struct error *err)
{
    char found[32], expected[64];
    for (int i = 0; i < job->search.widths.count; i++) {
        const int32_t width = (int32_t)job->search.widths.items[i];
        if (width % SPEC_WIDTH_UNIT == 0)
            continue;
        snprintf(found, sizeof(found), "%d", (int)width);
        snprintf(expected, sizeof(expected), "multiples of %d", SPEC_WIDTH_UNIT);
        return spec_refuse(err, ST_RANGE, &locations[spec_index("search.widths")], "search.widths", found,
                           expected);
    }
    return ST_OK;
}

/* Whether a device of that name is one of the host's. */
static bool is_host(const char *name)
{
    return strncmp(name, "cpu", 3) == 0 || strncmp(name, "ref", 3) == 0;
}

/* Only a GPU trains several networks side by side. */
static enum status check_workers(const struct job *job, const struct spec_location *locations,
                                 struct error *err)
{
    char found[128];
    if (job->search.workers_per_device <= 1 || !is_host(job->devices.items[0]))
        return ST_OK;
    snprintf(found, sizeof(found), "%d on \"%.40s\"", (int)job->search.workers_per_device,
             job->devices.items[0]);
    return spec_refuse(err, ST_RANGE, &locations[spec_index("search.workers_per_device")],
                       "search.workers_per_device", found, "1 or \"auto\": only a GPU has several");
}

/* "runs/NAME" for ".../NAME.cfg". */
static enum status name_output(struct job *job, struct error *err)
{
    if (job->output.dir[0] != '\0')
        return ST_OK;
    size_t length;
    const char *name = file_stem(job->file, &length);
    size_t size = sizeof "runs/" + length;
    char *folder = malloc(size);
    if (folder == NULL)
        return error_memory(err, "output.dir", size);
    snprintf(folder, size, "runs/%.*s", (int)length, name);
    free(job->output.dir);
    job->output.dir = folder;
    return ST_OK;
}

enum status spec_check(struct job *job, const struct spec_location locations[SPEC_KEY_COUNT],
                       struct error *err)
{
    enum status st = check_tildes(job, locations, err);
    if (st == ST_OK)
        st = check_paths(job, locations, err);
    if (st == ST_OK)
        st = check_budget(job, locations, err);
    if (st == ST_OK)
        st = check_labels(job, locations, err);
    if (st == ST_OK)
        st = check_views(job, locations, err);
    if (st == ST_OK)
        st = check_hold(job, locations, err);
    if (st == ST_OK)
        st = check_class_weights(job, locations, err);
    if (st == ST_OK)
        st = check_devices(job, locations, err);
    if (st == ST_OK)
        st = spec_check_cells(job, locations, err);
    if (st == ST_OK)
        st = check_starts(job, locations, err);
    if (st == ST_OK)
        st = check_start_files(job, locations, err);
    if (st == ST_OK)
        st = check_baseline(job, locations, err);
    if (st == ST_OK)
        st = check_ranges(job, locations, err);
    if (st == ST_OK)
        st = check_width("search.width", job->search.width, locations, err);
    if (st == ST_OK)
        st = check_width("baseline.width", job->baseline.width, locations, err);
    if (st == ST_OK)
        st = check_widths(job, locations, err);
    if (st == ST_OK)
        st = spec_check_strategy(job, locations, err);
    if (st == ST_OK)
        st = check_workers(job, locations, err);
    if (st == ST_OK)
        st = check_cost(job, locations, err);
    if (st == ST_OK)
        st = name_output(job, err);
    return st;
}

/* More stages behind the earlier ones, or the last stage moved further out. */
static bool budget_continues(const struct job_numbers *before, const struct job_numbers *now)
{
    int same = 0;
    while (same < before->count && same < now->count && before->items[same] == now->items[same])
        same++;
    if (same == before->count)
        return before->count > 0 || now->count == 0;
    return same == before->count - 1 && now->count == before->count && now->items[same] > before->items[same];
}

static enum status same_value(const struct job *before, const struct job *now, const struct spec_key *key,
                              struct error *err)
{
    enum status st = ST_OK;
    char *had = spec_value_text(before, key), *has = spec_value_text(now, key);
    if (had == NULL || has == NULL) {
        st = error_memory(err, key->name, SPEC_TEXT_MAX);
        goto out;
    }
    const bool rising = spec_is_budget(key);
    /* The text tells everything: numbers are printed so that they read back as the same bits. */
    if (strcmp(had, has) == 0 ||
        (rising && budget_continues(spec_field_const(before, key), spec_field_const(now, key))))
        goto out;
    st = error_set(err, ST_RANGE, "%s: found %s, expected %s as the run began%s", key->name, has, had,
                   rising ? ", with more stages or a later last one" : "");
out:
    free(had);
    free(has);
    return st;
}

/* Whether the key says nothing of what a run does. */
static bool is_free(const struct spec_key *key)
{
    return (is_path(key) && strcmp(key->name, "search.prior") != 0) ||
           strcmp(key->name, "dataset.audit") == 0 || spec_is_outside(key);
}

enum status spec_same_run(const struct job *before, const struct job *now, struct error *err)
{
    for (int i = 0; i < SPEC_KEY_COUNT; i++) {
        if (is_free(&spec_keys[i]))
            continue;
        enum status st = same_value(before, now, &spec_keys[i], err);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}
