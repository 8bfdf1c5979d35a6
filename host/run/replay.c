#include "host/run/replay.h"

#include "host/journal/event_read.h"
#include "host/net/serialise.h"
#include "host/run/baseline.h"
#include "host/run/coordinator.h"
#include "host/run/record.h"
#include "host/run/resume.h"
#include "host/run/stage.h"
#include "host/run/store.h"
#include "host/run/testing.h"
#include "host/search/budget.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Which of the job's starting networks that is, the baseline's behind the others; -1: none. */
static int32_t start_of(const struct run *run, const char *name)
{
    const int32_t count = run->job->search.starts.count + (job_baseline_start(run->job) != NULL);
    for (int32_t i = 0; name != NULL && i < count; i++) {
        if (strcmp(start_files_name(run->job, i), name) == 0)
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
    int32_t at = run->past_count++;
    for (; at > 0 && run->past[at - 1]->id > candidate->id; at--)
        run->past[at] = run->past[at - 1];
    run->past[at] = candidate;
    return ST_OK;
}

/* What is not said is as usual. */
static struct recipe recipe_of(const struct event_candidate *event)
{
    struct recipe recipe = recipe_usual();
    if (!isnan(event->budget))
        recipe.budget = event->budget;
    recipe.batches_of = event->batches_of;
    recipe.goes_on = event->state_of >= 0;
    recipe.compared_with = event->compared_with;
    recipe.fresh = event->fresh;
    recipe.shrink = event->shrink;
    recipe.prior = event->prior;
    recipe.policy.entropy = event->policy_entropy;
    recipe.policy.baseline = event->policy_baseline;
    for (int32_t i = 0; i < event->policy_tokens.count && i < RECIPE_TOKENS; i++) {
        const double token = event->policy_tokens.items[i];
        recipe.policy.tokens[recipe.policy.count++] = token >= 0.0 && token < 256.0 ? (int32_t)token : -1;
    }
#define READ(name) recipe.hyperparameters.name = event->name;
    RECIPE_HYPERPARAMETERS(READ)
#undef READ
    return recipe;
}

/* ---- events ---- */

static enum status replay_run(const struct run *run, const struct event_run *event, struct error *err)
{
    char expected[DATA_FINGERPRINT_LENGTH];
    const struct event_dataset *before = &event->dataset;
    const int32_t *now = run->data.sample_count;
    data_fingerprint_text(&run->data, before->fingerprint, expected);
    if (strcmp(before->fingerprint, expected) != 0)
        return error_set(
            err, ST_FORMAT,
            "the run began on %d + %d + %d images for training, validation and test (%s), the job's "
            "data are %d + %d + %d (%s); use --fresh to start over",
            (int)before->train, (int)before->validation, (int)before->test, before->fingerprint,
            (int)now[SPLIT_TRAIN], (int)now[SPLIT_VALIDATION], (int)now[SPLIT_TEST], expected);
    return ST_OK;
}

/* What training began with is to be there still: fresh weights of a training that is begun again are the file's. */
static enum status replay_start_file(struct run *run, const struct event_start_file *event, struct error *err)
{
    for (int32_t i = 0; i < run->files.count; i++) {
        struct start_file *file = &run->files.items[i];
        if (file->path == NULL || strcmp(file->path, event->file) != 0)
            continue;
        if (strcmp(file->hash, event->hash) != 0)
            return error_set(
                err, ST_FORMAT,
                "%s: %s: its hash is %s, expected %s as the run began; use --fresh to start over",
                start_files_key(run->job, i), file->path, file->hash, event->hash);
        file->recorded = true;
    }
    return ST_OK;
}

static enum status replay_candidate(struct run *run, const struct event_candidate *event, double time,
                                    struct error *err)
{
    if (find(run, event->id) != NULL)
        return error_set(err, ST_FORMAT, "found the beginning of candidate %d, expected that of another",
                         (int)event->id);
    /* Each id is followed by another, and a parent was there before its child. */
    if (event->id == INT32_MAX || event->parent >= event->id)
        return error_set(err, ST_FORMAT,
                         "found candidate %d of parent %d, expected a parent before it and more behind",
                         (int)event->id, (int)event->parent);
    struct candidate *candidate = candidate_new();
    if (candidate == NULL)
        return error_memory(err, "candidate", sizeof(*candidate));
    candidate->id = event->id;
    candidate->parent = candidate->source = event->parent;
    candidate->final = event->final;
    candidate->baseline = event->baseline_of >= 0;
    candidate->baseline_of = event->baseline_of;
    candidate->prediction.mean = event->expected;
    candidate->recipe = recipe_of(event);
    candidate->observed = event->observed;
    candidate->batch =
        batches_wanted(&run->batches, candidate->final, candidate->recipe.hyperparameters.batch);
    candidate->start = start_of(run, event->start);
    candidate_say(candidate, "resumed");
    if (candidate->baseline)
        baseline_begin(run, time);
    enum status st = graph_from_json(&candidate->graph, event->graph, err);
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

/* The candidate whose end an event tells. */
static enum status ended(const struct run *run, int32_t id, struct candidate **candidate, struct error *err)
{
    *candidate = find(run, id);
    if (*candidate == NULL || (*candidate)->ended)
        return error_set(err, ST_FORMAT, "found the end of candidate %d, expected that of one in training",
                         (int)id);
    return ST_OK;
}

static enum status replay_failed(struct run *run, const struct event_failed *event, struct error *err)
{
    struct candidate *candidate;
    enum status st = ended(run, event->id, &candidate, err);
    if (st == ST_OK)
        replay_mark_failed(candidate, event->steps);
    if (st == ST_OK)
        snprintf(run->failure, sizeof(run->failure), "%s", event->message);
    return st;
}

static enum status replay_model(struct run *run, const struct event_model *event, struct error *err)
{
    struct candidate *candidate;
    enum status st = ended(run, event->id, &candidate, err);
    if (st != ST_OK)
        return st;
    candidate->ended = true;
    candidate->steps = event->steps;
    candidate->validation =
        (struct trainer_result){.loss = event->validation_loss, .accuracy = event->validation_accuracy};
    candidate->joined = event->validated > 0 ? (uint32_t)event->validated : 0;
    candidate->gain = event->gain;
    candidate->gain_deviation = event->gain_deviation;
    if (event->hash != NULL)
        st = store_note_hash(run, event->id, RUN_MODEL, event->hash, err);
    if (st == ST_OK && event->losses_hash != NULL)
        st = store_note_hash(run, event->id, RUN_LOSSES, event->losses_hash, err);
    return st;
}

static void replay_plan(struct run *run, const struct event_plan *event)
{
    struct candidate *candidate = find(run, event->id);
    if (candidate != NULL && event->batch > 0)
        candidate->batch = event->batch;
}

static void replay_epoch(struct run *run, const struct event_epoch *event)
{
    struct candidate *candidate = find(run, event->id);
    if (candidate != NULL && isfinite(event->images_per_second))
        candidate->images_per_second = event->images_per_second;
}

/* How the devices are shared, as it was measured when the run began. */
static void replay_workers(struct run *run, const struct event_workers *event)
{
    if (event->per_device > 0)
        run->sharing = (struct run_sharing){
            .workers = event->per_device, .alone = event->alone, .together = event->together};
}

/* How fast the device is, as it was measured when the run began. */
static void replay_calibration(struct run *run, const struct event_calibration *event)
{
    run->rates.batch = event->batch;
#define READ(NAME, name, meaning) run->rates.seconds[COST_##NAME] = event->name;
    COST_UNITS(READ)
#undef READ
    if (!isnan(event->measured)) {
        run->seconds_per_image = event->measured;
        run->beside = event->beside;
        run->evaluation_factor = isnan(event->evaluation) ? 0.0 : event->evaluation;
        run->calibrated = true;
    }
}

/* What networks take for one image, as it was measured when the run began. */
static void replay_latency(struct run *run, const struct event_latency *event)
{
    run->limits.latency.batch = 1;
#define READ(NAME, name, meaning) run->limits.latency.seconds[COST_##NAME] = event->name;
    COST_UNITS(READ)
#undef READ
}

/* A stage begins, or is said again with a budget that was raised within it. What is over by now can't be had with
 * another budget, nor the last stage with less. */
static enum status replay_stage(struct run *run, const struct event *event, struct replayed *found,
                                struct error *err)
{
    const struct job_budget *budget = &run->job->budget;
    struct event_budget amounts = event->stage.budget;
    const double amount = *record_amount(&amounts, budget);
    const bool in_job = event->stage.stage < budget_stages(budget);
    const double wanted = in_job ? budget_total(budget, event->stage.stage) : 0.0;
    if (isnan(amount))
        return error_set(err, ST_RANGE, "the run's budget is not in %s as the job's is", budget_kind(budget));
    if (!(wanted >= amount))
        return error_set(err, ST_RANGE, "the job's budget.%s for this stage is %.17g, expected %.17g or more",
                         budget_kind(budget), wanted, amount);
    if (!run->stage_open) {
        run->stage = event->stage.stage;
        stage_begin(run, event->time);
    }
    found->stage_budget = amount;
    return ST_OK;
}

/* The baseline is still to come: what the best model answered is needed for it. */
static enum status keep_right(struct run *run, const struct event_test *event, struct error *err)
{
    const int32_t count = run->data.sample_count[SPLIT_TEST];
    free(run->right);
    run->right = calloc((size_t)count + 1, 1);
    if (run->right == NULL)
        return error_memory(err, "test", (size_t)count);
    return testing_right_of(event->right, count, run->right, err);
}

static enum status replay_calibration_of(struct run *run, const struct event_test *event, struct error *err)
{
    const struct event_numbers *thresholds = &event->label_thresholds;
    const bool several = run->data.label_sets != NULL;
    if (thresholds->count != (several ? run->data.classes : 0))
        return error_set(err, ST_FORMAT, "\"label_thresholds\" has %d numbers, expected %d",
                         (int)thresholds->count, (int)(several ? run->data.classes : 0));
    if (isnan(event->temperature) || isnan(event->plain_temperature))
        return ST_OK; /* of an older version */
    struct run_calibration found = {.id = event->id,
                                    .temperature = (float)event->temperature,
                                    .plain_temperature = (float)event->plain_temperature};
    if (event->published != NULL)
        snprintf(found.hash, sizeof(found.hash), "%s", event->published);
    return store_note_calibration(run, &found, several ? thresholds->items : NULL, err);
}

/* A tested stage is over, or waits for its baseline, unless the job has moved its end further out since: then it goes
 * on, with another final fit. All its candidates have ended, and are observed by id. */
static enum status replay_test(struct run *run, const struct event *event, double stage_budget,
                               struct error *err)
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
    }
    resume_forget(run);
    run->energy.spent = event->test.energy;
    if (st == ST_OK)
        st = replay_calibration_of(run, &event->test, err);
    run->model_seconds = event->time; /* by its clock: the trainings' and the test's */
    if (run->stage < budget_stages(budget) && budget_total(budget, run->stage) > stage_budget) {
        run->stage_open = false;
        return st;
    }
    if (st == ST_OK && event->test.right != NULL) {
        run->stage_tested = true;
        return keep_right(run, &event->test, err);
    }
    run->stage++;
    run->stage_open = false;
    return st;
}

