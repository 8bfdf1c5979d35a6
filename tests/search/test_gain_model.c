/* The surrogate of changes: regression against its closed form, a covariance that is one, intervals that hold, priors
 * in files. */
#include "host/base/file.h"
#include "host/base/matrix.h"
#include "host/base/random.h"
#include "host/morph/morph.h"
#include "host/net/distance.h"
#include "host/net/start.h"
#include "host/search/gain_model.h"
#include "tests/support/data_files.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GRAPHS = 500, ALL = (1 << MORPH_PRESERVING_COUNT) - 1 };

static const struct hyperparameter_space SPACE = {
    .usual = {.learning_rate = 0.2, .weight_decay = 0.01, .batch = 128, .momentum = 0.9, .average = 0.95}};

static struct gain_model *fit(const struct gain_prior *prior, const struct gain_seen *seen, int32_t count)
{
    struct gain_model *model;
    struct error err;
    if (gain_model_fit(prior, seen, count, &model, &err) != ST_OK)
        fail_msg("%s", err.message);
    return model;
}

/* ---- few gains ---- */

static void test_prior_alone(void **state)
{
    struct gain_prior prior = gain_prior_weak();
    struct gain_point point = {{{0.0}}, 0, {0.0}};
    double mean, deviation;
    (void)state;
    prior.mean[CHANGE_operations] = 0.1;
    point.change.of[CHANGE_any] = 1.0;
    point.change.of[CHANGE_operations] = 2.0;
    struct gain_model *model = fit(&prior, NULL, 0);
    gain_model_predict(model, &point, &mean, &deviation);
    assert_true(fabs(mean - 0.2) < 1e-12);
    assert_true(fabs(deviation - sqrt(pow(prior.deviation[CHANGE_any], 2.0) +
                                      pow(2.0 * prior.deviation[CHANGE_operations], 2.0))) < 1e-12);
    gain_model_free(model);
    gain_model_free(NULL);
}

/* With one number of a change that is not 0, the posterior is that of a normal mean. */
static void test_regression(void **state)
{
    const struct gain_prior prior = gain_prior_weak();
    struct gain_seen seen[20] = {0};
    double precision = pow(prior.deviation[CHANGE_gates], -2.0), sum = 0.0, mean, deviation;
    (void)state;
    for (int i = 0; i < 20; i++) {
        seen[i].point.change.of[CHANGE_gates] = 1.0 + i % 3;
        seen[i].gain = 0.05 * (1.0 + i % 3) + 0.01 * (i % 5 - 2);
        seen[i].deviation = 0.01 * (1 + i % 4);
        const double noise = pow(seen[i].deviation, 2.0) + pow(GAIN_MODEL_SEED, 2.0);
        precision += pow(1.0 + i % 3, 2.0) / noise;
        sum += (1.0 + i % 3) * seen[i].gain / noise;
    }
    struct gain_model *model = fit(&prior, seen, 20);
    struct gain_point point = {{{0.0}}, 0, {0.0}};
    point.change.of[CHANGE_gates] = 2.0;
    gain_model_predict(model, &point, &mean, &deviation);
    assert_true(fabs(mean - 2.0 * sum / precision) < 1e-9);
    assert_true(fabs(deviation - 2.0 / sqrt(precision)) < 1e-9);
    gain_model_free(model);
}

static void test_refused(void **state)
{
    const struct gain_prior prior = gain_prior_weak();
    struct gain_seen seen = {.gain = NAN};
    struct gain_model *model;
    struct error err;
    (void)state;
    assert_int_equal(gain_model_fit(&prior, &seen, 1, &model, &err), ST_RANGE);
    const struct gain_seen wide = {.gain = 0.0, .deviation = 1e200}; /* its square is no number */
    assert_int_equal(gain_model_fit(&prior, &wide, 1, &model, &err), ST_RANGE);
    assert_string_equal(err.message, "surrogate: the covariance of 1 gains is indefinite");
    assert_null(model);
}

/* ---- networks ---- */

/* A start of one of two kinds, and up to `most` morphs of it. */
static void draw_graph(uint32_t seed, int32_t most, struct graph *graph)
{
    struct random_sequence random = {.seed = 5, .stream = RANDOM_TEST, .part = seed};
    struct error err;
    assert_int_equal(start_make(graph, seed % 2 == 0 ? "lean" : "res9", seed % 3 == 0 ? 8 : 16,
                                (struct shape){0, 3, 16, 16}, 10, &err),
                     ST_OK);
    for (uint32_t i = random_next_below(&random, (uint32_t)most + 1); i > 0; i--) {
        struct morph morph;
        struct graph child;
        struct remap_list remaps;
        assert_int_equal(morph_draw(graph, ALL, &random, &morph, &err), ST_OK);
        assert_int_equal(morph_apply(&morph, graph, 0.0f, &child, &remaps, &err), ST_OK);
        remap_list_free(&remaps);
        graph_free(graph);
        *graph = child;
    }
}

