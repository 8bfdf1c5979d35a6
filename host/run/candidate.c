#include "host/run/candidate.h"

#include "host/base/clock.h"
#include "host/net/cost.h"
#include "host/net/start.h"
#include "host/run/budget.h"
#include "host/run/record.h"
#include "host/run/store.h"
#include "host/run/trainers.h"
#include "host/train/inherit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* How often the clock, signals and the display are looked at, at least. */
static const double TICK_SECONDS = 0.2;
/* Steps from which on a training tells how fast the machine is. */
enum { CALIBRATION_STEPS = 20 };

/* A training in hand. */
struct training {
    struct run *run;
    struct trainer *trainer;
    int32_t id, parent;
    bool final;
    char operations[256]; /* for the table */
    double last_checkpoint, began;
    double images_per_second; /* of the last epoch */
    uint32_t first_step;
    uint32_t epochs;
    int32_t batch;
};

static enum status save_checkpoint(struct training *training, struct error *err)
{
    struct run *run = training->run;
    char *path = run_path(run, "checkpoint.bin");
    if (path == NULL)
        return error_memory(err, "path", 0);
    enum status st = trainer_checkpoint(training->trainer, path, (uint64_t)run->journal.next_seq, err);
    free(path);
    training->last_checkpoint = clock_seconds();
    return st;
}

static enum status on_epoch(void *context, const struct trainer_epoch *epoch, struct error *err)
{
    struct training *training = context;
    training->epochs = epoch->epoch;
    training->images_per_second = epoch->images_per_second;
    display_say(&training->run->display, 1,
                "  model %d  epoch %u  loss %.4f  acc %.4f  val loss %.4f  val acc %.4f  %.0f images/s",
                training->id, epoch->epoch, epoch->train.loss, epoch->train.accuracy, epoch->validation.loss,
                epoch->validation.accuracy, epoch->images_per_second);
    return record_epoch(training->run, training->id, epoch, err);
}

static enum status on_tick(void *context, const struct trainer_state *state, double progress,
                           struct error *err)
{
    struct training *training = context;
    struct run *run = training->run;
    double now = clock_seconds(), samples = fmax(state->metrics[METRIC_SAMPLES], 1.0);
    double batches = (state->step - training->first_step) / fmax(now - training->began, 1e-9);
    const struct display_progress shown = {
        .id = training->id,
        .epochs_done = (double)state->step * training->batch / run->data.sample_count[SPLIT_TRAIN],
        .progress = progress,
        .batches_per_second = batches,
        .images_per_second = batches * training->batch,
        .loss = state->metrics[METRIC_LOSS] / samples,
        .accuracy = state->metrics[METRIC_CORRECT] / samples,
        .seconds_left = budget_seconds_left(run),
    };
    display_progress(&run->display, &shown);
    bool stop = supervisor_stop_wanted();
    if (stop || now - training->last_checkpoint >= run->job->output.checkpoint_seconds) {
        enum status st = save_checkpoint(training, err);
        if (st != ST_OK)
            return st;
    }
    return stop ? error_set(err, ST_INTERRUPTED, "stopped by a signal") : ST_OK;
}

/* Bytes of a network's weights on the host. */
static size_t values_bytes(const struct graph *graph)
{
    return (size_t)cost_of_graph(graph).parameters * sizeof(float);
}

/* What goes wrong with one candidate is its own affair; the rest ends the run. A device that fails ends this process: the
 * supervisor starts another one, and only a candidate with which that happens again is given up (resume.c). */
static bool is_candidates_fault(enum status st)
{
    return st == ST_RANGE || st == ST_MEMORY || st == ST_DIVERGED || st == ST_UNSUPPORTED;
}

