#include "tests/support/device_evaluation.h"

#include "host/net/start.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { IMAGES = 6, GRAPHS = 24, CLASSES = 5 };

static const char *const starts[] = {"lean", "cnn", "resnet", "densenet"};
enum { STARTS = sizeof(starts) / sizeof(starts[0]) };

/* A fresh convolution has no bias in front of a batch norm, but a job's may: every other graph has one. */
static void make_graph(struct graph *graph, int32_t index)
{
    struct error err;
    enum status st = index < STARTS
                         ? start_make(graph, starts[index], 8, (struct shape){0, 3, 8, 8}, CLASSES, &err)
                         : random_graph_make(graph, (uint64_t)index, &err);
    for (int32_t i = 0; st == ST_OK && index % 2 && i < graph->count; i++)
        graph->layers[i].bias = graph->layers[i].bias || graph->layers[i].kind == LAYER_CONV;
    if (st != ST_OK)
        fail_msg("%s", err.message);
}

int32_t evaluation_pairs(const struct program *program)
{
    int32_t pairs = 0;
    for (int32_t i = 0; i < program->op_count; i++) {
        const struct prog_op *conv = &program->ops[i];
        int32_t norms = 0, readers = 0;
        for (int32_t k = 0; conv->kind == PROG_OP_CONV && k < program->op_count; k++)
            for (int32_t in = 0; in < program->ops[k].input_count; in++) {
                const bool reads = program->ops[k].inputs[in] == conv->outputs[CONV_OUT_Y];
                readers += reads;
                norms += reads && in == BATCH_NORM_INFERENCE_IN_X &&
                         program->ops[k].kind == PROG_OP_BATCH_NORM_INFERENCE;
            }
        pairs += readers == 1 && norms == 1;
    }
    return pairs;
}

struct logits evaluation_run(struct device_session *session, bool one_by_one)
{
    const struct step step = {.valid = session->program.batch};
    if (one_by_one)
        for (int32_t op = 0; op < session->program.op_count; op++)
            session_run_op(session, op, &step);
    else
        session_run(session, &step);
    return (struct logits){session_count(session, session->program.logits),
                           session_read(session, session->program.logits)};
}

double evaluation_distance(const struct logits *found, const struct logits *expected)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < expected->count; i++) {
        difference += pow((double)found->values[i] - (double)expected->values[i], 2);
        size += pow((double)expected->values[i], 2);
    }
    return size > 0 ? sqrt(difference / size) : sqrt(difference);
}

struct distances {
    int32_t graphs, folds;
    double folded, plain, worst; /* means over the graphs; the worst of folded */
};

/* All graphs, whole and one by one, beside the reference. */
static struct distances compare(const struct device_ops *ops, struct device *gpu,
                                void (*look)(const struct device_session *session))
{
    static const struct lower_options evaluation = {
        .purpose = PROG_EVALUATE, .batch = IMAGES, .batch_norm_momentum = 0.1f};
    struct distances sum = {0};
    for (int32_t index = 0; index < GRAPHS; index++) {
        struct graph graph = {0};
        struct device_session ref, device;
        make_graph(&graph, index);
        session_open(&ref, &ref_device_ops, &graph, &evaluation, IMAGES, (uint64_t)index + 1);
        session_open_with(&device, ops, gpu, &graph, &evaluation, IMAGES, (uint64_t)index + 1);
        if (look != NULL)
            look(&device);
        const struct logits expected = evaluation_run(&ref, false), plain = evaluation_run(&device, true),
                            folded = evaluation_run(&device, false);
        const double far = evaluation_distance(&folded, &expected);
        const int32_t folds = evaluation_pairs(&device.program);
        if (folds > 0) {
            sum.graphs++;
            sum.folds += folds;
            sum.folded += far;
            sum.plain += evaluation_distance(&plain, &expected);
            sum.worst = fmax(sum.worst, far);
        }
        free(expected.values);
        free(plain.values);
        free(folded.values);
        session_close(&device);
        session_close(&ref);
        graph_free(&graph);
    }
    sum.folded /= sum.graphs;
    sum.plain /= sum.graphs;
    return sum;
}

/* To do several operations at once rounds less often, so the result is no further from the reference, on the whole. */
void evaluation_check(const struct device_ops *ops, struct device *device, double rounding,
                      void (*look)(const struct device_session *session))
{
    const struct distances d = compare(ops, device, look);
    print_message(
        "%d graphs with %d batch norms behind convolutions: %.3g from the reference (at most %.3g), one by "
        "one %.3g\n",
        (int)d.graphs, (int)d.folds, d.folded, d.worst, d.plain);
    assert_true(d.graphs * 2 > GRAPHS);
    assert_true(d.folded <= 1.5 * d.plain);
    assert_true(d.worst <= 8 * rounding && d.plain > 0);
}
