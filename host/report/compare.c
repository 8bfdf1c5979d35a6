/* Two models beside each other, image by image. */
#include "host/report/predictions.h"
#include "host/report/verdict.h"

#include <stdlib.h>
#include <string.h>

/* A test image as both files know it. */
struct image {
    uint64_t hash;
    const char *label; /* its class, or labels, by name */
    bool right;
};

/* The test images of a model in order, so that those of one content stand beside each other. Of several with the same
 * pixels and label a model says the same. */
struct images {
    struct image *items;
    int32_t count;
    char **texts; /* [labels]: the classes', or the sets', that items point to */
    int32_t labels;
};

static int compare_images(const void *a, const void *b)
{
    const struct image *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return strcmp(x->label, y->label);
}

static void free_images(struct images *images)
{
    for (int32_t i = 0; images->texts != NULL && i < images->labels; i++)
        free(images->texts[i]);
    free(images->texts);
    free(images->items);
}

/* The caller frees them, on errors too. */
static enum status sort_tests(const struct predictions *predictions, struct images *images, struct error *err)
{
    *images = (struct images){.labels = predictions->label_sets != NULL ? predictions->label_set_count
                                                                        : predictions->classes};
    const size_t bytes = ((size_t)predictions->count + 1) * sizeof(*images->items);
    images->items = malloc(bytes);
    images->texts = calloc((size_t)images->labels + 1, sizeof(*images->texts));
    bool complete = images->items != NULL && images->texts != NULL;
    for (int32_t i = 0; complete && i < images->labels; i++) {
        images->texts[i] = predictions_label_text(predictions, i);
        complete = images->texts[i] != NULL;
    }
    if (!complete)
        return error_memory(err, "test images", bytes);
    for (int32_t i = 0; i < predictions->count; i++) {
        const struct predicted_image *row = &predictions->rows[i];
        if (!row->validation)
            images->items[images->count++] = (struct image){
                .hash = row->hash, .label = images->texts[row->truth], .right = row->predicted == row->truth};
    }
    qsort(images->items, (size_t)images->count, sizeof(*images->items), compare_images);
    return ST_OK;
}

static enum status count_pairs(const struct images *first, const struct images *second,
                               struct comparison *comparison, struct error *err)
{
    if (first->count != second->count || first->count == 0)
        return error_set(err, ST_RANGE,
                         "found %d test images of one model and %d of the other, expected the same",
                         (int)first->count, (int)second->count);
    for (int32_t i = 0; i < first->count; i++) {
        const struct image *a = &first->items[i], *b = &second->items[i];
        if (compare_images(a, b) != 0)
            return error_set(err, ST_RANGE,
                             "the test images of the two models are others, expected the same");
        comparison->better += a->right && !b->right;
        comparison->worse += !a->right && b->right;
    }
    comparison->images = first->count;
    return ST_OK;
}

enum status predictions_compare(const struct predictions *first, const struct predictions *second,
                                struct comparison *comparison, struct error *err)
{
    struct images images[2] = {{0}};
    *comparison = (struct comparison){0};
    enum status st = sort_tests(first, &images[0], err);
    if (st == ST_OK)
        st = sort_tests(second, &images[1], err);
    if (st == ST_OK)
        st = count_pairs(&images[0], &images[1], comparison, err);
    free_images(&images[0]);
    free_images(&images[1]);
    if (st != ST_OK)
        return st;
    const struct verdict verdict = verdict_of(comparison->better, comparison->worse, comparison->images);
    comparison->difference = verdict.difference;
    comparison->low = verdict.low;
    comparison->high = verdict.high;
    comparison->p = verdict.p;
    return ST_OK;
}
