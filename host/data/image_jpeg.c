/* JPEG by libjpeg-turbo: grey, YCbCr, RGB, and the CMYK of print, come out as grey or RGB of 8 bits. libjpeg
 * reports errors by calling back; the jump out of that ends in this file, and nothing is written to stderr.
 */
#include "host/data/data_internal.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

/* jpeglib.h needs the headers above, and jerror.h needs jpeglib.h. */
#include <jpeglib.h>

#include <jerror.h>

/* All that outlives a jump lives here, not among the locals of the function that is jumped into. */
struct jpeg_reader {
    struct jpeg_error_mgr manager; /* first: libjpeg's pointer to it is a pointer to the reader */
    struct jpeg_decompress_struct jpeg;
    jmp_buf jump;
    struct image_info *info;
    struct image *image; /* NULL: only the head */
    int32_t shrink;
    bool (*stop)(void);
    uint8_t *pixels;
    uint8_t *row; /* one row of CMYK */
    struct error *err;
};

static void on_error(j_common_ptr jpeg)
{
    struct jpeg_reader *reader = (struct jpeg_reader *)jpeg->err;
    char message[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, message);
    if (jpeg->err->msg_code == JERR_OUT_OF_MEMORY)
        error_set(reader->err, ST_MEMORY, "out of memory: a JPEG reader: %s", message);
    else
        error_set(reader->err, ST_FORMAT, "broken JPEG: %s", message);
    longjmp(reader->jump, 1);
}

/* libjpeg goes on with grey where data is missing and calls that a warning. Here pixels that were made up are
 * an error; warnings that leave the pixels whole are not. A file that ends without its mark is whole where all bits of
 * its only scan are there; of further scans nobody knows. */
static void on_message(j_common_ptr jpeg, int level)
{
    if (level >= 0)
        return;
    switch (jpeg->err->msg_code) {
    case JWRN_JPEG_EOF:
        if (((struct jpeg_reader *)jpeg->err)->jpeg.progressive_mode)
            on_error(jpeg);
        break;
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
        on_error(jpeg);
        break;
    default:
        break;
    }
}

/* Adobe writes CMYK inverted: 255 is no ink. So does everyone who writes CMYK into JPEG at all. */
static void rgb_of_cmyk(const uint8_t *from, uint8_t *to, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < 3; c++)
            to[3 * i + c] = (uint8_t)((from[4 * i + c] * from[4 * i + 3] + 127u) / 255u);
}

/* Reads the head and checks it. */
static enum status read_head(struct jpeg_reader *reader)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xffff); /* EXIF's */
    jpeg_read_header(jpeg, TRUE);
    enum status st = image_check_size(jpeg->image_height, jpeg->image_width, reader->err);
    if (st != ST_OK)
        return st;
    *reader->info = (struct image_info){.height = (int32_t)jpeg->image_height,
                                        .width = (int32_t)jpeg->image_width,
                                        .grey = jpeg->jpeg_color_space == JCS_GRAYSCALE};
    for (jpeg_saved_marker_ptr marker = jpeg->marker_list; marker != NULL; marker = marker->next)
        if (marker->data_length >= 6 && memcmp(marker->data, "Exif\0\0", 6) == 0) {
            reader->info->orientation = image_orientation(marker->data, marker->data_length);
            break;
        }
    return ST_OK;
}

/* The part that libjpeg may jump out of. */
static enum status read_jumping(struct jpeg_reader *reader, FILE *stream)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    if (setjmp(reader->jump))
        return reader->err->status;

    jpeg_create_decompress(jpeg);
    jpeg_stdio_src(jpeg, stream);
    enum status st = read_head(reader);
    if (st != ST_OK || reader->image == NULL)
        return st;
    bool inks = jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK;
    jpeg->out_color_space = inks ? JCS_CMYK : reader->info->grey ? JCS_GRAYSCALE : JCS_RGB;
    jpeg->scale_num = 1;
    jpeg->scale_denom = (unsigned)reader->shrink;
    jpeg_start_decompress(jpeg);
    size_t width = jpeg->output_width, height = jpeg->output_height, channels = reader->info->grey ? 1 : 3;
    reader->pixels = malloc(width * height * channels);
    reader->row = malloc(width * 4);
    if (reader->pixels == NULL || reader->row == NULL)
        return error_memory(reader->err, "an image", (unsigned long long)width * height * channels);
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *to = reader->pixels + jpeg->output_scanline * width * channels;
        JSAMPROW row = inks ? reader->row : to;
        st = image_check_stop(reader->stop, jpeg->output_scanline, reader->err);
        if (st != ST_OK)
            return st;
        jpeg_read_scanlines(jpeg, &row, 1);
        if (inks)
            rgb_of_cmyk(reader->row, to, width);
    }
    jpeg_finish_decompress(jpeg);
    *reader->image = (struct image){.height = (int32_t)height,
                                    .width = (int32_t)width,
                                    .channels = (int32_t)channels,
                                    .pixels = reader->pixels};
    reader->pixels = NULL;
    return ST_OK;
}

enum status image_jpeg_read(FILE *stream, int32_t shrink, bool (*stop)(void), struct image_info *info,
                            struct image *image, struct error *err)
{
    struct jpeg_reader reader = {.info = info, .image = image, .shrink = shrink, .stop = stop, .err = err};
    reader.jpeg.err = jpeg_std_error(&reader.manager);
    reader.manager.error_exit = on_error;
    reader.manager.emit_message = on_message;
    enum status st = read_jumping(&reader, stream);
    jpeg_destroy_decompress(&reader.jpeg); /* a zeroed one is allowed */
    free(reader.pixels);
    free(reader.row);
    return st;
}
