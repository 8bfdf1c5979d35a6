/* Choosing plans on the emulated GPU, which the real cuDNN plans for: times that are wrong, candidates that can't be
 * described or recorded, equal GPUs. */
#include "cuda/device/cuda_internal.h"
#include "host/net/start.h"
#include "tests/gpu/emu/emu_test.h"
#include "tests/support/device_session.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { GPUS = 2, BATCH = 2, MOST_OPS = 256, UNRECORDABLE = 2, STEPS = 3 };

static char folder[64];

static const struct lower_options training = {
    .purpose = PROG_TRAIN, .batch = BATCH, .batch_norm_momentum = 0.1f};

/* An H100 of which events tell nonsense; choices are kept in a fresh folder. */
static int begin(void **state)
{
    emu_test_begin(state);
    emu.memory = (size_t)1 << 30;
    emu.profile = "tests/gpu/devices/h100.json";
    emu.timed = emu.keep_plans = 1;
    emu.noise = 1;
    strcpy(folder, "/tmp/nasrun-plans-XXXXXX");
    return mkdtemp(folder) != NULL && setenv("XDG_CACHE_HOME", folder, 1) == 0 ? 0 : -1;
}

static int end(void **state)
{
    char command[96];
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command) == 0 ? emu_test_end(state) : -1;
}

/* ---- the choices of one program ---- */

struct choices {
    int32_t index; /* the device's */
    const struct program *program;
    pthread_barrier_t *start; /* NULL: none */
    int32_t count;
    struct conv_plan_info infos[MOST_OPS];
    enum status status;
    struct error err;
};

static void keep(struct choices *choices, const struct device_program *prepared)
{
    choices->count = 0;
    for (int32_t op = 0; op < choices->program->op_count; op++)
        if (prepared->ops[op].plan != NULL && choices->count < MOST_OPS)
            choices->infos[choices->count++] = conv_plan_describe(prepared->ops[op].plan);
}

static void *choose(void *context)
{
    struct choices *choices = context;
    const struct device_options options = {.index = choices->index};
    struct device *device = NULL;
    struct device_program *prepared = NULL;
    choices->status = cuda_device_ops.open(&options, &device, &choices->err);
    if (choices->start != NULL)
        pthread_barrier_wait(choices->start);
    if (choices->status == ST_OK)
        choices->status = cuda_device_ops.program_prepare(device, choices->program, &prepared, &choices->err);
    if (choices->status == ST_OK)
        keep(choices, prepared);
    cuda_device_ops.program_free(device, prepared);
    if (device != NULL)
        cuda_device_ops.close(device);
    return NULL;
}

static void choose_well(struct choices *choices)
{
    choose(choices);
    if (choices->status != ST_OK)
        fail_msg("%s", choices->err.message);
    assert_in_range(choices->count, 10, MOST_OPS - 1);
}

static void make_program(struct program *program)
{
    struct graph graph = {0};
    struct error err;
    assert_int_equal(start_make(&graph, "lean", 8, (struct shape){0, 3, 8, 8}, 5, &err), ST_OK);
    assert_int_equal(lower_graph(&graph, &training, program, &err), ST_OK);
    graph_free(&graph);
}

static void demand_same(const struct choices *a, const struct choices *b)
{
    assert_int_equal(a->count, b->count);
    for (int32_t i = 0; i < a->count; i++) {
        assert_int_equal(a->infos[i].engine, b->infos[i].engine);
        assert_true(a->infos[i].seconds == b->infos[i].seconds); /* it is the same measurement */
    }
}

/* ---- the measurement at open ---- */

static struct device_info open_and_ask(bool untimed)
{
    const struct device_options options = {.untimed = untimed};
    struct device *device = NULL;
    struct device_info info;
    struct error err;
    if (cuda_device_ops.open(&options, &device, &err) != ST_OK)
        fail_msg("%s", err.message);
    cuda_device_ops.info(device, &info);
    cuda_device_ops.close(device);
    return info;
}

/* What is convolved and copied is larger than the cache, unless that much is not free. */
static void speed_is_measured_beyond_the_cache(void **state)
{
    enum { SMALL = 64 << 10, HUGE = 1 << 30 };
    struct device_info info;
    (void)state;
    emu.profile = NULL;
    info = open_and_ask(true);
    assert_true(info.flops == 0 && info.bytes == 0);
    const size_t without = emu_count.peak_bytes;
    emu.cache = SMALL;
    info = open_and_ask(false);
    assert_true(info.flops > 0 && info.bytes > 0);
    assert_true(emu_count.peak_bytes >= without + (size_t)2 * SMALL);
    emu.cache = HUGE;
    info = open_and_ask(false);
    assert_true(info.flops > 0 && info.bytes > 0);
}

