/* Folded networks, their plans and their codes: the same function as the model's, in float32 and, roughly, in whole
 * numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/inference/code.h"
#include "host/inference/fold.h"
#include "host/net/start.h"
#include "tests/support/folded_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NETWORKS = 2 * RANDOM_MODEL_NETWORKS, IMAGES = EVALUATE_LANES + 3 };

/* Of float32 against double precision, and of codes: networks of random weights exaggerate every rounding. */
static const double TOLERANCE = 1e-5, CODED_TOLERANCE = 0.1;

static double largest_difference(const struct folded_model *test)
{
    float found[IMAGES * RANDOM_MODEL_CLASSES];
    double largest = 0.0;
    folded_model_answer(test, found);
    for (int32_t i = 0; i < IMAGES * test->model.about.classes; i++) {
        const double difference = fabs(test->expected[i] - (double)found[i]);
        largest = difference <= largest ? largest : difference;
    }
    return largest;
}

static void folds_into_the_same_function(void **state)
{
    int32_t norms = 0, left = 0;
    (void)state;
    for (uint32_t seed = 0; seed < NETWORKS; seed++) {
        struct folded_model test;
        folded_model_make(seed, IMAGES, &test);
        for (int32_t i = 0; i < test.model.graph.count; i++)
            norms += test.model.graph.layers[i].kind == LAYER_BATCH_NORM;
        for (int32_t i = 0; i < test.folded.graph.count; i++) {
            left += test.folded.graph.layers[i].kind == LAYER_BATCH_NORM;
            assert_int_not_equal(test.folded.graph.layers[i].kind, LAYER_DROPOUT);
        }
        const double difference = largest_difference(&test);
        if (!(difference <= TOLERANCE))
            fail_msg("network %u: differs by %g", seed, difference);
        folded_model_free(&test);
    }
    assert_true(left > 0 && left < norms);
}

/* Those that people take, whose batch norms stand behind convolutions or pools of them. */
static void folds_starts_to_the_end(void **state)
{
    static const char *const names[] = {"lean", "cnn", "res9", "air", "air_deep", "resnet"};
    (void)state;
    for (size_t s = 0; s < sizeof(names) / sizeof(names[0]); s++) {
        struct model model = {.about.classes = 0}, folded;
        struct error err;
        assert_int_equal(start_make(&model.graph, names[s], 16, (struct shape){0, 3, 32, 32}, 10, &err),
                         ST_OK);
        assert_int_equal(weight_table_new(&model.table, &model.graph, &err), ST_OK);
        model.values = calloc(model.table.total, sizeof(float));
        assert_non_null(model.values);
        weight_initialise(&model.table, &model.graph, 1, NULL, model.values);
        assert_int_equal(fold_model(&model, &folded, &err), ST_OK);
        for (int32_t i = 0; i < folded.graph.count; i++)
            assert_int_not_equal(folded.graph.layers[i].kind, LAYER_BATCH_NORM);
        model_free(&folded);
        model_free(&model);
    }
}

/* Places of values that are needed at the same time are apart: the networks above would tell, but not of all. */
static void plans_keep_values_apart(void **state)
{
    size_t shared = 0;
    (void)state;
    for (uint32_t seed = 0; seed < NETWORKS; seed++) {
        struct folded_model test;
        folded_model_make(seed, IMAGES, &test);
        const struct graph *graph = &test.folded.graph;
        size_t sum = 0;
        for (int32_t i = 0; i < graph->count; i++) {
            const size_t end = test.plan.offsets[i] + plan_values(&graph->layers[i]);
            assert_true(end <= test.plan.arena);
            sum += plan_values(&graph->layers[i]);
            for (int32_t k = i + 1; k < graph->count;
                 k++) { /* a later reader of i, and what is made before it */
                bool reads = false;
                for (int32_t input = 0; input < graph->layers[k].input_count; input++)
                    reads = reads || graph->layers[k].inputs[input] == i;
                for (int32_t between = i + 1; reads && between < k; between++)
                    assert_true(test.plan.offsets[between] >= end ||
                                test.plan.offsets[between] + plan_values(&graph->layers[between]) <=
                                    test.plan.offsets[i]);
            }
        }
        shared += test.plan.arena < sum;
        folded_model_free(&test);
    }
    assert_true(shared > NETWORKS / 2);
}

static void codes_say_nearly_the_same(void **state)
{
    double mean = 0.0;
    (void)state;
    for (uint32_t seed = 0; seed < NETWORKS; seed++) {
        struct folded_model test;
        folded_model_make(seed, IMAGES, &test);
        folded_model_quantise(&test);
        mean += largest_difference(&test) / NETWORKS;
        folded_model_free(&test);
    }
    print_message("codes differ by %.3g in the mean\n", mean);
    if (!(mean > 0.0 && mean <= CODED_TOLERANCE))
        fail_msg("codes differ by %g in the mean", mean);
}

static void rescales_as_it_rounds(void **state)
{
    (void)state;
    static const double factors[] = {1.0, 0.5, -0.25, 3e-5, 1.0 / 3.0, -77.7, 1e-12, 0.0, 0.99999999999};
    for (size_t f = 0; f < sizeof(factors) / sizeof(factors[0]); f++)
        for (int64_t value = -100000; value <= 100000; value += 37) {
            const double exact = (double)value * factors[f];
            const double found = (double)rescale_apply(value, rescale_of(factors[f]));
            assert_true(fabs(found - exact) <= 0.5 + 1e-9 * fabs(exact));
        }
    assert_int_equal(rescale_apply(5, rescale_of(0.5)), 3);
    assert_int_equal(rescale_apply(-5, rescale_of(0.5)), -3);
    assert_int_equal(rescale_apply(INT32_MAX, rescale_of(1e-12)), 0);
    assert_int_equal(code_divide(-5, 2), -3);
    assert_int_equal(code_divide(7, 3), 2);
    assert_int_equal(code_shift(-(3 << 19)), -2);
    assert_int_equal(code_cut(1000), CODE_MOST);
    assert_int_equal(code_cut(-1000), CODE_LEAST);
}

static void refuses_what_is_not_finite(void **state)
{
    struct model model, folded;
    struct error err;
    (void)state;
    random_model_make(0, &model);
    model.values[model.table.tensors[0].offset] = NAN;
    assert_int_equal(fold_model(&model, &folded, &err), ST_FORMAT);
    assert_non_null(strstr(err.message, "expected finite"));
    model_free(&folded);
    model_free(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folds_into_the_same_function), cmocka_unit_test(folds_starts_to_the_end),
        cmocka_unit_test(plans_keep_values_apart),      cmocka_unit_test(codes_say_nearly_the_same),
        cmocka_unit_test(rescales_as_it_rounds),        cmocka_unit_test(refuses_what_is_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
