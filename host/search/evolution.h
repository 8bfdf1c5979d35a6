/* What a budget of more than EVOLUTION_LEAST_EPOCHS is searched with, and a smaller one where all starting networks are
 * too small for it: networks from fresh weights on asynchronous rungs of 1, 3, 9 and 27 epochs, or shorter ones (Li et
 * al. 2020, "A system for massively parallel hyperparameter tuning"), which come about by regularised evolution (Real
 * et al. 2019): a parent is the best of some drawn from the newest, and of its changes, those of the best three and of
 * the control the one is tried that the surrogate expects most of (improve.h). Of those on a rung the best third go on
 * to the next one as soon as that can be said; nobody waits for anybody.
 *
 * The control is what the ladder has chosen. It is on all rungs, and what others gain is what they are over it on the
 * same rung, corrected for what the law of the ladder says of their sizes until the deadline.
 *
 * Behind that the best six are trained longer, from fresh weights, and the best three of these two times more with
 * other weights and batches. Which has the best mean is trained in the final fit; of a smaller budget the one that
 * gained most on the highest rung.
 *
 * Its models begin with weights of their own, by which they are known: the same for all but the repetitions. */
#ifndef NASRUN_SEARCH_EVOLUTION_H
#define NASRUN_SEARCH_EVOLUTION_H

#include "host/search/gain_prior.h"
#include "host/search/ladder_plan.h"
#include "host/search/strategy.h"

#define EVOLUTION_LEAST_EPOCHS 1000.0

enum {
    EVOLUTION_MOST_RUNGS = 4,
    EVOLUTION_LONG = 6,    /* that are trained longer, at most */
    EVOLUTION_BEST = 3,    /* of these, again */
    EVOLUTION_REPEATS = 2, /* so many times more, at most */
};

struct evolution_plan {
    int32_t rungs; /* 0: there is no evolution */
    double epochs[EVOLUTION_MOST_RUNGS];
    bool longer;  /* the best are trained longer, and the best of these again: not with a smaller budget */
    double share; /* of the stage, that all trainings on rungs may take of each device */
    double long_share; /* that one of the longer trainings takes of its device */
};

/* Whether it is for what a ladder was planned for. */
bool evolution_is_for(const struct ladder_plan *ladder);

/* `cost`: the control's, by cost_seconds. The first rung is of an epoch where the budget pays for 64 networks;
 * otherwise it is shorter, but never of less than a quarter, or of a few steps only. A rung of more than half a longer
 * training is left out, or, where nothing is trained longer, one that takes the control more than a twelfth of the
 * rungs' time. */
struct evolution_plan evolution_plan_make(const struct search_setup *setup, const struct search_means *means,
                                          const struct ladder_plan *ladder, double cost);

bool evolution_has(const struct search_model *model);

/* What it proposes by. */
struct evolution_task {
    struct evolution_plan plan;
    const struct gain_prior *prior;
    const struct proposal *chosen; /* by the ladder, for the control; NULL: that has begun */
};

/* The first of its models; NULL: it has not begun. */
const struct search_model *evolution_control(const struct search *search);

/* What is trained next; ST_NONE when there is nothing more, or not before something ends. */
enum status evolution_propose(const struct search *search, const struct search_request *request,
                              const struct evolution_task *task, struct random_sequence *random,
                              struct proposal *proposal, struct error *err);

/* The final fit, from fresh weights; ST_NONE when none of its trainings went well. */
enum status evolution_propose_end(const struct search *search, const struct search_request *request,
                                  struct proposal *proposal, struct error *err);

#endif
