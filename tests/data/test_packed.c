/* IDX and CIFAR: what is read, and how broken files are refused. */
#include "host/base/file.h"
#include "host/data/data_internal.h"
#include "tests/support/data_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

enum { TRAIN = 40, TEST = 20, HEIGHT = 5, WIDTH = 7 };

/* Labels 0, 1, 2, 3, 0, ... */
static void write_labels(const char *folder, const char *name, int32_t count, bool packed)
{
    uint8_t labels[TRAIN + TEST];
    for (int32_t i = 0; i < count; i++)
        labels[i] = (uint8_t)(i % 4);
    data_files_idx_labels(folder, name, labels, count, packed);
}

static char *write_idx(bool packed)
{
    char *folder = data_files_folder();
    const char *end = packed ? ".gz" : "";
    char name[64];
    snprintf(name, sizeof(name), "train-images-idx3-ubyte%s", end);
    data_files_idx_images(folder, name, TRAIN, HEIGHT, WIDTH, packed);
    snprintf(name, sizeof(name), "train-labels-idx1-ubyte%s", end);
    write_labels(folder, name, TRAIN, packed);
    snprintf(name, sizeof(name), "t10k-images-idx3-ubyte%s", end);
    data_files_idx_images(folder, name, TEST, HEIGHT, WIDTH, packed);
    snprintf(name, sizeof(name), "t10k-labels-idx1-ubyte%s", end);
    write_labels(folder, name, TEST, packed);
    return folder;
}

static void check_idx(const struct dataset *set)
{
    assert_int_equal(set->count, TRAIN + TEST);
    assert_int_equal(set->channels, 1);
    assert_int_equal(set->height, HEIGHT);
    assert_int_equal(set->width, WIDTH);
    assert_int_equal(set->classes, 4);
    assert_string_equal(set->class_names[3], "3");
    assert_int_equal(set->sample_count[SPLIT_TRAIN], 36);
    assert_int_equal(set->sample_count[SPLIT_VALIDATION], 4);
    assert_int_equal(set->sample_count[SPLIT_TEST], TEST);
    for (int32_t i = 0; i < set->count; i++) {
        int32_t in_file = i < TRAIN ? i : i - TRAIN;
        assert_int_equal(set->labels[i], in_file % 4);
        for (int32_t k = 0; k < HEIGHT * WIDTH; k++)
            assert_int_equal(set->pixels[i * HEIGHT * WIDTH + k], (in_file * 7 + k) % 251);
    }
    assert_string_equal(set->policy, "");
}

static void test_idx(void **state)
{
    uint64_t fingerprints[2] = {0};
    (void)state;
    for (int packed = 0; packed < 2; packed++) {
        struct dataset set;
        char *folder = write_idx(packed == 1);
        struct job_dataset job = data_files_job(folder);
        data_files_load(&job, &set);
        check_idx(&set);
        fingerprints[packed] = set.fingerprint;
        data_free(&set);
        data_files_remove(folder);
    }
    assert_true(fingerprints[0] == fingerprints[1]);
}

/* A raw file beside its gzip twin counts once; a folder's name makes class names; sizes and channels can be
 * asked. */
static void test_idx_variants(void **state)
{
    struct dataset set;
    (void)state;
    char *folder = write_idx(false);
    write_labels(folder, "train-labels-idx1-ubyte.gz", TRAIN, true);
    struct job_dataset job = data_files_job(folder);
    data_files_load(&job, &set);
    check_idx(&set);
    data_free(&set);

    job.channels = JOB_CHANNELS_RGB;
    job.resize = (struct job_numbers){.count = 2, .items = {10, 14}};
    data_files_load(&job, &set);
    assert_int_equal(set.channels, 3);
    assert_int_equal(set.height, 10);
    assert_int_equal(set.width, 14);
    assert_int_equal(set.resized, TRAIN + TEST);
    assert_memory_equal(set.pixels, set.pixels + 140, 140);
    assert_memory_equal(set.pixels, set.pixels + 280, 140);
    assert_non_null(strstr(set.policy, "5 x 7 to 10 x 14"));
    data_free(&set);
    data_files_remove(folder);

    folder = data_files_folder();
    data_files_idx_images(folder, "Fashion/train-images-idx3-ubyte", TRAIN, HEIGHT, WIDTH, false);
    write_labels(folder, "Fashion/train-labels-idx1-ubyte", TRAIN, false);
    char *inner = malloc(strlen(folder) + 10);
    assert_non_null(inner);
    sprintf(inner, "%s/Fashion/", folder);
    job = data_files_job(inner);
    data_files_load(&job, &set);
    assert_int_equal(set.classes, 4); /* other images than Fashion-MNIST's have no names from the folder's */
    assert_string_equal(set.class_names[3], "3");
    assert_int_equal(set.sample_count[SPLIT_TEST], 4);
    data_free(&set);
    free(inner);
    data_files_remove(folder);
}

