#include "host/run/supervisor.h"

#include "host/base/clock.h"
#include "host/base/command.h"

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

/* How often the supervisor looks at its engine: while all is well, and once that was asked to stop. */
static const double LOOK_SECONDS = 0.5, LOOK_CLOSELY_SECONDS = 0.05;
/* One event often sends several signals: timeout(1) to the process and to its group, a terminal that closes together
 * with its shell. What follows this soon belongs to the first. */
static const double SAME_SECONDS = 0.4;
/* After the first signal: for an engine that does not save, and for one that does. */
static const double PATIENCE_SECONDS = 1.6, SAVING_SECONDS = 30.0;

/* ---- signals ---- */

static const int stopping[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU};
enum { STOPPING = sizeof(stopping) / sizeof(stopping[0]) };

static sigset_t stop_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < STOPPING; i++)
        sigaddset(&set, stopping[i]);
    return set;
}

bool supervisor_stop_wanted(void)
{
    sigset_t pending;
    sigpending(&pending);
    for (int i = 0; i < STOPPING; i++) {
        if (sigismember(&pending, stopping[i]) == 1)
            return true;
    }
    return false;
}

void supervisor_beat(struct engine_history *history)
{
    atomic_fetch_add(&history->beats, 1);
}

/* ---- one engine ---- */

/* Why the supervisor has killed it. */
enum verdict { VERDICT_NONE, VERDICT_STOPPED, VERDICT_SILENT, VERDICT_LATE };

struct watch {
    pid_t child;
    struct engine_history *history;
    double first;   /* clock_seconds of the first signal */
    double asked;   /* the same, moved on by what the engine could not use; 0: none has come */
    double looked;  /* of the last look */
    double asleep;  /* seconds in which the supervisor did not run, or the engine was held by somebody */
    double alive;   /* of the last sign of life */
    unsigned beats; /* at it */
    enum verdict verdict;
};

/* Stopped by SIGSTOP or held by a debugger: the letter behind the name, in parentheses, which may hold blanks. */
static bool is_held(pid_t process)
{
    char path[64], line[512];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)process);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    const char *at = fgets(line, sizeof(line), file) != NULL ? strrchr(line, ')') : NULL;
    fclose(file);
    return at != NULL && at[1] == ' ' && (at[2] == 'T' || at[2] == 't');
}

static void end(struct watch *watch, enum verdict verdict)
{
    if (watch->verdict == VERDICT_NONE)
        watch->verdict = verdict;
    kill(watch->child, SIGKILL);
}

/* The time between two looks is the engine's own, unless both were stopped with the whole group, or the machine stood
 * still. */
static void look(struct watch *watch, double now)
{
    struct engine_history *history = watch->history;
    const unsigned beats = atomic_load(&history->beats);
    const double passed = now - watch->looked, silence = atomic_load(&history->silence),
                 deadline = atomic_load(&history->deadline);
    watch->looked = now;
    if (passed > 2.0 * LOOK_SECONDS || is_held(watch->child)) {
        watch->asleep += passed;
        watch->alive += passed;
        if (watch->asked > 0.0)
            watch->asked += passed;
        return;
    }
    if (beats != watch->beats) {
        watch->beats = beats;
        watch->alive = now;
    }
    if (watch->asked > 0.0) {
        const bool saving = atomic_load(&history->saving) > 0;
        if (now - watch->asked > (saving ? SAVING_SECONDS : PATIENCE_SECONDS))
            end(watch, VERDICT_STOPPED);
    } else if (silence > 0.0 && now - watch->alive > silence) {
        end(watch, VERDICT_SILENT);
    } else if (deadline > 0.0 && now > deadline + watch->asleep) {
        end(watch, VERDICT_LATE);
    }
}

static bool stops(int number)
{
    sigset_t set = stop_signals();
    return number > 0 && sigismember(&set, number) == 1;
}

static void take_signal(struct watch *watch, double now)
{
    if (watch->asked > 0.0) {
        if (now - watch->first >= SAME_SECONDS)
            end(watch, VERDICT_STOPPED);
        return;
    }
    watch->asked = watch->first = now;
    kill(watch->child, SIGTERM);
}

static struct timespec until_next_look(const struct watch *watch)
{
    const double seconds = watch->asked > 0.0 ? LOOK_CLOSELY_SECONDS : LOOK_SECONDS;
    return (struct timespec){.tv_nsec = (long)(1e9 * seconds)};
}

