/* A learned controller (Zoph, Le 2016, "Neural architecture search with reinforcement learning"): a policy (policy.h)
 * says which changes are made, token by token, and learns by REINFORCE from what came of them. The reward is the
 * validation accuracy's cube, as in the paper, and what failed has 0; what is learned from is how far it is above the
 * moving average of those before.
 *
 * In the paper the policy says whole networks, layer by layer. Here it says what is done to the best network so far, up
 * to search.max_morphs changes of these three tokens each (as in Cai et al. 2018, "Efficient architecture search by
 * network transformation"), whose weights a child begins with:
 *
 *     kind     of the morph, or that it is enough
 *     place    which of the layers that it may be done to, in eighths from the input to the output
 *     size     which of what may be done there, in quarters
 *
 * What was said stands in the proposal's recipe, so that all that the policy has become follows from results. As in the
 * paper several candidates may be in training, and what comes back may be what an earlier policy had said. */
#include "host/search/policy.h"
#include "host/search/strategy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { KIND, PLACE, SIZE };
enum { ENOUGH = MORPH_KIND_COUNT, PLACES = 8, SIZES = 4 };
#define ALL(choices) ((1u << (choices)) - 1)
_Static_assert((int)ENOUGH < (int)POLICY_CHOICES, "a choice for each kind of morph");
_Static_assert((int)RECIPE_TOKENS == (int)POLICY_MOST &&
                   (int)SEARCH_MAX_MORPHS * (int)POLICY_SLOTS == (int)POLICY_MOST,
               "room for all that is said");

/* What is left of the moving average when another reward is there: that of about ten counts. */
static const double BASELINE_DECAY = 0.9;

struct reinforce {
    struct policy *policy;
    double *gradient; /* of those of a batch that are there */
    int32_t rewards;
    double baseline; /* NAN: no reward yet */
};

static void free_reinforce(void *state)
{
    struct reinforce *reinforce = state;
    if (reinforce == NULL)
        return;
    policy_free(reinforce->policy);
    free(reinforce->gradient);
    free(reinforce);
}

static enum status create_reinforce(const struct search_setup *setup, void **state, struct error *err)
{
    static const struct policy_shape shape = {{[KIND] = ENOUGH + 1, [PLACE] = PLACES, [SIZE] = SIZES}};
    struct reinforce *reinforce = calloc(1, sizeof(*reinforce));
    *state = reinforce;
    if (reinforce == NULL)
        return error_memory(err, "strategy", sizeof(*reinforce));
    reinforce->baseline = NAN;
    enum status st = policy_new(&shape, (uint64_t)setup->seed, &reinforce->policy, err);
    if (st != ST_OK)
        return st;
    const size_t count = (size_t)policy_parameters(reinforce->policy);
    reinforce->gradient = calloc(count, sizeof(double));
    return reinforce->gradient != NULL ? ST_OK : error_memory(err, "policy", count * sizeof(double));
}

/* ---- what tokens stand for ---- */

/* What may be done to a graph. */
struct options {
    int32_t count;
    struct morph *morphs;
    uint32_t kinds; /* allowed tokens */
};

static enum status options_of(const struct search *search, const struct graph *graph, bool enough,
                              struct options *options, struct error *err)
{
    *options = (struct options){.kinds = enough ? 1u << ENOUGH : 0};
    enum status st = morph_list(graph, search_allowed_morphs(search), &options->morphs, &options->count, err);
    for (int32_t i = 0; st == ST_OK && i < options->count; i++)
        options->kinds |= 1u << options->morphs[i].kind;
    if (st == ST_OK && options->kinds == 0)
        st = error_set(err, ST_NONE, "nothing can be done to the network");
    return st;
}

/* How many morphs of the kind are about a layer; the `wanted`th of them. */
static int32_t count_at(const struct options *options, int32_t kind, uint32_t layer, int32_t wanted,
                        const struct morph **found)
{
    int32_t count = 0;
    for (int32_t i = 0; i < options->count; i++) {
        const struct morph *morph = &options->morphs[i];
        if ((int32_t)morph->kind == kind && morph->a == layer && count++ == wanted)
            *found = morph;
    }
    return count;
}