/* The stage is over, unless its end was moved further out before: then it is only known what the baseline has had. */
static enum status replay_baseline(struct run *run, const struct event *event, struct error *err)
{
    struct candidate *candidate = find(run, event->baseline.id);
    if (candidate == NULL || !candidate->baseline || !candidate->ended)
        return error_set(err, ST_FORMAT, "found the baseline %d, expected one in training",
                         (int)event->baseline.id);
    baseline_end(run, candidate, event->baseline.spent, event->time);
    resume_forget(run);
    run->model_seconds = event->time;
    run->stage += run->stage_tested;
    run->stage_open = run->stage_tested = false;
    return ST_OK;
}

static enum status replay_event(struct run *run, const struct event *event, struct replayed *found,
                                struct error *err)
{
    int32_t start;
    switch (event->kind) {
    case EVENT_RUN:
        return replay_run(run, &event->run, err);
    case EVENT_START_FILE:
        return replay_start_file(run, &event->start_file, err);
    case EVENT_WORKERS:
        replay_workers(run, &event->workers);
        return ST_OK;
    case EVENT_CALIBRATION:
        replay_calibration(run, &event->calibration);
        return ST_OK;
    case EVENT_LATENCY:
        replay_latency(run, &event->latency);
        return ST_OK;
    case EVENT_STAGE:
        return replay_stage(run, event, found, err);
    case EVENT_LEFT_OUT:
        start = start_of(run, event->left_out.start);
        if (start >= 0)
            search_leave_out(run->search, start);
        return ST_OK;
    case EVENT_CANDIDATE:
        return replay_candidate(run, &event->candidate, event->time, err);
    case EVENT_PLAN:
        replay_plan(run, &event->plan);
        return ST_OK;
    case EVENT_MODEL:
        return replay_model(run, &event->model, err);
    case EVENT_FAILED:
        return replay_failed(run, &event->failed, err);
    case EVENT_TEST:
        return replay_test(run, event, found->stage_budget, err);
    case EVENT_BASELINE:
        return replay_baseline(run, event, err);
    case EVENT_EPOCH:
        replay_epoch(run, &event->epoch);
        return ST_OK;
    case EVENT_CONTINUED:
    case EVENT_MORPH:
    case EVENT_UNRECORDED:
    case EVENT_KINDS:
        break;
    }
    return ST_OK;
}

