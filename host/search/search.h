/* Search strategies: which network to train next. One small interface: observe what was trained, propose what
 * comes next.
 *
 * A proposal is a pure function of the settings, the candidate's id and what was expected and observed before, in order.
 * So the journal is the strategy's saved state: a resumed run expects and observes the journal's models again and
 * proposes as if it had never stopped.
 *
 * Several candidates may be in training at once: those whose results are still out are expected. They are not proposed
 * again, and the surrogate takes its own guess for their score, so that it looks elsewhere in the meantime ("kriging
 * believer": Ginsbourger, Le Riche, Carraro 2010, "Kriging is well-suited to parallelize optimization").
 */
#ifndef NASRUN_SEARCH_SEARCH_H
#define NASRUN_SEARCH_SEARCH_H

#include "host/morph/morph.h"
#include "host/net/distance.h"
#include "host/net/graph.h"
#include "spec/job.h"

enum { SEARCH_MAX_MORPHS = 8, SEARCH_OPERATION_LENGTH = 96 };

/* A network that was trained, or tried. */
struct search_model {
    int32_t id, parent; /* parent -1: a starting network */
    struct graph graph;
    struct descriptor *descriptor;
    uint64_t fingerprint;
    double score;     /* validation accuracy; NAN: failed, or expected */
    double guess;     /* of the score, while it is expected; NAN: none, or not expected any more */
    double loss;      /* validation */
    bool is_parent;   /* its weights are kept, children may be made from it */
    bool is_expected; /* its result is still out */
};

/* What a candidate may cost. Networks above are not proposed. */
struct search_limits {
    int64_t max_parameters;       /* 0: no limit */
    double max_seconds_per_image; /* of training, by cost_seconds; INFINITY: no limit */
    double flops, bytes;          /* the machine's rates for cost_seconds; used only with the limit above */
};

struct proposal {
    int32_t parent;      /* id of a model whose is_parent holds */
    int32_t morph_count; /* 1 .. SEARCH_MAX_MORPHS, applied in order */
    struct morph morphs[SEARCH_MAX_MORPHS];
    char operations[SEARCH_MAX_MORPHS][SEARCH_OPERATION_LENGTH]; /* the morphs in words */
    struct graph graph;                                          /* the result */
    double mean, deviation; /* the surrogate's guess of the score; NAN where there was none */
};

struct search;

/* What a strategy is: one function that chooses among what `search` knows. */
struct search_strategy {
    enum status (*propose)(struct search *search, const struct search_limits *limits,
                           struct random_sequence *random, struct proposal *proposal, struct error *err);
};

/* ST_RANGE for an unknown morph name. */
enum status search_new(const struct job_search *job, int64_t seed, struct search **search, struct error *err);
void search_free(struct search *search); /* NULL is allowed */

/* Adds a model whose result is still out; `graph` is copied. `guess`: proposal.mean. */
enum status search_expect(struct search *search, int32_t id, int32_t parent, const struct graph *graph,
                          double guess, struct error *err);

/* Adds a model, or the result of an expected one; `graph` is copied. Scores of failed models are NAN: they are not proposed
 * again. */
enum status search_observe(struct search *search, int32_t id, int32_t parent, const struct graph *graph,
                           double score, double loss, struct error *err);

/* Proposes candidate `id`; the proposal's graph is the caller's to free. ST_NONE when nothing new fits the
 * limits. */
enum status search_propose(struct search *search, int32_t id, const struct search_limits *limits,
                           struct proposal *proposal, struct error *err);
/* Proposes candidate `id` as a change of a network whose result is still out, drawn at random: for devices that have nothing
 * else to do before there is a parent. proposal->parent is that network's id; it has no weights to inherit yet. ST_NONE when
 * none is expected or nothing new fits the limits. */
enum status search_propose_variant(struct search *search, int32_t id, const struct search_limits *limits,
                                   struct proposal *proposal, struct error *err);
void proposal_free(struct proposal *proposal);

/* The model with the best score within the limits (a lower loss decides between equals), NULL when there is
 * none. */
const struct search_model *search_best(const struct search *search, const struct search_limits *limits);

/* Whether a graph is within the limits. */
bool search_admits(const struct search_limits *limits, const struct graph *graph);

int32_t search_count(const struct search *search);
const struct search_model *search_at(const struct search *search,
                                     int32_t index); /* in the order in which they were first heard of */
const struct search_model *search_find(const struct search *search, int32_t id); /* NULL when unknown */

/* How many of the best models stay parents; the weights of all others may be deleted. */
enum { SEARCH_PARENTS = 8 };

#endif
