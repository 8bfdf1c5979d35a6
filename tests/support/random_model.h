/* Models of random networks with images and their answers in double precision, for tests of exports. These functions
 * end the running test by cmocka's assertions when something fails. */
#ifndef NASRUN_TESTS_SUPPORT_RANDOM_MODEL_H
#define NASRUN_TESTS_SUPPORT_RANDOM_MODEL_H

#include "host/model/model_file.h"

/* Classes, at most; seeds of networks whose images have one class, behind which the same come again whose images have
 * several labels. */
enum { RANDOM_MODEL_CLASSES = 16, RANDOM_MODEL_NETWORKS = 200 };

/* A function of the seed. Two kinds of networks: every layer, and what makes life hard for morphs; class names with
 * quotes and UTF-8, temperatures other than 1. */
void random_model_make(uint32_t seed, struct model *model);

/* Bytes of an image, and image `number`, of chance, with its probabilities: one view's, calibrated. */
size_t random_model_pixels(const struct model *model);
void random_model_answer(const struct model *model, uint32_t number, uint8_t *pixels, double *probabilities);

#endif
