/* The supervisor: nasrun is a small process that starts the engine as its child and starts it again when
 * something kills it, or its device fails. Recovery is the resume path and nothing else (crash-only design).
 *
 * The signals that stop a run (SUPERVISOR_SIGNALS) are blocked in both processes: the supervisor passes the first one
 * on, the engine asks for it between two steps (supervisor_stop_wanted) and ends after saving. What is not saving and
 * has not ended SUPERVISOR_PATIENCE later is killed, as is all at the second signal: that costs what was done since the
 * last checkpoint. The engine dies with its supervisor.
 *
 * It is a watchdog, too: an engine that has not shown a sign of life for as long as it said, or that is not done when
 * it said, is killed. An engine that the supervisor itself has killed is never started again.
 */
#ifndef NASRUN_RUN_SUPERVISOR_H
#define NASRUN_RUN_SUPERVISOR_H

#include "host/machine/devices.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What the engine's processes of one command know of each other; shared memory. */
struct engine_history {
    int restarts;   /* 0: the first process of this command */
    char cause[64]; /* how the last one ended: "signal 9 (Killed)"; "" at first */
    double started; /* clock_seconds when the supervisor's process was started */
    double base;    /* seconds of earlier commands on the run; the first process sets it */
    bool working;   /* the engine has opened data and devices; it sets it */
    /* The candidate that each device trains, -1: none. What the next process finds there was in training when this one
     * ended before its time. */
    int32_t training[DEVICES_MOST];
    /* For the watchdog, by each process anew. */
    atomic_uint beats;       /* signs of life */
    _Atomic double silence;  /* seconds that may lie between two of them; 0: any */
    _Atomic double deadline; /* clock_seconds by which the engine has ended; 0: none */
    atomic_int saving;       /* threads that write what is not to be lost */
};

/* The exit status of an engine whose device has failed while it worked: a new process gets a fresh device, as long as
 * the hardware is alive. Between engine and supervisor alone. */
enum { SUPERVISOR_AGAIN = 76 };

/* An engine that was killed this often in a row without writing to its journal is given up. */
enum { SUPERVISOR_MAX_RESTARTS = 3 };

/* Runs `engine` in a child process until it returns (its value is the exit status, returned) and again whenever a
 * signal killed it. COMMAND_UNFINISHED when a signal has stopped it, whether it had saved or not; COMMAND_ERROR, with
 * a line on stderr, when it is given up. `progress` tells how far the work on disk is (any number that grows); it tells
 * crash loops from progress. */
int supervise(int (*engine)(void *context, struct engine_history *history), long (*progress)(void *context),
              void *context);

/* True once one of the signals has arrived that stop a run: SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU. They
 * stay pending, so that all who ask are told, in any thread. */
bool supervisor_stop_wanted(void);

/* A sign of life. */
void supervisor_beat(struct engine_history *history);

#endif