/* Whether this version may go on from what the lines up to here say. */
static enum status check_format(const struct event_reader *reader, struct error *err)
{
    if (reader->format >= EVENT_FORMAT_RESUMED && reader->format <= EVENT_FORMAT)
        return ST_OK;
    return error_set(
        err, ST_FORMAT,
        "the journal's format is %d, written by nasrun %s, expected %d to %d; use that version to go on, or "
        "--fresh to start over",
        (int)reader->format, reader->version, EVENT_FORMAT_RESUMED, EVENT_FORMAT);
}

enum status replay_lines(struct run *run, const struct journal_lines *lines, struct replayed *found,
                         struct error *err)
{
    struct event_reader reader = event_reader_open(run->journal.path, lines);
    const struct event *event;
    enum status st;
    *found = (struct replayed){0};
    assert(strcmp(lines->lines[0].event, event_name(EVENT_RUN)) == 0); /* as journal_first has seen */
    while ((st = event_next(&reader, &event, err)) == ST_OK && event != NULL) {
        st = check_format(&reader, err);
        if (st == ST_OK)
            st = replay_event(run, event, found, err);
        if (st != ST_OK) {
            event_refuse(&reader, err);
            break;
        }
    }
    found->format = reader.format;
    found->version = reader.version;
    event_reader_close(&reader);
    return st;
}

bool replay_keeps(const struct run *run, const struct event *event)
{
    const struct candidate *candidate = find(run, event_candidate(event));
    if (candidate == NULL || candidate->ended || event->kind == EVENT_TEST)
        return true;
    if (!candidate->restored)
        return false;
    return event->kind != EVENT_EPOCH || event->epoch.step <= candidate->steps;
}
