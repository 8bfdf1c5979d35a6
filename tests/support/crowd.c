#include "tests/support/crowd.h"
#include "host/base/thread_team.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <cmocka.h>

void crowd_open(struct crowd *crowd, const struct device_ops *ops, int32_t count, bool batch_norm)
{
    crowd->count = count;
    for (int32_t k = 0; k < count; k++) {
        tiny_task_open_at(&crowd->tasks[k], ops, k, batch_norm);
        crowd->devices[k] = crowd->tasks[k].trainer_device;
    }
}

void crowd_close(struct crowd *crowd)
{
    for (int32_t k = 0; k < crowd->count; k++)
        tiny_task_close(&crowd->tasks[k]);
}

/* The task's graph with a dropout before the dense layer. */
static void with_dropout(const struct graph *graph, struct graph *result)
{
    struct error err;
    int32_t last = graph->count - 1;
    assert_int_equal(graph_new(result, 1, TINY_SIDE, TINY_SIDE, &err), ST_OK);
    for (int32_t i = 1; i < last; i++)
        assert_int_equal(graph_append(result, graph->layers[i], NULL, &err), ST_OK);
    struct layer drop = {.kind = LAYER_DROPOUT, .rate = 0.25f, .input_count = 1, .inputs = {last - 1}};
    assert_int_equal(graph_append(result, drop, NULL, &err), ST_OK);
    struct layer dense = graph->layers[last];
    dense.inputs[0] = last;
    dense.id = 0;
    assert_int_equal(graph_append(result, dense, NULL, &err), ST_OK);
    assert_int_equal(graph_infer(result, &err), ST_OK);
}

struct trainer *crowd_trainer(const struct crowd *crowd, struct error *err)
{
    struct trainer_settings settings = tiny_task_settings();
    struct graph graph = {0};
    struct trainer *trainer;
    size_t bytes;
    settings.augment.translate = 1;
    settings.augment.flip = 1;
    settings.average = 0.9f;
    with_dropout(&crowd->tasks[0].graph, &graph);
    if (trainer_open(crowd->devices, crowd->count, &graph, &settings, SIZE_MAX, &trainer, &bytes, err) ==
        ST_OK) {
        float *values = tiny_task_weights(&graph, 1, NULL);
        if (trainer_load_values(trainer, values, err) != ST_OK) {
            trainer_close(trainer);
            trainer = NULL;
        }
        free(values);
    }
    graph_free(&graph);
    return trainer;
}

struct stop {
    struct trainer *trainer;
    uint32_t at; /* step after which a tick saves and stops; 0: never */
    const char *path;
};

static enum status on_epoch(void *context, const struct trainer_epoch *epoch, struct error *err)
{
    (void)context;
    (void)epoch;
    (void)err;
    return ST_OK;
}

static enum status on_tick(void *context, const struct trainer_state *state, double progress,
                           struct error *err)
{
    const struct stop *stop = context;
    (void)progress;
    if (stop->at == 0 || state->step < stop->at)
        return ST_OK;
    assert_int_equal(trainer_checkpoint(stop->trainer, stop->path, 7, err), ST_OK);
    return error_set(err, ST_INTERRUPTED, "stopped");
}

enum status crowd_train_steps(struct trainer *trainer, uint32_t steps, uint32_t stop_at, const char *path,
                              struct trainer_result *result, struct error *err)
{
    struct stop stop = {.trainer = trainer, .at = stop_at, .path = path};
    const struct trainer_events events = {.context = &stop, .on_epoch = on_epoch, .on_tick = on_tick};
    return trainer_run(trainer, (struct trainer_limit){.seconds = INFINITY, .steps = steps}, &events, result,
                       err);
}

enum status crowd_train(struct trainer *trainer, uint32_t stop_at, const char *path,
                        struct trainer_result *result, struct error *err)
{
    return crowd_train_steps(trainer, CROWD_STEPS, stop_at, path, result, err);
}

float *crowd_weights_after(const struct crowd *crowd, struct trainer_result *result, size_t *total)
{
    struct error err;
    struct trainer *trainer = crowd_trainer(crowd, &err);
    if (trainer == NULL)
        fail_msg("%s", err.message);
    if (crowd_train(trainer, 0, NULL, result, &err) != ST_OK)
        fail_msg("%s", err.message);
    *total = trainer_weights(trainer)->total;
    float *values = malloc(*total * sizeof(*values));
    assert_non_null(values);
    assert_int_equal(trainer_values(trainer, values, &err), ST_OK);
    trainer_close(trainer);
    return values;
}

/* ---- running statistics ---- */

struct average {
    const struct device_ops *ops;
    struct device *devices[CROWD_MOST];
    struct device_weights *weights[CROWD_MOST];
    struct device_group *group;
    enum weight_slot slot;
};

static enum status average_one(void *context, int32_t member, struct error *err)
{
    const struct average *average = context;
    return average->ops->group_average(average->group, average->devices[member], average->weights[member],
                                       average->slot, err);
}

/* Small whole numbers: their sum and mean are exact. */
static float value_of(int32_t member, size_t index)
{
    return (float)(4 * ((int32_t)(index % 97) - 40 * member));
}

