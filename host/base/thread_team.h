/* A team: threads that do the same piece of work at the same time, each as another member. Member 0 is the thread that
 * calls; the others are made at open and wait between two pieces of work. */
#ifndef NASRUN_BASE_THREAD_TEAM_H
#define NASRUN_BASE_THREAD_TEAM_H

#include "host/base/error.h"

#include <stdint.h>

struct thread_team;

/* What a team does. `work` is called once for each member; when the first of them fails, `failed` (NULL: nothing) is
 * called once, from that member's thread, so that it can set free those who wait for it. */
struct thread_team_work {
    void *context;
    enum status (*work)(void *context, int32_t member, struct error *err);
    void (*failed)(void *context, int32_t member, const struct error *err);
};

/* A team of one has no threads of its own. */
enum status thread_team_open(int32_t count, struct thread_team **team, struct error *err);
void thread_team_close(struct thread_team *team); /* between two pieces of work; NULL is allowed */

/* Returns when all members are done. The error is that of the member who failed first: the others' may only follow from
 * it. */
enum status thread_team_run(struct thread_team *team, const struct thread_team_work *work, struct error *err);

#endif
