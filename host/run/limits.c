#include "host/run/limits.h"

#include "host/run/baseline.h"
#include "host/run/candidate.h"
#include "host/run/record.h"
#include "host/run/run_budget.h"
#include "host/train/latency.h"

#include <math.h>
#include <string.h>

static const double MILLI = 1e-3;

/* Widths of each starting network that are measured: its own, and this one. */
enum { NARROW = 16 };

struct search_limits limits_of_job(const struct job_search *search)
{
    return (struct search_limits){.max_parameters = search->max_parameters,
                                  .max_flops = search->max_flops,
                                  .max_latency = MILLI * search->max_latency_ms};
}

/* ---- the device ---- */

/* Which need not be one that the run trains on. */
struct place {
    struct plugin plugin; /* open when it is the plug-in's own */
    struct latency_device device;
};

static const struct device_ops *ops_of(const struct run *run, struct place *place, struct error *err)
{
    const struct device_plugin *table = run->devices.plugin.table;
    switch (run->job->search.latency_device) {
    case JOB_LATENCY_DEVICE_CPU:
        return &cpu_device_ops;
    case JOB_LATENCY_DEVICE_CUDA:
        break;
    }
    if (table == NULL && plugin_open(&place->plugin, err) != ST_OK) {
        error_prefix(err, "search.latency_device: \"cuda\"");
        return NULL;
    }
    return table != NULL ? table->ops : place->plugin.table->ops;
}

static enum status open_place(const struct run *run, struct place *place, struct error *err)
{
    *place = (struct place){0};
    const struct device_ops *ops = ops_of(run, place, err);
    return ops != NULL ? latency_open(&place->device, ops, run_image(run), run->data.classes, err)
                       : err->status;
}

static void close_place(struct place *place)
{
    latency_close(&place->device);
    plugin_close(&place->plugin);
}

/* ---- what is predicted ---- */

/* Graphs like those that will be predicted; those that can't be made are left out. */
static enum status make_graphs(const struct run *run, const struct search_setup *setup, struct graph *graphs,
                               int32_t *count, struct error *err)
{
    const struct search_limits none = {.max_seconds_per_image = INFINITY};
    struct job_search narrow = run->job->search;
    struct search_setup narrowed = *setup;
    enum status st = ST_OK;
    narrow.width = NARROW;
    narrowed.job = &narrow;
    *count = 0;
    for (int32_t i = 0; i < 2 * setup->job->starts.count && *count < LATENCY_GRAPHS; i++) {
        int32_t width;
        st = search_start_within(i % 2 == 0 ? setup : &narrowed, &none, i / 2, &width, &graphs[*count], err);
        if (st == ST_MEMORY)
            return st;
        *count += st == ST_OK;
    }
    return *count > 0 ? ST_OK : st;
}

static void say(struct run *run, const struct place *place, const struct latency_rates *found)
{
    display_say(&run->display, 0,
                "latency by %d networks, measured on %s; predicted with an error of %.1f %%, the median",
                (int)found->networks, place->device.info.name, 100.0 * found->error);
}

static enum status calibrate(struct run *run, const struct search_setup *setup, bool journalled,
                             struct error *err)
{
    struct graph graphs[LATENCY_GRAPHS] = {0};
    struct latency_rates found;
    struct place place;
    int32_t count;
    enum status st = open_place(run, &place, err);
    if (st == ST_OK)
        st = make_graphs(run, setup, graphs, &count, err);
    if (st == ST_OK)
        st = latency_calibrate(&place.device, graphs, count, &found, err);
    if (st == ST_OK) {
        run->limits.latency = found.rates;
        say(run, &place, &found);
    }
    if (st == ST_OK && journalled)
        st = record_latency(run, place.device.info.name, &found, err);
    for (int32_t i = 0; i < LATENCY_GRAPHS; i++)
        graph_free(&graphs[i]);
    close_place(&place);
    return st;
}

static enum status find(struct run *run, bool journalled, struct error *err)
{
    const struct search_setup setup = run_search_setup(run);
    enum status st = ST_OK;
    if (run->limits.max_latency == 0.0)
        return ST_OK;
    if (run_repeats(run))
        run->limits.latency = latency_usual_rates();
    else if (run->limits.latency.batch == 0)
        st = calibrate(run, &setup, journalled, err);
    if (st == ST_OK)
        st = search_check_limits(&setup, &run->limits, err);
    if (st == ST_OK)
        st = baseline_check(run, err);
    if (st != ST_OK)
        return st;
    run_starts_close(run);
    return run_starts_open(run, err);
}

enum status limits_find(struct run *run, struct error *err)
{
    return find(run, false, err);
}

enum status limits_open(struct run *run, struct error *err)
{
    return find(run, true, err);
}

/* ---- what is measured ---- */

enum status limits_measure(struct run *run, const struct graph *graph, struct limits_latency *latency,
                           struct error *err)
{
    struct place place;
    *latency = (struct limits_latency){.seconds = NAN, .predicted = NAN};
    if (run->limits.max_latency == 0.0)
        return ST_OK;
    latency->predicted = cost_seconds(graph, &run->limits.latency);
    enum status st = open_place(run, &place, err);
    if (st == ST_OK)
        st = latency_measure(&place.device, graph, &latency->seconds, err);
    if (st == ST_OK)
        memcpy(latency->device, place.device.info.name, sizeof(latency->device));
    close_place(&place);
    return candidate_is_at_fault(st) ? ST_OK : st;
}
