/* Bayesian optimisation over architectures (Jin, Song, Hu, "Auto-Keras", KDD 2019): a Gaussian process on the
 * edit distance predicts the score of many children of the kept parents; the one with the highest upper
 * confidence bound is proposed. Children are one or two morphs away from networks that were trained: local
 * mutation is what makes such searches work (White, Neiswanger, Savani, "BANANAS", AAAI 2021). */
#include "host/net/distance.h"
#include "host/search/gaussian.h"
#include "host/search/strategy.h"

#include <math.h>
#include <stdlib.h>

/* Children predicted for one proposal, and draws to find them. */
enum { POOL = 48, POOL_DRAWS = 160 };

/* What was computed of the search's first `count` models, so that it is not computed again. */
struct bayesian {
    double beta, skip_weight;
    int32_t count;
    struct descriptor **descriptors; /* [count] */
    double *distances;               /* edit distance of models i and j < i: [i * (i - 1) / 2 + j] */
};

/* The models that have a score or a predicted one, and the surrogate fitted to them. */
struct surrogate {
    struct gaussian *gaussian;
    int32_t *models;   /* by their index in the search, [count] */
    double *distances; /* to the models, [count] */
    int32_t count;
};

/* ---- state ---- */

static enum status bayesian_create(const struct search_setup *setup, void **state, struct error *err)
{
    struct bayesian *bayesian = calloc(1, sizeof(*bayesian));
    *state = bayesian;
    if (bayesian == NULL)
        return error_memory(err, "strategy", sizeof(*bayesian));
    bayesian->beta = setup->job->beta;
    bayesian->skip_weight = setup->job->skip_weight;
    return ST_OK;
}

static void bayesian_free(void *state)
{
    struct bayesian *bayesian = state;
    if (bayesian == NULL)
        return;
    for (int32_t i = 0; i < bayesian->count; i++)
        descriptor_free(bayesian->descriptors[i]);
    free(bayesian->descriptors);
    free(bayesian->distances);
    free(bayesian);
}

static size_t pairs_below(int32_t model)
{
    return (size_t)model * (size_t)(model > 0 ? model - 1 : 0) / 2;
}

/* Distances between all models that the search has now. */
static enum status know_distances(struct bayesian *bayesian, const struct search *search, struct error *err)
{
    const int32_t all = search_count(search);
    const size_t bytes = (pairs_below(all) + 1) * sizeof(double);
    const size_t descriptor_bytes = ((size_t)all + 1) * sizeof(struct descriptor *);
    double *distances = realloc(bayesian->distances, bytes);
    if (distances == NULL)
        return error_memory(err, "distances between networks", bytes);
    bayesian->distances = distances;
    struct descriptor **descriptors = realloc(bayesian->descriptors, descriptor_bytes);
    if (descriptors == NULL)
        return error_memory(err, "descriptors of networks", descriptor_bytes);
    bayesian->descriptors = descriptors;
    for (int32_t i = bayesian->count; i < all; i++) {
        enum status st = descriptor_new(&descriptors[i], &search_at(search, i)->graph, err);
        if (st != ST_OK)
            return st;
        for (int32_t j = 0; st == ST_OK && j < i; j++)
            st = descriptor_distance(descriptors[i], descriptors[j], bayesian->skip_weight,
                                     &distances[pairs_below(i) + (size_t)j], err);
        if (st != ST_OK) {
            descriptor_free(descriptors[i]);
            return st;
        }
        bayesian->count = i + 1;
    }
    return ST_OK;
}

static double distance_of(const struct bayesian *bayesian, int32_t i, int32_t j)
{
    if (i == j)
        return 0.0;
    return i > j ? bayesian->distances[pairs_below(i) + (size_t)j]
                 : bayesian->distances[pairs_below(j) + (size_t)i];
}

/* ---- surrogate ---- */

static void surrogate_free(struct surrogate *surrogate)
{
    gaussian_free(surrogate->gaussian);
    free(surrogate->models);
    free(surrogate->distances);
}

static enum status surrogate_fit(struct bayesian *bayesian, const struct search *search,
                                 struct surrogate *surrogate, struct error *err)
{
    const size_t most = (size_t)search_count(search);
    double *matrix = calloc(most * most, sizeof(double)), *scores = calloc(most, sizeof(double));
    enum status st = ST_OK;

