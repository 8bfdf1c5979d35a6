/* Operations that treat each element alone: activations, add, dropout. */
#define ACTIVATION_DOUBLE
#include "host/program/activation.h"
#include "host/ref/ref.h"

static double (*const forward[ACTIVATION_COUNT])(double x) = {
#define LAYER(KIND, ...)
#define ACTIVATION(KIND, name, ...) [ACTIVATION_##KIND] = activation_##name,
#include "host/net/layers.def"
};

static double (*const backward[ACTIVATION_COUNT])(double seen, double dy) = {
#define LAYER(KIND, ...)
#define ACTIVATION(KIND, name, ...) [ACTIVATION_##KIND] = activation_##name##_backward,
#include "host/net/layers.def"
};

void ref_run_activation(const struct ref_call *call)
{
    const double *x = ref_input(call, 0);
    double *y = ref_output(call, 0);
    for (size_t i = 0; i < ref_count(ref_output_shape(call, 0)); i++)
        y[i] = forward[call->op->activation.function](x[i]);
}

void ref_run_activation_backward(const struct ref_call *call)
{
    const double *seen = ref_input(call, 0), *dy = ref_input(call, 1);
    double *dx = ref_output(call, 0);
    for (size_t i = 0; i < ref_count(ref_output_shape(call, 0)); i++)
        dx[i] = backward[call->op->activation.function](seen[i], dy[i]);
}

void ref_run_add(const struct ref_call *call)
{
    const double *a = ref_input(call, 0), *b = ref_input(call, 1);
    double *sum = ref_output(call, 0);
    for (size_t i = 0; i < ref_count(ref_output_shape(call, 0)); i++)
        sum[i] = a[i] + b[i];
}

/* The mask depends on step, layer and element alone, so backward draws it again instead of keeping it. */
static void drop(const struct ref_call *call)
{
    const double *from = ref_input(call, 0);
    double *to = ref_output(call, 0);
    const struct step *step = call->step;
    float rate = call->op->dropout.rate;
    const struct shape shape = ref_output_shape(call, 0);
    const size_t before =
        step->row * (ref_count(shape) / (size_t)shape.n); /* elements of other members' rows */
    for (size_t i = 0; i < ref_count(shape); i++) {
        uint64_t counter = (uint64_t)step->number << 24 | (before + i) / 4;
        struct random4 draw = random_draw(step->seed, RANDOM_DROPOUT, counter, call->op->layer_id);
        bool kept = random_unit(draw.v[(before + i) % 4]) >= rate;
        to[i] = kept ? from[i] / (1 - (double)rate) : 0;
    }
}

void ref_run_dropout(const struct ref_call *call)
{
    drop(call);
}

void ref_run_dropout_backward(const struct ref_call *call)
{
    drop(call);
}
