/* What the strategies share. For host/search alone. */
#ifndef NASRUN_SEARCH_SEARCH_INTERNAL_H
#define NASRUN_SEARCH_SEARCH_INTERNAL_H

#include "host/search/search.h"

struct search {
    const struct search_strategy *strategy;
    uint64_t seed;
    uint32_t allowed_morphs; /* bit i: enum morph_kind i */
    int32_t max_morphs;
    double beta, skip_weight, random_share;
    int32_t count, capacity;
    struct search_model *models;
    double *distances; /* between the first `distance_count` models: [i * (i - 1) / 2 + j] for j < i */
    int32_t distance_count;
};

/* Edit distance between models i and j. search_know_distances is to be called first, when models were added. */
enum status search_know_distances(struct search *search, struct error *err);
double search_distance(const struct search *search, int32_t i, int32_t j);

/* Draws 1 to max_morphs morphs on `parent`; ST_NONE when none fits, the result is known already or is above
 * the limits. The surrogate's fields are NAN. */
enum status search_mutate(const struct search *search, const struct search_model *parent,
                          const struct search_limits *limits, struct random_sequence *random,
                          struct proposal *proposal, struct error *err);

/* A parent drawn evenly from those that are kept. NULL when there is none. */
const struct search_model *search_random_parent(const struct search *search, struct random_sequence *random);

/* Draws models with `from` and mutates them until that gives something new; ST_NONE when it does not. */
typedef const struct search_model *search_draw_model(const struct search *search,
                                                     struct random_sequence *random);
enum status search_draw(const struct search *search, search_draw_model *from,
                        const struct search_limits *limits, struct random_sequence *random,
                        struct proposal *proposal, struct error *err);

/* The same of the models that are expected. */
const struct search_model *search_random_expected(const struct search *search,
                                                  struct random_sequence *random);

extern const struct search_strategy search_random, search_greedy, search_bayesian;

#endif
