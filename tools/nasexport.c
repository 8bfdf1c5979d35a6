/* nasexport RUN --onnx=FILE: a run's model for programs that know no nasrun, proven before it is kept. */
#include "host/base/file.h"
#include "host/base/random.h"
#include "host/data/dataset.h"
#include "host/onnx/onnx_read.h"
#include "host/onnx/onnx_write.h"
#include "spec/spec.h"
#include "tools/common/arguments.h"
#include "tools/common/commands.h"
#include "tools/common/predictor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Images on which the export and the model are compared, in double precision, which is slow; and of a step of the test.
 */
enum { COMPARED = 4, BATCH = 64 };

/* Both compute in double precision what differs by the rounding of a few constants to float32, and by nothing else. */
static const double MOST_DIFFERENCE = 1e-5;

/* What an export is compared with, and what came out. */
struct proof {
    struct dataset data; /* the run's, where it still lies */
    bool has_data;       /* otherwise the images are of chance, and there is no test */
    struct error why;    /* when there is none */
    double difference;   /* of probabilities, the largest */
    int64_t correct, tested;
};

/* ---- images ---- */

static enum status load_data(const char *run_folder, struct proof *proof, struct error *err)
{
    const struct data_way way = {0};
    struct job job = {0};
    char *path = file_join(run_folder, "job.cfg");
    if (path == NULL)
        return error_memory(err, run_folder, strlen(run_folder));
    enum status st = spec_read(path, NULL, 0, &job, err);
    if (st == ST_OK)
        st = data_load(&job.dataset, job.seed, &way, &proof->data, err);
    proof->has_data = st == ST_OK && proof->data.sample_count[SPLIT_TEST] > 0;
    proof->why = *err;
    spec_free(&job);
    free(path);
    return st == ST_MEMORY ? st : ST_OK;
}

/* The network's images are those of the data. */
static enum status check_data(const struct proof *proof, const struct model *model, struct error *err)
{
    const struct shape image = model->graph.layers[0].shape;
    const struct dataset *data = &proof->data;
    if (!proof->has_data || (data->channels == image.c && data->height == image.h && data->width == image.w &&
                             data->classes == model->about.classes))
        return ST_OK;
    return error_set(
        err, ST_FORMAT,
        "the run's data have images of %d x %d x %d and %d classes, expected %d x %d x %d and %d",
        data->channels, data->height, data->width, data->classes, image.c, image.h, image.w,
        model->about.classes);
}

/* Test images from that one on, as many as are left, or a batch of chance. How many. */
static int32_t take_images(const struct proof *proof, const struct predictor *p, int32_t first)
{
    const size_t bytes = predictor_image_bytes(p);
    const struct dataset *data = &proof->data;
    if (!proof->has_data) {
        for (size_t i = 0; i < bytes * (size_t)p->batch; i++)
            p->pixels[i] = (uint8_t)random_draw(0, RANDOM_TEST, i, 0).v[0];
        return p->batch;
    }
    const int32_t left = data->sample_count[SPLIT_TEST] - first, count = left < p->batch ? left : p->batch;
    for (int32_t i = 0; i < count; i++)
        memcpy(p->pixels + bytes * (size_t)i,
               data->pixels + bytes * (size_t)data->samples[SPLIT_TEST][first + i], bytes);
    return count;
}

/* ---- proof ---- */

/* Both on the reference device. */
static enum status compare(struct predictor *original, struct predictor *exported, struct proof *proof,
                           struct error *err)
{
    const int32_t classes = original->model.about.classes;
    enum status st = predictor_open(original, &ref_device_ops, COMPARED, 1, err);
    if (st == ST_OK)
        st = predictor_open(exported, &ref_device_ops, COMPARED, 1, err);
    if (st != ST_OK)
        return st;
    if (exported->model.about.classes != classes ||
        predictor_image_bytes(exported) != predictor_image_bytes(original))
        return error_set(err, ST_FORMAT, "read back it has another shape than the model");
    const int32_t count = take_images(proof, original, 0);
    memcpy(exported->pixels, original->pixels, predictor_image_bytes(original) * (size_t)count);
    st = predictor_run(original, count, err);
    if (st == ST_OK)
        st = predictor_run(exported, count, err);
    for (int32_t i = 0; st == ST_OK && i < count * classes; i++) {
        const double difference = fabs((double)original->answers[i] - (double)exported->answers[i]);
        if (!(difference <= proof->difference)) /* NaN, too */
            proof->difference = difference;
    }
    if (st == ST_OK && !(proof->difference <= MOST_DIFFERENCE))
        st = error_set(err, ST_FORMAT, "read back it differs from the model by %g, expected at most %g",
                       proof->difference, MOST_DIFFERENCE);
    return st;
}

