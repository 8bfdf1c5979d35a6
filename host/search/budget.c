#include "host/search/budget.h"

#include <math.h>

/* Epochs of one candidate when the budget is a number of models and the job leaves search.epochs open. */
static const double DEFAULT_CANDIDATE_EPOCHS = 2.0;

/* Until it is measured: images are evaluated this much faster than they are trained on, at least. */
static const double TEST_SPEED = 2.0;
/* The machine may be that much slower when the test comes. */
static const double TEST_MARGIN = 1.25;
/* The search ends when less than this part of an allowance is left. */
static const double LEAST_ALLOWANCE = 0.5;
/* The cheapest network is admitted even when it is above the limit by itself, whatever the rounding. */
static const double ADMITS_CHEAPEST = 1.01;

/* ---- what the job says ---- */

enum budget_kind budget_kind_of(const struct job_budget *budget)
{
    if (budget->steps.count > 0)
        return BUDGET_STEPS;
    return budget->models.count > 0 ? BUDGET_MODELS : BUDGET_SECONDS;
}

static const struct job_numbers *numbers(const struct job_budget *budget)
{
    switch (budget_kind_of(budget)) {
    case BUDGET_STEPS:
        return &budget->steps;
    case BUDGET_MODELS:
        return &budget->models;
    case BUDGET_SECONDS:
        break;
    }
    return &budget->seconds;
}

const char *budget_kind(const struct job_budget *budget)
{
    static const char *const names[] = {
        [BUDGET_SECONDS] = "seconds", [BUDGET_STEPS] = "steps", [BUDGET_MODELS] = "models"};
    return names[budget_kind_of(budget)];
}

double budget_total(const struct job_budget *budget, int32_t stage)
{
    return numbers(budget)->items[stage];
}

int32_t budget_stages(const struct job_budget *budget)
{
    return numbers(budget)->count;
}

/* ---- trainings ---- */

/* Of candidates when the budget is a number of models. */
static double usual_epochs(const struct budget_state *state)
{
    return state->epochs > 0.0 ? state->epochs : DEFAULT_CANDIDATE_EPOCHS;
}

/* One step at least. */
static uint32_t whole_steps(double steps)
{
    return steps < 1.0 ? 1 : steps > 4e9 ? UINT32_MAX - 1 : (uint32_t)steps;
}

static uint32_t epochs_to_steps(double epochs, double images, int32_t batch)
{
    return whole_steps(epochs * floor(images / batch));
}

double budget_image_seconds(const struct budget_speed *speed, double cost)
{
    return speed->measured * cost;
}

/* The same of its evaluation. */
static double evaluation_seconds(const struct budget_speed *speed, double cost)
{
    return speed->evaluation > 0.0 ? speed->evaluation * cost
                                   : budget_image_seconds(speed, cost) / TEST_SPEED;
}

static double step_seconds(const struct budget_speed *speed, const struct budget_training *training)
{
    return budget_image_seconds(speed, training->stepped) * training->batch / training->devices;
}

static double validation_seconds(const struct budget_speed *speed, const struct budget_training *training)
{
    return evaluation_seconds(speed, training->cost) * training->validation_images / training->devices;
}

double budget_training_seconds(const struct budget_speed *speed, const struct budget_training *training,
                               uint32_t steps)
{
    const double epoch = epochs_to_steps(1.0, training->images, training->batch);
    return steps * step_seconds(speed, training) + ceil(steps / epoch) * validation_seconds(speed, training);
}

uint32_t budget_training_steps(const struct budget_speed *speed, const struct budget_training *training,
                               double seconds)
{
    const double epoch = epochs_to_steps(1.0, training->images, training->batch);
    const double step = step_seconds(speed, training), validation = validation_seconds(speed, training);
    const double whole = floor(seconds / (epoch * step + validation));
    const double rest = seconds - whole * (epoch * step + validation) - validation;
    return whole_steps(whole * epoch + floor(fmax(rest, 0.0) / step));
}

