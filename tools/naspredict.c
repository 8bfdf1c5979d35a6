/* naspredict RUN IMAGE...: classifies images with a run's model, on the CPU. */
#include "host/base/file.h"
#include "host/base/text.h"
#include "host/data/dataset.h"
#include "host/device/device.h"
#include "host/device/views.h"
#include "host/model/model_file.h"
#include "host/program/lower.h"
#include "host/report/report.h"
#include "tools/common/arguments.h"
#include "tools/common/commands.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 32, NAME_BYTES = 256 };

/* A model made ready on a device. What is NULL has not been made yet. */
struct predictor {
    const struct device_ops *ops;
    struct model model;
    struct program program;
    struct device *device;
    struct device_weights *weights;
    struct device_program *prepared;
    int32_t batch;
    uint8_t *pixels;      /* [batch, channels, height, width] */
    int32_t *labels;      /* [batch], all 0: the classes are what is asked for */
    int32_t *samples;     /* [batch]: 0, 1, 2 ... */
    float *probabilities; /* [batch, classes], of one view */
    float *answers;       /* the same of all views */
    struct views views;
};

static void predictor_close(struct predictor *p)
{
    if (p->device != NULL) {
        p->ops->program_free(p->device, p->prepared);
        p->ops->weights_free(p->device, p->weights);
        p->ops->close(p->device);
    }
    program_free(&p->program);
    model_free(&p->model);
    free(p->pixels);
    free(p->labels);
    free(p->samples);
    free(p->probabilities);
    free(p->answers);
}

static enum status allocate(struct predictor *p, size_t image_bytes, struct error *err)
{
    size_t rows = (size_t)p->batch, classes = (size_t)p->model.about.classes;

    p->pixels = calloc(rows, image_bytes);
    p->labels = calloc(rows, sizeof(*p->labels));
    p->samples = calloc(rows, sizeof(*p->samples));
    p->probabilities = calloc(rows * classes, sizeof(*p->probabilities));
    p->answers = calloc(rows * classes, sizeof(*p->answers));
    if (p->pixels == NULL || p->labels == NULL || p->samples == NULL || p->probabilities == NULL ||
        p->answers == NULL)
        return error_memory(err, "images", rows * image_bytes);
    for (int32_t i = 0; i < p->batch; i++)
        p->samples[i] = i;
    return ST_OK;
}

/* A file that is not what the run wrote gives wrong answers. A model without its run's journal is taken as it is. */
static enum status check_hash(const char *run_folder, const char *path, const struct model *model,
                              struct error *err)
{
    char *written = report_model_hash(run_folder, model->about.id);
    enum status st = ST_OK;
    if (written != NULL && strcmp(written, model->hash) != 0)
        st = error_set(
            err, ST_FORMAT,
            "%s: its hash is %s, expected %s as the journal says; nasrun --resume=%s writes it again", path,
            model->hash, written, run_folder);
    free(written);
    return st;
}

static enum status load_model(const char *run_folder, struct model *model, struct error *err)
{
    char *path = file_join(run_folder, MODEL_FILE_NAME);
    if (path == NULL)
        return error_memory(err, run_folder, strlen(run_folder));
    enum status st = model_load(path, model, err);
    if (st == ST_OK)
        st = check_hash(run_folder, path, model, err);
    free(path);
    return st;
}

/* Everything up to the first image. `batch`: images of a step; views 0: as the model says. The predictor is zeroed
 * before and closed after, also on error. */
static enum status predictor_open(struct predictor *p, const char *run_folder, int32_t batch, int32_t views,
                                  struct error *err)
{
    const struct device_options device_options = {.precision = PRECISION_FP32};
    const struct lower_options options = {
        .purpose = PROG_EVALUATE, .batch = batch, .batch_norm_momentum = 0.1f};

    p->ops = &cpu_device_ops;
    p->batch = batch;
    enum status st = load_model(run_folder, &p->model, err);
    if (st == ST_OK)
        st = lower_graph(&p->model.graph, &options, &p->program, err);
    if (st == ST_OK)
        st = p->ops->open(&device_options, &p->device, err);
    if (st == ST_OK)
        st = p->ops->weights_new(p->device, &p->model.table, 1, &p->weights, err);
    if (st == ST_OK)
        st = p->ops->weights_upload(p->device, p->weights, SLOT_VALUE, p->model.values, err);
    if (st == ST_OK)
        st = p->ops->program_prepare(p->device, &p->program, &p->prepared, err);
    if (st != ST_OK)
        return st;
    p->views = views_of(views > 0 ? views : p->model.about.views);
    struct shape image = p->model.graph.layers[0].shape;
    return allocate(p, (size_t)image.c * (size_t)image.h * (size_t)image.w, err);
}

/* All views of the first `count` images that are bound; one view's probabilities stay as they are. */
static enum status run_views(struct predictor *p, int32_t count, struct error *err)
{
    const size_t values = (size_t)count * (size_t)p->model.about.classes;
    enum status st = ST_OK;
    memset(p->answers, 0, values * sizeof(*p->answers));
    for (int32_t v = 0; st == ST_OK && v < p->views.count; v++) {
        const struct step step = {.valid = count, .view = p->views.items[v]};
        st = p->ops->program_run(p->device, p->prepared, &step, err);
        if (st == ST_OK)
            st = p->ops->program_probabilities(p->device, p->prepared, p->probabilities, err);
        if (st == ST_OK && p->views.count > 1)
            views_add(p->answers, p->probabilities, values, p->views.weights[v]);
    }
    if (st == ST_OK && p->views.count > 1)
        views_finish(p->answers, count, p->model.about.classes);
    else if (st == ST_OK)
        memcpy(p->answers, p->probabilities, values * sizeof(*p->answers));
    return st;
}

