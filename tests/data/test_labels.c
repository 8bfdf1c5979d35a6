/* Lists with any number of labels an image: what is read, how it is divided, and how mistakes are refused. */
#include "host/base/file.h"
#include "tests/support/data_files.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

enum { IMAGES = 12 };

struct listed {
    char *folder;
    char path[256];
    struct job_dataset job;
};

/* Twelve images that differ, 0.png to 11.png, and the list. */
static void open_list(struct listed *listed, const char *text)
{
    listed->folder = data_files_folder();
    for (int i = 0; i < IMAGES; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d.png", i);
        data_files_png_plain(listed->folder, name, 4, 4, (uint8_t)(20 * i), 7, 9);
    }
    data_files_write_text(listed->folder, "list.csv", text);
    snprintf(listed->path, sizeof(listed->path), "%s/list.csv", listed->folder);
    listed->job = data_files_job(listed->path);
    listed->job.labels = JOB_LABELS_SEVERAL;
}

/* "cat|dog", the labels of the image whose file has that number. */
static const char *labels_of(const struct dataset *set, int number, char text[64])
{
    char name[16];
    snprintf(name, sizeof(name), "/%d.png", number);
    for (int32_t i = 0; i < set->count; i++) {
        const char *file = strrchr(set->paths[i], '/');
        if (strcmp(file, name) != 0)
            continue;
        text[0] = '\0';
        assert_in_range(set->labels[i], 0, set->label_set_count - 1);
        const uint8_t *has = set->label_sets + set->labels[i] * set->classes;
        for (int32_t k = 0; k < set->classes; k++)
            if (has[k] != 0) {
                strcat(text, text[0] != '\0' ? "|" : "");
                strcat(text, set->class_names[k]);
            }
        return text;
    }
    return "not there";
}

/* The same images by each of the ways to write them down. */
static void test_forms(void **state)
{
    static const char *const forms[] = {
        /* Google's, rows as long as they need to be */
        "train,0.png,dog,cat\ntrain,1.png,cat\ntrain,2.png\ntrain,3.png,dog,,\ntrain,4.png,dog,cat,dog\n"
        "validation,5.png,cat\ntest,6.png,dog\n",
        /* the same without splits for all of them */
        "UNASSIGNED,0.png,cat,dog\n,1.png,cat\n,2.png\n,3.png,dog\n,4.png,cat,dog\nvalidation,5.png,cat\n"
        "test,6.png,dog\n",
        /* a column of labels, first the last one, then in the middle */
        "split,path,labels\ntrain,0.png,dog|cat\ntrain,1.png,cat\ntrain,2.png,\ntrain,3.png,dog|\n"
        "train,4.png,dog;cat\nvalidation,5.png,\" cat \"\ntest,6.png,dog\n",
        "path,labels,split\n0.png,dog | cat,train\n1.png,cat,train\n2.png,,train\n3.png,dog,train\n"
        "4.png,cat|dog|cat,train\n5.png,cat,validation\n6.png,dog,test\n",
        "split,path,labels\ntrain,0.png,dog,cat\ntrain,1.png,cat\ntrain,2.png\ntrain,3.png,dog\n"
        "train,4.png,dog,cat\nvalidation,5.png,cat\ntest,6.png,dog\n",
        "split,path,label,Label\ntrain,0.png,dog,cat\ntrain,1.png,cat,\ntrain,2.png,,\ntrain,3.png,,dog\n"
        "train,4.png,dog|cat,dog\nvalidation,5.png,cat\ntest,6.png,dog,dog,dog\n",
        "path,label,label,split\n0.png,dog,cat,train\n1.png,cat,,train\n2.png,,,train\n3.png,,dog,train\n"
        "4.png,cat,dog,train\n5.png,cat,,validation\n6.png,dog,,test\n",
        /* a column for each */
        "image,dog,cat,split\n0.png,1,1,train\n1.png,0,1,train\n2.png,0,0,train\n3.png,1.0,0.0,train\n"
        "4.png,true,TRUE,train\n5.png,-1,1,validation\n6.png,1,,test\n",
    };
    static const char *const wanted[] = {"cat|dog", "cat", "", "dog", "cat|dog", "cat", "dog"};
    (void)state;
    for (size_t form = 0; form < sizeof(forms) / sizeof(forms[0]); form++) {
        struct listed listed;
        struct dataset set;
        char text[64];
        open_list(&listed, forms[form]);
        data_files_load(&listed.job, &set);
        assert_int_equal(set.count, 7);
        assert_int_equal(set.classes, 2);
        assert_int_equal(set.label_set_count, 4);
        assert_string_equal(set.class_names[0], "cat");
        assert_int_equal(set.sample_count[SPLIT_VALIDATION], 1);
        assert_int_equal(set.sample_count[SPLIT_TEST], 1);
        for (int i = 0; i < 7; i++)
            assert_string_equal(labels_of(&set, i, text), wanted[i]);
        data_free(&set);
        data_files_remove(listed.folder);
    }
}

