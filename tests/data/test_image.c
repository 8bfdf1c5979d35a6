/* Images of every kind, one file at a time, and the broken ones. */
#include "host/base/file.h"
#include "host/data/data_internal.h"
#include "host/data/gate.h"
#include "host/data/images.h"
#include "tests/support/data_files.h"

#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

static const struct data_files_png cases[] = {
    {PNG_COLOR_TYPE_GRAY, 1, 5, 11, false, false},      {PNG_COLOR_TYPE_GRAY, 2, 5, 11, true, false},
    {PNG_COLOR_TYPE_GRAY, 4, 5, 11, false, true},       {PNG_COLOR_TYPE_GRAY, 8, 9, 7, false, false},
    {PNG_COLOR_TYPE_GRAY, 8, 9, 7, true, true},         {PNG_COLOR_TYPE_GRAY, 16, 9, 7, false, false},
    {PNG_COLOR_TYPE_GRAY_ALPHA, 8, 9, 7, false, false}, {PNG_COLOR_TYPE_GRAY_ALPHA, 16, 9, 7, true, false},
    {PNG_COLOR_TYPE_RGB, 8, 9, 7, false, false},        {PNG_COLOR_TYPE_RGB, 8, 9, 7, true, true},
    {PNG_COLOR_TYPE_RGB, 16, 9, 7, false, false},       {PNG_COLOR_TYPE_RGB_ALPHA, 8, 9, 7, true, false},
    {PNG_COLOR_TYPE_RGB_ALPHA, 16, 9, 7, false, false}, {PNG_COLOR_TYPE_PALETTE, 2, 5, 11, false, false},
    {PNG_COLOR_TYPE_PALETTE, 4, 5, 11, true, true},     {PNG_COLOR_TYPE_PALETTE, 8, 9, 7, false, true},
};

static char *path_in(const char *folder, const char *name)
{
    char *path = file_join(folder, name);
    assert_non_null(path);
    return path;
}

/* The sample as 8 bits, by the definition: the nearest to value / most * 255. */
static double wanted_sample(const struct data_files_png *png, int32_t y, int32_t x, int32_t c)
{
    return (double)data_files_sample(png, y, x, c) * 255 / ((1u << png->depth) - 1);
}

/* Colour c (of 3) of a pixel on white, worked out from the samples alone. */
static double wanted_colour(const struct data_files_png *png, int32_t y, int32_t x, int32_t c)
{
    bool grey = (png->colour_type & PNG_COLOR_MASK_COLOR) == 0;
    double value = 0, alpha = 1;
    if (png->colour_type == PNG_COLOR_TYPE_PALETTE) {
        uint32_t index = data_files_sample(png, y, x, 0);
        value = c == 0 ? index * 16 : c == 1 ? 255 - index * 16 : index;
        alpha = png->transparent && index == 0 ? 128 / 255.0 : 1;
        return value * alpha + 255 * (1 - alpha);
    }
    value = wanted_sample(png, y, x, grey ? 0 : c);
    if (png->colour_type & PNG_COLOR_MASK_ALPHA)
        alpha = wanted_sample(png, y, x, grey ? 1 : 3) / 255;
    if (png->transparent) {
        bool same = true;
        for (int32_t k = 0; k < (grey ? 1 : 3); k++)
            same = same && data_files_sample(png, y, x, k) == data_files_sample(png, 0, 0, k);
        alpha = same ? 0 : 1;
    }
    return value * alpha + 255 * (1 - alpha);
}

/* Every kind of PNG against its definition. Rounding happens at most three times: the value, the alpha, their
 * mix. */
