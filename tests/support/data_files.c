#include "tests/support/data_files.h"

#include "host/base/file.h"

#include <ftw.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* These need the headers above. */
#include <cmocka.h>
#include <jpeglib.h>

char *data_files_folder(void)
{
    const char *base = getenv("TMPDIR");
    char *path = file_join(base != NULL ? base : "/tmp", "nasrun-data-XXXXXX");
    assert_non_null(path);
    assert_non_null(mkdtemp(path));
    return path;
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)about;
    (void)kind;
    (void)where;
    return remove(path);
}

void data_files_remove(char *folder)
{
    assert_int_equal(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(folder);
}

/* FOLDER/NAME, malloc'd, with the folders before the name made. */
static char *path_for(const char *folder, const char *name)
{
    struct error err;
    char *path = file_join(folder, name);
    assert_non_null(path);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    assert_int_equal(file_make_folder(path, &err), ST_OK);
    *slash = '/';
    return path;
}

void data_files_write(const char *folder, const char *name, const void *content, size_t length, bool packed)
{
    char *path = path_for(folder, name);
    gzFile file = gzopen(path, packed ? "wb6" : "wbT"); /* T: as it is */
    assert_non_null(file);
    if (length > 0)
        assert_int_equal(gzwrite(file, content, (unsigned)length), length);
    assert_int_equal(gzclose_w(file), Z_OK);
    free(path);
}

void data_files_write_text(const char *folder, const char *name, const char *text)
{
    data_files_write(folder, name, text, strlen(text), false);
}

void data_files_copy_image(const char *folder, const char *name, const char *image)
{
    struct error err;
    char *path = file_join("tests/data/images", image), *bytes;
    size_t length;
    assert_non_null(path);
    if (file_read(path, &bytes, &length, &err) != ST_OK)
        fail_msg("%s", err.message);
    data_files_write(folder, name, bytes, length, false);
    free(bytes);
    free(path);
}

void data_files_cut(const char *folder, const char *name, long length)
{
    struct stat about;
    char *path = path_for(folder, name);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(truncate(path, length >= 0 ? length : about.st_size + length), 0);
    free(path);
}

static void put_big_endian(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> (24 - 8 * i));
}

void data_files_idx_images(const char *folder, const char *name, int32_t count, int32_t height, int32_t width,
                           bool packed)
{
    size_t image = (size_t)height * (size_t)width, length = 16 + (size_t)count * image;
    uint8_t *bytes = malloc(length);
    assert_non_null(bytes);
    put_big_endian(bytes, 0x803);
    put_big_endian(bytes + 4, (uint32_t)count);
    put_big_endian(bytes + 8, (uint32_t)height);
    put_big_endian(bytes + 12, (uint32_t)width);
    for (size_t i = 0; i < (size_t)count; i++)
        for (size_t k = 0; k < image; k++)
            bytes[16 + i * image + k] = (uint8_t)((i * 7 + k) % 251);
    data_files_write(folder, name, bytes, length, packed);
    free(bytes);
}

void data_files_idx_labels(const char *folder, const char *name, const uint8_t *labels, int32_t count,
                           bool packed)
{
    uint8_t *bytes = malloc(8 + (size_t)count);
    assert_non_null(bytes);
    put_big_endian(bytes, 0x801);
    put_big_endian(bytes + 4, (uint32_t)count);
    memcpy(bytes + 8, labels, (size_t)count);
    data_files_write(folder, name, bytes, 8 + (size_t)count, packed);
    free(bytes);
}

void data_files_cifar(const char *folder, const char *name, int32_t classes, int32_t count, bool packed)
{
    size_t head = classes == 100 ? 2 : 1, record = head + 3072;
    uint8_t *bytes = malloc((size_t)count * record);
    assert_non_null(bytes);
    for (size_t i = 0; i < (size_t)count; i++) {
        bytes[i * record] = (uint8_t)(i % (classes == 100 ? 20 : 10));
        bytes[i * record + head - 1] = (uint8_t)(i % (size_t)classes);
        for (size_t k = 0; k < 3072; k++)
            bytes[i * record + head + k] = (uint8_t)((i * 7 + k) % 251);
    }
    data_files_write(folder, name, bytes, (size_t)count * record, packed);
    free(bytes);
}

