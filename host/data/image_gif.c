/* GIF by giflib: the first frame, on white where it is transparent or does not reach. */
#include "host/data/data_internal.h"

#include <gif_lib.h>
#include <stdlib.h>
#include <string.h>

static int on_read(GifFileType *gif, GifByteType *to, int length)
{
    return (int)fread(to, 1, (size_t)length, gif->UserData);
}

/* Takes note of the transparent colour where an extension in front of the frame tells one. */
static bool read_extension(GifFileType *gif, int *transparent)
{
    int code;
    GifByteType *block;
    GraphicsControlBlock control;
    if (DGifGetExtension(gif, &code, &block) == GIF_ERROR)
        return false;
    if (code == GRAPHICS_EXT_FUNC_CODE && block != NULL &&
        DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK)
        *transparent = control.TransparentColor;
    while (block != NULL)
        if (DGifGetExtensionNext(gif, &block) == GIF_ERROR)
            return false;
    return true;
}

/* Goes to the first frame. */
static bool find_frame(GifFileType *gif, int *transparent)
{
    GifRecordType type;
    while (DGifGetRecordType(gif, &type) == GIF_OK) {
        if (type == IMAGE_DESC_RECORD_TYPE)
            return DGifGetImageDesc(gif) == GIF_OK;
        if (type != EXTENSION_RECORD_TYPE || !read_extension(gif, transparent))
            return false;
    }
    return false;
}

/* Row `row` of an interlaced frame as it is stored, as a row of the image. */
static int interlaced_row(int row, int height)
{
    static const int first[4] = {0, 4, 2, 1}, step[4] = {8, 8, 4, 2};
    for (int pass = 0; pass < 4; pass++) {
        const int rows = (height - first[pass] + step[pass] - 1) / step[pass];
        if (row < rows)
            return first[pass] + row * step[pass];
        row -= rows;
    }
    return height; /* there is none */
}

/* Decodes the frame's rows into the canvas, cut to it. */
static enum status read_frame(GifFileType *gif, int transparent, bool (*stop)(void), uint8_t *pixels,
                              GifPixelType *line, struct error *err)
{
    const GifImageDesc *frame = &gif->Image;
    const ColorMapObject *colours = frame->ColorMap != NULL ? frame->ColorMap : gif->SColorMap;
    if (colours == NULL)
        return error_set(err, ST_FORMAT, "broken GIF: no colours");
    for (int row = 0; row < frame->Height; row++) {
        enum status st = image_check_stop(stop, row, err);
        if (st != ST_OK)
            return st;
        if (DGifGetLine(gif, line, frame->Width) == GIF_ERROR)
            return error_set(err, ST_FORMAT, "broken GIF: the pixels end in row %d of %d", row,
                             frame->Height);
        const int y = frame->Top + (frame->Interlace ? interlaced_row(row, frame->Height) : row);
        for (int x = 0; x < frame->Width && y < gif->SHeight; x++) {
            if (frame->Left + x >= gif->SWidth || line[x] == transparent || line[x] >= colours->ColorCount)
                continue;
            const GifColorType *colour = &colours->Colors[line[x]];
            uint8_t *to = pixels + 3 * ((size_t)y * (size_t)gif->SWidth + (size_t)(frame->Left + x));
            to[0] = colour->Red;
            to[1] = colour->Green;
            to[2] = colour->Blue;
        }
    }
    return ST_OK;
}

enum status image_gif_read(FILE *stream, bool (*stop)(void), struct image_info *info, struct image *image,
                           struct error *err)
{
    int number = 0, transparent = NO_TRANSPARENT_COLOR;
    uint8_t *pixels = NULL;
    GifPixelType *line = NULL;
    GifFileType *gif = DGifOpen(stream, on_read, &number);
    if (gif == NULL)
        return number == D_GIF_ERR_NOT_ENOUGH_MEM
                   ? error_memory(err, "a GIF reader", sizeof(*gif))
                   : error_set(err, ST_FORMAT, "broken GIF: no head that giflib can read");
    enum status st = image_check_size(gif->SHeight, gif->SWidth, err);
    if (st != ST_OK)
        goto out;
    *info = (struct image_info){.height = gif->SHeight, .width = gif->SWidth, .palette = true};
    if (image == NULL)
        goto out;
    if (!find_frame(gif, &transparent)) {
        st = error_set(err, ST_FORMAT, "broken GIF: no frame in it");
        goto out;
    }
    st = image_check_size(gif->Image.Height, gif->Image.Width, err);
    if (st != ST_OK)
        goto out;
    const size_t bytes = 3 * (size_t)gif->SHeight * (size_t)gif->SWidth;
    pixels = malloc(bytes);
    line = malloc((size_t)gif->Image.Width * sizeof(*line));
    if (pixels == NULL || line == NULL) {
        st = error_memory(err, "an image", bytes);
        goto out;
    }
    memset(pixels, 255, bytes);
    st = read_frame(gif, transparent, stop, pixels, line, err);
    if (st != ST_OK)
        goto out;
    *image = (struct image){.height = gif->SHeight, .width = gif->SWidth, .channels = 3, .pixels = pixels};
    pixels = NULL;
out:
    free(pixels);
    free(line);
    DGifCloseFile(gif, &number);
    return st;
}
