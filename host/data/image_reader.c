/* One image file after the other, made equal to those of a data set. */
#include "host/data/data_internal.h"
#include "host/data/images.h"

#include <stdlib.h>

struct image_reader {
    int32_t channels, height, width;
    enum job_fit fit;
    struct resize_work work;
};

enum status image_reader_new(int32_t channels, int32_t height, int32_t width, const char *fit,
                             struct image_reader **reader, struct error *err)
{
    struct image_reader *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(err, "a reader of images", sizeof(*made));
    *made = (struct image_reader){.channels = channels, .height = height, .width = width};
    enum status st = data_fit_parse(fit, &made->fit, err);
    if (st == ST_OK && channels != 1 && channels != 3)
        st = error_set(err, ST_RANGE, "images of %d channels asked for, expected 1 or 3", (int)channels);
    if (st == ST_OK)
        *reader = made;
    else
        image_reader_free(made);
    return st;
}

enum status image_reader_read(struct image_reader *reader, const char *path, uint8_t *pixels,
                              struct error *err)
{
    struct resize_order order = {.channels = reader->channels,
                                 .fit = reader->fit,
                                 .to_height = reader->height,
                                 .to_width = reader->width};
    struct image image;
    enum status st = image_decode_for(path, reader->channels, &order, &image, err);
    if (st != ST_OK)
        return st;
    order.from = image.pixels;
    order.height = image.height;
    order.width = image.width;
    st = data_resize(&reader->work, &order, pixels, err);
    free(image.pixels);
    return st;
}

void image_reader_free(struct image_reader *reader)
{
    if (reader == NULL)
        return;
    data_resize_free(&reader->work);
    free(reader);
}
