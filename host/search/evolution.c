#include "host/search/evolution.h"

#include "host/net/cost.h"
#include "host/search/branches.h"
#include "host/search/improve.h"
#include "host/search/rungs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Of the search's part: for the longer trainings. The ladder has its share, the rungs the rest. */
static const double LONG_PART = 0.35;

/* Epochs of the first rung, at most, and what each has times the one below: of those on a rung one of so many goes on.
 * It is shorter where the budget would not pay for so many networks. */
enum { FIRST_EPOCHS = 1, ETA = 3, NETWORKS = 64, USUAL_RUNGS = 3 };
/* A rung's training is no more than this of a longer one. */
static const double RUNG_OF_LONG = 0.5;

/* The newest of which a parent is drawn, and how many are drawn for the best of them to be it: as in Real et al. 2019,
 * where 100 and 25 were for twenty thousand networks, fewer. */
enum { POPULATION = 32, SAMPLE = 8 };
/* Gains that have to be known before the surrogate is asked; until then chance changes the networks there are. */
enum { LEAST_SEEN = 5 };

/* What a training on a rung misses of what there is at the deadline, in logarithms of errors, by its rung: judged, to
 * be about what the ladder's law leaves open of trainings that short (ladder_predict.c). */
static const double MISSES[EVOLUTION_MOST_RUNGS + 1] = {0.10, 0.07, 0.05, 0.03, 0.02};

/* Which fresh weights: the race has the lower numbers. */
enum { OWN_WEIGHTS = 2 };

/* Trainings of one network with one set of hyperparameters, by rung; behind the last rung the longer one and its
 * repetitions. */
enum { LONGER = EVOLUTION_MOST_RUNGS, TRAININGS = LONGER + 1 + EVOLUTION_REPEATS };
struct member {
    const struct search_model *first;
    const struct search_model *trainings[TRAININGS]; /* NULL: not begun */
    double gains[TRAININGS];                         /* over the control there; NAN: not known */
};

struct population {
    int32_t count;
    struct member *members; /* in the order of their beginning: the control first */
    double spent;           /* share of the stage, of each device, that trainings on rungs take */
};

/* ---- the plan ---- */

struct evolution_plan evolution_plan_make(const struct search_setup *setup, const struct search_means *means,
                                          double epochs, double cost)
{
    struct evolution_plan plan = {0};
    const double part = LONG_PART * means->search,
                 turns = ceil((double)EVOLUTION_LONG / means->workers) +
                         ceil((double)(EVOLUTION_BEST * EVOLUTION_REPEATS) / means->workers);
    const double all = means->candidate_epochs / (means->by_cost ? cost : 1.0); /* of a device */
    const double least = LADDER_LEAST_STEPS * means->candidate_batch / means->train_images;
    plan.share = means->search - LADDER_WHOLE_SHARE - part;
    plan.long_share = part / turns - means->beside;
    if (!(epochs > EVOLUTION_LEAST_EPOCHS) || means->models < INT32_MAX || setup->job->branches > 0 ||
        plan.share <= 0.0)
        return plan;
    double rung = plan.share * means->workers * all / (NETWORKS * USUAL_RUNGS);
    rung = fmax(fmin(rung, FIRST_EPOCHS), least);
    for (; plan.rungs < EVOLUTION_MOST_RUNGS && rung <= RUNG_OF_LONG * plan.long_share * all; rung *= ETA)
        plan.epochs[plan.rungs++] = rung;
    return plan;
}

/* ---- what was trained ---- */

bool evolution_has(const struct search_model *model)
{
    return model->recipe.fresh >= OWN_WEIGHTS;
}

const struct search_model *evolution_control(const struct search *search)
{
    for (int32_t i = 0; i < search_count(search); i++)
        if (evolution_has(search_at(search, i)))
            return search_at(search, i);
    return NULL;
}