static void test_counts(void **state)
{
    struct listed listed;
    struct dataset set;
    struct error err;
    char line[DATA_LINE_LENGTH];
    (void)state;
    open_list(&listed, "train,0.png,a,b\ntrain,1.png,a\ntrain,2.png\nvalidation,3.png,b\ntest,4.png,b,a\n");
    data_files_load(&listed.job, &set);
    assert_int_equal(data_class_line(&set, line, &err), ST_OK);
    assert_string_equal(line, "a: 3, b: 3; 1.20 labels an image, 1 images without any");
    int32_t *counts = data_count_classes(&set, SPLIT_TRAIN, &err);
    assert_non_null(counts);
    assert_int_equal(counts[0], 2);
    assert_int_equal(counts[1], 1);
    free(counts);
    data_free(&set);
    data_files_remove(listed.folder);
}

/* A label that a header names is one, also if no image has it; which is told. */
static void test_named_by_header(void **state)
{
    struct listed listed;
    struct dataset set;
    char text[64];
    (void)state;
    open_list(&listed, "path,b,never,a\n0.png,1,0,1\n1.png,0,0,1\n2.png,1,0,0\n3.png,0,0,1\n4.png,1,0,0\n");
    char *told = data_files_told(&listed.job, &set);
    assert_int_equal(set.classes, 3);
    assert_string_equal(set.class_names[2], "never");
    assert_string_equal(labels_of(&set, 0, text), "a|b");
    assert_non_null(
        strstr(told, "warning: no training images in 1 of 3 classes, which can't be learned: never: 0\n"));
    free(told);
    data_free(&set);
    listed.job.on_error = JOB_ON_ERROR_SKIP;
    told = data_files_told(&listed.job, &set);
    assert_int_equal(set.classes, 2);
    assert_non_null(strstr(told, "label \"never\" has no training images"));
    free(told);
    data_free(&set);
    data_files_remove(listed.folder);
}

/* The same image with the same labels, in another order, and with other labels. */
static void test_twins(void **state)
{
    struct listed listed;
    struct dataset set;
    (void)state;
    open_list(&listed, "train,0.png,a,b\ntrain,0.png,b,a\ntrain,1.png,a\nvalidation,2.png,b\ntest,3.png,a\n");
    /* Images of one colour are the same anyway, and not compared. */
    data_files_png(listed.folder, "0.png",
                   &(struct data_files_png){.colour_type = 2, .depth = 8, .height = 4, .width = 4});
    data_files_png(listed.folder, "1.png",
                   &(struct data_files_png){.colour_type = 0, .depth = 8, .height = 4, .width = 4});
    char *told = data_files_told(&listed.job, &set);
    assert_null(strstr(told, "more than one"));
    free(told);
    data_free(&set);
    data_files_write_text(
        listed.folder, "list.csv",
        "train,0.png,a,b\ntrain,0.png,b\ntrain,1.png,a\nvalidation,2.png,b\ntest,3.png,a\n");
    told = data_files_told(&listed.job, &set);
    assert_non_null(
        strstr(told, "warning: 2 images occur under more than one set of labels, pixel by pixel, for"));
    free(told);
    data_free(&set);
    data_files_remove(listed.folder);
}

