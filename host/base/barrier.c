#include "host/base/barrier.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct barrier {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int32_t count, present;
    uint64_t round; /* barriers that have come about */
    double timeout;
    bool *came; /* [count] to the round that gathers */
    /* by the parity of the round: a fast member may join the next while others still read */
    void **offers[2];
    bool off;
    char reason[ERROR_LENGTH];
};

/* Waiting counts by a clock that nobody sets. */
static int make_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    int failed = pthread_condattr_init(&attributes);
    if (failed != 0)
        return failed;
    failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (failed == 0)
        failed = pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
    return failed;
}

enum status barrier_open(int32_t count, double timeout, struct barrier **barrier, struct error *err)
{
    size_t pointers = (size_t)count * sizeof(void *);
    struct barrier *made = calloc(1, sizeof(*made));
    *barrier = NULL;
    if (made == NULL)
        return error_memory(err, "barrier", sizeof(*made));
    made->count = count;
    made->timeout = timeout;
    made->came = calloc((size_t)count, sizeof(*made->came));
    made->offers[0] = calloc(1, pointers);
    made->offers[1] = calloc(1, pointers);
    bool complete = made->came != NULL && made->offers[0] != NULL && made->offers[1] != NULL;
    complete = complete && pthread_mutex_init(&made->lock, NULL) == 0;
    if (complete && make_condition(&made->changed) != 0) {
        pthread_mutex_destroy(&made->lock);
        complete = false;
    }
    if (!complete) {
        free(made->offers[0]);
        free(made->offers[1]);
        free(made->came);
        free(made);
        return error_memory(err, "barrier", 2 * pointers);
    }
    *barrier = made;
    return ST_OK;
}

void barrier_close(struct barrier *barrier)
{
    if (barrier == NULL)
        return;
    pthread_cond_destroy(&barrier->changed);
    pthread_mutex_destroy(&barrier->lock);
    free(barrier->offers[0]);
    free(barrier->offers[1]);
    free(barrier->came);
    free(barrier);
}

/* The lock is held. */
static void call_off(struct barrier *barrier, const char *reason)
{
    if (!barrier->off)
        snprintf(barrier->reason, sizeof(barrier->reason), "%s", reason);
    barrier->off = true;
    pthread_cond_broadcast(&barrier->changed);
}

/* Calls off because of those who have not come; the lock is held. */
static void give_up(struct barrier *barrier, const char *what)
{
    char reason[ERROR_LENGTH];
    int used = snprintf(reason, sizeof(reason), "%s: after %.10g s there is still no member", what,
                        barrier->timeout);
    for (int32_t i = 0; i < barrier->count; i++) {
        if (!barrier->came[i] && used > 0 && (size_t)used < sizeof(reason))
            used += snprintf(reason + used, sizeof(reason) - (size_t)used, " %d", (int)i);
    }
    if (used > 0 && (size_t)used < sizeof(reason))
        snprintf(reason + used, sizeof(reason) - (size_t)used, " of 0 to %d", (int)barrier->count - 1);
    call_off(barrier, reason);
}

static struct timespec deadline_after(double seconds)
{
    struct timespec at;
    double whole = floor(seconds);
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)whole;
    at.tv_nsec += (long)((seconds - whole) * 1e9);
    if (at.tv_nsec >= 1000000000L) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000L;
    }
    return at;
}

static enum status off_error(const struct barrier *barrier, struct error *err)
{
    return error_set(err, ST_DEVICE, "the group of devices is broken: %s", barrier->reason);
}

enum status barrier_wait(struct barrier *barrier, int32_t member, const char *what, void *offer,
                         void *const **offers, struct error *err)
{
    enum status st = ST_OK;
    pthread_mutex_lock(&barrier->lock);
    const uint64_t round = barrier->round;
    *offers = barrier->offers[round % 2];
    barrier->offers[round % 2][member] = offer;
    barrier->came[member] = true;
    if (!barrier->off && ++barrier->present == barrier->count) {
        barrier->present = 0;
        for (int32_t i = 0; i < barrier->count; i++)
            barrier->came[i] = false;
        barrier->round++;
        pthread_cond_broadcast(&barrier->changed);
    }
    const struct timespec deadline = deadline_after(barrier->timeout);
    while (!barrier->off && barrier->round == round) {
        if (pthread_cond_timedwait(&barrier->changed, &barrier->lock, &deadline) == ETIMEDOUT &&
            barrier->round == round && !barrier->off)
            give_up(barrier, what);
    }
    /* A barrier that came about counts, even when it was called off before this member woke. */
    if (barrier->round == round)
        st = off_error(barrier, err);
    pthread_mutex_unlock(&barrier->lock);
    return st;
}

void barrier_abort(struct barrier *barrier, const char *reason)
{
    pthread_mutex_lock(&barrier->lock);
    call_off(barrier, reason);
    pthread_mutex_unlock(&barrier->lock);
}

enum status barrier_check(struct barrier *barrier, struct error *err)
{
    pthread_mutex_lock(&barrier->lock);
    enum status st = barrier->off ? off_error(barrier, err) : ST_OK;
    pthread_mutex_unlock(&barrier->lock);
    return st;
}