static struct member *find(const struct search *search, const struct population *population,
                           const struct search_model *model)
{
    for (int32_t i = 0; i < population->count; i++)
        if (search_is_of(search, population->members[i].first, model->fingerprint,
                         &model->recipe.hyperparameters))
            return &population->members[i];
    return NULL;
}

/* Which training it is: a longer one by its weights, any other one by how many came before. */
static void note(struct member *member, const struct search_model *model)
{
    int32_t at = 0;
    if (model->recipe.fresh > OWN_WEIGHTS)
        at = LONGER + model->recipe.fresh - OWN_WEIGHTS - 1;
    else
        while (at < LONGER && member->trainings[at] != NULL)
            at++;
    if (at < TRAININGS && (at != LONGER || model->recipe.fresh > OWN_WEIGHTS))
        member->trainings[at] = model;
}

/* NULL: it did not begin. */
static bool went_well(const struct search_model *model)
{
    return model != NULL && search_ended_well(model);
}

/* None is better than the validation images can tell. */
static double error_of(const struct search_means *means, const struct search_model *model)
{
    return fmax(1.0 - model->score, 0.5 / means->validation_images);
}

/* The logarithm of its error at the deadline, by the law's prior: what it is now, and what so many epochs more bring a
 * network of that size. */
static enum status look_ahead(const struct search_request *request, double usual,
                              const struct search_model *model, double *outlook, struct error *err)
{
    const struct search_means *means = &request->means;
    struct ladder_run wanted[2] = {{.size = cost_seconds(&model->graph, &request->limits.rates) / usual,
                                    .epochs = fmax(model->epochs, 1e-3)}};
    struct ladder_guess guesses[2];
    wanted[1] = wanted[0];
    wanted[1].epochs = fmax(rungs_final_epochs(request, model), wanted[0].epochs);
    enum status st = ladder_predict(NULL, 0, ladder_balance(means->train_images), means->validation_images,
                                    wanted, 2, guesses, err);
    if (st == ST_OK)
        *outlook = log(error_of(means, model)) + guesses[1].mean - guesses[0].mean;
    return st;
}

/* Over the control's training of the same length. Repetitions are compared with its longer one. */
static enum status measure(const struct search_request *request, double usual, struct population *population,
                           struct error *err)
{
    const struct member *control = &population->members[0];
    double controls[TRAININGS];
    enum status st = ST_OK;
    for (int32_t at = 0; st == ST_OK && at < TRAININGS; at++) {
        const struct search_model *model = control->trainings[at > LONGER ? LONGER : at];
        controls[at] = NAN;
        if (went_well(model))
            st = look_ahead(request, usual, model, &controls[at], err);
    }
    for (int32_t i = 0; st == ST_OK && i < population->count; i++)
        for (int32_t at = 0; st == ST_OK && at < TRAININGS; at++) {
            struct member *member = &population->members[i];
            double outlook = NAN;
            if (went_well(member->trainings[at]))
                st = look_ahead(request, usual, member->trainings[at], &outlook, err);
            member->gains[at] = controls[at] - outlook;
        }
    return st;
}

static enum status look(const struct search *search, const struct search_request *request,
                        struct population *population, struct error *err)
{
    double usual;
    *population =
        (struct population){.members = calloc((size_t)search_count(search) + 1, sizeof(struct member))};
    if (population->members == NULL)
        return error_memory(err, "networks of the evolution", sizeof(struct member));
    for (int32_t i = 0; i < search_count(search); i++) {
        const struct search_model *model = search_at(search, i);
        if (!evolution_has(model))
            continue;
        struct member *member = find(search, population, model);
        if (member == NULL) {
            member = &population->members[population->count++];
            member->first = model;
        }
        note(member, model);
        if (model->recipe.fresh == OWN_WEIGHTS)
            population->spent += model->recipe.budget * request->means.candidate / request->means.workers;
    }
    enum status st = ladder_usual_cost(search_setup(search), &request->limits, 0, &usual, err);
    return st == ST_OK && population->count > 0 ? measure(request, usual, population, err) : st;
}

