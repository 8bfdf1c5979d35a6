#include "host/search/search.h"

#include "host/base/array.h"
#include "host/net/cell.h"
#include "host/net/cost.h"
#include "host/net/serialise.h"
#include "host/net/start.h"
#include "host/search/stack.h"
#include "host/search/strategy.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct search {
    const struct search_strategy *strategy;
    void *state; /* the strategy's */
    struct job_search job;
    struct search_setup setup; /* its job is the one above */
    uint32_t allowed_morphs;   /* bit i: enum morph_kind i */
    uint32_t begun;            /* bit i: starting network i was told of, or left out */
    int32_t count, capacity;
    struct search_model *models;
};

static const struct search_strategy *strategy_of(enum job_strategy strategy)
{
    switch (strategy) {
#define CASE(constant, word, meaning)                                                                        \
    case JOB_STRATEGY_##constant:                                                                            \
        return &search_##word;
        SPEC_STRATEGIES(CASE)
#undef CASE
    }
    abort(); /* the schema allows no other */
}

static enum status parse_morphs(const struct job_strings *names, enum job_space space, uint32_t *allowed,
                                struct error *err)
{
    *allowed = 0;
    for (int32_t i = 0; i < names->count; i++) {
        int32_t kind = 0;
        while (kind < MORPH_KIND_COUNT &&
               strcmp(morph_kind_name((enum morph_kind)kind), names->items[i]) != 0)
            kind++;
        if (kind == MORPH_KIND_COUNT)
            return error_set(err, ST_RANGE, "search.morphs: found \"%s\", expected the name of a morph",
                             names->items[i]);
        *allowed |= 1u << kind;
    }
    if (space == JOB_SPACE_CELLS && (*allowed & MORPH_OF_CELLS) == 0)
        return error_set(err, ST_RANGE,
                         "search.morphs: found none that changes cells, expected one, as search.space is "
                         "\"cells\"");
    return ST_OK;
}

bool search_start_is_file(const struct search_setup *setup, int32_t start)
{
    return setup->files != NULL && setup->files[start].count > 0;
}

enum status search_make_start(const struct search_setup *setup, int32_t start, int32_t width,
                              struct graph *graph, struct error *err)
{
    if (search_start_is_file(setup, start))
        return graph_copy(graph, &setup->files[start], err);
    const char *name = setup->job->starts.items[start];
    struct cells cells;
    if (cells_of_start(name, (uint64_t)setup->seed, &cells))
        return cells_make(graph, &cells, setup->job->repeats, width, setup->image, setup->classes, err);
    return start_make(graph, name, width, setup->image, setup->classes, err);
}

enum status search_new(const struct search_setup *setup, struct search **search, struct error *err)
{
    return search_new_with(strategy_of(setup->job->strategy), setup, search, err);
}

enum status search_new_with(const struct search_strategy *strategy, const struct search_setup *setup,
                            struct search **made, struct error *err)
{
    struct search *search = calloc(1, sizeof(*search));
    *made = NULL;
    if (search == NULL)
        return error_memory(err, "search", sizeof(*search));
    search->strategy = strategy;
    search->job = *setup->job;
    search->setup = *setup;
    search->setup.job = &search->job;
    enum status st = parse_morphs(&search->job.morphs, search->job.space, &search->allowed_morphs, err);
    if (st == ST_OK && strategy->create != NULL)
        st = strategy->create(&search->setup, &search->state, err);
    if (st != ST_OK) {
        search_free(search);
        return st;
    }
    *made = search;
    return ST_OK;
}

void search_free(struct search *search)
{
    if (search == NULL)
        return;
    if (search->strategy->free != NULL)
        search->strategy->free(search->state);
    for (int32_t i = 0; i < search->count; i++)
        graph_free(&search->models[i].graph);
    free(search->models);
    free(search);
}

/* ---- what is told ---- */

