#include "host/search/policy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GATES = 4 * POLICY_CELLS, TOKENS_MOST = POLICY_SLOTS * POLICY_CHOICES };
/* The most that a layer reads beside its own cells: the token before, or the layer below. */
enum { INPUTS_MOST = TOKENS_MOST };
_Static_assert((int)INPUTS_MOST >= (int)POLICY_CELLS, "room for both");

static const double FIRST_WEIGHT = 0.08;
/* Of Adam. */
static const double BETA1 = 0.9, BETA2 = 0.999, EPSILON = 1e-8;

/* What a token's pass left, for its gradient. */
struct trace {
    double inputs[POLICY_LAYERS][INPUTS_MOST];
    double gates[POLICY_LAYERS][GATES]; /* input, forget, output, candidate, each of POLICY_CELLS */
    struct policy_place before, after;
    double probabilities[POLICY_CHOICES];
};

/* A layer's weights begin at `at`: a row for each gate of each cell, of what it reads, its own cells and a bias. */
struct layer {
    int32_t at, inputs;
};

struct policy {
    struct policy_shape shape;
    struct layer layers[POLICY_LAYERS];
    int32_t outputs[POLICY_SLOTS]; /* where a slot's begin: a row for each choice, of the cells and a bias */
    int32_t first[POLICY_SLOTS];   /* number of a slot's first token among all */
    int32_t parameters, steps;
    double *values, *mean, *square; /* [parameters]; the last two Adam's */
    struct trace *traces;           /* [POLICY_MOST] */
};

/* ---- weights ---- */

static int32_t row_length(const struct layer *layer)
{
    return layer->inputs + POLICY_CELLS + 1;
}

static void lay_out(struct policy *policy)
{
    int32_t tokens = 0, at = 0;
    for (int32_t slot = 0; slot < POLICY_SLOTS; slot++) {
        policy->first[slot] = tokens;
        tokens += policy->shape.choices[slot];
    }
    for (int32_t l = 0; l < POLICY_LAYERS; l++) {
        policy->layers[l] = (struct layer){.at = at, .inputs = l == 0 ? tokens : POLICY_CELLS};
        at += GATES * row_length(&policy->layers[l]);
    }
    for (int32_t slot = 0; slot < POLICY_SLOTS; slot++) {
        policy->outputs[slot] = at;
        at += policy->shape.choices[slot] * (POLICY_CELLS + 1);
    }
    policy->parameters = at;
}

enum status policy_new(const struct policy_shape *shape, uint64_t seed, struct policy **made,
                       struct error *err)
{
    struct random_sequence random = {.seed = seed, .stream = RANDOM_POLICY};
    struct policy *policy = calloc(1, sizeof(*policy));
    *made = policy;
    if (policy == NULL)
        return error_memory(err, "policy", sizeof(*policy));
    policy->shape = *shape;
    lay_out(policy);
    const size_t count = (size_t)policy->parameters;
    policy->values = calloc(count, sizeof(double));
    policy->mean = calloc(count, sizeof(double));
    policy->square = calloc(count, sizeof(double));
    policy->traces = calloc(POLICY_MOST, sizeof(struct trace));
    if (policy->values == NULL || policy->mean == NULL || policy->square == NULL || policy->traces == NULL) {
        policy_free(policy);
        *made = NULL;
        return error_memory(err, "policy", count * sizeof(double));
    }
    for (size_t i = 0; i < count; i++)
        policy->values[i] = FIRST_WEIGHT * (2.0 * (double)random_next_unit(&random) - 1.0);
    return ST_OK;
}

void policy_free(struct policy *policy)
{
    if (policy == NULL)
        return;
    free(policy->values);
    free(policy->mean);
    free(policy->square);
    free(policy->traces);
    free(policy);
}

int32_t policy_parameters(const struct policy *policy)
{
    return policy->parameters;
}

double *policy_values(struct policy *policy)
{
    return policy->values;
}

