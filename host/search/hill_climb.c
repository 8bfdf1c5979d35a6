/* Hill climbing (Elsken, Metzen, Hutter 2017, "Simple and efficient architecture search for convolutional neural
 * networks", NASH): in each step search.neighbours networks are trained that go on from the same one, all but one of
 * them changed by morphs, for their scores to be compared: each begins with the weights of the one and a new schedule,
 * which falls as a cosine unless the job says otherwise. The best of them is the next step's. It may be worse than the
 * one was.
 *
 * The last of a step is the one itself, trained further: otherwise whatever is trained longer would look better.
 *
 * Nobody waits for the end of a step: while some of it are in training, changes are tried beyond the number. Those that
 * have ended when the step has count as well. */
#include "host/search/strategy.h"

#include <stdlib.h>

/* Where the climb stands. */
struct step {
    const struct search_model *base; /* what all of the step go on from; NULL: there is no parent */
    int32_t begun;                   /* that go on from it */
    bool waits;                      /* one of the first of them, which are the step's, is in training */
    bool has_base;                   /* it itself, trained further, is among them */
    const struct search_model *best; /* of those that can be gone on from; NULL */
};

static bool is_base(const struct search_limits *limits, const struct search_model *model)
{
    return model->is_parent && search_admits(limits, &model->graph);
}

static struct step step_of(const struct search *search, const struct search_limits *limits,
                           const struct search_model *base)
{
    struct step step = {.base = base};
    for (int32_t i = 0; base != NULL && i < search_count(search); i++) {
        const struct search_model *model = search_at(search, i);
        if (model->parent != base->id)
            continue;
        step.waits = step.waits || (model->is_pending && step.begun < search_setup(search)->job->neighbours);
        step.begun++;
        step.has_base = step.has_base || model->fingerprint == base->fingerprint;
        if (is_base(limits, model) && (step.best == NULL || search_is_better(model, step.best)))
            step.best = model;
    }
    return step;
}

/* The step of the newest model that goes on from another one, or the one behind it. */
static struct step find_step(const struct search *search, const struct search_limits *limits)
{
    const struct search_model *base = NULL;
    for (int32_t i = search_count(search) - 1; base == NULL && i >= 0; i--)
        if (search_at(search, i)->parent >= 0)
            base = search_find(search, search_at(search, i)->parent);
    struct step step = step_of(search, limits, base);
    if (step.begun >= search_setup(search)->job->neighbours && !step.waits && step.best != NULL)
        step = step_of(search, limits, step.best);
    if (step.base == NULL || !is_base(limits, step.base))
        step = step_of(search, limits, search_best(search, limits));
    return step;
}

static enum status propose_base(const struct search_model *base, struct proposal *proposal, struct error *err)
{
    enum status st = propose_further(base, proposal, err);
    proposal->recipe.hyperparameters = base->recipe.hyperparameters;
    return st;
}

static enum status propose_hill_climb(const struct search *search, void *state,
                                      const struct search_request *request, struct random_sequence *random,
                                      struct proposal *proposal, struct error *err)
{
    const struct search_limits *limits = &request->limits;
    (void)state;
    enum status st = propose_first(search, request, random, proposal, err);
    if (st != ST_NONE)
        return st;
    const struct step step = find_step(search, limits);
    if (step.base != NULL && !step.has_base && step.begun >= search_setup(search)->job->neighbours - 1)
        return propose_base(step.base, proposal, err);
    for (int draw = 0; step.base != NULL && draw < PROPOSE_DRAWS; draw++) {
        st = propose_child(search, step.base, limits, random, proposal, err);
        if (st != ST_NONE)
            return st;
    }
    /* A top with nothing around it. */
    return propose_child_of_any(search, search_is_parent, limits, random, proposal, err);
}

/* ---- whose weights are kept: those of the step's ---- */

/* The newest model that another one went on from. */
struct hill_climb {
    int32_t base; /* -1: none */
};

static enum status create_hill_climb(const struct search_setup *setup, void **state, struct error *err)
{
    struct hill_climb *climb = malloc(sizeof(*climb));
    (void)setup;
    *state = climb;
    if (climb == NULL)
        return error_memory(err, "strategy", sizeof(*climb));
    climb->base = -1;
    return ST_OK;
}

static enum status observe_hill_climb(const struct search *search, void *state,
                                      const struct search_model *model, struct error *err)
{
    struct hill_climb *climb = state;
    (void)search, (void)err;
    climb->base = model->parent > climb->base ? model->parent : climb->base;
    return ST_OK;
}

static bool keeps_hill_climb(const void *state, const struct search_model *model)
{
    const struct hill_climb *climb = state;
    return climb->base >= 0 && (model->id == climb->base || model->parent == climb->base);
}

const struct search_strategy search_hill_climb = {.varies = true,
                                                  .create = create_hill_climb,
                                                  .free = free,
                                                  .propose = propose_hill_climb,
                                                  .observe = observe_hill_climb,
                                                  .keeps = keeps_hill_climb};