static enum status fail(struct training *training, const struct graph *graph, uint32_t steps,
                        struct error *cause)
{
    struct run *run = training->run;
    struct error err;
    const struct display_model row = {.id = training->id,
                                      .parent = training->parent,
                                      .operations = cause->message,
                                      .parameters = cost_of_graph(graph).parameters,
                                      .loss = NAN,
                                      .accuracy = NAN,
                                      .seconds = clock_seconds() - training->began,
                                      .final = training->final};
    enum status st = record_failed(run, training->id, training->parent, training->final, steps, cause, &err);
    if (st == ST_OK && !training->final)
        st = search_observe(run->search, training->id, training->parent, graph, NAN, NAN, &err);
    if (st != ST_OK) {
        *cause = err;
        return st;
    }
    run->steps_done += steps;
    run->models += !training->final;
    display_model(&run->display, &row);
    return ST_OK;
}

/* Remembers how the measured time of a step compares with the predicted one. Short trainings tell too little.
 */
static void calibrate(struct run *run, const struct graph *graph, const struct training *training,
                      uint32_t steps)
{
    double predicted = cost_seconds(graph, run->device_info.flops, run->device_info.bytes);
    if (predicted > 0.0 && training->images_per_second > 0.0 &&
        steps - training->first_step >= CALIBRATION_STEPS) {
        double measured = 1.0 / (training->images_per_second * predicted);
        /* One slow minute of the machine must not shut out the better networks: half old, half new. */
        run->seconds_per_image = run->calibrated ? 0.5 * (run->seconds_per_image + measured) : measured;
        run->calibrated = true;
    }
}

/* Saves, journals and shows a trained model, and publishes it when it is the best so far. */
static enum status finish(struct training *training, const struct graph *graph,
                          const struct trainer_result *validation, uint32_t steps, struct error *err)
{
    struct run *run = training->run;
    size_t bytes = trainer_weights(training->trainer)->total * sizeof(float);
    const struct record_model model = {.id = training->id,
                                       .parent = training->parent,
                                       .final = training->final,
                                       .parameters = cost_of_graph(graph).parameters,
                                       .epochs = training->epochs,
                                       .steps = steps,
                                       .seconds = clock_seconds() - training->began,
                                       .validation = *validation};
    const struct display_model row = {.id = model.id,
                                      .parent = model.parent,
                                      .operations = training->operations,
                                      .parameters = model.parameters,
                                      .loss = validation->loss,
                                      .accuracy = validation->accuracy,
                                      .seconds = model.seconds,
                                      .final = model.final};
    float *values = malloc(bytes);
    if (values == NULL)
        return error_memory(err, "weights", bytes);
    enum status st = trainer_values(training->trainer, values, err);
    if (st == ST_OK)
        st = store_save(run, model.id, graph, values, validation->accuracy, err);
    if (st == ST_OK)
        st = record_model(run, &model, err);
    free(values);
    if (st != ST_OK)
        return st;
    run->steps_done += steps;
    if (model.final)
        run->final = (struct run_final){.id = model.id, .parent = model.parent, .stage = run->stage};
    else
        st = search_observe(run->search, model.id, model.parent, graph, validation->accuracy,
                            validation->loss, err);
    run->models += !model.final;
    if (st == ST_OK && store_note_best(run, model.id, validation->accuracy, validation->loss))
        st = store_publish(run, model.id, err);
    store_prune(run);
    display_model(&run->display, &row);
    return st;
}

/* From an open trainer to the journalled end. */
static enum status train(struct training *training, const struct graph *graph,
                         const struct trainer_state *state, struct trainer_limit limit, struct error *err)
{
    struct run *run = training->run;
    struct trainer_result validation;
    const struct trainer_events events = {
        .context = training,
        .on_epoch = on_epoch,
        .on_tick = on_tick,
        .tick_seconds = fmin(TICK_SECONDS, run->job->output.checkpoint_seconds),
    };

    training->began = training->last_checkpoint = clock_seconds();
    training->first_step = state->step;
    if (run->first_step == 0.0) {
        run->first_step = run_time(run) - run->clock_base;
        display_say(&run->display, 1, "first training step after %.2f s", run->first_step);
    }
    enum status st = trainer_run(training->trainer, limit, &events, &validation, err);
    if (st == ST_OK) {
        calibrate(run, graph, training, state->step);
        st = finish(training, graph, &validation, state->step, err);
    } else if (is_candidates_fault(st)) {
        st = fail(training, graph, state->step, err);
    }
    return st;
}

