/* The supervisor: exit statuses, restarts and what the next process knows of the last, crash loops, signals, the
 * watchdog. The engines here are functions; the supervisor says on stderr what became of them. */
#include "host/base/command.h"
#include "host/run/supervisor.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* Shared by the processes. */
struct told {
    long work;   /* on disk, as it were */
    int starts;  /* of the engine */
    int seen[8]; /* by start: history->restarts */
    char causes[8][64];
    double started[8];
    int32_t training[8]; /* of device 0 */
    bool working[8];
};

static struct told *told;

static int open_told(void **state)
{
    (void)state;
    told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return told == MAP_FAILED;
}

static int close_told(void **state)
{
    (void)state;
    return munmap(told, sizeof(*told));
}

static int clear_told(void **state)
{
    (void)state;
    *told = (struct told){0};
    return 0;
}

static long progress(void *context)
{
    (void)context;
    return told->work;
}

/* What this process finds, and leaves for the next. */
static int note(struct engine_history *history)
{
    const int start = told->starts++;
    told->seen[start] = history->restarts;
    strcpy(told->causes[start], history->cause);
    told->started[start] = history->started;
    told->training[start] = history->training[0];
    told->working[start] = history->working;
    history->training[0] = 10 + start;
    history->working = true;
    return start;
}

static int ends(void *context, struct engine_history *history)
{
    note(history);
    return *(int *)context;
}

/* The engine's; 1, which libgomp ends it with for want of memory, is an error as any other. */
static void test_exit_status(void **state)
{
    (void)state;
    for (int status = 0; status < 5; status++) {
        clear_told(NULL);
        assert_int_equal(supervise(ends, progress, &status), status == 1 ? COMMAND_ERROR : status);
        assert_int_equal(told->starts, 1);
        assert_int_equal(told->seen[0], 0);
        assert_string_equal(told->causes[0], "");
        assert_int_equal(told->training[0], -1);
        assert_true(told->started[0] > 0.0);
    }
}

static int dies_twice(void *context, struct engine_history *history)
{
    (void)context;
    const int start = note(history);
    if (start == 0)
        raise(SIGKILL);
    return start == 1 ? SUPERVISOR_AGAIN : 3;
}

static void test_restarts(void **state)
{
    (void)state;
    assert_int_equal(supervise(dies_twice, progress, NULL), 3);
    assert_int_equal(told->starts, 3);
    for (int start = 0; start < 3; start++) {
        assert_int_equal(told->seen[start], start);
        assert_int_equal(told->training[start], start == 0 ? -1 : 9 + start); /* what the last one left */
        assert_false(told->working[start]);
        assert_true(told->started[start] >= told->started[0] && told->started[start] <= told->started[0]);
    }
    assert_non_null(strstr(told->causes[1], "signal 9"));
    assert_string_equal(told->causes[2], "an error of the device");
}

static int dies(void *context, struct engine_history *history)
{
    const int start = note(history);
    if (start == *(int *)context)
        told->work++;
    raise(SIGABRT);
    return 0;
}

/* Work on disk begins the count anew: a second process that worked makes it two more than without. */
static void test_crash_loop(void **state)
{
    int works = -1;
    (void)state;
    assert_int_equal(supervise(dies, progress, &works), COMMAND_ERROR);
    assert_int_equal(told->starts, SUPERVISOR_MAX_RESTARTS);
    clear_told(NULL);
    works = 1;
    assert_int_equal(supervise(dies, progress, &works), COMMAND_ERROR);
    assert_int_equal(told->starts, SUPERVISOR_MAX_RESTARTS + 2);
}

/* ---- signals ---- */

static void pause_briefly(void)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    nanosleep(&moment, NULL);
}

/* Sends its supervisor the signal and waits until that comes back. */
static bool is_stopped_by(int number)
{
    kill(getppid(), number);
    for (int i = 0; i < 60000 && !supervisor_stop_wanted(); i++)
        pause_briefly();
    return supervisor_stop_wanted();
}

static int waits_for_signal(void *context, struct engine_history *history)
{
    note(history);
    if (supervisor_stop_wanted())
        return 1;
    if (!is_stopped_by(*(int *)context))
        return 4;
    return supervisor_stop_wanted() ? COMMAND_UNFINISHED : 2; /* all who ask are told */
}

static const int stopping[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU};

static void test_signals_are_passed_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(stopping) / sizeof(stopping[0]); i++) {
        int number = stopping[i];
        clear_told(NULL);
        assert_int_equal(supervise(waits_for_signal, progress, &number), COMMAND_UNFINISHED);
        assert_int_equal(told->starts, 1);
    }
}

/* The engine's own, as the kernel sends it when the time of the CPU is used up, or who means it and not its supervisor.
 */
