#include "tools/common/predictor.h"

#include "host/base/file.h"
#include "host/device/temperature.h"
#include "host/program/lower.h"
#include "host/report/report.h"

#include <stdlib.h>
#include <string.h>

void predictor_close(struct predictor *p)
{
    if (p->device != NULL) {
        p->ops->program_free(p->device, p->prepared);
        p->ops->weights_free(p->device, p->weights);
        p->ops->close(p->device);
    }
    program_free(&p->program);
    free(p->pixels);
    free(p->labels);
    free(p->label_set);
    free(p->samples);
    free(p->probabilities);
    free(p->answers);
}

/* Each class is an answer of its own. */
static bool has_labels(const struct predictor *p)
{
    return p->model->about.label_thresholds != NULL;
}

static enum status allocate(struct predictor *p, struct error *err)
{
    const size_t rows = (size_t)p->batch, classes = (size_t)p->model->about.classes;
    const size_t image_bytes = predictor_image_bytes(p);

    p->pixels = calloc(rows, image_bytes);
    p->labels = calloc(rows, sizeof(*p->labels));
    p->samples = calloc(rows, sizeof(*p->samples));
    p->probabilities = calloc(rows * classes, sizeof(*p->probabilities));
    p->answers = calloc(rows * classes, sizeof(*p->answers));
    p->label_set = has_labels(p) ? calloc(classes, sizeof(*p->label_set)) : NULL;
    if (p->pixels == NULL || p->labels == NULL || (has_labels(p) && p->label_set == NULL) ||
        p->samples == NULL || p->probabilities == NULL || p->answers == NULL)
        return error_memory(err, "images", rows * image_bytes);
    for (int32_t i = 0; i < p->batch; i++)
        p->samples[i] = i;
    return ST_OK;
}

/* A file that is not what the run wrote gives wrong answers. A model without its run's journal is taken as it is. */
static enum status check_hash(const char *run_folder, const char *path, const struct model *model,
                              struct error *err)
{
    char *expected;
    if (report_knows_model(run_folder, model->about.id, model->hash, &expected))
        return ST_OK;
    error_set(err, ST_FORMAT,
              "%s: its hash is %s, expected %s as the journal says; nasrun --resume=%s writes it again", path,
              model->hash, expected != NULL ? expected : "another", run_folder);
    free(expected);
    return err->status;
}

enum status predictor_load(const char *run_folder, struct model *model, struct error *err)
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

enum status predictor_open(struct predictor *p, const struct device_ops *ops, int32_t batch, int32_t views,
                           struct error *err)
{
    const struct device_options device_options = {
        .index = p->device_index, .threads = p->threads, .precision = PRECISION_FP32};
    const struct lower_options options = {
        .purpose = PROG_EVALUATE, .batch = batch, .sets = has_labels(p), .batch_norm_momentum = 0.1f};

    p->ops = ops;
    p->batch = batch;
    enum status st = lower_graph(&p->model->graph, &options, &p->program, err);
    if (st == ST_OK)
        st = p->ops->open(&device_options, &p->device, err);
    if (st == ST_OK)
        st = p->ops->weights_new(p->device, &p->model->table, 1, &p->weights, err);
    if (st == ST_OK)
        st = p->ops->weights_upload(p->device, p->weights, SLOT_VALUE, p->model->values, err);
    if (st == ST_OK)
        st = p->ops->program_prepare(p->device, &p->program, &p->prepared, err);
    if (st != ST_OK)
        return st;
    p->views = views_of(views > 0 ? views : p->model->about.views);
    p->temperature = p->views.count > 1 ? p->model->about.temperature : p->model->about.plain_temperature;
    return allocate(p, err);
}

size_t predictor_image_bytes(const struct predictor *p)
{
    const struct shape image = p->model->graph.layers[0].shape;
    return (size_t)image.c * (size_t)image.h * (size_t)image.w;
}

/* All views of the first `count` images that are bound; one view's probabilities stay as they are. */
static enum status run_views(struct predictor *p, int32_t count, struct error *err)
{
    const size_t values = (size_t)count * (size_t)p->model->about.classes;
    enum status st = ST_OK;
    memset(p->answers, 0, values * sizeof(*p->answers));
    for (int32_t v = 0; st == ST_OK && v < p->views.count; v++) {
        const struct step step = {.valid = count, .view = p->views.items[v]};
        st = p->ops->program_run(p->device, p->prepared, &step, err);
        if (st == ST_OK)
            st = p->ops->program_probabilities(p->device, p->prepared, p->probabilities, err);
        if (st == ST_OK && p->views.count > 1)
            views_add(p->answers, p->probabilities, values, p->views.weights[v], has_labels(p));
    }
    if (st == ST_OK && p->views.count > 1)
        views_finish(p->answers, count, p->model->about.classes, has_labels(p));
    else if (st == ST_OK)
        memcpy(p->answers, p->probabilities, values * sizeof(*p->answers));
    if (st == ST_OK)
        temperature_apply(p->answers, count, p->model->about.classes, p->temperature, has_labels(p));
    return st;
}

enum status predictor_run(struct predictor *p, int32_t count, struct error *err)
{
    struct shape image = p->model->graph.layers[0].shape;
    struct device_dataset *dataset = NULL;
    struct dataset_view view = {.count = count,
                                .channels = image.c,
                                .height = image.h,
                                .width = image.w,
                                .classes = p->model->about.classes,
                                .pixels = p->pixels,
                                .labels = p->labels,
                                .label_sets = p->label_set,
                                .label_set_count = p->label_set != NULL ? 1 : 0};

    memcpy(view.mean, p->model->about.mean, sizeof(view.mean));
    memcpy(view.deviation, p->model->about.deviation, sizeof(view.deviation));
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
