/* What strategies propose with. */
#include "host/net/cell.h"
#include "host/search/strategy.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

struct prediction prediction_none(void)
{
    return (struct prediction){.mean = NAN, .deviation = NAN};
}

void proposal_free(struct proposal *proposal)
{
    graph_free(&proposal->graph);
    *proposal = (struct proposal){0};
}

struct proposal propose_usual(int32_t parent)
{
    return (struct proposal){
        .parent = parent, .start = -1, .recipe = recipe_usual(), .prediction = prediction_none()};
}

enum status propose_nothing(int draws, struct error *err)
{
    return error_set(err, ST_NONE, "no new network was found within the limits in %d draws", draws);
}

/* ---- from fresh weights ---- */

void proposal_make_fresh(struct proposal *proposal)
{
    proposal->parent = -1;
    proposal->morph_count = 0;
}

/* The recipe's budget is in trainings of its kind: those from a parent get half of those from fresh weights. */
void proposal_set_share(const struct search_means *means, double share, struct proposal *proposal)
{
    proposal->recipe.budget = (proposal->parent < 0 ? 1.0 : 2.0) * share / means->candidate;
}

enum status propose_again(const struct search_model *model, struct proposal *proposal, struct error *err)
{
    *proposal = propose_usual(-1);
    proposal->start = model->start;
    proposal->operation_count = 1;
    proposal->recipe.hyperparameters = model->recipe.hyperparameters;
    return graph_copy(&proposal->graph, &model->graph, err);
}

/* Of a starting network of cells, what they are. */
static void say_cells(const struct search_setup *setup, int32_t start, struct proposal *proposal)
{
    static const char *const names[CELL_KINDS] = {"normal", "reduction"};
    char text[CELL_TEXT];
    struct cells cells;
    if (!cells_of_start(setup->job->starts.items[start], (uint64_t)setup->seed, &cells))
        return;
    for (int kind = 0; kind < CELL_KINDS; kind++) {
        cell_text(&cells.of[kind], text);
        snprintf(proposal->operations[proposal->operation_count++], SEARCH_OPERATION_LENGTH, "%s %.84s",
                 names[kind], text);
    }
}

/* Without its graph. */
static void begin_start(const struct search *search, int32_t start, int32_t width, struct proposal *proposal)
{
    const struct job_search *job = search_setup(search)->job;
    char wide[32] = "";
    proposal->start = start;
    if (width != job->width)
        snprintf(wide, sizeof(wide), " %d wide", (int)width);
    snprintf(proposal->operations[0], SEARCH_OPERATION_LENGTH, "start %s%s", job->starts.items[start], wide);
    proposal->operation_count = 1;
    say_cells(search_setup(search), start, proposal);
}

enum status propose_start_of_width(const struct search *search, int32_t start, int32_t width,
                                   struct proposal *proposal, struct error *err)
{
    *proposal = propose_usual(-1);
    begin_start(search, start, width, proposal);
    return search_make_start(search_setup(search), start, width, &proposal->graph, err);
}

enum status propose_start(const struct search *search, const struct search_limits *limits, int32_t start,
                          struct proposal *proposal, struct error *err)
{
    int32_t width;
    *proposal = propose_usual(-1);
    enum status st = search_start_within(search_setup(search), limits, start, &width, &proposal->graph, err);
    if (st == ST_OK)
        begin_start(search, start, width, proposal);
    return st;
}

void propose_augment(const struct search *search, double epochs, struct proposal *proposal)
{
    const struct search_setup *setup = search_setup(search);
    recipe_augment(setup->train, epochs, setup->image, &proposal->recipe.hyperparameters);
}

/* The first of them that was not told of. One that is above the limits in all widths comes as wide as the job says: it
 * is left out (search_propose). */
static enum status propose_next_start(const struct search *search, const struct search_limits *limits,
                                      struct proposal *proposal, struct error *err)
{
    const int32_t count = search_setup(search)->job->starts.count;
    int32_t next = 0;
    while (next < count && search_has_begun(search, next))
        next++;
    if (next == count)
        return error_set(err, ST_NONE, "all starting networks were proposed");
    enum status st = propose_start(search, limits, next, proposal, err);
    return st == ST_NONE
               ? propose_start_of_width(search, next, search_setup(search)->job->width, proposal, err)
               : st;
}

enum status propose_first(const struct search *search, const struct search_request *request,
                          struct random_sequence *random, struct proposal *proposal, struct error *err)
{
    enum status st = propose_next_start(search, &request->limits, proposal, err);
    /* Fresh weights beside those of a file are no comparison. */
    const bool fills = request->fill && search_setup(search)->files == NULL;
    if (st != ST_NONE || !fills || search_has_parent(search))
        return st;
    st = propose_child_of_any(search, search_is_pending, &request->limits, random, proposal, err);
    if (st == ST_OK)
        proposal_make_fresh(proposal);
    return st;
}

/* ---- from a model ---- */

