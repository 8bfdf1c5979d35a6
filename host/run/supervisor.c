#include "host/run/supervisor.h"

#include "host/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What libgomp ends a process with that it has no memory or no threads for, after one line of its own. */
enum { LIBRARY_EXIT = 1 };

static sigset_t stop_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

bool supervisor_stop_wanted(void)
{
    const struct timespec at_once = {0};
    sigset_t set = stop_signals();
    return sigtimedwait(&set, NULL, &at_once) > 0;
}

/* Waits for the child, passing signals on: the first asks it to stop, the third kills it. */
static int wait_for(pid_t child)
{
    int status, asked = 0;
    sigset_t set = stop_signals();
    sigaddset(&set, SIGCHLD);
    for (;;) {
        pid_t ended = waitpid(child, &status, WNOHANG);
        if (ended == child)
            return status;
        int received = sigwaitinfo(&set, NULL);
        if (received == SIGINT || received == SIGTERM)
            kill(child, ++asked < 3 ? SIGTERM : SIGKILL);
    }
}

int supervise(int (*engine)(void *context, struct engine_history *history), long (*progress)(void *context),
              void *context)
{
    int fruitless = 0;
    struct engine_history *history =
        mmap(NULL, sizeof(*history), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (history == MAP_FAILED) {
        fprintf(stderr, "nasrun: no memory for the supervisor: %s\n", strerror(errno));
        return 2;
    }
    history->started = clock_process_start();
    for (int k = 0; k < DEVICES_MOST; k++)
        history->training[k] = -1;
    sigset_t set = stop_signals();
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    /* A full disk, a file-size limit or a reader that has gone is an error to report, not a crash to restart
     * from. */
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);

    for (;;) {
        long before = progress(context);
        history->working = false;
        pid_t supervisor = getpid();
        fflush(NULL);
        pid_t child = fork();
        if (child < 0) {
            fprintf(stderr, "nasrun: can't start the engine: %s\n", strerror(errno));
            return 2;
        }
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != supervisor) /* it died before the line above */
                _exit(2);
            exit(engine(context, history));
        }
        int status = wait_for(child);
        if (WIFEXITED(status) && WEXITSTATUS(status) != SUPERVISOR_AGAIN)
            return WEXITSTATUS(status) == LIBRARY_EXIT ? 2 : WEXITSTATUS(status);
        history->restarts++;
        if (WIFEXITED(status))
            snprintf(history->cause, sizeof(history->cause), "an error of the device");
        else
            snprintf(history->cause, sizeof(history->cause), "signal %d (%s)", WTERMSIG(status),
                     strsignal(WTERMSIG(status)));
        fruitless = progress(context) > before ? 0 : fruitless + 1;
        if (fruitless >= SUPERVISOR_MAX_RESTARTS) {
            fprintf(stderr, "nasrun: the engine was killed %d times in a row without progress, last by %s\n",
                    fruitless, history->cause);
            return 2;
        }
        fprintf(stderr, "nasrun: the engine was killed by %s; it goes on from its last checkpoint\n",
                history->cause);
    }
}
