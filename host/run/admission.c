#include "host/run/admission.h"

#include "host/net/cost.h"
#include "host/run/run_budget.h"
#include "host/run/store.h"
#include "host/run/testing.h"

#include <stdlib.h>

/* ---- memory ---- */

/* What the devices have for a training: `most` by their size, shared with those that train beside it, and `now`, the
 * fullest's, which is never more. Of the host's memory a test's answers take their part. */
struct room {
    size_t most, now;
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t without(size_t bytes, size_t taken)
{
    return bytes > taken ? bytes - taken : 0;
}

static struct room room_on(const struct run *run, const struct candidate *candidate, struct team team,
                           size_t answers)
{
    const size_t beside = candidate->final || run->sharing.workers < 1 ? 1 : (size_t)run->sharing.workers;
    struct room room = {SIZE_MAX, SIZE_MAX};
    for (int32_t k = team.first; k < team.first + team.count; k++) {
        struct device_info info;
        run->ops->info(run->devices.items[k].device, &info);
        /* A limit that can't be read again is still there. */
        const size_t total = smaller(info.memory_total, run->device_info.memory_total);
        const size_t taken = total / ADMISSION_RESERVE + (run->memory.device_is_host ? answers : 0);
        room.most = smaller(room.most, without(total, taken) / beside);
        room.now = smaller(room.now, without(info.memory_free, taken));
    }
    room.now = smaller(room.now, room.most);
    return room;
}

/* After ST_MEMORY lets kept weights but model `kept`'s leave the devices; false when there are none left. What goes
 * wrong on the way takes the place of *st. */
static bool evict(struct run *run, enum status *st, struct team team, int32_t kept, struct error *err)
{
    bool any = false;
    for (int32_t k = team.first; *st == ST_MEMORY && k < team.first + team.count; k++) {
        struct error own; /* err holds what there was no memory for */
        bool freed = false;
        if (weight_cache_evict(run->weights, k, kept, &freed, &own) != ST_OK) {
            *err = own;
            *st = own.status;
            return false;
        }
        any = any || freed;
    }
    return any;
}

/* What wants for memory. */
struct pressed {
    struct team team; /* the devices that lack it */
    int32_t kept;     /* the model whose weights are not to be sent away; -1: none */
    int32_t least;    /* images of a batch */
    bool too_large;   /* whatever else is there */
};

/* Whether to try again with less: fewer kept weights, or half the batch, but not below `least`; with a budget that has
 * nothing to do with time only what is too large for the devices, whatever else they hold, gets a smaller batch, or the
 * same job would not give the same models. */
static bool make_room(struct run *run, const struct pressed *pressed, enum status *st, int32_t *batch,
                      struct error *err)
{
    if (evict(run, st, pressed->team, pressed->kept, err))
        return true;
    if (*st != ST_MEMORY || *batch / 2 < pressed->least || (run_repeats(run) && !pressed->too_large))
        return false;
    *batch /= 2;
    return true;
}

/* ---- trainers ---- */

static enum status prepare_trainer(const struct run *run, const struct candidate *candidate, struct team team,
                                   struct trainer **trainer, struct error *err)
{
    const struct recipe *recipe = &candidate->recipe;
    const int32_t batches_of = recipe->batches_of >= 0 ? recipe->batches_of : candidate->id;
    const uint64_t seed = inherit_seed((uint64_t)run->job->seed, batches_of, -1);
    const struct job_train train =
        recipe_train(&run->job->train, &recipe->hyperparameters, candidate->graph.layers[0].shape);
    struct trainer_device devices[DEVICES_MOST];
    struct trainer_settings settings;
    *trainer = NULL;
    for (int32_t k = 0; k < team.count; k++)
        devices[k] = run_trainer_device(run, team.first + k, candidate->final);
    trainer_settings_of(&train, candidate->batch, seed, &settings);
    settings.labels = candidate_leaves_state(candidate) ? run->data.labels : NULL;
    settings.progressive = candidate->progressive;
    /* A later stage's final fit goes on from this one's weights, and could not be validated any more. */
    settings.use_validation = candidate->final && testing_joins(run);
    return trainer_prepare(devices, team.count, &candidate->graph, &settings, trainer, err);
}

void admission_prepare_ahead(const struct run *run, struct candidate *candidate, int32_t device)
{
    const struct team team = {device, 1};
    struct error ignored; /* when its turn comes it is prepared again, and what is wrong is said then */
    (void)prepare_trainer(run, candidate, team, &candidate->ahead, &ignored);
    candidate->ahead_on = device;
}

/* What was prepared ahead, if it is what is wanted now. */
static struct trainer *take_ahead(struct candidate *candidate, struct team team)
{
    struct trainer *ahead = candidate->ahead;
    candidate->ahead = NULL;
    if (ahead != NULL &&
        (team.count != 1 || candidate->ahead_on != team.first || trainer_batch(ahead) != candidate->batch)) {
        trainer_close(ahead);
        ahead = NULL;
    }
    return ahead;
}

enum status admission_open(struct run *run, struct candidate *candidate, struct team team, int32_t least,
                           struct memory_need *need, struct trainer **trainer, struct error *err)
{
    struct pressed pressed = {.team = team, .kept = -1, .least = least};
    enum status st;
    do {
        struct team sharing = {team.first, devices_sharing(team.count, candidate->batch)};
        pressed.too_large = false;
        *trainer = take_ahead(candidate, sharing);
        st = *trainer != NULL ? ST_OK : prepare_trainer(run, candidate, sharing, trainer, err);
        if (st == ST_OK) {
            pthread_mutex_lock(&run->admission);
            const struct room room = room_on(run, candidate, sharing, need->answers);
            st = trainer_bind(*trainer, room.now, &need->training, err);
            pthread_mutex_unlock(&run->admission);
            pressed.too_large = need->training > room.most;
        }
        if (st != ST_OK) {
            trainer_close(*trainer);
            *trainer = NULL;
        }
        need->devices = sharing.count;
    } while (make_room(run, &pressed, &st, &candidate->batch, err));
    if (st == ST_MEMORY && pressed.too_large && run_repeats(run))
        st = err->status = ST_UNSUPPORTED;
    if (st == ST_OK)
        need->values = trainer_weights(*trainer)->total * sizeof(float);
    return st;
}

/* ---- weights ---- */

static double score_of(struct run *run, int32_t id)
{
    run_lock(run);
    const struct search_model *model = search_find(run->search, id);
    double score = model != NULL ? model->score : 0.0;
    run_unlock(run);
    return score;
}

/* From the model's file into the weight cache. */
static enum status read_weights(struct run *run, int32_t device, int32_t id, struct device_weights **weights,
                                struct error *err)
{
    struct device *handle = run->devices.items[device].device;
    struct weight_table table = {0};
    struct graph graph = {0};
    float *values = NULL;

