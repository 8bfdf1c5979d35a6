#include "host/run/candidate_internal.h"

#include "host/base/clock.h"
#include "host/net/cost.h"
#include "host/net/serialise.h"
#include "host/run/record.h"
#include "host/run/run_budget.h"
#include "host/run/store.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How often the clock, signals and the display are looked at, at least. */
static const double TICK_SECONDS = 0.2;

/* With a budget in seconds so much training lies between two validations: on a fast device an epoch takes less time
 * than the wait for its validation. */
static const double VALIDATION_SECONDS = 0.5;

struct candidate *candidate_new(void)
{
    struct candidate *candidate = calloc(1, sizeof(*candidate));
    if (candidate != NULL)
        *candidate = (struct candidate){.id = -1,
                                        .parent = -1,
                                        .source = -1,
                                        .start = -1,
                                        .expected_images_per_second = NAN,
                                        .recipe = recipe_usual(),
                                        .prediction = prediction_none(),
                                        .gain = NAN,
                                        .gain_deviation = NAN};
    return candidate;
}

void candidate_free(struct candidate *candidate)
{
    if (candidate == NULL)
        return;
    trainer_close(candidate->ahead);
    graph_free(&candidate->graph);
    free(candidate);
}

void candidate_take(struct candidate *candidate, const struct proposal *proposal)
{
    const bool goes_on = proposal->parent >= 0 && proposal->morph_count == 0;
    candidate->parent = proposal->parent;
    candidate->source = goes_on ? proposal->parent : -1;
    candidate->start = proposal->start;
    candidate->recipe = proposal->recipe;
    candidate->prediction = proposal->prediction;
    candidate->morph_count = proposal->morph_count;
    candidate->operation_count = proposal->operation_count;
    memcpy(candidate->morphs, proposal->morphs, sizeof(candidate->morphs));
    memcpy(candidate->operations, proposal->operations, sizeof(candidate->operations));
    candidate->graph = proposal->graph;
}

bool candidate_leaves_state(const struct candidate *candidate)
{
    return !candidate->final && candidate->recipe.hyperparameters.hold > 0.0; /* NAN: it has none */
}

struct run_final candidate_as_final(const struct candidate *candidate)
{
    return (struct run_final){.id = candidate->id,
                              .parent = candidate->parent,
                              .fingerprint = graph_fingerprint(&candidate->graph),
                              .joined = candidate->joined > 0};
}

void candidate_say(struct candidate *candidate, const char *text)
{
    if (candidate->operation_count < SEARCH_MAX_MORPHS)
        snprintf(candidate->operations[candidate->operation_count++], SEARCH_OPERATION_LENGTH, "%s", text);
}

/* ---- while it trains ---- */

static enum status save_checkpoint(struct training *training, struct error *err)
{
    struct run *run = training->run;
    char *path = run_checkpoint_path(run, training->candidate->id);
    if (path == NULL)
        return error_memory(err, "path", 0);
    atomic_fetch_add(&run->history->saving, 1);
    run_lock(run); /* who goes on from the checkpoint finds the epochs before it in the journal */
    enum status st = journal_flush(&run->journal, err);
    run_unlock(run);
    if (st == ST_OK)
        st = trainer_checkpoint(training->trainer, path, (uint64_t)training->candidate->id, err);
    atomic_fetch_sub(&run->history->saving, 1);
    free(path);
    training->last_checkpoint = clock_seconds();
    return st;
}

/* Says it where a device could not record the steps: they run all the same, so nobody would ask why they are slow. With
 * the run's lock. */
static enum status tell_unrecorded(struct training *training, struct error *err)
{
    static const char *const names[] = {[PROG_TRAIN] = "training", [PROG_EVALUATE] = "evaluation"};
    enum status st = ST_OK;
    for (int purpose = PROG_TRAIN; st == ST_OK && purpose <= PROG_EVALUATE; purpose++) {
        struct device_report report;
        trainer_report(training->trainer, (enum prog_purpose)purpose, &report);
        /* They are counted anew for each size of images. */
        if (report.failures <= training->unrecorded[purpose])
            continue;
        training->unrecorded[purpose] = report.failures;
        display_say(&training->run->display, 1, "  model %d  %s runs slower, its steps can't be recorded: %s",
                    training->candidate->id, names[purpose], report.reason);
        st = record_unrecorded(training->run, training->candidate->id, names[purpose], &report, err);
    }
    return st;
}

static enum status on_epoch(void *context, const struct trainer_epoch *epoch, struct error *err)
{
    struct training *training = context;
    struct run *run = training->run;
    training->epochs = epoch->epoch;
    training->candidate->images_per_second = epoch->images_per_second;
    if (epoch->validation_seconds > 0.0)
        training->candidate->validation_seconds = epoch->validation_seconds;
    run_lock(run);
    if (trainer_state(training->trainer)->joined > 0)
        display_say(&run->display, 1,
                    "  model %d  epoch %u  loss %.4f  acc %.4f  validation images included  %.0f images/s",
                    training->candidate->id, epoch->epoch, epoch->train.loss, epoch->train.accuracy,
                    epoch->images_per_second);
    else
        display_say(&run->display, 1,
                    "  model %d  epoch %u  loss %.4f  acc %.4f  val loss %.4f  val acc %.4f  %.0f images/s",
                    training->candidate->id, epoch->epoch, epoch->train.loss, epoch->train.accuracy,
                    epoch->validation.loss, epoch->validation.accuracy, epoch->images_per_second);
    enum status st = record_epoch(run, training->candidate->id, epoch, err);
    if (st == ST_OK)
        st = tell_unrecorded(training, err);
    run_unlock(run);
    return st;
}

