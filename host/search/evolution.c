#include "host/search/evolution.h"

#include "host/net/cost.h"
#include "host/search/branches.h"
#include "host/search/improve.h"
#include "host/search/population.h"
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
/* What is shorter tells nothing: networks are near chance then. */
static const double LEAST_EPOCHS = 0.25;
/* Of the rungs' time where nothing is trained longer: the most that one of the control's trainings takes. */
static const double OF_RUNGS = 1.0 / 12.0;

/* What one that fails is taken to gain: its error would be half as large again as the control's. */
static const double FAILED_GAIN = -0.4;

/* The newest of which a parent is drawn, and how many are drawn for the best of them to be it: as in Real et al. 2019,
 * where 100 and 25 were for twenty thousand networks, fewer. */
enum { NEWEST = 32, SAMPLE = 8 };
/* Gains that have to be known before the surrogate is asked; until then chance changes the networks there are. */
enum { LEAST_SEEN = 5 };

/* ---- the plan ---- */

bool evolution_is_for(const struct ladder_plan *ladder)
{
    return ladder->epochs > EVOLUTION_LEAST_EPOCHS || ladder->too_small;
}

struct evolution_plan evolution_plan_make(const struct search_setup *setup, const struct search_means *means,
                                          const struct ladder_plan *ladder, double cost)
{
    struct evolution_plan plan = {.longer = ladder->epochs > EVOLUTION_LEAST_EPOCHS};
    const double part = plan.longer ? LONG_PART * means->search : 0.0,
                 turns = ceil((double)EVOLUTION_LONG / means->workers) +
                         ceil((double)(EVOLUTION_BEST * EVOLUTION_REPEATS) / means->workers);
    const double all = means->candidate_epochs / search_epoch_cost(means, cost); /* of a device */
    const double least =
        fmax(LEAST_EPOCHS, LADDER_LEAST_STEPS * means->candidate_batch / means->train_images);
    plan.share = means->search - LADDER_WHOLE_SHARE - part;
    plan.long_share = plan.longer ? part / turns - means->beside : 0.0;
    const double most = plan.longer ? RUNG_OF_LONG * plan.long_share : OF_RUNGS * plan.share;
    if (means->models < INT32_MAX || setup->job->branches > 0 || plan.share <= 0.0 || setup->files != NULL)
        return plan;
    double rung = plan.share * means->workers * all / (NETWORKS * USUAL_RUNGS);
    rung = fmax(fmin(rung, FIRST_EPOCHS), least);
    for (; plan.rungs < EVOLUTION_MOST_RUNGS && rung <= most * all; rung *= ETA)
        plan.epochs[plan.rungs++] = rung;
    return plan;
}

/* ---- which are its models ---- */

bool evolution_has(const struct search_model *model)
{
    return model->recipe.fresh >= POPULATION_WEIGHTS;
}

const struct search_model *evolution_control(const struct search *search)
{
    for (int32_t i = 0; i < search_count(search); i++)
        if (evolution_has(search_at(search, i)))
            return search_at(search, i);
    return NULL;
}

/* ---- proposals ---- */

