#include "host/inference/evaluate.h"

#include "host/inference/code.h"
#include "host/inference/evaluate_layer.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { N = EVALUATE_LANES, ALIGNMENT = 64 };

/* What a thread works with. */
struct lane_memory {
    float *arena, *patch;
    struct value_range *ranges; /* NULL: not asked for */
};

struct evaluating {
    const struct evaluation *evaluation;
    float *kernels; /* [table.total]: values, or codes as floats */
    struct lane_memory *threads;
    int thread_count;
};

static float *floats(size_t count)
{
    const size_t bytes = (count * N * sizeof(float) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    float *made = aligned_alloc(ALIGNMENT, bytes);
    if (made != NULL)
        memset(made, 0, bytes);
    return made;
}

static struct value_range *new_ranges(int32_t layers)
{
    struct value_range *ranges = malloc((size_t)layers * sizeof(*ranges));
    if (ranges != NULL)
        value_ranges_begin(ranges, layers);
    return ranges;
}

static enum status make_room(struct evaluating *e, bool ranged, struct error *err)
{
    const struct model *folded = e->evaluation->folded;
    const struct quantisation *codes = e->evaluation->quantisation;
    const size_t arena = e->evaluation->plan->arena, patch = plan_patch(&folded->graph);
    e->kernels = malloc(folded->table.total * sizeof(*e->kernels));
    e->threads = calloc((size_t)e->thread_count, sizeof(*e->threads));
    if (e->kernels == NULL || e->threads == NULL)
        return error_memory(err, "weights", folded->table.total * sizeof(*e->kernels));
    for (size_t i = 0; i < folded->table.total; i++)
        e->kernels[i] = codes != NULL ? (float)codes->kernels[i] : folded->values[i];
    for (int t = 0; t < e->thread_count; t++) {
        struct lane_memory *memory = &e->threads[t];
        memory->arena = floats(arena);
        memory->patch = floats(patch);
        memory->ranges = ranged ? new_ranges(folded->graph.count) : NULL;
        if (memory->arena == NULL || memory->patch == NULL || (ranged && memory->ranges == NULL))
            return error_memory(err, "images", (arena + patch) * N * sizeof(float));
    }
    return ST_OK;
}

static void free_room(struct evaluating *e)
{
    for (int t = 0; e->threads != NULL && t < e->thread_count; t++) {
        free(e->threads[t].arena);
        free(e->threads[t].patch);
        free(e->threads[t].ranges);
    }
    free(e->threads);
    free(e->kernels);
}

/* The first layer: pixels of `count` images, normalised; lanes beyond them have the last one's. */
static void load_images(const struct evaluation *evaluation, const uint8_t *pixels, int32_t count,
                        float *values)
{
    const struct model *folded = evaluation->folded;
    const struct shape image = folded->graph.layers[0].shape;
    const size_t plane = (size_t)image.h * (size_t)image.w;
    for (int32_t c = 0; c < image.c; c++) {
        int8_t codes[CODES] = {0};
        float table[CODES];
        if (evaluation->quantisation != NULL)
            code_pixels(&folded->about, c, evaluation->quantisation->codings[0], codes);
        for (int32_t i = 0; i < CODES; i++)
            table[i] = evaluation->quantisation != NULL
                           ? (float)codes[i]
                           : (float)((i / 255.0 - (double)folded->about.mean[c]) /
                                     (double)folded->about.deviation[c]);
        for (int32_t n = 0; n < N; n++) {
            const int32_t which = n < count ? n : count - 1;
            const uint8_t *from = pixels + ((size_t)which * (size_t)image.c + (size_t)c) * plane;
            for (size_t place = 0; place < plane; place++)
                values[(place * (size_t)image.c + (size_t)c) * N + (size_t)n] = table[from[place]];
        }
    }
}

static void widen(struct value_range *range, const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        range->low = values[i] < range->low ? values[i] : range->low;
        range->high = values[i] > range->high ? values[i] : range->high;
    }
}

static void take_softmax(const struct model *folded, const float *logits, int32_t n, float *probabilities)
{
    const int32_t classes = folded->about.classes;
    const double inverse = 1.0 / (double)folded->about.plain_temperature;
    double largest = -INFINITY, sum = 0.0;
    for (int32_t k = 0; k < classes; k++)
        largest = fmax(largest, (double)logits[k * N + n]);
    for (int32_t k = 0; k < classes; k++)
        sum += exp(((double)logits[k * N + n] - largest) * inverse);
    for (int32_t k = 0; k < classes; k++)
        probabilities[k] = (float)(exp(((double)logits[k * N + n] - largest) * inverse) / sum);
}

static void take_sigmoid(const struct model *folded, const float *logits, int32_t n, float *probabilities)
{
    const double inverse = 1.0 / (double)folded->about.plain_temperature;
    for (int32_t k = 0; k < folded->about.classes; k++)
        probabilities[k] = (float)(1.0 / (1.0 + exp(-(double)logits[k * N + n] * inverse)));
}

static void take_probabilities(const struct model *folded, const float *logits, int32_t count,
                               float *probabilities)
{
    for (int32_t n = 0; n < count; n++) {
        float *of_image = probabilities + n * folded->about.classes;
        if (folded->about.label_thresholds != NULL)
            take_sigmoid(folded, logits, n, of_image);
        else
            take_softmax(folded, logits, n, of_image);
    }
}

/* The images from `first` on, as many as there are lanes, or are left. */
static void evaluate_group(const struct evaluating *e, struct lane_memory *memory, const uint8_t *pixels,
                           int32_t count, float *probabilities)
{
    const struct evaluation *evaluation = e->evaluation;
    const struct graph *graph = &evaluation->folded->graph;
    struct evaluate_layer work = {
        .evaluation = evaluation, .kernels = e->kernels, .arena = memory->arena, .patch = memory->patch};
    for (int32_t i = 0; i < graph->count; i++) {
        float *values = memory->arena + evaluation->plan->offsets[i] * N;
        work.index = i;
        if (i == 0)
            load_images(evaluation, pixels, count, values);
        else
            evaluate_layer(&work);
        if (memory->ranges != NULL)
            widen(&memory->ranges[i], values, plan_values(&graph->layers[i]) * N);
    }
    take_probabilities(evaluation->folded, memory->arena + evaluation->plan->offsets[graph->count - 1] * N,
                       count, probabilities);
}

enum status evaluate_images(const struct evaluation *evaluation, const uint8_t *pixels, int32_t count,
                            float *probabilities, struct value_range *ranges, struct error *err)
{
    const struct shape image = evaluation->folded->graph.layers[0].shape;
    const size_t bytes = (size_t)image.c * (size_t)image.h * (size_t)image.w;
    const size_t classes = (size_t)evaluation->folded->about.classes;
    struct evaluating e = {.evaluation = evaluation, .thread_count = omp_get_max_threads()};
    enum status st = make_room(&e, ranges != NULL, err);
    if (st == ST_OK) {
#pragma omp parallel for schedule(dynamic)
        for (int32_t first = 0; first < count; first += N)
            evaluate_group(&e, &e.threads[omp_get_thread_num()], pixels + (size_t)first * bytes,
                           count - first < N ? count - first : N, probabilities + (size_t)first * classes);
        for (int t = 0; ranges != NULL && t < e.thread_count; t++)
            for (int32_t i = 0; i < evaluation->folded->graph.count; i++) {
                ranges[i].low = fminf(ranges[i].low, e.threads[t].ranges[i].low);
                ranges[i].high = fmaxf(ranges[i].high, e.threads[t].ranges[i].high);
            }
    }
    free_room(&e);
    return st;
}
