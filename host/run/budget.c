#include "host/run/budget.h"

#include "host/net/cost.h"
#include "host/net/start.h"

#include <math.h>

/* Epochs of one candidate when the budget is a number of models and the job leaves search.epochs open. */
static const double DEFAULT_CANDIDATE_EPOCHS = 2.0;

/* What a stage needs beside training: opening, report, plots, writing of the model. */
static const double RESERVE_SECONDS = 2.0;
/* Until it is measured: images are evaluated this much faster than they are trained on, at least. */
static const double TEST_SPEED = 2.0;
/* The machine may be that much slower when the test comes. */
static const double TEST_MARGIN = 1.5;

static const struct job_numbers *numbers(const struct job_budget *budget)
{
    if (budget->steps.count > 0)
        return &budget->steps;
    return budget->models.count > 0 ? &budget->models : &budget->seconds;
}

const char *budget_kind(const struct job_budget *budget)
{
    const struct job_numbers *used = numbers(budget);
    return used == &budget->steps ? "steps" : used == &budget->models ? "models" : "seconds";
}

double budget_total(const struct job_budget *budget, int32_t stage)
{
    return numbers(budget)->items[stage];
}

int32_t budget_stages(const struct job_budget *budget)
{
    return numbers(budget)->count;
}

bool budget_in_seconds(const struct run *run)
{
    return numbers(&run->job->budget) == &run->job->budget.seconds;
}

double budget_slowdown(const struct run *run)
{
    const struct run_sharing *sharing = &run->sharing;
    return sharing->workers > 1 && sharing->together > 0.0
               ? sharing->workers * sharing->alone / sharing->together
               : 1.0;
}

static bool in_steps(const struct run *run)
{
    return numbers(&run->job->budget) == &run->job->budget.steps;
}

/* The starting networks' costs by cost_seconds with these rates. */
static void start_costs(const struct run *run, double flops, double bytes, double *cheapest, double *dearest)
{
    const struct job_search *search = &run->job->search;
    const struct shape image = {0, run->data.channels, run->data.height, run->data.width};
    struct error ignored; /* said when the network is made to be trained */
    *cheapest = INFINITY;
    *dearest = 0.0;
    for (int32_t i = 0; i < search->starts.count; i++) {
        struct graph graph = {0};
        if (start_make(&graph, search->starts.items[i], search->width, image, run->data.classes, &ignored) ==
            ST_OK) {
            *cheapest = fmin(*cheapest, cost_seconds(&graph, flops, bytes));
            *dearest = fmax(*dearest, cost_seconds(&graph, flops, bytes));
        }
        graph_free(&graph);
    }
}

/* The cost of the cheapest network that was trained and kept; INFINITY when there is none. */
static double cheapest_parent(const struct run *run, double flops, double bytes)
{
    double cheapest = INFINITY;
    for (int32_t i = 0; i < search_count(run->search); i++) {
        const struct search_model *model = search_at(run->search, i);
        if (model->is_parent)
            cheapest = fmin(cheapest, cost_seconds(&model->graph, flops, bytes));
    }
    return cheapest;
}

/* Seconds that one image's training takes by the machine's rates: of the best network so far, which is what the final fit is
 * likely to train, or of the cheapest start. */
static double likely_seconds_per_image(const struct run *run)
{
    const struct search_limits none = {.max_seconds_per_image = INFINITY};
    const struct search_model *best = search_best(run->search, &none);
    const double flops = run->device_info.flops, bytes = run->device_info.bytes;
    double cheapest, dearest;
    if (best != NULL)
        return cost_seconds(&best->graph, flops, bytes);
    start_costs(run, flops, bytes, &cheapest, &dearest);
    return cheapest;
}

static double final_seconds(const struct run *run)
{
    double stage = budget_total(&run->job->budget, run->stage) - run->stage_began;
    return run->job->search.final_share * stage;
}

static double reserve(const struct run *run)
{
    const double factor = run->evaluation_factor > 0.0 ? TEST_MARGIN * run->evaluation_factor
                                                       : run->seconds_per_image / TEST_SPEED;
    return RESERVE_SECONDS + likely_seconds_per_image(run) * factor * run->data.sample_count[SPLIT_TEST];
}

static double search_end(const struct run *run)
{
    return budget_total(&run->job->budget, run->stage) - final_seconds(run) - reserve(run);
}

static uint32_t epochs_to_steps(const struct run *run, double epochs, double share, int32_t batch)
{
    double steps = epochs * floor(share * run->data.sample_count[SPLIT_TRAIN] / batch);
    return steps < 1.0 ? 1 : steps > 4e9 ? UINT32_MAX - 1 : (uint32_t)steps;
}

/* A slot of a search of that length, when so much trains the best network for an epoch; on `devices` at the same time. */
static double slot_of(double search, double epoch, int32_t devices)
{
    const double least = search * devices / BUDGET_MOST_SLOTS;
    return fmin(search / BUDGET_LEAST_SLOTS, fmax(BUDGET_EPOCHS * epoch, least));
}

