/* The supervisor: exit statuses, restarts and what the next process knows of the last, crash loops, signals. The
 * engines here are functions that end at once; the supervisor says on stderr what became of them. */
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
    told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return told == MAP_FAILED;
}

static int close_told(void **state)
{
    (void)state;
    return munmap(told, sizeof *told);
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

static void test_exit_status(void **state)
{
    (void)state;
    for (int status = 0; status < 5; status++) {
        clear_told(NULL);
        assert_int_equal(supervise(ends, progress, &status), status);
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
    assert_int_equal(supervise(dies, progress, &works), 2);
    assert_int_equal(told->starts, SUPERVISOR_MAX_RESTARTS);
    clear_told(NULL);
    works = 1;
    assert_int_equal(supervise(dies, progress, &works), 2);
    assert_int_equal(told->starts, SUPERVISOR_MAX_RESTARTS + 2);
}

/* Sends its supervisor a signal and waits until that comes back. */
static int waits_for_signal(void *context, struct engine_history *history)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    note(history);
    if (supervisor_stop_wanted())
        return 1;
    kill(getppid(), *(int *)context);
    for (int i = 0; i < 60000; i++) {
        if (supervisor_stop_wanted())
            return supervisor_stop_wanted() ? 2 : 130; /* it is told once */
        nanosleep(&moment, NULL);
    }
    return 4;
}

static void test_signals_are_passed_on(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM};
    (void)state;
    for (int i = 0; i < 2; i++) {
        int number = signals[i];
        assert_int_equal(supervise(waits_for_signal, progress, &number), 130);
    }
}

/* Deaf to the first two, killed by the third; each is sent when the last one has arrived. */
static int is_deaf(void *context, struct engine_history *history)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    (void)context;
    if (note(history) > 0)
        return 5;
    for (int sent = 0; sent < 3; sent++) {
        kill(getppid(), SIGINT);
        for (int i = 0; i < 60000 && !supervisor_stop_wanted(); i++)
            nanosleep(&moment, NULL);
    }
    return 6;
}

static void test_third_signal_kills(void **state)
{
    (void)state;
    assert_int_equal(supervise(is_deaf, progress, NULL), 5);
    assert_int_equal(told->starts, 2);
    assert_non_null(strstr(told->causes[1], "signal 9"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_exit_status, clear_told),
        cmocka_unit_test_setup(test_restarts, clear_told),
        cmocka_unit_test_setup(test_crash_loop, clear_told),
        cmocka_unit_test_setup(test_signals_are_passed_on, clear_told),
        cmocka_unit_test_setup(test_third_signal_kills, clear_told),
    };
    return cmocka_run_group_tests(tests, open_told, close_told);
}
