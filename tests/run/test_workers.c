/* Workers: in which order candidates begin, who trains alone, what an error and the end do to those that are under
 * way. In place of candidate_train, which the linker puts away (--wrap), stands a training that lasts until the test
 * ends it. */
#include "host/run/workers.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { DEVICES = 2, CANDIDATES = 6 };

/* Under run->lock, as workers and test share it. */
static struct {
    int32_t began[CANDIDATES], count; /* ids, in the order of their beginning */
    int32_t device[CANDIDATES];       /* by id: the first of its team's */
    int32_t noted[CANDIDATES];        /* by id: what history->training said of that device */
    int now, most;                    /* in training at the same time */
    bool may_end[CANDIDATES];
    enum status result[CANDIDATES];
    int32_t prepared[CANDIDATES], prepared_on[CANDIDATES], preparations;
} told;

static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

enum status __wrap_candidate_train(struct run *run, struct candidate *candidate, struct team team,
                                   struct error *err);
enum status __wrap_candidate_train(struct run *run, struct candidate *candidate, struct team team,
                                   struct error *err)
{
    const int32_t id = candidate->id;
    run_lock(run);
    told.began[told.count++] = id;
    told.device[id] = team.first;
    told.noted[id] = run->history->training[team.first];
    told.now++;
    told.most = told.now > told.most ? told.now : told.most;
    pthread_cond_broadcast(&changed);
    while (!told.may_end[id] && !atomic_load(&run->stop)) {
        struct timespec soon;
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_sec++;
        pthread_cond_timedwait(&changed, &run->lock, &soon);
    }
    told.now--;
    const bool stopped = !told.may_end[id];
    const enum status st = stopped ? ST_INTERRUPTED : told.result[id];
    run_unlock(run);
    return st == ST_OK ? ST_OK : error_set(err, st, "candidate %d", (int)id);
}

void __wrap_admission_prepare_ahead(const struct run *run, struct candidate *candidate, int32_t device);
void __wrap_admission_prepare_ahead(const struct run *run, struct candidate *candidate, int32_t device)
{
    (void)run; /* the main thread's */
    told.prepared[told.preparations] = candidate->id;
    told.prepared_on[told.preparations++] = device;
}

struct fixture {
    struct run run;
    struct engine_history history;
    struct candidate candidates[CANDIDATES];
    struct workers *workers;
};

/* Workers and candidates that are all restored, so that nothing is written to a journal. */
static void open_all(struct fixture *f, int32_t window)
{
    struct error err;
    *f = (struct fixture){.run = {.history = &f->history,
                                  .window = window,
                                  .journal = {.fd = -1},
                                  .devices = {.count = DEVICES, .workers = DEVICES}}};
    memset(&told, 0, sizeof(told));
    pthread_mutex_init(&f->run.lock, NULL);
    for (int32_t i = 0; i < CANDIDATES; i++)
        f->candidates[i] = (struct candidate){.id = i, .parent = -1, .restored = true};
    for (int k = 0; k < DEVICES_MOST; k++)
        f->history.training[k] = -1;
    assert_int_equal(workers_open(&f->run, &f->workers, &err), ST_OK);
}

static void close_all(struct fixture *f)
{
    workers_close(f->workers);
    pthread_mutex_destroy(&f->run.lock);
}

static void give(struct fixture *f, int32_t first, int32_t count)
{
    for (int32_t id = first; id < first + count; id++)
        workers_give(f->workers, &f->candidates[id]);
}

/* Waits until so many have begun. */
static void await(struct fixture *f, int32_t count)
{
    run_lock(&f->run);
    while (told.count < count)
        pthread_cond_wait(&changed, &f->run.lock);
    run_unlock(&f->run);
}

static void let_end(struct fixture *f, int32_t id)
{
    run_lock(&f->run);
    told.may_end[id] = true;
    pthread_cond_broadcast(&changed);
    run_unlock(&f->run);
}

static enum status wait_for(struct fixture *f, int32_t id, struct error *err)
{
    const struct candidate *waited = &f->candidates[id];
    return workers_wait(f->workers, &waited, 1, err);
}

/* Whoever waits for any of several goes on with the first that has ended. */
static void test_any(void **state)
{
    static struct fixture f;
    const struct candidate *waited[] = {&f.candidates[0], &f.candidates[1]};
    struct error err;
    (void)state;
    open_all(&f, CANDIDATES);
    give(&f, 0, DEVICES);
    await(&f, DEVICES);
    let_end(&f, 1);
    assert_int_equal(workers_wait(f.workers, waited, 2, &err), ST_OK);
    assert_true(f.candidates[1].ended && !f.candidates[0].ended);
    let_end(&f, 0);
    assert_int_equal(workers_wait(f.workers, waited, 1, &err), ST_OK);
    assert_true(f.candidates[0].ended);
    close_all(&f);
}

static void test_order(void **state)
{
    static struct fixture f;
    struct error err;
    (void)state;
    open_all(&f, CANDIDATES);
    give(&f, 0, CANDIDATES);
    for (int32_t id = 0; id < CANDIDATES; id++) {
        await(&f, id + DEVICES < CANDIDATES ? id + DEVICES : CANDIDATES);
        let_end(&f, id);
        assert_int_equal(wait_for(&f, id, &err), ST_OK);
        assert_true(f.candidates[id].ended);
        assert_int_equal(told.noted[id], id);
        assert_in_range(told.device[id], 0, DEVICES - 1);
    }
    assert_int_equal(told.most, DEVICES);
    /* Two begin at the same moment: of those in any order, all others in that of their giving. */
    assert_int_equal(told.began[0] + told.began[1], 1);
    for (int32_t i = DEVICES; i < CANDIDATES; i++)
        assert_int_equal(told.began[i], i);
    close_all(&f);
    for (int k = 0; k < DEVICES; k++)
        assert_int_equal(f.history.training[k], -1);
}

