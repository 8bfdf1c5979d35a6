#include "tools/predict/pipeline.h"

#include "host/base/limits.h"
#include "host/base/streams.h"
#include "host/base/thread_team.h"
#include "host/machine/devices.h"
#include "tools/predict/batch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Images of a step: what a processor's caches hold, and what keeps a GPU busy. Batches that may wait for earlier ones
 * to be written, for each thread. */
enum { BATCH_HOST = 32, BATCH_GPU = 256, BATCHES_EACH = 4 };

/* A network that is ready. Those of the host belong to a thread each; a GPU's is shared. */
struct engine {
    struct predictor predictor;
    pthread_mutex_t lock; /* of it */
};

/* What a thread has for itself. */
struct worker {
    struct image_reader *reader;
    uint8_t *pixels; /* [batch, values of an image] */
    struct answer_room room;
};

struct pipeline {
    const struct predict_options *options;
    struct source *source;
    const struct answer_style *style;
    struct pipeline_count *count;
    struct devices devices;
    struct engine *engines;
    struct worker *workers;
    int32_t engine_count, worker_count;

    pthread_mutex_t taking; /* of the source, and of who takes the next batch */
    bool empty;             /* the source is */
    bool first;             /* the first batch is filled, but nobody has taken it */

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    struct batch *batches; /* batch number n is batches[n % batch_count] */
    bool *done;            /* [batch_count]: it waits to be written */
    int32_t batch_count;
    int64_t taken, written; /* batches */
    bool ended;             /* nothing more is taken */
    bool stopped;           /* nothing more is written, either */
};

/* ---- the order of the batches ---- */

/* The next batch, filled; NULL when there is none. */
static enum status take(struct pipeline *p, struct batch **batch, struct error *err)
{
    enum status st = ST_OK;
    *batch = NULL;
    pthread_mutex_lock(&p->taking);
    pthread_mutex_lock(&p->lock);
    while (!p->ended && p->taken - p->written == p->batch_count)
        pthread_cond_wait(&p->changed, &p->lock);
    const bool over = p->ended || (p->empty && !p->first);
    struct batch *next = &p->batches[p->taken % p->batch_count];
    pthread_mutex_unlock(&p->lock);
    if (!over && !p->first) {
        st = batch_fill(next, p->source, err);
        p->empty = st != ST_OK || next->count < next->most;
    }
    p->first = false;
    if (!over && st == ST_OK && next->count > 0) {
        pthread_mutex_lock(&p->lock);
        p->taken++;
        pthread_mutex_unlock(&p->lock);
        *batch = next;
    }
    pthread_mutex_unlock(&p->taking);
    return st;
}

/* Writes out what is done, as far as all before it is. The lock is held. */
static enum status write_out(struct pipeline *p, struct error *err)
{
    while (!p->stopped && p->done[p->written % p->batch_count]) {
        const struct batch *batch = &p->batches[p->written % p->batch_count];
        fwrite(batch->answers, 1, batch->answer_length, stdout);
        if (streams_flush_output(err) != ST_OK) {
            p->stopped = true;
            return ST_IO;
        }
        fwrite(batch->failures, 1, batch->failure_length, stderr);
        p->count->classified += batch->classified;
        p->count->failed += batch->failed;
        p->done[p->written % p->batch_count] = false;
        p->written++;
        p->stopped = batch->stopped;
        p->ended = p->ended || p->stopped;
    }
    return ST_OK;
}

static enum status finish(struct pipeline *p, const struct batch *batch, struct error *err)
{
    pthread_mutex_lock(&p->lock);
    p->done[batch - p->batches] = true;
    enum status st = write_out(p, err);
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    return st;
}

/* ---- a thread's work ---- */

static enum status classify(struct pipeline *p, struct worker *worker, struct engine *engine,
                            struct batch *batch, struct error *err)
{
    struct predictor *predictor = &engine->predictor;
    const size_t bytes = predictor_image_bytes(predictor);
    enum status st = batch_decode(batch, p->source, worker->reader, bytes, worker->pixels, err);
    if (st != ST_OK)
        return st;
    pthread_mutex_lock(&engine->lock);
    memcpy(predictor->pixels, worker->pixels, (size_t)batch->count * bytes);
    st = batch_has_images(batch) ? predictor_run(predictor, batch->count, err) : ST_OK;
    if (st == ST_OK)
        st =
            batch_write(batch, p->source, p->style, predictor->answers, p->options->stop, &worker->room, err);
    pthread_mutex_unlock(&engine->lock);
    return st;
}

static enum status work(void *context, int32_t member, struct error *err)
{
    struct pipeline *p = context;
    for (;;) {
        struct batch *batch;
        enum status st = take(p, &batch, err);
        if (st != ST_OK || batch == NULL)
            return st;
        st = classify(p, &p->workers[member], &p->engines[member % p->engine_count], batch, err);
        if (st == ST_OK)
            st = finish(p, batch, err);
        if (st != ST_OK)
            return st;
    }
}