/* The last of its rungs, or its longer training, on which its gain is known; -1: none. */
static int32_t highest(const struct member *member)
{
    int32_t at = LONGER;
    while (at >= 0 && isnan(member->gains[at]))
        at--;
    return at;
}

/* ---- proposals ---- */

/* Of an epoch. */
static double cost_of(const struct search_request *request, const struct graph *graph)
{
    return request->means.by_cost ? cost_seconds(graph, &request->limits.rates) : 1.0;
}

/* So many epochs of that network, as a share of the stage. */
static double share_of(const struct search_request *request, const struct graph *graph, double epochs)
{
    return epochs * cost_of(request, graph) / request->means.candidate_epochs;
}

/* From the evolution's weights, on the control's batches. */
static void set_recipe(const struct search_request *request, const struct population *population,
                       double share, struct proposal *proposal)
{
    proposal_make_fresh(proposal);
    proposal_set_share(&request->means, share, proposal);
    proposal->recipe.fresh = OWN_WEIGHTS;
    proposal->recipe.batches_of = population->count > 0 ? population->members[0].first->id : -1;
    proposal->prediction = prediction_none();
}

static enum status propose_on_rung(const struct search_request *request, const struct evolution_plan *plan,
                                   const struct population *population, const struct member *member,
                                   int32_t rung, struct proposal *proposal, struct error *err)
{
    enum status st = propose_again(member->first, proposal, err);
    if (st != ST_OK)
        return st;
    set_recipe(request, population, share_of(request, &proposal->graph, plan->epochs[rung]), proposal);
    snprintf(proposal->operations[0], SEARCH_OPERATION_LENGTH, "model %d for %.3g epochs",
             (int)member->first->id, plan->epochs[rung]);
    return ST_OK;
}

/* How many have a larger gain there. */
static int32_t better_on(const struct population *population, int32_t at, double gain)
{
    int32_t better = 0;
    for (int32_t i = 0; i < population->count; i++)
        better += population->members[i].gains[at] > gain;
    return better;
}

static int32_t known_on(const struct population *population, int32_t at)
{
    int32_t known = 0;
    for (int32_t i = 0; i < population->count; i++)
        known += !isnan(population->members[i].gains[at]);
    return known;
}

/* Beside the control. */
static int32_t begun_on(const struct population *population, int32_t at)
{
    int32_t begun = 0;
    for (int32_t i = 1; i < population->count; i++)
        begun += population->members[i].trainings[at] != NULL;
    return begun;
}

/* The best third of a rung, and no more than that, for later ones are the better ones; from the highest rung down. The
 * control always. */
static enum status propose_promotion(const struct search_request *request, const struct evolution_plan *plan,
                                     const struct population *population, struct proposal *proposal,
                                     struct error *err)
{
    for (int32_t rung = plan->rungs - 2; rung >= 0; rung--) {
        const int32_t most = known_on(population, rung) / ETA;
        const bool room = begun_on(population, rung + 1) < most;
        for (int32_t i = 0; i < population->count; i++) {
            const struct member *member = &population->members[i];
            const bool may_go_on = i == 0 ? went_well(member->trainings[rung])
                                          : room && !isnan(member->gains[rung]) &&
                                                better_on(population, rung, member->gains[rung]) < most;
            if (may_go_on && member->trainings[rung + 1] == NULL)
                return propose_on_rung(request, plan, population, member, rung + 1, proposal, err);
        }
    }
    return ST_NONE;
}

/* ---- new networks ---- */

