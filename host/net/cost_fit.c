#include "host/net/cost_fit.h"

#include <math.h>

/* Of a machine that does not say: any will do that leaves the units in proportion. */
static const double SOME_FLOPS = 1e11, SOME_BYTES = 2e10;

/* Relative to the prior: how far a unit's cost is from it, and to a sample: how far measured seconds are from what the
 * units say. */
static const double PRIOR_DEVIATION = 3.0, SAMPLE_DEVIATION = 0.03;

/* Values that a trained value's update reads and writes; seconds that a layer takes beside what it computes. */
static const double UPDATE_BYTES = 40.0, LAYER_SECONDS = 3e-6;

/* Until no unit moves by more than this part of its prior. */
static const double STILL = 1e-9;
enum { MOST_ROUNDS = 20000 };

struct cost_rates cost_fit_prior(double flops, double bytes, int32_t batch)
{
    struct cost_rates rates = {.flops = flops, .bytes = bytes, .batch = batch};
    const double operation = 1.0 / (flops > 0.0 ? flops : SOME_FLOPS),
                 byte = 1.0 / (bytes > 0.0 ? bytes : SOME_BYTES), value = sizeof(float) * byte;
    for (int unit = 0; unit < COST_UNIT_COUNT; unit++)
        rates.seconds[unit] = byte;
    rates.seconds[COST_CONV_IMAGE] = rates.seconds[COST_CONV_1X1] = rates.seconds[COST_CONV_3X3] =
        rates.seconds[COST_CONV_LARGE] = rates.seconds[COST_CONV_PADDING] = rates.seconds[COST_DENSE] =
            rates.seconds[COST_ORTHOGONAL] = operation;
    rates.seconds[COST_CONV_GROUPED] = 4.0 * operation;
    rates.seconds[COST_ACTIVATION_OPERATIONS] = rates.seconds[COST_DEPTHWISE] = 2.0 * operation;
    rates.seconds[COST_DROPOUT] = rates.seconds[COST_PIXELS] = 2.0 * value;
    rates.seconds[COST_PARAMETERS] = UPDATE_BYTES * byte;
    rates.seconds[COST_LAYERS] = LAYER_SECONDS;
    return rates;
}

/* What is fitted, relative to the prior and to the samples. */
struct fit {
    int32_t count;
    double part[COST_FIT_MOST_SAMPLES]
               [COST_UNIT_COUNT];           /* of a sample's seconds, that a unit takes by the prior */
    double residual[COST_FIT_MOST_SAMPLES]; /* seconds by the units over measured, - 1 */
    double times[COST_UNIT_COUNT];          /* the prior */
};

/* One unit to its best while the others stay. How far it moved. */
static double move(struct fit *fit, int unit)
{
    const double prior = 1.0 / (PRIOR_DEVIATION * PRIOR_DEVIATION),
                 sample = 1.0 / (SAMPLE_DEVIATION * SAMPLE_DEVIATION);
    double slope = prior * (fit->times[unit] - 1.0), curvature = prior;
    for (int32_t s = 0; s < fit->count; s++) {
        slope += sample * fit->residual[s] * fit->part[s][unit];
        curvature += sample * fit->part[s][unit] * fit->part[s][unit];
    }
    const double to = fmax(fit->times[unit] - slope / curvature, 0.0), by = to - fit->times[unit];
    for (int32_t s = 0; s < fit->count; s++)
        fit->residual[s] += by * fit->part[s][unit];
    fit->times[unit] = to;
    return fabs(by);
}

void cost_fit(const struct cost_sample *samples, int32_t count, struct cost_rates *rates)
{
    struct fit fit = {.count = count};
    for (int32_t s = 0; s < count; s++) {
        fit.residual[s] = -1.0;
        for (int unit = 0; unit < COST_UNIT_COUNT; unit++) {
            fit.part[s][unit] = samples[s].units.of[unit] * rates->seconds[unit] / samples[s].seconds;
            fit.residual[s] += fit.part[s][unit];
        }
    }
    for (int unit = 0; unit < COST_UNIT_COUNT; unit++)
        fit.times[unit] = 1.0;
    /* The sum of squares has one minimum, also with none below nothing. */
    double moved = INFINITY;
    for (int round = 0; round < MOST_ROUNDS && moved > STILL; round++) {
        moved = 0.0;
        for (int unit = 0; unit < COST_UNIT_COUNT; unit++)
            moved = fmax(moved, move(&fit, unit));
    }
    for (int unit = 0; unit < COST_UNIT_COUNT; unit++)
        rates->seconds[unit] *= fit.times[unit];
}
