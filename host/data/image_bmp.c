/* BMP, by hand, for no library of the systems that are built for has it alone: without compression, of 1, 4, 8, 24 and
 * 32 bits, with the heads of Windows 3 and later. */
#include "host/data/data_internal.h"

#include <stdlib.h>

enum { BMP_HEAD = 54, BMP_PLAIN = 0, BMP_FIELDS = 3, BMP_COLOURS = 256 };

struct bmp {
    uint32_t offset; /* of the pixels */
    int64_t width, height;
    bool down; /* the first row is the top one */
    uint32_t bits, compression, colours;
    uint32_t head; /* bytes of the second head */
};

static uint32_t number(const uint8_t *at, int bytes)
{
    uint32_t value = 0;
    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

static enum status read_head(FILE *stream, struct bmp *bmp, struct error *err)
{
    uint8_t head[BMP_HEAD], masks[12];
    if (fread(head, 1, sizeof(head), stream) != sizeof(head))
        return error_set(err, ST_FORMAT, "broken BMP: the file ends in its head");
    *bmp = (struct bmp){.offset = number(head + 10, 4),
                        .head = number(head + 14, 4),
                        .width = (int32_t)number(head + 18, 4),
                        .height = (int32_t)number(head + 22, 4),
                        .bits = number(head + 28, 2),
                        .compression = number(head + 30, 4),
                        .colours = number(head + 46, 4)};
    if (bmp->head < 40)
        return error_set(err, ST_UNSUPPORTED, "a BMP with a head of %u bytes, expected 40 or more",
                         bmp->head);
    bmp->down = bmp->height < 0;
    bmp->height = bmp->down ? -bmp->height : bmp->height;
    const bool known =
        bmp->bits == 1 || bmp->bits == 4 || bmp->bits == 8 || bmp->bits == 24 || bmp->bits == 32;
    if (!known || (bmp->compression != BMP_PLAIN && (bmp->compression != BMP_FIELDS || bmp->bits != 32)))
        return error_set(
            err, ST_UNSUPPORTED,
            "a BMP of %u bits and compression %u, expected 1, 4, 8, 24 or 32 bits without compression",
            bmp->bits, bmp->compression);
    if (bmp->compression == BMP_FIELDS &&
        (fread(masks, 1, sizeof(masks), stream) != sizeof(masks) || number(masks, 4) != 0xff0000 ||
         number(masks + 4, 4) != 0xff00 || number(masks + 8, 4) != 0xff))
        return error_set(err, ST_UNSUPPORTED,
                         "a BMP whose colours are in another order than blue, green, red");
    return image_check_size(bmp->height, bmp->width, err);
}

/* One row as stored becomes RGB. */
static void take_row(const struct bmp *bmp, const uint8_t *row, const uint8_t *palette, uint8_t *to)
{
    for (size_t x = 0; x < (size_t)bmp->width; x++) {
        const uint8_t *colour = row + x * (bmp->bits / 8);
        if (bmp->bits < 8) {
            const size_t per_byte = 8 / bmp->bits, shift = (per_byte - 1 - x % per_byte) * bmp->bits;
            colour = palette + 4 * (row[x / per_byte] >> shift & ((1u << bmp->bits) - 1));
        } else if (bmp->bits == 8) {
            colour = palette + 4 * (size_t)row[x];
        }
        for (size_t c = 0; c < 3; c++)
            to[3 * x + c] = colour[2 - c];
    }
}

static enum status read_pixels(FILE *stream, const struct bmp *bmp, bool (*stop)(void), uint8_t *pixels,
                               uint8_t *row, size_t row_bytes, struct error *err)
{
    uint8_t palette[4 * BMP_COLOURS] = {0};
    if (bmp->bits <= 8) {
        size_t colours = bmp->colours == 0 || bmp->colours > 1u << bmp->bits ? 1u << bmp->bits : bmp->colours;
        if (fseek(stream, 14 + (long)bmp->head, SEEK_SET) != 0 ||
            fread(palette, 4, colours, stream) != colours)
            return error_set(err, ST_FORMAT, "broken BMP: the file ends in its %zu colours", colours);
    }
    if (fseek(stream, (long)bmp->offset, SEEK_SET) != 0)
        return error_set(err, ST_FORMAT, "broken BMP: no pixels at byte %u", bmp->offset);
    for (int64_t y = 0; y < bmp->height; y++) {
        enum status st = image_check_stop(stop, y, err);
        if (st != ST_OK)
            return st;
        if (fread(row, 1, row_bytes, stream) != row_bytes)
            return error_set(err, ST_FORMAT, "broken BMP: the pixels end in row %lld of %lld", (long long)y,
                             (long long)bmp->height);
        take_row(bmp, row, palette,
                 pixels + 3 * (size_t)bmp->width * (size_t)(bmp->down ? y : bmp->height - 1 - y));
    }
    return ST_OK;
}

enum status image_bmp_read(FILE *stream, bool (*stop)(void), struct image_info *info, struct image *image,
                           struct error *err)
{
    struct bmp bmp;
    enum status st = read_head(stream, &bmp, err);
    if (st != ST_OK)
        return st;
    *info = (struct image_info){
        .height = (int32_t)bmp.height, .width = (int32_t)bmp.width, .palette = bmp.bits <= 8};
    if (image == NULL)
        return ST_OK;
    const size_t row_bytes = ((size_t)bmp.width * bmp.bits + 31) / 32 * 4;
    const size_t bytes = 3 * (size_t)bmp.width * (size_t)bmp.height;
    uint8_t *pixels = malloc(bytes), *row = malloc(row_bytes);
    st = pixels != NULL && row != NULL ? read_pixels(stream, &bmp, stop, pixels, row, row_bytes, err)
                                       : error_memory(err, "an image", bytes);
    free(row);
    if (st != ST_OK) {
        free(pixels);
        return st;
    }
    *image = (struct image){
        .height = (int32_t)bmp.height, .width = (int32_t)bmp.width, .channels = 3, .pixels = pixels};
    return ST_OK;
}