/* What was taken before it is written by those who have it. */
static void failed(void *context, int32_t member, const struct error *err)
{
    struct pipeline *p = context;
    (void)member;
    (void)err;
    pthread_mutex_lock(&p->lock);
    p->ended = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

/* ---- opening and closing ---- */

static enum status choose_device(struct pipeline *p, struct error *err)
{
    struct job job = {.devices = {.count = 1, .items = {p->options->device}},
                      .threads = 1,
                      .search = {.workers_per_device = 1},
                      .train = {.precision = JOB_PRECISION_FP32}};
    return devices_choose(&job, &p->devices, err) == ST_OK ? ST_OK : error_prefix(err, "--device");
}

static enum status open_engines(struct pipeline *p, const struct model *model, int32_t batch,
                                struct error *err)
{
    enum status st = ST_OK;
    p->engines = calloc((size_t)p->engine_count, sizeof(*p->engines));
    if (p->engines == NULL)
        return error_memory(err, "networks", (size_t)p->engine_count * sizeof(*p->engines));
    for (int32_t k = 0; k < p->engine_count; k++)
        pthread_mutex_init(&p->engines[k].lock, NULL);
    for (int32_t k = 0; st == ST_OK && k < p->engine_count; k++) {
        struct predictor *predictor = &p->engines[k].predictor;
        predictor->model = model;
        predictor->device_index = p->devices.options[0].index;
        predictor->threads = 1;
        st = predictor_open(predictor, p->devices.ops, batch, p->options->views, err);
    }
    return st;
}

static enum status open_workers(struct pipeline *p, const struct model *model, int32_t batch,
                                struct error *err)
{
    const struct shape image = model->graph.layers[0].shape;
    const size_t bytes = (size_t)batch * (size_t)image.c * (size_t)image.h * (size_t)image.w;
    enum status st = ST_OK;
    p->workers = calloc((size_t)p->worker_count, sizeof(*p->workers));
    if (p->workers == NULL)
        return error_memory(err, "threads", (size_t)p->worker_count * sizeof(*p->workers));
    for (int32_t k = 0; st == ST_OK && k < p->worker_count; k++) {
        struct worker *worker = &p->workers[k];
        st = image_reader_new(image.c, image.h, image.w, model->about.fit, &worker->reader, err);
        worker->pixels = malloc(bytes);
        if (st == ST_OK && worker->pixels == NULL)
            st = error_memory(err, "images", bytes);
        if (st == ST_OK)
            st = answer_room_open(&worker->room, &model->about, err);
    }
    return st;
}

static enum status open_batches(struct pipeline *p, int32_t batch, struct error *err)
{
    enum status st = ST_OK;
    p->batches = calloc((size_t)p->batch_count, sizeof(*p->batches));
    p->done = calloc((size_t)p->batch_count, sizeof(*p->done));
    if (p->batches == NULL || p->done == NULL)
        return error_memory(err, "batches", (size_t)p->batch_count * sizeof(*p->batches));
    for (int32_t k = 0; st == ST_OK && k < p->batch_count; k++)
        st = batch_open(&p->batches[k], batch, err);
    return st;
}

/* Few images need neither a whole batch nor several threads: the first ones are read before anything is made ready. */
static enum status open_all(struct pipeline *p, const struct model *model, struct error *err)
{
    cpu_set_t allowed;
    enum status st = choose_device(p, err);
    if (st != ST_OK)
        return st;
    int32_t batch = devices_are_host(&p->devices) ? BATCH_HOST : BATCH_GPU;
    p->worker_count = p->options->threads > 0 ? p->options->threads : limits_threads(&allowed);
    p->batch_count = BATCHES_EACH * p->worker_count;
    st = open_batches(p, batch, err);
    if (st == ST_OK)
        st = batch_fill(&p->batches[0], p->source, err);
    if (st != ST_OK)
        return st;
    p->first = true;
    p->empty = p->batches[0].count < batch;
    if (p->empty) {
        batch = p->batches[0].count > 0 ? p->batches[0].count : 1;
        p->worker_count = 1;
    }
    p->engine_count = devices_are_host(&p->devices) ? p->worker_count : 1;
    st = open_workers(p, model, batch, err);
    return st == ST_OK ? open_engines(p, model, batch, err) : st;
}

static void close_all(struct pipeline *p)
{
    for (int32_t k = 0; p->engines != NULL && k < p->engine_count; k++) {
        predictor_close(&p->engines[k].predictor);
        pthread_mutex_destroy(&p->engines[k].lock);
    }
    for (int32_t k = 0; p->workers != NULL && k < p->worker_count; k++) {
        image_reader_free(p->workers[k].reader);
        free(p->workers[k].pixels);
        answer_room_close(&p->workers[k].room);
    }
    for (int32_t k = 0; p->batches != NULL && k < p->batch_count; k++)
        batch_close(&p->batches[k]);
    free(p->engines);
    free(p->workers);
    free(p->batches);
    free(p->done);
    devices_close(&p->devices);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->taking);
}

enum status pipeline_run(const struct predict_options *options, struct source *source,
                         const struct model *model, const struct answer_style *style,
                         struct pipeline_count *count, struct error *err)
{
    struct pipeline p = {.options = options, .source = source, .style = style, .count = count};
    const struct thread_team_work job = {.context = &p, .work = work, .failed = failed};
    struct thread_team *team = NULL;
    pthread_mutex_init(&p.taking, NULL);
    pthread_mutex_init(&p.lock, NULL);
    pthread_cond_init(&p.changed, NULL);
    enum status st = open_all(&p, model, err);
    if (st == ST_OK) {
        answers_head(style, stdout);
        st = thread_team_open(p.worker_count, &team, err);
    }
    if (st == ST_OK)
        st = thread_team_run(team, &job, err);
    thread_team_close(team);
    close_all(&p);
    return st;
}
