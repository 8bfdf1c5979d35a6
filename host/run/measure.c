#include "host/run/measure.h"

#include "host/base/clock.h"
#include "host/base/thread_team.h"

#include <math.h>
#include <stdlib.h>

/* On the host each step is measured. A GPU is asked for one at first, and then for so many at once, or it would wait
 * for the host between them. */
enum { HOST_ROUNDS = 5, GPU_ROUNDS = 4, GPU_STEPS = 20, GPU_FIRST_STEPS = 3 };

struct measurement {
    const struct run *run;
    struct trainer *trainer;
    size_t bytes;
    double round;      /* images a second of the last one */
    double evaluation; /* seconds of an image in the validation behind it */
    int32_t evaluated; /* images of that */
};

static enum status on_epoch(void *context, const struct trainer_epoch *epoch, struct error *err)
{
    struct measurement *measurement = context;
    (void)err;
    measurement->round = epoch->images_per_second;
    measurement->evaluation =
        measurement->evaluated > 0 ? epoch->validation_seconds / measurement->evaluated : 0.0;
    return ST_OK;
}

static enum status fresh_weights(const struct measurement *measurement, const struct graph *graph,
                                 struct error *err)
{
    const struct weight_table *table = trainer_weights(measurement->trainer);
    float *values = calloc(table->total + 1, sizeof(float)); /* + 1: calloc may return NULL for nothing */
    if (values == NULL)
        return error_memory(err, "weights", table->total * sizeof(float));
    weight_initialise(table, graph, (uint64_t)measurement->run->job->seed, &measurement->run->whitening,
                      values);
    enum status st = trainer_load_values(measurement->trainer, values, err);
    free(values);
    return st;
}

static enum status open_one(const struct run *run, const struct graph *graph, struct team team, int32_t batch,
                            struct measurement *measurement, struct error *err)
{
    struct trainer_device devices[DEVICES_MOST];
    struct trainer_settings settings;
    const struct recipe usual = recipe_usual();
    const struct job_train train =
        recipe_train(&run->job->train, &usual.hyperparameters, graph->layers[0].shape);
    *measurement = (struct measurement){.run = run};
    for (int32_t k = 0; k < team.count; k++) {
        devices[k] = run_trainer_device(run, team.first + k, true);
        if (devices[k].validation_count > batch) /* each round ends with a validation, which nobody wants */
            devices[k].validation_count = batch;
    }
    measurement->evaluated = devices[0].validation_count;
    trainer_settings_of(&train, batch, (uint64_t)run->job->seed, &settings);
    enum status st = trainer_open(devices, team.count, graph, &settings, run->device_info.memory_free,
                                  &measurement->trainer, &measurement->bytes, err);
    if (st == ST_OK)
        st = fresh_weights(measurement, graph, err);
    return st;
}

/* So many steps more. */
static enum status train(struct measurement *measurement, uint32_t steps, struct error *err)
{
    const struct trainer_limit limit = {.seconds = INFINITY,
                                        .steps = trainer_state(measurement->trainer)->step + steps,
                                        .validation_seconds = INFINITY};
    const struct trainer_events events = {
        .context = measurement, .on_epoch = on_epoch, .tick_seconds = INFINITY};
    struct trainer_result ignored;
    return trainer_run(measurement->trainer, limit, &events, &ignored, err);
}

/* The fastest counts. */
static void keep(struct measured *measured, const struct measurement *measurement, bool host)
{
    const bool first = !(measured->images_per_second > 0.0);
    measured->images_per_second = fmax(measured->images_per_second, measurement->round);
    if (host)
        measured->evaluation_seconds =
            first ? measurement->evaluation : fmin(measured->evaluation_seconds, measurement->evaluation);
}

enum status measure_team(const struct run *run, const struct graph *graph, struct team team, int32_t batch,
                         double seconds, struct measured *measured, struct error *err)
{
    const bool host = devices_are_host(&run->devices);
    const int rounds = host ? HOST_ROUNDS : GPU_ROUNDS;
    const double began = clock_seconds();
    struct measurement measurement;
    *measured = (struct measured){0};
    enum status st = open_one(run, graph, team, batch, &measurement, err);
    measured->preparation = clock_seconds() - began;
    if (st == ST_OK)
        st = train(&measurement, host ? 1 : GPU_FIRST_STEPS, err);
    if (st == ST_OK && clock_seconds() - began >= seconds)
        keep(measured, &measurement, host);
    for (int round = 0; st == ST_OK && round < rounds && clock_seconds() - began < seconds; round++) {
        const bool one = host || round == 0;
        st = train(&measurement, one ? 1 : GPU_STEPS, err);
        keep(measured, &measurement, host);
        if (!host && batch > MEASURE_LONG_STEP * measured->images_per_second)
            break;
    }
    measured->bytes = measurement.bytes;
    if (st == ST_OK)
        measured->group_bytes = trainer_group_bytes(measurement.trainer);
    trainer_close(measurement.trainer);
    return st;
}

/* ---- side by side ---- */

struct beside {
    const struct graph *graph;
    const int32_t *devices;
    int32_t batch;
    struct measurement items[DEVICES_MOST];
};

static enum status begin(void *context, int32_t member, struct error *err)
{
    struct beside *beside = context;
    struct measurement *item = &beside->items[member];
    const struct team team = {beside->devices[member], 1};
    enum status st = open_one(item->run, beside->graph, team, beside->batch, item, err);
    return st == ST_OK ? train(item, GPU_FIRST_STEPS, err) : st;
}

static enum status go_on(void *context, int32_t member, struct error *err)
{
    struct beside *beside = context;
    return train(&beside->items[member], GPU_STEPS, err);
}

enum status measure_beside(const struct run *run, const struct graph *graph, const int32_t *devices,
                           int32_t count, int32_t batch, double *images_per_second, struct error *err)
{
    struct beside beside = {.graph = graph, .devices = devices, .batch = batch};
    const struct thread_team_work first = {.context = &beside, .work = begin},
                                  then = {.context = &beside, .work = go_on};
    struct thread_team *team;
    *images_per_second = 0.0;
    enum status st = thread_team_open(count, &team, err);
    for (int32_t k = 0; k < count; k++)
        beside.items[k].run = run;
    if (st == ST_OK)
        st = thread_team_run(team, &first, err);
    if (st == ST_OK) /* all are ready: from here on they are side by side */
        st = thread_team_run(team, &then, err);
    for (int32_t k = 0; k < count; k++) {
        *images_per_second += beside.items[k].round;
        trainer_close(beside.items[k].trainer);
    }
    thread_team_close(team);
    return st;
}
