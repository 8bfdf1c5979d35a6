/* How a planner chooses on a device that is there: candidates are run, those that cuDNN refuses are passed
 * over, of the others the fastest is taken, nothing leaks. The device is a double: it plans with the real
 * cuDNN for a described H100, and runs nothing but answers as each test tells it. The functions below stand
 * in the place of the libraries' own, which are reached through RTLD_NEXT. */
#include "cuda/conv.h"
#include "host/base/file.h"

#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_PLANS = 256, NEVER = 1 << 30, SLOWED = 50, GREATEST = -5, THREAD_SHAPES = 24 };

/* What the double shall do, and what it was asked. Reset before each test. */
static struct double_device {
    char *description;
    cudnnBackendDescriptor_t properties; /* of the planner under test */
    float milliseconds[MAX_PLANS];       /* of a run of plan 1, 2, ... in order of their making; 0: refused */
    int32_t undescribed_from, undescribed_to; /* candidates, counted from 0, whose engines tell nothing */
    int32_t unrecordable;                     /* so many plans, the first, spoil a recording */
    bool untimeable;                          /* a recording can't hold events */
    int32_t allocations_before_failure, failing_allocations;
    int32_t slowed_from, slowed_to; /* measurements, counted from 0, that take SLOWED times as long */
    bool broken;                    /* whatever waits for the device fails */
    int32_t plans, executions, measurements, allocations, refused_allocations, alive, events, handles,
        streams, graphs, described;
    struct CUgraph_st *recording; /* NULL: none */
    bool spoilt;
    cudnnBackendDescriptor_t made[MAX_PLANS];
    struct CUgraph_st *ran; /* replayed last */
} world;

/* Runs of one plan, counted from 0. */
struct CUgraph_st {
    int32_t plan, runs, events;
};

/* ---- cuDNN ---- */

typedef cudnnStatus_t set_attribute(cudnnBackendDescriptor_t, cudnnBackendAttributeName_t,
                                    cudnnBackendAttributeType_t, int64_t, const void *);

/* Where a real device would be named, the description is put in its place. */
cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void *value)
{
    set_attribute *real = NULL;
    void *symbol = dlsym(RTLD_NEXT, "cudnnBackendSetAttribute");
    memcpy(&real, &symbol, sizeof real);
    if (name == CUDNN_ATTR_OPERATIONGRAPH_HANDLE)
        return CUDNN_STATUS_SUCCESS;
    if (name == CUDNN_ATTR_DEVICEPROP_DEVICE_ID) {
        world.properties = descriptor;
        return real(descriptor, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                    (int64_t)strlen(world.description), world.description);
    }
    if (name == CUDNN_ATTR_EXECUTION_PLAN_HANDLE)
        return real(descriptor, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                    &world.properties);
    if (name == CUDNN_ATTR_ENGINEHEUR_MODE) {
        cudnnStatus_t status = real(descriptor, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
                                    CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &world.properties);
        if (status != CUDNN_STATUS_SUCCESS)
            return status;
    }
    if (name == CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG) {
        assert_true(world.plans < MAX_PLANS);
        world.made[world.plans++] = descriptor;
    }
    return real(descriptor, name, type, count, value);
}

/* The youngest of that address: a plan that was given up may have had it before. */
static int32_t number_of(cudnnBackendDescriptor_t plan)
{
    int32_t number = world.plans - 1;
    while (number >= 0 && world.made[number] != plan)
        number--;
    return number;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack)
{
    assert_non_null(handle);
    assert_non_null(plan);
    assert_non_null(pack);
    const int32_t number = number_of(plan);
    assert_true(number >= 0);
    if (world.recording != NULL) {
        world.recording->plan = number;
        world.recording->runs++;
        world.spoilt |= number < world.unrecordable;
        return CUDNN_STATUS_SUCCESS; /* what an engine did wrong the recording's end tells */
    }
    world.executions++;
    return world.milliseconds[number] > 0 ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED;
}

typedef cudnnStatus_t get_attribute(cudnnBackendDescriptor_t, cudnnBackendAttributeName_t,
                                    cudnnBackendAttributeType_t, int64_t, int64_t *, void *);

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t wanted, int64_t *count,
                                       void *values)
{
    get_attribute *real = NULL;
    void *symbol = dlsym(RTLD_NEXT, "cudnnBackendGetAttribute");
    memcpy(&real, &symbol, sizeof real);
    if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE) {
        const int32_t number = world.described++;
        if (number >= world.undescribed_from && number < world.undescribed_to)
            return CUDNN_STATUS_NOT_SUPPORTED;
    }
    return real(descriptor, name, type, wanted, count, values);
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    *handle = malloc(1);
    world.handles++;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    free(handle);
    world.handles--;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    assert_non_null(handle);
    assert_non_null(stream);
    return CUDNN_STATUS_SUCCESS;
}

