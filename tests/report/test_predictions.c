/* predictions.csv: what is written comes back, what is damaged is refused with its place, and two models are compared
 * image by image. */
#include "host/report/predictions.h"

#include "host/base/file.h"
#include "tests/support/data_files.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 5, CLASSES = 3 };

static char *names[CLASSES] = {"cat", "a, \"b\"", "two\nlines"};
static char *folder;

static void assert_ok(enum status st, const struct error *err)
{
    if (st != ST_OK)
        fail_msg("%s", err->message);
}

static struct predictions sample(void)
{
    static struct predicted_image rows[ROWS];
    static float probabilities[ROWS * CLASSES];
    static const struct predicted_image made[ROWS] = {
        {"plain.png", 0x0123456789abcdefull, false, false, 6, 0, 0},
        {"with \"quotes\", commas\r\nand lines.png", 1, false, false, 6, 1, 2},
        {"17", UINT64_MAX, false, false, 6, 2, 2},
        {"", 0, true, false, 6, 0, 1},
        {" 18 ", 7, true, true, 1, 2, 0},
    };
    memcpy(rows, made, sizeof(made));
    for (int i = 0; i < ROWS * CLASSES; i++)
        probabilities[i] = i == 4 ? 0.0f : i == 5 ? 1.0f : i == 6 ? 1e-38f : 1.0f / (3.0f + (float)i);
    return (struct predictions){.classes = CLASSES,
                                .count = ROWS,
                                .class_names = names,
                                .rows = rows,
                                .probabilities = probabilities};
}

static void comes_back(void **state)
{
    struct predictions written = sample(), found;
    struct error err;
    (void)state;
    char *path = predictions_path(folder, -1), *other = predictions_path(folder, 12);
    assert_string_equal(strrchr(path, '/'), "/predictions.csv");
    assert_string_equal(strrchr(other, '/'), "/predictions-12.csv");
    assert_ok(predictions_write(path, &written, &err), &err);
    assert_ok(predictions_read(path, &found, &err), &err);
    assert_string_equal(found.hash, written.hash);
    assert_int_equal(found.classes, CLASSES);
    assert_int_equal(found.count, ROWS);
    for (int k = 0; k < CLASSES; k++)
        assert_string_equal(found.class_names[k], names[k]);
    for (int i = 0; i < ROWS; i++) {
        const struct predicted_image *a = &found.rows[i], *b = &written.rows[i];
        assert_string_equal(a->image, b->image);
        assert_true(a->hash == b->hash && a->validation == b->validation && a->trained == b->trained);
        assert_true(a->views == b->views && a->truth == b->truth && a->predicted == b->predicted);
    }
    assert_memory_equal(found.probabilities, written.probabilities, ROWS * CLASSES * sizeof(float));
    predictions_free(&found);
    free(path);
    free(other);
}

/* ---- what is refused ---- */

#define HEAD "image,hash,split,trained,views,class,predicted,p_cat,p_dog\n"
#define HASH "xxh3:0123456789abcdef"