/* ---- forwards ---- */

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static void layer_forward(const struct policy *policy, int32_t l, struct trace *trace)
{
    const struct layer *layer = &policy->layers[l];
    const double *row = policy->values + layer->at, *h = trace->before.h[l];
    double *gates = trace->gates[l];
    for (int32_t gate = 0; gate < GATES; gate++, row += row_length(layer)) {
        double sum = row[layer->inputs + POLICY_CELLS];
        for (int32_t i = 0; i < layer->inputs; i++)
            sum += row[i] * trace->inputs[l][i];
        for (int32_t i = 0; i < POLICY_CELLS; i++)
            sum += row[layer->inputs + i] * h[i];
        gates[gate] = gate < 3 * POLICY_CELLS ? sigmoid(sum) : tanh(sum);
    }
    for (int32_t i = 0; i < POLICY_CELLS; i++) {
        trace->after.c[l][i] =
            gates[POLICY_CELLS + i] * trace->before.c[l][i] + gates[i] * gates[3 * POLICY_CELLS + i];
        trace->after.h[l][i] = gates[2 * POLICY_CELLS + i] * tanh(trace->after.c[l][i]);
    }
}

static void softmax(const struct policy *policy, int32_t slot, uint32_t allowed, struct trace *trace)
{
    const double *h = trace->after.h[POLICY_LAYERS - 1], *row = policy->values + policy->outputs[slot];
    double most = -INFINITY, sum = 0.0;
    memset(trace->probabilities, 0, sizeof(trace->probabilities));
    for (int32_t k = 0; k < policy->shape.choices[slot]; k++, row += POLICY_CELLS + 1) {
        double logit = row[POLICY_CELLS];
        for (int32_t i = 0; i < POLICY_CELLS; i++)
            logit += row[i] * h[i];
        trace->probabilities[k] = (allowed >> k & 1) != 0 ? logit : -INFINITY;
        most = fmax(most, trace->probabilities[k]);
    }
    for (int32_t k = 0; k < policy->shape.choices[slot]; k++) {
        trace->probabilities[k] = exp(trace->probabilities[k] - most);
        sum += trace->probabilities[k];
    }
    for (int32_t k = 0; k < policy->shape.choices[slot]; k++)
        trace->probabilities[k] /= sum;
}

/* Token `at` of what is said. */
static void forward(const struct policy *policy, const struct policy_said *said, int32_t at, uint32_t allowed,
                    struct trace *trace)
{
    memset(trace->inputs, 0, sizeof(trace->inputs));
    if (at > 0)
        trace->inputs[0][policy->first[(at - 1) % POLICY_SLOTS] + said->tokens[at - 1].choice] = 1.0;
    layer_forward(policy, 0, trace);
    memcpy(trace->inputs[1], trace->after.h[0], sizeof(trace->after.h[0]));
    layer_forward(policy, 1, trace);
    softmax(policy, at % POLICY_SLOTS, allowed, trace);
}

void policy_next(const struct policy *policy, const struct policy_said *said, uint32_t allowed,
                 struct policy_place *place, double probabilities[POLICY_CHOICES])
{
    struct trace trace = {.before = *place};
    forward(policy, said, said->count, allowed, &trace);
    *place = trace.after;
    memcpy(probabilities, trace.probabilities, sizeof(trace.probabilities));
}

double policy_entropy(const double probabilities[POLICY_CHOICES])
{
    double entropy = 0.0;
    for (int32_t k = 0; k < POLICY_CHOICES; k++)
        if (probabilities[k] > 0.0)
            entropy -= probabilities[k] * log(probabilities[k]);
    return entropy;
}

/* ---- backwards ---- */

/* What the gradient is by what the cells hold: by what they give, and by their state. */
struct slope {
    double h[POLICY_LAYERS][POLICY_CELLS], c[POLICY_LAYERS][POLICY_CELLS];
};

