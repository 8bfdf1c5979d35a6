/* CIFAR-10 as six JPEG pictures of 100 x 100 images, a fifth of the size, for machines that it has to be carried to:
 *
 *     mosaic pack FOLDER OUT QUALITY      the binary version's data_batch_1.bin ... test_batch.bin become
 *                                         OUT/NAME.jpg, OUT/labels
 *     mosaic unpack FOLDER OUT            and back
 *
 * Blocks of 8 x 8 pixels never straddle two images and colours keep their resolution, but JPEG is lossy: what comes
 * back is not bit for bit CIFAR-10, and an accuracy measured on it has to say so. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

enum {
    SIDE = 32,
    ACROSS = 100,
    IMAGES = ACROSS * ACROSS,
    PLANE = SIDE * SIDE,
    RECORD = 1 + 3 * PLANE,
    WIDTH = SIDE * ACROSS
};
enum { ROW = 3 * WIDTH };

static const char *const names[] = {"data_batch_1", "data_batch_2", "data_batch_3",
                                    "data_batch_4", "data_batch_5", "test_batch"};

/* One of the six files: its records, and a row of the picture. */
struct mosaic {
    unsigned char *records; /* IMAGES x RECORD: label, red, green, blue */
    unsigned char row[ROW];
};

static FILE *open_file(const char *folder, const char *name, const char *ending, const char *mode)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s%s", folder, name, ending);
    FILE *file = fopen(path, mode);
    if (file == NULL)
        fprintf(stderr, "mosaic: %s: %s\n", path, strerror(errno));
    return file;
}

/* True when the file is closed and all of it is written. */
static bool close_written(FILE *file, bool good, const char *name)
{
    good = fclose(file) == 0 && good;
    if (!good)
        fprintf(stderr, "mosaic: %s: cannot be written\n", name);
    return good;
}

/* Place in the records of pixel `x`, `y` of the picture, red. */
static size_t place(int x, int y)
{
    const int image = y / SIDE * ACROSS + x / SIDE;
    return (size_t)image * RECORD + 1 + (size_t)(y % SIDE * SIDE + x % SIDE);
}

static bool pack(struct mosaic *m, const char *from, const char *to, const char *name, int quality)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    JSAMPROW rows[1] = {m->row};
    FILE *file = open_file(from, name, ".bin", "rb");
    if (file == NULL)
        return false;
    const size_t found = fread(m->records, RECORD, IMAGES, file);
    fclose(file);
    if (found != IMAGES) {
        fprintf(stderr, "mosaic: %s/%s.bin: found %zu images, expected %d\n", from, name, found, IMAGES);
        return false;
    }
    file = open_file(to, name, ".jpg", "wb");
    if (file == NULL)
        return false;
    jpeg.err = jpeg_std_error(&errors); /* which ends the program */
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, file);
    jpeg.image_width = jpeg.image_height = WIDTH;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, quality, TRUE);
    jpeg.optimize_coding = TRUE;
    jpeg.comp_info[0].h_samp_factor = jpeg.comp_info[0].v_samp_factor = 1;
    jpeg_simple_progression(&jpeg); /* a few percent smaller */
    jpeg_start_compress(&jpeg, TRUE);
    for (int y = 0; y < WIDTH; y++) {
        for (int x = 0; x < WIDTH; x++)
            for (int c = 0; c < 3; c++)
                m->row[3 * x + c] = m->records[place(x, y) + (size_t)(c * PLANE)];
        jpeg_write_scanlines(&jpeg, rows, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    return close_written(file, !ferror(file), name);
}

/* The labels are in the records. */
static bool unpack(struct mosaic *m, const char *from, const char *to, const char *name)
{
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    JSAMPROW rows[1] = {m->row};
    FILE *file = open_file(from, name, ".jpg", "rb");
    if (file == NULL)
        return false;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&jpeg);
    jpeg_stdio_src(&jpeg, file);
    jpeg_read_header(&jpeg, TRUE);
    jpeg.out_color_space = JCS_RGB;
    const bool right = jpeg.image_width == WIDTH && jpeg.image_height == WIDTH && jpeg.num_components == 3;
    if (right) {
        jpeg_start_decompress(&jpeg);
        for (int y = 0; y < WIDTH; y++) {
            jpeg_read_scanlines(&jpeg, rows, 1);
            for (int x = 0; x < WIDTH; x++)
                for (int c = 0; c < 3; c++)
                    m->records[place(x, y) + (size_t)(c * PLANE)] = m->row[3 * x + c];
        }
        jpeg_finish_decompress(&jpeg);
    } else
        fprintf(stderr, "mosaic: %s/%s.jpg: expected %d x %d pixels in colour\n", from, name, WIDTH, WIDTH);
    jpeg_destroy_decompress(&jpeg);
    fclose(file);
    if (!right)
        return false;
    file = open_file(to, name, ".bin", "wb");
    return file != NULL && close_written(file, fwrite(m->records, RECORD, IMAGES, file) == IMAGES, name);
}

/* All labels, between the records and the file. */
static bool labels(struct mosaic *m, FILE *file, bool writing)
{
    for (int i = 0; i < IMAGES; i++) {
        unsigned char *label = &m->records[(size_t)i * RECORD];
        if ((writing ? fwrite(label, 1, 1, file) : fread(label, 1, 1, file)) != 1) {
            fprintf(stderr, "mosaic: labels: cannot be %s\n", writing ? "written" : "read");
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    const bool packs = argc == 5 && strcmp(argv[1], "pack") == 0;
    const int quality = packs ? atoi(argv[4]) : 0;
    if (!(packs && quality >= 1 && quality <= 100) && !(argc == 4 && strcmp(argv[1], "unpack") == 0)) {
        fprintf(stderr, "usage: mosaic pack FOLDER OUT QUALITY | mosaic unpack FOLDER OUT\n");
        return 2;
    }
    static struct mosaic m;
    m.records = malloc((size_t)IMAGES * RECORD);
    FILE *file = packs ? open_file(argv[3], "labels", "", "wb") : open_file(argv[2], "labels", "", "rb");
    bool good = m.records != NULL && file != NULL;
    for (size_t i = 0; good && i < sizeof(names) / sizeof(names[0]); i++)
        good = packs ? pack(&m, argv[2], argv[3], names[i], quality) && labels(&m, file, true)
                     : labels(&m, file, false) && unpack(&m, argv[2], argv[3], names[i]);
    if (file != NULL && fclose(file) != 0)
        good = false;
    free(m.records);
    return good ? 0 : 1;
}
