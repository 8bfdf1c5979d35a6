/* A model's rung follows from what was trained before it: a network's first training is of the first rung, each further
 * one a rung higher; one with other hyperparameters begins with the second rung. Each rung is chosen by the results of
 * those below it, when all of them are there. */
#include "host/search/rungs.h"

#include "host/net/cost.h"
#include "host/net/serialise.h"
#include "host/net/start.h"
#include "host/search/branches.h"
#include "host/search/evolution.h"
#include "host/search/race.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

enum { FIRST_RUNG, SECOND_RUNG, LAST_RUNG, NO_RUNG = INT32_MAX };

/* ---- what was trained ---- */

/* Whether it has the job's hyperparameters. */
static bool is_usual(const struct search *search, const struct search_model *model)
{
    const struct hyperparameters usual = recipe_usual().hyperparameters;
    return search_has_set(search, model, &usual);
}

static bool is_same(const struct search *search, const struct search_model *a, const struct search_model *b)
{
    return search_is_of(search, a, b->fingerprint, &b->recipe.hyperparameters);
}

/* Whether it is none of a trunk's, of a race or of an evolution. */
static bool is_of_ladder(const struct search_model *model)
{
    return !branches_has(model) && !race_has(model) && !evolution_has(model);
}

static int32_t rung_of(const struct search *search, int32_t index)
{
    const struct search_model *model = search_at(search, index);
    if (!is_of_ladder(model))
        return NO_RUNG;
    int32_t rung = is_usual(search, model) ? FIRST_RUNG : SECOND_RUNG;
    for (int32_t i = 0; i < index; i++)
        rung += is_of_ladder(search_at(search, i)) && is_same(search, search_at(search, i), model);
    return rung;
}

/* Models of that rung. */
static int32_t count_rung(const struct search *search, int32_t rung)
{
    int32_t count = 0;
    for (int32_t i = 0; i < search_count(search); i++)
        count += rung_of(search, i) == rung;
    return count;
}

/* Whether that network was begun on that rung, with those hyperparameters. */
static bool has_begun(const struct search *search, const struct search_model *model, int32_t rung)
{
    for (int32_t i = 0; i < search_count(search); i++)
        if (rung_of(search, i) == rung && is_same(search, search_at(search, i), model))
            return true;
    return false;
}

/* `usual`: for those with the job's hyperparameters. */
static bool waits_for(const struct search *search, int32_t rung, bool usual)
{
    for (int32_t i = 0; i < search_count(search); i++)
        if (search_at(search, i)->is_pending && rung_of(search, i) <= rung &&
            (!usual || is_usual(search, search_at(search, i))))
            return true;
    return false;
}

/* ---- what is thought of it ---- */

/* The networks that were trained on rungs up to one, with what is expected of them at the end, the best first. */
struct standing {
    int32_t count;
    const struct search_model *models[LADDER_MOST_RUNS];
    struct ladder_run wanted[LADDER_MOST_RUNS];
    struct ladder_guess guesses[LADDER_MOST_RUNS];
};

/* Which hyperparameters it has, by the first model with them. */
static int32_t set_of(const struct search *search, const struct search_model *model)
{
    int32_t first = 0;
    while (!search_has_set(search, search_at(search, first), &model->recipe.hyperparameters))
        first++;
    return is_usual(search, model) ? 0 : 1 + first;
}

enum status rungs_run(const struct search *search, const struct search_request *request,
                      const struct search_model *model, struct ladder_run *run, struct error *err)
{
    const struct search_setup *setup = search_setup(search);
    struct ladder_usual usual;
    enum status st = ladder_usual(setup, &request->limits, model->start, &usual, err);
    if (st != ST_OK)
        return st;
    *run = (struct ladder_run){
        .family = model->start,
        .size = ladder_size(&usual, &model->graph),
        .set = set_of(search, model),
        .change = hyperparameters_distance(&setup->hyperparameters, &model->recipe.hyperparameters),
        .epochs = model->epochs,
        .error = 1.0 - model->score};
    return ST_OK;
}

/* Of the final fit, if it began now: by how fast it was, or by the cost model. */
double rungs_final_epochs(const struct search_request *request, const struct search_model *model)
{
    const struct search_means *means = &request->means;
    if (!isnan(means->device_seconds) && model->images_per_second > 0.0) {
        const double image =
            means->epochs * means->train_images / (means->device_seconds * model->images_per_second);
        return ladder_epochs(means, image, means->left);
    }
    const double epochs =
        ladder_epochs(means, cost_seconds(&model->graph, &request->limits.rates), means->left);
    const bool by_steps = !means->by_cost && means->models == INT32_MAX;
    const double batch = model->recipe.hyperparameters.batch;
    return by_steps && !isnan(batch) ? epochs * batch / means->candidate_batch : epochs;
}