static void test_png(void **state)
{
    (void)state;
    char *folder = data_files_folder(), *path = path_in(folder, "a.png");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct data_files_png *png = &cases[i];
        struct error err;
        struct image_info info;
        struct image image;
        bool grey = (png->colour_type & PNG_COLOR_MASK_COLOR) == 0;
        data_files_png(folder, "a.png", png);
        assert_int_equal(image_probe(path, &info, &err), ST_OK);
        assert_int_equal(info.height, png->height);
        assert_int_equal(info.width, png->width);
        assert_int_equal(info.grey, grey);
        assert_int_equal(info.deep, png->depth == 16);
        assert_int_equal(info.alpha, png->transparent || (png->colour_type & PNG_COLOR_MASK_ALPHA) != 0);
        assert_int_equal(info.palette, png->colour_type == PNG_COLOR_TYPE_PALETTE);
        assert_int_equal(image_decode(path, 3, 1, NULL, &image, &err), ST_OK);
        assert_int_equal(image.channels, 3);
        bool exact = png->depth < 16 && (png->colour_type & PNG_COLOR_MASK_ALPHA) == 0 && !png->transparent;
        for (int32_t k = 0; k < png->height * png->width * 3; k++) {
            double wanted = wanted_colour(png, k / 3 / png->width, k / 3 % png->width, k % 3);
            double off = image.pixels[k] - wanted;
            if (!(off >= -(exact ? 0 : 1.5) && off <= (exact ? 0 : 1.5)))
                fail_msg("case %zu, place %d: %d, expected %g", i, k, image.pixels[k], wanted);
        }
        free(image.pixels);
        assert_int_equal(image_decode(path, 1, 1, NULL, &image, &err), ST_OK);
        assert_int_equal(image.channels, 1);
        double luma = 0.299 * wanted_colour(png, 1, 2, 0) + 0.587 * wanted_colour(png, 1, 2, 1) +
                      0.114 * wanted_colour(png, 1, 2, 2);
        double off = image.pixels[png->width + 2] - luma;
        assert_true(off >= -2 && off <= 2);
        free(image.pixels);
    }
    free(path);
    data_files_remove(folder);
}

static void test_jpeg(void **state)
{
    static const uint8_t colour[3] = {200, 120, 40};
    (void)state;
    char *folder = data_files_folder(), *path = path_in(folder, "a.jpg");
    for (int32_t channels = 1; channels <= 4; channels++) {
        struct error err;
        struct image_info info;
        struct image image;
        if (channels == 2)
            continue;
        data_files_jpeg(folder, "a.jpg", channels, 21, 34, colour[0], colour[1], colour[2]);
        assert_int_equal(image_probe(path, &info, &err), ST_OK);
        assert_int_equal(info.height, 21);
        assert_int_equal(info.width, 34);
        assert_int_equal(info.grey, channels == 1);
        for (int32_t shrink = 1; shrink <= 8; shrink *= 2) {
            assert_int_equal(image_decode(path, 3, shrink, NULL, &image, &err), ST_OK);
            assert_int_equal(image.height, (21 + shrink - 1) / shrink);
            assert_int_equal(image.width, (34 + shrink - 1) / shrink);
            for (int32_t i = 0; i < image.height * image.width * 3; i++) {
                int off = image.pixels[i] - colour[channels == 1 ? 0 : i % 3];
                assert_true(off >= -3 && off <= 3); /* quality 95 */
            }
            free(image.pixels);
        }
    }
    free(path);
    data_files_remove(folder);
}

/* What the dataset reports of its images, and that one image read alone is the same as in the dataset. */
static void test_policy_and_single(void **state)
{
    struct dataset set;
    struct error err;
    (void)state;
    char *folder = data_files_folder(), *path = path_in(folder, "a/1.png");
    struct job_dataset job = data_files_job(folder);
    uint8_t alone[3 * 9 * 7];
    struct image_reader *reader = NULL;
    data_files_png(folder, "a/0.png", &cases[5]);
    data_files_png(folder, "a/1.png", &cases[12]);
    data_files_png(folder, "b/0.png", &cases[15]);
    data_files_jpeg(folder, "b/1.jpg", 3, 40, 60, 9, 9, 200);
    data_files_load(&job, &set);
    assert_int_equal(set.height, 9);
    assert_int_equal(set.width, 7);
    assert_int_equal(set.resized, 1);
    assert_string_equal(set.policy,
                        "sizes to 9 x 7 (median, stretched, antialiased; 1 images); palettes "
                        "expanded (1); 16 bits reduced to 8 (2); alpha composited on white (2); grey "
                        "repeated as RGB (1)");
    assert_int_equal(image_reader_new(3, 9, 7, "stretch", &reader, &err), ST_OK);
    assert_int_equal(image_reader_read(reader, path, alone, &err), ST_OK);
    assert_memory_equal(alone, set.pixels + sizeof(alone), sizeof(alone));
    free(path);
    path = path_in(folder, "b/1.jpg");
    assert_int_equal(image_reader_read(reader, path, alone, &err), ST_OK);
    assert_memory_equal(alone, set.pixels + 3 * sizeof(alone), sizeof(alone));
    image_reader_free(reader);
    assert_int_equal(image_reader_new(3, 9, 7, "bend", &reader, &err), ST_RANGE);
    assert_int_equal(image_reader_new(2, 9, 7, "crop", &reader, &err), ST_RANGE);
    data_free(&set);
    free(path);
    data_files_remove(folder);
}