double budget_test_seconds(const struct budget_speed *speed, double cost, double images, int32_t devices)
{
    return images * evaluation_seconds(speed, cost) / devices;
}

/* ---- the parts of a stage ---- */

static double of_stage(const struct budget_state *state, double share)
{
    return share * (state->total - state->began);
}

/* A final fit ends with the step that has begun when its time is up. The validation behind it is part of its time. */
static double last_step_seconds(const struct budget_state *state)
{
    if (!state->by_a_clock)
        return 0.0;
    return budget_image_seconds(&state->speed, state->costs.likely) * state->final_batch / state->team;
}

/* What is kept for the test of a network with that cost. */
static double test_reserve(const struct budget_state *state, double cost)
{
    const double margin = state->speed.evaluation > 0.0 ? TEST_MARGIN : 1.0;
    return margin * budget_test_seconds(&state->speed, cost, state->test_evaluations, state->team);
}

/* And for what follows, whatever network that is. */
static double other_reserve(const struct budget_state *state)
{
    return state->speed.overhead + last_step_seconds(state);
}

double budget_reserve(const struct budget_state *state)
{
    if (state->kind != BUDGET_SECONDS)
        return 0.0;
    return other_reserve(state) + test_reserve(state, state->costs.likely);
}

double budget_search_part(const struct budget_state *state)
{
    const double final_share = state->kind == BUDGET_MODELS ? 0.0 : state->final_share;
    return fmax(of_stage(state, 1.0 - final_share) - budget_reserve(state), 0.0);
}

/* Of the search's part: what it has spent. */
static double searched(const struct budget_state *state)
{
    return state->spent - state->began;
}

/* One of a candidate's epochs of the likely network, beside the others on its device: seconds, or steps. */
static double candidate_epoch(const struct budget_state *state)
{
    if (state->kind == BUDGET_STEPS)
        return epochs_to_steps(1.0, state->candidate_images, state->candidate_batch);
    return state->speed.slowdown * budget_image_seconds(&state->speed, state->costs.likely) *
           state->candidate_images;
}

/* How many allowances are spent at the same time. */
static int32_t side_by_side(const struct budget_state *state)
{
    return state->kind == BUDGET_SECONDS ? state->workers : 1;
}

double budget_allowance(const struct budget_state *state)
{
    if (state->kind == BUDGET_MODELS)
        return 1.0;
    const double search = budget_search_part(state);
    const double least = search * side_by_side(state) / BUDGET_MOST_CANDIDATES;
    return fmin(search / BUDGET_LEAST_CANDIDATES, fmax(BUDGET_EPOCHS * candidate_epoch(state), least));
}

/* ---- what follows ---- */

double budget_candidates(const struct budget_state *state)
{
    return side_by_side(state) * budget_search_part(state) / fmax(budget_allowance(state), 1e-9);
}

bool budget_search_goes_on(const struct budget_state *state)
{
    return searched(state) + LEAST_ALLOWANCE * budget_allowance(state) < budget_search_part(state);
}

bool budget_fills_devices(const struct budget_state *state)
{
    return state->kind == BUDGET_SECONDS && budget_search_goes_on(state);
}

double budget_allowances(bool start, double times)
{
    return times * (start ? 2.0 : 1.0);
}

double budget_candidate_seconds(const struct budget_state *state, double allowances, double trained)
{
    if (state->kind != BUDGET_SECONDS)
        return INFINITY;
    const double left = budget_search_part(state) - searched(state);
    return fmax(fmin(allowances * budget_allowance(state), trained + left), 0.0);
}

double budget_final_seconds(const struct budget_state *state, double trained)
{
    if (state->kind != BUDGET_SECONDS)
        return INFINITY;
    return trained + fmax(state->total - state->spent - budget_reserve(state), 0.0);
}

