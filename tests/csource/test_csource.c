/* Models as C: names, texts, and that the same model gives the same bytes. For tests/scripts/csource.sh, which compiles
 * them, `test_csource --write DIR` writes random networks in float32 and int8 as DIR/netN.c, DIR/main.c,
 * which runs all of them, and DIR/images; `test_csource --compare FILE` compares what that printed with the
 * networks' answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/base/file.h"
#include "host/csource/csource_write.h"
#include "tests/support/folded_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Networks, every second of one kind, of both kinds every second pair in int8; the last ones' images have several
 * labels. */
enum { FILES = 52, LABELS_FROM = 40, IMAGES = 3, IMAGE_BYTES = 3 * 16 * 16 /* at most */ };

/* Of float32; and of int8 against its evaluation in the same whole numbers. */
static const double TOLERANCE = 1e-5;

/* A model as it is written; what is expected of one in int8 are its answers in the same whole numbers. */
static void make_exported(uint32_t number, struct folded_model *made)
{
    const bool coded = number / 2 % 2 == 1;
    float answers[IMAGES * RANDOM_MODEL_CLASSES];
    folded_model_make(number < LABELS_FROM ? number : RANDOM_MODEL_NETWORKS + number, IMAGES, made);
    assert_true(random_model_pixels(&made->model) <= IMAGE_BYTES);
    if (!coded)
        return;
    folded_model_quantise(made);
    folded_model_answer(made, answers);
    for (int32_t i = 0; i < IMAGES * made->model.about.classes; i++)
        made->expected[i] = (double)answers[i];
}

static char *write_exported(const struct folded_model *e, const char *name, size_t *length)
{
    const struct evaluation evaluation = folded_model_evaluation(e);
    struct error err;
    char *text;
    if (csource_write(&evaluation, name, NULL, &text, length, &err) != ST_OK)
        fail_msg("%s", err.message);
    return text;
}

static void writes_the_same_bytes(void **state)
{
    (void)state;
    for (uint32_t number = 4; number < 8; number += 2) {
        struct folded_model e;
        size_t length, other;
        make_exported(number, &e);
        char *first = write_exported(&e, "net", &length), *second = write_exported(&e, "net", &other);
        assert_int_equal(length, other);
        assert_memory_equal(first, second, length);
        assert_int_equal(strlen(first), length);
        assert_non_null(
            strstr(first, "int net_classify(const unsigned char *image, float *probabilities);\n"));
        assert_non_null(strstr(first, "\"class \\0421\\042, \\303\\251\","));
        free(first);
        free(second);
        folded_model_free(&e);
    }
}

/* Of several labels the model's thresholds stand in the file, or those that are wanted. */
static void has_thresholds_of_labels(void **state)
{
    static const double values[RANDOM_MODEL_CLASSES] = {0.125, INFINITY};
    const struct class_thresholds wanted = {.precision = 0.9, .values = values};
    struct folded_model e;
    struct error err;
    size_t length;
    char *text;
    (void)state;
    make_exported(LABELS_FROM, &e);
    const struct evaluation evaluation = folded_model_evaluation(&e);
    text = write_exported(&e, "net", &length);
    assert_non_null(strstr(text, "const float net_thresholds[net_classes] = {\n    0.3f,"));
    assert_non_null(strstr(text, "normalisation and sigmoid are inside"));
    free(text);
    assert_int_equal(csource_write(&evaluation, "net", &wanted, &text, &length, &err), ST_OK);
    assert_non_null(strstr(text, "const float net_thresholds[net_classes] = {\n    0.125f, 2.0f,"));
    free(text);
    folded_model_free(&e);
}

static void names_are_c(void **state)
{
    static const char *const cases[][2] = {{"digits.c", "digits"},
                                           {"/a.b/my net-2.c", "my_net_2"},
                                           {"7.c", "n7"},
                                           {"x", "x"},
                                           {"dir/\xc3\xa9t\xc3\xa9.c", "__t__"},
                                           {".c", "_c"}};
    char name[CSOURCE_NAME];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        csource_name(cases[i][0], name);
        assert_string_equal(name, cases[i][1]);
    }
    csource_name("0123456789012345678901234567890123456789012345678901234567890123456789.c", name);
    assert_int_equal(strlen(name), CSOURCE_NAME - 1);
}

/* ---- for the script ---- */

static int write_file(const char *folder, const char *name, const void *bytes, size_t length)
{
    struct error err;
    char *path = file_join(folder, name);
    assert_non_null(path);
    const enum status st = file_write_atomic(path, bytes, length, &err);
    free(path);
    return st == ST_OK ? 0 : (fprintf(stderr, "%s\n", err.message), 2);
}

