#include "host/train/trainer.h"

#include "host/base/clock.h"
#include "host/train/trainer_internal.h"

#include <math.h>
#include <string.h>

int32_t trainer_batch(const struct trainer *trainer)
{
    return trainer->settings.batch;
}

/* The sample lists are the same for all members. */
static const struct trainer_device *first_device(const struct trainer *trainer)
{
    return &trainer->members[0].device;
}

size_t trainer_weights_bytes(const struct weight_table *table)
{
    return SLOT_GRADIENT * table->total * sizeof(float); /* gradients belong to programs */
}

const struct weight_table *trainer_weights(const struct trainer *trainer)
{
    return &trainer->training_programs[trainer->sizes - 1].weights;
}

const struct trainer_state *trainer_state(const struct trainer *trainer)
{
    return &trainer->state;
}

enum status trainer_load_values(struct trainer *trainer, const float *values, struct error *err)
{
    enum status st = members_upload(trainer, SLOT_VALUE, values, err);
    if (st == ST_OK)
        st = members_upload(trainer, SLOT_AVERAGE, values, err);
    return st;
}

enum status trainer_load_weights(struct trainer *trainer, struct device *owner,
                                 const struct device_weights *weights, struct error *err)
{
    enum status st = members_copy(trainer, SLOT_VALUE, owner, weights, err);
    if (st == ST_OK)
        st = members_copy(trainer, SLOT_AVERAGE, owner, weights, err);
    return st;
}

static enum weight_slot evaluated(const struct trainer *trainer)
{
    return trainer->settings.average > 0.0f ? SLOT_AVERAGE : SLOT_VALUE;
}

enum status trainer_values(struct trainer *trainer, float *values, struct error *err)
{
    enum status st = members_average(trainer, evaluated(trainer), err);
    return st == ST_OK ? members_download(trainer, 0, evaluated(trainer), values, err) : st;
}

enum status trainer_keep(struct trainer *trainer, struct device_weights **weights, struct error *err)
{
    const struct member *first = &trainer->members[0];
    const struct trainer_device *device = &first->device;
    *weights = NULL;
    enum status st = members_average(trainer, evaluated(trainer), err);
    if (st == ST_OK)
        st = device->ops->weights_new(device->handle, trainer_weights(trainer), 1, weights, err);
    if (st == ST_OK)
        st = device->ops->weights_copy(device->handle, *weights, SLOT_VALUE, device->handle, first->weights,
                                       evaluated(trainer), err);
    if (st != ST_OK) {
        device->ops->weights_free(device->handle, *weights);
        *weights = NULL;
    }
    return st;
}

void trainer_report(const struct trainer *trainer, enum prog_purpose purpose, struct device_report *report)
{
    const struct member *first = &trainer->members[0];
    first->device.ops->program_report(
        purpose == PROG_TRAIN ? member_training(trainer, first) : first->evaluation, report);
}

static struct trainer_result result_of(const double metrics[METRIC_COUNT])
{
    double samples = fmax(metrics[METRIC_SAMPLES], 1.0);
    return (struct trainer_result){.loss = metrics[METRIC_LOSS] / samples,
                                   .accuracy = metrics[METRIC_CORRECT] / samples};
}

static enum status evaluate(struct trainer *trainer, const struct members_evaluation *wanted,
                            struct trainer_result *result, struct trainer_result *plain, struct error *err)
{
    double metrics[METRIC_COUNT], plain_metrics[METRIC_COUNT];
    enum status st = members_average(trainer, evaluated(trainer), err);
    if (st == ST_OK)
        st = members_evaluate(trainer, wanted, metrics, plain_metrics, err);
    if (st == ST_OK) {
        *result = result_of(metrics);
        *plain = result_of(plain_metrics);
    }
    return st;
}

const float *trainer_losses(const struct trainer *trainer)
{
    return trainer->losses;
}

/* On the trainer's own validation samples. */
static enum status evaluate_validation(struct trainer *trainer, struct trainer_result *result,
                                       struct error *err)
{
    const struct program *program = &trainer->evaluation_program;
    const struct members_evaluation wanted = {.samples = first_device(trainer)->validation,
                                              .count = first_device(trainer)->validation_count,
                                              .views = 1,
                                              .classes = program->tensors[program->logits].shape.c,
                                              .labels = trainer->settings.labels,
                                              .label_sets = first_device(trainer)->label_sets,
                                              .losses = trainer->losses};
    struct trainer_result plain;
    return evaluate(trainer, &wanted, result, &plain, err);
}

