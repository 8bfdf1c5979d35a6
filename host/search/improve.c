#include "host/search/improve.h"

#include "host/base/array.h"
#include "host/net/cost.h"
#include "host/net/distance.h"
#include "host/net/serialise.h"
#include "host/net/start.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of starting networks: how much dearer or cheaper than the control other widths may be, and the widths. */
static const double MOST_SIZE = 2.0;
enum { MOST_WIDTH = 512 };

/* One change, not made yet. */
struct option {
    const struct search_model *parent; /* NULL: a starting network */
    struct morph morph;
    bool is_morph;
    struct hyperparameters set; /* where it is another value of one of them */
    int32_t start, width;
};

struct options {
    struct option *items;
    int32_t count, capacity;
};

/* The surrogate and what it sees networks by. */
struct judge {
    const struct improve_request *request;
    const struct hyperparameter_space *space;
    double skip_weight;
    int32_t landmarks;
    struct descriptor *descriptors[GAIN_MODEL_LANDMARKS];
    struct gain_model *model;
};

/* ---- what can be changed ---- */

static enum status add(struct options *options, const struct option *option, struct error *err)
{
    struct option *items =
        array_with_room(options->items, options->count, &options->capacity, sizeof(*items), "changes", err);
    if (items == NULL)
        return ST_MEMORY;
    options->items = items;
    items[options->count++] = *option;
    return ST_OK;
}

static enum status add_morphs(const struct search *search, const struct search_model *parent,
                              struct options *options, struct error *err)
{
    struct morph *morphs;
    int32_t count;
    enum status st = morph_list(&parent->graph, search_allowed_morphs(search), &morphs, &count, err);
    for (int32_t i = 0; st == ST_OK && i < count; i++)
        st = add(options,
                 &(struct option){.parent = parent,
                                  .morph = morphs[i],
                                  .is_morph = true,
                                  .set = parent->recipe.hyperparameters},
                 err);
    free(morphs);
    return st;
}

/* Those that the job gives a range: others a short training would only make smaller, whatever the end would say. */
static enum status add_hyperparameters(const struct hyperparameter_space *space,
                                       const struct search_model *parent, struct options *options,
                                       struct error *err)
{
    struct hyperparameters sets[HYPERPARAMETERS_MOST];
    enum status st = ST_OK;
    for (int32_t round = 0; round < HYPERPARAMETERS_ROUNDS; round++) {
        const int32_t count =
            hyperparameters_round(space, &parent->recipe.hyperparameters, round, false, sets);
        for (int32_t i = 0; st == ST_OK && i < count; i++)
            st = add(options, &(struct option){.parent = parent, .set = sets[i]}, err);
    }
    return st;
}

/* Widths of all starting networks, about as dear as the control. */
static enum status add_widths(const struct search *search, const struct search_limits *limits,
                              const struct search_model *control, struct options *options, struct error *err)
{
    const struct search_setup *setup = search_setup(search);
    const double usual = cost_seconds(&control->graph, &limits->rates);
    enum status st = ST_OK;
    for (int32_t start = 0; st == ST_OK && setup->job->width == 0 && start < setup->job->starts.count;
         start++)
        for (int32_t width = START_WIDTH_STEP; st == ST_OK && width <= MOST_WIDTH;
             width += START_WIDTH_STEP) {
            struct graph graph = {0};
            st = search_make_start(setup, start, width, &graph, err);
            const double size = st == ST_OK ? cost_seconds(&graph, &limits->rates) / usual : 0.0;
            graph_free(&graph);
            if (size > MOST_SIZE)
                break;
            if (st == ST_OK && size >= 1.0 / MOST_SIZE)
                st = add(
                    options,
                    &(struct option){.set = control->recipe.hyperparameters, .start = start, .width = width},
                    err);
        }
    return st;
}