/* ---- CUDA ---- */

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    *least = 0;
    *greatest = GREATEST;
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority)
{
    assert_int_equal(flags, cudaStreamNonBlocking);
    assert_int_equal(priority, GREATEST);
    *stream = malloc(1);
    world.streams++;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    free(stream);
    world.streams--;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    assert_non_null(stream);
    assert_null(world.recording);
    return world.broken ? cudaErrorIllegalAddress : cudaSuccess;
}

cudaError_t cudaMallocAsync(void **memory, size_t size, cudaStream_t stream)
{
    assert_non_null(stream);
    int32_t place = world.allocations++ - world.allocations_before_failure;
    *memory = NULL;
    if (place >= 0 && place < world.failing_allocations) {
        world.refused_allocations++;
        return cudaErrorMemoryAllocation;
    }
    *memory = malloc(size);
    world.alive++;
    return cudaSuccess;
}

cudaError_t cudaFreeAsync(void *memory, cudaStream_t stream)
{
    assert_non_null(memory);
    assert_non_null(stream);
    world.alive--;
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t size, cudaStream_t stream)
{
    (void)stream;
    memset(memory, value, size);
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    *event = malloc(1);
    world.events++;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    free(event);
    world.events--;
    return cudaSuccess;
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags)
{
    (void)stream;
    assert_non_null(event);
    assert_non_null(world.recording);
    assert_int_equal(flags, cudaEventRecordExternal);
    if (world.untimeable)
        return cudaErrorNotSupported;
    world.recording->events++;
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end)
{
    assert_ptr_not_equal(begin, end);
    assert_int_equal(world.ran->events, 2);
    bool slowed = world.measurements >= world.slowed_from && world.measurements < world.slowed_to;
    world.measurements++;
    *milliseconds =
        world.milliseconds[world.ran->plan] * (float)world.ran->runs * (float)(slowed ? SLOWED : 1);
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    assert_non_null(stream);
    assert_int_equal(mode, cudaStreamCaptureModeThreadLocal);
    assert_null(world.recording);
    world.recording = calloc(1, sizeof *world.recording);
    world.spoilt = false;
    world.graphs++;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    assert_non_null(graph);
    free(graph);
    world.graphs--;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    assert_non_null(stream);
    *graph = world.recording;
    world.recording = NULL;
    if (!world.spoilt)
        return cudaSuccess;
    cudaGraphDestroy(*graph);
    *graph = NULL;
    return cudaErrorStreamCaptureInvalidated;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *replay, cudaGraph_t graph, unsigned long long flags)
{
    struct CUgraph_st *copy = malloc(sizeof *copy);
    (void)flags;
    assert_non_null(copy);
    *copy = *graph;
    *replay = (cudaGraphExec_t)(void *)copy;
    world.graphs++;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t replay)
{
    return cudaGraphDestroy((cudaGraph_t)(void *)replay);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t replay, cudaStream_t stream)
{
    assert_non_null(stream);
    world.ran = (struct CUgraph_st *)(void *)replay;
    assert_true(world.ran->runs > 0);
    world.executions += world.ran->runs;
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}

/* ---- tests ---- */

static int reset(void **state)
{
    (void)state;
    struct error err;
    size_t length;
    world = (struct double_device){.allocations_before_failure = NEVER, .failing_allocations = NEVER};
    if (file_read("tests/gpu/devices/h100.json", &world.description, &length, &err) != ST_OK)
        return -1;
    world.description[strcspn(world.description, "\n")] = '\0';
    for (int32_t i = 0; i < MAX_PLANS; i++)
        world.milliseconds[i] = 8;
    return 0;
}

static int check_nothing_is_left(void **state)
{
    (void)state;
    free(world.description);
    return world.alive == 0 && world.events == 0 && world.handles == 0 && world.streams == 0 &&
                   world.graphs == 0
               ? 0
               : -1;
}

