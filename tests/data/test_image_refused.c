/* Images that are no images, or of a kind that nasrun doesn't read, a few bytes each: what is said of them. And images
 * of all kinds whose decoding is stopped. */
#include "host/base/file.h"
#include "host/data/data_internal.h"
#include "host/data/images.h"
#include "tests/support/data_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

/* The file must be refused, with its path and the words. */
static void refuse(const char *path, enum status status, const char *words)
{
    struct error err;
    struct image image;
    const enum status st = image_decode(path, 3, 1, NULL, &image, &err);
    assert_null(image.pixels);
    if (st != status || strncmp(err.message, path, strlen(path)) != 0 || strstr(err.message, words) == NULL)
        fail_msg("%s: %s \"%s\", expected %s \"%s\"", path, status_name(st), err.message, status_name(status),
                 words);
}

#define BYTES(text) text, sizeof(text) - 1

/* Width and height 2, one plane, so many bits, compression, room for sizes, colours. */
#define BMP(head, bits, compression, colours)                                                                \
    "BM\0\0\0\0\0\0\0\0\x36\0\0\0" head "\0\0\0\2\0\0\0\2\0\0\0\1\0" bits "\0" compression                   \
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" colours "\0\0\0\0\0\0\0"

static void test_bytes(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
        enum status status;
        const char *words;
    } cases[] = {
        {BYTES("BM\0\0\0\0\0\0\0\0\0\0\0\0"), ST_FORMAT, "broken BMP: the file ends in its head"},
        {BYTES(BMP("\x0c", "\x18", "\0", "\0")), ST_UNSUPPORTED,
         "a BMP with a head of 12 bytes, expected 40"},
        {BYTES(BMP("\x28", "\x10", "\0", "\0")), ST_UNSUPPORTED, "a BMP of 16 bits and compression 0"},
        {BYTES(BMP("\x28", "\x08", "\1", "\0")), ST_UNSUPPORTED, "a BMP of 8 bits and compression 1"},
        {BYTES(BMP("\x28", "\x20", "\3", "\0") "\1\0\0\0\2\0\0\0\3\0\0\0"), ST_UNSUPPORTED,
         "a BMP whose colours are in another order than blue, green, red"},
        {BYTES(BMP("\x28", "\x20", "\3", "\0") "\1\0"), ST_UNSUPPORTED, "a BMP whose colours are in another"},
        {BYTES(BMP("\x28", "\x08", "\0", "\2") "\1\1\1\1"), ST_FORMAT,
         "broken BMP: the file ends in its 2 colours"},
        {BYTES(BMP("\x28", "\x18", "\0", "\0") "\1\1\1\1\1\1\0\0"), ST_FORMAT,
         "broken BMP: the pixels end in row 1 of 2"},
        {BYTES("GIF89a\1"), ST_FORMAT, "broken GIF: no head that giflib can read"},
        {BYTES("GIF89a\1\0\1\0\0\0\0;"), ST_FORMAT, "broken GIF: no frame in it"},
        {BYTES("GIF89a\1\0\1\0\0\0\0?"), ST_FORMAT, "broken GIF: no frame in it"},
        {BYTES("GIF89a\1\0\1\0\0\0\0!\xf9\4"), ST_FORMAT, "broken GIF: no frame in it"},
        {BYTES("GIF89a\1\0\1\0\0\0\0!\xf9\4\0\0\0\0"), ST_FORMAT, "broken GIF: no frame in it"},
        {BYTES("GIF89a\1\0\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2\x44\1\0;"), ST_FORMAT, "broken GIF: no colours"},
        {BYTES("GIF89a\1\0\1\0\0\0\0,\0\0\0\0\0\0\1\0\0\2\2\x44\1\0;"), ST_FORMAT, "height 1 and width 0"},
        {BYTES("GIF89a\1\0\1\0\x80\0\0\0\0\0\1\1\1,\0\0\0\0\1\0\1\0\0\2"), ST_FORMAT,
         "broken GIF: the pixels end in row 0 of 1"},
        {BYTES("RIFF\x20\0\0\0WEBPnone\4\0\0\0none"), ST_FORMAT,
         "broken WebP: no head that libwebp can read"},
        {BYTES("RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\2\0\0\0\1\0\0\1\0\0"), ST_UNSUPPORTED,
         "an animated WebP, expected a still image"},
        {BYTES("\x89PNG\r\n\x1a\n\0\0\0\x0dIHDx\0\0\0\1\0\0\0\1"), ST_FORMAT,
         "broken PNG: no IHDR at byte 12"},
        {BYTES("\x89PNG\r\n\x1a\n\0"), ST_FORMAT, "broken PNG: 9 bytes, expected at least a head of 24"},
        {BYTES("II*\0\x08\0\0\0"), ST_FORMAT, "broken TIFF: no head that libtiff can read"},
    };
    (void)state;
    char *folder = data_files_folder(), *path = file_join(folder, "image");
    assert_non_null(path);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        data_files_write(folder, "image", cases[i].bytes, cases[i].length, false);
        refuse(path, cases[i].status, cases[i].words);
    }
    free(path);
    data_files_remove(folder);
}