/* A new candidate: weights from `parent` (NULL: fresh) through the proposal's morphs (NULL: none), then
 * training. */
static enum status begin(struct run *run, const struct record_candidate *candidate,
                         const struct graph *parent, const float *parent_values,
                         const struct proposal *proposal, struct error *err)
{
    struct training training = {.run = run,
                                .id = candidate->id,
                                .parent = candidate->parent,
                                .final = candidate->final,
                                .began = clock_seconds(),
                                .batch = run->job->train.batch};
    struct inheritance inherited = {0};
    struct memory_need need = {.parent_values = parent != NULL ? values_bytes(parent) : 0};

    for (int32_t i = 0; i < candidate->operation_count; i++) {
        size_t used = strlen(training.operations);
        snprintf(training.operations + used, sizeof(training.operations) - used, "%s%s", i > 0 ? ", " : "",
                 candidate->operations[i]);
    }
    run->next_id = candidate->id + 1;
    enum status st = record_candidate(run, candidate, err);
    if (st != ST_OK)
        return st;
    if (parent != NULL)
        st = trainers_inherit(run, candidate, parent, parent_values, proposal, &training.batch, &inherited,
                              err);
    for (int32_t i = 0; st == ST_OK && i < inherited.count; i++)
        st = record_morph(run, candidate->id, candidate->operations[i], inherited.differences[i], err);
    need.inheritance = inherited.device_bytes;
    if (st == ST_OK)
        st = trainers_open(run, candidate->graph, candidate->id, candidate->final, TRAINERS_LEAST_BATCH,
                           &training.batch, &need, &training.trainer, err);
    if (st == ST_OK)
        st = record_plan(run, candidate->id, training.batch, &need, err);
    if (st == ST_OK && parent == NULL) {
        const struct weight_table *table = trainer_weights(training.trainer);
        inherited.values = calloc(table->total, sizeof(float));
        if (inherited.values == NULL)
            st = error_memory(err, "weights", table->total * sizeof(float));
        else
            weight_initialise(table, candidate->graph, (uint64_t)run->job->seed, inherited.values);
    }
    if (st == ST_OK)
        st = trainer_load_values(training.trainer, inherited.values, err);
    inheritance_free(&inherited);
    if (st == ST_OK)
        st = train(&training, candidate->graph, trainer_state(training.trainer),
                   budget_limit(run, candidate->start != NULL, candidate->final, 0.0), err);
    else if (is_candidates_fault(st))
        st = fail(&training, candidate->graph, 0, err);
    trainer_close(training.trainer);
    return st;
}

enum status candidate_start(struct run *run, const char *name, struct error *err)
{
    const struct shape image = {0, run->data.channels, run->data.height, run->data.width};
    const struct search_limits limits = budget_limits(run);
    struct graph graph = {0};
    char operation[64];
    const char *operations[1] = {operation};

    snprintf(operation, sizeof(operation), "start %s", name);
    enum status st = start_make(&graph, name, run->job->search.width, image, run->data.classes, err);
    const struct record_candidate candidate = {.id = run->next_id,
                                               .parent = -1,
                                               .start = name,
                                               .operation_count = 1,
                                               .operations = operations,
                                               .graph = &graph};
    run->starts++;
    if (st == ST_OK && !search_admits(&limits, &graph)) {
        display_say(&run->display, 0, "start %s is left out: too large for the final fit in this budget",
                    name);
        st = record_left_out(run, name, err);
    } else if (st == ST_OK) {
        st = begin(run, &candidate, NULL, NULL, NULL, err);
    }
    graph_free(&graph);
    return st;
}

enum status candidate_child(struct run *run, bool *found, struct error *err)
{
    const struct search_limits limits = budget_limits(run);
    const char *operations[SEARCH_MAX_MORPHS];
    struct proposal proposal;
    struct graph parent = {0};
    float *values = NULL;