/* Plans one convolution; *info is what was chosen. */
static enum status choose(enum conv_kind kind, int32_t timed, const char *cache, struct conv_plan_info *info,
                          struct error *err)
{
    const struct conv_options options = {.type = CUDA_BF16,
                                         .deterministic = true,
                                         .workspace_limit = CONV_WORKSPACE_LIMIT,
                                         .timed = timed,
                                         .cache_folder = cache};
    const struct conv_window window = {3, 3, 1, 1, 1, 1};
    const struct shape image = {128, 64, 32, 32};
    struct conv_geometry geometry;
    struct conv_planner *planner;
    const struct conv_plan *plan;
    *err = (struct error){0};
    conv_geometry_of(image, image, &window, &geometry);
    if (conv_planner_open(0, &options, &planner, err) != ST_OK)
        fail_msg("%s", err->message);
    enum status st = conv_planner_plan(planner, kind, &geometry, &plan, err);
    if (st == ST_OK)
        *info = conv_plan_describe(plan);
    conv_planner_close(planner);
    return st;
}

static void choose_well(enum conv_kind kind, int32_t timed, const char *cache, struct conv_plan_info *info)
{
    struct error err;
    if (choose(kind, timed, cache, info, &err) != ST_OK)
        fail_msg("%s", err.message);
}

static void test_the_first_that_runs_is_taken(void **state)
{
    (void)state;
    struct conv_plan_info first, third;
    choose_well(CONV_FORWARD, 1, NULL, &first);
    assert_int_equal(world.plans, 1);
    assert_int_equal(world.executions, 1);
    world.plans = 0;
    world.milliseconds[0] = world.milliseconds[1] = 0;
    choose_well(CONV_FORWARD, 0, NULL, &third);
    assert_int_equal(world.plans, 3);
    assert_int_not_equal(first.rank, third.rank);
    assert_true(third.seconds == 0.0);
}

static void test_the_fastest_of_the_timed_is_taken(void **state)
{
    (void)state;
    static const float times[] = {4, 0, 1, 2, 3, 0.5f}; /* the second doesn't run, the sixth is not asked */
    struct conv_plan_info info;
    memcpy(world.milliseconds, times, sizeof times);
    choose_well(CONV_BACKWARD_DATA, 4, NULL, &info);
    assert_int_equal(world.plans, 5);
    assert_float_equal(info.seconds, 1e-3, 1e-9);
    assert_true(info.tensor_core);
}

/* Who shares the device slows down a stretch of measurements: it must not decide, wherever it falls and however long it
 * lasts, up to the time in which each candidate is measured twice. */
static void test_a_disturbance_does_not_decide(void **state)
{
    (void)state;
    static const float orders[][4] = {{4, 3, 1, 2},          {1, 2, 3, 4},       {4, 3, 2, 1},
                                      {1.2f, 1.1f, 1, 1.3f}, {1.3f, 9, 1.2f, 1}, {9, 1, 8, 1.4f}};
    const int32_t candidates = 4;
    for (size_t order = 0; order < sizeof orders / sizeof *orders; order++)
        for (int32_t from = 0; from < 5 * candidates; from++)
            for (int32_t length = 0; length <= 2 * candidates; length++) {
                struct conv_plan_info info;
                world.plans = world.measurements = 0;
                memcpy(world.milliseconds, orders[order], sizeof orders[order]);
                world.slowed_from = from;
                world.slowed_to = from + length;
                choose_well(CONV_BACKWARD_DATA, candidates, NULL, &info);
                if (info.seconds > 1.0001e-3)
                    fail_msg("order %zu, disturbed from measurement %d for %d: %g ms are chosen", order,
                             (int)from, (int)length, 1e3 * info.seconds);
            }
}

/* Far slower than the best: two looks and no more. */
static void test_the_slow_are_given_up(void **state)
{
    (void)state;
    struct conv_plan_info info;
    int32_t alike, slow;
    choose_well(CONV_FORWARD, 8, NULL, &info);
    alike = world.executions;
    world.plans = world.executions = 0;
    for (int32_t i = 1; i < 8; i++)
        world.milliseconds[i] = 12.1f;
    choose_well(CONV_FORWARD, 8, NULL, &info);
    slow = world.executions;
    assert_int_equal(alike, 8 + 2 * 8 * (1 + 3)); /* once each, then replays of two */
    assert_int_equal(slow, 8 + 2 * (1 + 7 * 3));
}

/* ---- refusals ---- */

