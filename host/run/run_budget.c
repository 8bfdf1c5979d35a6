#include "host/run/run_budget.h"

#include "host/net/cost.h"
#include "host/run/baseline.h"
#include "host/run/sharing.h"
#include "host/run/testing.h"
#include "host/train/progressive.h"

#include <math.h>
#include <stdlib.h>

/* What a stage needs beside training and test, to write the model, the report and the plots: what those took (stage.c),
 * with a margin, for the machine may be busier by then, and a tested stage has more plots; some seconds, and a part of
 * the stage, for what is larger in longer runs. The model's clock does not count it. */
static const double REPORT_MARGIN = 3.0, OVERHEAD_SECONDS = 0.5, OVERHEAD_SHARE = 0.01, OVERHEAD_MOST = 2.0;

/* The machine whose seconds the model's clock counts. */
static const double MODEL_FLOPS = 1e11, MODEL_BYTES = 2e10;

static bool by_model(const struct run *run)
{
    return run->job->budget.clock == JOB_CLOCK_MODEL;
}

enum status run_starts_open(struct run *run, struct error *err)
{
    const struct job_search *search = &run->job->search;
    const struct search_setup setup = run_search_setup(run);
    struct error unsaid; /* what can't be made is said when it is to be trained */
    run->starts = calloc((size_t)search->starts.count + 1, sizeof(*run->starts));
    if (run->starts == NULL)
        return error_memory(err, "starting networks", (size_t)search->starts.count * sizeof(*run->starts));
    run->start_count = search->starts.count;
    for (int32_t i = 0; i < run->start_count; i++) {
        int32_t width;
        if (search_start_within(&setup, &run->limits, i, &width, &run->starts[i], &unsaid) == ST_OK)
            continue;
        graph_free(&run->starts[i]);
        if (unsaid.status == ST_MEMORY) {
            *err = unsaid;
            return ST_MEMORY;
        }
    }
    return ST_OK;
}

void run_starts_close(struct run *run)
{
    for (int32_t i = 0; i < run->start_count; i++)
        graph_free(&run->starts[i]);
    free(run->starts);
    run->starts = NULL;
    run->start_count = 0;
}

/* Those of the starting networks by these rates. Without one: INFINITY and 0. */
static void start_costs(const struct run *run, const struct budget_speed *speed, double *cheapest,
                        double *dearest)
{
    *cheapest = INFINITY;
    *dearest = 0.0;
    for (int32_t i = 0; i < run->start_count; i++) {
        if (run->starts[i].count == 0)
            continue;
        const double cost = cost_seconds(&run->starts[i], &speed->rates);
        *cheapest = fmin(*cheapest, cost);
        *dearest = fmax(*dearest, cost);
    }
}

/* The cheapest network that was trained and kept; INFINITY when there is none. */
static double cheapest_parent(const struct run *run, const struct budget_speed *speed)
{
    double cheapest = INFINITY;
    for (int32_t i = 0; i < search_count(run->search); i++) {
        const struct search_model *model = search_at(run->search, i);
        if (model->is_parent)
            cheapest = fmin(cheapest, cost_seconds(&model->graph, &speed->rates));
    }
    return cheapest;
}

static struct budget_costs costs_of(const struct run *run, const struct budget_speed *speed)
{
    const struct search_limits none = {.max_seconds_per_image = INFINITY};
    const struct search_model *best = search_best(run->search, &none);
    const double parent = cheapest_parent(run, speed);
    struct budget_costs costs;
    double start;
    start_costs(run, speed, &start, &costs.dearest);
    costs.likely = best != NULL ? cost_seconds(&best->graph, &speed->rates) : start;
    costs.cheapest = isinf(parent) ? start : parent;
    return costs;
}

/* Where the clock decides nothing, the machine is not asked either: operations are counted. */
static struct budget_speed speed_of(const struct run *run, enum budget_kind kind)
{
    if (kind != BUDGET_SECONDS)
        return (struct budget_speed){.rates = cost_rates_of(1.0, INFINITY), .measured = 1.0, .slowdown = 1.0};
    if (by_model(run))
        return (struct budget_speed){
            .rates = cost_rates_of(MODEL_FLOPS, MODEL_BYTES), .measured = 1.0, .slowdown = 1.0};
    return (struct budget_speed){.rates = run->rates,
                                 .measured = run->seconds_per_image,
                                 .evaluation = run->evaluation_factor,
                                 .slowdown = sharing_slowdown(&run->sharing),
                                 .beside = run->beside};
}

static void set_spent(const struct run *run, struct budget_state *state)
{
    switch (state->kind) {
    case BUDGET_SECONDS:
        state->began = run->stage_began;
        state->spent = run_time(run) + (by_model(run) ? run->model_seconds_coming : 0.0);
        break;
    case BUDGET_STEPS:
        state->began = run->stage_steps;
        state->spent = (double)run->steps_done + run->steps_coming;
        break;
    case BUDGET_MODELS:
        state->began = 0.0;
        state->spent = run->models + run->coming;
        break;
    }
}