/* A TIFF with one strip for all rows, which has two bytes. */
static void write_tiff(const char *path, uint32_t side, uint16_t bits)
{
    uint8_t none[2] = {0};
    TIFF *tiff = TIFFOpen(path, "w");
    assert_non_null(tiff);
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, side);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, side);
    TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, side);
    TIFFSetField(tiff, TIFFTAG_COMPRESSION, COMPRESSION_PACKBITS); /* or libtiff reads it in smaller parts */
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, bits);
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
    assert_int_equal(TIFFSetupStrips(tiff), 1);
    assert_int_equal(TIFFWriteRawStrip(tiff, 0, none, sizeof(none)), sizeof(none));
    TIFFClose(tiff);
}

static void test_tiff(void **state)
{
    static const struct {
        uint32_t side;
        uint16_t bits;
        enum status status;
        const char *words;
    } cases[] = {
        {65535, 8, ST_UNSUPPORTED, "a TIFF whose tiles or strips are larger than 1073741824 bytes"},
        {4, 32, ST_UNSUPPORTED, "a TIFF of a kind that can't be read: "},
        {4, 8, ST_FORMAT, "broken TIFF: libtiff can't decode it"},
        {65536, 8, ST_FORMAT, "height 65536 and width 65536, expected sides of 1 to 65535"},
    };
    (void)state;
    char *folder = data_files_folder(), *path = file_join(folder, "image.tif");
    assert_non_null(path);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        write_tiff(path, cases[i].side, cases[i].bits);
        refuse(path, cases[i].status, cases[i].words);
    }
    free(path);
    data_files_remove(folder);
}

static bool stop_now(void)
{
    return true;
}

static void test_stopped(void **state)
{
    static const char *const images[] = {"palette.png", "turned.jpg", "plain.gif",
                                         "alpha.webp",  "plain.tif",  "plain.bmp"};
    (void)state;
    char *folder = data_files_folder();
    for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
        struct error err;
        struct image image;
        data_files_copy_image(folder, images[i], images[i]);
        char *path = file_join(folder, images[i]);
        assert_non_null(path);
        assert_int_equal(image_decode(path, 3, 1, stop_now, &image, &err), ST_INTERRUPTED);
        assert_null(image.pixels);
        assert_non_null(strstr(err.message, "stopped by a signal"));
        free(path);
    }
    data_files_remove(folder);
}

/* What a caller may ask for. */
static void test_asked(void **state)
{
    uint8_t pixels[4 * 4 * 3];
    struct error err;
    const struct image_info large = {.height = 50, .width = 21};
    (void)state;
    char *folder = data_files_folder(), *path = file_join(folder, "a.png");
    assert_non_null(path);
    data_files_png_plain(folder, "a.png", 4, 4, 1, 2, 3);
    struct image_reader *reader;
    assert_int_equal(image_reader_new(3, 4, 4, "pad", &reader, &err), ST_OK);
    assert_int_equal(image_reader_read(reader, path, pixels, &err), ST_OK);
    image_reader_free(reader);
    assert_int_equal(image_reader_new(2, 4, 4, "pad", &reader, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "2 channels asked for, expected 1 or 3"));
    assert_int_equal(image_reader_new(3, 4, 4, "bend", &reader, &err), ST_RANGE);
    assert_string_equal(err.message, "dataset fit \"bend\": expected stretch, crop or pad");
    assert_int_equal(image_check_pixels("b", &large, 1050, &err), ST_OK);
    assert_int_equal(image_check_pixels("b", &large, 1049, &err), ST_FORMAT);
    assert_string_equal(err.message, "b: image of height 50 and width 21, expected at most 1049 pixels "
                                     "(dataset.max_pixels)");
    free(path);
    data_files_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_tiff),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
