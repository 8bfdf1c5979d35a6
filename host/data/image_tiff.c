/* TIFF by libtiff: the first image of the file, of all kinds that libtiff makes RGBA of, alpha composited on white. */
#include "host/data/data_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <tiffio.h>
#include <unistd.h>

/* libtiff holds one tile or strip at a time. */
enum { TIFF_PART_BYTES = 1 << 30 };

static pthread_once_t silenced = PTHREAD_ONCE_INIT;

/* libtiff prints what it finds wrong; here the status tells. */
static void be_silent(void)
{
    TIFFSetErrorHandler(NULL);
    TIFFSetWarningHandler(NULL);
}

static enum status read_head(TIFF *tiff, struct image_info *info, struct error *err)
{
    uint32_t height = 0, width = 0;
    uint16_t samples = 1, depth = 1, kind = PHOTOMETRIC_RGB, orientation = ORIENTATION_TOPLEFT, extra = 0;
    uint16_t *extras = NULL;
    TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width); /* libtiff opens none without both */
    TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height);
    enum status st = image_check_size(height, width, err);
    if (st != ST_OK)
        return st;
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &depth);
    TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &kind);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &orientation);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_EXTRASAMPLES, &extra, &extras);
    *info = (struct image_info){.height = (int32_t)height,
                                .width = (int32_t)width,
                                .grey = kind == PHOTOMETRIC_MINISBLACK || kind == PHOTOMETRIC_MINISWHITE,
                                .alpha = extra > 0,
                                .deep = depth == 16,
                                .palette = kind == PHOTOMETRIC_PALETTE,
                                .orientation = orientation >= 1 && orientation <= 8 ? orientation : 1};
    return ST_OK;
}

enum status image_tiff_read(FILE *stream, bool (*stop)(void), struct image_info *info, struct image *image,
                            struct error *err)
{
    char why[1024];
    uint32_t *raster = NULL;
    pthread_once(&silenced, be_silent);
    const int fd = dup(fileno(stream));
    if (fd >= 0)
        lseek(fd, 0,
              SEEK_SET); /* where libtiff starts; shared with the stream, which nobody reads any more */
    TIFF *tiff =
        fd >= 0 ? TIFFFdOpen(fd, "image", "rm") : NULL; /* m: not mapped, for files may be cut meanwhile */
    if (tiff == NULL) {
        if (fd >= 0)
            close(fd);
        return error_set(err, ST_FORMAT, "broken TIFF: no head that libtiff can read");
    }
    enum status st = read_head(tiff, info, err);
    if (st != ST_OK || image == NULL)
        goto out;
    st = image_check_stop(stop, 0, err);
    if (st == ST_OK && (TIFFIsTiled(tiff) ? TIFFTileSize64(tiff) : TIFFStripSize64(tiff)) > TIFF_PART_BYTES)
        st = error_set(err, ST_UNSUPPORTED, "a TIFF whose tiles or strips are larger than %d bytes",
                       TIFF_PART_BYTES);
    if (st == ST_OK && TIFFRGBAImageOK(tiff, why) != 1)
        st = error_set(err, ST_UNSUPPORTED, "a TIFF of a kind that can't be read: %s", why);
    if (st != ST_OK)
        goto out;
    const size_t count = (size_t)info->height * (size_t)info->width;
    raster = malloc(count * sizeof(*raster));
    if (raster == NULL) {
        st = error_memory(err, "an image", count * sizeof(*raster));
        goto out;
    }
    /* As stored: image_turn() does what the orientation asks for. */
    TIFFSetField(tiff, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT);
    if (TIFFReadRGBAImageOriented(tiff, (uint32_t)info->width, (uint32_t)info->height, raster,
                                  ORIENTATION_TOPLEFT, 1) != 1) {
        st = error_set(err, ST_FORMAT, "broken TIFF: libtiff can't decode it");
        goto out;
    }
    /* libtiff gives words, and colours multiplied by alpha. */
    for (size_t i = 0; i < count; i++) {
        const uint32_t word = raster[i];
        uint8_t *to = (uint8_t *)&raster[i];
        to[0] = (uint8_t)TIFFGetR(word);
        to[1] = (uint8_t)TIFFGetG(word);
        to[2] = (uint8_t)TIFFGetB(word);
        to[3] = (uint8_t)TIFFGetA(word);
    }
    st = image_take(image, info->height, info->width, 4, true, (const uint8_t *)raster, err);
out:
    free(raster);
    TIFFClose(tiff);
    return st;
}
