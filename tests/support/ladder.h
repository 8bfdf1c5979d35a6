/* A strategy for tests that asks for all that a proposal can ask for: a few short trainings from scratch, the best of
 * them trained further, and from there trainings that differ in one thing each and see the same batches. It ends with
 * a training that goes on from where LADDER_BRANCH had held. */
#ifndef NASRUN_TESTS_SUPPORT_LADDER_H
#define NASRUN_TESTS_SUPPORT_LADDER_H

#include "host/search/strategy.h"

/* What its candidates are, by id, after two starting networks. */
enum {
    LADDER_STARTS = 2, /* with a quarter of the usual budget */
    LADDER_TRUNK = 2,  /* the better of them trained further, with another learning rate */
    LADDER_CONTROL,    /* the trunk trained further, as usual */
    LADDER_TWIN,       /* the same on the control's batches: the same training */
    LADDER_OTHER,      /* the same on batches of its own */
    LADDER_FROZEN,     /* on the control's batches, with next to no learning rate */
    LADDER_CHILD,      /* a child of the trunk on the control's batches, with four hyperparameters */
    LADDER_FRESH,      /* a change of the trunk, from fresh weights, with half the usual budget */
    LADDER_HELD,       /* the trunk trained further, at the peak to its end */
    LADDER_BRANCH,     /* goes on from there, holds and cools down; so do the others, compared with it */
    LADDER_SAME,       /* the same */
    LADDER_SLOWER,     /* with a tenth of the learning rate */
    LADDER_GROWN,      /* a child */
    LADDER_COUNT,
};

extern const struct search_strategy ladder_strategy;

#endif
