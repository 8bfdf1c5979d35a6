#include "host/search/search.h"

#include "host/net/cost.h"
#include "host/net/serialise.h"
#include "host/search/search_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct search_strategy *strategy_of(enum job_strategy strategy)
{
    switch (strategy) {
    case JOB_STRATEGY_BAYESIAN:
        return &search_bayesian;
    case JOB_STRATEGY_GREEDY:
        return &search_greedy;
    case JOB_STRATEGY_RANDOM:
        return &search_random;
    }
    abort(); /* the schema allows no other */
}

static enum status parse_morphs(const struct job_strings *names, uint32_t *allowed, struct error *err)
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
    return ST_OK;
}

enum status search_new(const struct job_search *job, int64_t seed, struct search **made, struct error *err)
{
    struct search *search = calloc(1, sizeof(*search));
    *made = NULL;
    if (search == NULL)
        return error_memory(err, "search", sizeof(*search));
    search->seed = (uint64_t)seed;
    search->max_morphs = job->max_morphs < SEARCH_MAX_MORPHS ? job->max_morphs : SEARCH_MAX_MORPHS;
    search->beta = job->beta;
    search->skip_weight = job->skip_weight;
    search->random_share = job->random_share;
    search->strategy = strategy_of(job->strategy);
    enum status st = parse_morphs(&job->morphs, &search->allowed_morphs, err);
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
    for (int32_t i = 0; i < search->count; i++) {
        graph_free(&search->models[i].graph);
        descriptor_free(search->models[i].descriptor);
    }
    free(search->models);
    free(search->distances);
    free(search);
}

