/* Two members of a group, step by step, on emulated GPUs: one stays away from a certain step on, and the other neither
 * waits for ever nor is any the worse for it later. */
#include "cuda/device/cuda_internal.h"
#include "host/base/thread_team.h"
#include "host/net/start.h"
#include "tests/gpu/emu/emu_test.h"
#include "tests/support/device_session.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MEMBERS = 2, ROWS = 4 };
static const double TIMEOUT = 2.0; /* of members that are there, on a machine that is busy, too */

struct pair {
    struct graph graph;
    struct device_session sessions[MEMBERS];
    struct device_group *group;
    struct thread_team *team;
    struct step step;
};

static void pair_open(struct pair *pair)
{
    const struct lower_options options = {
        .purpose = PROG_TRAIN, .batch = ROWS, .members = MEMBERS, .batch_norm_momentum = 0.1f};
    struct device *devices[MEMBERS];
    struct error err;
    *pair = (struct pair){.step = {.seed = 1, .valid = ROWS, .learning_rate = 0.01f}};
    emu.devices = MEMBERS;
    assert_int_equal(start_make(&pair->graph, "cnn", 8, (struct shape){0, 3, 8, 8}, 5, &err), ST_OK);
    for (int32_t k = 0; k < MEMBERS; k++) {
        session_open_on(&pair->sessions[k], &cuda_device_ops, &(struct device_options){.index = k},
                        &pair->graph, &options, MEMBERS * ROWS, 3);
        devices[k] = pair->sessions[k].device;
    }
    assert_int_equal(thread_team_open(MEMBERS, &pair->team, &err), ST_OK);
    assert_int_equal(cuda_device_ops.group_open(devices, MEMBERS, TIMEOUT, &pair->group, &err), ST_OK);
    for (int32_t k = 0; k < MEMBERS; k++) {
        pair->sessions[k].binding.group = pair->group;
        session_bind(&pair->sessions[k]);
    }
}

/* The group is closed before, as a test wants it. */
static void pair_close(struct pair *pair)
{
    thread_team_close(pair->team);
    for (int32_t k = 0; k < MEMBERS; k++)
        session_close(&pair->sessions[k]);
    graph_free(&pair->graph);
}

static enum status step_of_one(void *context, int32_t number, struct error *err)
{
    struct pair *pair = context;
    struct device_session *session = &pair->sessions[number];
    return session->ops->program_run(session->device, session->prepared, &pair->step, err);
}

static void step_of_both(struct pair *pair, int32_t count)
{
    const struct thread_team_work work = {.context = pair, .work = step_of_one};
    struct error err;
    for (int32_t i = 0; i < count; i++)
        if (thread_team_run(pair->team, &work, &err) != ST_OK)
            fail_msg("%s", err.message);
}

static void free_program(struct pair *pair, int32_t number)
{
    struct device_session *session = &pair->sessions[number];
    session->ops->program_free(session->device, session->prepared);
    session->prepared = NULL;
}

/* Closes the group as a trainer does; then member 1 is as good as before, and has forgotten that something was not
 * ready. */
static void close_and_go_on_alone(struct pair *pair)
{
    struct device_session *session = &pair->sessions[1];
    double metrics[METRIC_COUNT];
    struct error *err = &session->err;
    for (int32_t k = 0; k < MEMBERS; k++)
        free_program(pair, k);
    session->ops->group_close(pair->group);
    session->binding.group = NULL;
    assert_int_equal(
        session->ops->program_prepare(session->device, &session->program, &session->prepared, err), ST_OK);
    session_bind(session);
    session_run(session, &pair->step);
    assert_int_equal(session->ops->program_metrics(session->device, session->prepared, metrics, err), ST_OK);
}

