#include "host/run/resume.h"

#include "host/base/clock.h"
#include "host/base/file.h"
#include "host/net/serialise.h"
#include "host/run/budget.h"
#include "host/run/options.h"
#include "host/run/record.h"
#include "host/run/store.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A candidate may kill the engine this often before it is given up. */
enum { MOST_KILLS = 2 };

/* Where the journal is cut: behind this many lines. */
struct replay {
    struct run *run;
    const struct journal_lines *lines;
    size_t candidate_line; /* of the unfinished candidate */
    double stage_budget;   /* total of the stage being replayed, as it was journalled */
};

static double number(const cJSON *json, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static int32_t whole(const cJSON *json, const char *name)
{
    double value = number(json, name);
    return value >= -1.0 && value <= 2147483647.0 ? (int32_t)value : -1;
}

static bool is_true(const cJSON *json, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, name));
}

static enum status check_run(const struct run *run, const cJSON *json, struct error *err)
{
    char expected[24];
    const char *version = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "version"));
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(json, "dataset");
    const char *found = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(data, "fingerprint"));

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

static enum status replay_candidate(struct replay *replay, const cJSON *json, size_t line, struct error *err)
{
    struct run_unfinished *unfinished = &replay->run->unfinished;
    graph_free(&unfinished->graph);
    *unfinished = (struct run_unfinished){.exists = true,
                                          .id = whole(json, "id"),
                                          .parent = whole(json, "parent"),
                                          .final = is_true(json, "final"),
                                          .batch = replay->run->job->train.batch};
    replay->candidate_line = line;
    replay->run->next_id = unfinished->id + 1;
    replay->run->starts += cJSON_GetObjectItemCaseSensitive(json, "start") != NULL;
    return graph_from_json(&unfinished->graph, cJSON_GetObjectItemCaseSensitive(json, "graph"), err);
}

/* A model or a failure: the unfinished candidate is finished. */
static enum status replay_end(struct replay *replay, const cJSON *json, struct error *err)
{
    struct run *run = replay->run;
    struct run_unfinished *unfinished = &run->unfinished;
    double accuracy = number(json, "validation_accuracy"), loss = number(json, "validation_loss");

    if (!unfinished->exists || unfinished->id != whole(json, "id"))
        return error_set(err, ST_FORMAT, "found the end of candidate %d, expected that of %d",
                         whole(json, "id"), unfinished->exists ? unfinished->id : -1);
    unfinished->exists = false;
    run->steps_done += (uint32_t)fmax(number(json, "steps"), 0.0);
    store_note_best(run, unfinished->id, accuracy, loss);
    if (unfinished->final) {
        run->final.stage = run->stage;
        if (!isnan(accuracy)) { /* a failed one has left no weights to go on from */
            run->final.id = unfinished->id;
            run->final.parent = unfinished->parent;
        }
        return ST_OK;
    }
    run->models++;
    return search_observe(run->search, unfinished->id, unfinished->parent, &unfinished->graph, accuracy, loss,
                          err);
}

/* A stage begins, or is said again with a budget that was raised within it. */
static void replay_stage(struct replay *replay, const struct journal_line *entry)
{
    struct run *run = replay->run;
    if (!run->stage_open) {
        run->stage = whole(entry->json, "stage");
        run->stage_open = true;
        run->stage_steps = run->steps_done;
        run->stage_began = run->next_id == 0 ? 0.0 : entry->time;
    }
    replay->stage_budget =
        number(cJSON_GetObjectItemCaseSensitive(entry->json, "budget"), budget_kind(&run->job->budget));
}

/* A tested stage is over, unless the job has moved its end further out since: then it goes on, with another
 * final fit. */
static void replay_test(struct replay *replay)
{
    struct run *run = replay->run;
    const struct job_budget *budget = &run->job->budget;
    run->stage_open = false;
    if (run->stage < budget_stages(budget) && budget_total(budget, run->stage) > replay->stage_budget)
        run->final.stage = -1;
    else
        run->stage++;
}

static enum status replay_line(struct replay *replay, size_t line, struct error *err)
{
    struct run *run = replay->run;
    const struct journal_line *entry = &replay->lines->lines[line];
    const char *event = entry->event;

    if (line == 0)
        return strcmp(event, "run") == 0
                   ? check_run(run, entry->json, err)
                   : error_set(err, ST_FORMAT, "found event \"%s\", expected \"run\"", event);
    if (strcmp(event, "stage") == 0) {
        replay_stage(replay, entry);
    } else if (strcmp(event, "candidate") == 0) {
        return replay_candidate(replay, entry->json, line, err);
    } else if (strcmp(event, "model") == 0 || strcmp(event, "failed") == 0) {
        return replay_end(replay, entry->json, err);
    } else if (strcmp(event, "plan") == 0) {
        run->unfinished.batch = whole(entry->json, "batch");
    } else if (strcmp(event, "left_out") == 0) {
        run->starts++;
    } else if (strcmp(event, "test") == 0) {
        replay_test(replay);
    }
    return ST_OK;
}

