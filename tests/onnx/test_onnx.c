/* Models as ONNX: what is written is read as the same function, no damaged file gets in, and what can't be read is
 * named. `test_onnx --write DIR` writes the networks, `--write-int8 DIR` the same in whole numbers, with answers for
 * tests/python/check_onnx.py. `--read FILE.onnx...` reads networks that are not nasrun's, of three channels, with the
 * answers that tests/python/make_classifiers.py has put beside them, and lets them grow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/base/file.h"
#include "host/base/random.h"
#include "host/onnx/onnx_read.h"
#include "host/onnx/onnx_write.h"
#include "tests/support/folded_model.h"
#include "tests/support/graph_forward.h"
#include "tests/support/network.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NETWORKS = 2 * RANDOM_MODEL_NETWORKS, IMAGES = 2 };

/* Rounding of the normalisation's two constants to float32, through networks of a dozen layers. */
static const double TOLERANCE = 1e-5;

static void write_model(const struct model *model, unsigned char **bytes, size_t *length)
{
    struct error err;
    if (onnx_write(model, NULL, NULL, bytes, length, &err) != ST_OK)
        fail_msg("%s", err.message);
}

static void reads_the_function_that_was_written(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < NETWORKS; seed++) {
        struct model model, again;
        struct error err;
        unsigned char *bytes;
        size_t length;
        random_model_make(seed, &model);
        write_model(&model, &bytes, &length);
        if (onnx_read(bytes, length, &again, NULL, &err) != ST_OK)
            fail_msg("network %u: %s", seed, err.message);
        assert_int_equal(again.about.classes, model.about.classes);
        for (int32_t k = 0; k < model.about.classes; k++)
            assert_string_equal(again.about.class_names[k], model.about.class_names[k]);
        assert_int_equal(again.about.label_thresholds != NULL, model.about.label_thresholds != NULL);
        for (int32_t k = 0; model.about.label_thresholds != NULL && k < model.about.classes; k++)
            assert_true(again.about.label_thresholds[k] == model.about.label_thresholds[k]);
        assert_true(fabsf(again.about.plain_temperature - model.about.plain_temperature) <= 1e-6f);
        uint8_t *pixels = malloc(random_model_pixels(&model));
        assert_non_null(pixels);
        for (uint32_t i = 0; i < IMAGES; i++) {
            double before[RANDOM_MODEL_CLASSES], after[RANDOM_MODEL_CLASSES];
            random_model_answer(&model, i, pixels, before);
            random_model_answer(&again, i, pixels, after);
            for (int32_t k = 0; k < model.about.classes; k++)
                if (!(fabs(before[k] - after[k]) <= TOLERANCE))
                    fail_msg("network %u, image %u, class %d: %.9g, expected %.9g", seed, i, (int)k, after[k],
                             before[k]);
        }
        free(pixels);
        free(bytes);
        model_free(&model);
        model_free(&again);
    }
}

/* ---- whole numbers ---- */

static void check(enum status st, const struct error *err)
{
    if (st != ST_OK)
        fail_msg("%s", err->message);
}

/* A network in whole numbers, IMAGES images and its answers to them. */
struct coded {
    struct folded_model made;
    float answers[IMAGES * RANDOM_MODEL_CLASSES];
};

static void make_coded(uint32_t seed, struct coded *coded)
{
    folded_model_make(seed, IMAGES, &coded->made);
    folded_model_quantise(&coded->made);
    folded_model_answer(&coded->made, coded->answers);
}

