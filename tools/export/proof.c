#include "tools/export/proof.h"

#include "host/base/labels.h"
#include "host/base/random.h"
#include "host/inference/fold.h"
#include "tools/common/job_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the run's data ---- */

static enum status load_data(const char *run_folder, struct proof *proof, struct error *err)
{
    enum status st = job_data_load_run(run_folder, &proof->data, err);
    proof->has_data = st == ST_OK && proof->data.sample_count[SPLIT_TEST] > 0;
    proof->why = *err;
    return st == ST_MEMORY ? st : ST_OK;
}

/* The network's images are those of the data. */
static enum status check_data(const struct proof *proof, struct error *err)
{
    const struct shape image = proof->model.graph.layers[0].shape;
    const struct dataset *data = &proof->data;
    const bool labels = proof->model.about.label_thresholds != NULL;
    if (proof->has_data && (data->label_sets != NULL) != labels)
        return error_set(err, ST_FORMAT, "images of the run's data have %s, expected %s for this model",
                         labels ? "one class" : "several labels", labels ? "several labels" : "one class");
    if (!proof->has_data || (data->channels == image.c && data->height == image.h && data->width == image.w &&
                             data->classes == proof->model.about.classes))
        return ST_OK;
    return error_set(
        err, ST_FORMAT,
        "the run's data have images of %d x %d x %d and %d classes, expected %d x %d x %d and %d",
        data->channels, data->height, data->width, data->classes, image.c, image.h, image.w,
        proof->model.about.classes);
}

size_t proof_image_bytes(const struct proof *proof)
{
    const struct shape image = proof->folded.graph.layers[0].shape;
    return (size_t)image.c * (size_t)image.h * (size_t)image.w;
}

int32_t proof_test_images(const struct proof *proof)
{
    return proof->has_data ? proof->data.sample_count[SPLIT_TEST] : PROOF_COMPARED;
}

void proof_take_sample(struct proof *proof, int32_t place, int32_t sample)
{
    const size_t bytes = proof_image_bytes(proof);
    memcpy(proof->pixels + bytes * (size_t)place, proof->data.pixels + bytes * (size_t)sample, bytes);
}

int32_t proof_take(struct proof *proof, int32_t first)
{
    const int32_t left = proof_test_images(proof) - first, count = left < PROOF_BATCH ? left : PROOF_BATCH;
    if (!proof->has_data) {
        for (size_t i = 0; i < proof_image_bytes(proof) * (size_t)count; i++)
            proof->pixels[i] = (uint8_t)random_draw(0, RANDOM_TEST, i, 0).v[0];
        return count;
    }
    for (int32_t i = 0; i < count; i++)
        proof_take_sample(proof, i, proof->data.samples[SPLIT_TEST][first + i]);
    return count;
}

/* ---- the model on devices ---- */

enum status proof_ask(struct proof *proof, struct predictor *p, int32_t first, int32_t *count,
                      struct error *err)
{
    const int32_t taken = proof_take(proof, first);
    *count = taken < p->batch ? taken : p->batch;
    memcpy(p->pixels, proof->pixels, proof_image_bytes(proof) * (size_t)*count);
    return predictor_run(p, *count, err);
}

enum status proof_test(struct proof *proof, struct predictor *p, struct outcome *outcome, struct error *err)
{
    enum status st = ST_OK;
    for (int32_t first = 0, count; st == ST_OK && first < proof_test_images(proof); first += p->batch) {
        st = proof_ask(proof, p, first, &count, err);
        if (st == ST_OK)
            proof_count(proof, p->answers, first, count, outcome);
    }
    return st;
}

static enum status ask_reference(struct proof *proof, struct error *err)
{
    struct predictor p = {.model = &proof->model};
    const size_t classes = (size_t)proof->folded.about.classes;
    enum status st = predictor_open(&p, &ref_device_ops, PROOF_COMPARED, 1, err);
    if (st == ST_OK)
        st = proof_ask(proof, &p, 0, &proof->compared, err);
    if (st == ST_OK)
        memcpy(proof->expected, p.answers, (size_t)proof->compared * classes * sizeof(*p.answers));
    predictor_close(&p);
    return st;
}

static enum status test_model(struct proof *proof, struct error *err)
{
    struct predictor p = {.model = &proof->model};
    struct outcome outcome = {0};
    enum status st = predictor_open(&p, &cpu_device_ops, PROOF_BATCH, 1, err);
    if (st == ST_OK)
        st = proof_test(proof, &p, &outcome, err);
    predictor_close(&p);
    proof->float_accuracy =
        outcome.tested > 0 ? (double)outcome.correct / (double)outcome.tested : (double)NAN;
    return st;
}

static enum status make_room(struct proof *proof, struct error *err)
{
    const size_t bytes = proof_image_bytes(proof), classes = (size_t)proof->folded.about.classes;
    proof->pixels = calloc(PROOF_BATCH, bytes);
    proof->answers = calloc(PROOF_BATCH * classes, sizeof(*proof->answers));
    proof->expected = calloc(PROOF_COMPARED * classes, sizeof(*proof->expected));
    return proof->pixels != NULL && proof->answers != NULL && proof->expected != NULL
               ? ST_OK
               : error_memory(err, "images", PROOF_BATCH * bytes);
}

enum status proof_open(const char *run_folder, struct proof *proof, struct error *err)
{
    *proof = (struct proof){.float_accuracy = (double)NAN};
    enum status st = predictor_load(run_folder, &proof->model, err);
    if (st == ST_OK)
        st = load_data(run_folder, proof, err);
    if (st == ST_OK)
        st = check_data(proof, err);
    if (st == ST_OK)
        st = fold_model(&proof->model, &proof->folded, err);
    if (st == ST_OK)
        st = plan_make(&proof->folded.graph, &proof->plan, err);
    if (st == ST_OK)
        st = make_room(proof, err);
    return st == ST_OK ? ask_reference(proof, err) : st;
}

