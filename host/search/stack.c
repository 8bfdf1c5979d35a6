#include "host/search/stack.h"

#include "host/net/cell.h"
#include "host/net/start.h"
#include "host/search/ladder_plan.h"
#include "spec/job.h"

#include <assert.h>

/* Widths at most double in one step. */
enum { STACK_MOST_PERCENT = 100 };

/* Normal cells a stage, and channels of the stem. */
struct extent {
    int32_t repeats, width;
};

static struct extent extent_of(const struct graph *graph)
{
    return (struct extent){cell_count(graph, CELL_NORMAL) / CELL_STAGES, graph->layers[1].shape.c};
}

/* The morphs from one extent to another one that is no smaller. */
static int32_t morphs_between(struct extent from, struct extent to, struct morph *morphs)
{
    int32_t count = 0;
    if (to.repeats > from.repeats)
        morphs[count++] =
            (struct morph){.kind = MORPH_REPEAT, .amount = to.repeats - from.repeats, .cells = true};
    while (from.width < to.width && count < SEARCH_MAX_MORPHS) {
        const int32_t percent = (int32_t)(100LL * (to.width - from.width) / from.width);
        const int32_t step = percent < 1 ? 1 : percent > STACK_MOST_PERCENT ? STACK_MOST_PERCENT : percent;
        const int32_t wide = (from.width * (100 + step) + 99) / 100;
        morphs[count++] = (struct morph){.kind = MORPH_WIDEN_NET, .amount = step};
        from.width = (wide + START_WIDTH_STEP - 1) / START_WIDTH_STEP * START_WIDTH_STEP;
    }
    return count;
}

/* The network by the morphs; ST_NONE where it can't be so large. */
static enum status apply_all(const struct graph *parent, const struct morph *morphs, int32_t count,
                             struct graph *child, struct error *err)
{
    enum status st = graph_copy(child, parent, err);
    for (int32_t i = 0; st == ST_OK && i < count; i++) {
        struct graph next;
        st = morph_graph(&morphs[i], child, &next, err);
        if (st != ST_OK)
            break;
        graph_free(child);
        *child = next;
    }
    if (st != ST_OK)
        graph_free(child);
    return st;
}

/* Of a final fit that began now. */
static double epochs_of(const struct search_request *request, const struct graph *graph)
{
    return ladder_epochs(&request->means, cost_seconds(graph, &request->limits.rates), request->means.left);
}

/* Channels of the stem: what the search has made of its width, in proportion. */
static int32_t final_width(const struct search_setup *setup, int32_t width)
{
    const int32_t usual = setup->job->width > 0 ? setup->job->width : CELL_WIDTH;
    const int64_t wanted = setup->final->width > 0 ? (int64_t)width * setup->final->width / usual : 0;
    const int64_t whole = (wanted + START_WIDTH_STEP - 1) / START_WIDTH_STEP * START_WIDTH_STEP;
    return whole > width ? (int32_t)whole : width;
}

static void say(const struct morph *morphs, int32_t count, struct proposal *proposal)
{
    for (int32_t i = 0; i < count; i++) {
        proposal->morphs[i] = morphs[i];
        morph_describe(&morphs[i], &proposal->graph, proposal->operations[i], SEARCH_OPERATION_LENGTH);
    }
    proposal->morph_count = proposal->operation_count = count;
}

/* The deepest network of that width, from `most` cells a stage down to `least`, that there is room and time
 * for. *grown says whether there is one. */
static enum status grow_to(const struct search_setup *setup, const struct search_request *request,
                           struct extent to, int32_t least, struct proposal *proposal, bool *grown,
                           struct error *err)
{
    const struct extent found = extent_of(&proposal->graph);
    enum status st = ST_NONE;
    *grown = false;
    for (; st == ST_NONE && to.repeats >= least; to.repeats--) {
        struct morph morphs[SEARCH_MAX_MORPHS];
        struct graph graph;
        const int32_t count = morphs_between(found, to, morphs);
        st = apply_all(&proposal->graph, morphs, count, &graph, err);
        if (st != ST_OK)
            continue;
        /* What the job asks for gets the time that there is. */
        const bool chosen = (setup->final->repeats == 0 && to.repeats > found.repeats) ||
                            (setup->final->width == 0 && to.width > found.width);
        *grown =
            search_fits(&request->limits, &graph) && (!chosen || epochs_of(request, &graph) >= STACK_EPOCHS);
        if (*grown) {
            say(morphs, count, proposal);
            graph_free(&proposal->graph);
            proposal->graph = graph;
        } else {
            graph_free(&graph);
            st = ST_NONE;
        }
    }
    return st == ST_NONE ? ST_OK : st;
}

enum status stack_grow(const struct search_setup *setup, const struct search_request *request,
                       struct proposal *proposal, struct error *err)
{
    const struct extent found = extent_of(&proposal->graph);
    const bool deep = setup->final->repeats > 0, wide = setup->final->width > 0;
    struct extent to = {deep ? setup->final->repeats : STACK_MOST_TIMES * found.repeats,
                        wide ? final_width(setup, found.width) : STACK_TIMES_WIDE * found.width};
    bool grown = false;
    if (proposal->parent < 0 || found.repeats == 0)
        return ST_OK;
    assert(proposal->morph_count == 0);
    enum status st =
        grow_to(setup, request, to, wide ? found.repeats : found.repeats + 1, proposal, &grown, err);
    to.width = found.width;
    if (st == ST_OK && !grown && !wide)
        st = grow_to(setup, request, to, found.repeats, proposal, &grown, err);
    return st;
}
