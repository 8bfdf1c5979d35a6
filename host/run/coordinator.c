#include "host/run/coordinator.h"

#include "host/net/cost.h"
#include "host/net/start.h"
#include "host/run/record.h"
#include "host/run/resume.h"
#include "host/run/run_budget.h"
#include "host/run/sharing.h"
#include "host/run/store.h"
#include "host/run/workers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Candidates that may fail one after the other before the search is ended. */
enum { MOST_FAILURES = 20 };
/* Steps from which on a training tells how fast the machine is. */
enum { CALIBRATION_STEPS = 20 };

/* The search of a stage. */
struct search_stage {
    struct run *run;
    struct workers *workers;
    struct candidate **coming; /* [run->window], the first run->coming: proposed and not observed, by id */
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

/* The next starting network as a candidate; *made is NULL when it is left out. */
static enum status next_start(struct run *run, struct candidate **made, struct error *err)
{
    const char *name = run->job->search.starts.items[run->starts];
    const struct shape image = {0, run->data.channels, run->data.height, run->data.width};
    const struct budget_state budget = run_budget(run);
    const struct search_limits limits = budget_limits(&budget);
    struct candidate *candidate = candidate_new();

    *made = NULL;
    if (candidate == NULL)
        return error_memory(err, "candidate", sizeof(*candidate));
    enum status st =
        start_make(&candidate->graph, name, run->job->search.width, image, run->data.classes, err);
    if (st == ST_OK && search_admits(&limits, &candidate->graph)) {
        candidate->id = run->next_id;
        candidate->start = run->starts;
        candidate_name(candidate, "start ", name);
        *made = candidate;
        candidate = NULL;
    } else if (st == ST_OK) {
        run_lock(run);
        display_say(&run->display, 0, "start %s is left out: too large for the final fit in this budget",
                    name);
        st = record_left_out(run, name, err);
        run->left_out |= 1u << run->starts;
        run_unlock(run);
    }
    candidate_free(candidate);
    return st;
}

/* What the strategy proposes, or, while there is no parent, a change of a network that is in training: from fresh weights, as a
 * starting network is. *made is NULL when that is nothing. */
static enum status next_child(struct run *run, struct candidate **made, struct error *err)
{
    const bool fresh = run->best_id < 0;
    const struct budget_state budget = run_budget(run);
    const struct search_limits limits = budget_limits(&budget);
    struct candidate *candidate = candidate_new();
    struct proposal proposal;