/* What is exported on all test images, on the CPU. */
static enum status test(struct predictor *exported, struct proof *proof, struct error *err)
{
    const struct dataset *data = &proof->data;
    enum status st = predictor_open(exported, &cpu_device_ops, BATCH, 1, err);
    for (int32_t first = 0; st == ST_OK && first < data->sample_count[SPLIT_TEST]; first += BATCH) {
        const int32_t count = take_images(proof, exported, first);
        st = predictor_run(exported, count, err);
        for (int32_t i = 0; st == ST_OK && i < count; i++) {
            const int32_t label = data->labels[data->samples[SPLIT_TEST][first + i]];
            proof->correct += predictor_class(exported, i) == label;
            proof->tested++;
        }
    }
    return st;
}

/* The model that the bytes hold is read as any program would. */
static enum status prove(struct model *model, const unsigned char *bytes, size_t length, struct proof *proof,
                         struct error *err)
{
    struct predictor original = {.model = *model}, exported = {0}, tested = {0};
    *model = (struct model){0};
    enum status st = onnx_read(bytes, length, &exported.model, err);
    if (st == ST_OK)
        st = compare(&original, &exported, proof, err);
    if (st == ST_OK && proof->has_data) { /* the same on another device */
        tested.model = exported.model;
        exported.model = (struct model){0};
        st = test(&tested, proof, err);
    }
    predictor_close(&original);
    predictor_close(&exported);
    predictor_close(&tested);
    return st;
}

static void tell(const char *path, size_t length, const struct proof *proof)
{
    printf("%s: %zu bytes, differs from the model by %.1e on %s\n", path, length, proof->difference,
           proof->has_data ? "test images" : "images of chance");
    if (proof->has_data)
        printf("accuracy: %.4f of %lld test images, one view\n",
               (double)proof->correct / (double)proof->tested, (long long)proof->tested);
    else
        printf("accuracy: not measured: %s\n", proof->why.message);
}

static enum status export_onnx(const char *run_folder, const char *path, struct error *err)
{
    struct model model = {0};
    struct proof proof = {0};
    unsigned char *bytes = NULL;
    size_t length = 0;
    enum status st = predictor_load(run_folder, &model, err);
    if (st == ST_OK)
        st = onnx_write(&model, &bytes, &length, err);
    if (st == ST_OK)
        st = load_data(run_folder, &proof, err);
    if (st == ST_OK)
        st = check_data(&proof, &model, err);
    if (st == ST_OK && prove(&model, bytes, length, &proof, err) != ST_OK)
        st = error_prefix(err, "%s is not written", path);
    if (st == ST_OK)
        st = file_write_atomic(path, bytes, length, err);
    if (st == ST_OK)
        tell(path, length, &proof);
    model_free(&model);
    data_free(&proof.data);
    free(bytes);
    return st;
}

/* --onnx=FILE, the only one. */
static enum status take_option(void *context, const struct command_line *line, struct error *err)
{
    const char **path = context;
    if (line->value[0] == '\0')
        return error_set(err, ST_RANGE, "--onnx: found nothing, expected a file's name");
    *path = line->value;
    return ST_OK;
}

int main(int argc, char **argv)
{
    struct command_line line;
    struct error err = {0};
    const char *path = NULL;
    int status;

    if (!arguments_read(&nasexport_command, argc, argv, take_option, &path, &line, &status))
        return status;
    enum status st = path != NULL ? export_onnx(line.words[0], path, &err)
                                  : error_set(&err, ST_RANGE, "expected --onnx=FILE");
    if (st != ST_OK)
        fprintf(stderr, "nasexport: %s\n", err.message);
    return st == ST_OK ? COMMAND_DONE : COMMAND_ERROR;
}
