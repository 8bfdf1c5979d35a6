/* Branches: what is tried on the trunk while it is trained. The trunk, a starting network from fresh weights, is
 * trained at the peak of the learning rate. A round has a control, which is the trunk trained on as it is, and
 * siblings, which go on from the same instant with the same batches for the same time (the same steps with a budget
 * in steps) and differ in one thing: a morph, or a hyperparameter. Behind their hold all of them cool down, for a
 * figure; what goes on is the state before that.
 *
 *     root ──hold──┬── control ──hold──┬── cools down         a round: the one below the other in time
 *                  ├── sibling ──hold──┬── cools down
 *                  └── sibling ...     └── the next round's control and siblings, or the final fit: from the control's
 *                                          hold, or from that of the sibling that was accepted
 *
 * So what was trained as a control is never lost. Which sibling was accepted stands in the journal as the parent of
 * whatever comes next. */
#ifndef NASRUN_SEARCH_BRANCHES_H
#define NASRUN_SEARCH_BRANCHES_H

#include "host/search/gain_prior.h"
#include "host/search/strategy.h"

/* Rounds in a row without an accepted sibling that end the branches. */
enum { BRANCHES_REFUSED = 2 };

/* Gains from which on the surrogate is asked. */
enum { BRANCHES_SEEN = 5 };

/* Standard errors that a gain has to have. */
#define BRANCHES_ERRORS 2.0

struct branches_plan {
    int32_t rounds;     /* at most; 0: no branches, and no trunk */
    int32_t siblings;   /* of a round */
    double root, share; /* of the stage, that the root's training and each other one take of its device */
};

/* `epochs`: of the first start, that the stage pays for in all. Below 20 there are none: their 15 % would be less than
 * three epochs for eight trainings, whose differences could not be told from chance. Nor with a budget in models: the
 * final fit has a length of its own there and gives nothing away. */
struct branches_plan branches_plan_make(const struct search_setup *setup, const struct search_means *means,
                                        double epochs);

/* Where they stand. */
struct branches {
    const struct search_model *root;    /* NULL: not begun */
    const struct search_model *trunk;   /* which the last round goes on from, or the first one will */
    const struct search_model *control; /* of the last round; NULL: there was none */
    int32_t rounds;                     /* begun */
    int32_t siblings;                   /* of the last round, that have begun */
    int32_t refused;                    /* rounds in a row before the last one without an accepted sibling */
    int32_t accepted;                   /* siblings, before the last round */
    double epochs;                      /* that the trunk had been trained when the last round began */
    bool waits;                         /* one of the last round's is in training */
};
void branches_look(const struct search *search, struct branches *branches);

/* Whether that model is of branches, the root among them; and whether it is a sibling of the last round. */
bool branches_has(const struct search_model *model);
bool branches_is_sibling(const struct branches *branches, const struct search_model *model);

/* By how much more the logarithm of a sibling's error will lie below its control's at the end than it does now, where
 * it costs another time: by the law of the ladder (ladder_predict.h). */
enum status branches_predict_growth(const struct search *search, const struct search_request *request,
                                    const struct branches *branches, const struct search_model *control,
                                    const struct search_model *sibling, double *growth, struct error *err);

/* Makes a root of a proposal of a starting network. */
void branches_make_root(const struct branches_plan *plan, const struct search_means *means,
                        struct proposal *proposal);

/* The next round's control, which goes on from `trunk`; a sibling of the last round's, ST_NONE when there is no change
 * within the limits; and the end, in which the learning rate falls from the peak. Once BRANCHES_SEEN siblings have told
 * what they gained, or where the prior is that of earlier runs, morphs are those that the surrogate expects most of;
 * before that chance draws them. */
enum status branches_propose_control(const struct branches *branches, const struct search_model *trunk,
                                     const struct branches_plan *plan, const struct search_means *means,
                                     struct proposal *proposal, struct error *err);
enum status branches_propose_sibling(const struct search *search, const struct branches *branches,
                                     const struct search_request *request, const struct gain_prior *prior,
                                     struct random_sequence *random, struct proposal *proposal,
                                     struct error *err);
enum status branches_propose_end(const struct branches *branches, const struct search_model *trunk,
                                 struct proposal *proposal, struct error *err);

#endif