/* All networks in one program: it reads the images in order and writes the probabilities. */
static int write_files(const char *folder)
{
    char *main_text, *images;
    size_t main_length, images_length;
    FILE *main_file = open_memstream(&main_text, &main_length),
         *image_file = open_memstream(&images, &images_length);
    assert_true(main_file != NULL && image_file != NULL);
    int failed = 0;
    fputs("#include <stdio.h>\n", main_file);
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t number = 0; number < FILES; number++) {
            struct folded_model e;
            size_t length;
            char name[32], file[40];
            make_exported(number, &e);
            const size_t bytes = random_model_pixels(&e.model);
            snprintf(name, sizeof(name), "net%u", (unsigned)number);
            snprintf(file, sizeof(file), "%s.c", name);
            if (pass == 1) {
                fprintf(main_file, "    run(%s_classify, %zu, %d);\n", name, bytes, e.model.about.classes);
                folded_model_free(&e);
                continue;
            }
            char *text = write_exported(&e, name, &length);
            failed = failed != 0 ? failed : write_file(folder, file, text, length);
            fprintf(main_file, "int %s_classify(const unsigned char *image, float *probabilities);\n", name);
            /* planes become channels side by side */
            const size_t channels = (size_t)e.model.graph.layers[0].shape.c, plane = bytes / channels;
            for (size_t i = 0; i < IMAGES * bytes; i++)
                fputc(e.pixels[i / bytes * bytes + i % channels * plane + i % bytes / channels], image_file);
            free(text);
            folded_model_free(&e);
        }
        if (pass == 0)
            fprintf(
                main_file,
                "static void run(int (*classify)(const unsigned char *, float *), unsigned long bytes, int "
                "classes)\n"
                "{\n    unsigned char image[%d];\n    float probabilities[%d];\n"
                "    for (int i = 0; i < %d; i++) {\n"
                "        if (fread(image, 1, bytes, stdin) != bytes)\n            return;\n"
                "        probabilities[classes] = (float)classify(image, probabilities);\n"
                "        fwrite(probabilities, sizeof(float), (unsigned long)classes + 1, stdout);\n    "
                "}\n}\n\n"
                "int main(void)\n{\n",
                IMAGE_BYTES, RANDOM_MODEL_CLASSES + 1, IMAGES);
    }
    fputs("    return fflush(stdout);\n}\n", main_file);
    fclose(main_file);
    fclose(image_file);
    failed = failed != 0 ? failed : write_file(folder, "main.c", main_text, main_length);
    failed = failed != 0 ? failed : write_file(folder, "images", images, images_length);
    free(main_text);
    free(images);
    return failed;
}

/* What it returned for found[classes]: the most probable class, or how many reach their thresholds. */
static bool is_returned(const struct model_about *about, const float *found, float returned)
{
    int32_t given = 0;
    for (int32_t k = 0; k < about->classes; k++) {
        given += about->label_thresholds != NULL && found[k] >= (float)about->label_thresholds[k];
        if (about->label_thresholds == NULL && !(found[k] <= found[(int32_t)returned]))
            return false;
    }
    return about->label_thresholds == NULL || returned == (float)given;
}

/* Answers[IMAGES * (classes + 1)], the largest difference from what is expected; -1 when something is wrong. */
static double compare_answers(const struct folded_model *e, const float *answers)
{
    const int32_t classes = e->model.about.classes;
    double largest = 0.0;
    for (int32_t i = 0; i < IMAGES; i++) {
        const float *found = answers + i * (classes + 1), returned = found[classes];
        if (!(returned >= 0.0f && returned <= (float)classes) ||
            !is_returned(&e->model.about, found, returned))
            return -1.0;
        for (int32_t k = 0; k < classes; k++) {
            const double difference = fabs((double)found[k] - e->expected[i * classes + k]);
            largest = difference <= largest ? largest : difference;
        }
    }
    return largest <= TOLERANCE ? largest : -1.0;
}

static int compare_file(const char *path)
{
    char *bytes;
    size_t length, at = 0;
    struct error err;
    double largest = 0.0;
    if (file_read(path, &bytes, &length, &err) != ST_OK)
        return fprintf(stderr, "%s\n", err.message), 2;
    for (uint32_t number = 0; number < FILES; number++) {
        struct folded_model e;
        make_exported(number, &e);
        const size_t size = IMAGES * ((size_t)e.model.about.classes + 1) * sizeof(float);
        const double difference =
            at + size <= length ? compare_answers(&e, (const float *)(const void *)(bytes + at)) : -1.0;
        folded_model_free(&e);
        if (difference < 0.0)
            return fprintf(stderr, "%s: net%u answers otherwise\n", path, (unsigned)number), 1;
        largest = difference > largest ? difference : largest;
        at += size;
    }
    free(bytes);
    if (at != length)
        return fprintf(stderr, "%s: found %zu bytes, expected %zu\n", path, length, at), 1;
    printf("%d files, largest difference %.2g\n", FILES, largest);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_same_bytes),
        cmocka_unit_test(has_thresholds_of_labels),
        cmocka_unit_test(names_are_c),
    };
    if (argc == 3 && strcmp(argv[1], "--write") == 0)
        return write_files(argv[2]);
    if (argc == 3 && strcmp(argv[1], "--compare") == 0)
        return compare_file(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