static enum status list_options(const struct search *search, const struct search_limits *limits,
                                const struct improve_request *request, struct options *options,
                                struct error *err)
{
    enum status st = ST_OK;
    for (int32_t i = 0; st == ST_OK && i < request->parent_count; i++) {
        st = add_morphs(search, request->parents[i], options, err);
        if (st == ST_OK && request->others)
            st = add_hyperparameters(&search_setup(search)->hyperparameters, request->parents[i], options,
                                     err);
    }
    if (st == ST_OK && request->others)
        st = add_widths(search, limits, request->control, options, err);
    return st;
}

/* Puts an even draw of them to the front. */
static void draw_pool(struct options *options, struct random_sequence *random)
{
    for (int32_t i = 0; options->count > IMPROVE_POOL && i < IMPROVE_POOL; i++) {
        const int32_t chosen = i + (int32_t)random_next_below(random, (uint32_t)(options->count - i));
        const struct option option = options->items[i];
        options->items[i] = options->items[chosen];
        options->items[chosen] = option;
    }
    options->count = options->count < IMPROVE_POOL ? options->count : IMPROVE_POOL;
}

/* ---- what is thought of it ---- */

static enum status look(const struct judge *judge, const struct search_model *control,
                        const struct graph *graph, const struct hyperparameters *set,
                        struct gain_point *point, struct error *err)
{
    const struct changed from = {&control->graph, &control->recipe.hyperparameters}, to = {graph, set};
    struct descriptor *descriptor;
    point->change = change_between(judge->space, &from, &to);
    point->landmarks = judge->landmarks;
    enum status st = descriptor_new(&descriptor, graph, err);
    if (st != ST_OK)
        return st;
    for (int32_t i = 0; st == ST_OK && i < judge->landmarks; i++)
        st = descriptor_distance(descriptor, judge->descriptors[i], judge->skip_weight, &point->distances[i],
                                 err);
    descriptor_free(descriptor);
    return st;
}

/* The landmarks are the control and those that were tried first; with few gains nobody asks for them. */
static enum status choose_landmarks(struct judge *judge, struct error *err)
{
    const struct improve_request *request = judge->request;
    enum status st = ST_OK;
    if (request->count < GAIN_MODEL_FEW)
        return ST_OK;
    for (int32_t i = 0; st == ST_OK && i < GAIN_MODEL_LANDMARKS; i++) {
        st = descriptor_new(&judge->descriptors[i],
                            i == 0 ? &request->control->graph : &request->seen[i - 1].model->graph, err);
        judge->landmarks += st == ST_OK;
    }
    return st;
}

/* Fitted to the last gains, as many as the model takes into account. */
static enum status open_judge(const struct search *search, const struct improve_request *request,
                              struct judge *judge, struct error *err)
{
    const int32_t kept = request->count < GAIN_MODEL_MOST ? request->count : GAIN_MODEL_MOST;
    const struct improve_seen *last = request->seen + (request->count - kept);
    struct gain_seen *seen = calloc((size_t)kept + 1, sizeof(*seen));
    *judge = (struct judge){.request = request,
                            .space = &search_setup(search)->hyperparameters,
                            .skip_weight = search_setup(search)->job->skip_weight};
    if (seen == NULL)
        return error_memory(err, "gains", (size_t)kept * sizeof(*seen));
    enum status st = choose_landmarks(judge, err);
    for (int32_t i = 0; st == ST_OK && i < kept; i++) {
        const struct search_model *model = last[i].model;
        seen[i].gain = last[i].gain;
        seen[i].deviation = last[i].deviation;
        st = look(judge, last[i].control, &model->graph, &model->recipe.hyperparameters, &seen[i].point, err);
    }
    if (st == ST_OK)
        st = gain_model_fit(request->prior, seen, kept, &judge->model, err);
    free(seen);
    return st;
}

static void close_judge(struct judge *judge)
{
    gain_model_free(judge->model);
    for (int32_t i = 0; i < judge->landmarks; i++)
        descriptor_free(judge->descriptors[i]);
}

/* ---- what is proposed ---- */

/* Whether a model has that network with these hyperparameters. */
static bool knows(const struct search *search, const struct proposal *proposal)
{
    const uint64_t fingerprint = graph_fingerprint(&proposal->graph);
    for (int32_t i = 0; i < search_count(search); i++)
        if (search_is_of(search, search_at(search, i), fingerprint, &proposal->recipe.hyperparameters))
            return true;
    return false;
}

