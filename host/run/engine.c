#include "host/run/engine.h"

#include "host/base/clock.h"
#include "host/report/report.h"
#include "host/run/answers.h"
#include "host/run/baseline.h"
#include "host/run/class_weights.h"
#include "host/run/coordinator.h"
#include "host/run/limits.h"
#include "host/run/resume.h"
#include "host/run/run_budget.h"
#include "host/run/sharing.h"
#include "host/run/stage.h"
#include "host/run/store.h"
#include "host/search/budget.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void run_lock(struct run *run)
{
    pthread_mutex_lock(&run->lock);
}

void run_unlock(struct run *run)
{
    pthread_mutex_unlock(&run->lock);
}

double run_time(const struct run *run)
{
    if (run->job->budget.clock == JOB_CLOCK_MODEL)
        return run->model_seconds;
    return run->clock_base + clock_seconds() - run->clock_start;
}

struct shape run_image(const struct run *run)
{
    return (struct shape){0, run->data.channels, run->data.height, run->data.width};
}

struct trainer_device run_trainer_device(const struct run *run, int32_t device, bool final)
{
    double share = final ? 1.0 : run->job->search.data;
    int32_t count = (int32_t)ceil(share * run->data.sample_count[SPLIT_TRAIN]);
    return (struct trainer_device){
        .ops = run->ops,
        .handle = run->devices.items[device].device,
        .dataset = run->devices.items[device].data,
        .train = run->data.samples[SPLIT_TRAIN],
        .train_count = count,
        .validation = run->data.samples[SPLIT_VALIDATION],
        .validation_count = run->data.sample_count[SPLIT_VALIDATION],
        .label_sets = run->data.label_sets,
    };
}

/* Of those that the search may choose, where the job lets it. */
static int32_t largest_batch(const struct run *run)
{
    const struct job_range *range = &run->job->ranges.batch;
    double largest = run->batches.candidate;
    for (int32_t i = 0; i < range->values.count; i++)
        largest = fmax(largest, range->values.items[i]);
    return (int32_t)fmax(largest, range->max);
}

/* Refuses a batch that the training part can't fill: no candidate could be trained. */
static enum status choose_batches(struct run *run, struct error *err)
{
    const struct job *job = run->job;
    const int32_t all = run->data.sample_count[SPLIT_TRAIN];
    const int32_t images = (int32_t)ceil(job->search.data * all);
    run->batches =
        batches_choose(job->train.batch, !devices_are_host(&run->devices), run->devices.count, images, all);
    if (largest_batch(run) <= images)
        return ST_OK;
    return error_set(
        err, ST_RANGE,
        "train.batch: found %d, expected at most %d, the candidates' training images, or \"auto\"",
        largest_batch(run), images);
}

static enum status upload_data(struct run *run, struct error *err)
{
    float *weights;
    enum status st = class_weights_of(&run->job->train, &run->data, &weights, err);
    if (st == ST_OK)
        st = devices_upload(&run->devices, &run->data, weights, err);
    free(weights);
    if (st == ST_OK) { /* the devices have their own */
        free(run->data.pixels);
        run->data.pixels = NULL;
    }
    return st;
}

struct search_setup run_search_setup(const struct run *run)
{
    return (struct search_setup){.job = &run->job->search,
                                 .final = &run->job->final,
                                 .seed = run->job->seed,
                                 .image = run_image(run),
                                 .classes = run->data.classes,
                                 .train = &run->job->train,
                                 .hyperparameters = hyperparameter_space_of(run->job),
                                 .files = run->files.searched ? run->files.graphs : NULL};
}

/* Networks of files see images as they did where they were trained. */
static enum status open_start_files(struct run *run, struct error *err)
{
    enum status st = start_files_open(run->job, &run->data, &run->files, err);
    if (st == ST_OK && run->files.normalise)
        data_normalise_by(&run->data, run->files.mean, run->files.deviation);
    return st;
}

/* Also refuses limits that no starting network is within, and those that the baseline's is not. */
static enum status open_search(struct run *run, struct error *err)
{
    const struct search_setup setup = run_search_setup(run);
    enum status st = search_check_limits(&setup, &run->limits, err);
    if (st == ST_OK)
        st = search_new(&setup, &run->search, err);
    return st == ST_OK ? baseline_open(run, err) : st;
}

static void beat(void *history)
{
    supervisor_beat(history);
}

