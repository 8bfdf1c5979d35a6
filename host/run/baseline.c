#include "host/run/baseline.h"

#include "host/run/record.h"
#include "host/run/resume.h"
#include "host/run/run_budget.h"
#include "host/run/speed.h"
#include "host/run/stage.h"
#include "host/run/testing.h"

#include <math.h>
#include <stdlib.h>

/* ---- its network ---- */

/* That of a search among its network alone; `search` is what it points to. */
static struct search_setup make_setup(const struct run *run, struct job_search *search)
{
    const struct job *job = run->job;
    const char *named = job_baseline_start(job);
    struct search_setup setup = run_search_setup(run);
    *search = job->search;
    search->strategy = JOB_STRATEGY_NONE;
    setup.job = search;
    if (named != NULL || job->baseline.width > 0)
        search->width = job->baseline.width;
    if (named != NULL) {
        search->starts = (struct job_strings){.count = 1, .items = {(char *)named}};
        setup.files = run->files.count > 0 ? &run->files.graphs[job->search.starts.count] : NULL;
    }
    return setup;
}

enum status baseline_check(const struct run *run, struct error *err)
{
    struct job_search search;
    const struct search_setup setup = make_setup(run, &search);
    if (!job_has_baseline(run->job) || search_check_limits(&setup, &run->limits, err) == ST_OK)
        return ST_OK;
    return error_prefix(err, "baseline.start");
}

enum status baseline_open(struct run *run, struct error *err)
{
    struct job_search search;
    const struct search_setup setup = make_setup(run, &search);
    const enum status st = baseline_check(run, err);
    return st == ST_OK && job_has_baseline(run->job) ? search_new(&setup, &run->baseline.search, err) : st;
}

/* ---- its budget ---- */

static bool goes_on(const struct run *run)
{
    return run->baseline.last.id >= 0 && !run->baseline.last.joined;
}

/* Seconds are those of the whole run: where it begins from fresh weights, what opening the run took is part of them, as
 * it is without a search. */
static double seconds_spent(const struct run *run)
{
    const struct run_baseline *baseline = &run->baseline;
    const double now = isnan(baseline->began) ? 0.0 : run_time(run) - baseline->began;
    return now + (goes_on(run) ? baseline->spent : run->opened);
}

struct budget_state baseline_budget(const struct run *run)
{
    struct budget_state state = run_budget(run);
    state.final_share = 1.0;
    state.began = 0.0;
    switch (state.kind) {
    case BUDGET_SECONDS:
        state.total = budget_total(&run->job->budget, run->stage);
        state.spent = seconds_spent(run);
        return state;
    case BUDGET_STEPS:
        break;
    case BUDGET_MODELS:
        state.kind = BUDGET_STEPS;
        state.total = run->steps_done;
        break;
    }
    state.spent = goes_on(run) ? run->baseline.spent : 0.0;
    return state;
}

/* ---- its training ---- */

static enum status propose(const struct run *run, struct candidate **made, struct error *err)
{
    const struct budget_state budget = baseline_budget(run);
    const struct search_request request = run_request(run, &budget);
    struct proposal proposal;
    *made = NULL;
    enum status st = search_propose_final(run->baseline.search, &request, &proposal, err);
    if (st == ST_OK && job_baseline_start(run->job) != NULL)
        proposal.start = run->job->search.starts.count;
    if (st == ST_OK)
        st = stage_final(run, &proposal, &run->baseline.last, made, err);
    if (st != ST_OK)
        return st;
    candidate_say(*made, "baseline");
    (*made)->baseline = true;
    (*made)->baseline_of = run->best_id;
    (*made)->recipe.batches_of = run->stage; /* the id that it would have without a search */
    return ST_OK;
}

static enum status train(struct run *run, struct candidate **trained, struct error *err)
{
    struct candidate *candidate = resume_take_baseline(run);
    enum status st = candidate == NULL ? propose(run, &candidate, err) : ST_OK;
    if (st == ST_OK && isnan(run->baseline.began))
        baseline_begin(run, run_time(run));
    if (st == ST_OK)
        st = stage_train_final(run, &run->baseline.last, candidate, err);
    *trained = candidate;
    return st;
}

/* ---- its test ---- */

static void compare(const uint8_t *right, const struct trainer_test *test, struct event_baseline *event)
{
    for (int32_t i = 0; i < test->count; i++) {
        event->better += right[i] && !test->right[i];
        event->worse += !right[i] && test->right[i];
    }
}

static void say(struct run *run, const struct event_baseline *event)
{
    if (isnan(event->accuracy))
        display_result(&run->display, "baseline: model %d could not be trained", (int)event->id);
    else
        display_result(&run->display,
                       "baseline: model %d without a search, test accuracy %.4f; %d images are right by the "
                       "search alone, %d without it alone",
                       (int)event->id, event->accuracy, (int)event->better, (int)event->worse);
}

static enum status test(struct run *run, const struct candidate *candidate, struct event_baseline *event,
                        struct error *err)
{
    struct trainer_test test = {0};
    if (candidate->failed)
        return ST_OK;
    enum status st = testing_run(run, candidate->id, &test, err);
    if (st == ST_OK) {
        event->accuracy = test.result.accuracy;
        event->loss = test.result.loss;
        if (test.views > 1) {
            event->views = test.views;
            event->plain_accuracy = test.plain.accuracy;
        }
        compare(run->right, &test, event);
    }
    testing_free(&test);
    return st;
}

enum status baseline_run(struct run *run, struct error *err)
{
    struct candidate *candidate = NULL;
    enum status st = train(run, &candidate, err);
    if (st != ST_OK)
        goto out;
    const struct budget_state budget = baseline_budget(run);
    struct event_baseline event = {.stage = run->stage,
                                   .id = candidate->id,
                                   .accuracy = NAN,
                                   .loss = NAN,
                                   .views = -1,
                                   .plain_accuracy = NAN,
                                   .spent = budget.total};
    run_lock(run);
    run->model_seconds += run_model_seconds(run, candidate, candidate->steps);
    if (!candidate->failed)
        speed_learn(run, candidate);
    run_unlock(run);
    st = test(run, candidate, &event, err);
    if (st != ST_OK)
        goto out;
    const double time = run_time(run);
    st = record_baseline(run, &event, time, err);
    if (st == ST_OK) {
        baseline_end(run, candidate, event.spent, time);
        say(run, &event);
    }
out:
    candidate_free(candidate);
    return st;
}

void baseline_begin(struct run *run, double time)
{
    run->baseline.began = time;
}

void baseline_end(struct run *run, const struct candidate *candidate, double spent, double time)
{
    struct run_baseline *baseline = &run->baseline;
    run->aside += time - baseline->began;
    baseline->began = NAN;
    baseline->last =
        candidate->failed ? (struct run_final){.id = -1, .parent = -1} : candidate_as_final(candidate);
    baseline->spent = spent;
    run->next_id = candidate->id + 1;
}
