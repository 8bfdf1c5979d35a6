/* PNG by libpng: grey of 1 to 16 bits, RGB, palette, all with or without alpha, interlaced or not, come out
 * as grey or RGB of 8 bits. Alpha is composited on white. libpng reports errors by jumping; the jump ends in
 * this file. */
#include "host/data/data_internal.h"

#include <assert.h>
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
    uint8_t *pixels;     /* without alpha */
    uint8_t *row;        /* as libpng gives it, with alpha; of interlaced images all rows */
    png_bytep *rows;
    bool whole; /* all pixels are there */
    bool (*stop)(void);
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

/* Takes a row over; its alpha channel, the last of 2 or 4, is composited on white. */
static void flatten(const uint8_t *row, uint8_t *pixels, size_t count, int channels)
{
    const int colours = channels - (channels % 2 == 0);
    if (colours == channels) {
        memcpy(pixels, row, count * (size_t)channels);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const uint8_t *from = row + i * (size_t)channels;
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

/* What the file's head says. */
static void read_head(struct png_reader *reader)
{
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
#ifdef PNG_eXIf_SUPPORTED
    png_uint_32 length = 0;
    png_bytep exif = NULL;
    if (png_get_eXIf_1(reader->png, reader->about, &length, &exif) != 0)
        reader->info->orientation = image_orientation(exif, length);
#endif
}

/* Row by row, so that beside the result one row is held; an interlaced image comes as a whole. */
static enum status read_rows(struct png_reader *reader, uint32_t height, uint32_t width, int channels)
{
    const size_t row = (size_t)width * (size_t)channels, colours = (size_t)(channels - (channels % 2 == 0));
    const bool interlaced = png_get_interlace_type(reader->png, reader->about) != PNG_INTERLACE_NONE;
    reader->pixels = malloc(width * colours * height);
    reader->row = malloc(interlaced ? row * height : row);
    reader->rows = interlaced ? malloc(height * sizeof(*reader->rows)) : NULL;
    if (reader->pixels == NULL || reader->row == NULL || (interlaced && reader->rows == NULL))
        return error_memory(reader->err, "an image", (unsigned long long)row * height);
    for (uint32_t y = 0; interlaced && y < height; y++)
        reader->rows[y] = reader->row + y * row;
    if (interlaced)
        png_read_image(reader->png, reader->rows);
    for (uint32_t y = 0; y < height; y++) {
        enum status st = image_check_stop(reader->stop, y, reader->err);
        if (st != ST_OK)
            return st;
        if (!interlaced)
            png_read_row(reader->png, reader->row, NULL);
        flatten(interlaced ? reader->rows[y] : reader->row, reader->pixels + y * width * colours, width,
                channels);
    }
    return ST_OK;
}

/* The part that libpng may jump out of. */
static enum status read_jumping(struct png_reader *reader)
{
    if (setjmp(png_jmpbuf(reader->png))) /* behind the pixels nothing is of use here */
        return reader->whole ? ST_OK : reader->err->status;
    read_head(reader);
    if (reader->image == NULL)
        return ST_OK;
    const uint32_t height = png_get_image_height(reader->png, reader->about);
    const uint32_t width = png_get_image_width(reader->png, reader->about);
    set_transforms(reader, png_get_color_type(reader->png, reader->about),
                   png_get_bit_depth(reader->png, reader->about));
    const int channels = png_get_channels(reader->png, reader->about);
    const size_t row = png_get_rowbytes(reader->png, reader->about);
    assert(channels >= 1 && channels <= 4 && row == (size_t)width * (size_t)channels); /* by set_transforms */
    enum status st = read_rows(reader, height, width, channels);
    if (st != ST_OK)
        return st;
    reader->whole = true;
    *reader->image = (struct image){.height = (int32_t)height,
                                    .width = (int32_t)width,
                                    .channels = channels - (channels % 2 == 0),
                                    .pixels = reader->pixels};
    reader->pixels = NULL;
    png_read_end(reader->png, NULL); /* for a checksum that does not fit; a missing end is none of ours */
    return ST_OK;
}

enum status image_png_read(FILE *stream, bool (*stop)(void), struct image_info *info, struct image *image,
                           struct error *err)
{
    struct png_reader reader = {.info = info, .image = image, .stream = stream, .stop = stop, .err = err};
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
    free(reader.row);
    free(reader.rows);
    return st;
}