struct budget_state run_budget(const struct run *run)
{
    const struct job *job = run->job;
    const enum budget_kind kind = budget_kind_of(&job->budget);
    struct budget_state state = {
        .kind = kind,
        .total = budget_total(&job->budget, run->stage) + (kind == BUDGET_SECONDS ? run->aside : 0.0),
        .final_share = search_has_candidates(run->search) ? job->search.final_share : 1.0,
        .epochs = job->search.epochs,
        .final_epochs = job->train.final_epochs,
        .limits = run->limits,
        .workers = run->devices.workers,
        .candidate_images = job->search.data * run->data.sample_count[SPLIT_TRAIN],
        .train_images = run->data.sample_count[SPLIT_TRAIN],
        .validation_images = run->data.sample_count[SPLIT_VALIDATION],
        .test_evaluations = testing_evaluations(run, true),
        .candidate_batch = run->batches.candidate,
        .final_batch = run->batches.final,
        .team = run->batches.team,
        .by_a_clock = !by_model(run),
        .speed = speed_of(run, kind),
    };
    set_spent(run, &state);
    if (kind == BUDGET_SECONDS && state.by_a_clock)
        state.speed.overhead =
            fmin(OVERHEAD_SECONDS + OVERHEAD_SHARE * (state.total - state.began), OVERHEAD_MOST) +
            REPORT_MARGIN * run->report_seconds;
    state.costs = costs_of(run, &state.speed);
    return state;
}

struct search_request run_request(const struct run *run, const struct budget_state *budget)
{
    struct search_request request = {
        .id = run->next_id, .limits = budget_limits(budget), .means = budget_means(budget)};
    if (search_goes_by_means(run->search) && budget->kind == BUDGET_SECONDS)
        request.limits.max_seconds_per_image = INFINITY;
    return request;
}

static struct budget_training training_of(const struct run *run, const struct candidate *candidate,
                                          int32_t batch)
{
    const double images = run->data.sample_count[SPLIT_TRAIN];
    const struct cost_rates model = cost_rates_of(MODEL_FLOPS, MODEL_BYTES);
    const double cost = cost_seconds(&candidate->graph, &model);
    return (struct budget_training){
        .cost = cost,
        .stepped = candidate->progressive ? progressive_cost(&candidate->graph, &model) : cost,
        .images = candidate->final ? images : run->job->search.data * images,
        .batch = batch,
        .validation_images = run->data.sample_count[SPLIT_VALIDATION],
        .devices = candidate->final ? run->batches.team : 1};
}

static double allowances_of(const struct candidate *candidate)
{
    return budget_allowances(candidate->parent < 0, candidate->recipe.budget);
}

/* Before that training: the network of a final fit is what will be tested, unless an earlier one is better. */
static struct budget_state budget_of(const struct run *run, const struct candidate *candidate)
{
    struct budget_state budget = candidate->baseline ? baseline_budget(run) : run_budget(run);
    if (candidate->final)
        budget.costs.likely = cost_seconds(&candidate->graph, &budget.speed.rates);
    return budget;
}

/* As a candidate's of its own batch: one that does not fit into memory has smaller steps, and no more of them. */
static uint32_t model_steps(const struct run *run, const struct candidate *candidate,
                            const struct budget_state *budget)
{
    const int32_t batch =
        batches_wanted(&run->batches, candidate->final, candidate->recipe.hyperparameters.batch);
    const struct budget_training training = training_of(run, candidate, batch);
    const double seconds = candidate->final ? budget_final_seconds(budget, 0.0)
                                            : budget_candidate_seconds(budget, allowances_of(candidate), 0.0);
    return budget_training_steps(&budget->speed, &training, seconds);
}

bool run_repeats(const struct run *run)
{
    const struct job_budget *budget = &run->job->budget;
    return budget_kind_of(budget) != BUDGET_SECONDS || budget->clock == JOB_CLOCK_MODEL;
}

uint32_t run_steps_limit(const struct run *run, const struct candidate *candidate)
{
    const struct budget_state budget = budget_of(run, candidate);
    const uint32_t limit = candidate->final ? budget_final_steps(&budget)
                                            : budget_candidate_steps(&budget, allowances_of(candidate));
    if (budget.kind != BUDGET_SECONDS || !by_model(run))
        return limit;
    const uint32_t steps = model_steps(run, candidate, &budget);
    return steps < limit ? steps : limit;
}

double run_seconds_limit(const struct run *run, const struct candidate *candidate, double trained)
{
    const struct budget_state budget = budget_of(run, candidate);
    if (by_model(run))
        return INFINITY;
    return candidate->final ? budget_final_seconds(&budget, trained)
                            : budget_candidate_seconds(&budget, allowances_of(candidate), trained);
}

double run_model_seconds(const struct run *run, const struct candidate *candidate, uint32_t steps)
{
    const struct budget_speed speed = speed_of(run, BUDGET_SECONDS);
    const struct budget_training training = training_of(run, candidate, candidate->batch);
    const double seconds = budget_training_seconds(&speed, &training, steps);
    return candidate->final ? seconds : seconds / run->devices.workers;
}

double run_model_test_seconds(const struct run *run, const struct graph *graph, double evaluations)
{
    const struct budget_speed speed = speed_of(run, BUDGET_SECONDS);
    return budget_test_seconds(&speed, cost_seconds(graph, &speed.rates), evaluations, run->batches.team);
}

double run_seconds_left(const struct run *run)
{
    if (budget_kind_of(&run->job->budget) != BUDGET_SECONDS)
        return NAN;
    if (run->stage_tested) {
        const struct budget_state baseline = baseline_budget(run);
        return baseline.total - baseline.spent;
    }
    return budget_total(&run->job->budget, run->stage) + run->aside - run_time(run);
}
