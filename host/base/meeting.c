#include "host/base/meeting.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct meeting {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int32_t count, present;
    uint64_t round; /* meetings that have come about */
    double timeout;
    bool *came; /* [count] to the round that gathers */
    void *
        *offers[2]; /* by the parity of the round: a fast member may join the next while others still read */
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

enum status meeting_open(int32_t count, double timeout, struct meeting **meeting, struct error *err)
{
    size_t pointers = (size_t)count * sizeof(void *);
    struct meeting *made = calloc(1, sizeof *made);
    *meeting = NULL;
    if (made == NULL)
        return error_memory(err, "meeting", sizeof *made);
    made->count = count;
    made->timeout = timeout;
    made->came = calloc((size_t)count, sizeof *made->came);
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
        return error_memory(err, "meeting", 2 * pointers);
    }
    *meeting = made;
    return ST_OK;
}

void meeting_close(struct meeting *meeting)
{
    if (meeting == NULL)
        return;
    pthread_cond_destroy(&meeting->changed);
    pthread_mutex_destroy(&meeting->lock);
    free(meeting->offers[0]);
    free(meeting->offers[1]);
    free(meeting->came);
    free(meeting);
}

/* The lock is held. */
static void call_off(struct meeting *meeting, const char *reason)
{
    if (!meeting->off)
        snprintf(meeting->reason, sizeof meeting->reason, "%s", reason);
    meeting->off = true;
    pthread_cond_broadcast(&meeting->changed);
}

/* Calls off because of those who have not come; the lock is held. */
static void give_up(struct meeting *meeting, const char *what)
{
    char reason[ERROR_LENGTH];
    int used =
        snprintf(reason, sizeof reason, "%s: after %.10g s there is still no member", what, meeting->timeout);
    for (int32_t i = 0; i < meeting->count; i++) {
        if (!meeting->came[i] && used > 0 && (size_t)used < sizeof reason)
            used += snprintf(reason + used, sizeof reason - (size_t)used, " %d", (int)i);
    }
    if (used > 0 && (size_t)used < sizeof reason)
        snprintf(reason + used, sizeof reason - (size_t)used, " of 0 to %d", (int)meeting->count - 1);
    call_off(meeting, reason);
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

static enum status off_error(const struct meeting *meeting, struct error *err)
{
    return error_set(err, ST_DEVICE, "the group of devices is broken: %s", meeting->reason);
}

enum status meeting_join(struct meeting *meeting, int32_t member, const char *what, void *offer,
                         void *const **offers, struct error *err)
{
    enum status st = ST_OK;
    pthread_mutex_lock(&meeting->lock);
    const uint64_t round = meeting->round;
    *offers = meeting->offers[round % 2];
    meeting->offers[round % 2][member] = offer;
    meeting->came[member] = true;
    if (!meeting->off && ++meeting->present == meeting->count) {
        meeting->present = 0;
        for (int32_t i = 0; i < meeting->count; i++)
            meeting->came[i] = false;
        meeting->round++;
        pthread_cond_broadcast(&meeting->changed);
    }
    const struct timespec deadline = deadline_after(meeting->timeout);
    while (!meeting->off && meeting->round == round) {
        if (pthread_cond_timedwait(&meeting->changed, &meeting->lock, &deadline) == ETIMEDOUT &&
            meeting->round == round && !meeting->off)
            give_up(meeting, what);
    }
    /* A meeting that came about counts, even when it was called off before this member woke. */
    if (meeting->round == round)
        st = off_error(meeting, err);
    pthread_mutex_unlock(&meeting->lock);
    return st;
}

void meeting_call_off(struct meeting *meeting, const char *reason)
{
    pthread_mutex_lock(&meeting->lock);
    call_off(meeting, reason);
    pthread_mutex_unlock(&meeting->lock);
}

enum status meeting_check(struct meeting *meeting, struct error *err)
{
    pthread_mutex_lock(&meeting->lock);
    enum status st = meeting->off ? off_error(meeting, err) : ST_OK;
    pthread_mutex_unlock(&meeting->lock);
    return st;
}
