#include "tools/export/fit_thresholds.h"

#include "host/base/labels.h"
#include "host/report/thresholds.h"

#include <stdlib.h>
#include <string.h>

/* ---- which images ---- */

static int compare_hashes(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* The hashes of the images that may be asked about, in order; malloc'd. */
static enum status read_hashes(const char *run_folder, uint64_t **hashes, size_t *count, struct error *err)
{
    struct predictions predictions = {0};
    char *path = predictions_path(run_folder, -1);
    *hashes = NULL;
    *count = 0;
    if (path == NULL)
        return error_memory(err, run_folder, strlen(run_folder));
    enum status st = predictions_read(path, &predictions, err);
    if (st == ST_OK) {
        *hashes = calloc((size_t)predictions.count + 1, sizeof(**hashes));
        st = *hashes != NULL ? ST_OK : error_memory(err, path, (size_t)predictions.count * sizeof(**hashes));
    }
    for (int32_t i = 0; st == ST_OK && i < predictions.count; i++)
        if (predictions.rows[i].validation && !predictions.rows[i].trained)
            (*hashes)[(*count)++] = predictions.rows[i].hash;
    if (st == ST_OK)
        qsort(*hashes, *count, sizeof(**hashes), compare_hashes);
    predictions_free(&predictions);
    free(path);
    return st;
}

/* ---- what they are taken for ---- */

/* Takes validation images from *next on, as many as a batch has room for, with their classes. How many. */
static int32_t take_batch(struct proof *proof, const uint64_t *hashes, size_t hash_count, int32_t *next,
                          int32_t *classes)
{
    const struct dataset *data = &proof->data;
    int32_t count = 0;
    for (; *next < data->sample_count[SPLIT_VALIDATION] && count < PROOF_BATCH; (*next)++) {
        const int32_t sample = data->samples[SPLIT_VALIDATION][*next];
        if (bsearch(&data->hashes[sample], hashes, hash_count, sizeof(*hashes), compare_hashes) == NULL)
            continue;
        proof_take_sample(proof, count, sample);
        classes[count++] = data->labels[sample];
    }
    return count;
}

static void add_rows(struct predictions *answers, const float *probabilities, const int32_t *classes,
                     int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        const float *row = probabilities + (size_t)i * (size_t)answers->classes;
        memcpy(answers->probabilities + (size_t)answers->count * (size_t)answers->classes, row,
               (size_t)answers->classes * sizeof(*row));
        answers->rows[answers->count++] =
            (struct predicted_image){.image = "",
                                     .validation = true,
                                     .views = 1,
                                     .truth = classes[i],
                                     .predicted = answers->label_sets != NULL /* each class is an answer */
                                                      ? 0
                                                      : labels_class(row, answers->classes)};
    }
}

static enum status ask(struct proof *proof, const struct evaluation *evaluation, const uint64_t *hashes,
                       size_t hash_count, struct predictions *answers, struct error *err)
{
    int32_t classes[PROOF_BATCH], next = 0, count;
    enum status st = ST_OK;
    while (st == ST_OK && (count = take_batch(proof, hashes, hash_count, &next, classes)) > 0) {
        st = evaluate_images(evaluation, proof->pixels, count, proof->answers, NULL, err);
        if (st == ST_OK)
            add_rows(answers, proof->answers, classes, count);
    }
    return st;
}

enum status fit_thresholds(struct proof *proof, const char *run_folder, const struct evaluation *evaluation,
                           double precision, double *values, struct error *err)
{
    const size_t most = (size_t)proof->data.sample_count[SPLIT_VALIDATION] + 1;
    const size_t classes = (size_t)proof->folded.about.classes;
    struct predictions answers = {.classes = proof->folded.about.classes,
                                  .label_sets = proof->data.label_sets,
                                  .label_set_count = proof->data.label_set_count};
    uint64_t *hashes = NULL;
    size_t hash_count;
    if (!proof->has_data)
        return error_set(err, ST_NONE, "--precision needs the run's validation images: %.300s",
                         proof->why.message);
    enum status st = read_hashes(run_folder, &hashes, &hash_count, err);
    if (st == ST_OK) {
        answers.rows = calloc(most, sizeof(*answers.rows));
        answers.probabilities = calloc(most * classes, sizeof(*answers.probabilities));
        if (answers.rows == NULL || answers.probabilities == NULL)
            st = error_memory(err, "answers", most * classes * sizeof(*answers.probabilities));
    }
    if (st == ST_OK)
        st = ask(proof, evaluation, hashes, hash_count, &answers, err);
    if (st == ST_OK && thresholds_fit(&answers, 1, precision, values, err) != ST_OK)
        st = error_prefix(err, "--precision");
    free(hashes);
    free(answers.rows);
    free(answers.probabilities);
    return st;
}
