#include "host/run/speed.h"

#include "host/run/measure.h"
#include "host/run/record.h"
#include "host/run/resume.h"
#include "host/run/run_budget.h"
#include "host/run/sharing.h"

#include <math.h>

/* That a calibration may take: seconds, and of the stage. Below the least it is not worth it. */
static const double MOST_SECONDS = 1.0, OF_THE_STAGE = 0.02, LEAST_SECONDS = 0.1;

/* Of what is left of the stage, for measuring one network. */
static const double MEASURE_SHARE = 0.05;

/* Steps from which on a training tells how fast the machine is. */
enum { LEARNT_STEPS = 20 };

/* With fewer networks measured most units would be guessed. */
enum { LEAST_NETWORKS = 10 };

enum status speed_calibrate(struct run *run, struct calibration *calibration, struct error *err)
{
    struct calibration_setup setup = {
        .device = run_trainer_device(run, 0, false),
        .info = run->device_info,
        .image = run_image(run),
        .classes = run->data.classes,
        .seconds = fmin(MOST_SECONDS, OF_THE_STAGE * run_seconds_left(run)),
    };
    const struct recipe usual = recipe_usual();
    const struct job_train train = recipe_train(&run->job->train, &usual.hyperparameters, setup.image);
    *calibration = (struct calibration){.rates = run->rates, .error = NAN};
    if (!(setup.seconds >= LEAST_SECONDS))
        return ST_OK;
    trainer_settings_of(&train, run->batches.candidate, (uint64_t)run->job->seed, &setup.settings);
    enum status st = calibration_measure(&setup, calibration, err);
    if (st == ST_OK && calibration->networks >= LEAST_NETWORKS)
        run->rates = calibration->rates;
    return st;
}

enum status speed_measure(struct run *run, const struct graph *graph, struct team team, int32_t batch,
                          struct error *err)
{
    struct measured measured;
    if (run_repeats(run) || run->calibrated)
        return ST_OK;
    const double seconds = MEASURE_SHARE * run_seconds_left(run);
    if (seconds <= 0.0) /* what time is over for isn't planned any more */
        return ST_OK;
    enum status st = measure_team(run, graph, team, batch, seconds, &measured, err);
    if (st != ST_OK)
        return candidate_is_at_fault(st) ? ST_OK : st;
    struct memory_need need = {.training = measured.bytes, .devices = team.count};
    memory_reserve(&run->memory, &need, 0);
    memory_release(&run->memory, &need);
    const double predicted = cost_seconds(graph, &run->rates);
    run->seconds_per_image = team.count / (measured.images_per_second * predicted);
    run->evaluation_factor = team.count * measured.evaluation_seconds / predicted;
    run->beside = measured.preparation; /* at least; candidates will tell */
    run->calibrated = true;
    return ST_OK;
}

/* Whoever plans by what the stage pays for has to know how fast the machine is. */
static enum status measure_first_start(struct run *run, struct error *err)
{
    const struct search_setup setup = run_search_setup(run);
    const struct team one = {0, 1};
    struct graph graph = {0};
    if (!search_goes_by_means(run->search))
        return ST_OK;
    enum status st = search_make_start(&setup, 0, setup.job->width, &graph, err);
    if (st == ST_OK)
        st = speed_measure(run, &graph, one, run->batches.candidate, err);
    graph_free(&graph);
    return st;
}

/* The model's errors, before anything is chosen by it. */
static void say(struct run *run, const struct calibration *calibration)
{
    if (run->calibrated)
        display_say(&run->display, 0,
                    "costs   by %d small networks, measured in %.1f s; %s takes %.2f times what they say",
                    (int)calibration->networks, calibration->seconds, run->job->search.starts.items[0],
                    run->seconds_per_image);
    else
        display_say(&run->display, 0, "costs   by %d small networks, measured in %.1f s",
                    (int)calibration->networks, calibration->seconds);
}

enum status speed_open(struct run *run, struct error *err)
{
    struct calibration calibration;
    if (run_repeats(run) || resume_has_final(run))
        return ST_OK;
    const bool known = run->rates.batch > 0 || !search_has_candidates(run->search);
    enum status st = known ? ST_OK : speed_calibrate(run, &calibration, err);
    if (st == ST_OK)
        st = measure_first_start(run, err);
    if (st != ST_OK || known || run->rates.batch == 0)
        return st;
    run_lock(run);
    say(run, &calibration);
    st = record_calibration(run, &calibration, err);
    run_unlock(run);
    return st;
}

/* Predicted seconds of an image's training, where it trains: several devices share a final fit, which has nothing
 * beside it. */
static double predicted_seconds(const struct run *run, const struct candidate *candidate)
{
    const double alone = cost_seconds(&candidate->graph, &run->rates);
    return candidate->final ? alone / run->batches.team : alone * sharing_slowdown(&run->sharing);
}

double speed_expected(const struct run *run, const struct candidate *candidate)
{
    const double seconds = run->seconds_per_image * predicted_seconds(run, candidate);
    return run_repeats(run) || !(seconds > 0.0) ? NAN : 1.0 / seconds;
}

void speed_learn(struct run *run, const struct candidate *candidate)
{
    const int32_t images = run->data.sample_count[SPLIT_VALIDATION];
    const double predicted = predicted_seconds(run, candidate);
    if (!candidate->final && candidate->beside > 0.0)
        run->beside = run->beside > 0.0 ? 0.5 * (run->beside + candidate->beside) : candidate->beside;
    if (predicted > 0.0 && images > 0 && candidate->validation_seconds > 0.0)
        run->evaluation_factor = candidate->validation_seconds / (predicted * images);
    if (predicted > 0.0 && candidate->images_per_second > 0.0 && candidate->measured_steps >= LEARNT_STEPS) {
        const double measured = 1.0 / (candidate->images_per_second * predicted);
        /* One slow minute of the machine must not shut out the better networks: half old, half new. */
        run->seconds_per_image = run->calibrated ? 0.5 * (run->seconds_per_image + measured) : measured;
        run->calibrated = true;
    }
}

double speed_error(const struct candidate *candidate)
{
    return candidate->images_per_second > 0.0
               ? candidate->expected_images_per_second / candidate->images_per_second - 1.0
               : NAN;
}