static double search_seconds(const struct run *run)
{
    return fmax(search_end(run) - run->stage_began, 0.0);
}

static double slot_seconds(const struct run *run)
{
    const double images = run->job->search.data * run->data.sample_count[SPLIT_TRAIN];
    const double epoch =
        budget_slowdown(run) * run->seconds_per_image * likely_seconds_per_image(run) * images;
    return slot_of(search_seconds(run), epoch, run->devices.workers);
}

static double stage_steps(const struct run *run)
{
    return budget_total(&run->job->budget, run->stage) - run->stage_steps;
}

static double search_steps(const struct run *run)
{
    return (1.0 - run->job->search.final_share) * stage_steps(run);
}

static double slot_steps(const struct run *run)
{
    return slot_of(search_steps(run),
                   epochs_to_steps(run, 1.0, run->job->search.data, run->batches.candidate), 1);
}

/* Steps of this stage, those still to come in candidates' trainings included. */
static double spent_steps(const struct run *run)
{
    return (double)(run->steps_done - run->stage_steps) + run->steps_coming;
}

double budget_slots(const struct run *run)
{
    if (budget_in_seconds(run))
        return run->devices.workers * search_seconds(run) / fmax(slot_seconds(run), 1e-9);
    return in_steps(run) ? search_steps(run) / slot_steps(run) : budget_total(&run->job->budget, run->stage);
}

bool budget_search_goes_on(const struct run *run)
{
    if (budget_in_seconds(run))
        return run_time(run) + 0.5 * slot_seconds(run) < search_end(run);
    if (in_steps(run))
        return spent_steps(run) + 0.5 * slot_steps(run) < search_steps(run);
    return run->models + run->coming < budget_total(&run->job->budget, run->stage);
}

bool budget_fills_devices(const struct run *run)
{
    return budget_in_seconds(run) && budget_search_goes_on(run);
}

double budget_share(bool inherits, double times)
{
    return times * (inherits ? 1.0 : 2.0);
}

double budget_seconds(const struct run *run, double share, bool final, double spent)
{
    if (!budget_in_seconds(run))
        return INFINITY;
    const double now = run_time(run);
    if (final)
        return spent + fmax(budget_total(&run->job->budget, run->stage) - now - reserve(run), 0.0);
    return fmax(fmin(share * slot_seconds(run), spent + search_end(run) - now), 0.0);
}

static uint32_t final_steps(const struct run *run)
{
    if (budget_in_seconds(run))
        return UINT32_MAX;
    if (!in_steps(run))
        return epochs_to_steps(run, run->job->train.final_epochs, 1.0, run->batches.final);
    double left = stage_steps(run) - spent_steps(run);
    return left < 1.0 ? 1 : (uint32_t)left;
}

uint32_t budget_steps(const struct run *run, double share, bool final)
{
    const struct job_search *search = &run->job->search;
    uint32_t limit = UINT32_MAX;
    if (final)
        return final_steps(run);
    if (in_steps(run)) {
        double steps = fmin(ceil(share * slot_steps(run)), search_steps(run) - spent_steps(run));
        limit = steps < 1.0 ? 1 : (uint32_t)steps;
    }
    if (search->epochs > 0.0 || (!budget_in_seconds(run) && !in_steps(run))) {
        double epochs = search->epochs > 0.0 ? search->epochs : DEFAULT_CANDIDATE_EPOCHS;
        uint32_t steps = epochs_to_steps(run, share * epochs, search->data, run->batches.candidate);
        limit = steps < limit ? steps : limit;
    }
    return limit;
}

struct search_limits budget_limits(const struct run *run)
{
    struct search_limits limits = {.max_parameters = run->job->search.max_parameters};
    double cheapest, dearest;
    if (!budget_in_seconds(run)) {
        limits.flops = 1.0;
        limits.bytes = INFINITY;
        start_costs(run, limits.flops, limits.bytes, &cheapest, &dearest);
        limits.max_seconds_per_image = BUDGET_GROWTH * dearest;
        return limits;
    }
    double wanted = final_seconds(run) / (BUDGET_FINAL_EPOCHS * run->data.sample_count[SPLIT_TRAIN]);
    limits.flops = run->device_info.flops;
    limits.bytes = run->device_info.bytes;
    /* In predicted seconds. The cheapest network is admitted even when it is above the limit by itself: of
     * those that may still be trained further, or before there are any of the starting networks. */
    cheapest = cheapest_parent(run, limits.flops, limits.bytes);
    if (isinf(cheapest))
        start_costs(run, limits.flops, limits.bytes, &cheapest, &dearest);
    limits.max_seconds_per_image = fmax(wanted / run->seconds_per_image, 1.01 * cheapest);
    return limits;
}

double budget_seconds_left(const struct run *run)
{
    return budget_in_seconds(run) ? budget_total(&run->job->budget, run->stage) - run_time(run) : NAN;
}
