/* The grid: each of search.starts in all of search.widths and search.depths, in this order, from fresh weights. What
 * people who choose a network by hand do first, and the plainest thing that a search has to beat.
 *
 * A depth is how many residual blocks more than the start each stage of the network has: two convolutions of 3 x 3, at
 * the stage's end. A stage are the layers whose outputs have as many pixels. */
#include "host/search/strategy.h"

#include <stdio.h>
#include <stdlib.h>

enum { KERNEL = 3 };

static int32_t pixels(const struct layer *layer)
{
    return layer->shape.h * layer->shape.w;
}

/* The stage behind that one: the most pixels below its number; 1 behind the last. */
static int32_t next_stage(const struct graph *graph, int32_t stage)
{
    int32_t next = 1;
    for (int32_t i = 0; i < graph->count; i++) {
        const int32_t other = pixels(&graph->layers[i]);
        next = other < stage && other > next ? other : next;
    }
    return next;
}

/* Behind the last layer of a stage that takes one; where none does the graph stays as it is. */
static enum status add_block(struct graph *graph, int32_t stage, struct error *err)
{
    struct morph *morphs = NULL;
    struct graph deeper = {0};
    int32_t count = 0, last = -1, chosen = -1;
    enum status st = morph_list(graph, 1u << MORPH_RESIDUAL, &morphs, &count, err);
    for (int32_t i = 0; st == ST_OK && i < count; i++) {
        const int32_t at = graph_find(graph, morphs[i].a);
        if (morphs[i].amount != KERNEL || pixels(&graph->layers[at]) != stage || at <= last)
            continue;
        last = at;
        chosen = i;
    }
    if (chosen >= 0)
        st = morph_graph(&morphs[chosen], graph, &deeper, err);
    free(morphs);
    if (chosen < 0 || st != ST_OK)
        return st;
    graph_free(graph);
    *graph = deeper;
    return ST_OK;
}

static enum status make_deeper(struct graph *graph, int32_t depth, struct error *err)
{
    enum status st = ST_OK;
    for (int32_t stage = next_stage(graph, INT32_MAX); stage > 1; stage = next_stage(graph, stage))
        for (int32_t block = 0; st == ST_OK && block < depth; block++)
            st = add_block(graph, stage, err);
    return st;
}

/* Only one without further blocks is the starting network itself. */
static enum status propose_point(const struct search *search, int32_t start, int32_t width, int32_t depth,
                                 struct proposal *proposal, struct error *err)
{
    enum status st = propose_start_of_width(search, start, width, proposal, err);
    if (st != ST_OK || depth == 0)
        return st;
    proposal->start = -1;
    snprintf(proposal->operations[0], SEARCH_OPERATION_LENGTH, "start %s %d wide, %d deeper",
             search_setup(search)->job->starts.items[start], (int)width, (int)depth);
    return make_deeper(&proposal->graph, depth, err);
}

/* The first that is within the limits and is not known: what is not to be trained costs little. */
static enum status propose_grid(const struct search *search, void *state,
                                const struct search_request *request, struct random_sequence *random,
                                struct proposal *proposal, struct error *err)
{
    const struct job_search *job = search_setup(search)->job;
    const int32_t widths = job->widths.count, depths = job->depths.count;
    (void)state, (void)random;
    for (int32_t point = 0; point < job->starts.count * widths * depths; point++) {
        const int32_t width = (int32_t)job->widths.items[point / depths % widths];
        const int32_t depth = (int32_t)job->depths.items[point % depths];
        enum status st = propose_point(search, point / (widths * depths), width, depth, proposal, err);
        if (st == ST_OK && !search_knows(search, &proposal->graph) &&
            search_admits(&request->limits, &proposal->graph))
            return ST_OK;
        proposal_free(proposal);
        if (st != ST_OK)
            return st;
    }
    return error_set(err, ST_NONE, "all of the grid that is within the limits was proposed");
}

const struct search_strategy search_grid = {.propose = propose_grid};
