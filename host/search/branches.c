#include "host/search/branches.h"

#include "host/net/cost.h"
#include "host/search/improve.h"
#include "host/search/ladder_plan.h"
#include "host/search/rungs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Bounds of the epochs that a stage pays for. */
static const double LEAST_EPOCHS = 20.0, LONG = 60.0, MANY = 200.0;

/* Shares of the stage: of the root; of all rounds, by the epochs; what the ladder and the root leave of the search's
 * part is the most. */
static const double ROOT_SHARE = 0.1, SHORT_SHARE = 0.15, LONG_SHARE = 0.3;

/* Of a control's or a sibling's training, before it cools down; and of the root's, behind its warm-up. */
static const double HOLD = 0.75, ROOT_HOLD = 0.5;

/* Every third sibling has another hyperparameter, as far as the job lets it (hyperparameters_raised), the others have a
 * morph. No less label smoothing: without it the validation loss is lower by what it is. */
enum { HYPERPARAMETER_EVERY = 3 };

/* ---- the plan ---- */

static int32_t rounds_of(double epochs)
{
    return epochs < LONG ? 2 : epochs < MANY ? 4 : 6;
}

struct branches_plan branches_plan_make(const struct search_setup *setup, const struct search_means *means,
                                        double epochs)
{
    struct branches_plan plan = {.siblings = setup->job->branches, .root = ROOT_SHARE};
    const double all =
        fmin(epochs < LONG ? SHORT_SHARE : LONG_SHARE, means->search - LADDER_WHOLE_SHARE - ROOT_SHARE);
    const double length = 1.0 + ceil((double)plan.siblings / means->workers); /* of a round, in trainings */
    const double steps = epochs * means->candidate_epochs / means->epochs * means->train_images /
                         means->candidate_batch; /* of a training that has all of the stage */
    if (plan.siblings == 0 || epochs < LEAST_EPOCHS || means->models < INT32_MAX)
        return plan;
    for (plan.rounds = rounds_of(epochs); plan.rounds > 0; plan.rounds--) {
        plan.share = all / (plan.rounds * length) - means->beside;
        if (plan.share * steps >= LADDER_LEAST_STEPS)
            break;
    }
    return plan;
}

/* ---- where they stand ---- */

bool branches_has(const struct search_model *model)
{
    return !isnan(model->recipe.hyperparameters.hold);
}

bool branches_is_sibling(const struct branches *branches, const struct search_model *model)
{
    return branches->control != NULL && model->recipe.compared_with == branches->control->id;
}

static void begin_round(const struct search *search, const struct search_model *control,
                        struct branches *branches)
{
    if (branches->control != NULL) {
        const bool refused = control->parent == branches->control->id;
        branches->refused = refused ? branches->refused + 1 : 0;
        branches->accepted += !refused;
    }
    branches->control = control;
    branches->trunk = search_find(search, control->parent);
    branches->epochs += branches->trunk->epochs * (branches->trunk == branches->root ? 1.0 : HOLD);
    branches->rounds++;
    branches->siblings = 0;
}

void branches_look(const struct search *search, struct branches *branches)
{
    *branches = (struct branches){0};
    for (int32_t i = 0; i < search_count(search); i++) {
        const struct search_model *model = search_at(search, i);
        if (!branches_has(model))
            continue;
        if (branches->root == NULL)
            branches->root = branches->trunk = model;
        else if (model->recipe.compared_with < 0)
            begin_round(search, model, branches);
        branches->siblings += branches_is_sibling(branches, model);
        branches->waits = branches->waits || model->is_pending;
    }
}

/* ---- what is expected ---- */

/* How much longer an image's training takes of one than of the other. */
static double slowness(const struct search_request *request, const struct search_model *model,
                       const struct search_model *other)
{
    const struct cost_rates *rates = &request->limits.rates;
    return search_epoch_cost(&request->means, cost_seconds(&model->graph, rates)) /
           search_epoch_cost(&request->means, cost_seconds(&other->graph, rates));
}

enum status branches_predict_growth(const struct search *search, const struct search_request *request,
                                    const struct branches *branches, const struct search_model *control,
                                    const struct search_model *sibling, double *growth, struct error *err)
{
    const struct search_means *means = &request->means;
    const double larger =
        cost_of_graph(&sibling->graph).train_flops / cost_of_graph(&control->graph).train_flops;
    const double longer = slowness(request, sibling, control), now = branches->epochs + control->epochs;
    struct search_model of_family = *control;
    const struct ladder_seen nothing = {.balance = ladder_balance(means->train_images),
                                        .validation_images = means->validation_images};
    struct ladder_run wanted[4];
    struct ladder_guess guesses[4];
    of_family.start = branches->root->start;
    enum status st = rungs_run(search, request, &of_family, &wanted[0], err);
    if (st != ST_OK)
        return st;
    for (int i = 3; i >= 0; i--) {
        wanted[i] = wanted[0];
        wanted[i].epochs = now + (i >= 2 ? rungs_final_epochs(request, control) : 0.0);
        if (i % 2 == 1) {
            wanted[i].size *= larger;
            wanted[i].epochs /= longer;
        }
    }
    st = ladder_predict(&nothing, wanted, 4, guesses, err);
    if (st == ST_OK)
        *growth = (guesses[2].mean - guesses[3].mean) - (guesses[0].mean - guesses[1].mean);
    return st;
}

/* ---- proposals ---- */

