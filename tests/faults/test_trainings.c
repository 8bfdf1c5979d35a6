/* What devices do under calls of the C library that fail, one in each round, at each place: trainings on two of them,
 * inheritance, calibration, the cache of weights. They end with one line and the status of that line, or as if nothing
 * had been. */
#include "host/base/file.h"
#include "host/machine/weight_cache.h"
#include "host/train/calibration.h"
#include "host/train/inherit.h"
#include "tests/faults/failing.h"
#include "tests/support/data_files.h"
#include "tests/support/tiny_task.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

struct training {
    struct tiny_task tasks[2];
    const struct device_ops *ops;
    float *values;
    char *path; /* of a checkpoint */
};

static void open_training(struct training *training, const struct device_ops *ops, const char *folder)
{
    *training = (struct training){.ops = ops, .path = file_join(folder, "checkpoint")};
    for (int32_t k = 0; k < 2; k++)
        tiny_task_open_at(&training->tasks[k], ops, k, true);
    training->values = tiny_task_weights(&training->tasks[0].graph, 1, NULL);
}

static void close_training(struct training *training)
{
    for (int32_t k = 0; k < 2; k++)
        tiny_task_close(&training->tasks[k]);
    free(training->values);
    free(training->path);
}

static enum status ignore_epoch(void *context, const struct trainer_epoch *epoch, struct error *err)
{
    (void)context, (void)epoch, (void)err;
    return ST_OK;
}

/* A past is read, becomes a child's, and is gone on from. */
static enum status go_on(const struct training *training, struct trainer *trainer, struct error *err)
{
    struct trainer_past past = {0};
    enum status st = trainer_past_read(&past, training->path, trainer_weights(trainer), err);
    if (st == ST_OK)
        st = trainer_go_on(trainer, &past, err);
    trainer_past_free(&past);
    return st;
}

static enum status test_trained(const struct training *training, struct trainer *trainer, struct error *err)
{
    const struct tiny_task *task = &training->tasks[0];
    int64_t confusion[TINY_CLASSES * TINY_CLASSES] = {0};
    struct trainer_test test = {.samples = task->samples + TINY_TRAIN,
                                .count = TINY_VALIDATION,
                                .views = 2,
                                .classes = TINY_CLASSES,
                                .labels = task->labels,
                                .confusion = confusion};
    return trainer_test(trainer, &test, err);
}

/* Both devices train together: steps, a checkpoint that is read again, a past, a test. */
static enum status train(void *context, struct error *err)
{
    const struct training *training = context;
    const struct trainer_device devices[2] = {training->tasks[0].trainer_device,
                                              training->tasks[1].trainer_device};
    const struct trainer_limit limit = {.seconds = INFINITY, .steps = 12};
    const struct trainer_events events = {.on_epoch = ignore_epoch, .tick_seconds = INFINITY};
    struct trainer_settings settings = tiny_task_settings();
    struct trainer *trainer = NULL;
    struct trainer_result result;
    uint64_t note;
    size_t bytes;
    settings.average = 0.9f;
    settings.use_validation = true;
    settings.labels = training->tasks[0].labels;
    enum status st =
        trainer_open(devices, 2, &training->tasks[0].graph, &settings, SIZE_MAX, &trainer, &bytes, err);
    if (st == ST_OK)
        st = trainer_load_values(trainer, training->values, err);
    if (st == ST_OK)
        st = trainer_run(trainer, limit, &events, &result, err);
    if (st == ST_OK)
        st = trainer_checkpoint(trainer, training->path, 7, err);
    if (st == ST_OK)
        st = trainer_restore(trainer, training->path, &note, err);
    if (st == ST_OK)
        st = test_trained(training, trainer, err);
    if (st == ST_OK)
        st = go_on(training, trainer, err);
    trainer_close(trainer);
    return st;
}