/* What is read gives the very numbers. */
static void reads_the_codes_that_were_written(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < NETWORKS; seed++) {
        struct coded coded;
        struct model read;
        struct quantisation codes;
        struct plan plan;
        struct error err;
        unsigned char *bytes;
        size_t length;
        float found[IMAGES * RANDOM_MODEL_CLASSES];
        make_coded(seed, &coded);
        check(onnx_write(&coded.made.folded, &coded.made.quantisation, NULL, &bytes, &length, &err), &err);
        assert_int_equal(onnx_read(bytes, length, &read, NULL, &err), ST_UNSUPPORTED);
        model_free(&read);
        check(onnx_read(bytes, length, &read, &codes, &err), &err);
        check(plan_make(&read.graph, &plan, &err), &err);
        const struct evaluation evaluation = {&read, &plan, &codes};
        check(evaluate_images(&evaluation, coded.made.pixels, IMAGES, found, NULL, &err), &err);
        for (int32_t k = 0; k < IMAGES * coded.made.model.about.classes; k++)
            if (!(fabsf(found[k] - coded.answers[k]) <= 1e-6f))
                fail_msg("network %u, value %d: found %.9g, expected %.9g", seed, (int)k, (double)found[k],
                         (double)coded.answers[k]);
        plan_free(&plan);
        model_free(&read);
        quantisation_free(&codes);
        free(bytes);
        folded_model_free(&coded.made);
    }
}

static void writes_the_same_bytes(void **state)
{
    struct model model;
    unsigned char *first, *second;
    size_t length, other;
    (void)state;
    random_model_make(2, &model);
    write_model(&model, &first, &length);
    write_model(&model, &second, &other);
    assert_int_equal(length, other);
    assert_memory_equal(first, second, length);
    free(first);
    free(second);
    model_free(&model);
}

/* Reads bytes that are damaged: however that ends, an error is one of a file's, and names something. */
static enum status read_damaged(const unsigned char *bytes, size_t length)
{
    struct model model;
    struct error err;
    const enum status st = onnx_read(bytes, length, &model, NULL, &err);
    model_free(&model);
    if (st != ST_OK) {
        assert_true(st == ST_FORMAT || st == ST_UNSUPPORTED || st == ST_RANGE);
        assert_true(err.message[0] != '\0');
    }
    return st;
}

static void survives_damage(void **state)
{
    struct model model;
    unsigned char *bytes;
    size_t length, refused = 0;
    (void)state;
    random_model_make(4, &model);
    write_model(&model, &bytes, &length);
    for (size_t shorter = 0; shorter < length; shorter += 1 + length / 500)
        read_damaged(bytes, shorter);
    for (uint32_t i = 0; i < 5000; i++) {
        const struct random4 draw = random_draw(1, RANDOM_TEST, i, 0);
        const size_t place = draw.v[0] % length;
        const unsigned char was = bytes[place];
        bytes[place] = (unsigned char)draw.v[1];
        refused += read_damaged(bytes, length) != ST_OK;
        bytes[place] = was;
    }
    assert_true(refused > 0); /* most places are weights */
    free(bytes);
    model_free(&model);
}

/* Where `from` stands first in the bytes it becomes `to`, of the same length. */
static void refuses(uint32_t seed, const char *from, const char *to, const char *told)
{
    struct model model, read;
    struct error err;
    unsigned char *bytes;
    size_t length;
    const size_t size = strlen(from);
    assert_int_equal(size, strlen(to));
    random_model_make(seed, &model);
    write_model(&model, &bytes, &length);
    unsigned char *place = memmem(bytes, length, from, size);
    assert_non_null(place);
    memcpy(place, to, size);
    const enum status st = onnx_read(bytes, length, &read, NULL, &err);
    assert_int_not_equal(st, ST_OK);
    if (strstr(err.message, told) == NULL)
        fail_msg("\"%s\" for \"%s\": found \"%s\", expected \"%s\" in it", to, from, err.message, told);
    model_free(&read);
    model_free(&model);
    free(bytes);
}

static void names_what_it_cannot_read(void **state)
{
    (void)state;
    refuses(0, "Softmax", "Hardmax", "node \"probabilities\" (Hardmax): the operator is not known");
    refuses(0, "kernel_shape", "kernel_shade", "(Conv): attribute \"kernel_shade\" is not known");
    refuses(RANDOM_MODEL_NETWORKS, "[0.3,", "[nil,",
            "metadata: \"label_thresholds\" has 0 numbers, expected");
    refuses(RANDOM_MODEL_NETWORKS, "[0.3,", "[1.3,",
            "metadata: label_thresholds[0] is no number from 0 to 1");
    refuses(0, "axis", "axle", "attribute \"axle\" is not known");
}

