/* The search: which network to train next, and how. It knows all candidates so far; a strategy (strategy.h) chooses.
 *
 *     search_new -> search_propose -> search_pend -> (training) -> search_observe -> search_propose ...
 *                -> search_propose_final -> (the final fit) -> search_free
 *
 * A proposal is a pure function of the job's settings, the candidate's id and what was told of before: which candidates
 * are pending, and which results were observed, in the order of their ids. So the journal is the strategy's saved
 * state: a resumed run tells the journal's candidates again and gets the proposals that it would have got if it had
 * never stopped.
 *
 * Several candidates may be in training at once: those whose results are still out are pending. They are not proposed
 * again, and the surrogate takes its own prediction for their score, so that it looks elsewhere in the meantime
 * ("kriging believer": Ginsbourger, Le Riche, Carraro 2010, "Kriging is well-suited to parallelize optimization").
 */
#ifndef NASRUN_SEARCH_SEARCH_H
#define NASRUN_SEARCH_SEARCH_H

#include "host/morph/morph.h"
#include "host/net/cost.h"
#include "host/net/graph.h"
#include "host/search/hyperparameters.h"
#include "host/search/limits.h"
#include "host/search/recipe.h"

enum { SEARCH_MAX_MORPHS = 8, SEARCH_OPERATION_LENGTH = 96 };

/* How many of the best models stay parents; the weights of all others may be deleted, but for what the strategy
 * keeps. */
enum { SEARCH_PARENTS = 8 };

/* Of a score that is not known yet; NAN: none. */
struct prediction {
    double mean, deviation;
};
struct prediction prediction_none(void);

/* A network that was trained, or tried. */
struct search_model {
    int32_t id;
    int32_t parent; /* whose weights it began with; -1: with fresh ones */
    int32_t start;  /* index into search.starts; -1: no starting network */
    struct graph graph;
    uint64_t fingerprint; /* of the graph */
    struct recipe recipe;
    double epochs;                /* of all training images, that it was trained; 0: pending */
    double images_per_second;     /* in its training; 0: unknown */
    struct prediction prediction; /* of the score, while it is pending; none behind that */
    double score;                 /* validation accuracy; NAN: failed, or pending */
    double loss;                  /* validation */
    /* where its recipe compares it: mean over the validation images of the other's loss less its own, and that mean's
     * standard error; NAN: not known */
    double gain, gain_deviation;
    bool is_parent;  /* its weights are kept: others may go on from them */
    bool is_pending; /* its result is still out */
};

/* What is to be trained next:
 *
 *     parent   morph_count
 *     -1       0             the graph, from fresh weights
 *     a model  1 and more    a child: its weights are made from the parent's by the morphs
 *     a model  0             that model, trained further: its graph, its weights, a new schedule
 *
 * The parent's is_parent holds. */
struct proposal {
    int32_t parent;
    int32_t start;       /* index into search.starts; -1 */
    int32_t morph_count; /* 0 .. SEARCH_MAX_MORPHS, applied in order */
    struct morph morphs[SEARCH_MAX_MORPHS];
    int32_t operation_count; /* what was done, in words: the morphs, or a line for anything else */
    char operations[SEARCH_MAX_MORPHS][SEARCH_OPERATION_LENGTH];
    struct graph graph; /* the result */
    struct recipe recipe;
    struct prediction prediction;
};
void proposal_free(struct proposal *proposal);

/* What a stage's budget pays for. Shares are of the stage: of its seconds, but for what is kept for report and plots,
 * or of its steps; with a budget in models of the final fit.
 *
 * epochs            of the final fit, if it had all of the stage, for a network whose image costs 1 by cost_seconds
 * test              of the final fit, that take as long as the stage's test, whatever network that is
 * candidate_epochs  of a candidate, if it had all of the stage
 * beside            of its device's seconds, that a candidate takes beside its training: to be prepared, to be saved
 * validation        images whose training takes as long as a candidate's validation, which is part of its training
 * device_seconds    of all devices that share the final fit, times what a candidate is slower beside others; NAN where
 *                   no clock counts */
