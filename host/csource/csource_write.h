/* Models as one file of C99 that needs nothing but the C library and its libm: for programs and machines that have room
 * for no runtime.
 *
 * With NAME the file offers
 *     int NAME_classify(const unsigned char *image, float *probabilities);
 *     const char *const NAME_class_names[NAME_classes];
 *     const float NAME_thresholds[NAME_classes];     where they are wanted; above 1: no probability is enough; of
 *                                                    images with several labels always, those of the model or wanted
 * and the enumerators NAME_classes, NAME_height, NAME_width, NAME_channels. `image` is height x width x channels bytes,
 * the channels of a pixel side by side, as decoders and cameras have them (and unlike the ONNX file's). Normalisation,
 * temperature and softmax, or of several labels sigmoid, are inside; the answers are those of one view. It returns the
 * most probable class, or of several labels how many reach their thresholds. It allocates nothing: values lie in one
 * static array by the plan, so that two calls must not run at once. It compiles as C99 without warnings (-Wall -Wextra
 * -Wpedantic). */
#ifndef NASRUN_CSOURCE_CSOURCE_WRITE_H
#define NASRUN_CSOURCE_CSOURCE_WRITE_H

#include "host/inference/evaluate.h"
#include "host/model/class_thresholds.h"

enum { CSOURCE_NAME = 64 };

/* A name for C from a file's: without folder and ending, other than letters, digits and _ as _. */
void csource_name(const char *path, char name[CSOURCE_NAME]);

/* The file's text, malloc'd, the caller's to free, with '\0' behind it. Values are float32; with a quantisation int8,
 * and no floats before the logits. `thresholds` NULL: none. The same model gives the same bytes. */
enum status csource_write(const struct evaluation *evaluation, const char *name,
                          const struct class_thresholds *thresholds, char **text, size_t *length,
                          struct error *err);

#endif
