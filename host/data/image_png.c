/* PNG by libpng: grey of 1 to 16 bits, RGB, palette, all with or without alpha, interlaced or not, come out
 * as grey or RGB of 8 bits. Alpha is composited on white. libpng reports errors by jumping; the jump ends in
 * this file. */
#include "host/data/data_internal.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

/* All that outlives a jump lives here, not among the locals of the function that is jumped into. */
struct png_reader {
    png_structp png;
    png_infop about;
    struct image_info *info;
    struct image *image; /* NULL: only the head */
    uint8_t *pixels;     /* as libpng gives them, with alpha where there is one */
    png_bytep *rows;
    FILE *stream;
    struct error *err;
};

static void on_error(png_structp png, png_const_charp message)
{
    struct png_reader *reader = png_get_error_ptr(png);
    error_set(reader->err, ST_FORMAT, "broken PNG: %s", message);
    png_longjmp(png, 1);
}

static void on_read(png_structp png, png_bytep to, size_t length)
{
    struct png_reader *reader = png_get_io_ptr(png);
    if (fread(to, 1, length, reader->stream) != length)
        png_error(png, "the file is cut");
}

/* Warnings speak of things that leave the pixels whole. */
static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

/* libpng's own check tells nobody which size it refused, so the head is looked at before it. */
static enum status check_head(FILE *stream, struct error *err)
{
    uint8_t head[24];
    size_t got = fread(head, 1, sizeof(head), stream);
    rewind(stream);
    if (got < sizeof(head))
        return error_set(err, ST_FORMAT, "broken PNG: %zu bytes, expected at least a head of %zu", got,
                         sizeof(head));
    if (memcmp(head + 12, "IHDR", 4) != 0)
        return error_set(err, ST_FORMAT, "broken PNG: no IHDR at byte 12");
    return image_check_size(png_get_uint_32(head + 20), png_get_uint_32(head + 16), err);
}

/* Composites the alpha channel, the last of `channels`, on white and squeezes it out. Works in place. */
static void flatten(uint8_t *pixels, size_t count, int channels)
{
    int colours = channels - 1;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *from = pixels + i * (size_t)channels;
        uint8_t *to = pixels + i * (size_t)colours;
        unsigned alpha = from[colours];
        for (int c = 0; c < colours; c++)
            to[c] = (uint8_t)((from[c] * alpha + 255u * (255u - alpha) + 127u) / 255u);
    }
}

/* Asks libpng for 8 bits of grey or RGB, with alpha where the file has some. */
static void set_transforms(struct png_reader *reader, int colour_type, int depth)
{
    if (depth == 16)
        png_set_scale_16(reader->png);
    if (colour_type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(reader->png);
    else if (depth < 8)
        png_set_expand_gray_1_2_4_to_8(reader->png);
    if (png_get_valid(reader->png, reader->about, PNG_INFO_tRNS))
        png_set_tRNS_to_alpha(reader->png);
    png_set_interlace_handling(reader->png);
    png_read_update_info(reader->png, reader->about);
}

/* The part that libpng may jump out of. */
static enum status read_jumping(struct png_reader *reader)
{
    if (setjmp(png_jmpbuf(reader->png)))
        return reader->err->status;

    png_set_read_fn(reader->png, reader, on_read);
    png_read_info(reader->png, reader->about);
    int colour_type = png_get_color_type(reader->png, reader->about);
    int depth = png_get_bit_depth(reader->png, reader->about);
    uint32_t height = png_get_image_height(reader->png, reader->about);
    uint32_t width = png_get_image_width(reader->png, reader->about);
    *reader->info = (struct image_info){
        .height = (int32_t)height,
        .width = (int32_t)width,
        .grey = (colour_type & PNG_COLOR_MASK_COLOR) == 0,
        .alpha = (colour_type & PNG_COLOR_MASK_ALPHA) != 0 ||
                 png_get_valid(reader->png, reader->about, PNG_INFO_tRNS),
        .deep = depth == 16,
        .palette = colour_type == PNG_COLOR_TYPE_PALETTE,
    };
    if (reader->image == NULL)
        return ST_OK;

    set_transforms(reader, colour_type, depth);
    int channels = png_get_channels(reader->png, reader->about);
    size_t row = png_get_rowbytes(reader->png, reader->about);
    if (channels < 1 || channels > 4 || row != (size_t)width * (size_t)channels)
        return error_set(reader->err, ST_FORMAT, "broken PNG: rows of %zu bytes, expected %u pixels", row,
                         width);
    reader->pixels = malloc(row * height);
    reader->rows = malloc(height * sizeof(*reader->rows));
    if (reader->pixels == NULL || reader->rows == NULL)
        return error_memory(reader->err, "an image", (unsigned long long)row * height);
    for (uint32_t y = 0; y < height; y++)
        reader->rows[y] = reader->pixels + y * row;
    png_read_image(reader->png, reader->rows);
    png_read_end(reader->png, NULL); /* finds a file cut behind its pixels */

    if (channels == 2 || channels == 4) {
        flatten(reader->pixels, (size_t)height * width, channels);
        channels--;
    }
    *reader->image = (struct image){
        .height = (int32_t)height, .width = (int32_t)width, .channels = channels, .pixels = reader->pixels};
    reader->pixels = NULL;
    return ST_OK;
}

enum status image_png_read(FILE *stream, struct image_info *info, struct image *image, struct error *err)
{
    struct png_reader reader = {.info = info, .image = image, .stream = stream, .err = err};
    enum status st = check_head(stream, err);
    if (st != ST_OK)
        return st;
    reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning);
    if (reader.png != NULL)
        reader.about = png_create_info_struct(reader.png);
    if (reader.about == NULL)
        st = error_memory(err, "a PNG reader", sizeof(reader));
    else
        st = read_jumping(&reader);
    png_destroy_read_struct(&reader.png, &reader.about, NULL);
    free(reader.pixels);
    free(reader.rows);
    return st;
}