struct search_means {
    double epochs, candidate_epochs;
    double test;               /* 0 where no clock counts */
    double beside, validation; /* 0 where no clock counts, or unknown */
    bool by_cost; /* epochs of another network are these over its cost; otherwise they are the same for all */
    double device_seconds;
    double left;   /* share that the final fit and the test would get if that began now */
    double search; /* share that the search may take in all */
    /* share that a candidate gets from fresh weights when its recipe asks for once the usual */
    double candidate;
    int32_t workers; /* candidates side by side, each of which has its share of its device */
    int32_t models;  /* of this stage and those before; INT32_MAX: any number */
    int32_t train_images, validation_images, candidate_batch;
};

/* What an epoch of a network takes of these, whose image costs that much. */
static inline double search_epoch_cost(const struct search_means *means, double cost)
{
    return means->by_cost ? cost : 1.0;
}

struct search_request {
    int32_t id; /* the candidate's */
    /* A device waits for a first result and what it does meanwhile costs nothing. */
    bool fill;
    struct search_limits limits;
    struct search_means means;
};

/* What a search is opened with. The job's texts must outlive it. */
struct search_setup {
    const struct job_search *job; /* copied */
    int64_t seed;
    struct shape image; /* of the starting networks' input; n is not used */
    int32_t classes;
    struct hyperparameter_space hyperparameters;
    const struct job_train *train; /* must outlive it */
    const struct job_final *final; /* the same; for a search over cells */
    /* [job->starts.count], must outlive it: the networks of starts that are files, which have one width and weights to
     * begin with; without layers where a start is a word. NULL: none is a file. */
    const struct graph *files;
};

/* A candidate, as told of when it is on its way and when its result is there. */
struct search_trial {
    int32_t id, parent, start;
    const struct graph *graph; /* copied */
    struct recipe recipe;
    struct prediction prediction;
    double epochs, images_per_second; /* of a result */
    double gain, gain_deviation;      /* of a result; as in struct search_model */
};

struct search;
struct search_strategy;

/* Whether starting network `start`, an index into search.starts, is a file's. */
bool search_start_is_file(const struct search_setup *setup, int32_t start);

/* Starting network `start`, of that width (host/net/start.h), for the search's images. A file's is what it is. */
enum status search_make_start(const struct search_setup *setup, int32_t start, int32_t width,
                              struct graph *graph, struct error *err);

/* A search by the strategy that the job names, or by another one. ST_RANGE for an unknown morph's name. */
enum status search_new(const struct search_setup *setup, struct search **search, struct error *err);
enum status search_new_with(const struct search_strategy *strategy, const struct search_setup *setup,
                            struct search **search, struct error *err);
void search_free(struct search *search); /* NULL is allowed */

/* Proposes a candidate; the proposal's graph is the caller's to free. ST_NONE when there is nothing, until something
 * more is observed. Changes nothing: a proposal that is to be carried out has to be told of by search_pend. A starting
 * network may be above the limits: it is to be left out then (search_leave_out), and the next to be asked for. */
enum status search_propose(const struct search *search, const struct search_request *request,
                           struct proposal *proposal, struct error *err);

/* Whether the strategy proposes candidates at all. Without, there is a final fit only. */
bool search_has_candidates(const struct search *search);

/* Whether it goes by what the request says of the stage's means, so that no limit of a network's time holds for it. */
bool search_goes_by_means(const struct search *search);

/* Proposes the stage's final fit, which has no morphs but those of stack.h. ST_DIVERGED when none of the candidates could be trained. */
enum status search_propose_final(const struct search *search, const struct search_request *request,
                                 struct proposal *proposal, struct error *err);

/* Starting network `start`, an index into search.starts, is not to be proposed any more. */
void search_leave_out(struct search *search, int32_t start);

/* Adds a model whose result is still out. */
enum status search_pend(struct search *search, const struct search_trial *trial, struct error *err);

/* Adds a model with its result, or the result of a pending one. Failed models have the score NAN: they are not proposed
 * again. To be called in the order of ids. */
enum status search_observe(struct search *search, const struct search_trial *trial, double score, double loss,
                           struct error *err);

/* The model with the best score within the limits (a lower loss decides between equals), NULL when there is
 * none. */
const struct search_model *search_best(const struct search *search, const struct search_limits *limits);

int32_t search_count(const struct search *search);
const struct search_model *search_at(const struct search *search,
                                     int32_t index); /* in the order in which they were first heard of */
const struct search_model *search_find(const struct search *search, int32_t id); /* NULL when unknown */

#endif