/* Of the layers that the kind may be done to, and of what of that kind may be done there. There is some. */
static const struct morph *choose(const struct graph *graph, const struct options *options,
                                  const int32_t tokens[POLICY_SLOTS])
{
    const struct morph *found = NULL;
    int32_t layers = 0, wanted, at = -1;
    for (int32_t i = 0; i < graph->count; i++)
        layers += count_at(options, tokens[KIND], graph->layers[i].id, -1, &found) > 0;
    wanted = tokens[PLACE] * layers / PLACES;
    while (wanted >= 0)
        wanted -= count_at(options, tokens[KIND], graph->layers[++at].id, -1, &found) > 0;
    const uint32_t layer = graph->layers[at].id;
    const int32_t sizes = count_at(options, tokens[KIND], layer, -1, &found);
    count_at(options, tokens[KIND], layer, tokens[SIZE] * sizes / SIZES, &found);
    return found;
}

/* ---- what is said ---- */

/* A proposal in the making. */
struct speech {
    const struct reinforce *reinforce;
    struct policy_said said;
    struct policy_place place;
    struct random_sequence *random;
    double entropy; /* of all tokens */
};

static int32_t say(struct speech *speech, uint32_t allowed)
{
    double probabilities[POLICY_CHOICES], left = (double)random_next_unit(speech->random);
    int32_t choice = -1;
    policy_next(speech->reinforce->policy, &speech->said, allowed, &speech->place, probabilities);
    for (int32_t k = 0; k < POLICY_CHOICES && (choice < 0 || left >= 0.0); k++) {
        if ((allowed >> k & 1) == 0)
            continue;
        choice = k; /* the last, where rounding leaves something */
        left -= probabilities[k];
    }
    speech->entropy += policy_entropy(probabilities);
    speech->said.tokens[speech->said.count++] = (struct policy_token){allowed, choice};
    return choice;
}

/* One morph more; *enough: the policy wants none. */
static enum status say_morph(const struct search *search, struct speech *speech, struct proposal *proposal,
                             bool *enough, struct error *err)
{
    struct options options;
    enum status st = options_of(search, &proposal->graph, proposal->morph_count > 0, &options, err);
    if (st == ST_OK) {
        int32_t tokens[POLICY_SLOTS] = {[KIND] = say(speech, options.kinds)};
        *enough = tokens[KIND] == ENOUGH;
        if (!*enough) {
            tokens[PLACE] = say(speech, ALL(PLACES));
            tokens[SIZE] = say(speech, ALL(SIZES));
            const struct morph morph = *choose(&proposal->graph, &options, tokens);
            st = proposal_add_morph(&morph, proposal, err);
        }
    }
    free(options.morphs);
    return st;
}

static enum status propose_said(const struct search *search, const struct search_model *base,
                                const struct search_limits *limits, struct speech *speech,
                                struct proposal *proposal, struct error *err)
{
    const int32_t job_most = search_setup(search)->job->max_morphs;
    const int32_t most = job_most < SEARCH_MAX_MORPHS ? job_most : SEARCH_MAX_MORPHS;
    struct recipe_policy *policy = &proposal->recipe.policy;
    bool enough = false;
    *proposal = propose_usual(base->id);
    enum status st = graph_copy(&proposal->graph, &base->graph, err);
    while (st == ST_OK && !enough && proposal->morph_count < most)
        st = say_morph(search, speech, proposal, &enough, err);
    policy->count = speech->said.count;
    for (int32_t i = 0; i < policy->count; i++)
        policy->tokens[i] = speech->said.tokens[i].choice;
    policy->entropy = speech->entropy / policy->count;
    policy->baseline = speech->reinforce->baseline;
    return proposal_check_child(search, limits, st, proposal, err);
}

static enum status propose_reinforce(const struct search *search, void *state,
                                     const struct search_request *request, struct random_sequence *random,
                                     struct proposal *proposal, struct error *err)
{
    enum status st = propose_first(search, request, random, proposal, err);
    if (st != ST_NONE)
        return st;
    const struct search_model *base = search_best(search, &request->limits);
    for (int draw = 0; base != NULL && draw < PROPOSE_DRAWS; draw++) {
        struct speech speech = {.reinforce = state, .random = random};
        st = propose_said(search, base, &request->limits, &speech, proposal, err);
        if (st != ST_NONE)
            return st;
    }
    return propose_nothing(PROPOSE_DRAWS, err);
}

