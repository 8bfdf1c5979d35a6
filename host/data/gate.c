/* A budget of bytes that threads share: decoded images of all threads together stay below it, however large they are.
 * One that is larger than the budget itself is let in alone. */
#include "host/data/gate.h"

void gate_open(struct gate *gate, int64_t budget)
{
    *gate = (struct gate){.budget = budget};
    pthread_mutex_init(&gate->lock, NULL);
    pthread_cond_init(&gate->changed, NULL);
}

void gate_enter(struct gate *gate, int64_t bytes)
{
    pthread_mutex_lock(&gate->lock);
    while (gate->used > 0 && gate->used + bytes > gate->budget)
        pthread_cond_wait(&gate->changed, &gate->lock);
    gate->used += bytes;
    gate->most = gate->used > gate->most ? gate->used : gate->most;
    pthread_mutex_unlock(&gate->lock);
}

void gate_leave(struct gate *gate, int64_t bytes)
{
    pthread_mutex_lock(&gate->lock);
    gate->used -= bytes;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

void gate_close(struct gate *gate)
{
    pthread_mutex_destroy(&gate->lock);
    pthread_cond_destroy(&gate->changed);
}