/* What the ladder trained, the first of it that is not among them. */
static enum status propose_of_ladder(const struct search *search, const struct population *population,
                                     struct proposal *proposal, struct error *err)
{
    for (int32_t i = 0; i < search_count(search); i++) {
        const struct search_model *model = search_at(search, i);
        if (evolution_has(model) || branches_has(model) || !search_ended_well(model) ||
            find(search, population, model) != NULL)
            continue;
        enum status st = propose_again(model, proposal, err);
        snprintf(proposal->operations[0], SEARCH_OPERATION_LENGTH, "as model %d", (int)model->id);
        return st;
    }
    return ST_NONE;
}

static double highest_gain(const struct member *member)
{
    const int32_t at = highest(member);
    return at < 0 ? -INFINITY : member->gains[at];
}

/* The best of some that are drawn of the newest; the control while no other is known. */
static const struct member *draw_parent(const struct population *population, struct random_sequence *random)
{
    const int32_t newest = population->count < POPULATION ? population->count : POPULATION;
    const struct member *best = &population->members[0];
    double most = -INFINITY;
    for (int32_t i = 0; i < SAMPLE; i++) {
        const int32_t drawn =
            population->count - newest + (int32_t)random_next_below(random, (uint32_t)newest);
        const double gain = highest_gain(&population->members[drawn]);
        if (gain > most) {
            most = gain;
            best = &population->members[drawn];
        }
    }
    return best;
}

/* The one that so many are better than, on the highest rung of each; NULL: there are not that many. */
static const struct member *find_best(const struct population *population, int32_t better)
{
    for (int32_t i = 0; i < population->count; i++) {
        const double gain = highest_gain(&population->members[i]);
        int32_t above = 0;
        for (int32_t j = 0; j < population->count; j++) {
            const double other = highest_gain(&population->members[j]);
            above += other > gain || (other == gain && j < i);
        }
        if (above == better && !isinf(gain))
            return &population->members[i];
    }
    return NULL;
}

static void add_parent(struct improve_request *improve, const struct member *member)
{
    if (member == NULL)
        return;
    for (int32_t i = 0; i < improve->parent_count; i++)
        if (improve->parents[i] == member->first)
            return;
    improve->parents[improve->parent_count++] = member->first;
}

static double deviation_of(const struct search_means *means, const struct search_model *model, int32_t at)
{
    const double error = error_of(means, model), misses = MISSES[at];
    return sqrt(2.0 * (1.0 - error) / (error * means->validation_images) + misses * misses);
}

/* By the surrogate, from what each network gained on its highest rung. */
static enum status propose_by_surrogate(const struct search *search, const struct search_request *request,
                                        const struct population *population, const struct member *parent,
                                        const struct gain_prior *prior, struct random_sequence *random,
                                        struct proposal *proposal, struct error *err)
{
    const struct member *control = &population->members[0];
    struct improve_seen *seen = calloc((size_t)population->count + 1, sizeof(*seen));
    struct improve_request improve = {
        .control = control->first, .seen = seen, .others = true, .by_epochs = true, .prior = prior};
    if (seen == NULL)
        return error_memory(err, "gains", (size_t)population->count * sizeof(*seen));
    for (int32_t i = 1; i < population->count; i++) {
        const struct member *member = &population->members[i];
        const int32_t at = highest(member);
        if (at < 0)
            continue;
        improve.least = fmax(improve.least, at > 0 ? member->gains[at] : 0.0);
        seen[improve.count++] =
            (struct improve_seen){.model = member->first,
                                  .control = control->first,
                                  .gain = member->gains[at],
                                  .deviation = deviation_of(&request->means, member->trainings[at], at)};
    }
    add_parent(&improve, parent);
    for (int32_t better = 0; better < 3; better++)
        add_parent(&improve, find_best(population, better));
    add_parent(&improve, control);
    enum status st = improve_propose(search, &request->limits, &improve, random, proposal, err);
    free(seen);
    return st;
}