static struct gain_point *draw_points(int32_t count, int32_t most)
{
    const struct hyperparameters usual = recipe_usual().hyperparameters;
    struct gain_point *points = calloc((size_t)count, sizeof(*points));
    struct descriptor *landmarks[GAIN_MODEL_LANDMARKS];
    struct graph first;
    struct error err;
    assert_non_null(points);
    draw_graph(0, 0, &first);
    for (int i = 0; i < GAIN_MODEL_LANDMARKS; i++) {
        struct graph graph;
        draw_graph((uint32_t)i, most, &graph);
        assert_int_equal(descriptor_new(&landmarks[i], &graph, &err), ST_OK);
        graph_free(&graph);
    }
    for (int32_t k = 0; k < count; k++) {
        struct descriptor *descriptor;
        struct graph graph;
        draw_graph((uint32_t)k, most, &graph);
        const struct changed from = {&first, &usual}, to = {&graph, &usual};
        points[k].change = change_between(&SPACE, &from, &to);
        points[k].landmarks = GAIN_MODEL_LANDMARKS;
        assert_int_equal(descriptor_new(&descriptor, &graph, &err), ST_OK);
        for (int i = 0; i < GAIN_MODEL_LANDMARKS; i++)
            assert_int_equal(
                descriptor_distance(descriptor, landmarks[i], 1.0, &points[k].distances[i], &err), ST_OK);
        descriptor_free(descriptor);
        graph_free(&graph);
    }
    for (int i = 0; i < GAIN_MODEL_LANDMARKS; i++)
        descriptor_free(landmarks[i]);
    graph_free(&first);
    return points;
}

/* No eigenvalue of 500 random networks' covariance is below -1e-8: with that much more on the diagonal it has a
 * Cholesky factor, which a matrix with a negative eigenvalue has not. */
static void test_positive_definite(void **state)
{
    struct gain_point *points = draw_points(GRAPHS, 12);
    double *covariance = malloc((size_t)GRAPHS * GRAPHS * sizeof(*covariance));
    double least = INFINITY;
    (void)state;
    assert_non_null(covariance);
    for (int32_t i = 0; i < GRAPHS; i++)
        for (int32_t j = 0; j <= i; j++)
            covariance[j * GRAPHS + i] =
                gain_model_covariance(&points[i], &points[j]) + (i == j ? 1e-8 : 0.0);
    for (int32_t i = 0; i < GRAPHS; i++)
        for (int32_t j = 0; j < i; j++)
            least = fmin(least, covariance[j * GRAPHS + i]);
    assert_true(least < 0.2); /* they do differ */
    assert_true(matrix_cholesky(covariance, GRAPHS));
    free(covariance);
    free(points);
}

/* What changes gain in a made-up world: a few numbers matter, and something that regression can't say. */
static double true_gain(const struct gain_point *point)
{
    const double *of = point->change.of;
    return 0.06 * of[CHANGE_operations] - 0.02 * of[CHANGE_norms] + 0.05 * tanh(of[CHANGE_adds]) -
           0.03 * of[CHANGE_parameters] * of[CHANGE_parameters];
}

/* Behind many gains new ones are foreseen, better than by the prior, and within their intervals as often as is said. */
static void test_many(void **state)
{
    enum { SEEN = 300, NEW = 200 };
    const struct gain_prior prior = gain_prior_weak();
    struct gain_point *points = draw_points(SEEN + NEW, 4);
    struct gain_seen *seen = calloc(SEEN, sizeof(*seen));
    double wrong = 0.0, nothing = 0.0;
    int32_t within = 0;
    (void)state;
    assert_non_null(seen);
    for (int32_t i = 0; i < SEEN; i++) {
        double noise, other;
        random_normal2(random_draw(9, RANDOM_TEST, (uint64_t)i, 0), &noise, &other);
        seen[i] = (struct gain_seen){
            .point = points[i], .gain = true_gain(&points[i]) + 0.036 * noise, .deviation = 0.02};
    }
    struct gain_model *model = fit(&prior, seen, SEEN);
    for (int32_t i = SEEN; i < SEEN + NEW; i++) {
        double mean, deviation;
        const double truth = true_gain(&points[i]);
        gain_model_predict(model, &points[i], &mean, &deviation);
        wrong += pow(mean - truth, 2.0);
        nothing += pow(truth, 2.0);
        within += fabs(mean - truth) < 2.0 * deviation;
    }
    assert_true(wrong < 0.1 * nothing);
    assert_true(within > 0.85 * NEW);
    gain_model_free(model);
    free(seen);
    free(points);
}

static void test_improvement(void **state)
{
    (void)state;
    assert_true(gain_model_improvement(0.3, 0.0, 0.1) == 0.3 - 0.1);
    assert_true(gain_model_improvement(0.1, 0.0, 0.3) == 0.0);
    assert_true(fabs(gain_model_improvement(0.0, 1.0, 0.0) - 0.3989422804014327) < 1e-12);
    assert_true(gain_model_improvement(0.0, 1.0, 5.0) > 0.0 && gain_model_improvement(0.0, 1.0, 5.0) < 1e-6);
    assert_true(fabs(gain_model_improvement(5.0, 1.0, 0.0) - 5.0) < 1e-6);
}