enum status trainer_evaluate(struct trainer *trainer, const int32_t *samples, int32_t count,
                             struct trainer_result *result, struct error *err)
{
    const struct members_evaluation wanted = {.samples = samples, .count = count, .views = 1};
    struct trainer_result plain;
    return evaluate(trainer, &wanted, result, &plain, err);
}

enum status trainer_test(struct trainer *trainer, struct trainer_test *test, struct error *err)
{
    const struct members_evaluation wanted = {.samples = test->samples,
                                              .count = test->count,
                                              .views = test->views,
                                              .classes = test->classes,
                                              .labels = test->labels,
                                              .label_sets = test->label_sets,
                                              .confusion = test->confusion,
                                              .right = test->right,
                                              .answers = test->answers,
                                              .plain_answers = test->plain_answers};
    return evaluate(trainer, &wanted, &test->result, &test->plain, err);
}

/* What has become known since the last look. The first steps, with their cold caches, are soon forgotten by the
 * mean. */
static void look_at_times(const struct trainer *trainer, enum prog_purpose purpose, struct step_times *times)
{
    struct device_report report;
    trainer_report(trainer, purpose, &report);
    const uint64_t steps = report.steps - times->steps;
    if (steps == 0)
        return;
    const double took = (report.seconds - times->seconds) / (double)steps;
    const double kept = times->steps == 0 ? 0.0 : pow(0.9, (double)steps);
    *times = (struct step_times){report.steps, report.seconds, kept * times->mean + (1.0 - kept) * took};
}

/* Where the last part of a training begins in which the validation images are trained on: late, so that the last
 * validation tells of a network that is close to the final one, and so early that a training of a few epochs sees the
 * images more than once. */
static const double JOIN_PROGRESS = 0.75;

/* Pixels of the images in full size over those of the size at hand. */
static double enlargement(const struct trainer *trainer)
{
    const struct shape full = trainer->graph.layers[0].shape;
    const struct program *program = &trainer->training_programs[trainer->size];
    const struct shape now = program->tensors[program->ops[0].outputs[GATHER_OUT_IMAGE]].shape;
    return (double)full.h * full.w / ((double)now.h * now.w);
}

/* Seconds that the closing evaluation will take. Before the first one: a forward pass is a third of a training step's
 * work; a margin for what does not shrink with it. */
static double evaluation_seconds(const struct trainer *trainer)
{
    if (trainer->state.joined > 0)
        return 0.0;
    const double steps = ceil((double)first_device(trainer)->validation_count / trainer->settings.batch);
    const double known = trainer->evaluation_times.mean;
    return steps * (known > 0.0 ? known : 0.45 * enlargement(trainer) * trainer->training_times.mean);
}

/* Of the epoch so far, the steps waited for. By the wall clock where the device does not know. */
static double images_per_second(const struct trainer *trainer, double seconds)
{
    const struct step_times *now = &trainer->training_times, *before = &trainer->epoch_times;
    if (now->steps > before->steps)
        return trainer->settings.batch * (double)(now->steps - before->steps) /
               fmax(now->seconds - before->seconds, 1e-9);
    return trainer->epoch_images / fmax(seconds, 1e-9);
}

static uint32_t own_steps(const struct trainer *trainer)
{
    return trainer->state.step - trainer->state.begun;
}

/* How far the training is, 0 to 1, by the limit that is nearer. */
static double progress_of(const struct trainer *trainer, struct trainer_limit limit, double seconds)
{
    double by_steps = (double)own_steps(trainer) / (double)limit.steps;
    double available = limit.seconds - evaluation_seconds(trainer);
    double by_seconds = isinf(limit.seconds) ? 0.0 : available > 0.0 ? seconds / available : 1.0;
    return fmax(by_steps, by_seconds);
}

/* The average follows closely at first and settles at the wanted decay. */
static float average_decay(float wanted, uint32_t step)
{
    float early = (1.0f + (float)step) / (10.0f + (float)step);
    return early < wanted ? early : wanted;
}

/* Steps between two returns to the average, and how its decay grows with the progress: as Jordan 2024 (arXiv
 * 2404.00498, listing 4) has it. Between them the average is left alone. With a rate that holds it grows while that
 * falls, so that a training that holds is the same however it is divided. */
enum { LOOK_AHEAD_STEPS = 5 };