static enum status propose_new(const struct search *search, const struct search_request *request,
                               const struct population *population, const struct gain_prior *prior,
                               struct random_sequence *random, struct proposal *proposal, struct error *err)
{
    int32_t known = 0;
    enum status st = propose_of_ladder(search, population, proposal, err);
    if (st != ST_NONE)
        return st;
    for (int32_t i = 1; i < population->count; i++)
        known += highest(&population->members[i]) >= 0;
    const struct member *parent = draw_parent(population, random);
    if (known < LEAST_SEEN || propose_by_chance(search, random))
        return propose_changed_once(search, parent->first, &request->limits, random, proposal, err);
    return propose_by_surrogate(search, request, population, parent, prior, random, proposal, err);
}

/* ---- the longer trainings ---- */

static enum status propose_long(const struct search *search, const struct search_request *request,
                                const struct evolution_plan *plan, const struct population *population,
                                const struct member *member, int32_t repetition, struct proposal *proposal,
                                struct error *err)
{
    const double epochs =
        plan->long_share * request->means.candidate_epochs / cost_of(request, &member->first->graph);
    enum status st = propose_again(member->first, proposal, err);
    if (st != ST_OK)
        return st;
    set_recipe(request, population, plan->long_share, proposal);
    propose_augment(search, epochs, proposal);
    proposal->recipe.fresh = OWN_WEIGHTS + 1 + repetition;
    if (repetition > 0)
        proposal->recipe.batches_of = -1;
    snprintf(proposal->operations[0], SEARCH_OPERATION_LENGTH, "model %d for %.3g epochs%s",
             (int)member->first->id, epochs, repetition > 0 ? ", once more" : "");
    return ST_OK;
}

/* The best that has not begun its longer training, of those on the highest rungs; the control is one of them. */
static const struct member *find_for_long(const struct population *population)
{
    const struct member *best = NULL;
    int32_t rung = -1, begun = 0;
    for (int32_t i = 0; i < population->count; i++)
        begun += population->members[i].trainings[LONGER] != NULL;
    if (begun == 0 && highest(&population->members[0]) >= 0)
        return &population->members[0];
    for (int32_t i = 0; begun < EVOLUTION_LONG && i < population->count; i++) {
        const struct member *member = &population->members[i];
        const int32_t at = highest(member);
        if (member->trainings[LONGER] != NULL || at < 0)
            continue;
        if (best == NULL || at > rung || (at == rung && member->gains[at] > best->gains[at])) {
            best = member;
            rung = at;
        }
    }
    return best;
}

/* The mean over its longer trainings; NAN: there is none that went well. *count of these. */
static double mean_gain(const struct member *member, int32_t *count)
{
    double sum = 0.0;
    *count = 0;
    for (int32_t at = LONGER; at < TRAININGS; at++)
        if (!isnan(member->gains[at])) {
            sum += member->gains[at];
            ++*count;
        }
    return *count > 0 ? sum / *count : NAN;
}

/* One of the best by their longer training that has repetitions to come. */
static const struct member *find_for_repetition(const struct population *population, int32_t *repetition)
{
    int32_t begun = 0;
    for (int32_t i = 0; i < population->count; i++)
        for (int32_t at = LONGER + 1; at < TRAININGS; at++)
            begun += population->members[i].trainings[at] != NULL;
    if (begun >= EVOLUTION_BEST * EVOLUTION_REPEATS || known_on(population, LONGER) < EVOLUTION_BEST)
        return NULL;
    for (int32_t better = 0; better < EVOLUTION_BEST; better++)
        for (int32_t i = 0; i < population->count; i++) {
            const struct member *member = &population->members[i];
            if (isnan(member->gains[LONGER]) ||
                better_on(population, LONGER, member->gains[LONGER]) != better)
                continue;
            for (*repetition = 1; *repetition <= EVOLUTION_REPEATS; ++*repetition)
                if (member->trainings[LONGER + *repetition] == NULL)
                    return member;
        }
    return NULL;
}