    *made = NULL;
    if (candidate == NULL)
        return error_memory(err, "candidate", sizeof(*candidate));
    enum status st = fresh ? search_propose_variant(run->search, run->next_id, &limits, &proposal, err)
                           : search_propose(run->search, run->next_id, &limits, &proposal, err);
    if (st == ST_OK) {
        candidate->id = run->next_id;
        candidate->parent = fresh ? -1 : proposal.parent;
        candidate->guess = proposal.mean;
        candidate->morph_count = fresh ? 0 : proposal.morph_count;
        candidate->operation_count = proposal.morph_count;
        memcpy(candidate->morphs, proposal.morphs, sizeof(candidate->morphs));
        memcpy(candidate->operations, proposal.operations, sizeof(candidate->operations));
        candidate->graph = proposal.graph; /* changes owner */
        *made = candidate;
        candidate = NULL;
    }
    candidate_free(candidate);
    return st == ST_NONE ? ST_OK : st;
}

/* Expects the candidate and hands it to the workers, or only expects it when it has ended in an earlier process. */
static enum status send(struct search_stage *stage, struct candidate *candidate, struct error *err)
{
    struct run *run = stage->run;
    const struct budget_state budget = run_budget(run);
    candidate->alone = resume_is_suspect(run, candidate->id);
    candidate->observed = run->models;
    candidate->limit = (struct trainer_limit){
        .seconds = INFINITY, .steps = budget_candidate_steps(&budget, candidate->parent < 0)};
    if (candidate->batch == 0)
        candidate->batch = run->batches.candidate;
    run_lock(run);
    enum status st = search_expect(run->search, candidate->id, candidate->parent, &candidate->graph,
                                   candidate->guess, err);
    if (st == ST_OK) {
        stage->coming[run->coming++] = candidate;
        run->next_id = candidate->id + 1;
        if (candidate->start >= 0)
            run->starts = candidate->start + 1;
        if (candidate->limit.steps != UINT32_MAX)
            run->steps_coming += candidate->limit.steps;
    }
    run_unlock(run);
    if (st != ST_OK)
        candidate_free(candidate);
    else if (!candidate->ended)
        workers_give(stage->workers, candidate);
    return st;
}

static void skip_left_out(struct run *run)
{
    while (run->starts < run->job->search.starts.count && (run->left_out >> run->starts & 1) != 0)
        run->starts++;
}

/* Proposes the next candidate, if there is one. What the journal knows of it need not be found out again. */
static enum status propose(struct search_stage *stage, struct error *err)
{
    struct run *run = stage->run;
    enum status st = ST_OK;
    skip_left_out(run);
    struct candidate *candidate = resume_take(run, run->next_id);
    while (candidate == NULL && st == ST_OK && run->starts < run->job->search.starts.count) {
        st = next_start(run, &candidate, err);
        skip_left_out(run);
    }
    if (candidate == NULL && st == ST_OK)
        st = next_child(run, &candidate, err);
    stage->exhausted = candidate == NULL;
    return candidate != NULL && st == ST_OK ? send(stage, candidate, err) : st;
}

/* Whether there is to be one more now. What the journal knows comes when as much was observed as when it was proposed; what
 * it knew and has forgotten comes by the rules. */
static bool wanted(const struct search_stage *stage)
{
    const struct run *run = stage->run;
    const bool starting = run->starts < run->job->search.starts.count, parents = run->best_id >= 0;
    const struct candidate *known = resume_find(run, run->next_id);
    const bool forgotten = known == NULL && resume_has_later(run, run->next_id);

    if (run->coming == run->window || stage->exhausted)
        return false;
    if (known != NULL)
        return run->models >= known->observed;
    if (!forgotten && (resume_has_final(run) || stage->failures >= MOST_FAILURES))
        return false;
    const struct budget_state budget = run_budget(run);
    /* Without one trained network there is nothing to end with, so that one is tried whatever the budget says; and without
     * one there are no children, but there may be idle devices. */
    if (!parents && starting && run->coming == 0)
        return true;
    if (!parents && !starting)
        return run->coming > 0 && run->coming < run->devices.workers && budget_fills_devices(&budget);
    return forgotten || budget_search_goes_on(&budget);
}

/* ---- what comes back ---- */

/* Remembers how the measured time of a step compares with the predicted one. Short trainings tell too little.
 */
static void calibrate(struct run *run, const struct candidate *candidate)
{
    const int32_t images = run->data.sample_count[SPLIT_VALIDATION];
    const double slowdown =
        candidate->final ? 1.0 : sharing_slowdown(&run->sharing); /* a final fit has nothing beside it */
    double predicted =
        slowdown * cost_seconds(&candidate->graph, run->device_info.flops, run->device_info.bytes);
    if (predicted > 0.0 && images > 0 && candidate->validation_seconds > 0.0)
        run->evaluation_factor = candidate->validation_seconds / (predicted * images);
    if (predicted > 0.0 && candidate->images_per_second > 0.0 &&
        candidate->measured_steps >= CALIBRATION_STEPS) {
        double measured = 1.0 / (candidate->images_per_second * predicted);
        /* One slow minute of the machine must not shut out the better networks: half old, half new. */
        run->seconds_per_image = run->calibrated ? 0.5 * (run->seconds_per_image + measured) : measured;
        run->calibrated = true;
    }
}

enum status coordinator_observe(struct run *run, struct candidate *candidate, struct error *err)
{
    enum status st = ST_OK;
    run_lock(run);
    run->steps_done += candidate->steps;
    if (!candidate->failed) {
        calibrate(run, candidate);
        store_note_best(run, candidate->id, candidate->validation.accuracy, candidate->validation.loss);
    }
    if (candidate->final) {
        if (!candidate->failed) /* a failed one has left no weights to go on from */
            run->final = (struct run_final){.id = candidate->id, .parent = candidate->parent};
    } else {
        run->models++;
        st = search_observe(run->search, candidate->id, candidate->parent, &candidate->graph,
                            candidate->validation.accuracy, candidate->validation.loss, err);
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
    if (oldest->limit.steps != UINT32_MAX)
        run->steps_coming -= oldest->limit.steps;
    run_unlock(run);
    for (int32_t i = 0; i < run->coming; i++)
        stage->coming[i] = stage->coming[i + 1];
    return oldest;
}

/* Waits for the oldest of them and learns from it. */
static enum status learn(struct search_stage *stage, struct error *err)
{
    struct run *run = stage->run;
    enum status st = workers_wait(stage->workers, stage->coming[0], err);
    if (st != ST_OK)
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
    struct search_stage stage = {.run = run,
                                 .coming = calloc((size_t)run->window, sizeof(struct candidate *))};
    enum status st = stage.coming != NULL ? workers_open(run, &stage.workers, err)
                                          : error_memory(err, "candidates", (size_t)run->window);
    while (st == ST_OK) {
        if (wanted(&stage))
            st = propose(&stage, err);
        else if (run->coming > 0)
            st = learn(&stage, err);
        else
            break;
    }
    workers_close(stage.workers);
    if (st == ST_OK && stage.exhausted)
        display_say(&run->display, 0, "nothing new within the limits: the search ends early");
    for (int32_t i = 0; i < run->coming; i++)
        candidate_free(stage.coming[i]);
    run->coming = 0;
    free(stage.coming);
    return st;
}