    enum status st = search_propose(run->search, run->next_id, &limits, &proposal, err);
    *found = st != ST_RANGE;
    if (st != ST_OK)
        return st == ST_RANGE ? ST_OK : st;
    for (int32_t i = 0; i < proposal.morph_count; i++)
        operations[i] = proposal.operations[i];
    const struct record_candidate candidate = {.id = run->next_id,
                                               .parent = proposal.parent,
                                               .operation_count = proposal.morph_count,
                                               .operations = operations,
                                               .graph = &proposal.graph};
    st = store_load(run, proposal.parent, &parent, &values, err);
    if (st == ST_OK)
        st = begin(run, &candidate, &parent, values, &proposal, err);
    proposal_free(&proposal);
    graph_free(&parent);
    free(values);
    return st;
}

enum status candidate_final(struct run *run, struct error *err)
{
    const struct search_limits limits = budget_limits(run);
    const struct search_model *winner = search_best(run->search, &limits);
    const char *operations[1] = {"final fit"};
    struct graph graph = {0};
    float *values = NULL;

    if (winner == NULL)
        return error_set(err, ST_DIVERGED, "none of the %d candidates could be trained", run->models);
    const struct record_candidate candidate = {.id = run->next_id,
                                               .parent = winner->id,
                                               .final = true,
                                               .operation_count = 1,
                                               .operations = operations,
                                               .graph = &winner->graph};
    int32_t source = run->final.parent == winner->id ? run->final.id : winner->id;
    enum status st = store_load(run, source, &graph, &values, err);
    if (st == ST_OK)
        st = begin(run, &candidate, &graph, values, NULL, err);
    graph_free(&graph);
    free(values);
    return st;
}

enum status candidate_resume(struct run *run, struct error *err)
{
    struct run_unfinished *unfinished = &run->unfinished;
    struct training training = {.run = run,
                                .id = unfinished->id,
                                .parent = unfinished->parent,
                                .final = unfinished->final,
                                .operations = "resumed",
                                .batch = unfinished->batch};
    uint64_t note;
    struct memory_need need = {0};
    char *path = run_path(run, "checkpoint.bin");

    unfinished->exists = false;
    enum status st = path != NULL ? ST_OK : error_memory(err, "path", 0);
    if (st == ST_OK)
        st = trainers_open(run, &unfinished->graph, training.id, training.final, training.batch,
                           &training.batch, &need, &training.trainer, err);
    if (st == ST_OK)
        st = trainer_restore(training.trainer, path, &note, err);
    if (st == ST_OK) {
        const struct trainer_state *state = trainer_state(training.trainer);
        training.epochs = state->epoch;
        st = train(&training, &unfinished->graph, state,
                   budget_limit(run, training.parent < 0, training.final, state->seconds), err);
    }
    trainer_close(training.trainer);
    free(path);
    return st;
}

enum status candidate_test(struct run *run, struct error *err)
{
    const int32_t classes = run->data.classes;
    struct trainer_result result;
    struct trainer *trainer = NULL;
    struct graph graph = {0};
    float *values = NULL;
    struct memory_need need = {0};
    int32_t batch = run->job->train.batch;
    int64_t *confusion = calloc((size_t)classes * (size_t)classes, sizeof(*confusion));

    enum status st = confusion != NULL ? ST_OK : error_memory(err, "confusion matrix", 0);
    if (st == ST_OK)
        st = store_load(run, run->best_id, &graph, &values, err);
    if (st == ST_OK)
        st = trainers_open(run, &graph, run->best_id, true, TRAINERS_LEAST_BATCH, &batch, &need, &trainer,
                           err);
    if (st == ST_OK)
        st = trainer_load_values(trainer, values, err);
    if (st == ST_OK)
        st = trainer_evaluate(trainer, run->data.samples[SPLIT_TEST], run->data.sample_count[SPLIT_TEST],
                              classes, run->data.labels, confusion, &result, err);
    if (st == ST_OK)
        st = record_test(run, run->best_id, &result, confusion, err);
    trainer_close(trainer);
    graph_free(&graph);
    free(values);
    free(confusion);
    return st;
}
