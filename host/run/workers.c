#include "host/run/workers.h"

#include "host/base/clock.h"
#include "host/run/admission.h"
#include "host/run/record.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* How often the main thread looks for signals while it waits. */
enum { LOOK_MILLISECONDS = 100 };

struct worker {
    struct workers *workers;
    pthread_t thread;
    int32_t device;
    struct candidate *candidate; /* in training; NULL: idle */
    double since;                /* clock_seconds when it began */
};

/* All of it under run->lock. */
struct workers {
    struct run *run;
    int32_t count, threads; /* threads that were made */
    struct worker *items;   /* [count] */
    pthread_cond_t given, ended;
    struct candidate **queue; /* [run->window], the first `queued` in the order of their giving */
    int32_t queued;
    bool closing, failed;
    struct error error; /* the first that ends the run */
};

/* ---- the workers' side ---- */

static int32_t busy(const struct workers *workers)
{
    int32_t count = 0;
    for (int32_t k = 0; k < workers->count; k++)
        count += workers->items[k].candidate != NULL;
    return count;
}

static bool somebody_is_alone(const struct workers *workers)
{
    for (int32_t k = 0; k < workers->count; k++) {
        if (workers->items[k].candidate != NULL && workers->items[k].candidate->alone)
            return true;
    }
    return false;
}

/* In the order of their giving, so that the order in which candidates begin does not depend on who is free. */
static bool may_take(const struct workers *workers)
{
    return workers->queued > 0 && !workers->failed && !atomic_load(&workers->run->stop) &&
           !somebody_is_alone(workers) && (!workers->queue[0]->alone || busy(workers) == 0);
}

static struct candidate *take(struct workers *workers)
{
    struct candidate *candidate = workers->queue[0];
    workers->queued--;
    for (int32_t i = 0; i < workers->queued; i++)
        workers->queue[i] = workers->queue[i + 1];
    return candidate;
}

/* The first error stays; the others' trainings save themselves. */
static void note_failure(struct workers *workers, const struct error *err)
{
    if (!workers->failed)
        workers->error = *err;
    workers->failed = true;
    atomic_store(&workers->run->stop, true);
}

static void work(struct worker *worker)
{
    struct workers *workers = worker->workers;
    struct run *run = workers->run;
    const struct team team = {worker->device, 1};
    struct candidate *candidate = take(workers);
    struct error err;

    worker->candidate = candidate;
    worker->since = clock_seconds();
    run->history->training[worker->device] = candidate->id;
    enum status st = candidate->restored ? ST_OK : record_candidate(run, candidate, &err);
    run_unlock(run);
    if (st == ST_OK)
        st = candidate_train(run, candidate, team, &err);
    run_lock(run);
    worker->candidate = NULL;
    candidate->ended = st == ST_OK; /* from here on it is the main thread's */
    if (st != ST_DEVICE)            /* then it stays noted: the next process wants to know */
        run->history->training[worker->device] = -1;
    if (st != ST_OK)
        note_failure(workers, &err);
}

static void *serve(void *context)
{
    struct worker *worker = context;
    struct workers *workers = worker->workers;
    run_lock(workers->run);
    while (!workers->closing) {
        if (!may_take(workers)) {
            pthread_cond_wait(&workers->given, &workers->run->lock);
            continue;
        }
        work(worker);
        pthread_cond_broadcast(&workers->ended);
        pthread_cond_broadcast(&workers->given); /* who waited for one that is alone */
    }
    run_unlock(workers->run);
    return NULL;
}

/* ---- the main thread's side ---- */

enum status workers_open(struct run *run, struct workers **opened, struct error *err)
{
    const int32_t count = run->devices.workers;
    struct workers *workers = calloc(1, sizeof(*workers));
    *opened = workers;
    if (workers == NULL)
        return error_memory(err, "workers", sizeof(*workers));
    workers->run = run;
    pthread_cond_init(&workers->given, NULL);
    pthread_cond_init(&workers->ended, NULL);
    workers->items = calloc((size_t)count, sizeof(*workers->items));
    workers->queue = calloc((size_t)run->window, sizeof(struct candidate *));
    if (workers->items == NULL || workers->queue == NULL)
        return error_memory(err, "workers", (size_t)count * sizeof(*workers->items));
    workers->count = count;
    for (int32_t k = 0; k < count; k++) {
        workers->items[k] = (struct worker){.workers = workers, .device = k};
        int error = pthread_create(&workers->items[k].thread, NULL, serve, &workers->items[k]);
        if (error != 0)
            return error_system(err, error, "worker of device %d", (int)k);
        workers->threads++;
    }
    return ST_OK;
}

static bool began_before(const struct worker *a, const struct worker *b)
{
    return a->since < b->since || (!(a->since > b->since) && a->device < b->device);
}

/* The device that is likely to take the next candidate that is given: who has trained for the longest is free first,
 * and takes the first in the queue. -1 when one is idle, or when each has its next one waiting. */
static int32_t likely_taker(const struct workers *workers)
{
    int32_t taker = -1;
    for (int32_t k = 0; k < workers->count; k++) {
        int32_t earlier = 0;
        if (workers->items[k].candidate == NULL)
            return -1;
        for (int32_t other = 0; other < workers->count; other++)
            earlier += began_before(&workers->items[other], &workers->items[k]);
        if (earlier == workers->queued)
            taker = k;
    }
    return taker;
}

void workers_give(struct workers *workers, struct candidate *candidate)
{
    struct run *run = workers->run;
    run_lock(run);
    const int32_t device = likely_taker(workers);
    run_unlock(run);
    if (run->window > workers->count && device >= 0 && !candidate->restored)
        admission_prepare_ahead(run, candidate, device);
    run_lock(run);
    workers->queue[workers->queued++] = candidate;
    pthread_cond_broadcast(&workers->given);
    run_unlock(run);
}

static struct timespec next_look(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    time.tv_nsec += LOOK_MILLISECONDS * 1000000L;
    time.tv_sec += time.tv_nsec / 1000000000L;
    time.tv_nsec %= 1000000000L;
    return time;
}

static bool has_ended(const struct candidate *const *candidates, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (candidates[i]->ended)
            return true;
    return false;
}

enum status workers_wait(struct workers *workers, const struct candidate *const *candidates, int32_t count,
                         struct error *err)
{
    struct run *run = workers->run;
    enum status st = ST_OK;
    run_lock(run);
    while (!has_ended(candidates, count) && !(workers->failed && busy(workers) == 0)) {
        const struct timespec until = next_look();
        if (supervisor_stop_wanted())
            atomic_store(&run->stop, true);
        if (atomic_load(&run->stop) && busy(workers) == 0)
            break;
        pthread_cond_timedwait(&workers->ended, &run->lock, &until);
    }
    if (workers->failed) {
        *err = workers->error;
        st = err->status;
    } else if (!has_ended(candidates, count)) {
        st = error_set(err, ST_INTERRUPTED, "stopped by a signal");
    }
    run_unlock(run);
    return st;
}

void workers_close(struct workers *workers)
{
    if (workers == NULL)
        return;
    run_lock(workers->run);
    workers->closing = true;
    if (busy(workers) > 0)
        atomic_store(&workers->run->stop, true);
    pthread_cond_broadcast(&workers->given);
    run_unlock(workers->run);
    for (int32_t k = 0; k < workers->threads; k++)
        pthread_join(workers->items[k].thread, NULL);
    pthread_cond_destroy(&workers->given);
    pthread_cond_destroy(&workers->ended);
    free(workers->queue);
    free(workers->items);
    free(workers);
}