    *surrogate = (struct surrogate){.models = calloc(most, sizeof(surrogate->models[0])),
                                    .distances = calloc(most, sizeof(double))};
    if (matrix == NULL || scores == NULL || surrogate->models == NULL || surrogate->distances == NULL) {
        st = error_memory(err, "surrogate", most * most * sizeof(double));
        goto out;
    }
    for (int32_t i = 0; i < (int32_t)most; i++) {
        const struct search_model *model = search_at(search, i);
        const double score = isnan(model->score) ? model->prediction.mean : model->score;
        if (isnan(score))
            continue;
        scores[surrogate->count] = score;
        surrogate->models[surrogate->count++] = i;
    }
    const int32_t n = surrogate->count;
    st = know_distances(bayesian, search, err);
    for (int32_t i = 0; st == ST_OK && i < n; i++) {
        for (int32_t j = 0; j < n; j++)
            matrix[i * n + j] = distance_of(bayesian, surrogate->models[i], surrogate->models[j]);
    }
    if (st == ST_OK)
        st = gaussian_fit(matrix, scores, n, &surrogate->gaussian, err);
out:
    free(matrix);
    free(scores);
    return st;
}

static enum status predict(const struct bayesian *bayesian, struct surrogate *surrogate,
                           struct proposal *proposal, struct error *err)
{
    struct descriptor *descriptor;
    enum status st = descriptor_new(&descriptor, &proposal->graph, err);
    if (st != ST_OK)
        return st;
    for (int32_t i = 0; st == ST_OK && i < surrogate->count; i++)
        st = descriptor_distance(descriptor, bayesian->descriptors[surrogate->models[i]],
                                 bayesian->skip_weight, &surrogate->distances[i], err);
    descriptor_free(descriptor);
    if (st != ST_OK)
        return st;
    return gaussian_predict(surrogate->gaussian, surrogate->distances, &proposal->prediction.mean,
                            &proposal->prediction.deviation, err);
}

/* ---- proposals ---- */

static enum status propose_best_bound(const struct search *search, struct bayesian *bayesian,
                                      const struct search_limits *limits, struct random_sequence *random,
                                      struct proposal *proposal, struct error *err)
{
    struct surrogate surrogate = {0};
    double best_bound = -INFINITY;
    int32_t pooled = 0;

    enum status st = search_best(search, limits) == NULL
                         ? error_set(err, ST_NONE, "no trained network is within the limits")
                         : surrogate_fit(bayesian, search, &surrogate, err);
    for (int32_t draw = 0; st == ST_OK && pooled < POOL && draw < POOL_DRAWS; draw++) {
        struct proposal child;
        st = propose_child(search, search_draw_model(search, search_is_parent, random), limits, random,
                           &child, err);
        if (st == ST_NONE) {
            st = ST_OK;
            continue;
        }
        if (st == ST_OK)
            st = predict(bayesian, &surrogate, &child, err);
        double bound = child.prediction.mean + bayesian->beta * child.prediction.deviation;
        pooled++;
        if (st == ST_OK && bound > best_bound) {
            proposal_free(proposal);
            *proposal = child;
            best_bound = bound;
        } else {
            proposal_free(&child);
        }
    }
    if (st == ST_OK && pooled == 0)
        st = propose_nothing(POOL_DRAWS, err);
    if (st != ST_OK)
        proposal_free(proposal);
    surrogate_free(&surrogate);
    return st;
}

static enum status propose_bayesian(const struct search *search, void *state,
                                    const struct search_request *request, struct random_sequence *random,
                                    struct proposal *proposal, struct error *err)
{
    enum status st = propose_first(search, request, random, proposal, err);
    if (st != ST_NONE)
        return st;
    if (propose_by_chance(search, random))
        return propose_child_of_any(search, search_is_parent, &request->limits, random, proposal, err);
    return propose_best_bound(search, state, &request->limits, random, proposal, err);
}

const struct search_strategy search_bayesian = {
    .create = bayesian_create, .free = bayesian_free, .propose = propose_bayesian};
