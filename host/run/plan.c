/* The plan: what a run would take, measured on a few steps, before it begins. */
#include "host/net/cost.h"
#include "host/net/start.h"
#include "host/run/budget.h"
#include "host/run/engine.h"
#include "host/run/trainers.h"

#include "host/base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PLAN_STEPS = 6 };

static enum status ignore_epoch(void *context, const struct trainer_epoch *epoch, struct error *err)
{
    (void)context;
    (void)epoch;
    (void)err;
    return ST_OK;
}

/* Notes when each step was done; the first ones are slower, so the fastest counts. */
struct step_clock {
    double last, fastest;
};

static enum status note_step(void *context, const struct trainer_state *state, double progress,
                             struct error *err)
{
    struct step_clock *steps = context;
    double now = clock_seconds();
    (void)progress;
    (void)err;
    if (state->step > 1)
        steps->fastest = fmin(steps->fastest, now - steps->last);
    steps->last = now;
    return ST_OK;
}

/* Trains a few steps on the first `count` devices, which share each batch. */
static enum status measure(struct run *run, const struct graph *graph, int32_t count, int32_t batch,
                           double *images_per_second, size_t *bytes, struct error *err)
{
    struct trainer_place places[DEVICES_MOST];
    const struct trainer_limit limit = {.seconds = INFINITY, .steps = PLAN_STEPS};
    struct step_clock steps = {.fastest = INFINITY};
    const struct trainer_events events = {.context = &steps, .on_epoch = ignore_epoch, .on_tick = note_step};
    struct trainer_settings settings;
    struct trainer_result result;
    struct trainer *trainer = NULL;
    float *values = NULL;

    enum status st = trainer_settings_of(&run->job->train, batch, (uint64_t)run->job->seed, &settings, err);
    for (int32_t k = 0; k < count; k++)
        places[k] = trainers_place(run, k, true);
    if (st == ST_OK)
        st =
            trainer_open(places, count, graph, &settings, run->device_info.memory_free, &trainer, bytes, err);
    if (st != ST_OK)
        goto out;
    const struct weight_table *table = trainer_weights(trainer);
    values = calloc(table->total, sizeof(float));
    if (values == NULL) {
        st = error_memory(err, "weights", table->total * sizeof(float));
        goto out;
    }
    weight_initialise(table, graph, (uint64_t)run->job->seed, values);
    st = trainer_load_values(trainer, values, err);
    if (st == ST_OK)
        st = trainer_run(trainer, limit, &events, &result, err);
    *images_per_second = batch / steps.fastest;
out:
    trainer_close(trainer);
    free(values);
    return st;
}

/* What the largest of the starting networks takes on a device, and how fast the fastest of them is. */
struct plan_needs {
    size_t training, weights; /* bytes */
    double alone, final;      /* images a second: as a candidate, in a final fit */
};

static void print_batches(const struct run *run, FILE *out)
{
    const struct batches *batches = &run->batches;
    fprintf(out, "batch    %d images", (int)batches->candidate);
    if (batches->team > 1)
        fprintf(out, ", the final fit's %d shared by %d devices", (int)batches->final, (int)batches->team);
    else if (batches->final != batches->candidate)
        fprintf(out, ", the final fit's %d", (int)batches->final);
    fprintf(out, "%s\n", run->job->train.batch == JOB_AUTO ? ", chosen for devices and data" : "");
}

/* One starting network: alone on a device, as candidates are trained, and shared by all, as the final fit is. */
static enum status print_start(struct run *run, const char *name, struct plan_needs *needs, FILE *out,
                               struct error *err)
{
    const struct shape image = {0, run->data.channels, run->data.height, run->data.width};
    struct graph graph = {0};
    const struct batches batches = run->batches;
    const bool differs = batches.team > 1 || batches.final != batches.candidate;
    double alone = 0.0, final = 0.0;
    size_t bytes = 0, final_bytes = 0;
    enum status st = start_make(&graph, name, run->job->search.width, image, run->data.classes, err);
    if (st == ST_OK)
        st = measure(run, &graph, 1, batches.candidate, &alone, &bytes, err);
    if (st == ST_OK && differs)
        st = measure(run, &graph, batches.team, batches.final, &final, &final_bytes, err);
    if (st != ST_OK)
        goto out;
    const struct cost cost = cost_of_graph(&graph);
    const size_t weights = (size_t)cost.parameters * sizeof(float);
    fprintf(out,
            "start    %-9s %10lld parameters, %7.1f MFLOP an image, %7.1f MB, %6.0f images/s, epoch %.1f s\n",
            name, (long long)cost.parameters, 1e-6 * cost.train_flops, 1e-6 * (double)bytes, alone,
            run->data.sample_count[SPLIT_TRAIN] / alone);
    if (differs)
        fprintf(out, "         %-9s %7.1f MB, %6.0f images/s\n", "final fit", 1e-6 * (double)final_bytes,
                final);
    run->seconds_per_image =
        1.0 / (alone * cost_seconds(&graph, run->device_info.flops, run->device_info.bytes));
    const size_t larger = bytes > final_bytes ? bytes : final_bytes;
    needs->training = larger > needs->training ? larger : needs->training;
    needs->weights = weights > needs->weights ? weights : needs->weights;
    needs->alone = fmax(needs->alone, alone);
    needs->final = fmax(needs->final, differs ? final : alone);
out:
    graph_free(&graph);
    return st;
}

