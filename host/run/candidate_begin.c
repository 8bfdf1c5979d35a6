/* How a candidate's training begins: the trainer, its room in memory, and the weights that it starts from. */
#include "host/run/admission.h"
#include "host/run/candidate_internal.h"
#include "host/run/record.h"
#include "host/run/store.h"

#include <math.h>
#include <stdlib.h>

/* Of what is drawn for a candidate (inherit_seed), beside its batches and its morphs. */
enum { FRESH_WEIGHTS = -2 };

/* A child's weights from its parent's, on the device, or from its past. */
static enum status inherit_weights(struct training *training, struct trainer_past *past,
                                   struct inheritance *inherited, struct error *err)
{
    struct candidate *candidate = training->candidate;
    struct run *run = training->run;
    enum status st =
        admission_inherit(run, candidate, training->team.first, past, inherited, &training->need, err);
    for (int32_t i = 0; st == ST_OK && i < inherited->count; i++) {
        run_lock(run);
        st = record_morph(run, candidate->id, candidate->operations[i], inherited->differences[i],
                          inherited->losses[i], err);
        if (st == ST_OK && !isnan(inherited->losses[i]))
            display_say(&run->display, 1, "  model %d  %s: val loss %.4f before its training",
                        (int)candidate->id, candidate->operations[i], inherited->losses[i]);
        run_unlock(run);
    }
    return st;
}

/* Fresh ones of its recipe, or those of the file that it starts from; *made is the caller's. */
static enum status draw_weights(const struct training *training, float **made, struct error *err)
{
    const struct weight_table *table = trainer_weights(training->trainer);
    const int32_t fresh = training->candidate->recipe.fresh;
    const uint64_t seed = (uint64_t)training->run->job->seed;
    *made = calloc(table->total + 1, sizeof(float)); /* + 1: calloc may return NULL for nothing */
    if (*made == NULL)
        return error_memory(err, "weights", table->total * sizeof(float));
    weight_initialise(table, &training->candidate->graph,
                      fresh >= 0 ? inherit_seed(seed, fresh, FRESH_WEIGHTS) : seed, &training->run->whitening,
                      *made);
    start_files_fill(&training->run->files, training->candidate->start, table, *made);
    return ST_OK;
}

static enum status fresh_weights(struct training *training, struct error *err)
{
    float *values;
    enum status st = draw_weights(training, &values, err);
    if (st == ST_OK)
        st = trainer_load_values(training->trainer, values, err);
    free(values);
    return st;
}

static enum status shrink_weights(const struct training *training, float *values, struct error *err)
{
    float *fresh;
    enum status st = draw_weights(training, &fresh, err);
    if (st == ST_OK)
        weight_shrink(trainer_weights(training->trainer), fresh, training->candidate->recipe.shrink,
                      RECIPE_PERTURB, values);
    free(fresh);
    return st;
}

/* A model's, as they are or shrunk, from its file: a final fit may train on several devices, and leaves the weight
 * cache alone. */
static enum status stored_weights(struct training *training, struct error *err)
{
    struct graph graph = {0};
    float *values = NULL;
    enum status st = store_load(training->run, training->candidate->source, &graph, &values, err);
    if (st == ST_OK && !isnan(training->candidate->recipe.shrink))
        st = shrink_weights(training, values, err);
    if (st == ST_OK)
        st = trainer_load_values(training->trainer, values, err);
    graph_free(&graph);
    free(values);
    return st;
}

static enum status restored_weights(struct training *training, struct error *err)
{
    uint64_t note;
    char *path = run_checkpoint_path(training->run, training->candidate->id);
    enum status st =
        path != NULL ? trainer_restore(training->trainer, path, &note, err) : error_memory(err, "path", 0);
    training->epochs = trainer_state(training->trainer)->epoch;
    if (st == ST_OK) {
        run_lock(training->run);
        display_say(&training->run->display, 1, "  model %d goes on from step %u",
                    (int)training->candidate->id, trainer_state(training->trainer)->step);
        run_unlock(training->run);
    }
    free(path);
    return st;
}

/* A trainer that fits into the devices' memory, and what it takes noted. */
static enum status admit(struct training *training, struct error *err)
{
    struct candidate *candidate = training->candidate;
    struct run *run = training->run;
    const int32_t least = candidate->restored ? candidate->batch : ADMISSION_LEAST_BATCH;
    enum status st =
        admission_open(run, candidate, training->team, least, &training->need, &training->trainer, err);
    if (st != ST_OK)
        return st;
    const size_t cached = weight_cache_bytes(run->weights, run->memory.device_is_host);
    run_lock(run);
    memory_reserve(&run->memory, &training->need, cached);
    training->reserved = true;
    if (!candidate->restored) {
        const int32_t wanted = candidate->final ? run->batches.final : run->batches.candidate;
        if (candidate->batch < wanted)
            display_say(&run->display, 0,
                        "  model %d is trained with a batch of %d instead of %d, for want of memory",
                        (int)candidate->id, (int)candidate->batch, (int)wanted);
        st = record_plan(run, candidate->id, candidate->batch, wanted, &training->need, err);
    }
    run_unlock(run);
    return st;
}

static enum status load_weights(struct training *training, const struct trainer_past *past,
                                const struct inheritance *inherited, struct error *err)
{
    const struct candidate *candidate = training->candidate;
    if (candidate->restored)
        return restored_weights(training, err);
    if (past != NULL)
        return trainer_go_on(training->trainer, past, err);
    if (inherited->weights != NULL)
        return trainer_load_weights(training->trainer,
                                    training->run->devices.items[training->team.first].device,
                                    inherited->weights, err);
    return candidate->source >= 0 ? stored_weights(training, err) : fresh_weights(training, err);
}

enum status candidate_begin(struct training *training, struct error *err)
{
    const struct candidate *candidate = training->candidate;
    const struct trainer_device first = run_trainer_device(training->run, training->team.first, false);
    const bool inherits = candidate->morph_count > 0 && !candidate->restored;
    const bool goes_on = candidate->recipe.goes_on && !candidate->restored;
    struct inheritance inherited = {0};
    struct trainer_past read = {0}, *past = goes_on ? &read : NULL;

    enum status st =
        goes_on ? admission_read_past(training->run, candidate, past, &training->need, err) : ST_OK;
    if (st == ST_OK && inherits)
        st = inherit_weights(training, past, &inherited, err);
    if (st == ST_OK)
        st = admit(training, err);
    if (st == ST_OK)
        st = load_weights(training, past, &inherited, err);
    inheritance_free(&first, &inherited);
    trainer_past_free(&read);
    return st;
}
