#include "host/run/replay.h"

#include "host/base/version.h"
#include "host/net/serialise.h"
#include "host/run/coordinator.h"
#include "host/run/resume.h"
#include "host/search/budget.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- values of a line ---- */

static const cJSON *item(const cJSON *json, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(json, name);
}

static double number(const cJSON *json, const char *name)
{
    const cJSON *found = item(json, name);
    return cJSON_IsNumber(found) ? found->valuedouble : NAN;
}

static int32_t whole(const cJSON *json, const char *name)
{
    double value = number(json, name);
    return value >= -1.0 && value <= 2147483647.0 ? (int32_t)value : -1;
}

static uint32_t count_of(const cJSON *json, const char *name)
{
    double value = number(json, name);
    return value >= 0.0 && value <= 4294967295.0 ? (uint32_t)value : 0;
}

/* ---- events ---- */

static enum status check_run(const struct run *run, const cJSON *json, struct error *err)
{
    char expected[24];
    const char *version = cJSON_GetStringValue(item(json, "version"));
    const char *found = cJSON_GetStringValue(item(item(json, "dataset"), "fingerprint"));

    if (version == NULL || strcmp(version, NASRUN_VERSION) != 0)
        return error_set(err, ST_FORMAT, "%s: made by nasrun %s, expected %s; use --fresh to start over",
                         run->journal.path, version != NULL ? version : "of an unknown version",
                         NASRUN_VERSION);
    snprintf(expected, sizeof(expected), "%016" PRIx64, run->data.fingerprint);
    if (found == NULL || strcmp(found, expected) != 0)
        return error_set(
            err, ST_FORMAT,
            "%s: the run began on data with fingerprint %s, the job's data has %s; use --fresh to start over",
            run->journal.path, found != NULL ? found : "(none)", expected);
    return ST_OK;
}

/* Which of the job's starting networks that is; -1: none. */
static int32_t start_of(const struct run *run, const cJSON *json)
{
    const struct job_strings *starts = &run->job->search.starts;
    const char *name = cJSON_GetStringValue(item(json, "start"));
    for (int32_t i = 0; name != NULL && i < starts->count; i++) {
        if (strcmp(starts->items[i], name) == 0)
            return i;
    }
    return -1;
}

static struct candidate *find(const struct run *run, int32_t id)
{
    for (int32_t i = 0; i < run->past_count; i++) {
        if (run->past[i]->id == id)
            return run->past[i];
    }
    return NULL;
}

/* Puts it in its place by id: those that were begun again stand behind later ones in the journal. */
static enum status insert(struct run *run, struct candidate *candidate, struct error *err)
{
    size_t bytes = ((size_t)run->past_count + 1) * sizeof(struct candidate *);
    struct candidate **larger = realloc(run->past, bytes);
    if (larger == NULL)
        return error_memory(err, "candidates", bytes);
    run->past = larger;
    int32_t place = run->past_count++;
    for (; place > 0 && run->past[place - 1]->id > candidate->id; place--)
        run->past[place] = run->past[place - 1];
    run->past[place] = candidate;
    return ST_OK;
}

static enum status replay_candidate(struct run *run, const cJSON *json, struct error *err)
{
    const int32_t id = whole(json, "id");
    if (id < 0 || find(run, id) != NULL)
        return error_set(err, ST_FORMAT, "found the beginning of candidate %d, expected that of another",
                         (int)id);
    struct candidate *candidate = candidate_new();
    if (candidate == NULL)
        return error_memory(err, "candidate", sizeof(*candidate));
    candidate->id = id;
    candidate->parent = candidate->source = whole(json, "parent");
    candidate->final = cJSON_IsTrue(item(json, "final"));
    candidate->guess = number(json, "expected");
    candidate->observed = whole(json, "observed");
    candidate->batch = candidate->final ? run->batches.final : run->batches.candidate;
    candidate->start = start_of(run, json);
    candidate_name(candidate, "resumed", "");
    enum status st = graph_from_json(&candidate->graph, item(json, "graph"), err);
    if (st == ST_OK)
        st = insert(run, candidate, err);
    if (st != ST_OK)
        candidate_free(candidate);
    return st;
}

void replay_mark_failed(struct candidate *candidate, uint32_t steps)
{
    candidate->ended = candidate->failed = true;
    candidate->steps = steps;
    candidate->validation = (struct trainer_result){.loss = NAN, .accuracy = NAN};
}

