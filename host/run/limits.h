/* What the job allows networks to cost, and what is known of it: how long they would take for one image on
 * search.latency_device. Networks are not measured one by one: latencies are predicted (host/train/latency.h), by what
 * a few networks take at the run's beginning, which is journalled, so that a resumed run decides by the same figures.
 * Where the clock decides nothing (run_repeats) nothing is measured, and a usual processor's rates are taken: two runs
 * of one job are the same. What the winner takes is measured in any case. */
#ifndef NASRUN_RUN_LIMITS_H
#define NASRUN_RUN_LIMITS_H

#include "host/run/run.h"

/* The job's limits, as far as nothing needs to be measured. */
struct search_limits limits_of_job(const struct job_search *search);

/* Before anything is proposed, behind what the journal tells: measures what is not known, journals it, makes the
 * starting networks as narrow as that asks for. ST_RANGE when none of them is within the limits. limits_find journals
 * nothing. */
enum status limits_open(struct run *run, struct error *err);
enum status limits_find(struct run *run, struct error *err);

/* What a network takes. */
struct limits_latency {
    double seconds, predicted; /* NAN: the job has no limit */
    char device[128];          /* as it says; "" */
};
enum status limits_measure(struct run *run, const struct graph *graph, struct limits_latency *latency,
                           struct error *err);

#endif