/* ---- choices ---- */

/* Chosen by times that are mostly chance: where the choice is not kept, the next run's is another. */
static void choices_outlive_noise(void **state)
{
    struct program program = {0};
    struct choices first = {.program = &program}, kept = first, other = first;
    int32_t different = 0;
    (void)state;
    make_program(&program);
    choose_well(&first);
    const uint64_t trials = emu_count.trials;
    emu.noise = 2;
    choose_well(&kept);
    assert_int_equal(emu_count.trials, trials);
    demand_same(&first, &kept);
    emu.keep_plans = 0;
    choose_well(&other);
    assert_int_equal(emu_count.trials, 2 * trials);
    for (int32_t i = 0; i < first.count; i++) {
        assert_true(first.infos[i].seconds > 0 && kept.infos[i].cached && !other.infos[i].cached);
        different += other.infos[i].rank != first.infos[i].rank;
    }
    assert_true(different > 0);
    program_free(&program);
}

/* Two GPUs of one kind, at once: each shape is tried on one of them, and both use what that one chose. */
static void equal_gpus_choose_alike(void **state)
{
    struct program program = {0};
    struct choices alone = {.program = &program}, choices[GPUS];
    pthread_barrier_t start;
    pthread_t threads[GPUS];
    (void)state;
    make_program(&program);
    emu.devices = GPUS;
    emu.keep_plans = 0;
    choose_well(&alone);
    const uint64_t trials = emu_count.trials;
    emu.keep_plans = 1;
    assert_int_equal(pthread_barrier_init(&start, NULL, GPUS), 0);
    for (int32_t k = 0; k < GPUS; k++) {
        choices[k] = (struct choices){.index = k, .program = &program, .start = &start};
        assert_int_equal(pthread_create(&threads[k], NULL, choose, &choices[k]), 0);
    }
    for (int32_t k = 0; k < GPUS; k++) {
        assert_int_equal(pthread_join(threads[k], NULL), 0);
        if (choices[k].status != ST_OK)
            fail_msg("%s", choices[k].err.message);
    }
    pthread_barrier_destroy(&start);
    assert_int_equal(emu_count.trials, 2 * trials);
    demand_same(&choices[0], &choices[1]);
    program_free(&program);
}

/* Whichever candidate cuDNN can't describe, another is taken. */
static void what_cannot_be_described_is_passed_over(void **state)
{
    struct program program = {0};
    struct choices choices = {.program = &program};
    (void)state;
    make_program(&program);
    emu.keep_plans = 0;
    emu.timed = 0;
    for (emu.undescribed = 1; emu.undescribed <= 3; emu.undescribed++) {
        choose_well(&choices);
        for (int32_t i = 0; i < choices.count; i++)
            assert_int_not_equal(choices.infos[i].rank, emu.undescribed - 1);
    }
    program_free(&program);
}

/* What a recording can't hold is no candidate, so steps are recorded. */
static void steps_are_recorded_whatever_cannot_be(void **state)
{
    struct device_session session;
    struct graph graph = {0};
    (void)state;
    emu.timed = 0;
    emu.unrecordable = UNRECORDABLE;
    assert_int_equal(start_make(&graph, "lean", 8, (struct shape){0, 3, 8, 8}, 5, &session.err), ST_OK);
    session_open(&session, &cuda_device_ops, &graph, &training, BATCH, 5);
    for (uint32_t i = 0; i < STEPS; i++)
        session_run(&session, &(struct step){.number = i, .valid = BATCH, .learning_rate = 0.01f});
    assert_int_equal(emu_count.recordings, 1);
    assert_int_equal(emu_count.graph_launches, STEPS - 1);
    for (int32_t op = 0; op < session.program.op_count; op++)
        if (session.prepared->ops[op].plan != NULL)
            assert_true(conv_plan_describe(session.prepared->ops[op].plan).rank >= UNRECORDABLE);
    session_close(&session);
    graph_free(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(speed_is_measured_beyond_the_cache, begin, end),
        cmocka_unit_test_setup_teardown(choices_outlive_noise, begin, end),
        cmocka_unit_test_setup_teardown(equal_gpus_choose_alike, begin, end),
        cmocka_unit_test_setup_teardown(what_cannot_be_described_is_passed_over, begin, end),
        cmocka_unit_test_setup_teardown(steps_are_recorded_whatever_cannot_be, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