/* Waits for the child's end, and returns its status. */
static int wait_for(struct watch *watch)
{
    int status;
    sigset_t set = stop_signals();
    sigaddset(&set, SIGCHLD);
    watch->alive = watch->looked = clock_seconds();
    for (;;) {
        const struct timespec pause = until_next_look(watch);
        if (waitpid(watch->child, &status, WNOHANG) == watch->child)
            return status;
        const int received = sigtimedwait(&set, NULL, &pause);
        const double now = clock_seconds();
        if (stops(received))
            take_signal(watch, now);
        if (watch->verdict == VERDICT_NONE)
            look(watch, now);
    }
}

/* ---- all of them ---- */

/* What the supervisor ends with after its own kill, or after a signal that the engine did not survive. */
static int say_verdict(const struct watch *watch)
{
    switch (watch->verdict) {
    case VERDICT_NONE: /* it died by itself, while it was stopping */
    case VERDICT_STOPPED:
        fprintf(stderr,
                "nasrun: stopped at once: what was done since the last checkpoint will be done again\n");
        return COMMAND_UNFINISHED;
    case VERDICT_SILENT:
        fprintf(stderr,
                "nasrun: the engine has shown no sign of life for %.0f s and was killed; the same command "
                "goes on "
                "from the last checkpoint\n",
                atomic_load(&watch->history->silence));
        break;
    case VERDICT_LATE:
        fprintf(stderr,
                "nasrun: the engine did not end with its budget and was killed; the same command goes on "
                "from the last checkpoint\n");
        break;
    }
    return COMMAND_ERROR;
}

static void begin_history(struct engine_history *history)
{
    history->working = false;
    atomic_store(&history->silence, 0.0);
    atomic_store(&history->deadline, 0.0);
    atomic_store(&history->saving, 0);
}

static void note_cause(struct engine_history *history, int status)
{
    history->restarts++;
    if (WIFEXITED(status))
        snprintf(history->cause, sizeof(history->cause), "an error of the device");
    else
        snprintf(history->cause, sizeof(history->cause), "signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
}

/* What whoever started the command wants ignored stays so: nohup's SIGHUP, the SIGINT of a background job. Blocked it
 * would become pending all the same. */
static void block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    for (int i = 0; i < STOPPING; i++) {
        struct sigaction before;
        if (sigaction(stopping[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaddset(&set, stopping[i]);
    }
    sigprocmask(SIG_BLOCK, &set, NULL);
    /* A full disk, a file-size limit or a reader that has gone is an error to report, not a crash to restart
     * from. */
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
}

int supervise(int (*engine)(void *context, struct engine_history *history), long (*progress)(void *context),
              void *context)
{
    int fruitless = 0;
    struct engine_history *history =
        mmap(NULL, sizeof(*history), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (history == MAP_FAILED) {
        fprintf(stderr, "nasrun: no memory for the supervisor: %s\n", strerror(errno));
        return COMMAND_ERROR;
    }
    history->started = clock_process_start();
    for (int k = 0; k < DEVICES_MOST; k++)
        history->training[k] = -1;
    block_signals();

    for (;;) {
        long before = progress(context);
        begin_history(history);
        pid_t supervisor = getpid();
        fflush(NULL);
        struct watch watch = {.history = history, .child = fork()};
        if (watch.child < 0) {
            fprintf(stderr, "nasrun: can't start the engine: %s\n", strerror(errno));
            return COMMAND_ERROR;
        }
        if (watch.child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != supervisor) /* it died before the line above */
                _exit(COMMAND_ERROR);
            exit(engine(context, history));
        }
        int status = wait_for(&watch);
        if (WIFEXITED(status) && WEXITSTATUS(status) != SUPERVISOR_AGAIN)
            return WEXITSTATUS(status) == LIBRARY_EXIT ? COMMAND_ERROR : WEXITSTATUS(status);
        if (watch.verdict != VERDICT_NONE || watch.asked > 0.0)
            return say_verdict(&watch);
        note_cause(history, status);
        fruitless = progress(context) > before ? 0 : fruitless + 1;
        if (fruitless >= SUPERVISOR_MAX_RESTARTS) {
            fprintf(stderr, "nasrun: the engine was killed %d times in a row without progress, last by %s\n",
                    fruitless, history->cause);
            return COMMAND_ERROR;
        }
        fprintf(stderr, "nasrun: the engine was killed by %s; it goes on from its last checkpoint\n",
                history->cause);
    }
}