/* A child by each kind of morph that inheritance treats in its own way, and its past. */
static enum status become_child(void *context, struct error *err)
{
    static const struct morph morphs[] = {{.kind = MORPH_WIDEN, .a = 1, .amount = 8},
                                          {.kind = MORPH_PRUNE, .a = 1, .amount = 2}};
    const struct training *training = context;
    const struct tiny_task *task = &training->tasks[0];
    const struct device_ops *ops = training->ops;
    struct weight_table table = {0};
    struct device_weights *parent = NULL;
    struct inheritance inherited = {0};
    struct trainer_past past = {0};
    enum status st = weight_table_new(&table, &task->graph, err);
    if (st == ST_OK)
        st = ops->weights_new(task->device, &table, 1, &parent, err);
    if (st == ST_OK)
        st = ops->weights_upload(task->device, parent, SLOT_VALUE, training->values, err);
    const struct inherit_order order = {.device = &task->trainer_device,
                                        .batch = TINY_BATCH,
                                        .parent = &task->graph,
                                        .parent_weights = parent,
                                        .morphs = morphs,
                                        .morph_count = 2,
                                        .seed = 1,
                                        .id = 3};
    if (st == ST_OK)
        st = inherit(&order, &inherited, err);
    if (st == ST_OK)
        st = trainer_past_read(&past, training->path, &table, err);
    if (st == ST_OK)
        st = inherit_past(&task->graph, morphs, &inherited, 1, 3, &past, err);
    trainer_past_free(&past);
    inheritance_free(&task->trainer_device, &inherited);
    ops->weights_free(task->device, parent);
    weight_table_free(&table);
    return st;
}

static enum status calibrate(void *context, struct error *err)
{
    const struct training *training = context;
    const struct tiny_task *task = &training->tasks[0];
    double seconds;
    const struct trainer_settings settings = tiny_task_settings();
    return calibration_step_seconds(&task->trainer_device, &task->graph, &settings, &seconds, err);
}

/* Opens a device, images on it, a cache with a set of weights. */
static enum status open_device(void *context, struct error *err)
{
    const struct training *training = context;
    const struct tiny_task *task = &training->tasks[0];
    static const int32_t labels[2] = {0, 1};
    static const uint8_t pixels[2 * 4] = {0};
    const struct dataset_view view = {.count = 2,
                                      .channels = 1,
                                      .height = 2,
                                      .width = 2,
                                      .classes = 2,
                                      .pixels = pixels,
                                      .labels = labels,
                                      .deviation = {1.0f}};
    struct devices devices = {.ops = training->ops, .count = 1, .workers = 1};
    struct run_device *item = &devices.items[0];
    struct weight_table table = {0};
    struct device_weights *weights = NULL;
    struct weight_cache *cache = NULL;
    enum status st = weight_table_new(&table, &task->graph, err);
    if (st == ST_OK)
        st = training->ops->open(&(struct device_options){.threads = 1, .untimed = true}, &item->device, err);
    if (st == ST_OK)
        st = training->ops->dataset_upload(item->device, &view, &item->data, err);
    if (st == ST_OK)
        st = weight_cache_open(&devices, &cache, err);
    if (st == ST_OK)
        st = training->ops->weights_new(item->device, &table, 1, &weights, err);
    if (st == ST_OK)
        st = weight_cache_add(cache, 0, 1, 0.5, weights, &table, err);
    if (st != ST_OK && item->device != NULL)
        training->ops->weights_free(item->device, weights);
    weight_cache_close(cache);
    if (item->device != NULL) {
        training->ops->dataset_free(item->device, item->data);
        training->ops->close(item->device);
    }
    weight_table_free(&table);
    return st;
}

static void test_devices(void **state)
{
    static const struct device_ops *const kinds[] = {&ref_device_ops, &cpu_device_ops};
    (void)state;
    char *folder = data_files_folder();
    for (int i = 0; i < 2; i++) {
        struct training training;
        open_training(&training, kinds[i], folder);
        int32_t places = failing_play("a training", 2, train, &training);
        places += failing_play("a child", 2, become_child, &training);
        places += failing_play("a calibration", 2, calibrate, &training);
        places += failing_play("a device", 2, open_device, &training);
        assert_true(places > 10);
        close_training(&training);
    }
    data_files_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