static const struct {
    const char *text, *expected;
} bad[] = {
    {"", "found 0 columns, expected 7 and one for each of 1 to 10000 classes"},
    {"image,hash,split,trained,views,class,predicted\n", "found 7 columns"},
    {"image,hash,split,trained,view,class,predicted,p_cat\n", "found \"view\", expected views"},
    {"image,hash,split,trained,views,class,predicted,cat\n", "found \"cat\", expected a class behind \"p_\""},
    {HEAD "1," HASH ",test,0,1,cat,cat,1\n", ":2: found 8 fields, expected 9"},
    {HEAD "1," HASH ",test,0,1,cat,cat,1,0,0\n", ":2: found 10 fields, expected 9"},
    {HEAD "1,0123456789abcdef,test,0,1,cat,cat,1,0\n", "expected \"xxh3:\" and 16 hexadecimal digits"},
    {HEAD "1,xxh3:0123456789abcdeg,test,0,1,cat,cat,1,0\n", "expected \"xxh3:\" and 16 hexadecimal digits"},
    {HEAD "1," HASH ",train,0,1,cat,cat,1,0\n", "found \"train\", expected test or validation"},
    {HEAD "1," HASH ",test,1,1,cat,cat,1,0\n", "found \"1\", expected 0, or 1 for a validation image"},
    {HEAD "1," HASH ",test,0,0,cat,cat,1,0\n", "expected a number of views from 1 to 9"},
    {HEAD "1," HASH ",test,0,1,cow,cat,1,0\n", "found \"cow\", expected the name of a class"},
    {HEAD "1," HASH ",test,0,1,cat,,1,0\n", "found \"\", expected the name of a class"},
    {HEAD "1," HASH ",test,0,1,cat,cat,1,-0.1\n", "found \"-0.1\", expected a probability from 0 to 1"},
    {HEAD "1," HASH ",test,0,1,cat,cat,nan,0\n", "found \"nan\", expected a probability from 0 to 1"},
    {HEAD "1," HASH ",test,0,1,cat,cat,,0\n", "found \"\", expected a probability from 0 to 1"},
    {HEAD "\"a\nb\"," HASH ",test,0,1,cat,cat,1,0\n1\n", ":4: found 1 fields, expected 9"},
    {HEAD "\"1," HASH ",test,0,1,cat,cat,1,0\n", ":2: field 1: found no quote at its end"},
    {HEAD "\"1\"x," HASH ",test,0,1,cat,cat,1,0\n", ":2: field 1: found text behind its quotes"},
    {HEAD "1\"," HASH ",test,0,1,cat,cat,1,0\n", ":2: field 1: found a quote within it"},
    {HEAD "1,\r" HASH ",test,0,1,cat,cat,1,0\n", ":2: field 2: found a carriage return"},
};

static void refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct predictions found;
        struct error err;
        data_files_write_text(folder, "bad.csv", bad[i].text);
        char *path = file_join(folder, "bad.csv");
        if (predictions_read(path, &found, &err) != ST_FORMAT ||
            strstr(err.message, bad[i].expected) == NULL || strncmp(err.message, path, strlen(path)) != 0)
            fail_msg("case %zu: found \"%s\", expected \"%s\"", i, err.message, bad[i].expected);
        free(path);
    }
}

/* A zero byte is text's end for nobody. */
static void refuses_zeros(void **state)
{
    static const char texts[][64] = {"image,ha\0sh,split", "\"image\"\0,hash", "\"im\0age\",hash"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct predictions found;
        struct error err;
        char *path = file_join(folder, "zeros.csv");
        assert_ok(file_write_atomic(path, texts[i], 17, &err), &err);
        assert_int_equal(predictions_read(path, &found, &err), ST_FORMAT);
        free(path);
    }
}

/* ---- two models ---- */

static void compares(void **state)
{
    struct predictions first = sample(), second;
    struct predicted_image rows[ROWS];
    struct comparison comparison;
    struct error err;
    (void)state;
    /* In another order, the second and the first image answered otherwise; validation images don't count. */
    memcpy(rows, first.rows, sizeof(rows));
    second = first;
    second.rows = rows;
    rows[0] = first.rows[2];
    rows[2] = first.rows[0];
    rows[2].predicted = 1;
    rows[1].predicted = rows[1].truth;
    rows[3].predicted = rows[3].truth;
    assert_ok(predictions_compare(&first, &second, &comparison, &err), &err);
    assert_int_equal(comparison.images, 3);
    assert_int_equal(comparison.better, 1);
    assert_int_equal(comparison.worse, 1);
    assert_true(comparison.difference == 0.0 && comparison.p == 1.0 && comparison.low < 0.0);
    rows[1].predicted = 2;
    assert_ok(predictions_compare(&first, &second, &comparison, &err), &err);
    assert_true(fabs(comparison.difference - 1.0 / 3.0) < 1e-12 && comparison.p == 1.0);

    rows[1].hash++;
    assert_int_equal(predictions_compare(&first, &second, &comparison, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "the test images of the two models are others"));
    rows[1] = first.rows[1];
    rows[1].truth = 0; /* the same pixels under another class */
    assert_int_equal(predictions_compare(&first, &second, &comparison, &err), ST_RANGE);
    second.count = 2;
    assert_int_equal(predictions_compare(&first, &second, &comparison, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "found 3 test images of one model and 2 of the other"));
    first.count = second.count = 0;
    assert_int_equal(predictions_compare(&first, &second, &comparison, &err), ST_RANGE);
}

static int make_folder(void **state)
{
    (void)state;
    folder = data_files_folder();
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    data_files_remove(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back),
        cmocka_unit_test(refuses),
        cmocka_unit_test(refuses_zeros),
        cmocka_unit_test(compares),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