/* All that a device has to hold; networks grow from there, as far as there is room. */
static void print_memory(const struct run *run, const struct plan_needs *needs, FILE *out)
{
    struct device_info info;
    run->ops->info(run->devices.items[0].device, &info);
    fprintf(out,
            "memory   of each device: %.1f MB to train the largest of these, %.1f MB for the weights of %d "
            "parents "
            "like it, %.1f MB stay free; %.0f MB are free beside the data\n",
            1e-6 * (double)needs->training, 1e-6 * SEARCH_PARENTS * (double)needs->weights, SEARCH_PARENTS,
            1e-6 * (double)info.memory_total / TRAINERS_RESERVE, 1e-6 * (double)info.memory_free);
}

/* Seconds of so many steps, the final fit's share of them included. */
static double seconds_of(const struct run *run, double steps, const struct plan_needs *needs)
{
    const double share = run->job->search.final_share;
    const double searching = run->batches.candidate / (needs->alone * run->devices.count);
    return steps * ((1.0 - share) * searching + share * run->batches.final / needs->final);
}

static void print_budget(const struct run *run, const struct plan_needs *needs, FILE *out)
{
    const struct job_budget *budget = &run->job->budget;
    for (int32_t i = 0; i < budget_stages(budget); i++)
        fprintf(out, "budget   stage %d: %.10g %s in all\n", i, budget_total(budget, i), budget_kind(budget));
    if (budget->models.count == 0)
        fprintf(out, "search   about %.0f candidates a stage, %.0f %% of it, then the final fit\n",
                budget_slots(run), 100.0 * (1.0 - run->job->search.final_share));
    if (budget->steps.count > 0)
        fprintf(out, "end      after about %.0f s\n",
                seconds_of(run, budget_total(budget, budget_stages(budget) - 1), needs));
    else if (budget->models.count == 0)
        fprintf(out, "end      after at most %.10g s\n", budget_total(budget, budget_stages(budget) - 1));
}

enum status engine_plan(const struct job *job, FILE *out, struct error *err)
{
    struct run run;
    struct plan_needs needs = {0};
    enum status st = run_open(&run, job, "", 0, clock_seconds(), err);
    if (st != ST_OK)
        goto out;
    const struct dataset *data = &run.data;
    fprintf(out,
            "data     %d classes, %d x %d x %d: %d training, %d validation, %d test images, %.1f MB on the "
            "device\n",
            data->classes, data->channels, data->height, data->width, data->sample_count[SPLIT_TRAIN],
            data->sample_count[SPLIT_VALIDATION], data->sample_count[SPLIT_TEST],
            1e-6 * data->count * data->channels * data->height * data->width);
    if (data->policy[0] != '\0')
        fprintf(out, "         %s\n", data->policy);
    if (data->skipped > 0)
        fprintf(out, "         %d files skipped\n", data->skipped);
    for (int32_t k = 0; k < run.devices.count; k++) {
        struct device_info info;
        run.ops->info(run.devices.items[k].device, &info);
        fprintf(out, "device   %s, %.0f MB free\n", run.devices.items[k].name,
                1e-6 * (double)info.memory_free);
    }
    print_batches(&run, out);
    for (int32_t i = 0; st == ST_OK && i < job->search.starts.count; i++)
        st = print_start(&run, job->search.starts.items[i], &needs, out, err);
    if (st == ST_OK)
        print_memory(&run, &needs, out);
    if (st == ST_OK)
        print_budget(&run, &needs, out);
out:
    run_close(&run);
    return st;
}
