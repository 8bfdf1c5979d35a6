/* One image file: which format it has (by its first bytes, whatever its name says), its head, its pixels, its
 * colours made grey or RGB. */
#include "host/base/file.h"
#include "host/data/data_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGE_BUFFER = 1 << 15, IMAGE_MARK = 12 };

enum image_kind { IMAGE_NONE, IMAGE_PNG, IMAGE_JPEG, IMAGE_GIF, IMAGE_WEBP, IMAGE_TIFF, IMAGE_BMP };

enum status image_check_size(int64_t height, int64_t width, struct error *err)
{
    if (height < 1 || height > IMAGE_MAX_SIDE || width < 1 || width > IMAGE_MAX_SIDE)
        return error_set(err, ST_FORMAT,
                         "image of height %lld and width %lld, expected sides of 1 to %d pixels",
                         (long long)height, (long long)width, IMAGE_MAX_SIDE);
    return ST_OK;
}

enum status image_check_pixels(const char *path, const struct image_info *info, int32_t most,
                               struct error *err)
{
    if ((int64_t)info->height * info->width > most)
        return error_set(err, ST_FORMAT,
                         "%s: image of height %d and width %d, expected at most %d pixels "
                         "(dataset.max_pixels)",
                         path, info->height, info->width, most);
    return ST_OK;
}

enum status image_check_stop(bool (*stop)(void), int64_t row, struct error *err)
{
    if (stop != NULL && row % IMAGE_STOP_ROWS == 0 && stop())
        return error_set(err, ST_INTERRUPTED, "stopped by a signal");
    return ST_OK;
}

static enum image_kind kind_of(const uint8_t *mark, size_t length)
{
    static const uint8_t png_mark[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const uint8_t jpeg_mark[3] = {0xff, 0xd8, 0xff};
    if (length >= sizeof(png_mark) && memcmp(mark, png_mark, sizeof(png_mark)) == 0)
        return IMAGE_PNG;
    if (length >= sizeof(jpeg_mark) && memcmp(mark, jpeg_mark, sizeof(jpeg_mark)) == 0)
        return IMAGE_JPEG;
    if (length >= 6 && (memcmp(mark, "GIF87a", 6) == 0 || memcmp(mark, "GIF89a", 6) == 0))
        return IMAGE_GIF;
    if (length >= IMAGE_MARK && memcmp(mark, "RIFF", 4) == 0 && memcmp(mark + 8, "WEBP", 4) == 0)
        return IMAGE_WEBP;
    if (length >= 4 && (memcmp(mark, "II*\0", 4) == 0 || memcmp(mark, "MM\0*", 4) == 0))
        return IMAGE_TIFF;
    if (length >= IMAGE_MARK && memcmp(mark, "BM", 2) == 0 && memcmp(mark + 6, "\0\0\0\0", 4) == 0)
        return IMAGE_BMP;
    return IMAGE_NONE;
}

enum status image_read_bytes(FILE *stream, size_t most, uint8_t **bytes, size_t *length, struct error *err)
{
    size_t capacity = IMAGE_HEAD_BYTES;
    *length = 0;
    *bytes = NULL;
    for (;;) {
        uint8_t *larger = realloc(*bytes, capacity);
        if (larger == NULL) {
            free(*bytes);
            *bytes = NULL;
            return error_memory(err, "an image file", capacity);
        }
        *bytes = larger;
        *length += fread(*bytes + *length, 1, capacity - *length, stream);
        if (*length < capacity || capacity >= most)
            return ST_OK;
        capacity *= 2;
    }
}

enum status image_take(struct image *image, int32_t height, int32_t width, int channels, bool multiplied,
                       const uint8_t *pixels, struct error *err)
{
    const size_t count = (size_t)height * (size_t)width;
    uint8_t *to = malloc(3 * count);
    if (to == NULL)
        return error_memory(err, "an image", 3 * count);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *from = pixels + i * (size_t)channels;
        const unsigned alpha = channels == 4 ? from[3] : 255;
        for (size_t c = 0; c < 3; c++) {
            const unsigned colour = multiplied ? from[c] : (from[c] * alpha + 127u) / 255u;
            const unsigned value = colour + 255u - alpha;
            to[3 * i + c] = (uint8_t)(value < 255 ? value : 255);
        }
    }
    *image = (struct image){.height = height, .width = width, .channels = 3, .pixels = to};
    return ST_OK;
}

bool image_is_one(const char *path)
{
    struct error err;
    uint8_t mark[IMAGE_MARK] = {0};
    FILE *stream;
    int64_t bytes;
    if (file_open(path, &stream, &bytes, &err) != ST_OK)
        return false;
    const size_t got = fread(mark, 1, sizeof(mark), stream);
    fclose(stream);
    return kind_of(mark, got) != IMAGE_NONE;
}