/* Of an epoch. */
static double cost_of(const struct search_request *request, const struct graph *graph)
{
    return search_epoch_cost(&request->means, cost_seconds(graph, &request->limits.rates));
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
    proposal->recipe.fresh = POPULATION_WEIGHTS;
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

static bool there_is_time(const struct search_request *request, const struct evolution_plan *plan,
                          const struct population *population, const struct member *member, int32_t rung)
{
    const double share = share_of(request, &member->first->graph, plan->epochs[rung]);
    return population->spent + share / request->means.workers <= plan->share;
}

/* The best third of a rung, and no more than that, for later ones are the better ones; from the highest rung down, as
 * far as there is time. The control always. */
static enum status propose_promotion(const struct search_request *request, const struct evolution_plan *plan,
                                     const struct population *population, struct proposal *proposal,
                                     struct error *err)
{
    for (int32_t rung = plan->rungs - 2; rung >= 0; rung--) {
        const int32_t most = population_known(population, rung) / ETA;
        const bool control_has = population->members[0].trainings[rung + 1] != NULL;
        const bool room = population_begun(population, rung + 1) - control_has < most;
        for (int32_t i = 0; i < population->count; i++) {
            const struct member *member = &population->members[i];
            const bool may_go_on = i == 0
                                       ? member_went_well(member, rung)
                                       : room && !isnan(member->gains[rung]) &&
                                             population_better(population, rung, member->gains[rung]) < most;
            if (may_go_on && member->trainings[rung + 1] == NULL &&
                there_is_time(request, plan, population, member, rung + 1))
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
            population_find(search, population, model) != NULL)
            continue;
        enum status st = propose_again(model, proposal, err);
        snprintf(proposal->operations[0], SEARCH_OPERATION_LENGTH, "as model %d", (int)model->id);
        return st;
    }
    return ST_NONE;
}

/* The best of some that are drawn of the newest; the control while no other is known. */
static const struct member *draw_parent(const struct population *population, struct random_sequence *random)
{
    const int32_t newest = population->count < NEWEST ? population->count : NEWEST;
    const struct member *best = &population->members[0];
    double most = -INFINITY;
    for (int32_t i = 0; i < SAMPLE; i++) {
        const int32_t drawn =
            population->count - newest + (int32_t)random_next_below(random, (uint32_t)newest);
        const double gain = member_gain(&population->members[drawn]);
        if (gain > most) {
            most = gain;
            best = &population->members[drawn];
        }
    }
    return best;
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

/* What each network gained on its highest rung, for the surrogate; `seen` has room for all. */
static void list_seen(const struct search_means *means, const struct population *population,
                      struct improve_seen *seen, struct improve_request *improve)
{
    const struct member *control = &population->members[0];
    improve->control = control->first;
    improve->seen = seen;
    for (int32_t i = 1; i < population->count; i++) {
        const struct member *member = &population->members[i];
        const int32_t at = member_highest(member);
        struct improve_seen one = {.model = member->first,
                                   .control = control->first,
                                   .gain = FAILED_GAIN,
                                   .deviation = -0.5 * FAILED_GAIN};
        if (at >= 0) {
            one.gain = member->gains[at];
            one.deviation = member_deviation(means, member, at);
            improve->least = fmax(improve->least, at > 0 ? one.gain : 0.0);
        } else if (!member_failed(member)) {
            continue;
        }
        seen[improve->count++] = one;
    }
}

/* By the surrogate: a change of the parent that `improve` has, of one of the best three or of the control. */
static enum status propose_by_surrogate(const struct search *search, const struct search_request *request,
                                        const struct population *population, struct improve_request *improve,
                                        struct random_sequence *random, struct proposal *proposal,
                                        struct error *err)
{
    struct improve_seen *seen = calloc((size_t)population->count + 1, sizeof(*seen));
    if (seen == NULL)
        return error_memory(err, "gains", (size_t)population->count * sizeof(*seen));
    list_seen(&request->means, population, seen, improve);
    for (int32_t better = 0; better < 3; better++)
        add_parent(improve, population_best(population, better));
    add_parent(improve, &population->members[0]);
    enum status st = improve_propose(search, &request->limits, improve, random, proposal, err);
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
        known += member_highest(&population->members[i]) >= 0;
    const struct member *parent = draw_parent(population, random);
    if (known < LEAST_SEEN || propose_by_chance(search, random))
        return propose_changed_once(search, parent->first, &request->limits, random, proposal, err);
    struct improve_request improve = {.others = true, .by_epochs = true, .prior = prior};
    add_parent(&improve, parent);
    return propose_by_surrogate(search, request, population, &improve, random, proposal, err);
}

/* ---- the longer trainings ---- */

/* One of them: repetition 0 is the first of a member. */
struct longer {
    const struct member *member; /* NULL: there is none to be made */
    int32_t repetition;
    double share; /* of the stage, that it takes of its device */
};

static enum status propose_long(const struct search *search, const struct search_request *request,
                                const struct population *population, const struct longer *longer,
                                struct proposal *proposal, struct error *err)
{
    const struct search_model *first = longer->member->first;
    const double epochs = longer->share * request->means.candidate_epochs / cost_of(request, &first->graph);
    enum status st = propose_again(first, proposal, err);
    if (st != ST_OK)
        return st;
    set_recipe(request, population, longer->share, proposal);
    propose_augment(search, epochs, proposal);
    proposal->recipe.fresh = POPULATION_WEIGHTS + 1 + longer->repetition;
    if (longer->repetition > 0)
        proposal->recipe.batches_of = -1;
    snprintf(proposal->operations[0], SEARCH_OPERATION_LENGTH, "model %d for %.3g epochs%s", (int)first->id,
             epochs, longer->repetition > 0 ? ", once more" : "");
    return ST_OK;
}

/* The best that has not begun its longer training, of those on the highest rungs; the control is one of them. */
static const struct member *find_for_long(const struct evolution_plan *plan,
                                          const struct population *population)
{
    const struct member *best = NULL;
    const int32_t begun = population_begun(population, POPULATION_LONGER);
    int32_t rung = -1;
    if (!plan->longer)
        return NULL;
    if (begun == 0 && member_highest(&population->members[0]) >= 0)
        return &population->members[0];
    for (int32_t i = 0; begun < EVOLUTION_LONG && i < population->count; i++) {
        const struct member *member = &population->members[i];
        const int32_t at = member_highest(member);
        if (member->trainings[POPULATION_LONGER] != NULL || at < 0)
            continue;
        if (best == NULL || at > rung || (at == rung && member->gains[at] > best->gains[at])) {
            best = member;
            rung = at;
        }
    }
    return best;
}

/* One of the best by their longer training that has repetitions to come. */
static const struct member *find_for_repetition(const struct evolution_plan *plan,
                                                const struct population *population, int32_t *repetition)
{
    int32_t begun = 0;
    for (int32_t at = POPULATION_LONGER + 1; at < POPULATION_TRAININGS; at++)
        begun += population_begun(population, at);
    if (!plan->longer || begun >= EVOLUTION_BEST * EVOLUTION_REPEATS ||
        population_known(population, POPULATION_LONGER) < EVOLUTION_BEST)
        return NULL;
    for (int32_t better = 0; better < EVOLUTION_BEST; better++)
        for (int32_t i = 0; i < population->count; i++) {
            const struct member *member = &population->members[i];
            if (isnan(member->gains[POPULATION_LONGER]) ||
                population_better(population, POPULATION_LONGER, member->gains[POPULATION_LONGER]) != better)
                continue;
            for (*repetition = 1; *repetition <= EVOLUTION_REPEATS; ++*repetition)
                if (member->trainings[POPULATION_LONGER + *repetition] == NULL)
                    return member;
        }
    return NULL;
}

static enum status propose_next(const struct search *search, const struct search_request *request,
                                const struct evolution_task *task, const struct population *population,
                                struct random_sequence *random, struct proposal *proposal, struct error *err)
{
    const struct evolution_plan *plan = &task->plan;
    struct longer longer = {.share = plan->long_share};
    if (population->spent < plan->share) {
        enum status st = propose_promotion(request, plan, population, proposal, err);
        if (st != ST_NONE)
            return st;
        st = propose_new(search, request, population, task->prior, random, proposal, err);
        if (st == ST_OK)
            set_recipe(request, population, share_of(request, &proposal->graph, plan->epochs[0]), proposal);
        return st;
    }
    longer.member = find_for_long(plan, population);
    if (longer.member == NULL)
        longer.member = find_for_repetition(plan, population, &longer.repetition);
    return longer.member != NULL ? propose_long(search, request, population, &longer, proposal, err)
                                 : ST_NONE;
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
                              const struct evolution_task *task, struct random_sequence *random,
                              struct proposal *proposal, struct error *err)
{
    const struct proposal *chosen = task->chosen;
    struct population population;
    if (task->plan.rungs == 0)
        return ST_NONE;
    enum status st = population_look(search, request, &population, err);
    if (st == ST_OK && population.count == 0)
        st = chosen != NULL ? propose_control(request, &task->plan, &population, chosen, proposal, err)
                            : ST_NONE;
    else if (st == ST_OK)
        st = propose_next(search, request, task, &population, random, proposal, err);
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
        const double gain = member_mean(&population->members[i], &count);
        if (count > most || (count == most && count > 0 && gain > best)) {
            winner = &population->members[i];
            most = count;
            best = gain;
        }
    }
    return winner != NULL ? winner : population_best(population, 0);
}

enum status evolution_propose_end(const struct search *search, const struct search_request *request,
                                  struct proposal *proposal, struct error *err)
{
    struct population population;
    const struct member *winner = NULL;
    enum status st = population_look(search, request, &population, err);
    if (st == ST_OK && population.count > 0)
        winner = find_winner(&population);
    if (st == ST_OK && winner == NULL)
        st = ST_NONE;
    if (st == ST_OK)
        st = propose_again(winner->first, proposal, err);
    if (st == ST_OK) {
        int32_t count;
        const double gain = member_mean(winner, &count), epochs = rungs_final_epochs(request, winner->first);
        proposal->recipe.fresh = POPULATION_WEIGHTS;
        propose_augment(search, epochs, proposal);
        snprintf(proposal->operations[0], SEARCH_OPERATION_LENGTH,
                 "model %d of %d networks, %+.3f over the control in %d, %.3g epochs", (int)winner->first->id,
                 (int)population.count, count > 0 ? gain : member_gain(winner), (int)count, epochs);
    }
    free(population.members);
    return st;
}