static int samples_of(int colour_type)
{
    switch (colour_type) {
    case PNG_COLOR_TYPE_RGB:
        return 3;
    case PNG_COLOR_TYPE_RGB_ALPHA:
        return 4;
    case PNG_COLOR_TYPE_GRAY_ALPHA:
        return 2;
    default:
        return 1;
    }
}

uint32_t data_files_sample(const struct data_files_png *png, int32_t y, int32_t x, int32_t c)
{
    uint32_t mask = (1u << png->depth) - 1;
    uint32_t value = (uint32_t)(y * 40503 + x * 9973 + c * 30011 + 77) & mask;
    return png->colour_type == PNG_COLOR_TYPE_PALETTE ? value & 15 : value;
}

static void put_palette(png_structp file, png_infop about, const struct data_files_png *png)
{
    png_color colours[16];
    int count = png->depth < 4 ? 1 << png->depth : 16;
    for (int i = 0; i < count; i++)
        colours[i] = (png_color){(png_byte)(i * 16), (png_byte)(255 - i * 16), (png_byte)i};
    png_set_PLTE(file, about, colours, count);
}

/* Transparency outside an alpha channel. */
static void put_transparency(png_structp file, png_infop about, const struct data_files_png *png)
{
    png_byte half = 128;
    png_color_16 key = {0};
    key.gray = (png_uint_16)data_files_sample(png, 0, 0, 0);
    key.red = key.gray;
    key.green = (png_uint_16)data_files_sample(png, 0, 0, 1);
    key.blue = (png_uint_16)data_files_sample(png, 0, 0, 2);
    if (png->colour_type == PNG_COLOR_TYPE_PALETTE)
        png_set_tRNS(file, about, &half, 1, NULL);
    else
        png_set_tRNS(file, about, NULL, 0, &key);
}

/* One row as the file has it: samples of `depth` bits, big-endian, packed. */
static void fill_row(const struct data_files_png *png, int32_t y, uint8_t *row, size_t bytes)
{
    int samples = samples_of(png->colour_type);
    memset(row, 0, bytes);
    for (int32_t x = 0; x < png->width; x++) {
        for (int c = 0; c < samples; c++) {
            size_t bit = ((size_t)x * (size_t)samples + (size_t)c) * (size_t)png->depth;
            uint32_t value = data_files_sample(png, y, x, c);
            if (png->depth == 16) {
                row[bit / 8] = (uint8_t)(value >> 8);
                row[bit / 8 + 1] = (uint8_t)value;
            } else {
                row[bit / 8] |= (uint8_t)(value << (8 - (unsigned)png->depth - bit % 8));
            }
        }
    }
}