/* A morph of the parent, or the parent with other hyperparameters. */
static enum status change(const struct hyperparameter_space *space, const struct option *option,
                          struct proposal *proposal, struct error *err)
{
    const struct graph *graph = &option->parent->graph;
    *proposal = propose_usual(option->parent->id);
    proposal->operation_count = 1;
    if (!option->is_morph) {
        hyperparameters_describe(space, &option->set, proposal->operations[0], SEARCH_OPERATION_LENGTH);
        return graph_copy(&proposal->graph, graph, err);
    }
    morph_describe(&option->morph, graph, proposal->operations[0], SEARCH_OPERATION_LENGTH);
    proposal->morphs[proposal->morph_count++] = option->morph;
    return morph_graph(&option->morph, graph, &proposal->graph, err);
}

/* Makes it; ST_NONE where it is known, or not within the limits. */
static enum status make(const struct search *search, const struct search_limits *limits,
                        const struct option *option, struct proposal *proposal, struct error *err)
{
    enum status st = option->parent == NULL
                         ? propose_start_of_width(search, option->start, option->width, proposal, err)
                         : change(&search_setup(search)->hyperparameters, option, proposal, err);
    proposal->recipe.hyperparameters = option->set;
    if (st == ST_OK && (knows(search, proposal) || !search_admits(limits, &proposal->graph)))
        st = ST_NONE;
    if (st != ST_OK)
        proposal_free(proposal);
    return st;
}

/* Expected improvement for a second of training; the time of fixed ones is 1. */
static enum status judge_one(const struct judge *judge, const struct search_limits *limits,
                             struct proposal *proposal, double *worth, struct error *err)
{
    struct gain_point point;
    enum status st = look(judge, judge->request->control, &proposal->graph, &proposal->recipe.hyperparameters,
                          &point, err);
    if (st != ST_OK)
        return st;
    gain_model_predict(judge->model, &point, &proposal->prediction.mean, &proposal->prediction.deviation);
    *worth = gain_model_improvement(proposal->prediction.mean, proposal->prediction.deviation,
                                    judge->request->least);
    if (judge->request->by_epochs)
        *worth /= cost_seconds(&proposal->graph, &limits->rates);
    return ST_OK;
}

/* What it was chosen by, for people and for the journal. */
static void tell(const struct gain_prior *prior, struct proposal *proposal)
{
    snprintf(proposal->operations[proposal->operation_count++], SEARCH_OPERATION_LENGTH,
             "%+.3f +- %.3f expected", proposal->prediction.mean, proposal->prediction.deviation);
    proposal->recipe.prior = prior->read ? GAIN_PRIOR_VERSION : -1;
}

enum status improve_propose(const struct search *search, const struct search_limits *limits,
                            const struct improve_request *request, struct random_sequence *random,
                            struct proposal *proposal, struct error *err)
{
    struct options options = {0};
    struct judge judge;
    double most = -INFINITY;
    enum status st = open_judge(search, request, &judge, err);
    if (st == ST_OK)
        st = list_options(search, limits, request, &options, err);
    draw_pool(&options, random);
    for (int32_t i = 0; st == ST_OK && i < options.count; i++) {
        struct proposal child;
        double worth = 0.0;
        st = make(search, limits, &options.items[i], &child, err);
        if (st == ST_NONE) {
            st = ST_OK;
            continue;
        }
        if (st == ST_OK)
            st = judge_one(&judge, limits, &child, &worth, err);
        if (st == ST_OK && worth > most) {
            proposal_free(proposal);
            *proposal = child;
            most = worth;
        } else {
            proposal_free(&child);
        }
    }
    if (st == ST_OK && isinf(most))
        st = propose_nothing(options.count, err);
    if (st == ST_OK)
        tell(request->prior, proposal);
    else
        proposal_free(proposal);
    free(options.items);
    close_judge(&judge);
    return st;
}
