#include "host/base/crew.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct seat {
    struct crew *crew;
    pthread_t thread;
    int32_t member;
};

struct crew {
    pthread_mutex_t lock;
    pthread_cond_t begun, done;
    int32_t count, threads; /* threads that were made, without the caller's */
    struct seat *seats;     /* [count]; the first is not used */
    const struct crew_work *work;
    uint64_t pieces; /* of work, begun so far */
    int32_t busy;
    bool closing, failed;
    struct error error; /* of the first to fail */
};

static void do_work(struct crew *crew, int32_t member)
{
    const struct crew_work *work = crew->work;
    struct error err;
    if (work->work(work->context, member, &err) == ST_OK)
        return;
    pthread_mutex_lock(&crew->lock);
    bool first = !crew->failed;
    crew->failed = true;
    if (first)
        crew->error = err;
    pthread_mutex_unlock(&crew->lock);
    if (first && work->failed != NULL)
        work->failed(work->context, member, &err);
}

static void *serve(void *context)
{
    struct seat *seat = context;
    struct crew *crew = seat->crew;
    uint64_t seen = 0;
    pthread_mutex_lock(&crew->lock);
    while (true) {
        while (crew->pieces == seen && !crew->closing)
            pthread_cond_wait(&crew->begun, &crew->lock);
        if (crew->closing)
            break;
        seen++;
        pthread_mutex_unlock(&crew->lock);
        do_work(crew, seat->member);
        pthread_mutex_lock(&crew->lock);
        if (--crew->busy == 0)
            pthread_cond_signal(&crew->done);
    }
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

enum status crew_open(int32_t count, struct crew **crew, struct error *err)
{
    enum status st = ST_OK;
    struct crew *made = calloc(1, sizeof *made);
    *crew = NULL;
    if (made == NULL)
        return error_memory(err, "crew", sizeof *made);
    made->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    made->begun = made->done = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    made->count = count;
    made->seats = calloc((size_t)count, sizeof *made->seats);
    if (made->seats == NULL) {
        st = error_memory(err, "crew", (size_t)count * sizeof *made->seats);
        goto out;
    }
    for (int32_t member = 1; member < count; member++) {
        struct seat *seat = &made->seats[member];
        *seat = (struct seat){.crew = made, .member = member};
        int failed = pthread_create(&seat->thread, NULL, serve, seat);
        if (failed != 0) {
            st = error_system(err, failed, "a thread for member %d of %d", (int)member, (int)count);
            goto out;
        }
        made->threads++;
    }
    *crew = made;
    made = NULL;
out:
    crew_close(made);
    return st;
}

void crew_close(struct crew *crew)
{
    if (crew == NULL)
        return;
    pthread_mutex_lock(&crew->lock);
    crew->closing = true;
    pthread_cond_broadcast(&crew->begun);
    pthread_mutex_unlock(&crew->lock);
    for (int32_t k = 1; k <= crew->threads; k++)
        pthread_join(crew->seats[k].thread, NULL);
    pthread_cond_destroy(&crew->done);
    pthread_cond_destroy(&crew->begun);
    pthread_mutex_destroy(&crew->lock);
    free(crew->seats);
    free(crew);
}

enum status crew_run(struct crew *crew, const struct crew_work *work, struct error *err)
{
    pthread_mutex_lock(&crew->lock);
    crew->work = work;
    crew->failed = false;
    crew->busy = crew->threads;
    crew->pieces++;
    pthread_cond_broadcast(&crew->begun);
    pthread_mutex_unlock(&crew->lock);
    do_work(crew, 0);
    pthread_mutex_lock(&crew->lock);
    while (crew->busy > 0)
        pthread_cond_wait(&crew->done, &crew->lock);
    bool failed = crew->failed;
    pthread_mutex_unlock(&crew->lock);
    if (failed)
        *err = crew->error;
    return failed ? crew->error.status : ST_OK;
}