/* Of a file without thresholds they are the usual ones. */
static void knows_labels_without_thresholds(void **state)
{
    struct model model, read;
    struct error err;
    unsigned char *bytes;
    size_t length;
    (void)state;
    random_model_make(RANDOM_MODEL_NETWORKS, &model);
    write_model(&model, &bytes, &length);
    unsigned char *place = memmem(bytes, length, "label_thresholds", 16);
    assert_non_null(place);
    *place = 'L';
    check(onnx_read(bytes, length, &read, NULL, &err), &err);
    for (int32_t k = 0; k < read.about.classes; k++)
        assert_true(read.about.label_thresholds[k] == 0.5);
    model_free(&read);
    model_free(&model);
    free(bytes);
}

static int write_networks(const char *folder)
{
    for (uint32_t seed = 0; seed < NETWORKS; seed++) {
        struct model model;
        struct error err;
        unsigned char *bytes;
        size_t length;
        char path[4096];
        random_model_make(seed, &model);
        write_model(&model, &bytes, &length);
        snprintf(path, sizeof(path), "%s/%u.onnx", folder, (unsigned)seed);
        if (file_write_atomic(path, bytes, length, &err) != ST_OK)
            return fprintf(stderr, "%s\n", err.message), 2;
        const size_t count = random_model_pixels(&model), classes = (size_t)model.about.classes;
        const size_t size = IMAGES * (count + classes * sizeof(double));
        unsigned char *answers = malloc(size);
        assert_non_null(answers);
        for (uint32_t i = 0; i < IMAGES; i++) {
            double probabilities[RANDOM_MODEL_CLASSES];
            random_model_answer(&model, i, answers + i * count, probabilities);
            memcpy(answers + IMAGES * count + i * classes * sizeof(double), probabilities,
                   classes * sizeof(double));
        }
        snprintf(path, sizeof(path), "%s/%u.answers", folder, (unsigned)seed);
        if (file_write_atomic(path, answers, size, &err) != ST_OK)
            return fprintf(stderr, "%s\n", err.message), 2;
        free(answers);
        free(bytes);
        model_free(&model);
    }
    return 0;
}

static int write_coded_networks(const char *folder)
{
    for (uint32_t seed = 0; seed < NETWORKS; seed++) {
        struct coded coded;
        struct error err;
        unsigned char *bytes;
        size_t length;
        char path[4096];
        make_coded(seed, &coded);
        check(onnx_write(&coded.made.folded, &coded.made.quantisation, NULL, &bytes, &length, &err), &err);
        snprintf(path, sizeof(path), "%s/%u.onnx", folder, (unsigned)seed);
        check(file_write_atomic(path, bytes, length, &err), &err);
        const size_t count = IMAGES * random_model_pixels(&coded.made.model);
        const size_t values = IMAGES * (size_t)coded.made.model.about.classes;
        unsigned char *answers = malloc(count + values * sizeof(double));
        assert_non_null(answers);
        memcpy(answers, coded.made.pixels, count);
        for (size_t i = 0; i < values; i++) {
            const double value = (double)coded.answers[i];
            memcpy(answers + count + i * sizeof(value), &value, sizeof(value));
        }
        snprintf(path, sizeof(path), "%s/%u.answers", folder, (unsigned)seed);
        check(file_write_atomic(path, answers, count + values * sizeof(double), &err), &err);
        free(answers);
        free(bytes);
        folded_model_free(&coded.made);
    }
    return 0;
}

/* ---- networks of others ---- */

/* Relative to the largest logit: as float32 sums, through twenty layers. */
static const double FOREIGN_TOLERANCE = 1e-5, MORPH_TOLERANCE = 1e-6;

enum { MORPHS = 20 };

