/* How far the host is ahead of the device, and what steps take by the device's clock.
 *
 * Learning rate and progress are decided when a step is queued, so the host may be ahead by CUDA_AHEAD steps and no
 * more: enough to hide what it does between two steps. Steps are counted off in two halves of that; behind a half's
 * last step an event is recorded, and before the half begins again the host waits for it, asleep (a few steps are still
 * queued then).
 *
 * Between the events of a half lies a span of steps of one program, one behind the other: that is how long steps take,
 * what lies between two of them included. Whoever waits for the device ends the span (cuda_wait), for it has nothing to
 * do afterwards until the host comes with more. A program's first steps are not timed: they load and record. */
#include "cuda/device/cuda_internal.h"

#include <stdlib.h>

enum { HALF = CUDA_AHEAD / 2 };

struct span {
    cudaEvent_t begin, end;
    struct device_program *program; /* NULL: nothing is timed */
    int32_t steps;                  /* since `begin` */
    bool paused;                    /* `end` is recorded, in the middle of a half */
};

struct cuda_pace {
    uint64_t steps; /* queued so far, by all programs */
    struct span halves[2];
};

enum status cuda_pace_open(struct device *device, struct error *err)
{
    device->pace = calloc(1, sizeof(*device->pace));
    if (device->pace == NULL)
        return error_memory(err, "pace of steps", sizeof(*device->pace));
    enum status st = ST_OK;
    for (int i = 0; st == ST_OK && i < 2; i++) {
        struct span *half = &device->pace->halves[i];
        st = cuda_check(cudaEventCreate(&half->begin), "make an event", err);
        if (st == ST_OK)
            st =
                cuda_check(cudaEventCreateWithFlags(&half->end, cudaEventBlockingSync), "make an event", err);
    }
    return st;
}

void cuda_pace_close(struct device *device)
{
    if (device->pace == NULL)
        return;
    for (int i = 0; i < 2; i++) {
        struct span *half = &device->pace->halves[i];
        if (half->begin != NULL)
            (void)cudaEventDestroy(half->begin);
        if (half->end != NULL)
            (void)cudaEventDestroy(half->end);
    }
    free(device->pace);
}

static struct span *half_of(struct cuda_pace *pace, uint64_t step)
{
    return &pace->halves[step / HALF % 2];
}

static void drop(struct span *span)
{
    span->program = NULL;
    span->steps = 0;
    span->paused = false;
}

/* What is between the span's events is done: it goes to its program's account. */
static enum status read_span(struct span *span, struct error *err)
{
    float milliseconds = 0.0f;
    if (span->program == NULL || span->steps == 0)
        return ST_OK;
    enum status st = cuda_check(cudaEventElapsedTime(&milliseconds, span->begin, span->end),
                                "tell how long its steps took", err);
    if (st == ST_OK) {
        span->program->report.steps += (uint64_t)span->steps;
        span->program->report.seconds += 1e-3 * (double)milliseconds;
    }
    drop(span);
    return st;
}

static enum status begin_span(const struct device *device, struct span *span, struct device_program *program,
                              struct error *err)
{
    span->program = program;
    span->steps = 0;
    return cuda_check(cudaEventRecord(span->begin, device->stream), "record an event", err);
}

enum status cuda_pace_begin_step(struct device_program *prepared, bool timed, struct error *err)
{
    const struct device *device = prepared->device;
    struct cuda_pace *pace = device->pace;
    struct span *half = half_of(pace, pace->steps);
    enum status st = ST_OK;
    if (pace->steps % HALF == 0 && pace->steps >= CUDA_AHEAD) {
        st = cuda_wait_event(device, half->end, "finish its steps", err);
        if (st == ST_OK)
            st = read_span(half, err);
    }
    if (st != ST_OK)
        return st;
    if (!timed)
        drop(half);
    else if (half->program != prepared)
        st = begin_span(device, half, prepared, err);
    return st;
}

enum status cuda_pace_end_step(struct device_program *prepared, struct error *err)
{
    const struct device *device = prepared->device;
    struct cuda_pace *pace = device->pace;
    struct span *half = half_of(pace, pace->steps);
    half->steps += half->program != NULL;
    if (++pace->steps % HALF != 0)
        return ST_OK;
    return cuda_check(cudaEventRecord(half->end, device->stream), "record an event", err);
}

enum status cuda_pace_pause(const struct device *device, struct error *err)
{
    struct span *half = half_of(device->pace, device->pace->steps);
    if (device->pace->steps % HALF == 0 || half->program == NULL || half->steps == 0 || half->paused)
        return ST_OK; /* what has ended has its event */
    half->paused = true;
    return cuda_check(cudaEventRecord(half->end, device->stream), "record an event", err);
}

enum status cuda_pace_paused(const struct device *device, struct error *err)
{
    enum status st = ST_OK;
    for (int i = 0; i < 2; i++) {
        struct span *half = &device->pace->halves[i];
        if (st == ST_OK)
            st = read_span(half, err);
        drop(half);
    }
    return st;
}

void cuda_pace_forget(const struct device_program *prepared)
{
    for (int i = 0; i < 2; i++)
        if (prepared->device->pace->halves[i].program == prepared)
            drop(&prepared->device->pace->halves[i]);
}
