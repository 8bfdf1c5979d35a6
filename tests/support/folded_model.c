#include "tests/support/folded_model.h"

#include "host/inference/fold.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

void folded_model_make(uint32_t seed, int32_t images, struct folded_model *made)
{
    struct error err;
    *made = (struct folded_model){.images = images};
    random_model_make(seed, &made->model);
    if (fold_model(&made->model, &made->folded, &err) != ST_OK ||
        plan_make(&made->folded.graph, &made->plan, &err) != ST_OK)
        fail_msg("network %u: %s", (unsigned)seed, err.message);
    const size_t bytes = random_model_pixels(&made->model), classes = (size_t)made->model.about.classes;
    made->pixels = malloc((size_t)images * bytes);
    made->expected = malloc((size_t)images * classes * sizeof(*made->expected));
    assert_true(made->pixels != NULL && made->expected != NULL);
    for (size_t i = 0; i < (size_t)images; i++)
        random_model_answer(&made->model, (uint32_t)i, made->pixels + i * bytes,
                            made->expected + i * classes);
}

void folded_model_free(struct folded_model *made)
{
    model_free(&made->model);
    model_free(&made->folded);
    plan_free(&made->plan);
    quantisation_free(&made->quantisation);
    free(made->pixels);
    free(made->expected);
}

struct evaluation folded_model_evaluation(const struct folded_model *made)
{
    return (struct evaluation){&made->folded, &made->plan,
                               made->quantisation.codings != NULL ? &made->quantisation : NULL};
}

static void answer(const struct folded_model *made, float *answers, struct value_range *ranges)
{
    struct error err;
    const struct evaluation evaluation = folded_model_evaluation(made);
    if (evaluate_images(&evaluation, made->pixels, made->images, answers, ranges, &err) != ST_OK)
        fail_msg("network %u: %s", (unsigned)made->model.about.id, err.message);
}

void folded_model_quantise(struct folded_model *made)
{
    struct value_range ranges[GRAPH_MAX_LAYERS];
    struct error err;
    float *ignored = malloc((size_t)made->images * RANDOM_MODEL_CLASSES * sizeof(*ignored));
    assert_non_null(ignored);
    value_ranges_begin(ranges, made->folded.graph.count);
    answer(made, ignored, ranges);
    free(ignored);
    if (quantise(&made->folded, ranges, &made->quantisation, &err) != ST_OK)
        fail_msg("network %u: %s", (unsigned)made->model.about.id, err.message);
}

void folded_model_answer(const struct folded_model *made, float *answers)
{
    answer(made, answers, NULL);
}