/* How often the unfinished candidate has killed the engine, this time included. The file has a line "ID
 * CAUSE" for each. */
static enum status count_kills(const struct run *run, const struct engine_history *history, int *kills,
                               struct error *err)
{
    enum status st = ST_OK;
    char *path = run_path(run, "restarts.txt"), line[128];
    FILE *stream = path != NULL ? fopen(path, "a+e") : NULL;

    *kills = 0;
    if (stream == NULL) {
        st = error_set(err, ST_IO, "%s: can't be opened", path != NULL ? path : "restarts.txt");
        goto out;
    }
    if (history->restarts > 0)
        fprintf(stream, "%d %s\n", run->unfinished.id, history->cause);
    rewind(stream);
    while (fgets(line, sizeof(line), stream) != NULL)
        *kills += strtol(line, NULL, 10) == run->unfinished.id;
out:
    if (stream != NULL && fclose(stream) != 0 && st == ST_OK)
        st = error_set(err, ST_IO, "%s: can't be written", path);
    free(path);
    return st;
}

/* Decides what becomes of the candidate that was in training, and where the journal is cut. */
static enum status settle_unfinished(struct replay *replay, const struct engine_history *history,
                                     struct error *err)
{
    struct run *run = replay->run;
    struct run_unfinished *unfinished = &run->unfinished;
    struct error ignored;
    uint64_t note = 0;
    int kills = 0;
    char *path = run_path(run, "checkpoint.bin");

    if (path == NULL)
        return error_memory(err, "path", 0);
    bool usable = checkpoint_note(path, &note, &ignored) == ST_OK && note > replay->candidate_line &&
                  note <= replay->lines->count;
    free(path);
    enum status st = count_kills(run, history, &kills, err);
    if (st != ST_OK)
        return st;
    if (kills >= MOST_KILLS) {
        struct error cause;
        error_set(&cause, ST_DEVICE, "killed the engine %d times, last by %s", kills, history->cause);
        unfinished->exists = false;
        run->models += !unfinished->final;
        st = record_failed(run, unfinished->id, unfinished->parent, unfinished->final, 0, &cause, err);
        if (st == ST_OK && !unfinished->final)
            st = search_observe(run->search, unfinished->id, unfinished->parent, &unfinished->graph, NAN, NAN,
                                err);
        return st;
    }
    size_t kept = usable ? (size_t)note : replay->candidate_line;
    if (!usable) { /* proposed again, with the same id and the same result */
        const cJSON *json = replay->lines->lines[kept].json;
        run->starts -= cJSON_GetObjectItemCaseSensitive(json, "start") != NULL;
        run->next_id = unfinished->id;
        unfinished->exists = false;
    }
    return journal_truncate(&run->journal, replay->lines->lines[kept - 1].end, (int64_t)kept, err);
}

enum status resume_run(struct run *run, struct engine_history *history, struct error *err)
{
    struct journal_lines lines = {0};
    struct replay replay = {.run = run, .lines = &lines};
    char *path = run_path(run, "journal.jsonl");

    enum status st = path != NULL ? ST_OK : error_memory(err, "path", 0);
    if (st == ST_OK)
        st = journal_open(path, &run->journal, err);
    if (st == ST_OK)
        st = journal_load(path, &lines, err);
    if (st != ST_OK)
        goto out;
    if (lines.count == 0) {
        run->clock_start = history->started;
        st = record_run(run, err);
        goto out;
    }
    for (size_t i = 0; st == ST_OK && i < lines.count; i++) {
        st = replay_line(&replay, i, err);
        if (st != ST_OK)
            error_prefix(err, "%s:%zu", path, i + 1);
    }
    if (st != ST_OK)
        goto out;
    if (history->restarts == 0)
        history->base = lines.lines[lines.count - 1].time;
    run->clock_base = history->base;
    run->clock_start = history->started;
    if (run->unfinished.exists)
        st = settle_unfinished(&replay, history, err);
    if (st == ST_OK && run->stage_open && run->stage < budget_stages(&run->job->budget) &&
        budget_total(&run->job->budget, run->stage) != replay.stage_budget)
        st = record_stage(run, err);
    if (st == ST_OK && run->best_id >= 0)
        st = store_publish(run, run->best_id, err);
out:
    journal_lines_free(&lines);
    free(path);
    return st;
}
