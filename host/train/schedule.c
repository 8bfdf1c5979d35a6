#include "host/train/schedule.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

static const double PI = 3.14159265358979323846;
static const double ONE_CYCLE_START = 1.0 / 25.0;
static const double ONE_CYCLE_END = 1.0 / 10000.0;
/* Of the peak (Jordan 2024, arXiv 2404.00498, listing 4). */
static const double TRIANGLE_START = 0.2;
static const double TRIANGLE_END = 0.07;

/* From a at t = 0 to b at t = 1 along half a cosine. */
static double half_cosine(double a, double b, double t)
{
    return b + (a - b) * 0.5 * (1.0 + cos(PI * t));
}

/* A shorter fall is none: sums of shares are rounded. */
static const double LEAST_FALL = 1e-9;

double schedule_fallen(const struct schedule *schedule, double progress)
{
    const double begins = schedule->warmup + schedule->hold, length = 1.0 - begins;
    return length < LEAST_FALL ? 0.0 : fmin(fmax((progress - begins) / length, 0.0), 1.0);
}

double schedule_rate(const struct schedule *schedule, double progress)
{
    double p = fmin(fmax(progress, 0.0), 1.0);
    bool rising = p < schedule->warmup;
    double t = rising ? p / schedule->warmup : schedule_fallen(schedule, p);

    switch (schedule->kind) {
    case JOB_SCHEDULE_COSINE:
        return schedule->peak * (rising ? t : half_cosine(1.0, 0.0, t));
    case JOB_SCHEDULE_LINEAR:
        return schedule->peak * (rising ? t : 1.0 - t);
    case JOB_SCHEDULE_TRIANGLE:
        return schedule->peak *
               (rising ? TRIANGLE_START + (1.0 - TRIANGLE_START) * t : 1.0 + (TRIANGLE_END - 1.0) * t);
    case JOB_SCHEDULE_ONE_CYCLE:
        return schedule->peak *
               (rising ? half_cosine(ONE_CYCLE_START, 1.0, t) : half_cosine(1.0, ONE_CYCLE_END, t));
    }
    abort(); /* the schema allows no other */
}
