#include "host/run/trainers.h"

#include <math.h>

static struct trainer_place place_of(const struct run *run, int32_t device, bool final)
{
    double share = final ? 1.0 : run->job->search.data;
    int32_t count = (int32_t)ceil(share * run->data.sample_count[SPLIT_TRAIN]);
    return (struct trainer_place){
        .ops = run->ops,
        .device = run->devices.items[device].device,
        .dataset = run->devices.items[device].data,
        .train = run->data.samples[SPLIT_TRAIN],
        .train_count = count,
        .validation = run->data.samples[SPLIT_VALIDATION],
        .validation_count = run->data.sample_count[SPLIT_VALIDATION],
    };
}

/* What the fullest of the first `count` devices has left. */
static size_t free_bytes(const struct run *run, int32_t count)
{
    size_t least = SIZE_MAX;
    for (int32_t k = 0; k < count; k++) {
        struct device_info info;
        run->ops->info(run->devices.items[k].device, &info);
        least = info.memory_free < least ? info.memory_free : least;
    }
    return least;
}

/* Whether to try again with half the batch. */
static bool halve(enum status st, int32_t least, int32_t *batch)
{
    if (st != ST_MEMORY || *batch / 2 < least)
        return false;
    *batch /= 2;
    return true;
}

enum status trainers_open(struct run *run, const struct graph *graph, int32_t id, bool final, int32_t least,
                          int32_t *batch, struct memory_need *need, struct trainer **trainer,
                          struct error *err)
{
    const uint64_t seed = inherit_seed((uint64_t)run->job->seed, id, -1);
    struct trainer_place places[DEVICES_MOST];
    struct job_train job = run->job->train;
    struct trainer_settings settings;
    enum status st;
    do {
        const int32_t count = devices_sharing(&run->devices, *batch);
        for (int32_t k = 0; k < count; k++)
            places[k] = place_of(run, k, final);
        job.batch = *batch;
        st = trainer_settings_of(&job, seed, &settings, err);
        if (st == ST_OK)
            st = trainer_open(places, count, graph, &settings, free_bytes(run, count), trainer,
                              &need->training, err);
        need->devices = count;
    } while (halve(st, least, batch));
    if (st == ST_OK) {
        need->values = trainer_weights(*trainer)->total * sizeof(float);
        memory_plan(&run->memory, need);
    }
    return st;
}

enum status trainers_inherit(struct run *run, const struct record_candidate *candidate,
                             const struct graph *parent, const float *parent_values,
                             const struct proposal *proposal, int32_t *batch, struct inheritance *inherited,
                             struct error *err)
{
    const struct trainer_place place = place_of(run, 0, candidate->final);
    enum status st;
    do {
        inheritance_free(inherited);
        st = inherit(&place, *batch, parent, parent_values, proposal != NULL ? proposal->morphs : NULL,
                     proposal != NULL ? proposal->morph_count : 0, (float)run->job->search.noise,
                     (uint64_t)run->job->seed, candidate->id, inherited, err);
    } while (halve(st, TRAINERS_LEAST_BATCH, batch));
    return st;
}
