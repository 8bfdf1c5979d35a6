/* Small data files for tests, written into a temporary folder.
 *
 *     char *folder = data_files_folder();  ... data_files_remove(folder);
 *
 * The functions fail the running test when the system refuses.
 */
#ifndef NASRUN_TESTS_SUPPORT_DATA_FILES_H
#define NASRUN_TESTS_SUPPORT_DATA_FILES_H

#include "host/data/dataset.h"
#include "spec/job.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A new, empty folder; its path is malloc'd. */
char *data_files_folder(void);
/* Removes the folder with all in it, and frees the path. */
void data_files_remove(char *folder);

/* FOLDER/NAME with the content given; folders on the way are made. `packed`: as gzip. */
void data_files_write(const char *folder, const char *name, const void *content, size_t length, bool packed);
void data_files_write_text(const char *folder, const char *name, const char *text);
/* Cuts the file to `length` bytes, or by -length bytes. */
void data_files_cut(const char *folder, const char *name, long length);

/* FOLDER/NAME as a copy of one of tests/data/images. */
void data_files_copy_image(const char *folder, const char *name, const char *image);

/* IDX: image i is filled with the bytes (i * 7 + offset) mod 251. Label i is labels[i]. */
void data_files_idx_images(const char *folder, const char *name, int32_t count, int32_t height, int32_t width,
                           bool packed);
void data_files_idx_labels(const char *folder, const char *name, const uint8_t *labels, int32_t count,
                           bool packed);
/* CIFAR: record i has label i mod classes and pixels (i * 7 + offset) mod 251. */
void data_files_cifar(const char *folder, const char *name, int32_t classes, int32_t count, bool packed);

/* PNG of any colour type of libpng and any depth. Sample c of pixel (y, x) is data_files_sample. A palette
 * has 16 colours (or 2^depth), colour i being (i * 16, 255 - i * 16, i), and if `transparent` the first is
 * half so; for grey and RGB `transparent` makes the sample values of pixel (0, 0) transparent. */
struct data_files_png {
    int colour_type, depth;
    int32_t height, width;
    bool interlaced, transparent;
};
void data_files_png(const char *folder, const char *name, const struct data_files_png *png);
uint32_t data_files_sample(const struct data_files_png *png, int32_t y, int32_t x, int32_t c);
/* RGB PNG of 8 bits in one colour. */
void data_files_png_plain(const char *folder, const char *name, int32_t height, int32_t width, uint8_t red,
                          uint8_t green, uint8_t blue);
/* JPEG of quality 95 in one colour; channels 1 (red is the grey), 3, or 4: CMYK, inverted as Adobe does, of
 * that RGB. */
void data_files_jpeg(const char *folder, const char *name, int32_t channels, int32_t height, int32_t width,
                     uint8_t red, uint8_t green, uint8_t blue);

/* A job's dataset section with the usual defaults for the path. The strings are literals and `path` itself.
 */
struct job_dataset data_files_job(const char *path);

/* Loads (seed 1) and fails the test on an error. */
void data_files_load(const struct job_dataset *job, struct dataset *set);
/* Likewise; what is said of it is malloc'd. */
char *data_files_told(const struct job_dataset *job, struct dataset *set);
/* Loads, which must fail with the status and a message of one line that holds `what` and `expected`. */
void data_files_refuse(const struct job_dataset *job, enum status status, const char *what,
                       const char *expected);

#endif