/* ---- changes ---- */

static void test_change(void **state)
{
    struct hyperparameters usual = recipe_usual().hyperparameters, other = usual;
    struct graph narrow, wide;
    struct error err;
    (void)state;
    const struct shape image = {0, 3, 16, 16};
    assert_int_equal(start_make(&narrow, "lean", 8, image, 10, &err), ST_OK);
    assert_int_equal(start_make(&wide, "lean", 16, image, 10, &err), ST_OK);
    const struct changed a = {&narrow, &usual}, b = {&wide, &usual}, c = {&narrow, &other};
    struct change change = change_between(&SPACE, &a, &a);
    for (int i = 0; i < CHANGE_COUNT; i++)
        assert_true(change.of[i] == 0.0);
    change = change_between(&SPACE, &a, &b);
    const struct change back = change_between(&SPACE, &b, &a);
    assert_true(change.of[CHANGE_any] == 1.0 && change.of[CHANGE_depth] == 0.0);
    assert_true(change.of[CHANGE_operations] > 0.5 && change.of[CHANGE_late] > 0.5);
    assert_true(fabs(change.of[CHANGE_width] - log(2.0)) < 1e-12);
    for (int i = 1; i < CHANGE_COUNT; i++)
        assert_true(fabs(change.of[i] + back.of[i]) < 1e-12);
    other.learning_rate = 0.8;
    other.momentum = 0.95;
    other.weight_decay = 0.01; /* what the job says */
    change = change_between(&SPACE, &a, &c);
    assert_true(fabs(change.of[CHANGE_learning_rate] - 2.0) < 1e-12);
    assert_true(fabs(change.of[CHANGE_momentum] - 1.0) < 1e-9);
    assert_true(change.of[CHANGE_weight_decay] == 0.0 && change.of[CHANGE_operations] == 0.0);
    graph_free(&narrow);
    graph_free(&wide);
}

/* ---- files ---- */

static char *folder;

static enum status read_text(const char *text, struct gain_prior *prior, struct error *err)
{
    char path[300];
    data_files_write_text(folder, "a.prior", text);
    snprintf(path, sizeof(path), "%s/a.prior", folder);
    return gain_prior_read(path, prior, err);
}

static char *print(const struct gain_prior *prior)
{
    char *text;
    size_t length;
    FILE *stream = open_memstream(&text, &length);
    assert_non_null(stream);
    gain_prior_print(prior, stream);
    fclose(stream);
    return text;
}

static void test_file(void **state)
{
    struct gain_prior prior = gain_prior_weak(), read;
    struct error err;
    (void)state;
    folder = data_files_folder();
    for (int i = 0; i < CHANGE_COUNT; i++)
        prior.mean[i] = 0.25 * i;
    char *text = print(&prior);
    assert_int_equal(read_text(text, &read, &err), ST_OK);
    assert_true(read.read && !prior.read);
    assert_memory_equal(read.mean, prior.mean, sizeof(prior.mean));
    assert_memory_equal(read.deviation, prior.deviation, sizeof(prior.deviation));

    static const struct {
        const char *text, *message;
        enum status status;
    } rows[] = {
        {"nasrun search prior 2\n", "of version 2, expected version 1", ST_UNSUPPORTED},
        {"something else\n", "expected \"nasrun search prior 1\"", ST_FORMAT},
        {"", "expected \"nasrun search prior 1\"", ST_FORMAT},
        {"nasrun search prior 1\n", "no line of \"any\"", ST_FORMAT},
        {"nasrun search prior 1\nany 0 -1\n", "line 2", ST_FORMAT},
        {"nasrun search prior 1\nany 0\n", "line 2", ST_FORMAT},
        {"nasrun search prior 1\nany 0 nan\n", "line 2", ST_FORMAT},
        {"nasrun search prior 1\n# so\nsome 0 1\n", "line 3: found \"some\"", ST_FORMAT},
        {"nasrun search prior 1\nany 0 1\nany 0 1\n", "line 3: found \"any\"", ST_FORMAT},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(read_text(rows[i].text, &read, &err), rows[i].status);
        assert_non_null(strstr(err.message, rows[i].message));
        assert_non_null(strstr(err.message, "a.prior"));
    }
    assert_int_equal(gain_prior_read("/nowhere.prior", &read, &err), ST_IO);
    assert_int_equal(gain_prior_read("samples/search.prior", &read, &err),
                     ST_OK); /* that comes with nasrun */
    assert_true(read.mean[CHANGE_any] < 0.0 && read.deviation[CHANGE_any] > 0.0);
    free(text);
    data_files_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prior_alone), cmocka_unit_test(test_regression),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_positive_definite),
        cmocka_unit_test(test_many),        cmocka_unit_test(test_improvement),
        cmocka_unit_test(test_change),      cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