/* Sets are numbered by their labels, whatever the order of rows; the fingerprint tells of a label more. */
static void test_numbers(void **state)
{
    static const char *const texts[] = {
        "train,0.png,a,b\ntrain,1.png,b\ntrain,2.png\nvalidation,3.png,a\ntest,4.png,b\n",
        "train,0.png,b,a\ntrain,1.png,b\ntrain,2.png\nvalidation,3.png,a\ntest,4.png,b\n",
        "train,0.png,a,b\ntrain,1.png,b\ntrain,2.png,b\nvalidation,3.png,a\ntest,4.png,b\n",
    };
    uint64_t fingerprints[3];
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct listed listed;
        struct dataset set;
        open_list(&listed, texts[i]);
        data_files_load(&listed.job, &set);
        static const uint8_t sets[] = {0, 0, 1, 0, 1, 1, 0, 1};
        if (i < 2)
            assert_memory_equal(set.label_sets, sets, sizeof(sets));
        fingerprints[i] = set.fingerprint;
        data_free(&set);
        data_files_remove(listed.folder);
    }
    assert_true(fingerprints[0] == fingerprints[1]);
    assert_true(fingerprints[0] != fingerprints[2]);
}

static void test_cache(void **state)
{
    struct listed listed;
    struct dataset set, again;
    (void)state;
    open_list(&listed, "train,0.png,a,b\ntrain,1.png,b\ntrain,2.png\nvalidation,3.png,a\ntest,4.png,b\n");
    char *cache = file_join(listed.folder, "cache");
    listed.job.cache = cache;
    data_files_load(&listed.job, &set);
    data_files_load(&listed.job, &again);
    assert_false(set.from_cache);
    assert_true(again.from_cache);
    assert_true(set.fingerprint == again.fingerprint);
    assert_memory_equal(set.label_sets, again.label_sets, (size_t)set.label_set_count * (size_t)set.classes);
    data_free(&again);
    /* Labels are read from the list, whose images stay as they are. */
    char text[64];
    data_files_write_text(
        listed.folder, "list.csv",
        "train,0.png,a\ntrain,1.png,b\ntrain,2.png,a,b\nvalidation,3.png,a\ntest,4.png,b\n");
    data_files_load(&listed.job, &again);
    assert_string_equal(labels_of(&again, 0, text), "a");
    assert_string_equal(labels_of(&again, 2, text), "a|b");
    assert_true(set.fingerprint != again.fingerprint);
    data_free(&set);
    data_free(&again);
    free(cache);
    data_files_remove(listed.folder);
}

/* Of 600 images 1 in 3 has "a", 1 in 7 "b", 1 in 50 "rare", independently of each other: in held-out parts and
 * in the beginning of the training list are as many with each label as its share makes, to within a few images. */
static void test_shares(void **state)
{
    enum { COUNT = 600, LABELS = 3 };
    static const int each[LABELS] = {3, 7, 50};
    static const double close = 2.5; /* images */
    char *text = malloc(COUNT * 40), *at = text;
    struct listed listed;
    struct dataset set;
    (void)state;
    assert_non_null(text);
    for (int i = 0; i < COUNT; i++)
        at += sprintf(at, ",%d.png%s%s%s\n", i % IMAGES, i % each[0] == 0 ? ",a" : "",
                      i / 3 % each[1] == 0 ? ",b" : "", i % each[2] == 17 ? ",rare" : "");
    open_list(&listed, text);
    free(text);
    listed.job.validation = 0.2;
    listed.job.test = 0.2;
    data_files_load(&listed.job, &set);
    assert_int_equal(set.count, COUNT);
    assert_int_equal(set.sample_count[SPLIT_TEST], 120);
    assert_int_equal(set.sample_count[SPLIT_VALIDATION], 96);
    for (int part = 0; part < SPLIT_COUNT + 1; part++) {
        const int split = part < SPLIT_COUNT ? part : SPLIT_TRAIN;
        const int32_t count = part < SPLIT_COUNT ? set.sample_count[split] : set.sample_count[split] / 2;
        for (int k = 0; k < LABELS; k++) {
            int32_t found = 0;
            for (int32_t i = 0; i < count; i++)
                found += set.label_sets[set.labels[set.samples[split][i]] * set.classes + k];
            assert_true(fabs(found - (double)count / each[k]) < close);
        }
    }
    data_free(&set);
    data_files_remove(listed.folder);
}