/* Turns the slope behind a layer's pass into that before it; adds to the gradient, and to the slope by its inputs. */
static void layer_backward(const struct policy *policy, int32_t l, const struct trace *trace,
                           struct slope *slope, double *by_inputs, double *gradient)
{
    const struct layer *layer = &policy->layers[l];
    const double *row = policy->values + layer->at, *gates = trace->gates[l], *h = trace->before.h[l];
    double *by_row = gradient + layer->at, by_gates[GATES];
    for (int32_t i = 0; i < POLICY_CELLS; i++) {
        const double in = gates[i], forget = gates[POLICY_CELLS + i], out = gates[2 * POLICY_CELLS + i],
                     candidate = gates[3 * POLICY_CELLS + i], given = tanh(trace->after.c[l][i]);
        const double by_c = slope->c[l][i] + slope->h[l][i] * out * (1.0 - given * given);
        by_gates[i] = by_c * candidate * in * (1.0 - in);
        by_gates[POLICY_CELLS + i] = by_c * trace->before.c[l][i] * forget * (1.0 - forget);
        by_gates[2 * POLICY_CELLS + i] = slope->h[l][i] * given * out * (1.0 - out);
        by_gates[3 * POLICY_CELLS + i] = by_c * in * (1.0 - candidate * candidate);
        slope->c[l][i] = by_c * forget;
        slope->h[l][i] = 0.0;
    }
    for (int32_t gate = 0; gate < GATES; gate++, row += row_length(layer), by_row += row_length(layer)) {
        for (int32_t i = 0; i < layer->inputs; i++) {
            by_row[i] += by_gates[gate] * trace->inputs[l][i];
            by_inputs[i] += by_gates[gate] * row[i];
        }
        for (int32_t i = 0; i < POLICY_CELLS; i++) {
            by_row[layer->inputs + i] += by_gates[gate] * h[i];
            slope->h[l][i] += by_gates[gate] * row[layer->inputs + i];
        }
        by_row[layer->inputs + POLICY_CELLS] += by_gates[gate];
    }
}

/* Adds what a token's softmax has to say. */
static void output_backward(const struct policy *policy, int32_t slot, const struct policy_token *token,
                            const struct trace *trace, const double weights[2], struct slope *slope,
                            double *gradient)
{
    const double *p = trace->probabilities, entropy = policy_entropy(p),
                 *h = trace->after.h[POLICY_LAYERS - 1];
    const double *row = policy->values + policy->outputs[slot];
    double *by_row = gradient + policy->outputs[slot];
    for (int32_t k = 0; k < policy->shape.choices[slot];
         k++, row += POLICY_CELLS + 1, by_row += POLICY_CELLS + 1) {
        if (!(p[k] > 0.0))
            continue;
        const double by_logit =
            weights[0] * ((k == token->choice) - p[k]) - weights[1] * p[k] * (log(p[k]) + entropy);
        for (int32_t i = 0; i < POLICY_CELLS; i++) {
            by_row[i] += by_logit * h[i];
            slope->h[POLICY_LAYERS - 1][i] += by_logit * row[i];
        }
        by_row[POLICY_CELLS] += by_logit;
    }
}

double policy_gradient(struct policy *policy, const struct policy_said *said, double advantage,
                       double entropy, double *gradient)
{
    const double weights[2] = {advantage, entropy};
    struct slope slope = {0};
    double objective = 0.0;
    for (int32_t at = 0; at < said->count; at++) {
        struct trace *trace = &policy->traces[at];
        trace->before = at > 0 ? policy->traces[at - 1].after : (struct policy_place){0};
        forward(policy, said, at, said->tokens[at].allowed, trace);
        objective += advantage * log(trace->probabilities[said->tokens[at].choice]) +
                     entropy * policy_entropy(trace->probabilities);
    }
    for (int32_t at = said->count - 1; at >= 0; at--) {
        const struct trace *trace = &policy->traces[at];
        double by_inputs[INPUTS_MOST] = {0}, nobody[INPUTS_MOST] = {0};
        output_backward(policy, at % POLICY_SLOTS, &said->tokens[at], trace, weights, &slope, gradient);
        layer_backward(policy, 1, trace, &slope, by_inputs, gradient);
        for (int32_t i = 0; i < POLICY_CELLS; i++)
            slope.h[0][i] += by_inputs[i];
        layer_backward(policy, 0, trace, &slope, nobody, gradient);
    }
    return objective;
}

void policy_climb(struct policy *policy, const double *gradient, double rate)
{
    policy->steps++;
    const double first = 1.0 - pow(BETA1, policy->steps), second = 1.0 - pow(BETA2, policy->steps);
    for (int32_t i = 0; i < policy->parameters; i++) {
        policy->mean[i] += (1.0 - BETA1) * (gradient[i] - policy->mean[i]);
        policy->square[i] += (1.0 - BETA2) * (gradient[i] * gradient[i] - policy->square[i]);
        policy->values[i] += rate * (policy->mean[i] / first) / (sqrt(policy->square[i] / second) + EPSILON);
    }
}
