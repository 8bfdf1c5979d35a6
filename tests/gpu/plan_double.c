/* The libraries' own functions are reached through RTLD_NEXT. */
#include "tests/gpu/plan_double.h"

#include "host/base/file.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GREATEST = -5 };

struct plan_double plan_double;

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
        plan_double.properties = descriptor;
        return real(descriptor, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                    (int64_t)strlen(plan_double.description), plan_double.description);
    }
    if (name == CUDNN_ATTR_EXECUTION_PLAN_HANDLE)
        return real(descriptor, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                    &plan_double.properties);
    if (name == CUDNN_ATTR_ENGINEHEUR_MODE) {
        cudnnStatus_t status = real(descriptor, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
                                    CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &plan_double.properties);
        if (status != CUDNN_STATUS_SUCCESS)
            return status;
    }
    if (name == CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG) {
        assert_true(plan_double.plans < PLAN_DOUBLE_MOST);
        plan_double.made[plan_double.plans++] = descriptor;
    }
    return real(descriptor, name, type, count, value);
}

/* The youngest of that address: a plan that was given up may have had it before. */
static int32_t number_of(cudnnBackendDescriptor_t plan)
{
    int32_t number = plan_double.plans - 1;
    while (number >= 0 && plan_double.made[number] != plan)
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
    if (plan_double.recording != NULL) {
        plan_double.recording->plan = number;
        plan_double.recording->runs++;
        plan_double.spoilt |= number < plan_double.unrecordable;
        return CUDNN_STATUS_SUCCESS; /* what an engine did wrong the recording's end tells */
    }
    plan_double.executions++;
    return plan_double.milliseconds[number] > 0 ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED;
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
        const int32_t number = plan_double.described++;
        if (number >= plan_double.undescribed_from && number < plan_double.undescribed_to)
            return CUDNN_STATUS_NOT_SUPPORTED;
    }
    return real(descriptor, name, type, wanted, count, values);
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    *handle = malloc(1);
    plan_double.handles++;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    free(handle);
    plan_double.handles--;
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
    plan_double.streams++;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    free(stream);
    plan_double.streams--;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    assert_non_null(stream);
    assert_null(plan_double.recording);
    return plan_double.broken ? cudaErrorIllegalAddress : cudaSuccess;
}

cudaError_t cudaMallocAsync(void **memory, size_t size, cudaStream_t stream)
{
    assert_non_null(stream);
    int32_t place = plan_double.allocations++ - plan_double.allocations_before_failure;
    *memory = NULL;
    if (place >= 0 && place < plan_double.failing_allocations) {
        plan_double.refused_allocations++;
        return cudaErrorMemoryAllocation;
    }
    *memory = malloc(size);
    plan_double.alive++;
    return cudaSuccess;
}

cudaError_t cudaFreeAsync(void *memory, cudaStream_t stream)
{
    assert_non_null(memory);
    assert_non_null(stream);
    plan_double.alive--;
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
    plan_double.events++;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    free(event);
    plan_double.events--;
    return cudaSuccess;
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags)
{
    (void)stream;
    assert_non_null(event);
    assert_non_null(plan_double.recording);
    assert_int_equal(flags, cudaEventRecordExternal);
    if (plan_double.untimeable)
        return cudaErrorNotSupported;
    plan_double.recording->events++;
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end)
{
    assert_ptr_not_equal(begin, end);
    assert_int_equal(plan_double.ran->events, 2);
    bool slowed = plan_double.measurements >= plan_double.slowed_from &&
                  plan_double.measurements < plan_double.slowed_to;
    plan_double.measurements++;
    *milliseconds = plan_double.milliseconds[plan_double.ran->plan] * (float)plan_double.ran->runs *
                    (float)(slowed ? PLAN_DOUBLE_SLOWED : 1);
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    assert_non_null(stream);
    assert_int_equal(mode, cudaStreamCaptureModeThreadLocal);
    assert_null(plan_double.recording);
    plan_double.recording = calloc(1, sizeof *plan_double.recording);
    plan_double.spoilt = false;
    plan_double.graphs++;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    assert_non_null(graph);
    free(graph);
    plan_double.graphs--;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    assert_non_null(stream);
    *graph = plan_double.recording;
    plan_double.recording = NULL;
    if (!plan_double.spoilt) {
        plan_double.recordings++;
        return cudaSuccess;
    }
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
    plan_double.graphs++;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t replay)
{
    return cudaGraphDestroy((cudaGraph_t)(void *)replay);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t replay, cudaStream_t stream)
{
    assert_non_null(stream);
    plan_double.ran = (struct CUgraph_st *)(void *)replay;
    assert_true(plan_double.ran->runs > 0);
    plan_double.executions += plan_double.ran->runs;
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}

/* ---- tests ---- */

int plan_double_begin(void **state)
{
    (void)state;
    struct error err;
    size_t length;
    plan_double = (struct plan_double){.allocations_before_failure = PLAN_DOUBLE_NEVER,
                                       .failing_allocations = PLAN_DOUBLE_NEVER};
    if (file_read("tests/gpu/devices/h100.json", &plan_double.description, &length, &err) != ST_OK)
        return -1;
    plan_double.description[strcspn(plan_double.description, "\n")] = '\0';
    for (int32_t i = 0; i < PLAN_DOUBLE_MOST; i++)
        plan_double.milliseconds[i] = 8;
    return 0;
}

int plan_double_end(void **state)
{
    (void)state;
    free(plan_double.description);
    return plan_double.alive == 0 && plan_double.events == 0 && plan_double.handles == 0 &&
                   plan_double.streams == 0 && plan_double.graphs == 0
               ? 0
               : -1;
}
