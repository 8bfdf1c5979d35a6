/* Random models as exports are made from them: folded, laid out, on request in whole numbers, with images and answers.
 * These functions end the running test by cmocka's assertions when something fails. */
#ifndef NASRUN_TESTS_SUPPORT_FOLDED_MODEL_H
#define NASRUN_TESTS_SUPPORT_FOLDED_MODEL_H

#include "host/inference/evaluate.h"
#include "tests/support/random_model.h"

struct folded_model {
    struct model model, folded;
    struct plan plan;
    struct quantisation quantisation; /* zeroed before folded_model_quantise */
    int32_t images;
    uint8_t *pixels;  /* [images] */
    double *expected; /* [images * classes], of the model in double precision */
};

/* A function of seed and number of images (random_model.h). */
void folded_model_make(uint32_t seed, int32_t images, struct folded_model *made);
void folded_model_free(struct folded_model *made);

/* By what the layers yield for its images. */
void folded_model_quantise(struct folded_model *made);

/* In float32; in whole numbers once it is quantised. answers[images * classes]. */
struct evaluation folded_model_evaluation(const struct folded_model *made);
void folded_model_answer(const struct folded_model *made, float *answers);

#endif