/* Why the first bytes are those of no image. */
static enum status refuse(const uint8_t *mark, size_t got, struct error *err)
{
    if (got == 0)
        return error_set(err, ST_FORMAT, "an empty file, expected PNG, JPEG, WebP, GIF, TIFF or BMP");
    return error_set(err, ST_FORMAT,
                     "the file starts with %02x %02x %02x, expected PNG, JPEG, WebP, GIF, TIFF or BMP",
                     mark[0], mark[1], mark[2]);
}

/* What reads a file that is open. */
struct image_order {
    const char *path;
    int32_t shrink;
    bool (*stop)(void);
};

/* Looks at its first bytes and hands it to its format's reader; image NULL: only its head is read. */
static enum status read_stream(FILE *stream, const struct image_order *order, struct image_info *info,
                               struct image *image, struct error *err)
{
    uint8_t mark[IMAGE_MARK] = {0};
    const char *path = order->path;
    bool (*const stop)(void) = order->stop;
    enum status st = ST_OK;
    const size_t got = fread(mark, 1, sizeof(mark), stream);
    if (ferror(stream))
        st = error_system(err, errno, "%s", path);
    rewind(stream);
    if (st == ST_OK) {
        switch (kind_of(mark, got)) {
        case IMAGE_PNG:
            st = image_png_read(stream, stop, info, image, err);
            break;
        case IMAGE_JPEG:
            st = image_jpeg_read(stream, order->shrink, stop, info, image, err);
            break;
        case IMAGE_GIF:
            st = image_gif_read(stream, stop, info, image, err);
            break;
        case IMAGE_WEBP:
            st = image_webp_read(stream, stop, info, image, err);
            break;
        case IMAGE_TIFF:
            st = image_tiff_read(stream, stop, info, image, err);
            break;
        case IMAGE_BMP:
            st = image_bmp_read(stream, stop, info, image, err);
            break;
        case IMAGE_NONE:
            st = refuse(mark, got, err);
            break;
        }
        if (st == ST_OK && image != NULL)
            st = image_turn(image, info->orientation, err);
        if (st != ST_OK && st != ST_INTERRUPTED)
            error_prefix(err, "%s", path);
        if (st != ST_OK && ferror(stream)) /* the disk's fault, and none of the file's */
            st = err->status = ST_IO;
        if (st == ST_OK && info->orientation > 4) {
            const int32_t height = info->height;
            info->height = info->width;
            info->width = height;
        }
    }
    return st;
}

enum status image_probe(const char *path, struct image_info *info, struct error *err)
{
    const struct image_order order = {.path = path, .shrink = 1};
    FILE *stream;
    int64_t bytes = 0;
    enum status st = file_open(path, &stream, &bytes, err);
    if (st != ST_OK)
        return st;
    st = read_stream(stream, &order, info, NULL, err);
    fclose(stream);
    return st;
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

/* Of the file that is open, in so many channels. On error the image is none. */
static enum status decode_stream(FILE *stream, const struct image_order *order, int32_t channels,
                                 struct image *image, struct error *err)
{
    struct image_info info;
    rewind(stream);
    enum status st = read_stream(stream, order, &info, image, err);
    if (st == ST_OK && image->channels == 3 && channels == 1)
        make_grey(image);
    else if (st == ST_OK && image->channels == 1 && channels == 3)
        st = make_rgb(image, err);
    if (st != ST_OK) {
        free(image->pixels);
        *image = (struct image){0};
    }
    return st;
}

/* The image is none until it is read. */
static enum status open_to_decode(const char *path, FILE **stream, struct image *image, struct error *err)
{
    int64_t bytes = 0;
    *image = (struct image){0};
    enum status st = file_open(path, stream, &bytes, err);
    if (st == ST_OK)
        setvbuf(*stream, NULL, _IOFBF, IMAGE_BUFFER);
    return st;
}

enum status image_decode(const char *path, int32_t channels, int32_t shrink, bool (*stop)(void),
                         struct image *image, struct error *err)
{
    const struct image_order order = {.path = path, .shrink = shrink, .stop = stop};
    FILE *stream;
    enum status st = open_to_decode(path, &stream, image, err);
    if (st != ST_OK)
        return st;
    st = decode_stream(stream, &order, channels, image, err);
    fclose(stream);
    return st;
}

enum status image_decode_for(const char *path, int32_t channels, const struct resize_order *resize,
                             struct image *image, struct error *err)
{
    struct image_order order = {.path = path, .shrink = 1};
    struct image_info info;
    FILE *stream;
    enum status st = open_to_decode(path, &stream, image, err);
    if (st != ST_OK)
        return st;
    st = read_stream(stream, &order, &info, NULL, err);
    if (st == ST_OK)
        st = image_check_pixels(path, &info, DATA_MAX_PIXELS, err);
    if (st == ST_OK) {
        order.shrink =
            data_resize_shrink(info.height, info.width, resize->fit, resize->to_height, resize->to_width);
        st = decode_stream(stream, &order, channels, image, err);
    }
    fclose(stream);
    return st;
}