    *weights = NULL;
    enum status st = store_load(run, id, &graph, &values, err);
    if (st == ST_OK)
        st = weight_table_new(&table, &graph, err);
    if (st == ST_OK)
        st = run->ops->weights_new(handle, &table, 1, weights, err);
    if (st == ST_OK)
        st = run->ops->weights_upload(handle, *weights, SLOT_VALUE, values, err);
    if (st == ST_OK)
        st = weight_cache_add(run->weights, device, id, score_of(run, id), *weights, &table, err);
    if (st != ST_OK) {
        run->ops->weights_free(handle, *weights);
        *weights = NULL;
    }
    weight_table_free(&table);
    graph_free(&graph);
    free(values);
    return st;
}

/* Model `id`'s weights on that device: the weight cache's, to be used before anything else is asked of it; from its
 * file where the weight cache has none. */
static enum status find_weights(struct run *run, int32_t device, int32_t id, struct device_weights **weights,
                                struct error *err)
{
    const struct team team = {device, 1};
    enum status st;
    do {
        st = weight_cache_find(run->weights, device, id, weights, err);
        if (st == ST_OK && *weights == NULL)
            st = read_weights(run, device, id, weights, err);
    } while (evict(run, &st, team, id, err));
    return st;
}

/* The parent's graph, as the search knows it. */
static enum status copy_parent(struct run *run, int32_t id, struct graph *graph, struct error *err)
{
    run_lock(run);
    const struct search_model *model = search_find(run->search, id);
    enum status st = model != NULL ? graph_copy(graph, &model->graph, err)
                                   : error_set(err, ST_RANGE, "parent %d is unknown", (int)id);
    run_unlock(run);
    return st;
}

/* All its slots, and one more while a morph makes new ones of them. */
static size_t past_bytes(const struct trainer_past *past, const struct weight_table *table)
{
    return ((size_t)past->slots + 1) * table->total * sizeof(float);
}

enum status admission_read_past(struct run *run, const struct candidate *candidate, struct trainer_past *past,
                                struct memory_need *need, struct error *err)
{
    struct graph parent = {0};
    struct weight_table table = {0};
    char *path = run_state_path(run, candidate->parent);
    enum status st =
        path != NULL ? copy_parent(run, candidate->parent, &parent, err) : error_memory(err, "path", 0);
    if (st == ST_OK)
        st = weight_table_new(&table, &parent, err);
    if (st == ST_OK)
        st = trainer_past_read(past, path, &table, err);
    need->past = past_bytes(past, &table);
    weight_table_free(&table);
    graph_free(&parent);
    free(path);
    return st;
}

/* What a past is evaluated with, on the device; the caller's to free. */
static enum status upload_past(struct run *run, int32_t device, const struct graph *graph,
                               const struct trainer_past *past, struct device_weights **weights,
                               struct error *err)
{
    struct device *handle = run->devices.items[device].device;
    const float *values = trainer_past_evaluated(past, (float)run->job->train.average);
    struct weight_table table = {0};
    *weights = NULL;
    enum status st = weight_table_new(&table, graph, err);
    if (st == ST_OK)
        st = run->ops->weights_new(handle, &table, 1, weights, err);
    if (st == ST_OK)
        st = run->ops->weights_upload(handle, *weights, SLOT_VALUE, values, err);
    weight_table_free(&table);
    return st;
}

/* The past of the child, and what it takes. */
static enum status hand_on(const struct run *run, const struct candidate *candidate,
                           const struct graph *parent, const struct inheritance *inherited,
                           struct trainer_past *past, struct memory_need *need, struct error *err)
{
    struct weight_table table = {0};
    enum status st = inherit_past(parent, candidate->morphs, inherited, (uint64_t)run->job->seed,
                                  candidate->id, past, err);
    if (st == ST_OK)
        st = weight_table_new(&table, &inherited->graph, err);
    const size_t bytes = past_bytes(past, &table);
    need->past = bytes > need->past ? bytes : need->past;
    weight_table_free(&table);
    return st;
}

/* Whether it is the first time that there is no memory. */
static bool once_more(enum status st, bool *tried)
{
    const bool first = st == ST_MEMORY && !*tried;
    *tried = *tried || first;
    return first;
}

enum status admission_inherit(struct run *run, struct candidate *candidate, int32_t device,
                              struct trainer_past *past, struct inheritance *inherited,
                              struct memory_need *need, struct error *err)
{
    const struct trainer_device target = run_trainer_device(run, device, false);
    const struct team team = {device, 1};
    struct graph parent = {0};
    struct inherit_order order = {.device = &target,
                                  .parent = &parent,
                                  .morphs = candidate->morphs,
                                  .morph_count = candidate->morph_count,
                                  .noise = (float)run->job->search.noise,
                                  .seed = (uint64_t)run->job->seed,
                                  .id = candidate->id};

    struct pressed pressed = {.team = team, .kept = candidate->parent, .least = ADMISSION_LEAST_BATCH};
    bool tried = false;
    enum status st = copy_parent(run, candidate->parent, &parent, err);
    if (st != ST_OK)
        return st;
    do {
        inheritance_free(&target, inherited);
        order.batch = candidate->batch;
        st = past != NULL ? upload_past(run, device, &parent, past, &order.parent_weights, err)
                          : find_weights(run, device, candidate->parent, &order.parent_weights, err);
        if (st == ST_OK)
            st = inherit(&order, inherited, err);
        if (past != NULL)
            run->ops->weights_free(target.handle, order.parent_weights);
        /* How much it takes is known only when it is there: what fails twice on a device of its own is taken for too
         * large. */
        pressed.too_large = tried && !run->memory.device_is_host;
    } while (make_room(run, &pressed, &st, &candidate->batch, err) || once_more(st, &tried));
    need->inheritance = inherited->device_bytes;
    need->parent = (size_t)cost_of_graph(&parent).parameters * sizeof(float);
    if (st == ST_OK && past != NULL)
        st = hand_on(run, candidate, &parent, inherited, past, need, err);
    graph_free(&parent);
    return st;
}