static enum status replay_end(struct run *run, const struct journal_line *entry, struct error *err)
{
    struct candidate *candidate = find(run, whole(entry->json, "id"));
    const uint32_t steps = count_of(entry->json, "steps");
    if (candidate == NULL || candidate->ended)
        return error_set(err, ST_FORMAT, "found the end of candidate %d, expected that of one in training",
                         (int)whole(entry->json, "id"));
    if (strcmp(entry->event, "failed") == 0) {
        replay_mark_failed(candidate, steps);
        return ST_OK;
    }
    candidate->ended = true;
    candidate->steps = steps;
    candidate->validation = (struct trainer_result){.loss = number(entry->json, "validation_loss"),
                                                    .accuracy = number(entry->json, "validation_accuracy")};
    return ST_OK;
}

static void replay_plan(struct run *run, const cJSON *json)
{
    struct candidate *candidate = find(run, whole(json, "id"));
    const int32_t batch = whole(json, "batch");
    if (candidate != NULL && batch > 0)
        candidate->batch = batch;
}

/* How the devices are shared, as it was measured when the run began. */
static void replay_workers(struct run *run, const cJSON *json)
{
    const int32_t workers = whole(json, "per_device");
    if (workers > 0)
        run->sharing = (struct run_sharing){
            .workers = workers, .alone = number(json, "alone"), .together = number(json, "together")};
}

/* A stage begins, or is said again with a budget that was raised within it. */
static void replay_stage(struct run *run, const struct journal_line *entry, double *stage_budget)
{
    if (!run->stage_open) {
        run->stage = whole(entry->json, "stage");
        run->stage_open = true;
        run->stage_steps = run->steps_done;
        run->stage_began = run->next_id == 0 ? 0.0 : entry->time;
    }
    *stage_budget = number(item(entry->json, "budget"), budget_kind(&run->job->budget));
}

/* A tested stage is over, unless the job has moved its end further out since: then it goes on, with another
 * final fit. All its candidates have ended, and are observed by id. */
static enum status replay_test(struct run *run, double stage_budget, struct error *err)
{
    const struct job_budget *budget = &run->job->budget;
    enum status st = ST_OK;
    for (int32_t i = 0; st == ST_OK && i < run->past_count; i++) {
        struct candidate *candidate = run->past[i];
        if (!candidate->ended)
            return error_set(err, ST_FORMAT, "found the stage's test, expected the end of candidate %d first",
                             (int)candidate->id);
        st = coordinator_observe(run, candidate, err);
        run->next_id = candidate->id + 1;
        if (candidate->start >= 0)
            run->starts = candidate->start + 1;
    }
    resume_forget(run);
    run->stage_open = false;
    run->stage += run->stage >= budget_stages(budget) || budget_total(budget, run->stage) <= stage_budget;
    return st;
}

static enum status replay_line(struct run *run, const struct journal_line *entry, double *stage_budget,
                               struct error *err)
{
    const char *event = entry->event;
    const int32_t start = start_of(run, entry->json);
    if (strcmp(event, "stage") == 0)
        replay_stage(run, entry, stage_budget);
    else if (strcmp(event, "candidate") == 0)
        return replay_candidate(run, entry->json, err);
    else if (strcmp(event, "model") == 0 || strcmp(event, "failed") == 0)
        return replay_end(run, entry, err);
    else if (strcmp(event, "workers") == 0)
        replay_workers(run, entry->json);
    else if (strcmp(event, "plan") == 0)
        replay_plan(run, entry->json);
    else if (strcmp(event, "left_out") == 0 && start >= 0)
        run->left_out |= 1u << start;
    else if (strcmp(event, "test") == 0)
        return replay_test(run, *stage_budget, err);
    return ST_OK;
}

enum status replay_lines(struct run *run, const struct journal_lines *lines, double *stage_budget,
                         struct error *err)
{
    enum status st = strcmp(lines->lines[0].event, "run") == 0
                         ? check_run(run, lines->lines[0].json, err)
                         : error_set(err, ST_FORMAT, "%s:1: found event \"%s\", expected \"run\"",
                                     run->journal.path, lines->lines[0].event);
    for (size_t i = 1; st == ST_OK && i < lines->count; i++) {
        st = replay_line(run, &lines->lines[i], stage_budget, err);
        if (st != ST_OK)
            error_prefix(err, "%s:%zu", run->journal.path, i + 1);
    }
    return st;
}

bool replay_keeps(const struct run *run, const struct journal_line *line)
{
    const struct candidate *candidate = find(run, whole(line->json, "id"));
    if (candidate == NULL || candidate->ended || strcmp(line->event, "test") == 0)
        return true;
    if (!candidate->restored)
        return false;
    return strcmp(line->event, "epoch") != 0 || count_of(line->json, "step") <= candidate->steps;
}
