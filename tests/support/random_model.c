#include "tests/support/random_model.h"

#include "tests/support/graph_forward.h"
#include "tests/support/random_graph.h"
#include "tests/support/tangled_graph.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

void random_model_make(uint32_t seed, struct model *model)
{
    const bool several = seed >= RANDOM_MODEL_NETWORKS;
    seed %= RANDOM_MODEL_NETWORKS;
    struct random_sequence random = {.seed = seed, .stream = RANDOM_TEST};
    struct error err;
    *model = (struct model){0};
    if (seed % 2 == 0)
        assert_int_equal(random_graph_make(&model->graph, seed, &err), ST_OK);
    else
        assert_int_equal(tangled_graph_make(&model->graph, &random, &err), ST_OK);
    assert_int_equal(weight_table_new(&model->table, &model->graph, &err), ST_OK);
    model->values = calloc(model->table.total, sizeof(float));
    assert_non_null(model->values);
    tangled_graph_weights(&model->table, &random, model->values);
    struct model_about *about = &model->about;
    *about =
        (struct model_about){.fit = "crop",
                             .views = 1,
                             .temperature = 1.0f,
                             .plain_temperature = seed % 4 == 0 ? 1.0f : 0.5f + 0.25f * (float)(seed % 8),
                             .id = seed,
                             .validation_accuracy = seed % 3 == 0 ? (double)NAN : 0.75,
                             .mean = {0.5f, 0.25f, 0.125f, 0.75f},
                             .deviation = {0.2f, 0.3f, 0.1f, 1.0f}};
    about->classes = model->graph.layers[model->graph.count - 1].shape.c;
    about->class_names = calloc((size_t)about->classes, sizeof(char *));
    assert_non_null(about->class_names);
    for (int32_t k = 0; k < about->classes; k++)
        assert_true(asprintf(&about->class_names[k], "class \"%d\", \xc3\xa9", (int)k) > 0);
    assert_in_range(about->classes, 1, RANDOM_MODEL_CLASSES);
    if (!several)
        return;
    about->label_thresholds = calloc((size_t)about->classes, sizeof(*about->label_thresholds));
    assert_non_null(about->label_thresholds);
    for (int32_t k = 0; k < about->classes; k++)
        about->label_thresholds[k] = 0.3 + 0.4 * k / about->classes;
}

size_t random_model_pixels(const struct model *model)
{
    const struct shape shape = model->graph.layers[0].shape;
    return (size_t)shape.c * (size_t)shape.h * (size_t)shape.w;
}

void random_model_answer(const struct model *model, uint32_t number, uint8_t *pixels, double *probabilities)
{
    const struct shape shape = model->graph.layers[0].shape;
    const size_t plane = (size_t)shape.h * (size_t)shape.w, count = random_model_pixels(model);
    double *image = malloc(count * sizeof(*image)), largest = -INFINITY, sum = 0;
    assert_non_null(image);
    for (size_t i = 0; i < count; i++) {
        pixels[i] = (uint8_t)random_draw(number, RANDOM_TEST, i, 7).v[0];
        image[i] = (pixels[i] / 255.0 - (double)model->about.mean[i / plane]) /
                   (double)model->about.deviation[i / plane];
    }
    assert_true(graph_forward(&model->graph, &model->table, model->values, image, probabilities));
    free(image);
    if (model->about.label_thresholds != NULL) {
        for (int32_t k = 0; k < model->about.classes; k++)
            probabilities[k] = 1 / (1 + exp(-probabilities[k] / (double)model->about.plain_temperature));
        return;
    }
    for (int32_t k = 0; k < model->about.classes; k++)
        largest = fmax(largest, probabilities[k]);
    for (int32_t k = 0; k < model->about.classes; k++)
        sum += probabilities[k] = exp((probabilities[k] - largest) / (double)model->about.plain_temperature);
    for (int32_t k = 0; k < model->about.classes; k++)
        probabilities[k] /= sum;
}