/* Fills the answers for the first `count` images in pixels. */
static enum status run_batch(struct predictor *p, int32_t count, struct error *err)
{
    struct shape image = p->model.graph.layers[0].shape;
    struct device_dataset *dataset = NULL;
    struct dataset_view view = {.count = count,
                                .channels = image.c,
                                .height = image.h,
                                .width = image.w,
                                .classes = p->model.about.classes,
                                .pixels = p->pixels,
                                .labels = p->labels};

    memcpy(view.mean, p->model.about.mean, sizeof(view.mean));
    memcpy(view.deviation, p->model.about.deviation, sizeof(view.deviation));
    enum status st = p->ops->dataset_upload(p->device, &view, &dataset, err);
    if (st != ST_OK)
        return st;
    const struct device_binding binding = {
        .weights = p->weights, .dataset = dataset, .samples = p->samples, .sample_count = count};
    st = p->ops->program_bind(p->device, p->prepared, &binding, err);
    if (st == ST_OK)
        st = run_views(p, count, err);
    p->ops->dataset_free(p->device, dataset);
    return st;
}

/* Whether what went wrong is one image's own affair. */
static bool is_the_image(enum status st)
{
    return st == ST_FORMAT || st == ST_IO || st == ST_RANGE || st == ST_UNSUPPORTED;
}

/* Reads up to one batch of images, with a line on stderr for each that can't be read. `read` gets the paths of the
 * *count others, in their order. */
static enum status read_images(struct predictor *p, char *const *paths, int32_t asked, const char **read,
                               int32_t *count, struct error *err)
{
    const struct shape image = p->model.graph.layers[0].shape;
    const size_t bytes = (size_t)image.c * (size_t)image.h * (size_t)image.w;
    *count = 0;
    for (int32_t i = 0; i < asked; i++) {
        enum status st = data_read_image(paths[i], image.c, image.h, image.w, p->model.about.fit,
                                         p->pixels + (size_t)*count * bytes, err);
        if (st == ST_OK)
            read[(*count)++] = paths[i];
        else if (is_the_image(st))
            fprintf(stderr, "naspredict: %s\n", err->message);
        else
            return st;
    }
    return ST_OK;
}

/* Classifies up to one batch of images and prints a line for each of the *count that can be read. */
static enum status predict(struct predictor *p, char *const *paths, int32_t asked, int32_t *count,
                           struct error *err)
{
    const char *read[BATCH];
    const int32_t classes = p->model.about.classes;

    enum status st = read_images(p, paths, asked, read, count, err);
    if (st == ST_OK && *count > 0)
        st = run_batch(p, *count, err);
    if (st != ST_OK)
        return st;
    for (int32_t i = 0; i < *count; i++) {
        char name[NAME_BYTES], path[PATH_MAX];
        const float *row = p->answers + (size_t)i * (size_t)classes;
        int32_t best = 0;
        for (int32_t k = 1; k < classes; k++)
            if (row[k] > row[best])
                best = k;
        text_shown(p->model.about.class_names[best], name, sizeof(name));
        if (isatty(STDOUT_FILENO))
            printf("%s\t%s\t%.4f\n", text_shown(read[i], path, sizeof(path)), name, (double)row[best]);
        else /* who reads this wants the path as it is */
            printf("%s\t%s\t%.4f\n", read[i], name, (double)row[best]);
    }
    if (fflush(stdout) != 0 || ferror(stdout))
        return error_set(err, ST_IO, "standard output: cannot be written");
    return ST_OK;
}

/* Takes --views, the only option. */
static enum status read_views(void *context, const struct command_line *line, struct error *err)
{
    int32_t *views = context;
    char *end;
    const long value = strtol(line->value, &end, 10);
    if (*line->value == '\0' || *end != '\0' || value < 1 || value > VIEWS_MOST ||
        !views_are_known((int32_t)value))
        return error_set(err, ST_RANGE, "--views: found \"%.40s\", expected 1, 2, 3 or 6", line->value);
    *views = (int32_t)value;
    return ST_OK;
}

int main(int argc, char **argv)
{
    struct predictor predictor = {0};
    struct command_line line;
    struct error err;
    int32_t views = 0;
    int status;

    if (!arguments_read(&naspredict_command, argc, argv, read_views, &views, &line, &status))
        return status;
    int32_t images = line.word_count - 1, classified = 0;
    enum status st = predictor_open(&predictor, line.words[0], images < BATCH ? images : BATCH, views, &err);
    for (int32_t first = 0; st == ST_OK && first < images; first += predictor.batch) {
        const int32_t left = images - first;
        int32_t count = 0;
        st = predict(&predictor, line.words + 1 + first, left < predictor.batch ? left : predictor.batch,
                     &count, &err);
        classified += count;
    }
    if (st != ST_OK)
        fprintf(stderr, "naspredict: %s\n", err.message);
    predictor_close(&predictor);
    if (st != ST_OK || classified == 0)
        return COMMAND_ERROR;
    return classified < images ? COMMAND_SOME_FAILED : COMMAND_DONE;
}
