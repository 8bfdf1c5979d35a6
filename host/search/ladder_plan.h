/* The ladder's plan: which starting networks, in which widths, are trained from fresh weights before one of them is
 * chosen, and for how long. A function of what the budget pays for: E is the number of epochs that the first of
 * search.starts in its own width would get in all.
 *
 *     E       first rung           then
 *     < 3     none                 the widest of the first start that gets epochs enough: five, or more
 *     < 15    3 networks, 1/64     nothing
 *     < 60    4                    the better half twice as long
 *     else    4, from 200 on 6,  the better half twice as long, the best of them with half and twice the learning
 *             from 1,000 on 8      rate, the best two four times as long
 *
 * Where the job gives hyperparameters a list or a range, these are tried from E = 3 on, with the best network of the
 * first rung or of the second: in one round, from 60 on in two, from 1,000 on in three, each about the best so far. One
 * network alone is trained once for that.
 *
 * Widths are those nearest to the size that the prior finds best (ladder_predict.h) for the epochs that each would get
 * on these devices, as far as these are 5 to 60, or more where the best size gets them. All rungs together take at most
 * a tenth of the stage, and 12 % of it with what trainings take beside their steps. Where that leaves a few steps only,
 * the first rung's trainings are longer, as far as there is time; then there are fewer rungs, and then fewer networks.
 */
#ifndef NASRUN_SEARCH_LADDER_PLAN_H
#define NASRUN_SEARCH_LADDER_PLAN_H

#include "host/search/search.h"

enum { LADDER_MOST_NETWORKS = 8 };

/* With a smaller E there is no ladder. */
#define LADDER_TOO_SHORT 3.0

/* Of the stage, the most that all rungs take with what trainings take beside their steps. */
#define LADDER_WHOLE_SHARE 0.12

/* Trainings of fewer steps say nothing. */
#define LADDER_LEAST_STEPS 40.0

struct ladder_network {
    int32_t start; /* index into search.starts */
    int32_t width;
    double size;   /* ladder_size */
    double epochs; /* that the final fit would get of it, had it all of the stage */
};

struct ladder_plan {
    double epochs; /* E */
    int32_t count; /* networks, the first of which is taken when none is to be tried */
    struct ladder_network networks[LADDER_MOST_NETWORKS];
    int32_t rungs; /* 0: none is to be tried */
    /* rounds of trials of other hyperparameters with the best network, and how many trials that are at most; `open`:
     * also of those that the job leaves open (hyperparameters.h) */
    int32_t rounds, trials;
    bool open;
    double share; /* of the stage, that a training of the first rung takes of its device */
    /* Even the largest of all that the starts, their widths and the limits allow would get more than four times the
     * epochs that suit its size; never where size costs nothing. */
    bool too_small;
};

/* What a run of `count` trainings at a time is tried with. ST_NONE when no starting network is within the limits. */
enum status ladder_plan_make(const struct search_setup *setup, const struct search_request *request,
                             struct ladder_plan *plan, struct error *err);

/* What the sizes of a start's networks are told by: the one in its own width, or as wide as the job says. */
struct ladder_usual {
    double work; /* operations of an image's training */
    double cost; /* of the same, in the unit of cost_seconds */
};
enum status ladder_usual(const struct search_setup *setup, const struct search_limits *limits, int32_t start,
                         struct ladder_usual *usual, struct error *err);

/* Its operations over those of the usual network: how much it can learn. Its cost is another matter: many devices are
 * faster at wide networks, and so many epochs are not so much work on one as on the other. */
double ladder_size(const struct ladder_usual *usual, const struct graph *graph);

/* Epochs that the final fit would get of a network of that cost, if it began when that share of the stage was left: the
 * network's own test is part of it. Above 0. */
double ladder_epochs(const struct search_means *means, double cost, double left);

#endif
