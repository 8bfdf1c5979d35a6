#include "host/run/coordinator.h"

#include "host/net/cost.h"
#include "host/net/serialise.h"
#include "host/run/record.h"
#include "host/run/resume.h"
#include "host/run/run_budget.h"
#include "host/run/sharing.h"
#include "host/run/speed.h"
#include "host/run/store.h"
#include "host/run/workers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Candidates that may fail one after the other before the search is ended. */
enum { MOST_FAILURES = 20 };
/* Where the clock decides anyway, so many windows may be proposed before the first of them is observed: no device waits
 * for a long training on another one. */
enum { WINDOWS = 4 };

/* The search of a stage. */
struct search_stage {
    struct run *run;
    struct workers *workers;
    int32_t most;
    struct candidate **coming; /* [most], the first run->coming: proposed and not observed, by id */
    int32_t failures;          /* in a row, as observed */
    bool exhausted;            /* the strategy has nothing to propose until something is observed */
};

int32_t coordinator_window(const struct run *run)
{
    int32_t ahead = run->job->search.ahead;
    if (ahead < 0)
        ahead = run->device_info.prepares_slowly ? run->devices.workers : 0;
    return run->devices.workers + ahead;
}

/* ---- what is tried next ---- */

/* A starting network is too large: it is not tried, and nobody asks again. */
static enum status leave_out(struct run *run, int32_t start, bool fits, struct error *err)
{
    const char *name = run->job->search.starts.items[start];
    run_lock(run);
    display_say(&run->display, 0, "start %s is left out: %s", name,
                fits ? "too large for the final fit in this budget" : "above the job's limits in all widths");
    enum status st = record_left_out(run, name, err);
    search_leave_out(run->search, start);
    run_unlock(run);
    return st;
}

/* Candidates that are to be trained, or in training; where no clock may decide anything, all that are not observed. */
static int32_t under_way(const struct search_stage *stage)
{
    struct run *run = stage->run;
    int32_t count = 0;
    if (run_repeats(run))
        return run->coming;
    run_lock(run);
    for (int32_t i = 0; i < run->coming; i++)
        count += !stage->coming[i]->ended;
    run_unlock(run);
    return count;
}

/* What the strategy proposes that may be tried. */
static enum status ask(const struct search_stage *stage, struct proposal *proposal, struct error *err)
{
    struct run *run = stage->run;
    const struct budget_state budget = run_budget(run);
    struct search_request request = run_request(run, &budget);
    request.fill = under_way(stage) < run->devices.workers && budget_fills_devices(&budget);
    enum status st = search_propose(run->search, &request, proposal, err);
    while (st == ST_OK && proposal->start >= 0 && !search_admits(&request.limits, &proposal->graph)) {
        const int32_t start = proposal->start;
        const bool fits = search_fits(&request.limits, &proposal->graph);
        proposal_free(proposal);
        st = leave_out(run, start, fits, err);
        if (st == ST_OK)
            st = search_propose(run->search, &request, proposal, err);
    }
    return st;
}

/* The next candidate; *made is NULL when the strategy has none. */
static enum status next_candidate(const struct search_stage *stage, struct candidate **made,
                                  struct error *err)
{
    struct run *run = stage->run;
    struct proposal proposal;
    *made = NULL;
    enum status st = ask(stage, &proposal, err);
    if (st != ST_OK)
        return st == ST_NONE ? ST_OK : st;
    *made = candidate_new();
    if (*made == NULL) {
        proposal_free(&proposal);
        return error_memory(err, "candidate", sizeof(**made));
    }
    (*made)->id = run->next_id;
    candidate_take(*made, &proposal);
    return ST_OK;
}

/* As the search is told of it. */
static struct search_trial trial_of(const struct candidate *candidate)
{
    return (struct search_trial){.id = candidate->id,
                                 .parent = candidate->parent,
                                 .start = candidate->start,
                                 .graph = &candidate->graph,
                                 .recipe = candidate->recipe,
                                 .prediction = candidate->prediction};
}

/* What the candidates on their way take at most. A sum over all of them: a running one would not come back to 0. With
 * the run's lock. */
static void count_coming(struct search_stage *stage)
{
    struct run *run = stage->run;
    const bool by_model = run->job->budget.clock == JOB_CLOCK_MODEL;
    run->steps_coming = 0;
    run->model_seconds_coming = 0.0;
    for (int32_t i = 0; i < run->coming; i++) {
        const uint32_t steps = stage->coming[i]->limit.steps;
        if (steps == UINT32_MAX)
            continue;
        run->steps_coming += steps;
        if (by_model)
            run->model_seconds_coming += run_model_seconds(run, stage->coming[i], steps);
    }
}

/* Tells the search of the candidate and hands it to the workers, but for one that has ended in an earlier process. */
static enum status send(struct search_stage *stage, struct candidate *candidate, struct error *err)
{
    struct run *run = stage->run;
    candidate->alone = resume_is_suspect(run, candidate->id);
    candidate->observed = run->models;
    const struct search_trial trial = trial_of(candidate);
    candidate->limit = (struct trainer_limit){.seconds = INFINITY, .steps = run_steps_limit(run, candidate)};
    if (candidate->batch == 0)
        candidate->batch = batches_wanted(&run->batches, false, candidate->recipe.hyperparameters.batch);
    candidate->expected_images_per_second = speed_expected(run, candidate);
    run_lock(run);
    enum status st = search_pend(run->search, &trial, err);
    if (st == ST_OK) {
        stage->coming[run->coming++] = candidate;
        run->next_id = candidate->id + 1;
        count_coming(stage);
    }
    run_unlock(run);
    if (st != ST_OK)
        candidate_free(candidate);
    else if (!candidate->ended)
        workers_give(stage->workers, candidate);
    return st;
}