enum status run_open(struct run *run, const struct job *job, const char *folder, int verbosity,
                     struct engine_history *history, struct error *err)
{
    *run = (struct run){.job = job,
                        .limits = limits_of_job(&job->search),
                        .history = history,
                        .clock_start = history != NULL ? history->started : clock_seconds(),
                        .best_id = -1,
                        .calibration = {.id = -1},
                        .published_id = -1,
                        .lost_id = -1,
                        .best_accuracy = -1.0,
                        .best_loss = INFINITY,
                        .final = {.id = -1, .parent = -1},
                        .baseline = {.last = {.id = -1, .parent = -1}, .began = NAN},
                        .journal = {.fd = -1},
                        .seconds_per_image = 1.0};
    pthread_mutex_init(&run->lock, NULL);
    pthread_mutex_init(&run->admission, NULL);
    memory_begin();
    display_open(&run->display, stdout, verbosity);
    run->folder = strdup(folder);
    if (run->folder == NULL)
        return error_memory(err, "path", strlen(folder));
    enum status st = devices_choose(job, &run->devices, err);
    const struct data_way way = {.threads = job->threads,
                                 .log = verbosity < 0 ? NULL : stderr,
                                 .stop = supervisor_stop_wanted,
                                 .alive = history != NULL ? beat : NULL,
                                 .context = history};
    run->ops = run->devices.ops;
    if (st == ST_OK)
        st = data_load(&job->dataset, job->seed, &way, &run->data, err);
    if (st == ST_OK)
        st = open_start_files(run, err);
    if (st == ST_OK)
        st = whitening_make(&run->whitening, run->data.channels, run->data.patches, err);
    if (st == ST_OK)
        st = choose_batches(run, err);
    if (st == ST_OK)
        st = resume_precision(run, err);
    if (st == ST_OK)
        st = devices_open(&run->devices, err);
    if (st != ST_OK)
        return st;
    run->ops->info(run->devices.items[0].device, &run->device_info);
    run->rates = cost_rates_of(run->device_info.flops, run->device_info.bytes);
    st = upload_data(run, err);
    if (st == ST_OK)
        run->energy.meter = energy_open(&run->devices, ENERGY_POWERCAP);
    if (st == ST_OK)
        st = weight_cache_open(&run->devices, &run->weights, err);
    if (st == ST_OK)
        st = open_search(run, err);
    if (st == ST_OK)
        st = run_starts_open(run, err);
    if (st == ST_OK)
        memory_opened(&run->memory, devices_are_host(&run->devices));
    return st;
}

void run_close(struct run *run)
{
    display_close(&run->display);
    resume_forget(run);
    search_free(run->search);
    search_free(run->baseline.search);
    run_starts_close(run);
    start_files_close(&run->files);
    weight_cache_close(run->weights);
    energy_close(run->energy.meter);
    devices_close(&run->devices);
    data_free(&run->data);
    journal_close(&run->journal);
    free(run->folder);
    free(run->hashes);
    free(run->right);
    free(run->calibration.label_thresholds);
    pthread_mutex_destroy(&run->lock);
    pthread_mutex_destroy(&run->admission);
    *run = (struct run){.journal = {.fd = -1}};
}

static void say_start(struct run *run)
{
    const struct dataset *data = &run->data;
    char classes[DATA_LINE_LENGTH];
    struct error unsaid;
    display_say(&run->display, 0,
                "data    %d classes, %d x %d x %d: %d training, %d validation, %d test images", data->classes,
                data->channels, data->height, data->width, data->sample_count[SPLIT_TRAIN],
                data->sample_count[SPLIT_VALIDATION], data->sample_count[SPLIT_TEST]);
    if (data_class_line(data, classes, &unsaid) == ST_OK)
        display_say(&run->display, 0, "        %s", classes);
    if (data->policy[0] != '\0')
        display_say(&run->display, 0, "        %s", data->policy);
    if (data->skipped > 0)
        display_say(&run->display, 0, "        %d files skipped", data->skipped);
    for (int32_t i = 0; i < run->files.count; i++)
        if (run->files.items[i].path != NULL)
            display_say(&run->display, 0, "start   %s (%s), its last layer %s", run->files.items[i].path,
                        run->files.items[i].hash,
                        run->files.items[i].keeps_head ? "kept" : "replaced by one of these classes");
    for (int32_t k = 0; k < run->devices.count; k++)
        display_say(&run->display, 0, "device  %s", run->devices.items[k].name);
    if (run->batches.team < run->devices.count)
        display_say(&run->display, 0,
                    "        the final fit's batch of %d is shared by %d of them, the most that divide it",
                    run->batches.final, run->batches.team);
    if (run->job->train.batch == JOB_AUTO)
        display_say(&run->display, 1, "batch   %d, the final fit's %d", run->batches.candidate,
                    run->batches.final);
    if (run->devices.without[0] != '\0')
        display_say(&run->display, 0, "        no GPU: %s", run->devices.without);
    display_say(&run->display, 0, "run     %s%s", run->folder, run->models > 0 ? ", resumed" : "");
}

