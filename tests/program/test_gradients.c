/* Differentiation against central differences: for many random graphs, the gradient of each trained weight
 * tensor, as the lowered program computes it on the reference device, against the change of the loss when a
 * value moves.
 *
 * A ReLU or a maximum that changes sides within the step spoils a difference, so up to four steps are tried,
 * each a quarter of the one before: a right gradient agrees as soon as no kink lies within, a wrong one
 * never. */
#include "tests/support/device_session.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { GRAPHS = 160, BATCH = 4, PROBES = 4, STEPS = 4 };

static const double largest_step =
    0x1p-16; /* exact in float around random_graph_weights' values down to 2^-22 */
static const double relative = 1e-5, absolute = 1e-8;

/* The mean loss of the step for the session's weights. */
static double loss_now(struct device_session *session, const struct step *step)
{
    const double zero[METRIC_COUNT] = {0};
    double metrics[METRIC_COUNT];
    session_upload(session);
    assert_int_equal(
        session->ops->program_set_metrics(session->device, session->prepared, zero, &session->err), ST_OK);
    session_run(session, step);
    assert_int_equal(
        session->ops->program_metrics(session->device, session->prepared, metrics, &session->err), ST_OK);
    assert_int_equal((int)metrics[METRIC_SAMPLES], step->valid);
    return metrics[METRIC_LOSS] / step->valid;
}

static double difference(struct device_session *session, const struct step *step, float *weight, double h)
{
    float before = *weight;
    *weight = before + (float)h;
    double above = loss_now(session, step);
    *weight = before - (float)h;
    double below = loss_now(session, step);
    *weight = before;
    return (above - below) / (2 * h);
}

struct tally {
    int32_t seen[PROG_OP_KIND_COUNT];      /* programs' operations */
    int32_t activations[ACTIVATION_COUNT]; /* of these: backward, by function */
    int32_t probes, clear;                 /* gradients compared; those far from 0 */
};

static void probe_tensor(struct device_session *session, const struct step *step, uint64_t seed, int32_t id,
                         const float *gradient, struct tally *tally)
{
    const struct weight_tensor *weight =
        &session->program.weights.tensors[session->program.tensors[id].weight];
    struct random_sequence random = {.seed = seed, .stream = RANDOM_TEST, .part = 1000 + (uint32_t)id};
    for (int32_t probe = 0; probe < PROBES; probe++) {
        size_t at = random_next_below(&random, (uint32_t)weight->count);
        double expected = 0, found = (double)gradient[at], h = largest_step;
        bool within = false;
        for (int32_t tries = 0; tries < STEPS && !within; tries++, h /= 4) {
            expected = difference(session, step, &session->values[weight->offset + at], h);
            within = fabs(found - expected) <= absolute + relative * fabs(expected);
        }
        if (!within)
            fail_msg("graph %llu, layer %u, %s[%zu]: gradient %.9g, expected %.9g", (unsigned long long)seed,
                     weight->layer_id, weight_role_name(weight->role), at, found, expected);
        tally->probes++;
        tally->clear += fabs(expected) > 1e-4;
    }
}

static void probe_graph(uint64_t seed, struct tally *tally)
{
    struct error err;
    struct graph graph;
    struct device_session session;
    struct lower_options options = {.purpose = PROG_TRAIN,
                                    .batch = BATCH,
                                    .drop_path = seed % 2 == 0 ? 0.5f : 0.0f,
                                    .label_smoothing = seed % 5 == 0 ? 0.0f : 0.1f,
                                    .focal = (const float[]){0.0f, 2.0f, 0.5f, 1.0f}[seed % 4],
                                    .weighted = seed % 3 == 0,
                                    .sets = seed % 8 >= 4,
                                    .batch_norm_momentum = 0.1f};
    if (random_graph_make(&graph, seed, &err) != ST_OK)
        fail_msg("graph %llu: %s", (unsigned long long)seed, err.message);
    session_open(&session, &ref_device_ops, &graph, &options, 9, seed);
    const struct program *program = &session.program;
    /* Rate 0, so that a run does not move the weights; one row does not count. */
    struct step step = {
        .seed = seed, .number = 3, .first = 2, .valid = BATCH - 1, .learning_rate = 0, .drop_path = 0.75f};
    assert_true(isfinite(loss_now(&session, &step)));
    float **gradients = calloc((size_t)program->tensor_count, sizeof(*gradients));
    assert_non_null(gradients);
    for (int32_t t = 0; t < program->tensor_count; t++)
        if (program->tensors[t].kind == TENSOR_GRADIENT)
            gradients[t] = session_read(&session, t); /* before other runs write anew */
    for (int32_t t = 0; t < program->tensor_count; t++)
        if (gradients[t])
            probe_tensor(&session, &step, seed, t, gradients[t], tally);
    for (int32_t i = 0; i < program->op_count; i++) {
        tally->seen[program->ops[i].kind]++;
        if (program->ops[i].kind == PROG_OP_ACTIVATION_BACKWARD)
            tally->activations[program->ops[i].activation.function]++;
    }
    for (int32_t t = 0; t < program->tensor_count; t++)
        free(gradients[t]);
    free(gradients);
    session_close(&session);
    graph_free(&graph);
}

static void gradients_agree_with_differences(void **state)
{
    (void)state;
    struct tally tally = {0};
    for (uint64_t seed = 1; seed <= GRAPHS; seed++)
        probe_graph(seed, &tally);
    /* Were most gradients 0, or an operation never met, agreement would prove little. */
    assert_in_range(tally.clear, tally.probes / 2, tally.probes);
    for (int32_t kind = 0; kind < PROG_OP_KIND_COUNT; kind++) {
        bool training = kind != PROG_OP_BATCH_NORM_INFERENCE && kind != PROG_OP_WEIGHT_AVERAGE &&
                        kind != PROG_OP_ALL_REDUCE && kind != PROG_OP_ORTHOGONALISE;
        if (training && tally.seen[kind] < 5)
            fail_msg("%s occurs %d times, expected 5 or more", prog_op_name((enum prog_op_kind)kind),
                     tally.seen[kind]);
    }
    for (int a = 0; a < ACTIVATION_COUNT; a++)
        if (tally.activations[a] < 5)
            fail_msg("%s occurs %d times, expected 5 or more",
                     activation_traits((enum activation_kind)a)->name, tally.activations[a]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_agree_with_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