static enum status on_tick(void *context, const struct trainer_state *state, double progress,
                           struct error *err)
{
    struct training *training = context;
    const struct candidate *candidate = training->candidate;
    struct run *run = training->run;
    const double now = clock_seconds(), samples = state->metrics[METRIC_SAMPLES];
    double batches = (state->step - training->first_step) / fmax(now - training->began, 1e-9);
    supervisor_beat(run->history);
    run_lock(run);
    const struct display_progress shown = {
        .id = candidate->id,
        .epochs_done = (double)state->step * candidate->batch / run->data.sample_count[SPLIT_TRAIN],
        .progress = progress,
        .batches_per_second = batches,
        .images_per_second = batches * candidate->batch,
        .loss = samples > 0.0 ? state->metrics[METRIC_LOSS] / samples : NAN,
        .accuracy = samples > 0.0 ? state->metrics[METRIC_CORRECT] / samples : NAN,
        .seconds_left = run_seconds_left(run),
    };
    display_progress(&run->display, training->team.first, &shown);
    enum status st = tell_unrecorded(training, err);
    if (st == ST_OK)
        st = journal_flush(&run->journal, err);
    run_unlock(run);
    if (st != ST_OK)
        return st;
    bool stop = atomic_load(&run->stop) || (candidate->final && supervisor_stop_wanted());
    if (stop || now - training->last_checkpoint >= run->job->output.checkpoint_seconds)
        st = save_checkpoint(training, err);
    if (st != ST_OK)
        return st;
    return stop ? error_set(err, ST_INTERRUPTED, "stopped by a signal") : ST_OK;
}

static enum status on_held(void *context, struct error *err)
{
    struct training *training = context;
    const struct candidate *candidate = training->candidate;
    if (!candidate_leaves_state(candidate))
        return ST_OK;
    char *path = run_state_path(training->run, candidate->id);
    enum status st = path != NULL ? store_make_folder(training->run, err) : error_memory(err, "path", 0);
    if (st == ST_OK)
        st = trainer_checkpoint(training->trainer, path, (uint64_t)candidate->id, err);
    free(path);
    return st;
}

/* ---- how it ends ---- */

bool candidate_is_at_fault(enum status st)
{
    return st == ST_MEMORY || st == ST_DIVERGED || st == ST_UNSUPPORTED;
}

static void show(struct training *training, const char *operations)
{
    const struct candidate *candidate = training->candidate;
    const struct display_model row = {.id = candidate->id,
                                      .parent = candidate->parent,
                                      .operations = operations,
                                      .parameters = cost_of_graph(&candidate->graph).parameters,
                                      .loss = candidate->validation.loss,
                                      .accuracy = candidate->validation.accuracy,
                                      .seconds = clock_seconds() - training->began};
    display_model(&training->run->display, training->team.first, &row);
}

static void remove_checkpoint(const struct run *run, int32_t id)
{
    char *path = run_checkpoint_path(run, id);
    if (path != NULL)
        unlink(path); /* there may be none; one that stays is removed by the next resume */
    free(path);
}

static enum status fail(struct training *training, uint32_t steps, const struct error *cause,
                        struct error *err)
{
    struct candidate *candidate = training->candidate;
    struct run *run = training->run;
    candidate->validation = (struct trainer_result){.loss = NAN, .accuracy = NAN};
    candidate->steps = steps;
    run_lock(run);
    enum status st =
        record_failed(run, candidate->id, candidate->parent, candidate->final, steps, cause, err);
    if (st == ST_OK)
        show(training, cause->message);
    run_unlock(run);
    candidate->failed = true;
    return st;
}

/* Keeps the weights where its children will want them. The file has them too, so that a full device is no harm. */
static enum status keep_weights(struct training *training, struct error *err)
{
    const struct candidate *candidate = training->candidate;
    const struct run *run = training->run;
    const int32_t device = training->team.first;
    struct device_weights *weights;
    if (candidate->final)
        return ST_OK;
    enum status st = trainer_keep(training->trainer, &weights, err);
    if (st == ST_OK) {
        st = weight_cache_add(run->weights, device, candidate->id, candidate->validation.accuracy, weights,
                              trainer_weights(training->trainer), err);
        if (st != ST_OK)
            run->ops->weights_free(run->devices.items[device].device, weights);
    }
    return st == ST_MEMORY ? ST_OK : st;
}

/* Its hyperparameters, where they are not the job's, and its operations, in one line. */
static void join_operations(const struct run *run, const struct candidate *candidate, char *text, size_t size)
{
    const struct hyperparameter_space space = hyperparameter_space_of(run->job);
    hyperparameters_describe(&space, &candidate->recipe.hyperparameters, text, size);
    size_t used = strlen(text);
    for (int32_t i = 0; i < candidate->operation_count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "",
                                 candidate->operations[i]);
}

