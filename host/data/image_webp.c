/* WebP by libwebp: lossy and lossless, alpha composited on white. Of animations only the container is understood
 * here. */
#include "host/base/file.h"
#include "host/data/data_internal.h"

#include <stdlib.h>
#include <webp/decode.h>

enum status image_webp_read(FILE *stream, bool (*stop)(void), struct image_info *info, struct image *image,
                            struct error *err)
{
    WebPBitstreamFeatures features;
    uint8_t *bytes = NULL, *decoded = NULL;
    size_t length = 0;
    int width = 0, height = 0;
    enum status st =
        image_read_bytes(stream, image == NULL ? IMAGE_HEAD_BYTES : IMAGE_FILE_BYTES, &bytes, &length, err);
    if (st != ST_OK)
        return st;
    if (WebPGetFeatures(bytes, length, &features) != VP8_STATUS_OK) {
        st = error_set(err, ST_FORMAT, "broken WebP: no head that libwebp can read");
        goto out;
    }
    if (features.has_animation) {
        st = error_set(err, ST_UNSUPPORTED, "an animated WebP, expected a still image");
        goto out;
    }
    st = image_check_size(features.height, features.width, err);
    if (st != ST_OK)
        goto out;
    *info = (struct image_info){
        .height = features.height, .width = features.width, .alpha = features.has_alpha != 0};
    if (image == NULL)
        goto out;
    st = image_check_stop(stop, 0, err);
    if (st != ST_OK)
        goto out;
    decoded = features.has_alpha ? WebPDecodeRGBA(bytes, length, &width, &height)
                                 : WebPDecodeRGB(bytes, length, &width, &height);
    if (decoded == NULL || width != features.width || height != features.height)
        st = error_set(err, ST_FORMAT, "broken WebP: libwebp can't decode it, or memory is short");
    else
        st = image_take(image, height, width, features.has_alpha ? 4 : 3, false, decoded, err);
out:
    WebPFree(decoded);
    free(bytes);
    return st;
}