static void say_sharing(struct run *run)
{
    const struct run_sharing *sharing = &run->sharing;
    if (sharing->together > 0.0)
        display_say(&run->display, sharing->workers > 1 ? 0 : 1,
                    "workers %d on each device: a training runs at %.0f images/s alone, %s %.0f side by side",
                    (int)sharing->workers, sharing->alone, sharing->workers > 1 ? "all at" : "two at",
                    sharing->together);
    else if (sharing->workers > 1)
        display_say(&run->display, 0, "workers %d on each device", (int)sharing->workers);
}

/* What was reserved beside what the process took at its largest. */
static void say_memory(struct run *run)
{
    int64_t found, evicted;
    double reserved = (double)memory_reserved(&run->memory), peak = (double)memory_peak();
    display_say(&run->display, 1,
                "memory: reserved %.0f MB (%.0f MB for program and data, %.0f MB for the largest candidate "
                "or test), peak %.0f MB, %+.1f %%",
                1e-6 * reserved, 1e-6 * (double)run->memory.base, 1e-6 * (double)run->memory.largest,
                1e-6 * peak, 100.0 * (peak / reserved - 1.0));
    weight_cache_counts(run->weights, &found, &evicted);
    display_say(&run->display, 1,
                "parents' weights: found on the device %lld times, sent away from one %lld times",
                (long long)found, (long long)evicted);
}

/* What the watchdog is to know: how long nothing may happen (a step, an evaluation, a change of the network, an image
 * read), and until when a budget of the clock is used up. Both are generous; they end what would never end. */
static const double SILENCE_SECONDS = 1800.0, GRACE_SECONDS = 30.0, GRACE_SHARE = 0.25;

static void tell_watchdog(const struct run *run)
{
    const struct job_budget *budget = &run->job->budget;
    supervisor_beat(run->history);
    if (budget_kind_of(budget) != BUDGET_SECONDS || budget->clock != JOB_CLOCK_WALL)
        return;
    const double total =
        budget_total(budget, budget_stages(budget) - 1) * (job_has_baseline(run->job) ? 2.0 : 1.0);
    atomic_store(&run->history->deadline,
                 clock_seconds() + fmax(total - run_time(run), 0.0) + GRACE_SECONDS + GRACE_SHARE * total);
}

/* *lost: a model that was needed and is gone or damaged; -1. */
static enum status run_once(const struct job *job, const char *folder, int verbosity,
                            struct engine_history *history, int32_t *lost, struct error *err)
{
    struct run run;

    atomic_store(&history->silence, SILENCE_SECONDS);
    enum status st = run_open(&run, job, folder, verbosity, history, err);
    if (st == ST_OK)
        st = resume_run(&run, err);
    if (st != ST_OK)
        goto out;
    st = answers_write_splits(&run, err);
    if (st != ST_OK)
        goto out;
    history->working = true;
    tell_watchdog(&run);
    say_start(&run);
    const bool goes_on = run.stage < budget_stages(&job->budget);
    if (goes_on)
        st = limits_open(&run, err);
    if (goes_on && st == ST_OK)
        st = sharing_open(&run, err);
    if (goes_on && st == ST_OK)
        say_sharing(&run);
    run.window = coordinator_window(&run);
    /* A crash may have come between the last test and its report. */
    if (st == ST_OK && (run.stage_tested || (run.stage > 0 && !run.stage_open))) {
        st = store_check_published(&run, err);
        if (st == ST_OK)
            st = report_write_all(folder, job->output.plots, err);
    }
    if (!goes_on)
        display_say(&run.display, 0,
                    "        finished before: a larger budget.%s goes on, --fresh starts over",
                    budget_kind(&job->budget));
    while (st == ST_OK && run.stage < budget_stages(&job->budget))
        st = stage_run(&run, err);
    say_memory(&run);
out:
    *lost = st != ST_OK ? run.lost_id : -1;
    run_close(&run);
    return st;
}

enum status engine_run(const struct job *job, const char *folder, int verbosity,
                       struct engine_history *history, struct error *err)
{
    int32_t lost = -1, before;
    enum status st;
    do {
        before = lost;
        st = run_once(job, folder, verbosity, history, &lost, err);
        /* A model that is lost again after it was trained again would be so for ever. */
    } while (st != ST_OK && history->salvage && lost >= 0 && lost != before &&
             (st = resume_forget_from(folder, lost, err)) == ST_OK);
    return st;
}