/* What others are compared with, and what it is compared with. */
static enum status compare_losses(struct training *training, struct error *err)
{
    struct candidate *candidate = training->candidate;
    const int32_t with = candidate->recipe.compared_with;
    const float *losses = trainer_losses(training->trainer);
    if (losses == NULL)
        return ST_OK;
    enum status st = store_save_losses(training->run, candidate->id, losses, err);
    if (st == ST_OK && with >= 0)
        st = store_compare(training->run, with, losses, &candidate->gain, &candidate->gain_deviation, err);
    return st;
}

/* Saves, journals and shows a trained model. */
static enum status finish(struct training *training, uint32_t steps, struct error *err)
{
    struct candidate *candidate = training->candidate;
    struct run *run = training->run;
    size_t bytes = trainer_weights(training->trainer)->total * sizeof(float);
    char operations[256];
    float *values = malloc(bytes);
    if (values == NULL)
        return error_memory(err, "weights", bytes);
    enum status st = trainer_values(training->trainer, values, err);
    if (st == ST_OK)
        st = store_save(run, candidate->id, &candidate->graph, values, candidate->validation.accuracy, err);
    free(values);
    if (st == ST_OK)
        st = compare_losses(training, err);
    if (st == ST_OK)
        st = keep_weights(training, err);
    if (st != ST_OK)
        return st;
    candidate->steps = steps;
    candidate->joined = trainer_state(training->trainer)->joined;
    candidate->measured_steps = trainer_state(training->trainer)->step - training->first_step;
    const struct record_model model = {.id = candidate->id,
                                       .parent = candidate->parent,
                                       .final = candidate->final,
                                       .parameters = cost_of_graph(&candidate->graph).parameters,
                                       .epochs = training->epochs,
                                       .steps = steps,
                                       .seconds = clock_seconds() - training->began,
                                       .validation = candidate->validation,
                                       .joined = candidate->joined,
                                       .images_per_second = candidate->images_per_second,
                                       .predicted_images_per_second = candidate->expected_images_per_second,
                                       .gain = candidate->gain,
                                       .gain_deviation = candidate->gain_deviation};
    join_operations(run, candidate, operations, sizeof(operations));
    run_lock(run);
    st = record_model(run, &model, err);
    if (st == ST_OK)
        show(training, operations);
    run_unlock(run);
    return st;
}

/* ---- all of it ---- */

static enum status train(struct training *training, struct error *err)
{
    struct candidate *candidate = training->candidate;
    struct run *run = training->run;
    const struct trainer_state *state = trainer_state(training->trainer);
    struct trainer_limit limit = candidate->limit;
    const struct trainer_events events = {
        .context = training,
        .on_epoch = on_epoch,
        .on_tick = on_tick,
        .on_held = on_held,
        .tick_seconds = fmin(TICK_SECONDS, run->job->output.checkpoint_seconds),
    };
    training->began = training->last_checkpoint = clock_seconds();
    training->first_step = state->step;
    training->first_second = state->seconds;
    run_lock(run);
    limit.seconds = run_seconds_limit(run, candidate, state->seconds);
    limit.validation_seconds = isinf(limit.seconds) ? 0.0 : VALIDATION_SECONDS;
    if (run->first_step == 0.0) {
        run->first_step = clock_seconds() - run->clock_start;
        display_say(&run->display, 1, "first training step after %.2f s", run->first_step);
    }
    run_unlock(run);
    return trainer_run(training->trainer, limit, &events, &candidate->validation, err);
}

/* Not those of a training that it goes on from. */
static uint32_t own_steps(const struct trainer *trainer)
{
    return trainer != NULL ? trainer_state(trainer)->step - trainer_state(trainer)->begun : 0;
}

enum status candidate_train(struct run *run, struct candidate *candidate, struct team team, struct error *err)
{
    const double given = clock_seconds();
    struct training training = {.run = run, .candidate = candidate, .team = team, .began = given};
    struct error cause;

    enum status st = candidate_begin(&training, &cause);
    if (st == ST_OK)
        st = train(&training, &cause);
    const uint32_t steps = own_steps(training.trainer);
    if (st == ST_OK) {
        atomic_fetch_add(&run->history->saving, 1);
        st = finish(&training, steps, err);
        atomic_fetch_sub(&run->history->saving, 1);
    } else if (candidate_is_at_fault(st) && !(st == ST_MEMORY && run_repeats(run)))
        st = fail(&training, steps, &cause, err);
    else
        *err = cause;
    if (st == ST_OK)
        remove_checkpoint(run, candidate->id);
    const double trained =
        training.trainer != NULL ? trainer_state(training.trainer)->seconds - training.first_second : 0.0;
    trainer_close(training.trainer);
    candidate->beside = candidate->failed ? 0.0 : clock_seconds() - given - trained;
    if (training.reserved) {
        run_lock(run);
        memory_release(&run->memory, &training.need);
        run_unlock(run);
    }
    return st;
}
