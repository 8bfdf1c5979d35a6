/* A budget of bytes that threads share.
 *
 *     gate_enter(&gate, bytes) ... gate_leave(&gate, bytes)
 */
#ifndef NASRUN_DATA_GATE_H
#define NASRUN_DATA_GATE_H

#include <pthread.h>
#include <stdint.h>

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t budget, used;
    int64_t most; /* that was ever in use at once */
};

void gate_open(struct gate *gate, int64_t budget);
/* Waits until `bytes` more fit, or nothing else is in use. */
void gate_enter(struct gate *gate, int64_t bytes);
void gate_leave(struct gate *gate, int64_t bytes);
void gate_close(struct gate *gate);

#endif
