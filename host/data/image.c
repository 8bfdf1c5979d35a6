/* One image file: which format it has (by its first bytes, whatever its name says), its head, its pixels, its
 * colours made grey or RGB. */
#include "host/data/data_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { IMAGE_BUFFER = 1 << 15 };

enum status image_check_size(int64_t height, int64_t width, struct error *err)
{
    if (height < 1 || height > IMAGE_MAX_SIDE || width < 1 || width > IMAGE_MAX_SIDE)
        return error_set(err, ST_FORMAT,
                         "image of height %lld and width %lld, expected sides of 1 to %d pixels",
                         (long long)height, (long long)width, IMAGE_MAX_SIDE);
    return ST_OK;
}

/* Opens the file, looks at its first bytes and hands it to its format's reader. */
static enum status read_file(const char *path, int32_t shrink, struct image_info *info, struct image *image,
                             struct error *err)
{
    static const uint8_t png_mark[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const uint8_t jpeg_mark[3] = {0xff, 0xd8, 0xff};
    uint8_t mark[8] = {0};
    struct stat about;
    enum status st;

    FILE *stream = fopen(path, "rbe");
    if (stream == NULL)
        return error_system(err, errno, "%s", path);
    if (fstat(fileno(stream), &about) == 0 && S_ISDIR(about.st_mode)) {
        st = error_set(err, ST_IO, "%s: is a folder, expected an image", path);
        goto out;
    }
    if (image != NULL)
        setvbuf(stream, NULL, _IOFBF, IMAGE_BUFFER);
    size_t got = fread(mark, 1, sizeof(mark), stream);
    rewind(stream);
    if (got == sizeof(mark) && memcmp(mark, png_mark, sizeof(png_mark)) == 0)
        st = image_png_read(stream, info, image, err);
    else if (got >= sizeof(jpeg_mark) && memcmp(mark, jpeg_mark, sizeof(jpeg_mark)) == 0)
        st = image_jpeg_read(stream, shrink, info, image, err);
    else if (got == 0)
        st = error_set(err, ST_FORMAT, "an empty file, expected PNG or JPEG");
    else
        st = error_set(err, ST_FORMAT, "the file starts with %02x %02x %02x, expected PNG or JPEG", mark[0],
                       mark[1], mark[2]);
    if (st != ST_OK)
        error_prefix(err, "%s", path);
out:
    fclose(stream);
    return st;
}

enum status image_probe(const char *path, struct image_info *info, struct error *err)
{
    return read_file(path, 1, info, NULL, err);
}

/* Luma of ITU-R BT.601, the weights that JPEG itself uses, rounded to the nearest. In place. */
static void make_grey(struct image *image)
{
    size_t count = (size_t)image->height * (size_t)image->width;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *p = image->pixels + 3 * i;
        image->pixels[i] = (uint8_t)((299u * p[0] + 587u * p[1] + 114u * p[2] + 500u) / 1000u);
    }
    image->channels = 1;
}

static enum status make_rgb(struct image *image, struct error *err)
{
    size_t count = (size_t)image->height * (size_t)image->width;
    uint8_t *pixels = malloc(3 * count);
    if (pixels == NULL)
        return error_memory(err, "an image", 3 * count);
    for (size_t i = 0; i < count; i++)
        memset(pixels + 3 * i, image->pixels[i], 3);
    free(image->pixels);
    image->pixels = pixels;
    image->channels = 3;
    return ST_OK;
}

enum status image_decode(const char *path, int32_t channels, int32_t shrink, struct image *image,
                         struct error *err)
{
    struct image_info info;
    *image = (struct image){0};
    enum status st = read_file(path, shrink, &info, image, err);
    if (st != ST_OK)
        return st;
    if (image->channels == 3 && channels == 1)
        make_grey(image);
    else if (image->channels == 1 && channels == 3)
        st = make_rgb(image, err);
    if (st != ST_OK) {
        free(image->pixels);
        *image = (struct image){0};
    }
    return st;
}

enum status data_read_image(const char *path, int32_t channels, int32_t height, int32_t width,
                            const char *fit, uint8_t *pixels, struct error *err)
{
    struct resize_work work = {0};
    struct image image = {0};
    struct image_info info;
    enum job_fit how;

    enum status st = data_fit_parse(fit, &how, err);
    if (st == ST_OK && channels != 1 && channels != 3)
        st = error_set(err, ST_RANGE, "%s: %d channels asked for, expected 1 or 3", path, channels);
    if (st == ST_OK)
        st = image_probe(path, &info, err);
    if (st == ST_OK)
        st = image_decode(path, channels, data_resize_shrink(info.height, info.width, how, height, width),
                          &image, err);
    if (st == ST_OK)
        st = data_resize(&work, image.pixels, channels, image.height, image.width, how, pixels, height, width,
                         err);
    free(image.pixels);
    data_resize_free(&work);
    return st;
}