void branches_make_root(const struct branches_plan *plan, const struct search_means *means,
                        struct proposal *proposal)
{
    proposal_set_share(means, plan->root, proposal);
    proposal->recipe.hyperparameters.warmup = 1.0 - ROOT_HOLD;
    proposal->recipe.hyperparameters.hold = ROOT_HOLD;
    proposal->prediction = prediction_none();
}

/* On from where its parent held, on the batches of the root. */
static void go_on(const struct branches *branches, double hold, struct proposal *proposal)
{
    proposal->recipe.goes_on = true;
    proposal->recipe.batches_of = branches->root->id;
    proposal->recipe.hyperparameters.warmup = 0.0;
    proposal->recipe.hyperparameters.hold = hold;
}

enum status branches_propose_control(const struct branches *branches, const struct search_model *trunk,
                                     const struct branches_plan *plan, const struct search_means *means,
                                     struct proposal *proposal, struct error *err)
{
    enum status st = propose_further(trunk, proposal, err);
    proposal->recipe.hyperparameters = trunk->recipe.hyperparameters;
    go_on(branches, HOLD, proposal);
    proposal_set_share(means, plan->share, proposal);
    snprintf(proposal->operations[0], SEARCH_OPERATION_LENGTH, "control of round %d", branches->rounds + 1);
    return st;
}

/* ST_NONE where the job leaves nothing to try. */
static enum status propose_hyperparameter(const struct search *search, const struct branches *branches,
                                          struct proposal *proposal, struct error *err)
{
    struct hyperparameter_change changes[HYPERPARAMETERS_RAISED_MOST];
    const int32_t count = hyperparameters_raised(&search_setup(search)->hyperparameters,
                                                 &branches->trunk->recipe.hyperparameters, changes);
    if (count == 0)
        return error_set(err, ST_NONE, "no hyperparameter may be another");
    const struct hyperparameter_change *change =
        &changes[(branches->rounds - 1 + branches->siblings / HYPERPARAMETER_EVERY) % count];
    enum status st = propose_further(branches->trunk, proposal, err);
    proposal->recipe.hyperparameters = change->set;
    snprintf(proposal->operations[0], SEARCH_OPERATION_LENGTH, "%s", change->text);
    return st;
}

/* What siblings of all rounds gained, as a share of their control's loss, which is about the difference of the
 * logarithms, and will have gained at the end. */
static enum status collect_gains(const struct search *search, const struct search_request *request,
                                 const struct branches *branches, struct improve_seen *seen, int32_t *count,
                                 struct error *err)
{
    enum status st = ST_OK;
    *count = 0;
    for (int32_t i = 0; st == ST_OK && i < search_count(search); i++) {
        const struct search_model *model = search_at(search, i);
        const struct search_model *control = search_find(search, model->recipe.compared_with);
        double growth = 0.0;
        if (control == NULL || isnan(model->gain) || !(control->loss > 0.0))
            continue;
        st = branches_predict_growth(search, request, branches, control, model, &growth, err);
        seen[(*count)++] = (struct improve_seen){.model = model,
                                                 .control = control,
                                                 .gain = model->gain / control->loss + growth,
                                                 .deviation = model->gain_deviation / control->loss};
    }
    return st;
}

/* The morph that most is expected of, or one by chance while nobody knows more. */
static enum status propose_expected(const struct search *search, const struct branches *branches,
                                    const struct search_request *request, const struct gain_prior *prior,
                                    struct random_sequence *random, struct proposal *proposal,
                                    struct error *err)
{
    struct improve_seen *seen = calloc((size_t)search_count(search), sizeof(*seen));
    struct improve_request improve = {.control = branches->control,
                                      .seen = seen,
                                      .parents = {branches->trunk},
                                      .parent_count = 1,
                                      .prior = prior};
    if (seen == NULL)
        return error_memory(err, "gains", (size_t)search_count(search) * sizeof(*seen));
    enum status st = collect_gains(search, request, branches, seen, &improve.count, err);
    if (st == ST_OK && improve.count < BRANCHES_SEEN && !prior->read)
        st = propose_changed_once(search, branches->trunk, &request->limits, random, proposal, err);
    else if (st == ST_OK)
        st = improve_propose(search, &request->limits, &improve, random, proposal, err);
    free(seen);
    return st;
}

enum status branches_propose_sibling(const struct search *search, const struct branches *branches,
                                     const struct search_request *request, const struct gain_prior *prior,
                                     struct random_sequence *random, struct proposal *proposal,
                                     struct error *err)
{
    const bool morphs = branches->siblings % HYPERPARAMETER_EVERY != HYPERPARAMETER_EVERY - 1;
    enum status st = morphs ? ST_NONE : propose_hyperparameter(search, branches, proposal, err);
    if (st == ST_NONE)
        st = propose_expected(search, branches, request, prior, random, proposal, err);
    if (st == ST_OK) {
        go_on(branches, HOLD, proposal);
        proposal->prediction = prediction_none(); /* of its score: what it was chosen by is another thing */
        proposal->recipe.budget = branches->control->recipe.budget;
        proposal->recipe.compared_with = branches->control->id;
    }
    return st;
}

enum status branches_propose_end(const struct branches *branches, const struct search_model *trunk,
                                 struct proposal *proposal, struct error *err)
{
    enum status st = propose_further(trunk, proposal, err);
    proposal->recipe.hyperparameters = trunk->recipe.hyperparameters;
    go_on(branches, 0.0, proposal);
    return st;
}