enum status propose_further(const struct search_model *model, struct proposal *proposal, struct error *err)
{
    assert(model->is_parent);
    *proposal = propose_usual(model->id);
    snprintf(proposal->operations[0], SEARCH_OPERATION_LENGTH, "train further");
    proposal->operation_count = 1;
    return graph_copy(&proposal->graph, &model->graph, err);
}

enum status propose_best(const struct search *search, const struct search_limits *limits,
                         struct proposal *proposal, struct error *err)
{
    const struct search_model *best = search_best(search, limits);
    if (best == NULL)
        return error_set(err, ST_DIVERGED, "none of the %d candidates could be trained",
                         (int)search_count(search));
    *proposal = propose_usual(best->id);
    proposal->recipe.hyperparameters = best->recipe.hyperparameters;
    return graph_copy(&proposal->graph, &best->graph, err);
}

enum status propose_child(const struct search *search, const struct search_model *model,
                          const struct search_limits *limits, struct random_sequence *random,
                          struct proposal *proposal, struct error *err)
{
    const int32_t job_most = search_setup(search)->job->max_morphs;
    const int32_t most = job_most < SEARCH_MAX_MORPHS ? job_most : SEARCH_MAX_MORPHS;
    const int32_t wanted = 1 + (int32_t)random_next_below(random, (uint32_t)most);
    return propose_changed(search, model, wanted, limits, random, proposal, err);
}

/* The kinds that may be drawn. Of a network above the limits only something smaller can be within them. */
static uint32_t allowed_morphs(const struct search *search, const struct search_limits *limits,
                               const struct graph *graph)
{
    const uint32_t all = search_allowed_morphs(search), smaller = all & ~((1u << MORPH_PRESERVING_COUNT) - 1);
    return smaller != 0 && !search_admits(limits, graph) ? smaller : all;
}

enum status proposal_add_morph(const struct morph *morph, struct proposal *proposal, struct error *err)
{
    struct graph next;
    enum status st = morph_graph(morph, &proposal->graph, &next, err);
    assert(st != ST_NONE); /* it was drawn because it fits */
    if (st != ST_OK)
        return st;
    proposal->morphs[proposal->morph_count] = *morph;
    morph_describe(morph, &proposal->graph, proposal->operations[proposal->morph_count],
                   SEARCH_OPERATION_LENGTH);
    graph_free(&proposal->graph);
    proposal->graph = next;
    proposal->operation_count = ++proposal->morph_count;
    return ST_OK;
}

enum status proposal_check_child(const struct search *search, const struct search_limits *limits,
                                 enum status st, struct proposal *proposal, struct error *err)
{
    const int32_t parent = proposal->parent;
    if (st == ST_OK && search_knows(search, &proposal->graph))
        st = error_set(err, ST_NONE, "the network is known already");
    if (st == ST_OK && !search_admits(limits, &proposal->graph))
        st = error_set(err, ST_NONE, "the network is above the limits");
    if (st != ST_OK)
        proposal_free(proposal);
    if (st != ST_OK && st != ST_NONE)
        error_prefix(err, "a change of model %d", (int)parent);
    return st;
}

enum status propose_changed(const struct search *search, const struct search_model *model, int32_t morphs,
                            const struct search_limits *limits, struct random_sequence *random,
                            struct proposal *proposal, struct error *err)
{
    *proposal = propose_usual(model->id);
    enum status st = graph_copy(&proposal->graph, &model->graph, err);
    while (st == ST_OK && proposal->morph_count < morphs) {
        struct morph morph;
        st = (search_setup(search)->job->space == JOB_SPACE_CELLS ? morph_draw_in_cells : morph_draw)(
            &proposal->graph, allowed_morphs(search, limits, &proposal->graph), random, &morph, err);
        if (st == ST_OK)
            st = proposal_add_morph(&morph, proposal, err);
    }
    return proposal_check_child(search, limits, st, proposal, err);
}

enum status propose_changed_once(const struct search *search, const struct search_model *model,
                                 const struct search_limits *limits, struct random_sequence *random,
                                 struct proposal *proposal, struct error *err)
{
    for (int draw = 0; draw < PROPOSE_DRAWS; draw++) {
        enum status st = propose_changed(search, model, 1, limits, random, proposal, err);
        if (st == ST_OK)
            proposal->recipe.hyperparameters = model->recipe.hyperparameters;
        if (st != ST_NONE)
            return st;
    }
    return propose_nothing(PROPOSE_DRAWS, err);
}

enum status propose_child_of_any(const struct search *search, search_is_one *is_one,
                                 const struct search_limits *limits, struct random_sequence *random,
                                 struct proposal *proposal, struct error *err)
{
    for (int draw = 0; draw < PROPOSE_DRAWS; draw++) {
        const struct search_model *model = search_draw_model(search, is_one, random);
        if (model == NULL)
            break;
        enum status st = propose_child(search, model, limits, random, proposal, err);
        if (st != ST_NONE)
            return st;
    }
    return propose_nothing(PROPOSE_DRAWS, err);
}

bool propose_by_chance(const struct search *search, struct random_sequence *random)
{
    return random_next_unit(random) < (float)search_setup(search)->job->random_share;
}