/* A label that only test images have can't be learned: refused, or left out of the images that have it. */
static void test_untrained(void **state)
{
    struct listed listed;
    struct dataset set;
    char text[64];
    (void)state;
    open_list(&listed, "train,0.png,a,b\ntrain,1.png,b\nvalidation,3.png,a\ntest,4.png,b,new\n");
    data_files_refuse(&listed.job, ST_FORMAT, "label \"new\" has no training images", "training");
    listed.job.on_error = JOB_ON_ERROR_SKIP;
    data_files_load(&listed.job, &set);
    assert_int_equal(set.count, 4);
    assert_int_equal(set.classes, 2);
    assert_string_equal(labels_of(&set, 4, text), "b");
    data_free(&set);
    data_files_remove(listed.folder);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *what, *expected;
    } cases[] = {
        {"0.png,a,train\n1.png,b,train\n", "the last of the labels is \"train\"",
         "expected the split to be first"},
        {"train,0.png,a|b\ntrain,1.png,b\n", "list.csv:1: label \"a|b\"", "expected a name without |"},
        {"path,a|b,c\n0.png,1,0\n1.png,0,1\n", "label \"a|b\"", "expected a name without |"},
        {"path,a|b,c,d\n0.png,0,1,0\n1.png,0,0,1\n", "list.csv:1: label \"a|b\"",
         "expected a name without |"},
        {"path,a,b,a\n0.png,1,0,0\n", "list.csv:1: column 4 is \"a\" again", "expected each label once"},
        {"path,tags\n0.png,a b\n", "column \"tags\" has \"a b\"", "names is called \"labels\""},
        {"train,0.png,a\ntrain,1.png,b\n", "no image is left for the test, 2 images in 2 classes",
         "files for it"},
        {"path,a,\n0.png,1,0\n", "list.csv:1: column 3 has no name", "expected a label's"},
        {"path,a,b\n0.png,1,2\n", "list.csv:2: column \"b\" has \"2\"", "expected 0 or 1"},
        {"path,a,b\n0.png,1\n", "list.csv:2: 2 columns", "expected at least 3"},
        {"path,a,b\n0.png,1,0,1\n", "list.csv:2: 4 fields", "expected 3"},
        {"path\n0.png\n", "has no column", "expected path, label"},
        {"train,0.png,a\ntrain,1.png,a\n", "one class only (\"a\")", "expected at least 2"},
        {"train,0.png\ntrain,1.png\n", "no training images", "expected some of each class"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct listed listed;
        open_list(&listed, cases[i].text);
        data_files_refuse(&listed.job, ST_FORMAT, cases[i].what, cases[i].expected);
        data_files_remove(listed.folder);
    }
}

/* With one label an image, and in formats that have one, the key to set is named. */
static void test_named(void **state)
{
    static const char *const texts[] = {"0.png,a,b,c\n1.png,b\n", "0.png,a\n1.png,b,c\n",
                                        "0.png,a,b\n1.png,b,c\n", "path,a,b\n0.png,1,0\n"};
    struct listed listed;
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        open_list(&listed, texts[i]);
        listed.job.labels = JOB_LABELS_ONE;
        data_files_refuse(&listed.job, ST_FORMAT, "list.csv", "dataset.labels = \"several\"");
        data_files_remove(listed.folder);
    }
    open_list(&listed, "0.png,a\n");
    struct job_dataset folder = data_files_job(listed.folder);
    folder.labels = JOB_LABELS_SEVERAL;
    data_files_refuse(&folder, ST_RANGE, "dataset.labels is \"several\" for format \"folder\"",
                      "expected a CSV file");
    data_files_remove(listed.folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_named_by_header), cmocka_unit_test(test_twins),
        cmocka_unit_test(test_forms),           cmocka_unit_test(test_counts),
        cmocka_unit_test(test_numbers),         cmocka_unit_test(test_cache),
        cmocka_unit_test(test_shares),          cmocka_unit_test(test_untrained),
        cmocka_unit_test(test_refused),         cmocka_unit_test(test_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