static void test_idx_refused(void **state)
{
    static const struct {
        const char *why, *name;
        long cut;
        const char *what, *expected;
    } cuts[] = {
        {"pixels missing", "train-images-idx3-ubyte", -3,
         "train-images-idx3-ubyte: the header promises 1416 bytes", "too short"},
        {"head missing", "train-images-idx3-ubyte", 9, "ends after 5 bytes of header", "expected 12"},
        {"empty", "t10k-images-idx3-ubyte", 0, "t10k-images-idx3-ubyte: the file ends after 0 bytes",
         "expected 4"},
        {"labels missing", "t10k-labels-idx1-ubyte", 10, "t10k-labels-idx1-ubyte: the header promises 28",
         "10 bytes"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        char *folder = write_idx(false);
        struct job_dataset job = data_files_job(folder);
        data_files_cut(folder, cuts[i].name, cuts[i].cut);
        job.format = JOB_FORMAT_IDX;
        data_files_refuse(&job, ST_FORMAT, cuts[i].what, cuts[i].expected);
        data_files_remove(folder);
    }
    for (long cut = 12; cut < 60; cut += 11) { /* in the middle, at the checksum */
        char *folder = write_idx(true);
        struct job_dataset job = data_files_job(folder);
        data_files_cut(folder, "train-images-idx3-ubyte.gz", cut < 40 ? 40 + cut : -4);
        data_files_refuse(&job, ST_FORMAT, "train-images-idx3-ubyte.gz: the gzip stream is cut", "expected");
        data_files_remove(folder);
    }
}

static void test_idx_contents_refused(void **state)
{
    static const uint8_t pairs[4] = {0, 0, 1, 1}, beyond[1] = {4};
    static const uint8_t twos[8] = {2, 2, 2, 2, 2, 2, 2, 2};
    static const uint8_t wrong_magic[16] = {0, 0, 8, 4, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1};
    static const uint8_t no_height[16] = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1};
    static const uint8_t huge[16] = {0, 0, 8, 3, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0x40, 0, 0, 0, 0x40, 0};
    (void)state;
    char *folder = data_files_folder();
    struct job_dataset job = data_files_job(folder);
    const char *images = "train-images-idx3-ubyte", *labels = "train-labels-idx1-ubyte";

    job.format = JOB_FORMAT_IDX;
    data_files_refuse(&job, ST_FORMAT, "no training images", "expected train-images-idx3-ubyte");
    data_files_idx_images(folder, images, 4, 3, 3, false);
    data_files_refuse(&job, ST_FORMAT, "train-images-idx3-ubyte: no labels", "expected an idx1-ubyte file");
    data_files_idx_labels(folder, labels, twos, 3, false);
    data_files_refuse(&job, ST_FORMAT, "train-labels-idx1-ubyte: 3 labels", "expected 4");
    data_files_idx_labels(folder, labels, pairs, 4, false);
    data_files_idx_images(folder, "t10k-images-idx3-ubyte", 1, 3, 3, false);
    data_files_idx_labels(folder, "t10k-labels-idx1-ubyte", beyond, 1, false);
    data_files_refuse(&job, ST_FORMAT, "t10k-labels-idx1-ubyte: label 4 of image 0",
                      "expected one of 2 from 0 to 1");
    data_files_write(folder, images, wrong_magic, 16, false);
    data_files_refuse(&job, ST_FORMAT, "magic number 0x00000804", "expected 0x00000803");
    data_files_write(folder, images, no_height, 16, false);
    data_files_refuse(&job, ST_FORMAT, "height 0 at byte 8", "expected 1 to 65535");
    data_files_write(folder, images, huge, 16, false);
    data_files_refuse(&job, ST_FORMAT, "promises 576460752034988048 bytes", "file of 16 bytes");
    data_files_remove(folder);

    folder = write_idx(false);
    job = data_files_job(folder);
    uint8_t more[TRAIN * HEIGHT * WIDTH + 19] = {0, 0, 8, 3, 0, 0, 0, TRAIN, 0, 0, 0, HEIGHT, 0, 0, 0, WIDTH};
    data_files_write(folder, images, more, sizeof(more), false);
    data_files_refuse(&job, ST_FORMAT, "train-images-idx3-ubyte: 1419 bytes", "expected 1416");
    data_files_idx_images(folder, images, TRAIN, HEIGHT, WIDTH, false);
    data_files_idx_images(folder, "t10k-images-idx3-ubyte", TEST, HEIGHT, WIDTH + 1, false);
    data_files_refuse(&job, ST_FORMAT, "images of 5 x 8", "expected 5 x 7");
    data_files_remove(folder);

    folder = data_files_folder();
    job = data_files_job(folder);
    memset(more, 0, sizeof(more));
    data_files_idx_images(folder, images, 4, 3, 3, false);
    data_files_idx_labels(folder, labels, more, 4, false);
    data_files_refuse(&job, ST_FORMAT, "one class only", "at least 2");
    data_files_remove(folder);
}