static enum status propose_next(const struct search *search, const struct search_request *request,
                                const struct evolution_plan *plan, const struct population *population,
                                const struct gain_prior *prior, struct random_sequence *random,
                                struct proposal *proposal, struct error *err)
{
    int32_t repetition;
    const struct member *member;
    if (population->spent < plan->share) {
        enum status st = propose_promotion(request, plan, population, proposal, err);
        if (st != ST_NONE)
            return st;
        st = propose_new(search, request, population, prior, random, proposal, err);
        if (st == ST_OK)
            set_recipe(request, population, share_of(request, &proposal->graph, plan->epochs[0]), proposal);
        return st;
    }
    member = find_for_long(population);
    if (member != NULL)
        return propose_long(search, request, plan, population, member, 0, proposal, err);
    member = find_for_repetition(population, &repetition);
    if (member != NULL)
        return propose_long(search, request, plan, population, member, repetition, proposal, err);
    return ST_NONE;
}

static enum status propose_control(const struct search_request *request, const struct evolution_plan *plan,
                                   const struct population *population, const struct proposal *chosen,
                                   struct proposal *proposal, struct error *err)
{
    const struct search_model as_it_is = {
        .graph = chosen->graph, .start = chosen->start, .recipe = chosen->recipe};
    enum status st = propose_again(&as_it_is, proposal, err);
    proposal->recipe.hyperparameters.translate = proposal->recipe.hyperparameters.cutout = NAN;
    snprintf(proposal->operations[0], SEARCH_OPERATION_LENGTH, "control of the evolution");
    if (st == ST_OK)
        set_recipe(request, population, share_of(request, &proposal->graph, plan->epochs[0]), proposal);
    return st;
}

enum status evolution_propose(const struct search *search, const struct search_request *request,
                              const struct evolution_plan *plan, const struct gain_prior *prior,
                              const struct proposal *chosen, struct random_sequence *random,
                              struct proposal *proposal, struct error *err)
{
    struct population population;
    if (plan->rungs == 0)
        return ST_NONE;
    enum status st = look(search, request, &population, err);
    if (st == ST_OK && population.count == 0)
        st = chosen != NULL ? propose_control(request, plan, &population, chosen, proposal, err) : ST_NONE;
    else if (st == ST_OK)
        st = propose_next(search, request, plan, &population, prior, random, proposal, err);
    free(population.members);
    return st;
}

/* ---- the end ---- */

/* By the mean, of those that were trained most often; of none was, the best on its highest rung. */
static const struct member *find_winner(const struct population *population)
{
    const struct member *winner = NULL;
    int32_t most = 0;
    double best = -INFINITY;
    for (int32_t i = 0; i < population->count; i++) {
        int32_t count;
        const double gain = mean_gain(&population->members[i], &count);
        if (count > most || (count == most && count > 0 && gain > best)) {
            winner = &population->members[i];
            most = count;
            best = gain;
        }
    }
    return winner != NULL ? winner : find_best(population, 0);
}

enum status evolution_propose_end(const struct search *search, const struct search_request *request,
                                  struct proposal *proposal, struct error *err)
{
    struct population population;
    const struct member *winner = NULL;
    enum status st = look(search, request, &population, err);
    if (st == ST_OK && population.count > 0)
        winner = find_winner(&population);
    if (st == ST_OK && winner == NULL)
        st = ST_NONE;
    if (st == ST_OK)
        st = propose_again(winner->first, proposal, err);
    if (st == ST_OK) {
        int32_t count;
        const double gain = mean_gain(winner, &count), epochs = rungs_final_epochs(request, winner->first);
        proposal->recipe.fresh = OWN_WEIGHTS;
        propose_augment(search, epochs, proposal);
        snprintf(proposal->operations[0], SEARCH_OPERATION_LENGTH,
                 "model %d of %d networks, %+.3f over the control in %d, %.3g epochs", (int)winner->first->id,
                 (int)population.count, count > 0 ? gain : highest_gain(winner), (int)count, epochs);
    }
    free(population.members);
    return st;
}
