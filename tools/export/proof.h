/* What an export is proven against before it is kept: the run's model, its answers on the reference, and the run's data
 * where they still lie. */
#ifndef NASRUN_TOOLS_EXPORT_PROOF_H
#define NASRUN_TOOLS_EXPORT_PROOF_H

#include "host/data/dataset.h"
#include "host/inference/evaluate.h"
#include "tools/common/predictor.h"

/* Images on which answers are compared, of the reference in double precision, which is slow; images that are read,
 * asked about and counted together; images by which int8's ranges are measured. */
enum { PROOF_COMPARED = 4, PROOF_BATCH = 256, PROOF_MEASURED = 512 };

/* An export differs from what it was made from by rounding to float32, and by nothing else. */
#define PROOF_MOST_DIFFERENCE 1e-5

struct proof {
    struct model model, folded;
    struct plan plan;
    struct quantisation quantisation; /* zeroed until proof_measure */
    struct dataset data;              /* the run's */
    bool has_data;                    /* otherwise images are of chance, and there is no test */
    struct error why;                 /* when there is none */
    uint8_t *pixels;                  /* [PROOF_BATCH] images, those that proof_take took */
    float *answers;                   /* [PROOF_BATCH * classes], for whoever needs room for them */
    float *expected; /* [compared * classes], of the model on the reference, of the first images */
    float *coded;    /* the same by the codes in whole numbers; NULL: no int8 */
    int32_t compared;
    double float_accuracy; /* of the model on the test images, one view; NAN: not measured */
};

/* What came out, of one export. */
struct outcome {
    char how[160];     /* what was run, for a line */
    double difference; /* of probabilities from the model's, the largest */
    int64_t correct, tested;
};

/* Loads the model and what there is of the run's data, and asks the reference. */
enum status proof_open(const char *run_folder, struct proof *proof, struct error *err);
void proof_close(struct proof *proof); /* a zeroed one is allowed */

/* Codes for int8, by training images; needs the run's data: ST_NONE without. Measures float_accuracy, too. */
enum status proof_measure(struct proof *proof, struct error *err);

/* The folded model in float32, or in the codes that proof_measure found. */
struct evaluation proof_evaluation(const struct proof *proof, bool coded);

size_t proof_image_bytes(const struct proof *proof);
/* Takes the images of the test from that one on, as many as are left, at most PROOF_BATCH; without data of chance,
 * `compared` of them. How many. */
int32_t proof_take(struct proof *proof, int32_t first);
/* Image `sample` of the data as that one of `pixels`. */
void proof_take_sample(struct proof *proof, int32_t place, int32_t sample);
int32_t proof_test_images(const struct proof *proof); /* how many there are to be taken */

/* Compares answers[compared * classes] with `expected`, and, when the export is coded in int8, with `coded`. From the
 * latter, or else the former, they may differ by PROOF_MOST_DIFFERENCE: ST_FORMAT otherwise. */
enum status proof_compare(const struct proof *proof, const float *answers, bool coded,
                          struct outcome *outcome, struct error *err);
/* Counts what is right of `count` answers to the images from `first` on, of several labels when exactly the image's
 * reach the model's thresholds; nothing without data. */
void proof_count(const struct proof *proof, const float *answers, int32_t first, int32_t count,
                 struct outcome *outcome);

/* Asks a model on a device about the images from `first` on, as many as it takes; how many. */
enum status proof_ask(struct proof *proof, struct predictor *p, int32_t first, int32_t *count,
                      struct error *err);
/* About all of them, and counts. */
enum status proof_test(struct proof *proof, struct predictor *p, struct outcome *outcome, struct error *err);
/* The same function evaluated on all images: compared and counted. */
enum status proof_evaluate(struct proof *proof, const struct evaluation *evaluation, struct outcome *outcome,
                           struct error *err);

#endif