static void check_averages(const struct average *average, const struct weight_table *table, int32_t count)
{
    float *values = malloc(table->total * sizeof(*values));
    struct error err;
    size_t averaged = 0;
    assert_non_null(values);
    for (int32_t k = 0; k < count; k++)
        for (enum weight_slot slot = SLOT_VALUE; slot <= SLOT_AVERAGE; slot++) {
            assert_int_equal(
                average->ops->weights_download(average->devices[k], average->weights[k], slot, values, &err),
                ST_OK);
            for (int32_t w = 0; w < table->count; w++) {
                const struct weight_tensor *tensor = &table->tensors[w];
                const bool mean = slot == average->slot && weight_is_statistic(tensor->role);
                for (size_t i = tensor->offset; i < tensor->offset + tensor->count; i++) {
                    float expected = 0.0f;
                    for (int32_t other = 0; other < count; other++)
                        expected += value_of(other, i) / (float)count;
                    averaged += mean;
                    assert_true(!(values[i] != (mean ? expected : value_of(k, i))));
                }
            }
        }
    assert_true(averaged > 0);
    free(values);
}

void crowd_averages(const struct device_ops *ops, int32_t count)
{
    struct crowd crowd;
    struct average average = {.ops = ops, .slot = SLOT_AVERAGE};
    const struct thread_team_work work = {.context = &average, .work = average_one};
    struct weight_table table = {0};
    struct thread_team *team;
    struct error err;
    crowd_open(&crowd, ops, count, true);
    assert_int_equal(weight_table_new(&table, &crowd.tasks[0].graph, &err), ST_OK);
    float *values = malloc(table.total * sizeof(*values));
    assert_non_null(values);
    for (int32_t k = 0; k < count; k++) {
        average.devices[k] = crowd.devices[k].handle;
        assert_int_equal(
            ops->weights_new(average.devices[k], &table, SLOT_GRADIENT, &average.weights[k], &err), ST_OK);
        for (size_t i = 0; i < table.total; i++)
            values[i] = value_of(k, i);
        for (enum weight_slot slot = SLOT_VALUE; slot <= SLOT_AVERAGE; slot++)
            assert_int_equal(ops->weights_upload(average.devices[k], average.weights[k], slot, values, &err),
                             ST_OK);
    }
    assert_int_equal(ops->group_open(average.devices, count, 60.0, &average.group, &err), ST_OK);
    assert_int_equal(thread_team_open(count, &team, &err), ST_OK);
    for (int time = 0; time < 2; time++) {
        assert_int_equal(thread_team_run(team, &work, &err), ST_OK);
        check_averages(&average, &table, count);
    }
    thread_team_close(team);
    ops->group_close(average.group);
    for (int32_t k = 0; k < count; k++)
        ops->weights_free(average.devices[k], average.weights[k]);
    free(values);
    weight_table_free(&table);
    crowd_close(&crowd);
}

static atomic_int averages;              /* calls of counted_average, of all members */
static const struct device_ops *counted; /* whose */

static enum status counted_average(struct device_group *group, struct device *device,
                                   struct device_weights *weights, enum weight_slot slot, struct error *err)
{
    atomic_fetch_add(&averages, 1);
    return counted->group_average(group, device, weights, slot, err);
}

void crowd_averages_seldom(const struct device_ops *ops)
{
    enum { MEMBERS = 2, EVALUATIONS = 3 }; /* two epochs and the step that is left */
    struct device_ops counting = *ops;
    struct crowd crowd;
    struct trainer_result result, again;
    struct error err;
    counted = ops;
    counting.group_average = counted_average;
    crowd_open(&crowd, &counting, MEMBERS, true);
    struct trainer *trainer = crowd_trainer(&crowd, &err);
    assert_non_null(trainer);
    averages = 0;
    assert_int_equal(crowd_train(trainer, 0, NULL, &result, &err), ST_OK);
    assert_int_equal(averages, EVALUATIONS * MEMBERS);
    float *values = malloc(trainer_weights(trainer)->total * sizeof(*values));
    assert_non_null(values);
    assert_int_equal(trainer_values(trainer, values, &err), ST_OK);
    assert_int_equal(trainer_evaluate(trainer, crowd.devices[0].validation, TINY_VALIDATION, &again, &err),
                     ST_OK);
    assert_int_equal(averages, EVALUATIONS * MEMBERS); /* no step was taken since */
    assert_true(again.loss == result.loss);
    free(values);
    trainer_close(trainer);
    crowd_close(&crowd);
}

void crowd_same_as_one(const struct device_ops *ops, int32_t most, double bound)
{
    struct crowd one, many;
    struct trainer_result expected, found;
    size_t total;
    crowd_open(&one, ops, 1, false);
    float *alone = crowd_weights_after(&one, &expected, &total);
    for (int32_t count = 2; count <= most; count += 2) {
        crowd_open(&many, ops, count, false);
        float *shared = crowd_weights_after(&many, &found, &total);
        double largest = 0.0, change = 0.0;
        float *fresh = tiny_task_weights(&many.tasks[0].graph, 1, NULL);
        for (size_t i = 0; i < total; i++) {
            largest = fmax(largest, fabs((double)shared[i] - (double)alone[i]));
            change = fmax(change, fabs((double)alone[i] - (double)fresh[i]));
        }
        assert_true(change > 0.01); /* it did learn something */
        assert_true(largest <= bound);
        assert_true(fabs(found.loss - expected.loss) <= bound * 10);
        assert_true(found.accuracy == expected.accuracy);
        free(fresh);
        free(shared);
        crowd_close(&many);
    }
    free(alone);
    crowd_close(&one);
}