static double settled(const struct schedule *schedule, double progress)
{
    return schedule->hold > 0.0 ? schedule_fallen(schedule, progress) : fmin(progress, 1.0);
}

static void set_average(const struct trainer *trainer, double progress, struct step *step)
{
    const float wanted = trainer->settings.average;
    switch (trainer->settings.averaging) {
    case JOB_AVERAGING_EMA:
        step->average_decay = average_decay(wanted, step->number);
        return;
    case JOB_AVERAGING_LOOK_AHEAD:
        step->look_ahead = wanted > 0.0f && (step->number + 1) % LOOK_AHEAD_STEPS == 0;
        step->average_decay = step->look_ahead
                                  ? (float)(pow((double)wanted, LOOK_AHEAD_STEPS) *
                                            pow(settled(&trainer->settings.schedule, progress), 3.0))
                                  : 1.0f;
        return;
    }
}

static enum status training_step(struct trainer *trainer, double progress, double learning_rate,
                                 struct error *err)
{
    struct trainer_state *state = &trainer->state;
    struct step step = {
        .seed = trainer->settings.seed,
        .number = state->step,
        .epoch = state->epoch,
        .first = state->position,
        .valid = trainer->settings.batch,
        .learning_rate = (float)learning_rate,
        .drop_path = (float)fmin(progress, 1.0),
    };
    set_average(trainer, progress, &step);
    enum status st = members_step(trainer, &step, err);
    state->step++;
    state->position += (uint32_t)trainer->settings.batch;
    return st;
}

static enum status read_metrics(struct trainer *trainer, struct error *err)
{
    enum status st = members_metrics(trainer, err);
    look_at_times(trainer, PROG_TRAIN, &trainer->training_times);
    if (st == ST_OK && !isfinite(trainer->state.metrics[METRIC_LOSS]))
        st = error_set(err, ST_DIVERGED, "the training loss is no longer finite at step %u",
                       trainer->state.step);
    return st;
}

/* Larger images, when it is time for them: another program, whose times begin anew; that of its steps is guessed until
 * one is known. */
static enum status grow_images(struct trainer *trainer, double progress, struct error *err)
{
    const int32_t size = progressive_size_at(progress);
    if (trainer->sizes == 1 || size <= trainer->size)
        return ST_OK;
    enum status st = read_metrics(trainer, err);
    if (st != ST_OK)
        return st;
    const double seconds = trainer->training_times.mean * enlargement(trainer);
    st = members_resize(trainer, size, err);
    trainer->training_times = (struct step_times){.mean = seconds / enlargement(trainer)};
    trainer->epoch_times = (struct step_times){0};
    return st;
}

static void begin_epoch(struct trainer *trainer, double seconds)
{
    trainer->epoch_began = seconds;
    trainer->epoch_images = 0;
    trainer->epoch_times = trainer->training_times;
}

/* What the validation says; once its images are trained on it would flatter, and is what it was before. */
static enum status validate(struct trainer *trainer, struct trainer_result *validation, struct error *err)
{
    struct trainer_state *state = &trainer->state;
    if (state->joined > 0) {
        *validation = (struct trainer_result){.loss = state->joined_loss, .accuracy = state->joined_accuracy};
        return ST_OK;
    }
    enum status st = evaluate_validation(trainer, validation, err);
    if (st != ST_OK)
        return st;
    look_at_times(trainer, PROG_EVALUATE, &trainer->evaluation_times);
    if (!isfinite(validation->loss))
        return error_set(err, ST_DIVERGED, "the validation loss is not finite after epoch %u", state->epoch);
    /* What was trained on smaller images is not yet at its best with the full size. */
    state->stale =
        validation->loss < state->best_loss || trainer->size < trainer->sizes - 1 ? 0 : state->stale + 1;
    state->best_loss = fmin(state->best_loss, validation->loss);
    return ST_OK;
}

/* At the end of an epoch that was validated. */
static enum status join(struct trainer *trainer, const struct trainer_result *validation, struct error *err)
{
    trainer->state.joined_loss = validation->loss;
    trainer->state.joined_accuracy = validation->accuracy;
    return members_join(trainer, err);
}

/* When trainer_run began, and the seconds that the training had had before. */
struct since {
    double began, spent;
};

