/* A barrier of threads that work in lockstep: a barrier at which each hands the others a pointer, with a timeout and a
 * way to call it off, so that nobody waits for ever for a thread that has failed. */
#ifndef NASRUN_BASE_BARRIER_H
#define NASRUN_BASE_BARRIER_H

#include "host/base/error.h"

#include <stdint.h>

struct barrier;

/* For members 0 to count - 1; who waits longer than `timeout` seconds calls the barrier off. */
enum status barrier_open(int32_t count, double timeout, struct barrier **barrier, struct error *err);
/* After all members have left their last barrier_wait. NULL is allowed. */
void barrier_close(struct barrier *barrier);

/* Waits until every member has come. `what` is for messages: "all-reduce". `offers` receives what each member has
 * handed over, by its number; it may be read until this member joins again, and what the pointers lead to until all
 * others have joined once more. ST_DEVICE when the barrier is called off, with the reason. */
enum status barrier_wait(struct barrier *barrier, int32_t member, const char *what, void *offer,
                         void *const **offers, struct error *err);

/* Calls the barrier off for good: all who wait, now or later, get ST_DEVICE with `reason`. The first reason stays. */
void barrier_abort(struct barrier *barrier, const char *reason);

/* ST_DEVICE with the reason when it is called off. Never waits for members. */
enum status barrier_check(struct barrier *barrier, struct error *err);

#endif
