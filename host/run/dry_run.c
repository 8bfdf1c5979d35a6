/* The dry run: what a run would take, measured on a few steps, before it begins. */
#include "host/base/clock.h"
#include "host/net/cost.h"
#include "host/run/admission.h"
#include "host/run/engine.h"
#include "host/run/limits.h"
#include "host/run/measure.h"
#include "host/run/run_budget.h"
#include "host/run/sharing.h"
#include "host/run/speed.h"
#include "host/run/stage.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the largest of the starting networks takes on a device, and how fast the fastest of them is. */
struct dry_run_needs {
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

static void print_sharing(const struct run *run, FILE *out)
{
    const struct run_sharing *sharing = &run->sharing;
    if (sharing->workers == 1 && !(sharing->together > 0.0))
        return;
    fprintf(out, "workers  %d on each device", (int)sharing->workers);
    if (sharing->together > 0.0)
        fprintf(out, ": %.0f images/s alone, %.0f side by side", sharing->alone, sharing->together);
    fputc('\n', out);
}

/* What the calibration predicts, beside what was measured. */
static void say_expected(const struct run *run, const struct graph *graph, double measured, char *text,
                         size_t size)
{
    const double expected = 1.0 / cost_seconds(graph, &run->rates);
    snprintf(text, size, ", predicted %.0f images/s (%+.1f %%)", expected,
             100.0 * (expected / measured - 1.0));
}

/* One starting network: alone on a device, as candidates are trained, and shared by all, as the final fit is. */
static enum status print_start(struct run *run, int32_t start, struct dry_run_needs *needs, FILE *out,
                               struct error *err)
{
    const struct search_setup setup = run_search_setup(run);
    const char *name = setup.job->starts.items[start];
    struct graph graph = {0};
    const struct batches batches = run->batches;
    const bool differs = batches.team > 1 || batches.final != batches.candidate;
    const struct team one = {0, 1}, all = {0, batches.team};
    struct measured alone = {.images_per_second = run->sharing.alone, .bytes = run->sharing.bytes},
                    final = {0};
    const bool known = alone.images_per_second > 0.0 && start == 0; /* by sharing_find */
    char group[64] = "", expected[64] = "";
    enum status st = search_make_start(&setup, start, setup.job->width, &graph, err);
    if (st == ST_OK && !known)
        st = measure_team(run, &graph, one, batches.candidate, INFINITY, &alone, err);
    if (st == ST_OK && differs)
        st = measure_team(run, &graph, all, batches.final, INFINITY, &final, err);
    if (st != ST_OK)
        goto out;
    const struct cost cost = cost_of_graph(&graph);
    const size_t weights = (size_t)cost.parameters * sizeof(float);
    if (run->rates.batch > 0)
        say_expected(run, &graph, alone.images_per_second, expected, sizeof(expected));
    fprintf(
        out,
        "start    %-9s %10lld parameters, %7.1f MFLOP an image, %7.1f MB, %6.0f images/s, epoch %.1f s%s\n",
        name, (long long)cost.parameters, 1e-6 * cost.train_flops, 1e-6 * (double)alone.bytes,
        alone.images_per_second, run->data.sample_count[SPLIT_TRAIN] / alone.images_per_second, expected);
    if (final.group_bytes > 0)
        snprintf(group, sizeof(group), " and %.1f MB for the group", 1e-6 * (double) final.group_bytes);
    if (differs)
        fprintf(out, "         %-9s %7.1f MB%s, %6.0f images/s\n", "final fit", 1e-6 * (double) final.bytes,
                group, final.images_per_second);
    run->seconds_per_image = 1.0 / (alone.images_per_second * cost_seconds(&graph, &run->rates));
    const size_t candidates = (size_t)run->sharing.workers * alone.bytes;
    const size_t all_final = final.bytes + final.group_bytes;
    const size_t larger = candidates > all_final ? candidates : all_final;
    needs->training = larger > needs->training ? larger : needs->training;
    needs->weights = weights > needs->weights ? weights : needs->weights;
    needs->alone = fmax(needs->alone, alone.images_per_second);
    needs->final = fmax(needs->final, (differs ? final : alone).images_per_second);
out:
    graph_free(&graph);
    return st;
}

/* How wide starting networks may be by the job's limits, where that is narrower than they are. */
static enum status print_limits(const struct run *run, FILE *out, struct error *err)
{
    const struct job_search *job = &run->job->search;
    const struct search_setup setup = run_search_setup(run);
    enum status st = ST_OK;
    for (int32_t i = 0; st == ST_OK && i < job->starts.count; i++) {
        struct graph graph = {0};
        int32_t width;
        st = search_start_within(&setup, &run->limits, i, &width, &graph, err);
        if (st == ST_NONE)
            fprintf(out, "limits   %s is above them in all widths\n", job->starts.items[i]);
        else if (st == ST_OK && width != job->width)
            fprintf(out, "limits   %s is at most %d wide\n", job->starts.items[i], (int)width);
        graph_free(&graph);
        st = st == ST_NONE ? ST_OK : st;
    }
    return st;
}

/* All that a device has to hold; networks grow from there, as far as there is room. */
static void print_memory(const struct run *run, const struct dry_run_needs *needs, FILE *out)
{
    struct device_info info;
    const int32_t parents =
        run->sharing.workers * SEARCH_PARENTS; /* each worker keeps those it has trained */
    run->ops->info(run->devices.items[0].device, &info);
    fprintf(out,
            "memory   of each device: %.1f MB to train the largest of these, %.1f MB for the weights of %d "
            "parents "
            "like it, %.1f MB stay free; %.0f MB are free beside the data\n",
            1e-6 * (double)needs->training, 1e-6 * parents * (double)needs->weights, (int)parents,
            1e-6 * (double)info.memory_total / ADMISSION_RESERVE, 1e-6 * (double)info.memory_free);
}

/* Seconds of so many steps, the final fit's share of them and the baseline's as many included. */
static double seconds_of(const struct run *run, double steps, const struct dry_run_needs *needs)
{
    const double share = run_budget(run).final_share;
    const double searching =
        sharing_slowdown(&run->sharing) * run->batches.candidate / (needs->alone * run->devices.workers);
    const double final = run->batches.final / needs->final;
    const double baseline = job_has_baseline(run->job) ? final : 0.0;
    return steps * ((1.0 - share) * searching + share * final + baseline);
}

/* Each has a step at least, and one is tried whatever the budget says. */
static double candidates_of(const struct run *run, const struct budget_state *state,
                            const struct dry_run_needs *needs)
{
    const double part = budget_search_part(state);
    const double steps = state->kind == BUDGET_STEPS
                             ? part
                             : part * needs->alone * run->devices.workers / state->candidate_batch;
    return fmax(fmin(budget_candidates(state), floor(steps)), 1.0);
}

/* Whether a final fit may begin with smaller images, by what the job says and the data. */
static bool job_sees_smaller_images(const struct run *run)
{
    return stage_progressive(run->job, run_image(run));
}

/* What the budget buys, in epochs: of a candidate, and of the final fit. Where that is less than one it is said
 * plainly, for no network learns much from images that it has not seen. */
static void print_epochs(const struct run *run, const struct dry_run_needs *needs, FILE *out)
{
    const struct job_budget *budget = &run->job->budget;
    const struct budget_state state = run_budget(run);
    const bool clocked = state.kind == BUDGET_SECONDS && budget->clock == JOB_CLOCK_WALL;
    const double whole = state.final_share * (state.total - state.began), images = state.train_images;
    if (state.kind == BUDGET_MODELS || (state.kind == BUDGET_SECONDS && !clocked))
        return;
    const double final = clocked ? fmax(whole - budget_reserve(&state), 0.0) * needs->final / images
                                 : whole * state.final_batch / images;
    const double candidate =
        clocked ? budget_allowance(&state) * needs->alone / (state.speed.slowdown * state.candidate_images)
                : budget_allowance(&state) * state.candidate_batch / state.candidate_images;
    if (search_has_candidates(run->search) && !search_goes_by_means(run->search))
        fprintf(out, "epochs   about %.2g of each candidate, %.2g of the final fit\n", candidate, final);
    else
        fprintf(out, "epochs   about %.2g of the final fit%s\n", final,
                job_sees_smaller_images(run) ? ", in full size; more by smaller images at first" : "");
    if (final < 1.0)
        fprintf(out,
                "warning  the budget is too small: the final fit ends before it has seen each image once\n");
}

static void print_budget(const struct run *run, const struct dry_run_needs *needs, FILE *out)
{
    const struct job_budget *budget = &run->job->budget;
    const struct budget_state state = run_budget(run);
    for (int32_t i = 0; i < budget_stages(budget); i++)
        fprintf(out, "budget   stage %d: %.10g %s in all\n", i, budget_total(budget, i), budget_kind(budget));
    if (!search_has_candidates(run->search))
        fprintf(out, "search   none: the starting network gets the whole budget\n");
    else if (search_goes_by_means(run->search))
        fprintf(out, "search   short trainings choose the network, then the final fit gets what is left\n");
    else if (budget->models.count == 0)
        fprintf(out, "search   about %.0f candidates a stage, %.0f %% of it, then the final fit\n",
                candidates_of(run, &state, needs), 100.0 * (1.0 - run->job->search.final_share));
    print_epochs(run, needs, out);
    const bool baseline = job_has_baseline(run->job);
    const char *named = job_baseline_start(run->job);
    const double total = budget_total(budget, budget_stages(budget) - 1);
    if (baseline)
        fprintf(out, "baseline %s without a search, with as much again behind each stage\n",
                named != NULL ? named : run->job->search.starts.items[0]);
    if (budget->steps.count > 0)
        fprintf(out, "end      after about %.0f s\n", seconds_of(run, total, needs));
    else if (budget->models.count == 0)
        fprintf(out, "end      after at most %.10g s%s%s\n", (baseline ? 2.0 : 1.0) * total,
                budget->clock == JOB_CLOCK_MODEL ? " of the model's clock" : "",
                baseline ? ", the baseline's among them" : "");
}

enum status engine_dry_run(const struct job *job, FILE *out, struct error *err)
{
    struct run run;
    struct dry_run_needs needs = {0};
    struct calibration calibration;
    enum status st = run_open(&run, job, "", 0, NULL, err);
    if (st != ST_OK)
        goto out;
    const struct dataset *data = &run.data;
    fprintf(out,
            "data     %d classes, %d x %d x %d: %d training, %d validation, %d test images, %.1f MB on the "
            "device\n",
            data->classes, data->channels, data->height, data->width, data->sample_count[SPLIT_TRAIN],
            data->sample_count[SPLIT_VALIDATION], data->sample_count[SPLIT_TEST],
            1e-6 * data->count * data->channels * data->height * data->width);
    char classes[DATA_LINE_LENGTH];
    st = data_class_line(data, classes, err);
    if (st != ST_OK)
        goto out;
    fprintf(out, "         %s\n", classes);
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
    st = sharing_find(&run, err);
    if (st == ST_OK && !run_repeats(&run) && search_has_candidates(run.search))
        st = speed_calibrate(&run, &calibration, err);
    if (st == ST_OK)
        print_sharing(&run, out);
    if (st == ST_OK)
        st = limits_find(&run, err);
    for (int32_t i = 0; st == ST_OK && i < job->search.starts.count; i++)
        st = print_start(&run, i, &needs, out, err);
    if (st == ST_OK)
        st = print_limits(&run, out, err);
    if (st == ST_OK)
        print_memory(&run, &needs, out);
    if (st == ST_OK)
        print_budget(&run, &needs, out);
out:
    run_close(&run);
    return st;
}
