/* Calls of the C library that fail once, each at each place in the program from which it is made: for tests in one
 * process that want every branch of an error. Whoever links this needs the options -Wl,--wrap=NAME of all FAILING_CALLS
 * (the Makefile has them), so that only nasrun's own calls are met, not those of libraries.
 *
 *     failing_begin(depth);
 *     do {
 *         failing_arm(); do what is to be tested; failing_pause(); failing_check_end(name, status, &err);
 *     } while (failing_more());
 *
 * A place is a call and the `depth` calls that lead to it. Each round lets one place fail that no earlier round of the
 * process has, the first time it is come by; the last round, in which there is none left, is undisturbed. */
#ifndef NASRUN_TESTS_FAULTS_FAILING_H
#define NASRUN_TESTS_FAULTS_FAILING_H

#include "host/base/error.h"

#include <stdbool.h>
#include <stdint.h>

void failing_begin(int depth);
void failing_arm(void);
/* Until the next round nothing fails. */
void failing_pause(void);
/* Whether something has failed in this round: then there may be more. */
bool failing_more(void);
/* That call and its addresses, for addr2line; "nothing". */
const char *failing_where(void);
/* Fails the test unless an error has its status and one line, and something failed before it. */
void failing_check_end(const char *name, enum status st, const struct error *err);
/* Rounds in which something failed since failing_begin. */
int32_t failing_count(void);

/* All of that with a scene, which is done undisturbed first, then once for each place. How many rounds something failed
 * in. */
typedef enum status failing_scene(void *context, struct error *err);
int32_t failing_play(const char *name, int depth, failing_scene *scene, void *context);

#endif
