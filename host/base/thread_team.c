#include "host/base/thread_team.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct seat {
    struct thread_team *team;
    pthread_t thread;
    int32_t member;
};

struct thread_team {
    pthread_mutex_t lock;
    pthread_cond_t begun, done;
    int32_t count, threads; /* threads that were made, without the caller's */
    struct seat *seats;     /* [count]; the first is not used */
    const struct thread_team_work *work;
    uint64_t pieces; /* of work, begun so far */
    int32_t busy;
    bool closing, failed;
    struct error error; /* of the first to fail */
};

static void do_work(struct thread_team *team, int32_t member)
{
    const struct thread_team_work *work = team->work;
    struct error err;
    if (work->work(work->context, member, &err) == ST_OK)
        return;
    pthread_mutex_lock(&team->lock);
    bool first = !team->failed;
    team->failed = true;
    if (first)
        team->error = err;
    pthread_mutex_unlock(&team->lock);
    if (first && work->failed != NULL)
        work->failed(work->context, member, &err);
}

static void *serve(void *context)
{
    struct seat *seat = context;
    struct thread_team *team = seat->team;
    uint64_t seen = 0;
    pthread_mutex_lock(&team->lock);
    while (true) {
        while (team->pieces == seen && !team->closing)
            pthread_cond_wait(&team->begun, &team->lock);
        if (team->closing)
            break;
        seen++;
        pthread_mutex_unlock(&team->lock);
        do_work(team, seat->member);
        pthread_mutex_lock(&team->lock);
        if (--team->busy == 0)
            pthread_cond_signal(&team->done);
    }
    pthread_mutex_unlock(&team->lock);
    return NULL;
}

enum status thread_team_open(int32_t count, struct thread_team **team, struct error *err)
{
    enum status st = ST_OK;
    struct thread_team *made = calloc(1, sizeof(*made));
    *team = NULL;
    if (made == NULL)
        return error_memory(err, "team", sizeof(*made));
    made->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    made->begun = made->done = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    made->count = count;
    made->seats = calloc((size_t)count, sizeof(*made->seats));
    if (made->seats == NULL) {
        st = error_memory(err, "team", (size_t)count * sizeof(*made->seats));
        goto out;
    }
    for (int32_t member = 1; member < count; member++) {
        struct seat *seat = &made->seats[member];
        *seat = (struct seat){.team = made, .member = member};
        int failed = pthread_create(&seat->thread, NULL, serve, seat);
        if (failed != 0) {
            st = error_system(err, failed, "a thread for member %d of %d", (int)member, (int)count);
            goto out;
        }
        made->threads++;
    }
    *team = made;
    made = NULL;
out:
    thread_team_close(made);
    return st;
}

void thread_team_close(struct thread_team *team)
{
    if (team == NULL)
        return;
    pthread_mutex_lock(&team->lock);
    team->closing = true;
    pthread_cond_broadcast(&team->begun);
    pthread_mutex_unlock(&team->lock);
    for (int32_t k = 1; k <= team->threads; k++)
        pthread_join(team->seats[k].thread, NULL);
    pthread_cond_destroy(&team->done);
    pthread_cond_destroy(&team->begun);
    pthread_mutex_destroy(&team->lock);
    free(team->seats);
    free(team);
}

enum status thread_team_run(struct thread_team *team, const struct thread_team_work *work, struct error *err)
{
    pthread_mutex_lock(&team->lock);
    team->work = work;
    team->failed = false;
    team->busy = team->threads;
    team->pieces++;
    pthread_cond_broadcast(&team->begun);
    pthread_mutex_unlock(&team->lock);
    do_work(team, 0);
    pthread_mutex_lock(&team->lock);
    while (team->busy > 0)
        pthread_cond_wait(&team->done, &team->lock);
    bool failed = team->failed;
    pthread_mutex_unlock(&team->lock);
    if (failed)
        *err = team->error;
    return failed ? team->error.status : ST_OK;
}
