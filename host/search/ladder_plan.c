#include "host/search/ladder_plan.h"

#include "host/net/cost.h"
#include "host/net/start.h"
#include "host/search/hyperparameters.h"
#include "host/search/ladder_predict.h"

#include <math.h>
#include <string.h>

/* Bounds of E; see the header. */
static const double SHORT = 15.0, LONG = 60.0, MANY = 200.0, MOST = 1000.0;

/* Epochs that a network should get in all. More than the most where the best size gets many. */
static const double LEAST_EPOCHS = 5.0, MOST_EPOCHS = 60.0, MOST_OVER_BEST = 3.0;

/* Of the balance (ladder_predict.h), where there is no ladder. Of 10,000 images of CIFAR-10 at 16 x 16 pixels, whose
 * balance is 34 epochs, a budget of 2 epochs of air is spent best on 32 channels and 14 epochs: 0.777, against 0.772
 * for 24 channels and 25 epochs, 0.762 for 40 and 9, 0.743 for 48 and 6. */
static const double LEAST_OF_BALANCE = 0.4;

/* Shares of the stage that all rungs may take without what trainings take beside their steps, and one training of the
 * first; and what all may of the search's part. */
static const double STEPS_SHARE = 0.1, FIRST_RUNG = 1.0 / 64.0, OF_THE_SEARCH = 0.9;

/* Of a network that is not even tested in the time that is left. */
static const double LEAST_FINAL_EPOCHS = 1e-3;

/* Times the epochs that suit its size, for which a larger network would be much better. */
static const double TOO_MANY = 4.0;

/* A size that none has. */
static const double LARGEST = 1e9;

enum { WIDTHS = 64, LAST_RUNG = 2 };

double ladder_epochs(const struct search_means *means, double cost, double left)
{
    return fmax(left * means->epochs / search_epoch_cost(means, cost) - means->test, LEAST_FINAL_EPOCHS);
}

/* ---- networks ---- */

enum status ladder_usual(const struct search_setup *setup, const struct search_limits *limits, int32_t start,
                         struct ladder_usual *usual, struct error *err)
{
    struct graph graph = {0};
    enum status st = search_make_start(setup, start, setup->job->width, &graph, err);
    if (st == ST_OK)
        *usual = (struct ladder_usual){.work = cost_of_graph(&graph).train_flops,
                                       .cost = cost_seconds(&graph, &limits->rates)};
    graph_free(&graph);
    return st;
}

double ladder_size(const struct ladder_usual *usual, const struct graph *graph)
{
    return cost_of_graph(graph).train_flops / usual->work;
}

/* A start in all widths that come into question, the narrowest first; a file's in its own. Where the clock counts, the
 * last gets fewer than the least epochs, if one does. */
struct family {
    int32_t count;
    struct ladder_network networks[WIDTHS];
};

static enum status list_family(const struct search_setup *setup, const struct search_request *request,
                               int32_t start, struct family *family, struct error *err)
{
    const int32_t fixed = setup->job->width;
    const bool is_one = fixed > 0 || search_start_is_file(setup, start);
    struct ladder_usual usual;
    enum status st = ladder_usual(setup, &request->limits, start, &usual, err);
    family->count = 0;
    for (int32_t i = 0; st == ST_OK && i < (is_one ? 1 : WIDTHS); i++) {
        struct ladder_network *network = &family->networks[family->count];
        struct graph graph = {0};
        *network =
            (struct ladder_network){.start = start, .width = is_one ? fixed : (i + 1) * START_WIDTH_STEP};
        st = search_make_start(setup, start, network->width, &graph, err);
        const bool admitted = st == ST_OK && search_admits(&request->limits, &graph);
        if (admitted) {
            const double cost = cost_seconds(&graph, &request->limits.rates);
            network->size = ladder_size(&usual, &graph);
            network->epochs = ladder_epochs(&request->means, cost, 1.0);
            family->count++;
        }
        graph_free(&graph);
        if (!admitted || (request->means.by_cost && network->epochs < LEAST_EPOCHS))
            break;
    }
    return st;
}

/* The one that the prior finds best for the whole stage; the family has one. */
static const struct ladder_network *best_by_prior(const struct family *family, double balance)
{
    const struct ladder_network *best = &family->networks[0];
    for (int32_t i = 1; i < family->count; i++) {
        const struct ladder_network *network = &family->networks[i];
        if (ladder_prior(network->size, network->epochs, balance) <
            ladder_prior(best->size, best->epochs, balance))
            best = network;
    }
    return best;
}

/* How far a size is from what is wanted. */
static double distance(double size, double wanted)
{
    return fabs(log(size / wanted));
}

/* Puts it among the `count` nearest that there are, the nearest first. */
static void insert(struct ladder_network *nearest, int32_t *found, int32_t count, double wanted,
                   const struct ladder_network *network)
{
    int32_t at = *found;
    while (at > 0 && distance(network->size, wanted) < distance(nearest[at - 1].size, wanted)) {
        if (at < count)
            nearest[at] = nearest[at - 1];
        at--;
    }
    if (at < count) {
        nearest[at] = *network;
        *found += *found < count;
    }
}