/* The file must be refused by the decoder, with its path and the words. */
static void refuse(const char *path, const char *words)
{
    struct error err;
    struct image image;
    if (image_decode(path, 3, 1, NULL, &image, &err) == ST_OK) {
        free(image.pixels);
        fail_msg("%s: accepted, expected \"%s\"", path, words);
    }
    if (strncmp(err.message, path, strlen(path)) != 0 || strstr(err.message, words) == NULL)
        fail_msg("\"%s\", expected \"%s\"", err.message, words);
    assert_null(image.pixels);
}

static void accept(const char *path)
{
    struct error err;
    struct image image;
    if (image_decode(path, 3, 1, NULL, &image, &err) != ST_OK)
        fail_msg("%s", err.message);
    free(image.pixels);
}

/* PNG's last chunk: length, name, checksum. */
enum { IEND_BYTES = 12 };

static void test_cut(void **state)
{
    (void)state;
    char *folder = data_files_folder(), *png = path_in(folder, "a.png"), *jpeg = path_in(folder, "a.jpg");
    char *data = NULL;
    size_t length = 0;
    struct error err;
    data_files_png(folder, "a.png", &cases[11]);
    assert_int_equal(file_read(png, &data, &length, &err), ST_OK);
    free(data);
    for (size_t cut = 8; cut < length; cut++) {
        data_files_png(folder, "a.png", &cases[11]);
        data_files_cut(folder, "a.png", (long)cut);
        if (cut + IEND_BYTES < length)
            refuse(png, "broken PNG");
        else
            accept(png); /* all pixels are there */
    }
    data_files_jpeg(folder, "a.jpg", 3, 64, 64, 200, 100, 7);
    assert_int_equal(file_read(jpeg, &data, &length, &err), ST_OK);
    free(data);
    for (size_t cut = 3; cut + 2 < length; cut += 5) {
        data_files_jpeg(folder, "a.jpg", 3, 64, 64, 200, 100, 7);
        data_files_cut(folder, "a.jpg", (long)cut);
        refuse(jpeg, "broken JPEG");
    }
    data_files_jpeg(folder, "a.jpg", 3, 64, 64, 200, 100, 7);
    data_files_cut(folder, "a.jpg", (long)length - 2);
    accept(jpeg); /* without its end mark, as some cameras write it */
    free(png);
    free(jpeg);
    data_files_remove(folder);
}

/* The file's byte `at` replaced. */
static void patch(const char *path, long at, const uint8_t *bytes, size_t count)
{
    FILE *stream = fopen(path, "r+b");
    assert_non_null(stream);
    assert_int_equal(fseek(stream, at, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, count, stream), count);
    assert_int_equal(fclose(stream), 0);
}

/* Where the JPEG's frame head (SOF0) starts: height at +5, width at +7. */
static long frame_of(const char *path)
{
    char *data = NULL;
    size_t length = 0, at = 0;
    struct error err;
    assert_int_equal(file_read(path, &data, &length, &err), ST_OK);
    while (at + 9 < length && !((uint8_t)data[at] == 0xff && (uint8_t)data[at + 1] == 0xc0))
        at++;
    free(data);
    assert_true(at + 9 < length);
    return (long)at;
}

