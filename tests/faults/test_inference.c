/* Exports under a lack of memory, at each place: folding, plans, codes, answers, ONNX and C. */
#include "host/csource/csource_write.h"
#include "host/inference/fold.h"
#include "host/onnx/onnx_write.h"
#include "tests/faults/failing.h"
#include "tests/support/folded_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

enum { IMAGES = 3 };

static enum status write_all(const struct evaluation *evaluation, struct error *err)
{
    unsigned char *bytes = NULL;
    char *text = NULL;
    size_t length;
    enum status st = csource_write(evaluation, "network", NULL, &text, &length, err);
    if (st == ST_OK)
        st = onnx_write(evaluation->folded, evaluation->quantisation, NULL, &bytes, &length, err);
    free(bytes);
    free(text);
    return st;
}

/* All that an export does with a model, in float32 and in codes. */
static enum status export(void *context, struct error *err) {
    const struct folded_model *given = context; struct value_range ranges[GRAPH_MAX_LAYERS];
    float answers[IMAGES * RANDOM_MODEL_CLASSES];
    struct quantisation quantisation = {0};
    struct model folded = {0};
    struct plan plan = {0};
    struct evaluation evaluation = {&folded, &plan, NULL};
    enum status st = fold_model(&given->model, &folded, err);
    if (st == ST_OK) st = plan_make(&folded.graph, &plan, err);
    value_ranges_begin(ranges, st == ST_OK ? folded.graph.count : 0);
    if (st == ST_OK) st = evaluate_images(&evaluation, given->pixels, IMAGES, answers, ranges, err);
    if (st == ST_OK) st = write_all(&evaluation, err);
    if (st == ST_OK) st = quantise(&folded, ranges, &quantisation, err);
    evaluation.quantisation = &quantisation;
    if (st == ST_OK) st = evaluate_images(&evaluation, given->pixels, IMAGES, answers, NULL, err);
    if (st == ST_OK) st = write_all(&evaluation, err);
    quantisation_free(&quantisation);
    plan_free(&plan);
    model_free(&folded);
    return st;
}

static void test_exports(void **state)
{
    int32_t count = 0;
    (void)state;
    for (uint32_t seed = 0; seed < 4; seed++) {
        struct folded_model made;
        folded_model_make(seed, IMAGES, &made);
        count += failing_play("an export", 2, export, &made);
        folded_model_free(&made);
    }
    assert_true(count > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
