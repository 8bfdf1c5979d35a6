#include "host/run/stage.h"

#include "host/report/report.h"
#include "host/run/admission.h"
#include "host/run/coordinator.h"
#include "host/run/record.h"
#include "host/run/resume.h"
#include "host/run/run_budget.h"
#include "host/run/store.h"

#include <math.h>
#include <stdlib.h>

/* ---- final fit ---- */

/* The winner's network, to be trained to the end from its weights, or from those of an earlier final fit of it: but not
 * from one that knows the validation images, for nobody could say then how good it becomes. */
static enum status propose_final(const struct run *run, struct candidate **made, struct error *err)
{
    const struct budget_state budget = run_budget(run);
    const struct search_limits limits = budget_limits(&budget);
    const struct search_model *winner = search_best(run->search, &limits);
    *made = NULL;
    if (winner == NULL)
        return error_set(err, ST_DIVERGED, "none of the %d candidates could be trained", run->models);
    struct candidate *candidate = candidate_new();
    if (candidate == NULL)
        return error_memory(err, "candidate", sizeof(*candidate));
    candidate->id = run->next_id;
    candidate->parent = winner->id;
    const bool goes_on = run->final.parent == winner->id && !run->final.joined;
    candidate->source = goes_on ? run->final.id : winner->id;
    candidate->final = true;
    candidate->batch = run->batches.final;
    candidate->recipe.hyperparameters = winner->recipe.hyperparameters;
    candidate_name(candidate, "final fit");
    enum status st = graph_copy(&candidate->graph, &winner->graph, err);
    if (st == ST_OK)
        *made = candidate;
    else
        candidate_free(candidate);
    return st;
}

/* On all devices. */
static enum status train_final(struct run *run, struct candidate *candidate, struct error *err)
{
    const struct team all = {0, run->devices.count};
    enum status st = ST_OK;
    candidate->limit.steps = run_steps_limit(run, candidate);
    run->history->training[0] = candidate->id;
    run_lock(run);
    if (!candidate->restored)
        st = record_candidate(run, candidate, err);
    run_unlock(run);
    if (st == ST_OK)
        st = candidate_train(run, candidate, all, err);
    candidate->ended = st == ST_OK;
    if (st != ST_DEVICE)
        run->history->training[0] = -1;
    return st;
}

static enum status final_fit(struct run *run, struct error *err)
{
    struct candidate *candidate = resume_take_final(run);
    enum status st = candidate == NULL ? propose_final(run, &candidate, err) : ST_OK;
    if (st == ST_OK && !candidate->ended)
        st = train_final(run, candidate, err);
    if (st == ST_OK)
        st = coordinator_observe(run, candidate, err);
    if (st == ST_OK) {
        run->next_id = candidate->id + 1;
        st = store_publish_best(run, err);
    }
    candidate_free(candidate);
    return st;
}

/* ---- test ---- */

/* Evaluates what model.safetensors holds on the test set and journals it. */
static enum status test_best(struct run *run, struct error *err)
{
    const int32_t classes = run->data.classes;
    const struct team all = {0, run->devices.count};
    struct candidate best = {
        .id = run->best_id, .final = true, .recipe = recipe_usual(), .batch = run->batches.final};
    struct trainer *trainer = NULL;
    float *values = NULL;
    struct memory_need need = {0};
    struct trainer_test test = {.samples = run->data.samples[SPLIT_TEST],
                                .count = run->data.sample_count[SPLIT_TEST],
                                .views = trainer_views_of(&run->job->evaluate, &run->job->train),
                                .classes = classes,
                                .labels = run->data.labels,
                                .confusion = calloc((size_t)classes * (size_t)classes, sizeof(int64_t))};

    if (test.confusion == NULL)
        return error_memory(err, "confusion matrix", 0);
    enum status st = store_load(run, run->best_id, &best.graph, &values, err);
    if (st != ST_OK)
        goto out;
    st = admission_open(run, &best, all, ADMISSION_LEAST_BATCH, &need, &trainer, err);
    if (st == ST_OK)
        st = trainer_load_values(trainer, values, err);
    if (st != ST_OK)
        goto out;
    st = trainer_test(trainer, &test, err);
    if (st == ST_OK)
        st = record_test(run, run->best_id, &test, err);
out:
    trainer_close(trainer);
    graph_free(&best.graph);
    free(values);
    free(test.confusion);
    return st;
}

/* ---- stage ---- */

enum status stage_run(struct run *run, struct error *err)
{
    enum status st = ST_OK;
    if (!run->stage_open) {
        run->stage_steps = run->steps_done;
        run->stage_began = run->next_id == 0 ? 0.0 : run_time(run); /* loading is part of the first */
        st = record_stage(run, err);
        run->stage_open = true;
    }
    if (st == ST_OK)
        st = coordinator_search(run, err);
    if (st == ST_OK)
        st = final_fit(run, err);
    if (st == ST_OK)
        st = test_best(run, err);
    if (st == ST_OK)
        st = report_write_all(run->folder, run->job->output.plots, err);
    run->stage++;
    run->stage_open = false;
    return st;
}