static int signals_itself(void *context, struct engine_history *history)
{
    note(history);
    raise(*(int *)context);
    return supervisor_stop_wanted() ? COMMAND_UNFINISHED : 2;
}

static void test_signals_to_the_engine(void **state)
{
    int number = SIGXCPU;
    (void)state;
    assert_int_equal(supervise(signals_itself, progress, &number), COMMAND_UNFINISHED);
}

/* In a process of its own, because supervise() leaves signals blocked. What is ignored when the command starts does not
 * stop it: SIGHUP under nohup. */
static int is_not_stopped(void *context, struct engine_history *history)
{
    (void)context;
    note(history);
    kill(getppid(), SIGHUP);
    kill(getpid(), SIGHUP);
    return supervisor_stop_wanted() ? 1 : 7;
}

static void test_ignored_signals(void **state)
{
    int status;
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGHUP, SIG_IGN);
        _exit(supervise(is_not_stopped, progress, NULL));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
}

/* Deaf, but alive: it goes on sending signals until it is killed. The second one that does not come at once with the
 * first does it, and no other engine follows. */
static int is_deaf(void *context, struct engine_history *history)
{
    (void)context;
    note(history);
    atomic_store(&history->saving, 1); /* so that patience has no end soon */
    for (int i = 0; i < 60000; i++) {
        kill(getppid(), SIGINT);
        pause_briefly();
    }
    return 6;
}

static void test_second_signal_kills(void **state)
{
    (void)state;
    assert_int_equal(supervise(is_deaf, progress, NULL), COMMAND_UNFINISHED);
    assert_int_equal(told->starts, 1);
}

/* One signal only; with `saving` in hand it may take its time, without it is killed. */
static int takes_its_time(void *context, struct engine_history *history)
{
    note(history);
    atomic_store(&history->saving, *(int *)context);
    if (!is_stopped_by(SIGTERM))
        return 4;
    for (int i = 0; i < (*(int *)context ? 2500 : 60000); i++)
        pause_briefly();
    told->work = 1;
    return COMMAND_UNFINISHED;
}

static void test_patience(void **state)
{
    (void)state;
    for (int saving = 0; saving < 2; saving++) {
        clear_told(NULL);
        assert_int_equal(supervise(takes_its_time, progress, &saving), COMMAND_UNFINISHED);
        assert_int_equal(told->starts, 1);
        assert_int_equal(told->work, saving);
    }
}

/* An engine that dies while it stops is not started again. */
static int dies_of_signal(void *context, struct engine_history *history)
{
    (void)context;
    note(history);
    if (is_stopped_by(SIGTERM))
        raise(SIGKILL);
    return 4;
}

static void test_death_while_stopping(void **state)
{
    (void)state;
    assert_int_equal(supervise(dies_of_signal, progress, NULL), COMMAND_UNFINISHED);
    assert_int_equal(told->starts, 1);
}

/* ---- the watchdog ---- */

enum hang { HANG_SILENT, HANG_LATE, HANG_BEATS };

/* It waits until it is killed, or for three seconds, with signs of life or without. */
static int hangs(void *context, struct engine_history *history)
{
    const enum hang how = *(enum hang *)context;
    note(history);
    atomic_store(&history->silence, how == HANG_LATE ? 0.0 : 1.0);
    atomic_store(&history->deadline, how == HANG_LATE ? history->started : 0.0);
    for (int i = 0; i < 3000; i++) {
        if (how == HANG_BEATS)
            supervisor_beat(history);
        pause_briefly();
    }
    return 9;
}

static void test_watchdog(void **state)
{
    (void)state;
    for (enum hang how = HANG_SILENT; how <= HANG_BEATS; how++) {
        clear_told(NULL);
        assert_int_equal(supervise(hangs, progress, &how), how == HANG_BEATS ? 9 : COMMAND_ERROR);
        assert_int_equal(told->starts, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_exit_status, clear_told),
        cmocka_unit_test_setup(test_restarts, clear_told),
        cmocka_unit_test_setup(test_crash_loop, clear_told),
        cmocka_unit_test_setup(test_signals_are_passed_on, clear_told),
        cmocka_unit_test_setup(test_signals_to_the_engine, clear_told),
        cmocka_unit_test_setup(test_ignored_signals, clear_told),
        cmocka_unit_test_setup(test_second_signal_kills, clear_told),
        cmocka_unit_test_setup(test_patience, clear_told),
        cmocka_unit_test_setup(test_death_while_stopping, clear_told),
        cmocka_unit_test_setup(test_watchdog, clear_told),
    };
    /* A shell's background job is started with SIGINT ignored, and what is ignored does not stop. */
    for (size_t i = 0; i < sizeof(stopping) / sizeof(stopping[0]); i++)
        signal(stopping[i], SIG_DFL);
    return cmocka_run_group_tests(tests, open_told, close_told);
}