/* One more network that was trained, or a longer training of one. */
static void stand(const struct search *search, struct standing *standing, const struct search_model *model,
                  const struct ladder_run *run, double epochs)
{
    int32_t at = 0;
    while (at < standing->count && !is_same(search, standing->models[at], model))
        at++;
    standing->count += at == standing->count;
    standing->models[at] = model;
    standing->wanted[at] = *run;
    standing->wanted[at].epochs = fmax(epochs, run->epochs);
}

static void swap(struct standing *standing, int32_t a, int32_t b)
{
    const struct search_model *model = standing->models[a];
    const struct ladder_run wanted = standing->wanted[a];
    const struct ladder_guess guess = standing->guesses[a];
    standing->models[a] = standing->models[b];
    standing->wanted[a] = standing->wanted[b];
    standing->guesses[a] = standing->guesses[b];
    standing->models[b] = model;
    standing->wanted[b] = wanted;
    standing->guesses[b] = guess;
}

static void sort(struct standing *standing)
{
    for (int32_t i = 1; i < standing->count; i++)
        for (int32_t j = i; j > 0 && standing->guesses[j].mean < standing->guesses[j - 1].mean; j--)
            swap(standing, j, j - 1);
}

/* `usual`: of those trained with the job's hyperparameters. */
static enum status compare(const struct search *search, const struct search_request *request, int32_t rung,
                           bool usual, struct standing *standing, struct error *err)
{
    const struct search_means *means = &request->means;
    struct ladder_run runs[LADDER_MOST_RUNS];
    int32_t count = 0;
    standing->count = 0;
    for (int32_t i = 0; i < search_count(search) && count < LADDER_MOST_RUNS; i++) {
        const struct search_model *model = search_at(search, i);
        if (model->start < 0 || isnan(model->score) || rung_of(search, i) > rung || !(model->epochs > 0.0) ||
            (usual && !is_usual(search, model)))
            continue;
        enum status st = rungs_run(search, request, model, &runs[count], err);
        if (st != ST_OK)
            return st;
        stand(search, standing, model, &runs[count++], rungs_final_epochs(request, model));
    }
    const struct ladder_seen seen = {runs, count, ladder_balance(means->train_images),
                                     means->validation_images};
    enum status st = ladder_predict(&seen, standing->wanted, standing->count, standing->guesses, err);
    if (st == ST_OK)
        sort(standing);
    return st;
}

/* ---- in words ---- */

/* 0 when it is none of its start's; a file's is as the job says. */
static int32_t width_of(const struct search *search, const struct search_model *model)
{
    if (search_start_is_file(search_setup(search), model->start))
        return search_setup(search)->job->width;
    const int64_t parameters = cost_of_graph(&model->graph).parameters;
    int64_t reached = 0;
    for (int32_t width = START_WIDTH_STEP; reached < parameters && width <= START_MAX_WIDTH;
         width += START_WIDTH_STEP) {
        struct graph graph = {0};
        struct error ignored;
        if (search_make_start(search_setup(search), model->start, width, &graph, &ignored) != ST_OK)
            return 0;
        const bool is_it = graph_fingerprint(&graph) == model->fingerprint;
        reached = cost_of_graph(&graph).parameters;
        graph_free(&graph);
        if (is_it)
            return width;
    }
    return 0;
}

static void name_network(const struct search *search, const struct search_model *model, char *text,
                         size_t size)
{
    const struct search_setup *setup = search_setup(search);
    char changes[SEARCH_OPERATION_LENGTH / 4], wide[32] = "";
    hyperparameters_describe(&setup->hyperparameters, &model->recipe.hyperparameters, changes,
                             sizeof(changes));
    if (!search_start_is_file(setup, model->start))
        snprintf(wide, sizeof(wide), " %d wide", (int)width_of(search, model));
    snprintf(text, size, "%s%s%s%s", setup->job->starts.items[model->start], wide,
             changes[0] != '\0' ? ", " : "", changes);
}

__attribute__((format(printf, 2, 3))) static void say(struct proposal *proposal, const char *format, ...)
{
    va_list arguments;
    if (proposal->operation_count == SEARCH_MAX_MORPHS)
        return;
    va_start(arguments, format);
    vsnprintf(proposal->operations[proposal->operation_count++], SEARCH_OPERATION_LENGTH, format, arguments);
    va_end(arguments);
}

/* ---- the ladder ---- */

/* Every training of the ladder sees the batches of the first one. */
static void set_recipe(const struct search *search, const struct search_request *request, double share,
                       struct proposal *proposal)
{
    proposal_set_share(&request->means, share, proposal);
    if (search_count(search) > 0)
        proposal->recipe.batches_of = search_at(search, 0)->id;
}

