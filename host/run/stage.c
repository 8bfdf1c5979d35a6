#include "host/run/stage.h"

#include "host/base/clock.h"
#include "host/net/serialise.h"
#include "host/report/report.h"
#include "host/run/answers.h"
#include "host/run/baseline.h"
#include "host/run/coordinator.h"
#include "host/run/limits.h"
#include "host/run/record.h"
#include "host/run/resume.h"
#include "host/run/run_budget.h"
#include "host/run/speed.h"
#include "host/run/store.h"
#include "host/run/testing.h"
#include "host/train/progressive.h"

#include <math.h>
#include <stdlib.h>

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

bool stage_progressive(const struct job *job, struct shape image)
{
    switch (job->train.progressive) {
    case JOB_PROGRESSIVE_AUTO:
        return budget_kind_of(&job->budget) == BUDGET_SECONDS && progressive_pays(image);
    case JOB_PROGRESSIVE_ON:
        return true;
    case JOB_PROGRESSIVE_OFF:
        return false;
    }
    abort(); /* the schema allows no other */
}

/* An earlier stage's final fit of the same network is gone on from, but not one that knows the validation images, for
 * nobody could say then how good it becomes. */
static bool goes_on_from(const struct run_final *earlier, const struct candidate *candidate)
{
    return earlier->id >= 0 && !earlier->joined && earlier->parent == candidate->parent &&
           earlier->fingerprint == graph_fingerprint(&candidate->graph);
}

/* Whether it is to see smaller images at first: from fresh weights alone, for others have seen them in full size. Also
 * of one that the journal tells of. */
static enum status see_smaller(const struct run *run, const struct run_final *earlier,
                               struct candidate *candidate, struct error *err)
{
    candidate->progressive = false;
    if (candidate->parent >= 0 || goes_on_from(earlier, candidate) ||
        !stage_progressive(run->job, candidate->graph.layers[0].shape))
        return ST_OK;
    enum status st = progressive_fits(&candidate->graph, &candidate->progressive, err);
    if (st == ST_OK && candidate->progressive)
        candidate_say(candidate, "small images first");
    return st;
}

enum status stage_final(const struct run *run, struct proposal *proposal, const struct run_final *earlier,
                        struct candidate **made, struct error *err)
{
    struct candidate *candidate = *made = candidate_new();
    if (candidate == NULL) {
        proposal_free(proposal);
        return error_memory(err, "candidate", sizeof(*candidate));
    }
    candidate->id = run->next_id;
    candidate_take(candidate, proposal);
    candidate->final = true;
    candidate->batch = batches_wanted(&run->batches, true, candidate->recipe.hyperparameters.batch);
    if (goes_on_from(earlier, candidate)) {
        candidate->source = earlier->id;
        candidate->morph_count = 0;
        candidate->recipe.goes_on = false;
        candidate->recipe.shrink = NAN;
        candidate->recipe.hyperparameters.warmup = candidate->recipe.hyperparameters.hold = NAN;
    }
    return ST_OK;
}

/* What the strategy wants to end with. */
static enum status propose_final(const struct run *run, struct candidate **made, struct error *err)
{
    const struct budget_state budget = run_budget(run);
    const struct search_request request = run_request(run, &budget);
    struct proposal proposal;
    *made = NULL;
    enum status st = search_propose_final(run->search, &request, &proposal, err);
    if (st == ST_OK)
        st = stage_final(run, &proposal, &run->final, made, err);
    if (st == ST_OK)
        candidate_say(*made, "final fit");
    return st;
}

/* How good the prediction was by which the network was chosen. */
static void say_speed(struct run *run, const struct candidate *candidate)
{
    const double error = speed_error(candidate);
    if (isnan(error) || candidate->failed)
        return;
    run_lock(run);
    display_say(&run->display, 0, "speed   %.0f images/s, predicted %.0f (%+.1f %%)",
                candidate->images_per_second, candidate->expected_images_per_second, 100.0 * error);
    run_unlock(run);
}

/* On all devices. */
static enum status train_final(struct run *run, struct candidate *candidate, struct error *err)
{
    const struct team all = {0, run->devices.count}, team = {0, run->batches.team};
    run->history->training[0] = candidate->id;
    enum status st = speed_measure(run, &candidate->graph, team, candidate->batch,
                                   err); /* the test's time is reckoned from it */
    candidate->expected_images_per_second = speed_expected(run, candidate);
    candidate->limit.steps = run_steps_limit(run, candidate);
    run_lock(run);
    if (st == ST_OK && !candidate->restored)
        st = record_candidate(run, candidate, err);
    run_unlock(run);
    if (st == ST_OK)
        st = candidate_train(run, candidate, all, err);
    candidate->ended = st == ST_OK;
    if (st == ST_OK)
        say_speed(run, candidate);
    if (st != ST_DEVICE)
        run->history->training[0] = -1;
    return st;
}