/* Whatever is wrong with one candidate is the next one's chance. */
static void test_what_cannot_be_described_is_passed_over(void **state)
{
    (void)state;
    struct conv_plan_info first, second, none;
    struct error err;
    choose_well(CONV_FORWARD, 1, NULL, &first);
    world.plans = world.described = 0;
    world.undescribed_from = first.rank;
    world.undescribed_to = first.rank + 1;
    choose_well(CONV_FORWARD, 1, NULL, &second);
    assert_int_equal(world.plans, 1);
    assert_int_not_equal(first.rank, second.rank);
    world.undescribed_from = 0;
    world.undescribed_to = NEVER;
    assert_int_equal(choose(CONV_FORWARD, 1, NULL, &none, &err), ST_UNSUPPORTED);
    assert_non_null(
        strstr(err.message, "the last refusal: cuDNN: describe an engine: CUDNN_STATUS_NOT_SUPPORTED"));
}

/* In a step that is recorded it would have all others queued one by one. */
static void test_what_cannot_be_recorded_is_passed_over(void **state)
{
    (void)state;
    struct conv_plan_info info;
    struct error err;
    for (int32_t timed = 1; timed <= 4; timed += 3) {
        world.plans = 0;
        world.unrecordable = 3;
        choose_well(CONV_FORWARD, timed, NULL, &info);
        assert_int_equal(world.plans, 3 + timed);
    }
    world.plans = 0;
    world.unrecordable = NEVER;
    assert_int_equal(choose(CONV_FORWARD, 4, NULL, &info, &err), ST_DEVICE);
    assert_non_null(strstr(err.message, "the last refusal: CUDA: record a convolution"));
}

/* Where the device can't tell times within a recording, cuDNN's first that runs is taken. */
static void test_without_times_the_first_is_taken(void **state)
{
    (void)state;
    struct conv_plan_info first, info;
    choose_well(CONV_FORWARD, 1, NULL, &first);
    world.plans = 0;
    world.untimeable = true;
    choose_well(CONV_FORWARD, 4, NULL, &info);
    assert_int_equal(world.plans, 4);
    assert_int_equal(info.rank, first.rank);
    assert_true(info.seconds == 0.0);
}

/* ---- threads ---- */

struct second_planner {
    struct conv_planner *planner;
    const struct conv_plan *plans[THREAD_SHAPES];
    bool upwards;
};

static void *plan_in_a_thread(void *context)
{
    struct second_planner *second = context;
    struct error err;
    for (int32_t i = 0; i < THREAD_SHAPES; i++) {
        const int32_t shape = second->upwards ? i : THREAD_SHAPES - 1 - i;
        struct conv_geometry geometry;
        conv_geometry_of((struct shape){8, 16, 8, 8}, (struct shape){8, 16 + 8 * (shape / 3), 8, 8},
                         &(struct conv_window){3, 3, 1, 1, 1, 1}, &geometry);
        if (conv_planner_plan(second->planner, (enum conv_kind)(shape % 3), &geometry, &second->plans[shape],
                              &err) != ST_OK)
            return NULL;
    }
    return second;
}

/* Each shape becomes one plan, whoever comes first. */
static void test_two_threads_plan_at_once(void **state)
{
    (void)state;
    const struct conv_options options = {
        .type = CUDA_BF16, .deterministic = true, .workspace_limit = CONV_WORKSPACE_LIMIT, .timed = 2};
    struct second_planner here = {.upwards = true}, there = {.upwards = false};
    struct error err;
    pthread_t thread;
    void *done;
    assert_int_equal(conv_planner_open(0, &options, &here.planner, &err), ST_OK);
    there.planner = here.planner;
    assert_int_equal(pthread_create(&thread, NULL, plan_in_a_thread, &there), 0);
    assert_non_null(plan_in_a_thread(&here));
    assert_int_equal(pthread_join(thread, &done), 0);
    assert_non_null(done);
    for (int32_t i = 0; i < THREAD_SHAPES; i++)
        assert_ptr_equal(here.plans[i], there.plans[i]);
    assert_int_equal(world.plans, 2 * THREAD_SHAPES); /* two were timed for each */
    conv_planner_close(here.planner);
}

static void test_none_runs(void **state)
{
    (void)state;
    struct conv_plan_info info;
    struct error err;
    memset(world.milliseconds, 0, sizeof world.milliseconds);
    assert_int_equal(choose(CONV_FORWARD, 1, NULL, &info, &err), ST_DEVICE);
    assert_non_null(
        strstr(err.message, "convolution of 128 x 32 x 32 x 64 (NHWC) by 64 kernels of 3 x 3 x 64"));
    assert_non_null(strstr(err.message, "CUDNN_STATUS_EXECUTION_FAILED"));
    assert_true(world.plans > 10); /* not before all were tried */
}