void data_files_png(const char *folder, const char *name, const struct data_files_png *png)
{
    char *path = path_for(folder, name);
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    png_structp file = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop about = png_create_info_struct(file);
    png_bytep *rows = malloc((size_t)png->height * sizeof(*rows));
    assert_non_null(about);
    assert_non_null(rows);
    png_init_io(file, stream);
    png_set_compression_level(file, 1);
    png_set_IHDR(file, about, (png_uint_32)png->width, (png_uint_32)png->height, png->depth, png->colour_type,
                 png->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (png->colour_type == PNG_COLOR_TYPE_PALETTE)
        put_palette(file, about, png);
    if (png->transparent)
        put_transparency(file, about, png);
    png_write_info(file, about);
    size_t bytes = png_get_rowbytes(file, about);
    for (int32_t y = 0; y < png->height; y++) {
        rows[y] = malloc(bytes);
        assert_non_null(rows[y]);
        fill_row(png, y, rows[y], bytes);
    }
    png_write_image(file, rows);
    png_write_end(file, NULL);
    for (int32_t y = 0; y < png->height; y++)
        free(rows[y]);
    free(rows);
    png_destroy_write_struct(&file, &about);
    assert_int_equal(fclose(stream), 0);
    free(path);
}

void data_files_png_plain(const char *folder, const char *name, int32_t height, int32_t width, uint8_t red,
                          uint8_t green, uint8_t blue)
{
    char *path = path_for(folder, name);
    size_t count = (size_t)height * (size_t)width;
    uint8_t *pixels = malloc(3 * count);
    assert_non_null(pixels);
    for (size_t i = 0; i < count; i++) {
        pixels[3 * i] = red;
        pixels[3 * i + 1] = green;
        pixels[3 * i + 2] = blue;
    }
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)width,
                       .height = (png_uint_32)height,
                       .format = PNG_FORMAT_RGB};
    assert_true(png_image_write_to_file(&image, path, 0, pixels, 0, NULL));
    free(pixels);
    free(path);
}

void data_files_jpeg(const char *folder, const char *name, int32_t channels, int32_t height, int32_t width,
                     uint8_t red, uint8_t green, uint8_t blue)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr manager;
    char *path = path_for(folder, name);
    uint8_t colour[4] = {red, green, blue, 255};
    uint8_t *row = malloc((size_t)width * (size_t)channels);
    FILE *stream = fopen(path, "wb");
    assert_non_null(row);
    assert_non_null(stream);
    for (size_t i = 0; i < (size_t)width; i++)
        memcpy(row + i * (size_t)channels, colour, (size_t)channels);
    jpeg.err = jpeg_std_error(&manager);
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, stream);
    jpeg.image_width = (JDIMENSION)width;
    jpeg.image_height = (JDIMENSION)height;
    jpeg.input_components = channels;
    jpeg.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 95, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    while (jpeg.next_scanline < jpeg.image_height)
        jpeg_write_scanlines(&jpeg, &row, 1);
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    assert_int_equal(fclose(stream), 0);
    free(row);
    free(path);
}

struct job_dataset data_files_job(const char *path)
{
    return (struct job_dataset){.format = JOB_FORMAT_AUTO,
                                .path = (char *)path,
                                .images = "",
                                .validation = 0.1,
                                .test = 0.1,
                                .max_side = 96,
                                .max_pixels = DATA_MAX_PIXELS,
                                .fit = JOB_FIT_STRETCH,
                                .channels = JOB_CHANNELS_AUTO,
                                .on_error = JOB_ON_ERROR_STOP,
                                .cache = ""};
}

void data_files_load(const struct job_dataset *job, struct dataset *set)
{
    struct error err;
    if (data_load(job, 1, &(struct data_way){0}, set, &err) != ST_OK)
        fail_msg("%s", err.message);
}

char *data_files_told(const struct job_dataset *job, struct dataset *set)
{
    struct error err;
    char *text = NULL;
    size_t length;
    FILE *log = open_memstream(&text, &length);
    assert_non_null(log);
    if (data_load(job, 1, &(struct data_way){.log = log}, set, &err) != ST_OK)
        fail_msg("%s", err.message);
    fclose(log);
    return text;
}

void data_files_refuse(const struct job_dataset *job, enum status status, const char *what,
                       const char *expected)
{
    struct dataset set;
    struct error err = {.status = ST_OK};
    if (data_load(job, 1, &(struct data_way){0}, &set, &err) == ST_OK) {
        data_free(&set);
        fail_msg("accepted, expected a message with \"%s\"", what);
    }
    if (err.status != status || strstr(err.message, what) == NULL || strstr(err.message, expected) == NULL ||
        strchr(err.message, '\n') != NULL)
        fail_msg("\"%s\" (%s), expected \"%s\" and \"%s\" (%s)", err.message, status_name(err.status), what,
                 expected, status_name(status));
    assert_null(set.pixels);
}