/* Models that may have children: the best SEARCH_PARENTS; of equals the earlier. */
static void choose_parents(struct search *search)
{
    for (int32_t i = 0; i < search->count; i++) {
        struct search_model *model = &search->models[i];
        int32_t better = 0;
        for (int32_t j = 0; j < search->count; j++) {
            double other = search->models[j].score;
            better += other > model->score || (other == model->score && j < i);
        }
        model->is_parent = !isnan(model->score) && better < SEARCH_PARENTS;
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

static size_t pairs_below(int32_t model)
{
    return (size_t)model * (size_t)(model > 0 ? model - 1 : 0) / 2;
}

enum status search_know_distances(struct search *search, struct error *err)
{
    const size_t bytes = (pairs_below(search->count) + 1) * sizeof(double);
    double *larger = realloc(search->distances, bytes);
    if (larger == NULL)
        return error_memory(err, "distances between networks", bytes);
    search->distances = larger;
    for (int32_t i = search->distance_count; i < search->count; i++) {
        for (int32_t j = 0; j < i; j++)
            larger[pairs_below(i) + (size_t)j] = descriptor_distance(
                search->models[i].descriptor, search->models[j].descriptor, search->skip_weight);
    }
    search->distance_count = search->count;
    return ST_OK;
}

double search_distance(const struct search *search, int32_t i, int32_t j)
{
    if (i == j)
        return 0.0;
    return i > j ? search->distances[pairs_below(i) + (size_t)j]
                 : search->distances[pairs_below(j) + (size_t)i];
}

enum status search_expect(struct search *search, int32_t id, int32_t parent, const struct graph *graph,
                          double guess, struct error *err)
{
    if (search->count == search->capacity) {
        int32_t capacity = search->capacity == 0 ? 16 : 2 * search->capacity;
        struct search_model *larger = realloc(search->models, (size_t)capacity * sizeof(*larger));
        if (larger == NULL)
            return error_memory(err, "search models", (size_t)capacity * sizeof(*larger));
        search->models = larger;
        search->capacity = capacity;
    }
    struct search_model model = {
        .id = id, .parent = parent, .score = NAN, .loss = NAN, .guess = guess, .is_expected = true};
    enum status st = graph_copy(&model.graph, graph, err);
    if (st == ST_OK)
        st = descriptor_new(&model.descriptor, graph, err);
    if (st != ST_OK) {
        graph_free(&model.graph);
        return st;
    }
    model.fingerprint = graph_fingerprint(graph);
    search->models[search->count++] = model;
    return ST_OK;
}

enum status search_observe(struct search *search, int32_t id, int32_t parent, const struct graph *graph,
                           double score, double loss, struct error *err)
{
    if (find(search, id) == NULL) {
        enum status st = search_expect(search, id, parent, graph, NAN, err);
        if (st != ST_OK)
            return st;
    }
    struct search_model *model = find(search, id);
    model->score = score;
    model->loss = loss;
    model->guess = NAN;
    model->is_expected = false;
    choose_parents(search);
    return ST_OK;
}

enum status search_propose(struct search *search, int32_t id, const struct search_limits *limits,
                           struct proposal *proposal, struct error *err)
{
    struct random_sequence random = {.seed = search->seed, .stream = RANDOM_SEARCH, .part = (uint32_t)id};
    *proposal = (struct proposal){0};
    if (random_next_unit(&random) < (float)search->random_share)
        return search_random.propose(search, limits, &random, proposal, err);
    return search->strategy->propose(search, limits, &random, proposal, err);
}

enum status search_propose_variant(struct search *search, int32_t id, const struct search_limits *limits,
                                   struct proposal *proposal, struct error *err)
{
    struct random_sequence random = {.seed = search->seed, .stream = RANDOM_SEARCH, .part = (uint32_t)id};
    *proposal = (struct proposal){0};
    return search_draw(search, search_random_expected, limits, &random, proposal, err);
}

void proposal_free(struct proposal *proposal)
{
    graph_free(&proposal->graph);
    *proposal = (struct proposal){0};
}

static bool is_known(const struct search *search, const struct graph *graph)
{
    uint64_t fingerprint = graph_fingerprint(graph);
    for (int32_t i = 0; i < search->count; i++) {
        if (search->models[i].fingerprint == fingerprint)
            return true;
    }
    return false;
}

bool search_admits(const struct search_limits *limits, const struct graph *graph)
{
    if (limits->max_parameters > 0 && cost_of_graph(graph).parameters > limits->max_parameters)
        return false;
    return isinf(limits->max_seconds_per_image) ||
           cost_seconds(graph, limits->flops, limits->bytes) <= limits->max_seconds_per_image;
}

enum status search_mutate(const struct search *search, const struct search_model *parent,
                          const struct search_limits *limits, struct random_sequence *random,
                          struct proposal *proposal, struct error *err)
{
    struct graph next = {0};
    struct remap_list remaps = {0};
    int32_t wanted = 1 + (int32_t)random_next_below(random, (uint32_t)search->max_morphs);

    *proposal = (struct proposal){.parent = parent->id, .mean = NAN, .deviation = NAN};
    enum status st = graph_copy(&proposal->graph, &parent->graph, err);
    while (st == ST_OK && proposal->morph_count < wanted) {
        struct morph *morph = &proposal->morphs[proposal->morph_count];
        st = morph_draw(&proposal->graph, search->allowed_morphs, random, morph, err);
        if (st == ST_OK) {
            st = morph_apply(morph, &proposal->graph, 0.0f, 0, &next, &remaps, err);
            assert(st != ST_NONE); /* it was drawn because it fits */
        }
        if (st != ST_OK)
            break;
        morph_describe(morph, &proposal->graph, proposal->operations[proposal->morph_count],
                       SEARCH_OPERATION_LENGTH);
        remap_list_free(&remaps);
        graph_free(&proposal->graph);
        proposal->graph = next;
        proposal->morph_count++;
    }
    if (st == ST_OK && is_known(search, &proposal->graph))
        st = error_set(err, ST_NONE, "the network is known already");
    if (st == ST_OK && !search_admits(limits, &proposal->graph))
        st = error_set(err, ST_NONE, "the network is above the limits");
    if (st != ST_OK)
        proposal_free(proposal);
    if (st != ST_OK && st != ST_NONE)
        error_prefix(err, "a change of model %d", (int)parent->id);
    return st;
}

/* One drawn evenly of those for which `is_one` holds. */
static const struct search_model *draw_model(const struct search *search, struct random_sequence *random,
                                             bool (*is_one)(const struct search_model *model))
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

static bool is_parent(const struct search_model *model)
{
    return model->is_parent;
}

static bool is_expected(const struct search_model *model)
{
    return model->is_expected;
}

const struct search_model *search_random_parent(const struct search *search, struct random_sequence *random)
{
    return draw_model(search, random, is_parent);
}

const struct search_model *search_random_expected(const struct search *search, struct random_sequence *random)
{
    return draw_model(search, random, is_expected);
}

static bool is_better(const struct search_model *a, const struct search_model *b)
{
    return a->score > b->score || (a->score == b->score && a->loss < b->loss);
}

const struct search_model *search_best(const struct search *search, const struct search_limits *limits)
{
    const struct search_model *best = NULL;
    for (int32_t i = 0; i < search->count; i++) {
        const struct search_model *model = &search->models[i];
        if (model->is_parent && search_admits(limits, &model->graph) &&
            (best == NULL || is_better(model, best)))
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