/* Proposes the next candidate, if there is one. What the journal knows of it need not be found out again. */
static enum status propose(struct search_stage *stage, struct error *err)
{
    struct run *run = stage->run;
    struct candidate *candidate = resume_take(run, run->next_id);
    enum status st = candidate == NULL ? next_candidate(stage, &candidate, err) : ST_OK;
    stage->exhausted = candidate == NULL;
    return candidate != NULL && st == ST_OK ? send(stage, candidate, err) : st;
}

/* Whether there is to be one more now. What the journal knows comes when as much was observed as when it was proposed;
 * what it knew and has forgotten comes by the rules. */
static bool wanted(const struct search_stage *stage)
{
    const struct run *run = stage->run;
    const struct candidate *known = resume_find(run, run->next_id);
    const bool forgotten = known == NULL && resume_has_later(run, run->next_id);

    if (run->coming == stage->most || under_way(stage) >= run->window || stage->exhausted)
        return false;
    if (known != NULL)
        return run->models >= known->observed;
    if (!forgotten && (resume_has_final(run) || stage->failures >= MOST_FAILURES))
        return false;
    const struct budget_state budget = run_budget(run);
    /* Without one trained network there is nothing to end with, so that one is tried whatever the budget says. */
    if (run->best_id < 0 && run->coming == 0)
        return true;
    return forgotten || budget_search_goes_on(&budget);
}

/* ---- what comes back ---- */

enum status coordinator_observe(struct run *run, struct candidate *candidate, struct error *err)
{
    struct search_trial trial = trial_of(candidate);
    enum status st = ST_OK;
    trial.epochs = (double)candidate->steps * candidate->batch / run->data.sample_count[SPLIT_TRAIN];
    trial.images_per_second = candidate->images_per_second;
    trial.gain = candidate->gain;
    trial.gain_deviation = candidate->gain_deviation;
    run_lock(run);
    run->steps_done += candidate->steps;
    run->model_seconds += run_model_seconds(run, candidate, candidate->steps);
    if (!candidate->failed) {
        speed_learn(run, candidate);
        store_note_best(run, candidate);
    }
    if (candidate->final) {
        if (!candidate->failed) /* a failed one has left no weights to go on from */
            run->final = candidate_as_final(candidate);
    } else {
        run->models++;
        st = search_observe(run->search, &trial, candidate->validation.accuracy, candidate->validation.loss,
                            err);
    }
    run_unlock(run);
    return st;
}

/* Takes the oldest of the coming candidates away. */
static struct candidate *take_oldest(struct search_stage *stage)
{
    struct run *run = stage->run;
    struct candidate *oldest = stage->coming[0];
    run_lock(run);
    run->coming--;
    for (int32_t i = 0; i < run->coming; i++)
        stage->coming[i] = stage->coming[i + 1];
    count_coming(stage);
    run_unlock(run);
    return oldest;
}

/* Waits for the oldest of them; where another one may begin as soon as any has ended, for any. Whether it is the
 * oldest. */
static enum status wait_for_one(struct search_stage *stage, bool *oldest, struct error *err)
{
    struct run *run = stage->run;
    const struct candidate *waited[DEVICES_MOST] = {stage->coming[0]};
    int32_t count = 1;
    run_lock(run);
    if (!run_repeats(run) && !stage->coming[0]->ended)
        for (int32_t i = 1; i < run->coming && count < DEVICES_MOST; i++)
            if (!stage->coming[i]->ended)
                waited[count++] = stage->coming[i];
    run_unlock(run);
    enum status st = workers_wait(stage->workers, waited, count, err);
    run_lock(run);
    *oldest = stage->coming[0]->ended;
    run_unlock(run);
    return st;
}

/* Waits, and learns from the oldest of them when that is there. */
static enum status learn(struct search_stage *stage, struct error *err)
{
    struct run *run = stage->run;
    bool is_there;
    enum status st = wait_for_one(stage, &is_there, err);
    if (st != ST_OK || !is_there)
        return st;
    struct candidate *oldest = take_oldest(stage);
    st = coordinator_observe(run, oldest, err);
    stage->failures = oldest->failed ? stage->failures + 1 : 0;
    stage->exhausted = false;
    /* While the journal has more to tell, model.safetensors may hold a better one. */
    if (st == ST_OK && run->past_count == 0)
        st = store_publish_best(run, err);
    if (st == ST_OK)
        store_prune(run, stage->coming, run->coming);
    candidate_free(oldest);
    return st;
}

enum status coordinator_search(struct run *run, struct error *err)
{
    const int32_t most = run_repeats(run) ? run->window : WINDOWS * run->window;
    struct search_stage stage = {
        .run = run, .most = most, .coming = calloc((size_t)most, sizeof(struct candidate *))};
    enum status st = stage.coming != NULL ? workers_open(run, &stage.workers, err)
                                          : error_memory(err, "candidates", (size_t)most);
    while (st == ST_OK) {
        if (wanted(&stage))
            st = propose(&stage, err);
        else if (run->coming > 0)
            st = learn(&stage, err);
        else
            break;
    }
    workers_close(stage.workers);
    if (st == ST_OK && stage.exhausted && run->best_id >= 0 && /* else the final fit says what is wrong */
        !search_goes_by_means(run->search))                    /* it ends when it knows enough */
        display_say(&run->display, 0, "nothing new within the limits: the search ends early");
    for (int32_t i = 0; i < run->coming; i++)
        candidate_free(stage.coming[i]);
    run->coming = 0;
    free(stage.coming);
    return st;
}
