/* What a resumed run keeps of its journal: candidates by id, whose lines stay, who was in training when the engine was
 * killed. Whole runs that are resumed: test_engine.c. */
#include "host/run/replay.h"
#include "host/run/resume.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { PAST = 4 };

/* Candidates 3, 5, 6 and the final fit 7. */
static void keep_past(struct run *run)
{
    static const int32_t ids[PAST] = {3, 5, 6, 7};
    *run = (struct run){.past = calloc(PAST, sizeof(struct candidate *)), .past_count = PAST};
    assert_non_null(run->past);
    for (int i = 0; i < PAST; i++) {
        run->past[i] = candidate_new();
        assert_non_null(run->past[i]);
        run->past[i]->id = ids[i];
        run->past[i]->final = ids[i] == 7;
    }
}

static void test_taken(void **state)
{
    static struct run run;
    (void)state;
    keep_past(&run);
    assert_int_equal(resume_find(&run, 5)->id, 5);
    assert_null(resume_find(&run, 4));
    assert_null(resume_find(&run, 7)); /* a final fit is nobody's candidate */
    assert_null(resume_take(&run, 7));
    assert_true(resume_has_later(&run, 6));
    assert_false(resume_has_later(&run, 7));
    struct candidate *taken = resume_take(&run, 5);
    assert_int_equal(taken->id, 5);
    candidate_free(taken);
    assert_null(resume_find(&run, 5));
    assert_int_equal(run.past_count, PAST - 1);
    assert_int_equal(resume_find(&run, 3)->id, 3); /* the others stay */
    taken = resume_take(&run, 6);
    assert_int_equal(taken->id, 6);
    candidate_free(taken);
    assert_false(resume_has_later(&run, 4));
    assert_true(resume_has_later(&run, 3));

    assert_true(resume_has_final(&run));
    taken = resume_take_final(&run);
    assert_int_equal(taken->id, 7);
    candidate_free(taken);
    assert_false(resume_has_final(&run));
    assert_null(resume_take_final(&run));

    resume_forget(&run);
    assert_int_equal(run.past_count, 0);
    assert_null(run.past);
    assert_null(resume_find(&run, 3));
    resume_forget(&run);
}

static void test_suspects(void **state)
{
    static struct run run;
    (void)state;
    run = (struct run){.suspects = {4, 0, 9}, .suspect_count = 2};
    assert_true(resume_is_suspect(&run, 4));
    assert_true(resume_is_suspect(&run, 0));
    assert_false(resume_is_suspect(&run, 9));
    assert_false(resume_is_suspect(&run, -1));
}

static bool keeps(const struct run *run, enum event_kind kind, int32_t id, uint32_t step)
{
    struct event event = {.kind = kind};
    switch (kind) {
    case EVENT_CANDIDATE:
        event.candidate.id = id;
        break;
    case EVENT_MORPH:
        event.morph.id = id;
        break;
    case EVENT_PLAN:
        event.plan.id = id;
        break;
    case EVENT_EPOCH:
        event.epoch.id = id;
        event.epoch.step = step;
        break;
    case EVENT_TEST:
        event.test.id = id;
        break;
    default:
        break;
    }
    return replay_keeps(run, &event);
}

/* 3 has ended, 5 goes on from a checkpoint at step 20, 6 is forgotten. */
static void test_lines_that_stay(void **state)
{
    static const enum event_kind events[] = {EVENT_CANDIDATE, EVENT_MORPH, EVENT_PLAN, EVENT_EPOCH};
    static struct run run;
    (void)state;
    keep_past(&run);
    run.past[0]->ended = true;
    run.past[1]->restored = true;
    run.past[1]->steps = 20;
    for (int e = 0; e < 4; e++) {
        assert_true(keeps(&run, events[e], 3, 30));
        assert_true(keeps(&run, events[e], 5, 20));
        assert_false(keeps(&run, events[e], 6, 0));
        assert_true(keeps(&run, events[e], 2, 30)); /* of an earlier stage */
    }
    assert_true(keeps(&run, EVENT_EPOCH, 5, 10));
    assert_false(keeps(&run, EVENT_EPOCH, 5, 21)); /* after the checkpoint: it comes again */
    assert_true(keeps(&run, EVENT_PLAN, 5, 21));
    assert_true(keeps(&run, EVENT_STAGE, -1, 0));
    assert_true(keeps(&run, EVENT_TEST, 6, 0));
    resume_forget(&run);
}

static void test_marked_as_failed(void **state)
{
    struct candidate *candidate = candidate_new();
    (void)state;
    assert_non_null(candidate);
    candidate->validation = (struct trainer_result){.loss = 1.0, .accuracy = 0.5};
    replay_mark_failed(candidate, 12);
    assert_true(candidate->ended && candidate->failed);
    assert_int_equal(candidate->steps, 12);
    assert_true(isnan(candidate->validation.loss) && isnan(candidate->validation.accuracy));
    candidate_free(candidate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_suspects),
        cmocka_unit_test(test_lines_that_stay),
        cmocka_unit_test(test_marked_as_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