void proof_close(struct proof *proof)
{
    model_free(&proof->model);
    model_free(&proof->folded);
    plan_free(&proof->plan);
    quantisation_free(&proof->quantisation);
    data_free(&proof->data);
    free(proof->pixels);
    free(proof->answers);
    free(proof->expected);
    free(proof->coded);
}

/* ---- int8 ---- */

struct evaluation proof_evaluation(const struct proof *proof, bool coded)
{
    return (struct evaluation){&proof->folded, &proof->plan, coded ? &proof->quantisation : NULL};
}

static enum status measure_ranges(struct proof *proof, struct value_range *ranges, struct error *err)
{
    const struct evaluation evaluation = proof_evaluation(proof, false);
    const int32_t there = proof->data.sample_count[SPLIT_TRAIN];
    const int32_t wanted = there < PROOF_MEASURED ? there : PROOF_MEASURED;
    enum status st = ST_OK;
    value_ranges_begin(ranges, proof->folded.graph.count);
    for (int32_t first = 0; st == ST_OK && first < wanted; first += PROOF_BATCH) {
        const int32_t count = wanted - first < PROOF_BATCH ? wanted - first : PROOF_BATCH;
        for (int32_t i = 0; i < count; i++)
            proof_take_sample(proof, i, proof->data.samples[SPLIT_TRAIN][first + i]);
        st = evaluate_images(&evaluation, proof->pixels, count, proof->answers, ranges, err);
    }
    return st;
}

static enum status evaluate_codes(struct proof *proof, struct error *err)
{
    const struct evaluation evaluation = proof_evaluation(proof, true);
    proof->coded = calloc(PROOF_COMPARED * (size_t)proof->folded.about.classes, sizeof(*proof->coded));
    if (proof->coded == NULL)
        return error_memory(err, "answers", PROOF_COMPARED);
    proof_take(proof, 0);
    return evaluate_images(&evaluation, proof->pixels, proof->compared, proof->coded, NULL, err);
}

enum status proof_measure(struct proof *proof, struct error *err)
{
    if (!proof->has_data)
        return error_set(err, ST_NONE, "int8 needs the run's training images: %.300s", proof->why.message);
    struct value_range *ranges = calloc((size_t)proof->folded.graph.count, sizeof(*ranges));
    if (ranges == NULL)
        return error_memory(err, "ranges", (size_t)proof->folded.graph.count);
    enum status st = measure_ranges(proof, ranges, err);
    if (st == ST_OK)
        st = quantise(&proof->folded, ranges, &proof->quantisation, err);
    if (st == ST_OK)
        st = evaluate_codes(proof, err);
    if (st == ST_OK)
        st = test_model(proof, err);
    free(ranges);
    return st;
}

/* ---- outcomes ---- */

enum status proof_compare(const struct proof *proof, const float *answers, bool coded,
                          struct outcome *outcome, struct error *err)
{
    const float *wanted = coded ? proof->coded : proof->expected;
    double largest = 0.0;
    for (int32_t i = 0; i < proof->compared * proof->folded.about.classes; i++) {
        const double off = fabs((double)answers[i] - (double)wanted[i]);
        const double difference = fabs((double)answers[i] - (double)proof->expected[i]);
        largest = off <= largest ? largest : off; /* NaN, too */
        outcome->difference = difference <= outcome->difference ? outcome->difference : difference;
    }
    return largest <= PROOF_MOST_DIFFERENCE
               ? ST_OK
               : error_set(err, ST_FORMAT, "%s it differs from the model by %g, expected at most %g",
                           outcome->how, largest, PROOF_MOST_DIFFERENCE);
}

/* Of several labels exactly those of the image reach the model's thresholds. */
static bool is_right(const struct proof *proof, const float *answer, int32_t label)
{
    const struct model_about *about = &proof->folded.about;
    if (about->label_thresholds == NULL)
        return labels_class(answer, about->classes) == label;
    for (int32_t k = 0; k < about->classes; k++)
        if (((double)answer[k] >= about->label_thresholds[k]) !=
            labels_have(proof->data.label_sets, about->classes, label, k))
            return false;
    return true;
}

void proof_count(const struct proof *proof, const float *answers, int32_t first, int32_t count,
                 struct outcome *outcome)
{
    const int32_t classes = proof->folded.about.classes;
    for (int32_t i = 0; proof->has_data && i < count; i++) {
        const int32_t label = proof->data.labels[proof->data.samples[SPLIT_TEST][first + i]];
        outcome->correct += is_right(proof, answers + (size_t)i * (size_t)classes, label);
        outcome->tested++;
    }
}

enum status proof_evaluate(struct proof *proof, const struct evaluation *evaluation, struct outcome *outcome,
                           struct error *err)
{
    const bool coded = evaluation->quantisation != NULL;
    enum status st = ST_OK;
    for (int32_t first = 0; st == ST_OK && first < proof_test_images(proof); first += PROOF_BATCH) {
        const int32_t count = proof_take(proof, first);
        st = evaluate_images(evaluation, proof->pixels, count, proof->answers, NULL, err);
        if (st == ST_OK && first == 0)
            st = proof_compare(proof, proof->answers, coded, outcome, err);
        if (st == ST_OK)
            proof_count(proof, proof->answers, first, count, outcome);
    }
    return st;
}
