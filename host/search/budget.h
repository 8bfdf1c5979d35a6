/* Budgets: how a stage's budget is divided between the search, the final fit and what follows it. Pure functions: they
 * know no run, no device and no clock. Who asks says in a struct budget_state where the run stands.
 *
 * A stage's budget is a total since the run began, so a stage has what lies between the stage before and it. Of that,
 * search.final_share is kept for the final fit; with seconds also a reserve for test, report and plots. A candidate
 * gets an allowance out of the search's part; networks that inherit nothing get two. Allowances of seconds are each
 * device's own; steps and models are counted over all devices.
 *
 *     began         spent              the search ends                total
 *       |-------------|-----|-----|- ... ---|------------------|---------|
 *                      a candidate's             final fit       reserve
 *                      allowance
 *
 * With a budget in steps or models everything follows from what was proposed and observed before, never from the clock.
 */
#ifndef NASRUN_SEARCH_BUDGET_H
#define NASRUN_SEARCH_BUDGET_H

#include "host/search/search.h"

/* Candidates that a stage's search has room for: in seconds, on each device. On a fast device, or with a large budget,
 * there are as many as leave each BUDGET_EPOCHS of the best network's epochs, but not more than BUDGET_MOST_CANDIDATES
 * on all devices together: the surrogate's work grows with their square. */
enum { BUDGET_LEAST_CANDIDATES = 10, BUDGET_MOST_CANDIDATES = 200 };
#define BUDGET_EPOCHS 12.0

/* The final fit must be able to see the training part at least this often, or the network is too costly. */
#define BUDGET_FINAL_EPOCHS 8.0

/* With budgets in steps or models no clock decides: networks may cost this many times the dearest start. */
#define BUDGET_GROWTH 4.0

/* ---- what the job says ---- */

enum budget_kind { BUDGET_SECONDS, BUDGET_STEPS, BUDGET_MODELS };
enum budget_kind budget_kind_of(const struct job_budget *budget);

/* "seconds", "steps" or "models", and the stage's total of it. */
const char *budget_kind(const struct job_budget *budget);
double budget_total(const struct job_budget *budget, int32_t stage);
int32_t budget_stages(const struct job_budget *budget);

/* ---- where the run stands ---- */

/* What is known of the machine. `rates` are those by which cost_seconds predicts costs. */
struct budget_speed {
    struct cost_rates rates;
    double measured;   /* over predicted seconds of an image's training, alone on a device; 1: unknown */
    double evaluation; /* of an image's evaluation, likewise; 0: unknown */
    double slowdown;   /* of a training beside the others on its device; 1 with one */
    double beside;     /* seconds that a candidate takes beside its training; 0: unknown */
    /* seconds that a stage needs beside training and test: opening, report, plots, model file */
    double overhead;
};

/* Predicted seconds of an image's training, by the rates above.
 *
 * likely     of the network that the final fit is likely to train: the best so far, or the cheapest start
 * cheapest   of those that may be trained further, or before there are any of the starting networks
 * dearest    of the starting networks */
struct budget_costs {
    double likely, cheapest, dearest;
};

struct budget_state {
    enum budget_kind kind;

    /* Seconds, steps or models since the run began. `began`: what had been spent when the stage began; 0 with models.
     * `spent`: with seconds the time now; with steps, models and by the model's clock what is on its way is taken for
     * spent. */
    double total, began, spent;

    double final_share;          /* search.final_share */
    double epochs;               /* search.epochs; 0: left open */
    double final_epochs;         /* train.final_epochs */
    struct search_limits limits; /* the job's; the budget's are set by budget_limits */

    int32_t workers;                         /* candidates in training at a time, on all devices together */
    double candidate_images;                 /* that candidates train on: search.data of the training part */
    int32_t train_images, validation_images; /* in all */
    double test_evaluations;                 /* of a stage's test, each view of an image counted */
    int32_t candidate_batch, final_batch;
    int32_t team;    /* devices that share the final fit */
    bool by_a_clock; /* seconds are those of a clock, not of a model */
    struct budget_speed speed;
    struct budget_costs costs;
};

/* Seconds that an image's training takes, alone on a device, of a network with that cost. */
double budget_image_seconds(const struct budget_speed *speed, double cost);

/* A training whose time is predicted: each epoch is validated, and the part of one that it ends in. */
struct budget_training {
    double cost;    /* of the network */
    double stepped; /* of an image in its steps, where these have smaller images at first; else the same */
    double images;  /* of an epoch, in whole batches */
    int32_t batch, validation_images;
    int32_t devices; /* that share each batch, and lose nothing by it */
};

/* Seconds of so many steps of it; and the most steps, but one at least, that take no longer than `seconds`. */
double budget_training_seconds(const struct budget_speed *speed, const struct budget_training *training,
                               uint32_t steps);
uint32_t budget_training_steps(const struct budget_speed *speed, const struct budget_training *training,
                               double seconds);

/* Seconds of a test of so many images, each view of one counted, by devices that share them, without a margin. */
double budget_test_seconds(const struct budget_speed *speed, double cost, double images, int32_t devices);

/* ---- what follows ---- */

/* Whether another candidate may be trained in this stage: while half an allowance is left, at least. */
bool budget_search_goes_on(const struct budget_state *state);

/* What the stage's search has, and what one candidate may take of it: seconds of its device, steps, or models. */
double budget_search_part(const struct budget_state *state);
double budget_allowance(const struct budget_state *state);

/* Candidates that the stage's search has room for, on all devices together, as things stand. */
double budget_candidates(const struct budget_state *state);

/* What is kept for test, report and plots: seconds, 0 with other budgets. */
double budget_reserve(const struct budget_state *state);

/* Whether what idle devices do costs nothing: with a budget in seconds, while the search goes on. */
bool budget_fills_devices(const struct budget_state *state);

/* Allowances that a candidate gets when its recipe asks for so many times the usual; those that start from fresh
 * weights get two for one. */
double budget_allowances(bool start, double times);

/* Limits of the training of a candidate with so many allowances and of the final fit. Steps are known when it is
 * proposed, UINT32_MAX: no limit; seconds when it begins, INFINITY: none. `trained`: seconds that this training took
 * before it was interrupted. */
uint32_t budget_candidate_steps(const struct budget_state *state, double allowances);
double budget_candidate_seconds(const struct budget_state *state, double allowances, double trained);
uint32_t budget_final_steps(const struct budget_state *state);
double budget_final_seconds(const struct budget_state *state, double trained);

/* What the stage pays for, as strategies see it. */
struct search_means budget_means(const struct budget_state *state);

/* What a network may cost so that the final fit can train it. */
struct search_limits budget_limits(const struct budget_state *state);

#endif
