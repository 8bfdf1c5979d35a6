/* What an evolution (evolution.h) has trained: which networks, how long each, and what they gained over the control. */
#ifndef NASRUN_SEARCH_POPULATION_H
#define NASRUN_SEARCH_POPULATION_H

#include "host/search/evolution.h"

/* Which fresh weights its models begin with: the race has the lower numbers, longer trainings and their repetitions the
 * next higher ones. */
enum { POPULATION_WEIGHTS = 2 };

/* Trainings of one network with one set of hyperparameters, by rung; behind the last rung the longer one and its
 * repetitions. */
enum {
    POPULATION_LONGER = EVOLUTION_MOST_RUNGS,
    POPULATION_TRAININGS = POPULATION_LONGER + 1 + EVOLUTION_REPEATS
};

struct member {
    const struct search_model *first;
    const struct search_model *trainings[POPULATION_TRAININGS]; /* NULL: not begun */
    double gains[POPULATION_TRAININGS];                         /* over the control there; NAN: not known */
};

struct population {
    int32_t count;
    struct member *members; /* in the order of their beginning: the control first */
    double spent;           /* share of the stage, of each device, that trainings on rungs take */
};

/* The members are the caller's to free; their models are the search's. Error: they may have to be freed, too. */
enum status population_look(const struct search *search, const struct search_request *request,
                            struct population *population, struct error *err);

/* The member that has the model's network with its hyperparameters; NULL: there is none. */
struct member *population_find(const struct search *search, const struct population *population,
                               const struct search_model *model);

/* How many have a larger gain in that training; how many have one that is known; how many have begun it. */
int32_t population_better(const struct population *population, int32_t at, double gain);
int32_t population_known(const struct population *population, int32_t at);
int32_t population_begun(const struct population *population, int32_t at);

/* The one that so many are better than, on the highest rung of each; NULL: there are not that many. */
const struct member *population_best(const struct population *population, int32_t better);

bool member_went_well(const struct member *member, int32_t at); /* its training has a score */

bool member_failed(const struct member *member); /* on its first rung */

/* The last of its rungs, or its longer training, on which its gain is known, -1: none; and that gain, -INFINITY. */
int32_t member_highest(const struct member *member);
double member_gain(const struct member *member);

/* What that training's gain may be off of the gain at the deadline. */
double member_deviation(const struct search_means *means, const struct member *member, int32_t at);

/* The mean over its longer trainings; NAN: there is none that went well. *count of these. */
double member_mean(const struct member *member, int32_t *count);

#endif
