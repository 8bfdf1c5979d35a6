/* How a camera was held: the orientation that EXIF data tell (Exif 2.3, 4.6.4: tag 0x0112 of the first directory of a
 * TIFF head), and pixels turned by it. */
#include "host/data/data_internal.h"

#include <stdlib.h>
#include <string.h>

enum { EXIF_ORIENTATION = 0x0112, EXIF_SHORT = 3, EXIF_ENTRY = 12, EXIF_HEAD = 8 };

static uint32_t number(const uint8_t *at, int bytes, bool little)
{
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint32_t)at[i] << 8 * (little ? i : bytes - 1 - i);
    return value;
}

int image_orientation(const uint8_t *exif, size_t length)
{
    if (length >= 6 && memcmp(exif, "Exif\0\0", 6) == 0) {
        exif += 6;
        length -= 6;
    }
    if (length < EXIF_HEAD || (memcmp(exif, "II*\0", 4) != 0 && memcmp(exif, "MM\0*", 4) != 0))
        return 1;
    const bool little = exif[0] == 'I';
    const size_t first = number(exif + 4, 4, little);
    if (first > length - 2 || length < 2)
        return 1;
    const size_t entries = number(exif + first, 2, little), room = (length - first - 2) / EXIF_ENTRY;
    for (size_t i = 0; i < entries && i < room; i++) {
        const uint8_t *entry = exif + first + 2 + i * EXIF_ENTRY;
        if (number(entry, 2, little) != EXIF_ORIENTATION || number(entry + 2, 2, little) != EXIF_SHORT)
            continue;
        const uint32_t value = number(entry + 8, 2, little);
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

/* Orientation k of 1 to 8: rows upside down, columns mirrored, rows and columns exchanged before that. */
enum status image_turn(struct image *image, int orientation, struct error *err)
{
    static const struct {
        bool exchange, down, mirror;
    } turns[9] = {[2] = {false, false, true}, [3] = {false, true, true}, [4] = {false, true, false},
                  [5] = {true, false, false}, [6] = {true, false, true}, [7] = {true, true, true},
                  [8] = {true, true, false}};
    if (orientation < 2 || orientation > 8)
        return ST_OK;
    const bool exchange = turns[orientation].exchange;
    const size_t channels = (size_t)image->channels, from_width = (size_t)image->width;
    const size_t height = (size_t)(exchange ? image->width : image->height);
    const size_t width = (size_t)(exchange ? image->height : image->width);
    uint8_t *pixels = malloc(height * width * channels);
    if (pixels == NULL)
        return error_memory(err, "an image", height * width * channels);
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++) {
            const size_t v = turns[orientation].down ? height - 1 - y : y;
            const size_t u = turns[orientation].mirror ? width - 1 - x : x;
            const size_t from = exchange ? u * from_width + v : v * from_width + u;
            memcpy(pixels + (y * width + x) * channels, image->pixels + from * channels, channels);
        }
    free(image->pixels);
    *image = (struct image){
        .height = (int32_t)height, .width = (int32_t)width, .channels = image->channels, .pixels = pixels};
    return ST_OK;
}