static void check_cifar(const struct dataset *set, int32_t classes)
{
    assert_int_equal(set->count, 400);
    assert_int_equal(set->classes, classes);
    assert_int_equal(set->channels, 3);
    assert_int_equal(set->height, 32);
    assert_int_equal(set->width, 32);
    assert_int_equal(set->sample_count[SPLIT_TEST], 100);
    assert_int_equal(set->sample_count[SPLIT_TRAIN], 270);
    assert_int_equal(set->sample_count[SPLIT_VALIDATION], 30);
    for (int32_t i = 0; i < set->count; i++) {
        int32_t in_file = classes == 10 ? i % 100 : i < 300 ? i : i - 300;
        assert_int_equal(set->labels[i], in_file % classes);
        for (int32_t k = 0; k < 3072; k += 13)
            assert_int_equal(set->pixels[i * 3072 + k], (in_file * 7 + k) % 251);
    }
}

static void test_cifar(void **state)
{
    struct dataset set;
    (void)state;
    char *folder = data_files_folder();
    struct job_dataset job = data_files_job(folder);
    data_files_cifar(folder, "data_batch_1.bin", 10, 100, false);
    data_files_cifar(folder, "data_batch_2.bin.gz", 10, 100, true);
    data_files_cifar(folder, "data_batch_3.bin", 10, 100, false);
    data_files_cifar(folder, "test_batch.bin", 10, 100, false);
    data_files_load(&job, &set);
    check_cifar(&set, 10);
    assert_string_equal(set.class_names[9], "9");
    data_free(&set);
    data_files_write_text(folder, "batches.meta.txt", "a\nb\nc\r\nd\ne\nf\ng\nh\ni\nj\n\n");
    job.channels = JOB_CHANNELS_GREY;
    data_files_load(&job, &set);
    assert_string_equal(set.class_names[2], "c");
    assert_int_equal(set.channels, 1);
    assert_string_equal(set.policy, "colours turned grey");
    /* Bytes 0, 1024 and 2048 of image 0, modulo 251: 0, 20, 40. */
    assert_int_equal(set.pixels[0], (587 * 20 + 114 * 40 + 500) / 1000);
    data_free(&set);
    data_files_remove(folder);

    folder = data_files_folder();
    job = data_files_job(folder);
    data_files_cifar(folder, "train.bin.gz", 100, 300, true);
    data_files_cifar(folder, "test.bin", 100, 100, false);
    data_files_load(&job, &set);
    check_cifar(&set, 100);
    data_free(&set);
    data_files_remove(folder);
}

