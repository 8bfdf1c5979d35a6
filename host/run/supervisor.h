/* The supervisor: nasrun is a small process that starts the engine as its child and starts it again when
 * something kills it, or its device fails. Recovery is the resume path and nothing else (crash-only design).
 *
 * SIGINT and SIGTERM are blocked in both processes: the supervisor passes them on, the engine asks for them
 * between two steps (supervisor_stop_wanted) and ends after saving. The engine dies with its supervisor.
 */
#ifndef NASRUN_RUN_SUPERVISOR_H
#define NASRUN_RUN_SUPERVISOR_H

#include "host/machine/devices.h"

#include <stdbool.h>
#include <stdint.h>

/* What the engine's processes of one command know of each other; shared memory. */
struct engine_history {
    int restarts;   /* 0: the first process of this command */
    char cause[64]; /* how the last one ended: "signal 9 (Killed)"; "" at first */
    double started; /* clock_seconds when the supervisor's process was started */
    double base;    /* seconds of earlier commands on the run; the first process sets it */
    bool salvage;   /* what is lost of the run is done again; the engine sets it from the command line */
    bool working;   /* the engine has opened data and devices; it sets it */
    /* The candidate that each device trains, -1: none. What the next process finds there was in training when this one
     * ended before its time. */
    int32_t training[DEVICES_MOST];
};

/* The exit status of an engine whose device has failed while it worked: a new process gets a fresh device, as long as
 * the hardware is alive. */
enum { SUPERVISOR_AGAIN = 75 };

/* An engine that was killed this often in a row without writing to its journal is given up. */
enum { SUPERVISOR_MAX_RESTARTS = 3 };

/* Runs `engine` in a child process until it returns (its value is the exit status, returned) and again
 * whenever a signal killed it. `progress` tells how far the work on disk is (any number that grows); it tells
 * crash loops from progress. */
int supervise(int (*engine)(void *context, struct engine_history *history), long (*progress)(void *context),
              void *context);

/* True once SIGINT or SIGTERM has arrived. */
bool supervisor_stop_wanted(void);

#endif
