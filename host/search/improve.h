/* Which change to try next: of all one-step changes of some networks the one that the surrogate (gain_model.h) expects
 * most of for its time. A change is a morph; or another value of a hyperparameter; or another width of a starting
 * network, which is from fresh weights. */
#ifndef NASRUN_SEARCH_IMPROVE_H
#define NASRUN_SEARCH_IMPROVE_H

#include "host/search/gain_model.h"
#include "host/search/strategy.h"

/* Parents at a time, and changes that are predicted: of more, as many are drawn evenly. */
enum { IMPROVE_MOST_PARENTS = 5, IMPROVE_POOL = 256 };

/* A model and what it gained over another one. */
struct improve_seen {
    const struct search_model *model, *control;
    double gain, deviation;
};

struct improve_request {
    const struct search_model *control; /* what gains are predicted over */
    /* [count], the oldest first; those without a gain yet are not among them */
    const struct improve_seen *seen;
    int32_t count;
    const struct search_model *parents[IMPROVE_MOST_PARENTS];
    int32_t parent_count;
    double least; /* what a gain is an improvement over */
    bool others;  /* also hyperparameters and widths, not morphs alone */
    /* a training takes the longer, the dearer the network; otherwise all take the same time */
    bool by_epochs;
    const struct gain_prior *prior;
};

/* The proposal's parent is that of `parents` which it is a change of; a starting network's has none. Its prediction is
 * of the gain; its last operation says the same, and its recipe by which prior. ST_NONE when nothing new is within the
 * limits. */
enum status improve_propose(const struct search *search, const struct search_limits *limits,
                            const struct improve_request *request, struct random_sequence *random,
                            struct proposal *proposal, struct error *err);

#endif