/* Which of a family are wanted: the `count` whose sizes are nearest, of those with so many epochs. */
struct choice {
    double size, least, most;
    int32_t count;
};

/* The one whose epochs are nearest to those wanted when none has them: the last with more, or the first with fewer. */
static void choose_widths(const struct family *family, const struct choice *choice, struct ladder_plan *plan)
{
    struct ladder_network *chosen = &plan->networks[plan->count];
    const struct ladder_network *outside = NULL;
    int32_t found = 0;
    for (int32_t i = 0; i < family->count; i++) {
        const struct ladder_network *network = &family->networks[i];
        if (network->epochs >= choice->least && network->epochs <= choice->most)
            insert(chosen, &found, choice->count, choice->size, network);
        else if (outside == NULL || network->epochs > choice->most)
            outside = network;
    }
    if (found == 0 && outside != NULL)
        insert(chosen, &found, choice->count, choice->size, outside);
    plan->count += found;
}

/* About the size that the prior finds best. Where size costs nothing, of the steps' count, that would be the largest:
 * there it is the size that suits so many epochs. */
static enum status choose_networks(const struct search_setup *setup, const struct search_request *request,
                                   int32_t count, struct ladder_plan *plan, struct error *err)
{
    const int32_t starts = setup->job->starts.count;
    const double balance = ladder_balance(request->means.train_images);
    enum status st = ST_OK;
    plan->too_small = request->means.by_cost;
    for (int32_t start = 0; st == ST_OK && start < starts && start < LADDER_MOST_NETWORKS; start++) {
        struct family family;
        struct choice choice = {
            .least = LEAST_EPOCHS, .most = INFINITY, .count = count / starts + (start < count % starts)};
        st = list_family(setup, request, start, &family, err);
        if (st != ST_OK || family.count == 0)
            continue;
        const struct ladder_network *best = best_by_prior(&family, balance);
        const struct ladder_network *largest = &family.networks[family.count - 1];
        plan->too_small = plan->too_small && largest->epochs > TOO_MANY * balance * largest->size;
        choice.size = best->size;
        if (request->means.by_cost)
            choice.most = fmax(MOST_EPOCHS, MOST_OVER_BEST * best->epochs);
        else
            choice.size = fmax(ladder_best_size(best->epochs, balance), 1.0);
        choose_widths(&family, &choice, plan);
    }
    return st;
}

/* The widest of the first start within the job's limits that gets epochs enough: five, as many as the best size, and a
 * part of those for which the usual network has the right size, for the law of sizes flatters few epochs. */
static enum status choose_smallest(const struct search_setup *setup, const struct search_request *request,
                                   struct ladder_plan *plan, struct error *err)
{
    const double balance = ladder_balance(request->means.train_images);
    struct choice choice = {.size = LARGEST, .most = INFINITY, .count = 1};
    struct family family = {0};
    enum status st = ST_OK;
    for (int32_t start = 0; st == ST_OK && family.count == 0 && start < setup->job->starts.count; start++)
        st = list_family(setup, request, start, &family, err);
    if (st != ST_OK || family.count == 0)
        return st;
    choice.least = fmax(best_by_prior(&family, balance)->epochs, LEAST_OF_BALANCE * balance);
    choice.least = fmax(choice.least, LEAST_EPOCHS);
    choose_widths(&family, &choice, plan);
    return st;
}

/* ---- rungs ---- */

static int32_t half(int32_t count)
{
    return (count + 1) / 2;
}

/* What the whole ladder takes of its devices, with so many trainings side by side. */
struct ladder_time {
    int32_t trainings;
    double turns;  /* one behind the other */
    double length; /* of these, in trainings of the first rung */
};

static void add_rung(int32_t trainings, double length, int32_t workers, struct ladder_time *time)
{
    const double turns = ceil((double)trainings / workers);
    time->trainings += trainings;
    time->turns += turns;
    time->length += length * turns;
}

static struct ladder_time time_of(const struct search_setup *setup, struct ladder_plan *plan, int32_t workers)
{
    const struct hyperparameters usual = recipe_usual().hyperparameters;
    const double length = plan->rungs > 1 ? 2.0 : 1.0;
    struct hyperparameters sets[HYPERPARAMETERS_MOST];
    struct ladder_time time = {0};
    plan->trials = 0;
    add_rung(plan->count, 1.0, workers, &time);
    if (plan->rungs > 1)
        add_rung(half(plan->count), 2.0, workers, &time);
    for (int32_t round = 0; round < plan->rounds; round++) {
        const int32_t trials =
            hyperparameters_round(&setup->hyperparameters, &usual, round, plan->open, sets);
        add_rung(trials, length, workers, &time);
        plan->trials += trials;
    }
    if (plan->rungs > LAST_RUNG)
        add_rung(2, 4.0, workers, &time);
    return time;
}

/* The share that a training of the first rung needs, so that each network gets steps enough. */
static double least_share(const struct search_means *means, const struct ladder_plan *plan)
{
    double epochs = INFINITY;
    for (int32_t i = 0; i < plan->count; i++)
        epochs = fmin(epochs, plan->networks[i].epochs);
    const double images = LADDER_LEAST_STEPS * means->candidate_batch + means->validation;
    const double of_all = (epochs + means->test) * means->candidate_epochs / means->epochs;
    return images / (of_all * means->train_images);
}