/* The first step waits for its collectives, the second for an agreement about the recording. */
static void absent_from_an_early_step(void **state)
{
    static const char *const messages[] = {"the group of devices is broken: finish the first collectives: "
                                           "member 1 of 0 to 1 has waited for the others for 2 s",
                                           "the group of devices is broken: rehearse a recording: member 1 "
                                           "of 0 to 1 has waited for the others for 2 s"};
    (void)state;
    for (int32_t before = 0; before < 2; before++) {
        struct pair pair;
        struct error err;
        pair_open(&pair);
        step_of_both(&pair, before);
        assert_int_equal(step_of_one(&pair, 1, &err), ST_DEVICE);
        assert_string_equal(err.message, messages[before]);
        close_and_go_on_alone(&pair);
        pair_close(&pair);
    }
}

/* Member 1 queues a step that member 0 never comes to, and reads: also then it does not wait for ever, be it in a copy,
 * and be there recordings that NCCL waits for. */
static void absent_when_the_other_reads(void **state)
{
    (void)state;
    for (emu.refuse_recording = 0; emu.refuse_recording < 2; emu.refuse_recording++) {
        struct pair pair;
        struct error err;
        double metrics[METRIC_COUNT];
        pair_open(&pair);
        const struct device_session *session = &pair.sessions[1];
        step_of_both(&pair, 2);
        assert_int_equal(step_of_one(&pair, 1, &err), ST_OK);
        assert_int_equal(session->ops->program_metrics(session->device, session->prepared, metrics, &err),
                         ST_DEVICE);
        assert_string_equal(err.message,
                            "the group of devices is broken: read metrics: member 1 of 0 to 1 has "
                            "waited for the others for 2 s");
        close_and_go_on_alone(&pair);
        pair_close(&pair);
    }
}

/* Nor is it waited for at the end, when its program is freed. */
static void absent_when_the_other_ends(void **state)
{
    (void)state;
    struct pair pair;
    struct error err;
    pair_open(&pair);
    step_of_both(&pair, 2);
    assert_int_equal(step_of_one(&pair, 1, &err), ST_OK);
    free_program(&pair, 1);
    assert_int_equal(cuda_device_ops.group_check(pair.group, &err), ST_DEVICE);
    assert_string_equal(err.message, "the group of devices is broken: free a program: member 1 of 0 to 1 has "
                                     "waited for the others for 2 s");
    close_and_go_on_alone(&pair);
    pair_close(&pair);
}

/* What is still queued when a group is closed is broken off. */
static void closed_in_the_middle(void **state)
{
    (void)state;
    struct pair pair;
    struct error err;
    emu.refuse_recording = 1;
    pair_open(&pair);
    step_of_both(&pair, 2);
    assert_int_equal(step_of_one(&pair, 1, &err), ST_OK);
    cuda_device_ops.group_close(pair.group);
    pair_close(&pair);
}

/* What was recorded alone is recorded anew for a group. */
static void recorded_before_the_group(void **state)
{
    (void)state;
    struct pair pair;
    struct error err;
    pair_open(&pair);
    for (int32_t k = 0; k < MEMBERS; k++) {
        pair.sessions[k].binding.group = NULL;
        session_bind(&pair.sessions[k]);
    }
    step_of_both(&pair, 3);
    assert_int_equal(emu_count.collectives, 0);
    assert_int_equal(emu_count.graph_launches, 2 * MEMBERS);
    for (int32_t k = 0; k < MEMBERS; k++) {
        pair.sessions[k].binding.group = pair.group;
        session_bind(&pair.sessions[k]);
    }
    step_of_both(&pair, 3);
    assert_true(emu_count.collectives > 0);
    assert_int_equal(emu_count.graph_launches, 4 * MEMBERS);
    for (int32_t k = 0; k < MEMBERS; k++)
        assert_int_equal(cuda_wait(pair.sessions[k].device, "finish", &err), ST_OK);
    close_and_go_on_alone(&pair);
    pair_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(absent_from_an_early_step, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(absent_when_the_other_reads, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(absent_when_the_other_ends, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(closed_in_the_middle, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(recorded_before_the_group, emu_test_begin, emu_test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