static void test_refused(void **state)
{
    static const uint8_t zero[4] = {0, 0, 0, 0}, large[4] = {0, 1, 0, 0}, most[2] = {0xff, 0xff};
    (void)state;
    char *folder = data_files_folder(), *png = path_in(folder, "a.png"), *jpeg = path_in(folder, "a.jpg");
    data_files_png(folder, "a.png", &cases[8]);
    patch(png, 16, zero, 4);
    refuse(png, "height 9 and width 0, expected sides of 1 to 65535");
    data_files_png(folder, "a.png", &cases[8]);
    patch(png, 20, large, 4);
    refuse(png, "height 65536 and width 7, expected sides of 1 to 65535");
    data_files_png(folder, "a.png", &cases[8]);
    patch(png, 60, large, 4); /* the pixels' checksum notices */
    refuse(png, "broken PNG");
    data_files_jpeg(folder, "a.jpg", 3, 16, 16, 1, 2, 3);
    patch(jpeg, frame_of(jpeg) + 5, zero, 2);
    refuse(jpeg, "broken JPEG: Empty JPEG image");
    data_files_jpeg(folder, "a.jpg", 3, 16, 16, 1, 2, 3);
    patch(jpeg, frame_of(jpeg) + 7, most, 2);
    refuse(jpeg, "broken JPEG: Maximum supported image dimension");
    data_files_write_text(folder, "a.png", "");
    refuse(png, "an empty file, expected PNG, JPEG, WebP");
    data_files_write_text(folder, "a.png", "%PDF....");
    refuse(png, "the file starts with 25 50 44, expected PNG, JPEG, WebP");
    refuse(folder, "is a folder, expected a regular file");
    free(png);
    free(jpeg);
    data_files_remove(folder);
}

/* An image of 2 x 3 with the pixel of row 0, column 0 marked, and where the mark goes. */
static void test_orientation(void **state)
{
    static const struct {
        int32_t height, width, row, column; /* of the turned image and its mark */
    } wanted[9] = {[1] = {2, 3, 0, 0}, [2] = {2, 3, 0, 2}, [3] = {2, 3, 1, 2}, [4] = {2, 3, 1, 0},
                   [5] = {3, 2, 0, 0}, [6] = {3, 2, 0, 1}, [7] = {3, 2, 2, 1}, [8] = {3, 2, 2, 0}};
    uint8_t exif[32] = "Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0";
    struct error err;
    (void)state;
    for (int orientation = 1; orientation <= 8; orientation++) {
        struct image image = {.height = 2, .width = 3, .channels = 1, .pixels = calloc(6, 1)};
        image.pixels[0] = 9;
        exif[24] = (uint8_t)orientation;
        assert_int_equal(image_orientation(exif, sizeof(exif)), orientation);
        assert_int_equal(image_turn(&image, orientation, &err), ST_OK);
        assert_int_equal(image.height, wanted[orientation].height);
        assert_int_equal(image.width, wanted[orientation].width);
        assert_int_equal(image.pixels[wanted[orientation].row * image.width + wanted[orientation].column], 9);
        free(image.pixels);
    }
    exif[24] = 9;
    assert_int_equal(image_orientation(exif, sizeof(exif)), 1);
    exif[24] = 6;
    for (size_t length = 0; length < 26; length++) /* cut: nothing is read behind it */
        assert_int_equal(image_orientation(exif, length), 1);
    exif[10] = 0xff; /* a directory behind the end */
    exif[13] = 0xff;
    assert_int_equal(image_orientation(exif, sizeof(exif)), 1);
}