/* How long trainings of the first rung are: as usual, or longer where that is too short and there is time. Whether
 * that is enough. */
static bool choose_share(const struct search_means *means, const struct ladder_time *time,
                         struct ladder_plan *plan)
{
    const double least = least_share(means, plan), part = OF_THE_SEARCH * means->search;
    if (means->models < INT32_MAX) { /* the last rung's get the usual training */
        plan->share = means->candidate / (1 << (plan->rungs - 1));
        return plan->share >= least;
    }
    const double most =
        fmin(fmin(STEPS_SHARE, part), fmin(LADDER_WHOLE_SHARE, part) - means->beside * time->turns) /
        time->length;
    plan->share = fmin(fmax(FIRST_RUNG, least), most);
    return plan->share >= least;
}

/* Takes something away: later rounds of trials, a rung, then the trials that the job asks for. */
static void take_away(const struct search_setup *setup, struct ladder_plan *plan)
{
    const bool given = hyperparameters_are_given(&setup->hyperparameters);
    if (plan->rounds > 1) {
        plan->rounds = 1;
    } else if (plan->rungs > 1 || plan->rounds == 0) {
        plan->rungs--;
        plan->open = plan->open && plan->rungs > LAST_RUNG;
        plan->rounds = given && plan->rungs > 0 ? plan->rounds : plan->open;
    } else {
        plan->rounds = 0;
        plan->rungs = plan->count > 1;
    }
}

/* What `wanted` has of rungs and trials, or less where they would be too short, or there are too few models for them.
 * How long they are. */
static bool choose_lengths(const struct search_setup *setup, const struct search_means *means,
                           const struct ladder_plan *wanted, struct ladder_plan *plan)
{
    plan->rungs = wanted->rungs;
    plan->rounds = wanted->rounds;
    plan->open = wanted->open;
    for (; plan->rungs > 0; take_away(setup, plan)) {
        const struct ladder_time time = time_of(setup, plan, means->workers);
        if (time.trainings <= means->models && choose_share(means, &time, plan))
            return true;
    }
    plan->rounds = plan->trials = 0;
    plan->open = false;
    return false;
}

/* Leaves one network out: the last of those whose start has another one, or the last start. */
static void leave_one_out(struct ladder_plan *plan)
{
    int32_t out = plan->count - 1;
    for (int32_t i = 1; i < plan->count; i++)
        if (plan->networks[i].start == plan->networks[i - 1].start)
            out = i;
    plan->count--;
    for (int32_t i = out; i < plan->count; i++)
        plan->networks[i] = plan->networks[i + 1];
}

/* With fewer networks where there is no time for all of them. Models are counted for what they are. One network alone
 * has nothing to be compared with but itself with other hyperparameters. */
static void choose_rungs(const struct search_setup *setup, const struct search_means *means,
                         const struct ladder_plan *wanted, struct ladder_plan *plan)
{
    const struct ladder_plan all = *plan;
    const struct ladder_plan alone = {.rungs = 1, .rounds = wanted->rounds};
    for (; plan->count > 1; leave_one_out(plan))
        if (choose_lengths(setup, means, wanted, plan) || means->models < INT32_MAX)
            return;
    if (wanted->rungs > 0 && hyperparameters_are_given(&setup->hyperparameters) &&
        choose_lengths(setup, means, &alone, plan))
        return;
    *plan = all;
}

enum status ladder_plan_make(const struct search_setup *setup, const struct search_request *request,
                             struct ladder_plan *plan, struct error *err)
{
    struct ladder_usual usual;
    *plan = (struct ladder_plan){0};
    enum status st = ladder_usual(setup, &request->limits, 0, &usual, err);
    if (st != ST_OK)
        return st;
    plan->epochs = ladder_epochs(&request->means, usual.cost, 1.0);
    const double e = plan->epochs;
    const int32_t starts = setup->job->starts.count;
    const int32_t networks = e < SHORT ? 3 : e < MANY ? 4 : e < MOST ? 6 : LADDER_MOST_NETWORKS;
    const struct ladder_plan wanted = {.rungs = e < LADDER_TOO_SHORT ? 0
                                                : e < SHORT          ? 1
                                                : e < LONG           ? 2
                                                                     : LAST_RUNG + 1,
                                       .rounds = !hyperparameters_are_given(&setup->hyperparameters)
                                                     ? e >= LONG
                                                 : e < LONG ? 1
                                                 : e < MOST ? 2
                                                            : HYPERPARAMETERS_ROUNDS,
                                       .open = e >= LONG};
    st = e < LADDER_TOO_SHORT
             ? choose_smallest(setup, request, plan, err)
             : choose_networks(setup, request, networks > starts ? networks : starts, plan, err);
    if (st == ST_OK && plan->count == 0)
        return error_set(err, ST_NONE, "no starting network is within the limits");
    if (st == ST_OK)
        choose_rungs(setup, &request->means, &wanted, plan);
    return st;
}