static void test_cifar_refused(void **state)
{
    uint8_t record[3074] = {3, 200};
    (void)state;
    char *folder = data_files_folder();
    struct job_dataset job = data_files_job(folder);
    job.format = JOB_FORMAT_CIFAR10;
    data_files_refuse(&job, ST_FORMAT, "no training images", "expected data_batch_1.bin");
    data_files_cifar(folder, "data_batch_1.bin", 10, 20, false);
    data_files_cifar(folder, "data_batch_3.bin.gz", 10, 20, true);
    data_files_refuse(&job, ST_FORMAT, "data_batch_2.bin is not there", "data_batch_3.bin is");
    data_files_cifar(folder, "data_batch_2.bin", 10, 20, false);
    data_files_write_text(folder, "batches.meta.txt", "a\nb\n");
    data_files_refuse(&job, ST_FORMAT, "batches.meta.txt: 2 class names", "expected 10");
    data_files_cut(folder, "data_batch_3.bin.gz", -60);
    data_files_refuse(&job, ST_FORMAT, "data_batch_3.bin.gz: the gzip stream is cut", "expected");
    data_files_cut(folder, "data_batch_2.bin", -100);
    data_files_refuse(&job, ST_FORMAT, "data_batch_2.bin: 61360 bytes", "whole records of 3073 bytes");
    data_files_write(folder, "data_batch_2.bin", record + 1, 3073, false);
    data_files_refuse(&job, ST_FORMAT, "data_batch_2.bin: label 200 in record 0", "expected 0 to 9");
    data_files_cut(folder, "data_batch_2.bin", 0);
    data_files_refuse(&job, ST_FORMAT, "data_batch_2.bin: 0 bytes", "expected whole records");
    data_files_write(folder, "train.bin", record, 3074, false);
    job.format = JOB_FORMAT_CIFAR100;
    data_files_refuse(&job, ST_FORMAT, "train.bin: label 200 in record 0", "expected 0 to 99");
    record[0] = 20;
    data_files_write(folder, "train.bin", record, 3074, false);
    data_files_refuse(&job, ST_FORMAT, "train.bin: coarse label 20 in record 0", "expected 0 to 19");
    data_files_remove(folder);
}

/* What is no file, can't be read, is damaged, or goes on behind its end. */
static void test_broken_packs(void **state)
{
    char bytes[4000], *content;
    size_t length;
    struct data_pack pack;
    struct error err;
    (void)state;
    char *folder = data_files_folder(), *path = file_join(folder, "pack");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(data_pack_open(&pack, path, &err), ST_FORMAT);
    assert_non_null(strstr(err.message, "pack: is no regular file, expected one"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(data_pack_open(&pack, "/proc/self/mem", &err), ST_OK); /* whose first byte is nobody's */
    assert_int_equal(data_pack_read(&pack, bytes, 8, "a head", &err), ST_IO);
    assert_non_null(strstr(err.message, "/proc/self/mem: "));
    data_pack_close(&pack);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * i * 31 >> 3);
    for (int broken = 0; broken < 2; broken++) {
        data_files_write(folder, "pack", bytes, sizeof(bytes), true);
        assert_int_equal(file_read(path, &content, &length, &err), ST_OK);
        if (broken)
            memset(content + length / 2, 255, 40);
        data_files_write(folder, "pack", content, length, false);
        free(content);
        assert_int_equal(data_pack_open(&pack, path, &err), ST_OK);
        if (broken) {
            assert_int_equal(data_pack_read(&pack, bytes, sizeof(bytes), "images", &err), ST_FORMAT);
            assert_non_null(strstr(err.message, "pack: broken gzip data after "));
        } else {
            assert_int_equal(data_pack_read(&pack, bytes, sizeof(bytes) - 1, "images", &err), ST_OK);
            assert_int_equal(data_pack_end(&pack, &err), ST_FORMAT);
            assert_non_null(strstr(err.message, "pack: more data behind the last record at byte 3999"));
        }
        data_pack_close(&pack);
    }
    free(path);
    data_files_remove(folder);
}

/* Heads that tell of more images than can be counted; of the files only these are there. */
static void test_too_many(void **state)
{
    static const uint8_t images[16] = {0, 0, 8, 3, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 1};
    static const uint8_t labels[2] = {0, 1};
    (void)state;
    char *folder = data_files_folder(), *path = file_join(folder, "train-images-idx3-ubyte");
    data_files_write(folder, "train-images-idx3-ubyte", images, sizeof(images), false);
    assert_int_equal(truncate(path, 16 + (off_t)INT32_MAX), 0);
    data_files_idx_labels(folder, "train-labels-idx1-ubyte", labels, 2, false);
    data_files_idx_images(folder, "t10k-images-idx3-ubyte", 2, 1, 1, false);
    data_files_idx_labels(folder, "t10k-labels-idx1-ubyte", labels, 2, false);
    struct job_dataset job = data_files_job(folder);
    data_files_refuse(&job, ST_UNSUPPORTED, "2147483649 images in all", "expected at most 2147483647");
    free(path);
    data_files_remove(folder);
}

/* Labels as whole numbers of another type, alone or first in a row; their values in order are the classes. */
static void write_typed(const char *folder, const char *name, int type, uint32_t numbers, int32_t count)
{
    static const int32_t values[4] = {-2, 0, 1, 100};
    const size_t size = type == 0x09 ? 1 : type == 0x0b ? 2 : 4, head = numbers > 1 ? 12 : 8;
    const size_t length = head + (size_t)count * numbers * size;
    uint8_t *bytes = calloc(length, 1);
    assert_non_null(bytes);
    bytes[2] = (uint8_t)type;
    bytes[3] = numbers > 1 ? 2 : 1;
    bytes[7] = (uint8_t)count;
    if (numbers > 1)
        bytes[11] = (uint8_t)numbers;
    for (int32_t i = 0; i < count; i++)
        for (size_t k = 0; k < numbers * size; k++) {
            const size_t from_end = 8 * (size - 1 - k % size);
            const uint32_t value = (uint32_t)(k < size ? values[i % 4] : 77);
            bytes[head + (size_t)i * numbers * size + k] = (uint8_t)(value >> from_end);
        }
    data_files_write(folder, name, bytes, length, false);
    free(bytes);
}

static void test_types_of_labels(void **state)
{
    static const struct {
        int type;
        uint32_t numbers;
    } cases[] = {{0x09, 1}, {0x0b, 1}, {0x0c, 1}, {0x09, 3}, {0x0b, 2}, {0x0c, 8}};
    (void)state;
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        struct dataset set;
        char *folder = write_idx(false);
        struct job_dataset job = data_files_job(folder);
        write_typed(folder, "train-labels-idx1-ubyte", cases[k].type, cases[k].numbers, TRAIN);
        write_typed(folder, "t10k-labels-idx1-ubyte", cases[k].type, cases[k].numbers, TEST);
        data_files_load(&job, &set);
        assert_int_equal(set.classes, 4);
        assert_string_equal(set.class_names[0], "-2");
        assert_string_equal(set.class_names[3], "100");
        for (int32_t i = 0; i < set.count; i++)
            assert_int_equal(set.labels[i], (i < TRAIN ? i : i - TRAIN) % 4);
        data_free(&set);
        data_files_remove(folder);
    }
}