uint32_t budget_candidate_steps(const struct budget_state *state, double allowances)
{
    uint32_t limit = UINT32_MAX;
    if (state->kind == BUDGET_STEPS)
        limit = whole_steps(
            fmin(ceil(allowances * budget_allowance(state)), budget_search_part(state) - searched(state)));
    if (state->epochs > 0.0 || state->kind == BUDGET_MODELS) {
        const uint32_t steps = epochs_to_steps(allowances * usual_epochs(state), state->candidate_images,
                                               state->candidate_batch);
        limit = steps < limit ? steps : limit;
    }
    return limit;
}

uint32_t budget_final_steps(const struct budget_state *state)
{
    switch (state->kind) {
    case BUDGET_STEPS:
        return whole_steps(state->total - state->spent);
    case BUDGET_MODELS:
        return epochs_to_steps(state->final_epochs, state->train_images, state->final_batch);
    case BUDGET_SECONDS:
        break;
    }
    return UINT32_MAX;
}

static void count_seconds(const struct budget_state *state, struct search_means *means)
{
    const struct budget_speed *speed = &state->speed;
    const double whole = fmax(of_stage(state, 1.0) - other_reserve(state), 1e-9);
    const double alone = whole / (budget_image_seconds(speed, 1.0) * state->train_images);
    means->by_cost = true;
    means->epochs = state->team * alone;
    means->candidate_epochs = alone / speed->slowdown;
    means->device_seconds = state->by_a_clock ? state->team * whole * speed->slowdown : NAN;
    means->test = means->epochs * test_reserve(state, 1.0) / whole;
    means->left = fmax(state->total - state->spent - other_reserve(state), 0.0) / whole;
    means->search = budget_search_part(state) / whole;
    means->candidate = budget_allowances(true, 1.0) * budget_allowance(state) / whole;
    means->beside = speed->beside / whole;
    means->validation =
        state->validation_images * evaluation_seconds(speed, 1.0) / budget_image_seconds(speed, 1.0);
    means->workers = state->workers;
}

static void count_steps(const struct budget_state *state, struct search_means *means)
{
    const double whole = fmax(of_stage(state, 1.0), 1.0);
    means->epochs = whole * state->final_batch / state->train_images;
    means->candidate_epochs = whole * state->candidate_batch / state->train_images;
    means->left = fmax(state->total - state->spent, 0.0) / whole;
    means->search = budget_search_part(state) / whole;
    means->candidate = budget_allowances(true, 1.0) * budget_allowance(state) / whole;
}

static void count_models(const struct budget_state *state, struct search_means *means)
{
    means->epochs = means->candidate_epochs = state->final_epochs;
    means->left = means->search = 1.0;
    means->candidate = budget_allowances(true, usual_epochs(state)) / state->final_epochs;
    means->models = (int32_t)state->total;
}

struct search_means budget_means(const struct budget_state *state)
{
    struct search_means means = {.device_seconds = NAN,
                                 .workers = 1,
                                 .models = INT32_MAX,
                                 .train_images = state->train_images,
                                 .validation_images = state->validation_images,
                                 .candidate_batch = state->candidate_batch};
    switch (state->kind) {
    case BUDGET_SECONDS:
        count_seconds(state, &means);
        break;
    case BUDGET_STEPS:
        count_steps(state, &means);
        break;
    case BUDGET_MODELS:
        count_models(state, &means);
        break;
    }
    return means;
}

struct search_limits budget_limits(const struct budget_state *state)
{
    const struct budget_speed *speed = &state->speed;
    struct search_limits limits = state->limits;
    limits.rates = speed->rates;
    if (state->kind == BUDGET_SECONDS) {
        const double image =
            of_stage(state, state->final_share) / (BUDGET_FINAL_EPOCHS * state->train_images);
        /* In predicted seconds. */
        limits.max_seconds_per_image =
            fmax(image / budget_image_seconds(speed, 1.0), ADMITS_CHEAPEST * state->costs.cheapest);
    } else {
        limits.max_seconds_per_image = BUDGET_GROWTH * state->costs.dearest;
    }
    return limits;
}
