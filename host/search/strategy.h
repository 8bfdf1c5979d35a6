/* Strategies: what one is, and what it can propose with. For host/search, and for tests that bring their own.
 *
 * A strategy is a file with a struct search_strategy search_WORD and a row in spec/strategies.h.
 *
 * Its state is made of the job's settings and of what it has observed, and of nothing else. It needs no saving: whoever
 * resumes a run tells it all results again, in the same order. So there is no save and no load, and no second truth
 * beside the journal. A thing decided while proposing that has to be known later (who is the control, how long a
 * candidate trains) is written into the proposal; it comes back with the model that was made of it, also after a crash.
 * Chance is drawn from `random`, which depends on seed and id alone. What a state holds beside that, such as distances
 * that were computed once, must not change what is proposed.
 */
#ifndef NASRUN_SEARCH_STRATEGY_H
#define NASRUN_SEARCH_STRATEGY_H

#include "host/base/random.h"
#include "host/search/search.h"
#include "spec/strategies.h"

/* All may be NULL, but for one of `propose` and `propose_final`. */
struct search_strategy {
    bool goes_by_means; /* search_goes_by_means */
    /* Children get hyperparameters by chance, where the job has lists or ranges (hyperparameters_vary). */
    bool varies;

    /* A new state; with NULL there is none, and `state` is NULL everywhere. */
    enum status (*create)(const struct search_setup *setup, void **state, struct error *err);
    void (*free)(void *state);

    /* Fills the proposal, which is empty. ST_NONE when there is nothing; the proposal is then empty again. Asked again,
     * or not carried out, it has changed nothing. With NULL nothing is searched: the final fit gets the whole
     * budget. */
    enum status (*propose)(const struct search *search, void *state, const struct search_request *request,
                           struct random_sequence *random, struct proposal *proposal, struct error *err);

    /* The same for the final fit, when the stage's search is over: any network from fresh weights, or a parent trained
     * further. Its recipe's budget means nothing: it gets what is left. With NULL it is propose_best. */
    enum status (*propose_final)(const struct search *search, void *state,
                                 const struct search_request *request, struct proposal *proposal,
                                 struct error *err);

    /* A result is there, in the order of ids; the search knows it already. */
    enum status (*observe)(const struct search *search, void *state, const struct search_model *model,
                           struct error *err);

    /* Whether the weights of a model with a result are to be kept although SEARCH_PARENTS others are better. Asked
     * after each result that was observed; who was let go does not come back. */
    bool (*keeps)(const void *state, const struct search_model *model);
};

/* search_bayesian and so on: one for each row of spec/strategies.h. */
#define SEARCH_DECLARE(constant, word, meaning) extern const struct search_strategy search_##word;
SPEC_STRATEGIES(SEARCH_DECLARE)
#undef SEARCH_DECLARE

/* ---- what is known ---- */

const struct search_setup *search_setup(const struct search *search);
uint32_t search_allowed_morphs(const struct search *search); /* bit i: enum morph_kind i */
bool search_has_parent(const struct search *search);
bool search_knows(const struct search *search, const struct graph *graph); /* a model has this very graph */
bool search_has_begun(const struct search *search, int32_t start);         /* or left it out */

/* Whether it has those hyperparameters; and whether it is also of the network with that fingerprint. */
bool search_has_set(const struct search *search, const struct search_model *model,
                    const struct hyperparameters *set);
bool search_is_of(const struct search *search, const struct search_model *model, uint64_t fingerprint,
                  const struct hyperparameters *set);

bool search_ended_well(const struct search_model *model); /* it has ended, with a score */

/* Of two that have: a higher score, or as high a one with a lower loss. */
bool search_is_better(const struct search_model *a, const struct search_model *b);

/* One drawn evenly of those for which `is_one` holds; NULL when there is none. */
typedef bool search_is_one(const struct search_model *model);
const struct search_model *search_draw_model(const struct search *search, search_is_one *is_one,
                                             struct random_sequence *random);