static void test_heads_refused(void **state)
{
    static const char labels[] = "train-labels-idx1-ubyte", images[] = "train-images-idx3-ubyte";
    static const struct {
        const char *name, *what, *expected;
        uint8_t head[16];
    } cases[] = {
        {labels, "starts with \"<\"", "IDX of labels", {'<', 'h', 't', 'm', 'l', '>'}},
        {images, "starts with \"<\"", "IDX of images", {'<', '!', 'D', 'O', 'C'}},
        {labels, "magic number 0x01000801", "expected 0x00000801", {1, 0, 8, 1}},
        {labels, "magic number 0x00010801", "expected 0x00000801", {0, 1, 8, 1}},
        {labels, "magic number 0x00000d01", "expected 0x00000801", {0, 0, 13, 1}}, /* floats */
        {labels, "magic number 0x00000803", "expected 0x00000801", {0, 0, 8, 3}},
        {labels, "magic number 0x00000800", "expected 0x00000801", {0, 0, 8, 0}},
        {labels, "count 0 at byte 4", "expected 1 to 2147483647", {0, 0, 8, 1}},
        {labels, "count 2147483648 at byte 4", "expected 1 to 2147483647", {0, 0, 8, 1, 128}},
        {labels, "row 1025 at byte 8", "expected 1 to 1024", {0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 4, 1}},
        {images, "width 65536 at byte 12", "expected 1 to 65535", {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1}},
    };
    (void)state;
    char *folder = write_idx(false);
    struct job_dataset job = data_files_job(folder);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        data_files_write(folder, cases[i].name, cases[i].head, sizeof(cases[i].head), false);
        data_files_refuse(&job, ST_FORMAT, cases[i].what, cases[i].expected);
        data_files_idx_images(folder, images, TRAIN, HEIGHT, WIDTH, false);
        write_labels(folder, labels, TRAIN, false);
    }
    data_files_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_of_labels),
        cmocka_unit_test(test_heads_refused),
        cmocka_unit_test(test_idx),
        cmocka_unit_test(test_idx_variants),
        cmocka_unit_test(test_idx_refused),
        cmocka_unit_test(test_idx_contents_refused),
        cmocka_unit_test(test_cifar),
        cmocka_unit_test(test_cifar_refused),
        cmocka_unit_test(test_broken_packs),
        cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