/* Models whose weights are kept: the best SEARCH_PARENTS, of equals the earlier, and those that the strategy wants. Of
 * the others the weights are gone, so that only `newest` can become one. */
static void choose_parents(struct search *search, const struct search_model *newest)
{
    const struct search_strategy *strategy = search->strategy;
    for (int32_t i = 0; i < search->count; i++) {
        struct search_model *model = &search->models[i];
        int32_t better = 0;
        if (isnan(model->score) || (!model->is_parent && model != newest))
            continue;
        for (int32_t j = 0; j < search->count; j++) {
            double other = search->models[j].score;
            better += other > model->score || (other == model->score && j < i);
        }
        model->is_parent =
            better < SEARCH_PARENTS || (strategy->keeps != NULL && strategy->keeps(search->state, model));
    }
}

static struct search_model *find(const struct search *search, int32_t id)
{
    for (int32_t i = 0; i < search->count; i++) {
        if (search->models[i].id == id)
            return &search->models[i];
    }
    return NULL;
}

enum status search_pend(struct search *search, const struct search_trial *trial, struct error *err)
{
    struct search_model *models = array_with_room(search->models, search->count, &search->capacity,
                                                  sizeof(*models), "search models", err);
    if (models == NULL)
        return ST_MEMORY;
    search->models = models;
    struct search_model model = {.id = trial->id,
                                 .parent = trial->parent,
                                 .start = trial->start,
                                 .recipe = trial->recipe,
                                 .prediction = trial->prediction,
                                 .score = NAN,
                                 .loss = NAN,
                                 .gain = NAN,
                                 .gain_deviation = NAN,
                                 .is_pending = true};
    enum status st = graph_copy(&model.graph, trial->graph, err);
    if (st != ST_OK)
        return st;
    model.fingerprint = graph_fingerprint(trial->graph);
    search->models[search->count++] = model;
    if (trial->start >= 0)
        search_leave_out(search, trial->start); /* not twice */
    return ST_OK;
}

enum status search_observe(struct search *search, const struct search_trial *trial, double score, double loss,
                           struct error *err)
{
    if (find(search, trial->id) == NULL) {
        enum status st = search_pend(search, trial, err);
        if (st != ST_OK)
            return st;
    }
    struct search_model *model = find(search, trial->id);
    model->score = score;
    model->loss = loss;
    model->epochs = trial->epochs;
    model->images_per_second = trial->images_per_second;
    if (trial->recipe.compared_with >= 0) {
        model->gain = trial->gain;
        model->gain_deviation = trial->gain_deviation;
    }
    model->prediction = prediction_none();
    model->is_pending = false;
    enum status st = search->strategy->observe != NULL
                         ? search->strategy->observe(search, search->state, model, err)
                         : ST_OK;
    if (st == ST_OK)
        choose_parents(search, model);
    return st;
}

void search_leave_out(struct search *search, int32_t start)
{
    assert(start >= 0 && start < JOB_LIST_MAX);
    search->begun |= 1u << start;
}

/* ---- what is proposed ---- */

/* Of a child. */
static void vary(const struct search *search, const struct search_request *request, struct proposal *proposal)
{
    struct random_sequence random = {.seed = (uint64_t)search->setup.seed,
                                     .stream = RANDOM_HYPERPARAMETERS,
                                     .part = (uint32_t)request->id};
    const struct search_model *parent = find(search, proposal->parent);
    if (parent != NULL && proposal->morph_count > 0)
        proposal->recipe.hyperparameters =
            hyperparameters_vary(&search->setup.hyperparameters, &parent->recipe.hyperparameters, &random);
}

enum status search_propose(const struct search *search, const struct search_request *request,
                           struct proposal *proposal, struct error *err)
{
    struct random_sequence random = {
        .seed = (uint64_t)search->setup.seed, .stream = RANDOM_SEARCH, .part = (uint32_t)request->id};
    *proposal = (struct proposal){0};
    enum status st = search->strategy->propose(search, search->state, request, &random, proposal, err);
    if (st == ST_OK && search->strategy->varies && hyperparameters_are_given(&search->setup.hyperparameters))
        vary(search, request, proposal);
    return st;
}