bool search_is_parent(const struct search_model *model);
bool search_is_pending(const struct search_model *model);

/* ---- proposals. Their recipe is the usual one and they have no prediction; who wants others writes them in. ---- */

/* With no graph yet, nor operations. */
struct proposal propose_usual(int32_t parent);

/* Starting network `start`, an index into search.starts; of that width, or as wide as the job says and its limits allow
 * (search_start_within). ST_NONE when it is above them in all widths. */
enum status propose_start_of_width(const struct search *search, int32_t start, int32_t width,
                                   struct proposal *proposal, struct error *err);
enum status propose_start(const struct search *search, const struct search_limits *limits, int32_t start,
                          struct proposal *proposal, struct error *err);

/* For a final fit of so many epochs: sets what its augmentation is, if it is not that of a short training. */
void propose_augment(const struct search *search, double epochs, struct proposal *proposal);

/* What comes before there is anything to choose from: the starting networks, in their order; then, while there is no
 * parent and request->fill holds, a change of a network in training, from fresh weights. ST_NONE when that is
 * nothing. */
enum status propose_first(const struct search *search, const struct search_request *request,
                          struct random_sequence *random, struct proposal *proposal, struct error *err);

/* 1 to search.max_morphs morphs on `model`, drawn from search.morphs; ST_NONE when none fits, the result is known
 * already or is above the limits. */
enum status propose_child(const struct search *search, const struct search_model *model,
                          const struct search_limits *limits, struct random_sequence *random,
                          struct proposal *proposal, struct error *err);

/* The same with that many morphs. */
enum status propose_changed(const struct search *search, const struct search_model *model, int32_t morphs,
                            const struct search_limits *limits, struct random_sequence *random,
                            struct proposal *proposal, struct error *err);

/* Draws single morphs on `model`, with its hyperparameters, until the result is new; ST_NONE when none is. */
enum status propose_changed_once(const struct search *search, const struct search_model *model,
                                 const struct search_limits *limits, struct random_sequence *random,
                                 struct proposal *proposal, struct error *err);

/* Draws models for which `is_one` holds and children of them until one is new; ST_NONE when none is. */
enum status propose_child_of_any(const struct search *search, search_is_one *is_one,
                                 const struct search_limits *limits, struct random_sequence *random,
                                 struct proposal *proposal, struct error *err);

/* `model`, which is a parent, trained further. */
enum status propose_further(const struct search_model *model, struct proposal *proposal, struct error *err);

/* The model's network with its hyperparameters, from fresh weights; the one operation is the caller's to write. */
enum status propose_again(const struct search_model *model, struct proposal *proposal, struct error *err);

/* search_best, trained further with the hyperparameters of its recipe; ST_DIVERGED when there is none. */
enum status propose_best(const struct search *search, const struct search_limits *limits,
                         struct proposal *proposal, struct error *err);

/* One morph more, which fits the proposal's graph. */
enum status proposal_add_morph(const struct morph *morph, struct proposal *proposal, struct error *err);

/* The end of a child that is made of morphs: `st` is how that went. ST_NONE, and the proposal is empty, when the result
 * is known already or is above the limits. */
enum status proposal_check_child(const struct search *search, const struct search_limits *limits,
                                 enum status st, struct proposal *proposal, struct error *err);

/* The proposal's graph, but from fresh weights; what was done to it stays said. */
void proposal_make_fresh(struct proposal *proposal);

/* Its training takes that share of the stage, of its device. Set last: what a recipe's budget is depends on whether the
 * proposal has a parent. */
void proposal_set_share(const struct search_means *means, double share, struct proposal *proposal);

/* Whether chance is to propose this one, a child of any parent, so that a strategy can't lock itself in:
 * search.random_share. */
bool propose_by_chance(const struct search *search, struct random_sequence *random);

/* Draws per proposal before a strategy gives up: most failures are networks above the limits or known already. */
enum { PROPOSE_DRAWS = 200 };
enum status propose_nothing(int draws, struct error *err); /* ST_NONE and its message */

#endif
