/* make_data FOLDER [TRAINING TEST]: writes a tiny data set for the scripts in tests/scripts, in MNIST's IDX
 * files: 12 x 12 grey images of four classes, class k with a bright square in quarter k under noise, so that
 * a small network learns it in a few steps but not at once. One image in 16 carries a
 * wrong label, so that no accuracy is exactly 1. Default: 600 training and 200 test images. Also
 * FOLDER/two.png, an image of class 2.
 *
 * make_data --folders FOLDER [TRAINING TEST]: the same images as PNG files, FOLDER/train/CLASS/NUMBER.png and
 * FOLDER/test/CLASS/NUMBER.png, in the folder of the class that they are labelled as. */
#include "host/base/file.h"
#include "host/base/random.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 12, PIXELS = SIDE * SIDE, CLASSES = 4, NOISE = 190, LIGHT = 60, WRONG = 16 };

static void draw_image(uint32_t label, uint64_t seed, uint32_t index, uint8_t pixels[PIXELS])
{
    for (uint32_t i = 0; i < PIXELS; i++) {
        uint32_t row = i / SIDE, column = i % SIDE;
        uint32_t noise = random_draw(seed, RANDOM_TEST, i, index).v[0] % NOISE;
        bool lit = row / (SIDE / 2) == label / 2 && column / (SIDE / 2) == label % 2;
        pixels[i] = (uint8_t)(noise + (lit ? LIGHT : 0));
    }
}

static void put_number(uint8_t *place, uint32_t number)
{
    for (int i = 0; i < 4; i++)
        place[i] = (uint8_t)(number >> (24 - 8 * i));
}

static enum status write_file(const char *folder, const char *name, const uint8_t *data, size_t length,
                              struct error *err)
{
    char *path = file_join(folder, name);
    enum status st =
        path != NULL ? file_write_atomic(path, data, length, err) : error_memory(err, name, length);
    free(path);
    return st;
}

/* What image `index` is labelled as. */
static uint32_t label_of(uint64_t seed, uint32_t index)
{
    bool wrong = random_draw(seed, RANDOM_TEST, PIXELS, index).v[0] % WRONG == 0;
    return (index % CLASSES + wrong) % CLASSES;
}

/* Both files of one part. */
static enum status write_part(const char *folder, const char *part, uint32_t count, uint64_t seed,
                              struct error *err)
{
    char name[64];
    const size_t image_bytes = 16 + (size_t)count * PIXELS, label_bytes = 8 + (size_t)count;
    uint8_t *images = malloc(image_bytes), *labels = malloc(label_bytes);
    enum status st = ST_OK;

    if (images == NULL || labels == NULL) {
        st = error_memory(err, part, image_bytes);
        goto out;
    }
    put_number(images, 0x00000803);
    put_number(images + 4, count);
    put_number(images + 8, SIDE);
    put_number(images + 12, SIDE);
    put_number(labels, 0x00000801);
    put_number(labels + 4, count);
    for (uint32_t i = 0; i < count; i++) {
        draw_image(i % CLASSES, seed, i, images + 16 + (size_t)i * PIXELS);
        labels[8 + i] = (uint8_t)label_of(seed, i);
    }
    snprintf(name, sizeof(name), "%s-images-idx3-ubyte", part);
    st = write_file(folder, name, images, image_bytes, err);
    snprintf(name, sizeof(name), "%s-labels-idx1-ubyte", part);
    if (st == ST_OK)
        st = write_file(folder, name, labels, label_bytes, err);
out:
    free(images);
    free(labels);
    return st;
}

static enum status write_png(const char *folder, const char *name, uint32_t label, uint64_t seed,
                             uint32_t index, struct error *err)
{
    uint8_t pixels[PIXELS];
    png_image image = {
        .version = PNG_IMAGE_VERSION, .width = SIDE, .height = SIDE, .format = PNG_FORMAT_GRAY};
    char *path = file_join(folder, name);
    enum status st = path != NULL ? ST_OK : error_memory(err, name, 0);

    draw_image(label, seed, index, pixels);
    if (st == ST_OK && !png_image_write_to_file(&image, path, 0, pixels, 0, NULL))
        st = error_set(err, ST_IO, "%s: %s", path, image.message);
    free(path);
    return st;
}

/* The folders of one part. */
static enum status write_folders(const char *folder, const char *part, uint32_t count, uint64_t seed,
                                 struct error *err)
{
    char name[64];
    char *parts = file_join(folder, part);
    enum status st = parts != NULL ? file_make_folder(parts, err) : error_memory(err, part, 0);
    for (uint32_t label = 0; st == ST_OK && label < CLASSES; label++) {
        snprintf(name, sizeof(name), "%u", (unsigned)label);
        char *path = file_join(parts, name);
        st = path != NULL ? file_make_folder(path, err) : error_memory(err, name, 0);
        free(path);
    }
    for (uint32_t i = 0; st == ST_OK && i < count; i++) {
        snprintf(name, sizeof(name), "%u/%u.png", (unsigned)label_of(seed, i), (unsigned)i);
        st = write_png(parts, name, i % CLASSES, seed, i, err);
    }
    free(parts);
    return st;
}

int main(int argc, char **argv)
{
    struct error err;
    const bool folders = argc > 1 && strcmp(argv[1], "--folders") == 0;
    const int count = argc - folders;
    char **words = argv + folders;
    if (count != 2 && count != 4) {
        fputs("usage: make_data [--folders] FOLDER [TRAINING TEST]\n", stderr);
        return 2;
    }
    uint32_t training = count == 4 ? (uint32_t)strtoul(words[2], NULL, 10) : 600;
    uint32_t test = count == 4 ? (uint32_t)strtoul(words[3], NULL, 10) : 200;
    enum status (*write)(const char *, const char *, uint32_t, uint64_t, struct error *) =
        folders ? write_folders : write_part;
    enum status st = file_make_folder(words[1], &err);
    if (st == ST_OK)
        st = write(words[1], "train", training, 1, &err);
    if (st == ST_OK)
        st = write(words[1], folders ? "test" : "t10k", test, 2, &err);
    if (st == ST_OK && !folders)
        st = write_png(words[1], "two.png", 2, 3, 0, &err);
    if (st != ST_OK)
        fprintf(stderr, "make_data: %s\n", err.message);
    return st == ST_OK ? 0 : 2;
}