bool search_has_candidates(const struct search *search)
{
    return search->strategy->propose != NULL;
}

bool search_goes_by_means(const struct search *search)
{
    return search->strategy->goes_by_means;
}

enum status search_propose_final(const struct search *search, const struct search_request *request,
                                 struct proposal *proposal, struct error *err)
{
    const struct search_strategy *strategy = search->strategy;
    *proposal = (struct proposal){0};
    enum status st = strategy->propose_final != NULL
                         ? strategy->propose_final(search, search->state, request, proposal, err)
                         : propose_best(search, &request->limits, proposal, err);
    assert(st != ST_OK || proposal->morph_count == 0);
    if (st == ST_OK && search->job.space == JOB_SPACE_CELLS)
        st = stack_grow(&search->setup, request, proposal, err);
    if (st != ST_OK)
        proposal_free(proposal);
    return st;
}

/* ---- what is known ---- */

bool search_is_better(const struct search_model *a, const struct search_model *b)
{
    return a->score > b->score || (a->score == b->score && a->loss < b->loss);
}

const struct search_model *search_best(const struct search *search, const struct search_limits *limits)
{
    const struct search_model *best = NULL;
    for (int32_t i = 0; i < search->count; i++) {
        const struct search_model *model = &search->models[i];
        if (model->is_parent && search_admits(limits, &model->graph) &&
            (best == NULL || search_is_better(model, best)))
            best = model;
    }
    return best;
}

int32_t search_count(const struct search *search)
{
    return search->count;
}

const struct search_model *search_at(const struct search *search, int32_t index)
{
    return &search->models[index];
}

const struct search_model *search_find(const struct search *search, int32_t id)
{
    return find(search, id);
}

const struct search_setup *search_setup(const struct search *search)
{
    return &search->setup;
}

uint32_t search_allowed_morphs(const struct search *search)
{
    return search->allowed_morphs;
}

bool search_has_begun(const struct search *search, int32_t start)
{
    return (search->begun >> start & 1) != 0;
}

bool search_has_parent(const struct search *search)
{
    for (int32_t i = 0; i < search->count; i++) {
        if (search->models[i].is_parent)
            return true;
    }
    return false;
}

bool search_knows(const struct search *search, const struct graph *graph)
{
    uint64_t fingerprint = graph_fingerprint(graph);
    for (int32_t i = 0; i < search->count; i++) {
        if (search->models[i].fingerprint == fingerprint)
            return true;
    }
    return false;
}

bool search_has_set(const struct search *search, const struct search_model *model,
                    const struct hyperparameters *set)
{
    return hyperparameters_equal(&search->setup.hyperparameters, &model->recipe.hyperparameters, set);
}

bool search_is_of(const struct search *search, const struct search_model *model, uint64_t fingerprint,
                  const struct hyperparameters *set)
{
    return model->fingerprint == fingerprint && search_has_set(search, model, set);
}

bool search_ended_well(const struct search_model *model)
{
    return !model->is_pending && !isnan(model->score);
}

bool search_is_parent(const struct search_model *model)
{
    return model->is_parent;
}

bool search_is_pending(const struct search_model *model)
{
    return model->is_pending;
}

const struct search_model *search_draw_model(const struct search *search, search_is_one *is_one,
                                             struct random_sequence *random)
{
    int32_t count = 0;
    for (int32_t i = 0; i < search->count; i++)
        count += is_one(&search->models[i]);
    if (count == 0)
        return NULL;
    int32_t chosen = (int32_t)random_next_below(random, (uint32_t)count);
    for (int32_t i = 0;; i++) {
        if (is_one(&search->models[i]) && chosen-- == 0)
            return &search->models[i];
    }
}
