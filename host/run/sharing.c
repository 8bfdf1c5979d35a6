#include "host/run/sharing.h"

#include "host/run/candidate.h"
#include "host/run/measure.h"
#include "host/run/record.h"
#include "host/search/budget.h"

#include <math.h>

/* Workers that "auto" tries. More would each get too little of a device. */
enum { SHARING_TRIED = 2 };
/* So much faster two have to be together. */
static const double SHARING_GAIN = 1.15;

int32_t sharing_choose(double alone, double together)
{
    return together >= SHARING_GAIN * alone ? SHARING_TRIED : 1;
}

double sharing_slowdown(const struct run_sharing *sharing)
{
    return sharing->workers > 1 && sharing->together > 0.0
               ? sharing->workers * sharing->alone / sharing->together
               : 1.0;
}

/* The first starting network, alone on the first device and on all its workers; one that fills the device by itself is
 * as fast together as alone. */
static enum status measure(struct run *run, struct run_sharing *sharing, struct error *err)
{
    const struct team first = {0, 1};
    struct graph graph = {0};
    struct measured alone = {0};
    int32_t devices[DEVICES_MOST];
    for (int32_t k = 0; k < sharing->workers; k++)
        devices[k] = k * run->devices.count;
    const struct search_setup setup = run_search_setup(run);
    enum status st = search_make_start(&setup, 0, setup.job->width, &graph, err);
    if (st == ST_OK)
        st = measure_team(run, &graph, first, run->batches.candidate, INFINITY, &alone, err);
    const bool full = run->batches.candidate > MEASURE_LONG_STEP * alone.images_per_second;
    sharing->alone = sharing->together = alone.images_per_second;
    sharing->bytes = alone.bytes;
    if (st == ST_OK && !full)
        st = measure_beside(run, &graph, devices, sharing->workers, run->batches.candidate,
                            &sharing->together, err);
    graph_free(&graph);
    return st;
}

enum status sharing_find(struct run *run, struct error *err)
{
    const int32_t wanted = search_has_candidates(run->search) ? run->job->search.workers_per_device : 1;
    const bool clocked = budget_kind_of(&run->job->budget) == BUDGET_SECONDS &&
                         run->job->budget.clock == JOB_CLOCK_WALL && !devices_are_host(&run->devices);
    struct run_sharing *sharing = &run->sharing;
    *sharing = (struct run_sharing){.workers = wanted == JOB_AUTO ? clocked ? SHARING_TRIED : 1 : wanted};
    enum status st = devices_share(&run->devices, sharing->workers, err);
    if (sharing->workers == 1 || (st != ST_OK && wanted != JOB_AUTO))
        return st;
    if (st == ST_OK && clocked) {
        st = measure(run, sharing, err);
        /* What goes wrong for want of memory or in the network itself is for its candidates to find. */
        if (st != ST_OK && !candidate_is_at_fault(st))
            return st;
    }
    if (wanted == JOB_AUTO)
        sharing->workers = st == ST_OK ? sharing_choose(sharing->alone, sharing->together) : 1;
    return devices_share(&run->devices, sharing->workers, err);
}

enum status sharing_open(struct run *run, struct error *err)
{
    if (run->sharing.workers > 0)
        return devices_share(&run->devices, run->sharing.workers, err);
    enum status st = sharing_find(run, err);
    if (st == ST_OK && run->sharing.together > 0.0)
        st = record_sharing(run, err);
    return st;
}
