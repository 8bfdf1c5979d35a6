#include "host/run/stage.h"

#include "host/base/clock.h"
#include "host/net/cost.h"
#include "host/net/serialise.h"
#include "host/net/start.h"
#include "host/report/report.h"
#include "host/run/admission.h"
#include "host/run/coordinator.h"
#include "host/run/measure.h"
#include "host/run/record.h"
#include "host/run/resume.h"
#include "host/run/run_budget.h"
#include "host/run/store.h"

#include <math.h>
#include <stdlib.h>

/* ---- speed ---- */

/* Of what is left of the stage, for measuring. */
static const double MEASURE_SHARE = 0.05;

/* A few steps of a network, where the clock counts and nothing has been measured in this process. What goes wrong in
 * the network itself is for its training to find. */
static enum status measure(struct run *run, const struct graph *graph, struct team team, int32_t batch,
                           struct error *err)
{
    struct measured measured;
    if (run_repeats(run) || run->calibrated)
        return ST_OK;
    const double seconds = MEASURE_SHARE * run_seconds_left(run);
    enum status st = measure_team(run, graph, team, batch, seconds, &measured, err);
    if (st != ST_OK)
        return candidate_is_at_fault(st) ? ST_OK : st;
    const double predicted = cost_seconds(graph, run->device_info.flops, run->device_info.bytes);
    run->seconds_per_image = 1.0 / (measured.images_per_second * predicted);
    run->evaluation_factor = measured.evaluation_seconds / predicted;
    run->beside = measured.preparation; /* at least; candidates will tell */
    run->calibrated = true;
    return ST_OK;
}

/* Whoever plans by what the stage pays for has to know how fast the machine is. */
static enum status measure_first_start(struct run *run, struct error *err)
{
    const struct job_search *search = &run->job->search;
    const struct shape image = {0, run->data.channels, run->data.height, run->data.width};
    const struct team one = {0, 1};
    struct graph graph = {0};
    if (!search_goes_by_means(run->search) || resume_has_final(run))
        return ST_OK;
    enum status st =
        start_make(&graph, search->starts.items[0], search->width, image, run->data.classes, err);
    if (st == ST_OK)
        st = measure(run, &graph, one, run->batches.candidate, err);
    graph_free(&graph);
    return st;
}

/* ---- report ---- */

static enum status write_report(struct run *run, struct error *err)
{
    const double began = clock_seconds();
    enum status st = report_write_all(run->folder, run->job->output.plots, err);
    run->report_seconds = clock_seconds() - began;
    return st;
}

/* Where a clock ends the run, how long this takes here is known by doing it before, with what there is. Before a stage
 * is tested that is plots alone. */
static enum status rehearse_report(struct run *run, struct error *err)
{
    if (isnan(run_seconds_left(run)) || run->job->budget.clock != JOB_CLOCK_WALL || run->report_seconds > 0.0)
        return ST_OK;
    enum status st = write_report(run, err);
    return st == ST_RANGE ? ST_OK : st;
}

/* ---- final fit ---- */

/* What the strategy wants to end with. An earlier stage's final fit of the same network is gone on from, but not one
 * that knows the validation images, for nobody could say then how good it becomes. */
static enum status propose_final(const struct run *run, struct candidate **made, struct error *err)
{
    const struct budget_state budget = run_budget(run);
    const struct search_request request = run_request(run, &budget);
    const struct run_final *earlier = &run->final;
    struct proposal proposal;
    *made = NULL;
    enum status st = search_propose_final(run->search, &request, &proposal, err);
    if (st != ST_OK)
        return st;
    struct candidate *candidate = candidate_new();
    if (candidate == NULL) {
        proposal_free(&proposal);
        return error_memory(err, "candidate", sizeof(*candidate));
    }
    candidate->id = request.id;
    candidate_take(candidate, &proposal);
    candidate_say(candidate, "final fit");
    candidate->final = true;
    candidate->batch = run->batches.final;
    if (earlier->id >= 0 && !earlier->joined && earlier->parent == candidate->parent &&
        earlier->fingerprint == graph_fingerprint(&candidate->graph)) {
        candidate->source = earlier->id;
        candidate->recipe.goes_on = false;
        candidate->recipe.hyperparameters.warmup = candidate->recipe.hyperparameters.hold = NAN;
    }
    *made = candidate;
    return ST_OK;
}

/* On all devices. */
static enum status train_final(struct run *run, struct candidate *candidate, struct error *err)
{
    const struct team all = {0, run->devices.count}, team = {0, run->batches.team};
    run->history->training[0] = candidate->id;
    enum status st = measure(run, &candidate->graph, team, candidate->batch,
                             err); /* the test's time is reckoned from it */
    candidate->limit.steps = run_steps_limit(run, candidate);
    run_lock(run);
    if (st == ST_OK && !candidate->restored)
        st = record_candidate(run, candidate, err);
    run_unlock(run);
    if (st == ST_OK)
        st = candidate_train(run, candidate, all, err);
    candidate->ended = st == ST_OK;
    if (st != ST_DEVICE)
        run->history->training[0] = -1;
    return st;
}

/* Where nothing could be trained, why the last one couldn't. */
static enum status tell_cause(const struct run *run, struct error *err)
{
    const struct error told = *err;
    if (run->failure[0] == '\0')
        return err->status;
    return error_set(err, told.status, "%.400s, the last one because: %.500s", told.message, run->failure);
}

static enum status final_fit(struct run *run, struct error *err)
{
    struct candidate *candidate = resume_take_final(run);
    enum status st = candidate == NULL ? propose_final(run, &candidate, err) : ST_OK;
    if (st == ST_DIVERGED)
        st = tell_cause(run, err);
    if (st == ST_OK && !candidate->ended)
        st = train_final(run, candidate, err);
    if (st == ST_OK)
        st = coordinator_observe(run, candidate, err);
    if (st == ST_OK) {
        run->next_id = candidate->id + 1;
        st = store_publish_best(run, err);
    }
    if (st == ST_OK && run->best_id < 0) {
        error_set(err, ST_DIVERGED, "the final fit could not be trained, and nothing was before it");
        st = tell_cause(run, err);
    }
    candidate_free(candidate);
    return st;
}

/* ---- test ---- */

static void say_result(struct run *run, const struct trainer_test *test)
{
    char time[DISPLAY_TIME_LENGTH];
    display_time(run_time(run), time);
    display_result(&run->display, "stage %d of %d ends after %s: model %d, test accuracy %.4f, loss %.4f",
                   (int)run->stage + 1, (int)budget_stages(&run->job->budget), time, (int)run->best_id,
                   test->result.accuracy, test->result.loss);
}

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
    run_lock(run);
    run->model_seconds += run_model_test_seconds(run, &best.graph);
    run_unlock(run);
    if (st == ST_OK)
        st = record_test(run, run->best_id, &test, err);
    if (st == ST_OK)
        say_result(run, &test);
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
        st = rehearse_report(run, err);
    if (st == ST_OK)
        st = measure_first_start(run, err);
    if (st == ST_OK && search_has_candidates(run->search))
        st = coordinator_search(run, err);
    if (st == ST_OK)
        st = final_fit(run, err);
    if (st == ST_OK)
        st = test_best(run, err);
    if (st == ST_OK)
        st = write_report(run, err);
    run->stage++;
    run->stage_open = false;
    return st;
}