/* Validation, the epoch's record, patience. *stop tells that patience has ended. */
static enum status end_epoch(struct trainer *trainer, const struct since *since, double learning_rate,
                             const struct trainer_events *events, struct trainer_result *validation,
                             bool *stop, struct error *err)
{
    struct trainer_state *state = &trainer->state;
    const struct trainer_result none = {.loss = NAN, .accuracy = NAN};
    enum status st = read_metrics(trainer, err);
    if (st != ST_OK)
        return st;
    const double trained = clock_seconds();
    double training_seconds = since->spent + trained - since->began - trainer->epoch_began;
    state->epoch += state->position > 0; /* else its end was passed without a validation */
    st = validate(trainer, validation, err);
    if (st != ST_OK)
        return st;
    state->seconds = since->spent + clock_seconds() - since->began;
    const struct trainer_epoch epoch = {
        .epoch = state->epoch,
        .step = state->step,
        .train = result_of(state->metrics),
        .validation = state->joined > 0 ? none : *validation,
        .learning_rate = learning_rate,
        .seconds = state->seconds,
        .images_per_second = images_per_second(trainer, training_seconds),
        .validation_seconds = state->joined > 0 ? 0.0 : clock_seconds() - trained,
    };
    *stop = state->joined == 0 && trainer->settings.patience > 0 &&
            state->stale >= (uint32_t)trainer->settings.patience;
    state->position = 0;
    for (int32_t k = 0; k < trainer->count; k++)
        memset(trainer->members[k].metrics, 0, METRIC_SUMS * sizeof(trainer->members[k].metrics[0]));
    begin_epoch(trainer, state->seconds);
    st = members_set_metrics(trainer, err);
    if (st == ST_OK)
        st = events->on_epoch(events->context, &epoch, err);
    return st;
}

static bool has_held(const struct trainer *trainer, double progress)
{
    const struct schedule *schedule = &trainer->settings.schedule;
    return progress >= schedule->warmup + schedule->hold;
}

static enum status end_hold(struct trainer *trainer, const struct trainer_events *events, struct error *err)
{
    trainer->state.held = 1;
    return trainer->settings.schedule.hold > 0.0 && events->on_held != NULL
               ? events->on_held(events->context, err)
               : ST_OK;
}

enum status trainer_run(struct trainer *trainer, struct trainer_limit limit,
                        const struct trainer_events *events, struct trainer_result *result, struct error *err)
{
    struct trainer_state *state = &trainer->state;
    const double began = clock_seconds(), spent_before = state->seconds;
    const struct since since = {began, spent_before};
    double last_tick = began, learning_rate = 0.0;
    bool stop = false, evaluated = false;

    begin_epoch(trainer, spent_before);
    enum status st = members_set_metrics(trainer, err);
    while (st == ST_OK && !stop) {
        double now = clock_seconds();
        double progress = progress_of(trainer, limit, spent_before + now - began);
        bool finished = progress >= 1.0 && own_steps(trainer) > 0;
        if (!state->held && (finished || has_held(trainer, progress)))
            st = end_hold(trainer, events, err);
        if (st != ST_OK)
            break;
        if (finished || state->position + (uint32_t)trainer->settings.batch >
                            (uint32_t)trainer_epoch_samples(trainer, state)) {
            const bool joins = trainer->settings.use_validation && state->joined == 0 && !finished &&
                               progress >= JOIN_PROGRESS;
            /* A training that stands, with its time up, at the end of an epoch that was not validated (in this process)
             * has nothing but its result to find. */
            evaluated = evaluated && state->position == 0;
            if (!evaluated &&
                (finished || joins ||
                 spent_before + now - began - trainer->epoch_began >= limit.validation_seconds)) {
                st = end_epoch(trainer, &since, learning_rate, events, result, &stop, err);
                evaluated = true;
            } else if (!finished) {
                state->epoch++;
                state->position = 0;
            }
            if (st == ST_OK && joins && !stop)
                st = join(trainer, result, err);
            if (finished)
                break;
            continue;
        }
        if (now - last_tick >= events->tick_seconds) {
            last_tick = now;
            state->seconds = spent_before + now - began;
            st = read_metrics(trainer, err);
            if (st == ST_OK)
                st = events->on_tick(events->context, state, progress, err);
            if (st != ST_OK)
                break;
        }
        st = grow_images(trainer, progress, err);
        if (st != ST_OK)
            break;
        learning_rate = schedule_rate(&trainer->settings.schedule, progress);
        st = training_step(trainer, progress, learning_rate, err);
        trainer->epoch_images += trainer->settings.batch;
        look_at_times(trainer, PROG_TRAIN, &trainer->training_times);
    }
    return st;
}