/* The same picture in other formats (tests/data/images/make.py): as its PNG, or within `most` of it. */
static void test_formats(void **state)
{
    static const struct {
        const char *name, *like;
        int most;
    } files[] = {
        {"plain.bmp", "plain.png", 0},   {"plain.tif", "plain.png", 0},     {"plain.webp", "plain.png", 0},
        {"plain.gif", "palette.png", 0}, {"palette.bmp", "palette.png", 0}, {"alpha.tif", "alpha.png", 1},
        {"alpha.webp", "alpha.png", 1},  {"grey.tif", "grey.png", 0},       {"turned.tif", "plain.png", 0},
        {"turned.jpg", "plain.png", 24},
    };
    struct error err;
    (void)state;
    for (size_t k = 0; k < sizeof(files) / sizeof(files[0]); k++) {
        struct image image, like;
        struct image_info info;
        char *path = path_in("tests/data/images", files[k].name),
             *png = path_in("tests/data/images", files[k].like);
        if (image_probe(path, &info, &err) != ST_OK || image_decode(path, 3, 1, NULL, &image, &err) != ST_OK)
            fail_msg("%s", err.message);
        assert_int_equal(image_decode(png, 3, 1, NULL, &like, &err), ST_OK);
        assert_int_equal(image.height, like.height);
        assert_int_equal(image.width, like.width);
        assert_int_equal(info.height, like.height);
        assert_int_equal(info.width, like.width);
        for (int32_t i = 0; i < 3 * image.height * image.width; i++)
            if (abs(image.pixels[i] - like.pixels[i]) > files[k].most)
                fail_msg("%s: value %d is %d, expected %d", path, i, image.pixels[i], like.pixels[i]);
        free(image.pixels);
        free(like.pixels);
        free(path);
        free(png);
    }
}

/* Of none of these files does a part give an image, or anything worse. */
static void test_formats_cut(void **state)
{
    static const char *const names[] = {"plain.bmp",   "plain.tif", "plain.webp", "plain.gif",
                                        "palette.bmp", "alpha.tif", "alpha.webp", "turned.tif"};
    struct error err;
    (void)state;
    char *folder = data_files_folder(), *cut = path_in(folder, "cut");
    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
        char *path = path_in("tests/data/images", names[k]), *data = NULL;
        size_t length = 0;
        assert_int_equal(file_read(path, &data, &length, &err), ST_OK);
        for (size_t kept = 12; kept < length; kept++) {
            struct image image = {0};
            data_files_write(folder, "cut", data, kept, false);
            if (image_decode(cut, 3, 1, NULL, &image, &err) == ST_OK && kept < length / 2)
                fail_msg("%s: %zu of %zu bytes are accepted", names[k], kept, length);
            free(image.pixels);
        }
        free(data);
        free(path);
    }
    free(cut);
    data_files_remove(folder);
}

static int32_t questions;

static bool at_the_third(void)
{
    return ++questions == 3;
}

static void test_stop(void **state)
{
    const struct data_files_png tall = {PNG_COLOR_TYPE_RGB, 8, 1000, 4, false, false};
    struct error err;
    struct image image;
    (void)state;
    char *folder = data_files_folder(), *png = path_in(folder, "a.png"), *jpeg = path_in(folder, "a.jpg");
    data_files_png(folder, "a.png", &tall);
    data_files_jpeg(folder, "a.jpg", 3, 1000, 4, 1, 2, 3);
    const char *const paths[] = {png, jpeg};
    for (int i = 0; i < 2; i++) {
        questions = 0;
        assert_int_equal(image_decode(paths[i], 3, 1, at_the_third, &image, &err), ST_INTERRUPTED);
        assert_int_equal(questions, 3);
        assert_null(image.pixels);
    }
    free(png);
    free(jpeg);
    data_files_remove(folder);
}

/* Threads together stay below the budget; one that is larger than it is let in alone. */
static void test_gate(void **state)
{
    static const int64_t bytes[] = {10, 40, 70, 30, 150, 60};
    struct gate gate;
    (void)state;
    gate_open(&gate, 100);
    int64_t larger_beside = 0;
#pragma omp parallel for num_threads(6) schedule(static, 1)
    for (int i = 0; i < 600; i++) {
        gate_enter(&gate, bytes[i % 6]);
        if (bytes[i % 6] == 150 && gate.used != 150)
#pragma omp atomic
            larger_beside++;
        gate_leave(&gate, bytes[i % 6]);
    }
    assert_int_equal(gate.used, 0);
    assert_int_equal(larger_beside, 0);
    assert_true(gate.most <= 150);
    gate_close(&gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_png),
        cmocka_unit_test(test_jpeg),
        cmocka_unit_test(test_policy_and_single),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_formats_cut),
        cmocka_unit_test(test_orientation),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_gate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