static enum status propose_network(const struct search *search, const struct search_request *request,
                                   const struct ladder_network *network, double share,
                                   struct proposal *proposal, struct error *err)
{
    enum status st = propose_start_of_width(search, network->start, network->width, proposal, err);
    if (st == ST_OK)
        set_recipe(search, request, share, proposal);
    return st;
}

/* A network that was trained, once more from fresh weights, with those hyperparameters. */
static enum status propose_with_set(const struct search *search, const struct search_model *model,
                                    const struct hyperparameters *set, struct proposal *proposal,
                                    struct error *err)
{
    const int32_t start = model->start;
    enum status st = propose_start_of_width(search, start, width_of(search, model), proposal, err);
    if (st == ST_OK)
        proposal->recipe.hyperparameters = *set;
    return st;
}

static enum status propose_first_rung(const struct search *search, const struct search_request *request,
                                      const struct ladder_plan *plan, struct proposal *proposal,
                                      struct error *err)
{
    if (count_rung(search, SECOND_RUNG) > 0 || count_rung(search, FIRST_RUNG) >= plan->count)
        return ST_NONE;
    for (int32_t i = 0; i < plan->count; i++) {
        enum status st = propose_network(search, request, &plan->networks[i], plan->share, proposal, err);
        if (st != ST_OK || !search_knows(search, &proposal->graph))
            return st;
        proposal_free(proposal);
    }
    return ST_NONE;
}

/* A rung above the first: how many are on it, and how much of the stage each takes of its device. */
struct rung {
    int32_t number, count;
    double share;
};

/* The best of those below, but for those that have begun. */
static enum status propose_best_of(const struct search *search, const struct search_request *request,
                                   const struct standing *standing, const struct rung *rung,
                                   struct proposal *proposal, struct error *err)
{
    for (int32_t i = 0; i < rung->count && i < standing->count; i++) {
        const struct search_model *model = standing->models[i];
        if (has_begun(search, model, rung->number))
            continue;
        enum status st = propose_with_set(search, model, &model->recipe.hyperparameters, proposal, err);
        if (st == ST_OK)
            set_recipe(search, request, rung->share, proposal);
        return st;
    }
    return ST_NONE;
}

static enum status propose_second_rung(const struct search *search, const struct search_request *request,
                                       const struct ladder_plan *plan, struct proposal *proposal,
                                       struct error *err)
{
    struct standing standing;
    enum status st = compare(search, request, FIRST_RUNG, true, &standing, err);
    const struct rung second = {SECOND_RUNG, (standing.count + 1) / 2, 2.0 * plan->share};
    return st == ST_OK ? propose_best_of(search, request, &standing, &second, proposal, err) : st;
}

/* ---- other hyperparameters ---- */

/* The first training of that network with those hyperparameters; NULL when there is none. */
static const struct search_model *trial_of(const struct search *search, const struct search_model *network,
                                           const struct hyperparameters *set)
{
    for (int32_t i = 0; i < search_count(search); i++) {
        const struct search_model *model = search_at(search, i);
        if (is_of_ladder(model) && search_is_of(search, model, network->fingerprint, set))
            return model;
    }
    return NULL;
}

/* With which network they are tried: the one with which that has begun, or the best; any, when none could be trained
 * with the job's. */
static enum status choose_network(const struct search *search, const struct search_request *request,
                                  const struct search_model **network, struct error *err)
{
    struct standing standing;
    enum status st = compare(search, request, SECOND_RUNG, true, &standing, err);
    if (st != ST_OK)
        return st;
    *network = standing.count > 0 ? standing.models[0] : search_at(search, 0);
    for (int32_t i = 0; i < search_count(search); i++) {
        const struct search_model *model = search_at(search, i);
        if (!is_of_ladder(model) || is_usual(search, model))
            continue;
        for (int32_t j = 0; j < standing.count; j++)
            if (standing.models[j]->fingerprint == model->fingerprint)
                *network = standing.models[j];
        break;
    }
    return ST_OK;
}

/* Round by round, each about the best of those before: a round's trials, when all of the one before are known. */
static enum status propose_trial(const struct search *search, const struct search_request *request,
                                 const struct ladder_plan *plan, struct proposal *proposal, struct error *err)
{
    const struct hyperparameter_space *space = &search_setup(search)->hyperparameters;
    struct hyperparameters sets[HYPERPARAMETERS_MOST];
    const struct search_model *best;
    enum status st = choose_network(search, request, &best, err);
    bool known = st == ST_OK;
    for (int32_t round = 0; known && round < plan->rounds; round++) {
        const struct search_model *centre = best;
        const int32_t count =
            hyperparameters_round(space, &centre->recipe.hyperparameters, round, plan->open, sets);
        for (int32_t i = 0; i < count; i++) {
            const struct search_model *trial = trial_of(search, centre, &sets[i]);
            if (trial == NULL) {
                st = propose_with_set(search, centre, &sets[i], proposal, err);
                if (st == ST_OK)
                    set_recipe(search, request, (plan->rungs > 1 ? 2.0 : 1.0) * plan->share, proposal);
                return st;
            }
            known = known && !trial->is_pending;
            best = trial->score > best->score || isnan(best->score) ? trial : best;
        }
    }
    return st != ST_OK ? st : ST_NONE;
}

