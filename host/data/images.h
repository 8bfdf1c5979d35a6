/* Single image files for a model, as those of its data set were read: which files in a folder are images, and their
 * pixels. */
#ifndef NASRUN_DATA_IMAGES_H
#define NASRUN_DATA_IMAGES_H

#include "host/base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- one file ---- */

/* What is reused from file to file; one for each thread. */
struct image_reader;
/* For images of channels (1 or 3) x height x width, made equal by the data set's stored policy `fit`. */
enum status image_reader_new(int32_t channels, int32_t height, int32_t width, const char *fit,
                             struct image_reader **reader, struct error *err);
/* pixels[channels * height * width]. ST_MEMORY and ST_INTERRUPTED are the machine's fault, all else the file's. */
enum status image_reader_read(struct image_reader *reader, const char *path, uint8_t *pixels,
                              struct error *err);
void image_reader_free(struct image_reader *reader); /* NULL is allowed */

/* ---- all below a folder ---- */

/* Walks through a folder and those below it by name: what is taken for an image, and what is passed over, is as in a
 * data set of class folders. One folder's names are held at a time, and those of the folders above it. */
struct image_walk;
enum status image_walk_open(const char *folder, struct image_walk **walk, struct error *err);
/* The next image in *path, which is the walk's until the next call; NULL behind the last. ST_FORMAT, ST_IO,
 * ST_UNSUPPORTED: a folder or file that can't be used, behind which the walk may go on. */
enum status image_walk_next(struct image_walk *walk, const char **path, struct error *err);
void image_walk_close(struct image_walk *walk); /* NULL is allowed */

#endif
