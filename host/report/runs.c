/* Runs put together: which are of one job, and the means of their results. */
#include "host/report/runs.h"

#include "host/base/file.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char WHAT[] = "several runs"; /* for messages */

/* ---- jobs ---- */

/* Keys in which runs of one job may differ. */
static bool is_passed_over(const char *key)
{
    static const char *const keys[] = {"seed", "dataset.path", "dataset.images", "dataset.cache",
                                       "search.baseline"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return strncmp(key, "budget.", strlen("budget.")) == 0 ||
           strncmp(key, "baseline.", strlen("baseline.")) == 0;
}

/* Appends "group.key = value\n" of a line of a job file as nasrun writes it: "    key = value; # comment". */
static char *append_line(char *end, const char *group, const char *line, size_t length)
{
    char key[128];
    while (length > 0 && isspace((unsigned char)*line)) {
        line++;
        length--;
    }
    const size_t name = strcspn(line, " =");
    const char *last = line + length;
    for (const char *at = line + length; at > line; at--)
        if (at[-1] == ';') { /* a comment has none */
            last = at - 1;
            break;
        }
    snprintf(key, sizeof(key), "%s%s%.*s", group, group[0] != '\0' ? "." : "", (int)name, line);
    if (name >= length || is_passed_over(key))
        return end;
    return end + sprintf(end, "%s%.*s\n", key, (int)(last - (line + name)), line + name);
}

static uint64_t names_hash(const struct history *history)
{
    uint64_t hash = 0;
    for (int32_t i = 0; i < history->classes; i++)
        hash = file_hash(hash, history->class_names[i], strlen(history->class_names[i]) + 1);
    return hash;
}

/* Of the last test; 0: none was made. */
static int64_t test_images(const struct history *history)
{
    return history->test_count > 0 ? history->tests[history->test_count - 1].images : 0;
}

/* All that makes a job, a key to a line; malloc'd, NULL when out of memory. */
static char *identity_of(const struct history *history)
{
    const char *job = history->job != NULL ? history->job : "";
    size_t lines = 2;
    for (const char *at = job; *at != '\0'; at++)
        lines += *at == '\n';
    char group[64] = "", *text = malloc(strlen(job) + 128 * lines), *end = text;
    if (text == NULL)
        return NULL;
    while (*job != '\0') {
        const size_t length = strcspn(job, "\n"), name = strspn(job, "abcdefghijklmnopqrstuvwxyz_");
        if (job[length > 0 ? length - 1 : 0] == '{')
            snprintf(group, sizeof(group), "%.*s", (int)name, job);
        else if (job[0] == '}')
            group[0] = '\0';
        else
            end = append_line(end, group, job, length);
        job += length + (job[length] == '\n');
    }
    sprintf(end, "%d classes (%016llx), %lld test images\n", history->classes,
            (unsigned long long)names_hash(history), (long long)test_images(history));
    return text;
}

static bool has_line(const char *text, const char *line, size_t length)
{
    for (; *text != '\0'; text += strcspn(text, "\n") + 1)
        if (strcspn(text, "\n") == length && strncmp(text, line, length) == 0)
            return true;
    return false;
}

/* What a job has that not all others have. */
static char *name_job(char *const *identities, int32_t count, int32_t job)
{
    char *name = malloc(strlen(identities[job]) + 2), *end = name;
    if (name == NULL)
        return NULL;
    *name = '\0';
    for (const char *line = identities[job]; *line != '\0'; line += strcspn(line, "\n") + 1) {
        const size_t length = strcspn(line, "\n");
        bool common = true;
        for (int32_t i = 0; i < count && common; i++)
            common = has_line(identities[i], line, length);
        if (!common)
            end += sprintf(end, "%s%.*s", end > name ? ", " : "", (int)length, line);
    }
    return name;
}

/* Sets of[run] to its job, and the jobs' names. */
static enum status find_jobs(struct runs *runs, int32_t *of, struct error *err)
{
    enum status st = ST_OK;
    char **identities = calloc((size_t)runs->count, sizeof(*identities));
    runs->jobs = calloc((size_t)runs->count, sizeof(*runs->jobs));
    if (identities == NULL || runs->jobs == NULL)
        st = error_memory(err, WHAT, (size_t)runs->count * sizeof(*identities));
    for (int32_t i = 0; st == ST_OK && i < runs->count; i++) {
        char *identity = identity_of(&runs->histories[i]);
        if (identity == NULL) {
            st = error_memory(err, WHAT, 0);
            break;
        }
        of[i] = 0;
        while (of[i] < runs->job_count && strcmp(identities[of[i]], identity) != 0)
            of[i]++;
        if (of[i] == runs->job_count)
            identities[runs->job_count++] = identity;
        else
            free(identity);
    }
    for (int32_t i = 0; st == ST_OK && i < runs->job_count; i++) {
        runs->jobs[i] = name_job(identities, runs->job_count, i);
        if (runs->jobs[i] == NULL)
            st = error_memory(err, WHAT, 0);
    }
    for (int32_t i = 0; identities != NULL && i < runs->job_count; i++)
        free(identities[i]);
    free(identities);
    return st;
}

/* ---- results ---- */

enum runs_unit runs_unit_of(const struct event_budget *amounts, double *budget)
{
    const double of[RUNS_UNITS] = {amounts->seconds, amounts->steps, amounts->models};
    enum runs_unit unit = RUNS_SECONDS;
    *budget = NAN;
    while (unit < RUNS_UNITS && !(of[unit] > 0))
        unit++;
    if (unit < RUNS_UNITS)
        *budget = of[unit];
    return unit;
}

static enum status add_result(struct runs *runs, int32_t run, int32_t job, const struct history *history,
                              const struct history_test *test, struct error *err)
{
    double budget;
    const enum runs_unit unit = runs_unit_of(&test->amounts, &budget);
    if (unit == RUNS_UNITS)
        return error_set(err, ST_RANGE, "%s: stage %lld has no budget", runs->folders[run],
                         (long long)test->stage);
    runs->results[runs->result_count++] =
        (struct runs_result){.run = run,
                             .job = job,
                             .unit = unit,
                             .budget = budget,
                             .seed = history->seed,
                             .stage = test->stage,
                             .accuracy = test->accuracy,
                             .baseline = test->baseline.id >= 0 ? test->baseline.accuracy : NAN};
    return ST_OK;
}

static int compare_budgets(const struct runs_result *x, const struct runs_result *y)
{
    return x->job != y->job     ? x->job - y->job
           : x->unit != y->unit ? (int)x->unit - (int)y->unit
                                : (x->budget > y->budget) - (x->budget < y->budget);
}

static int compare_results(const void *a, const void *b)
{
    const struct runs_result *x = a, *y = b;
    const int budgets = compare_budgets(x, y);
    return budgets != 0         ? budgets
           : x->seed != y->seed ? (x->seed > y->seed) - (x->seed < y->seed)
           : x->run != y->run   ? x->run - y->run
                                : (x->stage > y->stage) - (x->stage < y->stage);
}

/* Of accuracies or of baselines. */
static struct runs_mean mean_of(const struct runs_result *results, int32_t count, bool baseline)
{
    struct runs_mean mean = {.low = INFINITY, .high = -INFINITY, .deviation = NAN};
    double squares = 0;
    for (int32_t i = 0; i < count; i++) {
        const double value = baseline ? results[i].baseline : results[i].accuracy;
        if (!isfinite(value))
            continue;
        const double away = value - mean.mean;
        mean.count++;
        mean.mean += away / mean.count;
        squares += away * (value - mean.mean);
        mean.low = fmin(mean.low, value);
        mean.high = fmax(mean.high, value);
    }
    if (mean.count > 1)
        mean.deviation = sqrt(squares / (mean.count - 1));
    return mean;
}

static enum status make_results(struct runs *runs, struct error *err)
{
    size_t tests = 1;
    enum status st = ST_OK;
    for (int32_t i = 0; i < runs->count; i++) {
        tests += (size_t)runs->histories[i].test_count;
        runs->shared = runs->shared || runs->histories[i].test_count > 1;
    }
    int32_t *of = calloc((size_t)runs->count, sizeof(*of));
    runs->results = calloc(tests, sizeof(*runs->results));
    runs->rows = calloc(tests, sizeof(*runs->rows));
    if (of == NULL || runs->results == NULL || runs->rows == NULL)
        st = error_memory(err, WHAT, tests * sizeof(*runs->rows));
    if (st == ST_OK)
        st = find_jobs(runs, of, err);
    for (int32_t i = 0; st == ST_OK && i < runs->count; i++)
        for (int32_t k = 0; st == ST_OK && k < runs->histories[i].test_count; k++)
            st = add_result(runs, i, of[i], &runs->histories[i], &runs->histories[i].tests[k], err);
    free(of);
    if (st == ST_OK && runs->result_count == 0)
        st = error_set(err, ST_RANGE, "%s: no stage of these runs has been tested yet", runs->folders[0]);
    return st;
}

static void make_rows(struct runs *runs)
{
    qsort(runs->results, (size_t)runs->result_count, sizeof(*runs->results), compare_results);
    for (int32_t first = 0, last; first < runs->result_count; first = last) {
        const struct runs_result *result = &runs->results[first];
        for (last = first + 1;
             last < runs->result_count && compare_budgets(result, &runs->results[last]) == 0;)
            last++;
        runs->rows[runs->row_count++] = (struct runs_row){.job = result->job,
                                                          .unit = result->unit,
                                                          .budget = result->budget,
                                                          .search = mean_of(result, last - first, false),
                                                          .baseline = mean_of(result, last - first, true)};
    }
}

enum status runs_load(char *const *folders, int32_t count, struct runs *runs, struct error *err)
{
    enum status st = ST_OK;
    *runs = (struct runs){.folders = folders, .histories = calloc((size_t)count, sizeof(*runs->histories))};
    if (runs->histories == NULL)
        return error_memory(err, WHAT, (size_t)count * sizeof(*runs->histories));
    for (; st == ST_OK && runs->count < count; runs->count += st == ST_OK)
        st = history_load(folders[runs->count], &runs->histories[runs->count], err);
    if (st == ST_OK)
        st = make_results(runs, err);
    if (st == ST_OK)
        make_rows(runs);
    else
        runs_free(runs);
    return st;
}

enum status runs_of_one(const struct history *history, struct runs *runs, struct error *err)
{
    enum status st = ST_OK;
    const size_t tests = (size_t)history->test_count + 1;
    *runs = (struct runs){.folders = &history->folder,
                          .jobs = calloc(1, sizeof(*runs->jobs)),
                          .results = calloc(tests, sizeof(*runs->results)),
                          .rows = calloc(tests, sizeof(*runs->rows)),
                          .shared = true};
    if (runs->jobs != NULL)
        runs->jobs[runs->job_count++] = strdup("");
    if (runs->jobs == NULL || runs->jobs[0] == NULL || runs->results == NULL || runs->rows == NULL)
        st = error_memory(err, WHAT, tests * sizeof(*runs->rows));
    for (int32_t i = 0; st == ST_OK && i < history->test_count; i++)
        st = add_result(runs, 0, 0, history, &history->tests[i], err);
    if (st == ST_OK)
        make_rows(runs);
    else
        runs_free(runs);
    return st;
}

void runs_free(struct runs *runs)
{
    for (int32_t i = 0; i < runs->count; i++)
        history_free(&runs->histories[i]);
    for (int32_t i = 0; runs->jobs != NULL && i < runs->job_count; i++)
        free(runs->jobs[i]);
    free(runs->jobs);
    free(runs->histories);
    free(runs->results);
    free(runs->rows);
    *runs = (struct runs){0};
}

void runs_budget_text(enum runs_unit unit, double budget, char *text, size_t room)
{
    if (unit == RUNS_SECONDS && budget >= 3600 && fmod(budget, 1800) == 0)
        snprintf(text, room, "%.10g h", budget / 3600);
    else if (unit == RUNS_SECONDS && budget >= 120 && fmod(budget, 60) == 0)
        snprintf(text, room, "%.10g min", budget / 60);
    else
        snprintf(text, room, "%.10g %s", budget,
                 unit == RUNS_SECONDS ? "s"
                 : unit == RUNS_STEPS ? "steps"
                                      : "models");
}