static double check_logits(const struct model *model, const char *answers, size_t length)
{
    const size_t count = random_model_pixels(model), classes = (size_t)model->about.classes;
    const size_t plane = count / (size_t)model->graph.layers[0].shape.c;
    double *image = malloc(count * sizeof(*image)), *logits = malloc(classes * sizeof(*logits)), worst = 0.0;
    assert_true(image != NULL && logits != NULL);
    assert_int_equal(length, IMAGES * (count + classes * sizeof(double)));
    for (size_t n = 0; n < IMAGES; n++) {
        double largest = 0.0, difference = 0.0;
        for (size_t i = 0; i < count; i++)
            image[i] =
                ((unsigned char)answers[n * count + i] / 255.0 - (double)model->about.mean[i / plane]) /
                (double)model->about.deviation[i / plane];
        assert_true(graph_forward(&model->graph, &model->table, model->values, image, logits));
        for (size_t k = 0; k < classes; k++) {
            double expected;
            memcpy(&expected, answers + IMAGES * count + (n * classes + k) * sizeof(double),
                   sizeof(expected));
            largest = fmax(largest, fabs(expected));
            difference = fmax(difference, fabs(logits[k] - expected));
        }
        worst = fmax(worst, difference / largest);
    }
    free(image);
    free(logits);
    return worst;
}

/* Larger ones take too long in the plain loops of double precision. */
static bool is_small(const struct model *model)
{
    return random_model_pixels(model) <= NETWORK_MAX_PIXELS && model->about.classes <= NETWORK_MAX_LOGITS;
}

/* Each of so many changes, one after the other, keeps the function. The network takes graph and weights over. */
static double grow(struct model *model)
{
    struct network network = {.graph = model->graph, .table = model->table, .weights = model->values};
    struct random_sequence random = {.seed = 11, .stream = RANDOM_TEST};
    struct logits before, after;
    struct error err;
    double worst = 0.0;
    model->graph = (struct graph){0};
    model->table = (struct weight_table){0};
    model->values = NULL;
    network_evaluate(&network, 1, &before);
    for (int made = 0; made < MORPHS;) {
        struct morph morph;
        check(morph_draw(&network.graph, (1u << MORPH_PRESERVING_COUNT) - 1, &random, &morph, &err), &err);
        if (network_grow(&network, &morph, 0.0f, random_next(&random), &err) == ST_OK)
            made++;
    }
    network_evaluate(&network, 1, &after);
    worst = logits_difference(&before, &after);
    network_free(&network);
    return worst;
}

static int read_networks(int count, char **paths)
{
    int failed = 0;
    for (int i = 0; i < count; i++) {
        struct model model;
        struct error err;
        char *bytes, *answers, path[4096];
        size_t length, answers_length;
        snprintf(path, sizeof(path), "%.*s.answers", (int)strlen(paths[i]) - (int)strlen(".onnx"), paths[i]);
        check(file_read(paths[i], &bytes, &length, &err), &err);
        check(file_read(path, &answers, &answers_length, &err), &err);
        if (onnx_read((const unsigned char *)bytes, length, &model, NULL, &err) != ST_OK) {
            printf("%s: %s\n", paths[i], err.message);
            failed++;
        } else {
            const int32_t layers = model.graph.count;
            const bool grows = is_small(&model);
            const double difference = check_logits(&model, answers, answers_length),
                         change = grows ? grow(&model) : 0.0;
            printf("%s: %d layers, differs by %.2g, by %.2g behind %d morphs\n", paths[i], (int)layers,
                   difference, change, grows ? (int)MORPHS : 0);
            failed += !(difference <= FOREIGN_TOLERANCE) || !(change <= MORPH_TOLERANCE);
        }
        model_free(&model);
        free(bytes);
        free(answers);
    }
    return failed > 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_function_that_was_written),
        cmocka_unit_test(reads_the_codes_that_were_written),
        cmocka_unit_test(writes_the_same_bytes),
        cmocka_unit_test(survives_damage),
        cmocka_unit_test(names_what_it_cannot_read),
        cmocka_unit_test(knows_labels_without_thresholds),
    };
    if (argc == 3 && strcmp(argv[1], "--write") == 0)
        return write_networks(argv[2]);
    if (argc == 3 && strcmp(argv[1], "--write-int8") == 0)
        return write_coded_networks(argv[2]);
    if (argc >= 3 && strcmp(argv[1], "--read") == 0)
        return read_networks(argc - 2, argv + 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