static enum status propose_last_rung(const struct search *search, const struct search_request *request,
                                     const struct ladder_plan *plan, struct proposal *proposal,
                                     struct error *err)
{
    const struct rung last = {LAST_RUNG, 2, 4.0 * plan->share};
    struct standing standing;
    enum status st = compare(search, request, SECOND_RUNG, false, &standing, err);
    return st == ST_OK ? propose_best_of(search, request, &standing, &last, proposal, err) : st;
}

enum status rungs_propose(const struct search *search, const struct search_request *request,
                          const struct ladder_plan *plan, struct proposal *proposal, struct error *err)
{
    enum status st = plan->rungs > 0 ? propose_first_rung(search, request, plan, proposal, err) : ST_NONE;
    if (st != ST_NONE || plan->rungs == 0 || waits_for(search, FIRST_RUNG, false))
        return st;
    st = plan->rungs > 1 ? propose_second_rung(search, request, plan, proposal, err) : ST_NONE;
    if (st != ST_NONE || waits_for(search, SECOND_RUNG, true))
        return st;
    st = propose_trial(search, request, plan, proposal, err);
    if (st != ST_NONE || plan->rungs < 3 || waits_for(search, SECOND_RUNG, false))
        return st;
    return propose_last_rung(search, request, plan, proposal, err);
}

/* ---- what is chosen ---- */

/* By the prior alone. */
static enum status propose_unseen(const struct search *search, const struct ladder_plan *plan,
                                  struct proposal *proposal, struct error *err)
{
    const struct ladder_network *network = &plan->networks[0];
    enum status st = propose_start_of_width(search, network->start, network->width, proposal, err);
    if (st == ST_OK)
        propose_augment(search, network->epochs, proposal);
    if (st == ST_OK && plan->count == 1 && plan->epochs >= LADDER_TOO_SHORT)
        say(proposal, "nothing to choose from");
    else if (st == ST_OK)
        say(proposal, "too short for a search: %.3g epochs of %s", plan->epochs,
            search_setup(search)->job->starts.items[0]);
    return st;
}

static enum status propose_chosen(const struct search *search, const struct standing *standing,
                                  struct proposal *proposal, struct error *err)
{
    const int32_t chosen = ladder_choose(standing->wanted, standing->guesses, standing->count);
    const struct search_model *model = standing->models[chosen];
    const double error = exp(standing->guesses[chosen].mean);
    enum status st = propose_with_set(search, model, &model->recipe.hyperparameters, proposal, err);
    if (st != ST_OK)
        return st;
    propose_augment(search, standing->wanted[chosen].epochs, proposal);
    proposal->prediction =
        (struct prediction){.mean = 1.0 - error, .deviation = error * standing->guesses[chosen].deviation};
    say(proposal, "from %d trained, %.3g epochs, %.4f +- %.4f expected", (int)standing->count,
        standing->wanted[chosen].epochs, proposal->prediction.mean, proposal->prediction.deviation);
    for (int32_t i = 0; i < standing->count && i < 3; i++) {
        char name[SEARCH_OPERATION_LENGTH / 2];
        if (i == chosen)
            continue;
        name_network(search, standing->models[i], name, sizeof(name));
        say(proposal, "%.4f of %s", 1.0 - exp(standing->guesses[i].mean), name);
    }
    return ST_OK;
}

bool rungs_wait(const struct search *search)
{
    return waits_for(search, LAST_RUNG, false);
}

enum status rungs_choose(const struct search *search, const struct search_request *request,
                         const struct ladder_plan *plan, struct proposal *proposal, struct error *err)
{
    struct standing standing;
    enum status st = compare(search, request, LAST_RUNG, false, &standing, err);
    if (st != ST_OK)
        return st;
    /* The machine may have turned out to be much slower than it seemed: then the size is all that matters. */
    if (standing.count > 0 && plan->epochs < LADDER_TOO_SHORT)
        return propose_unseen(search, plan, proposal, err);
    if (standing.count > 0)
        return propose_chosen(search, &standing, proposal, err);
    if (search_count(search) > 0)
        return error_set(err, ST_DIVERGED, "none of the %d candidates could be trained",
                         (int)search_count(search));
    return propose_unseen(search, plan, proposal, err);
}