enum status stage_train_final(struct run *run, const struct run_final *earlier, struct candidate *candidate,
                              struct error *err)
{
    enum status st = see_smaller(run, earlier, candidate, err);
    return st != ST_OK || candidate->ended ? st : train_final(run, candidate, err);
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
    if (st == ST_OK)
        st = stage_train_final(run, &run->final, candidate, err);
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

static void say_result(struct run *run, const struct trainer_test *test, const struct answers *answers)
{
    char time[DISPLAY_TIME_LENGTH];
    display_time(run_time(run), time);
    display_result(&run->display, "stage %d of %d ends after %s: model %d, test accuracy %.4f, loss %.4f",
                   (int)run->stage + 1, (int)budget_stages(&run->job->budget), time, (int)run->best_id,
                   test->result.accuracy, test->result.loss);
    display_say(&run->display, 0,
                "        calibrated by %d images: temperature %.3f, test loss %.4f, calibration error %.4f "
                "(was %.4f)",
                (int)answers->calibrated_by, (double)answers->temperature, answers->after.loss,
                answers->after.calibration_error, answers->before.calibration_error);
    if (answers->label_thresholds != NULL)
        display_say(&run->display, 0,
                    "        with thresholds of labels %.4f of the test images exactly right",
                    (double)answers->labels.exact / test->count);
}

/* How long the best model takes for one image. */
static enum status measure_best(struct run *run, const struct graph *graph, struct limits_latency *latency,
                                struct error *err)
{
    enum status st = limits_measure(run, graph, latency, err);
    if (st == ST_OK && !isnan(latency->seconds))
        display_result(&run->display, "latency %.3g ms for one image on %s, predicted %.3g, at most %.10g",
                       1e3 * latency->seconds, latency->device, 1e3 * latency->predicted,
                       run->job->search.max_latency_ms);
    return st;
}

/* Tests the best model, publishes it with its temperatures, and journals both; what it answered is kept for the
 * baseline. */
static enum status test_best(struct run *run, struct error *err)
{
    struct testing testing;
    struct answers answers = {0};
    struct limits_latency latency;
    enum status st = testing_stage(run, run->best_id, &testing, err);
    run->energy.spent += energy_joules(run->energy.meter) - run->energy.began;
    if (st == ST_OK)
        st = answers_keep(run, &testing, &answers, err);
    if (st == ST_OK)
        st = measure_best(run, &testing.graph, &latency, err);
    if (st == ST_OK)
        st = store_calibrate(run, answers.temperature, answers.plain_temperature, answers.label_thresholds,
                             err);
    if (st == ST_OK)
        st = record_test(run, run->best_id, &testing.test, &answers, &latency, err);
    if (st == ST_OK)
        say_result(run, &testing.test, &answers);
    if (st == ST_OK) {
        free(run->right);
        run->right = testing.test.right;
        testing.test.right = NULL;
    }
    testing_close(&testing);
    answers_free(&answers);
    return st;
}

/* ---- stage ---- */

void stage_begin(struct run *run, double time)
{
    const bool first = run->next_id == 0;
    run->stage_open = true;
    run->stage_steps = run->steps_done;
    run->stage_began = first ? 0.0 : time; /* loading is part of the first */
    run->opened = first ? time : run->opened;
}

/* Until it is tested and reported. */
static enum status search_and_test(struct run *run, struct error *err)
{
    enum status st = ST_OK;
    if (!run->stage_open) {
        run->energy.began = run->next_id == 0 ? 0.0 : energy_joules(run->energy.meter);
        stage_begin(run, run_time(run));
        st = record_stage(run, err);
    } else {
        run->energy.spent = NAN;
    }
    if (st == ST_OK)
        st = rehearse_report(run, err);
    if (st == ST_OK)
        st = speed_open(run, err);
    if (st == ST_OK && search_has_candidates(run->search))
        st = coordinator_search(run, err);
    if (st == ST_OK)
        st = final_fit(run, err);
    if (st == ST_OK)
        st = test_best(run, err);
    return st == ST_OK ? write_report(run, err) : st;
}

enum status stage_run(struct run *run, struct error *err)
{
    enum status st = run->stage_tested ? ST_OK : search_and_test(run, err);
    run->stage_tested = st == ST_OK && job_has_baseline(run->job);
    if (run->stage_tested)
        st = baseline_run(run, err);
    if (st == ST_OK && run->stage_tested)
        st = write_report(run, err);
    run->stage++;
    run->stage_open = run->stage_tested = false;
    return st;
}