/* What is fused has another way: it is no error of the device's. All its operands have memory. It is not timed. */
static void test_fused_none_runs(void **state)
{
    (void)state;
    struct conv_plan_info info;
    struct error err;
    choose_well(CONV_ADD_BIAS_RELU, 4, NULL, &info);
    assert_int_equal(world.executions, 1);
    assert_true(info.seconds == 0.0);
    assert_true(info.tensor_core && !info.compiled);
    assert_in_range(world.allocations, 5, 6); /* x, kernel, y, bias, addend; a workspace */
    world.plans = 0;
    memset(world.milliseconds, 0, sizeof world.milliseconds);
    assert_int_equal(choose(CONV_ADD_BIAS_RELU, 1, NULL, &info, &err), ST_UNSUPPORTED);
    assert_true(world.plans > 10);
}

static void test_without_memory_the_choice_is_untried(void **state)
{
    (void)state;
    for (world.allocations_before_failure = 0; world.allocations_before_failure < 3;
         world.allocations_before_failure++) {
        struct conv_plan_info info;
        world.plans = world.allocations = world.executions = 0;
        choose_well(CONV_FORWARD, 4, NULL, &info);
        assert_int_equal(world.plans, 1);
        assert_int_equal(world.executions, 0);
        assert_int_equal(world.alive, 0);
    }
}

static void test_without_room_for_its_workspace_another_is_taken(void **state)
{
    (void)state;
    struct conv_plan_info roomy, tight;
    choose_well(CONV_BACKWARD_WEIGHTS, 1, NULL, &roomy);
    assert_int_equal(world.allocations, 4); /* x, kernel, y, workspace */
    world.plans = world.allocations = 0;
    world.allocations_before_failure = 3;
    world.failing_allocations = 1;
    choose_well(CONV_BACKWARD_WEIGHTS, 1, NULL, &tight);
    assert_int_equal(world.refused_allocations, 1);
    assert_int_equal(world.plans, 2);
    assert_int_not_equal(roomy.rank, tight.rank);
}

static void test_a_broken_device_ends_it(void **state)
{
    (void)state;
    struct conv_plan_info info;
    struct error err;
    world.broken = true;
    assert_int_equal(choose(CONV_FORWARD, 4, NULL, &info, &err), ST_DEVICE);
    assert_non_null(strstr(err.message, "run a convolution"));
    assert_int_equal(world.plans, 1);
}

static void test_a_kept_choice_needs_no_trial(void **state)
{
    (void)state;
    char folder[] = "/tmp/nasrun-choice-XXXXXX", command[64];
    struct conv_plan_info made, kept;
    assert_non_null(mkdtemp(folder));
    world.milliseconds[1] = 2;
    choose_well(CONV_FORWARD, 3, folder, &made);
    world.plans = world.executions = 0;
    choose_well(CONV_FORWARD, 3, folder, &kept);
    assert_int_equal(world.plans, 0);
    assert_int_equal(world.executions, 0);
    assert_true(kept.cached);
    assert_int_equal(kept.engine, made.engine);
    assert_true(kept.seconds == made.seconds && kept.seconds > 0);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_first_that_runs_is_taken, reset, check_nothing_is_left),
        cmocka_unit_test_setup_teardown(test_the_fastest_of_the_timed_is_taken, reset, check_nothing_is_left),
        cmocka_unit_test_setup_teardown(test_a_disturbance_does_not_decide, reset, check_nothing_is_left),
        cmocka_unit_test_setup_teardown(test_the_slow_are_given_up, reset, check_nothing_is_left),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_described_is_passed_over, reset,
                                        check_nothing_is_left),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_recorded_is_passed_over, reset,
                                        check_nothing_is_left),
        cmocka_unit_test_setup_teardown(test_without_times_the_first_is_taken, reset, check_nothing_is_left),
        cmocka_unit_test_setup_teardown(test_two_threads_plan_at_once, reset, check_nothing_is_left),
        cmocka_unit_test_setup_teardown(test_none_runs, reset, check_nothing_is_left),
        cmocka_unit_test_setup_teardown(test_fused_none_runs, reset, check_nothing_is_left),
        cmocka_unit_test_setup_teardown(test_without_memory_the_choice_is_untried, reset,
                                        check_nothing_is_left),
        cmocka_unit_test_setup_teardown(test_without_room_for_its_workspace_another_is_taken, reset,
                                        check_nothing_is_left),
        cmocka_unit_test_setup_teardown(test_a_broken_device_ends_it, reset, check_nothing_is_left),
        cmocka_unit_test_setup_teardown(test_a_kept_choice_needs_no_trial, reset, check_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