/* ---- what is learned ---- */

/* The tokens of one change, with what was allowed beside each. A journal that is none may say anything. */
static enum status recall_change(const struct recipe_policy *policy, int32_t at, uint32_t kinds,
                                 struct policy_said *said, struct error *err)
{
    const uint32_t allowed[POLICY_SLOTS] = {[KIND] = kinds, [PLACE] = ALL(PLACES), [SIZE] = ALL(SIZES)};
    const int32_t count = policy->tokens[at] == ENOUGH ? 1 : POLICY_SLOTS;
    for (int32_t i = 0; i < count; i++) {
        const int32_t token = policy->tokens[at + i];
        if (at + i >= policy->count || token < 0 || token >= POLICY_CHOICES || (allowed[i] >> token & 1) == 0)
            return error_set(err, ST_FORMAT,
                             "policy_tokens: found %d as token %d, expected one that is allowed", (int)token,
                             (int)(at + i));
        said->tokens[said->count++] = (struct policy_token){allowed[i], token};
    }
    return ST_OK;
}

/* All that was said of a model: what could be done follows from its parent's graph, change by change. */
static enum status recall(const struct search *search, const struct search_model *model,
                          struct policy_said *said, struct error *err)
{
    const struct recipe_policy *policy = &model->recipe.policy;
    const struct search_model *parent = search_find(search, model->parent);
    struct proposal again = {0};
    said->count = 0;
    if (parent == NULL)
        return error_set(err, ST_FORMAT, "policy_tokens: found them without a parent");
    enum status st = graph_copy(&again.graph, &parent->graph, err);
    while (st == ST_OK && said->count < policy->count && again.morph_count < SEARCH_MAX_MORPHS) {
        const int32_t at = said->count;
        struct options options;
        st = options_of(search, &again.graph, at > 0, &options, err);
        if (st == ST_OK)
            st = recall_change(policy, at, options.kinds, said, err);
        if (st == ST_OK && policy->tokens[at] != ENOUGH) {
            const struct morph morph = *choose(&again.graph, &options, &policy->tokens[at]);
            st = proposal_add_morph(&morph, &again, err);
        }
        free(options.morphs);
    }
    proposal_free(&again);
    if (st != ST_OK)
        error_prefix(err, "what was said of model %d", (int)model->id);
    return st == ST_NONE ? ST_FORMAT : st;
}

static void learn_batch(const struct job_search *job, struct reinforce *reinforce)
{
    const int32_t count = policy_parameters(reinforce->policy);
    for (int32_t i = 0; i < count; i++)
        reinforce->gradient[i] /= job->policy_batch;
    policy_climb(reinforce->policy, reinforce->gradient, job->policy_rate);
    memset(reinforce->gradient, 0, (size_t)count * sizeof(double));
}

static enum status observe_reinforce(const struct search *search, void *state,
                                     const struct search_model *model, struct error *err)
{
    const struct job_search *job = search_setup(search)->job;
    struct reinforce *reinforce = state;
    struct policy_said said;
    if (model->recipe.policy.count == 0)
        return ST_OK;
    enum status st = recall(search, model, &said, err);
    if (st != ST_OK)
        return st;
    const double reward = isnan(model->score) ? 0.0 : pow(model->score, 3.0);
    const double before = isnan(reinforce->baseline) ? reward : reinforce->baseline;
    policy_gradient(reinforce->policy, &said, reward - before, job->policy_entropy, reinforce->gradient);
    reinforce->baseline = BASELINE_DECAY * before + (1.0 - BASELINE_DECAY) * reward;
    if (++reinforce->rewards % job->policy_batch == 0)
        learn_batch(job, reinforce);
    return ST_OK;
}

const struct search_strategy search_reinforce = {.varies = true,
                                                 .create = create_reinforce,
                                                 .free = free_reinforce,
                                                 .propose = propose_reinforce,
                                                 .observe = observe_reinforce};
