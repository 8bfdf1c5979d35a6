#include "host/search/limits.h"

#include "host/net/start.h"
#include "host/search/search.h"

#include <math.h>
#include <stdio.h>

/* Of what is not known yet nothing is too slow. */
static bool has_latency(const struct search_limits *limits)
{
    return limits->max_latency > 0.0 && limits->latency.batch > 0;
}

bool search_fits(const struct search_limits *limits, const struct graph *graph)
{
    const struct cost cost = cost_of_graph(graph);
    return (limits->max_parameters == 0 || cost.parameters <= limits->max_parameters) &&
           (limits->max_flops == 0.0 || cost.forward_flops <= limits->max_flops) &&
           (!has_latency(limits) || cost_seconds(graph, &limits->latency) <= limits->max_latency);
}

bool search_admits(const struct search_limits *limits, const struct graph *graph)
{
    return search_fits(limits, graph) &&
           (isinf(limits->max_seconds_per_image) ||
            cost_seconds(graph, &limits->rates) <= limits->max_seconds_per_image);
}

/* Wider networks cost more, so that the first width that is too wide ends it, at its own width at the latest. */
static enum status find_narrower(const struct search_setup *setup, const struct search_limits *limits,
                                 int32_t start, int32_t *width, struct graph *graph, struct error *err)
{
    enum status st = ST_OK;
    *width = 0;
    for (int32_t next = START_WIDTH_STEP; st == ST_OK && next <= START_MAX_WIDTH; next += START_WIDTH_STEP) {
        struct graph wider = {0};
        st = search_make_start(setup, start, next, &wider, err);
        if (st != ST_OK || !search_fits(limits, &wider)) {
            graph_free(&wider);
            break;
        }
        graph_free(graph);
        *graph = wider;
        *width = next;
    }
    if (st == ST_OK && *width == 0)
        st = error_set(err, ST_NONE, "start %s is above the limits in all widths",
                       setup->job->starts.items[start]);
    if (st != ST_OK)
        graph_free(graph);
    return st;
}

enum status search_start_within(const struct search_setup *setup, const struct search_limits *limits,
                                int32_t start, int32_t *width, struct graph *graph, struct error *err)
{
    *width = setup->job->width;
    *graph = (struct graph){0};
    enum status st = search_make_start(setup, start, *width, graph, err);
    if (st != ST_OK || search_fits(limits, graph))
        return st;
    graph_free(graph);
    if (*width > 0 || search_start_is_file(setup, start))
        return error_set(err, ST_NONE, "start %s is above the limits", setup->job->starts.items[start]);
    return find_narrower(setup, limits, start, width, graph, err);
}

/* ---- none is small enough ---- */

/* A starting network beside the limits: which of them it is the farthest above. */
struct excess {
    int32_t start, width;
    struct cost cost;
    double latency; /* milliseconds; 0: not known */
    double times;   /* what it takes over what it may */
    const char *key;
    double found, expected;
};

static void compare(struct excess *excess, const char *key, double limit, double value)
{
    if (limit == 0.0 || value / limit <= excess->times)
        return;
    excess->times = value / limit;
    excess->key = key;
    excess->found = limit;
    excess->expected = value;
}

static void compare_all(const struct search_limits *limits, const struct graph *graph, struct excess *excess)
{
    excess->cost = cost_of_graph(graph);
    compare(excess, "search.max_parameters", (double)limits->max_parameters, (double)excess->cost.parameters);
    compare(excess, "search.max_flops", limits->max_flops, excess->cost.forward_flops);
    if (!has_latency(limits))
        return;
    excess->latency = 1e3 * cost_seconds(graph, &limits->latency);
    compare(excess, "search.max_latency_ms", 1e3 * limits->max_latency, excess->latency);
}

static enum status say_smallest(const struct search_setup *setup, const struct excess *smallest,
                                struct error *err)
{
    char latency[64] = "", wide[32] = "";
    if (smallest->latency > 0.0)
        snprintf(latency, sizeof(latency), ", %.4g ms", smallest->latency);
    if (!search_start_is_file(setup, smallest->start))
        snprintf(wide, sizeof(wide), " %d wide", (int)smallest->width);
    return error_set(err, ST_RANGE,
                     "%s: found %.10g, expected %.10g or more: the smallest of search.starts, %s%s, has "
                     "%lld parameters and takes %.10g operations%s an image",
                     smallest->key, smallest->found, smallest->expected,
                     setup->job->starts.items[smallest->start], wide, (long long)smallest->cost.parameters,
                     smallest->cost.forward_flops, latency);
}

enum status search_check_limits(const struct search_setup *setup, const struct search_limits *limits,
                                struct error *err)
{
    struct excess smallest = {.start = -1, .times = INFINITY};
    for (int32_t start = 0; start < setup->job->starts.count; start++) {
        struct excess excess = {.start = start,
                                .width = setup->job->width > 0 ? setup->job->width : START_WIDTH_STEP};
        struct graph graph = {0};
        enum status st = search_make_start(setup, start, excess.width, &graph, err);
        if (st == ST_OK)
            compare_all(limits, &graph, &excess);
        graph_free(&graph);
        if (st == ST_MEMORY)
            return st;
        if (st == ST_OK && excess.times < smallest.times)
            smallest = excess;
    }
    return smallest.start < 0 || smallest.times <= 1.0 ? ST_OK : say_smallest(setup, &smallest, err);
}