/* Time in which an idle worker would begin what it may not: the less there is, the less such a fault is seen. */
static void give_others_time(void)
{
    const struct timespec moment = {.tv_nsec = 50000000};
    nanosleep(&moment, NULL);
}

/* Candidate 1 trains alone: it waits until 0 has ended, and 2 until it has, though a device is idle all the time. */
static void test_alone(void **state)
{
    static struct fixture f;
    struct error err;
    (void)state;
    open_all(&f, CANDIDATES);
    f.candidates[1].alone = true;
    give(&f, 0, 3);
    for (int32_t id = 0; id < 3; id++) {
        await(&f, id + 1);
        give_others_time();
        let_end(&f, id);
        assert_int_equal(wait_for(&f, id, &err), ST_OK);
    }
    for (int32_t i = 0; i < 3; i++)
        assert_int_equal(told.began[i], i);
    assert_int_equal(told.most, 1);
    close_all(&f);
}

/* One's error ends the others, and nobody begins any more. */
static void test_error(void **state)
{
    static struct fixture f;
    static const enum status errors[] = {ST_IO, ST_DEVICE};
    struct error err;
    (void)state;
    for (int e = 0; e < 2; e++) {
        open_all(&f, CANDIDATES);
        told.result[1] = errors[e];
        give(&f, 0, 4);
        await(&f, DEVICES);
        let_end(&f, 1);
        assert_int_equal(wait_for(&f, 0, &err), errors[e]);
        assert_string_equal(err.message, "candidate 1");
        assert_int_equal(wait_for(&f, 3, &err), errors[e]); /* said again for any */
        assert_int_equal(told.count, DEVICES);
        assert_false(f.candidates[0].ended || f.candidates[1].ended || f.candidates[3].ended);
        const int32_t failed = told.device[1];
        close_all(&f);
        /* A device that failed leaves its candidate noted for the next process. */
        assert_int_equal(f.history.training[failed], errors[e] == ST_DEVICE ? 1 : -1);
        assert_int_equal(f.history.training[1 - failed], -1);
    }
}

/* Who has ended may be waited for again. */
static void test_waits_twice(void **state)
{
    static struct fixture f;
    struct error err;
    (void)state;
    open_all(&f, CANDIDATES);
    told.may_end[0] = true;
    give(&f, 0, 1);
    assert_int_equal(wait_for(&f, 0, &err), ST_OK);
    assert_int_equal(wait_for(&f, 0, &err), ST_OK);
    close_all(&f);
}

/* A signal that has come, blocked as the supervisor blocks it. */
static void test_signal(void **state)
{
    static struct fixture f;
    struct error err = {0};
    sigset_t set;
    (void)state;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    assert_int_equal(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    open_all(&f, CANDIDATES);
    give(&f, 0, 3);
    await(&f, DEVICES);
    assert_int_equal(pthread_kill(pthread_self(), SIGTERM), 0); /* libraries have threads that take it */
    assert_int_equal(wait_for(&f, 0, &err), ST_INTERRUPTED);
    assert_true(f.run.stop);
    assert_int_equal(told.count, DEVICES);
    close_all(&f);
}

/* With trainings under way and one that waits. */
static void test_close(void **state)
{
    static struct fixture f;
    (void)state;
    open_all(&f, CANDIDATES);
    give(&f, 0, 3);
    await(&f, DEVICES);
    close_all(&f);
    assert_int_equal(told.now, 0);
    assert_int_equal(told.count, DEVICES);
    assert_true(f.run.stop);

    open_all(&f, 1); /* and with none */
    close_all(&f);
    assert_false(f.run.stop);
    workers_close(NULL);
}

/* Ahead is prepared what waits behind trainings, on the device whose training is the oldest; nothing while one is
 * idle, nothing that goes on from a checkpoint, nothing where the window is no larger than the devices are many. */
static void test_ahead(void **state)
{
    static struct fixture f;
    struct error err;
    (void)state;
    for (int32_t window = DEVICES; window <= DEVICES + 2; window += 2) {
        open_all(&f, window);
        f.candidates[2].restored = f.candidates[3].restored = false;
        give(&f, 0, 1);
        await(&f, 1);
        give(&f, 1, 1);
        await(&f, DEVICES);
        assert_int_equal(told.preparations, 0);
        const int32_t older = told.device[0];
        /* Nobody takes them: the journal that they would be written to is closed. */
        give(&f, 2, 1);
        if (window > DEVICES) {
            give(&f, 3, 1);
            assert_int_equal(told.preparations, 2);
            assert_int_equal(told.prepared[0], 2);
            assert_int_equal(told.prepared_on[0], older);
            assert_int_equal(told.prepared[1], 3);
            assert_int_equal(told.prepared_on[1], 1 - older);
        } else {
            assert_int_equal(told.preparations, 0);
        }
        atomic_store(&f.run.stop, true);
        assert_int_equal(wait_for(&f, 0, &err), ST_INTERRUPTED);
        close_all(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order), cmocka_unit_test(test_any),         cmocka_unit_test(test_alone),
        cmocka_unit_test(test_error), cmocka_unit_test(test_waits_twice), cmocka_unit_test(test_signal),
        cmocka_unit_test(test_close), cmocka_unit_test(test_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
