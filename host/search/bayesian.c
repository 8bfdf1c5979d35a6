/* Bayesian optimisation over architectures (Jin, Song, Hu, "Auto-Keras", KDD 2019): a Gaussian process on the
 * edit distance guesses the score of many children of the kept parents; the one with the highest upper
 * confidence bound is proposed. Children are one or two morphs away from networks that were trained: local
 * mutation is what makes such searches work (White, Neiswanger, Savani, "BANANAS", AAAI 2021). */
#include "host/search/gaussian.h"
#include "host/search/search_internal.h"

#include <math.h>
#include <stdlib.h>

/* Children guessed at for one proposal, and draws to find them. */
enum { POOL = 48, POOL_DRAWS = 160 };

/* The models that have a score or a guessed one, and the surrogate fitted to them. */
struct surrogate {
    struct gaussian *gaussian;
    const struct search_model **models;
    double *distances; /* to the models, [count] */
    int32_t count;
};

static void surrogate_free(struct surrogate *surrogate)
{
    gaussian_free(surrogate->gaussian);
    free(surrogate->models);
    free(surrogate->distances);
}

static enum status surrogate_fit(struct search *search, struct surrogate *surrogate, struct error *err)
{
    size_t most = (size_t)search->count;
    int32_t *numbers = calloc(most, sizeof(*numbers));
    double *matrix = calloc(most * most, sizeof(double)), *scores = calloc(most, sizeof(double));
    enum status st = ST_OK;

    *surrogate = (struct surrogate){.models = calloc(most, sizeof(surrogate->models[0])),
                                    .distances = calloc(most, sizeof(double))};
    if (matrix == NULL || scores == NULL || numbers == NULL || surrogate->models == NULL ||
        surrogate->distances == NULL) {
        st = error_memory(err, "surrogate", most * most * sizeof(double));
        goto out;
    }
    for (int32_t i = 0; i < search->count; i++) {
        const struct search_model *model = &search->models[i];
        double score = isnan(model->score) ? model->guess : model->score;
        if (isnan(score))
            continue;
        scores[surrogate->count] = score;
        numbers[surrogate->count] = i;
        surrogate->models[surrogate->count++] = &search->models[i];
    }
    int32_t n = surrogate->count;
    st = search_know_distances(search, err);
    for (int32_t i = 0; st == ST_OK && i < n; i++) {
        for (int32_t j = 0; j < n; j++)
            matrix[i * n + j] = search_distance(search, numbers[i], numbers[j]);
    }
    if (st == ST_OK)
        st = gaussian_fit(matrix, scores, n, &surrogate->gaussian, err);
out:
    free(matrix);
    free(scores);
    free(numbers);
    return st;
}

static enum status guess(const struct search *search, struct surrogate *surrogate, struct proposal *proposal,
                         struct error *err)
{
    struct descriptor *descriptor;
    enum status st = descriptor_new(&descriptor, &proposal->graph, err);
    if (st != ST_OK)
        return st;
    for (int32_t i = 0; i < surrogate->count; i++)
        surrogate->distances[i] =
            descriptor_distance(descriptor, surrogate->models[i]->descriptor, search->skip_weight);
    descriptor_free(descriptor);
    return gaussian_predict(surrogate->gaussian, surrogate->distances, &proposal->mean, &proposal->deviation,
                            err);
}

static enum status propose_bayesian(struct search *search, const struct search_limits *limits,
                                    struct random_sequence *random, struct proposal *proposal,
                                    struct error *err)
{
    struct surrogate surrogate = {0};
    double best_bound = -INFINITY;
    int32_t pooled = 0;

    enum status st = search_best(search, limits) == NULL
                         ? error_set(err, ST_NONE, "no trained network is within the limits")
                         : surrogate_fit(search, &surrogate, err);
    for (int32_t draw = 0; st == ST_OK && pooled < POOL && draw < POOL_DRAWS; draw++) {
        struct proposal child;
        st = search_mutate(search, search_random_parent(search, random), limits, random, &child, err);
        if (st == ST_NONE) {
            st = ST_OK;
            continue;
        }
        if (st == ST_OK)
            st = guess(search, &surrogate, &child, err);
        double bound = child.mean + search->beta * child.deviation;
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
        st = error_set(err, ST_NONE, "no new network was found within the limits in %d draws", POOL_DRAWS);
    if (st != ST_OK)
        proposal_free(proposal);
    surrogate_free(&surrogate);
    return st;
}

const struct search_strategy search_bayesian = {propose_bayesian};
