/* Two models beside each other, image by image. */
#include "host/report/predictions.h"
#include "host/report/verdict.h"

#include <stdlib.h>
#include <string.h>

/* A test image as both files know it. */
struct image {
    uint64_t hash;
    const char *class;
    bool right;
};

static int compare_images(const void *a, const void *b)
{
    const struct image *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return strcmp(x->class, y->class);
}

/* In order, so that those of one content stand beside each other; malloc'd, NULL when out of memory. Of several with
 * the same pixels and class a model says the same. */
static struct image *sorted_tests(const struct predictions *predictions, int32_t *count)
{
    struct image *images = malloc(((size_t)predictions->count + 1) * sizeof(*images));
    *count = 0;
    for (int32_t i = 0; images != NULL && i < predictions->count; i++) {
        const struct predicted_image *row = &predictions->rows[i];
        if (!row->validation)
            images[(*count)++] = (struct image){.hash = row->hash,
                                                .class = predictions->class_names[row->truth],
                                                .right = row->predicted == row->truth};
    }
    if (images != NULL)
        qsort(images, (size_t)*count, sizeof(*images), compare_images);
    return images;
}

static enum status count_pairs(const struct image *first, int32_t first_count, const struct image *second,
                               int32_t second_count, struct comparison *comparison, struct error *err)
{
    if (first_count != second_count || first_count == 0)
        return error_set(err, ST_RANGE,
                         "found %d test images of one model and %d of the other, expected the same",
                         (int)first_count, (int)second_count);
    for (int32_t i = 0; i < first_count; i++) {
        if (compare_images(&first[i], &second[i]) != 0)
            return error_set(err, ST_RANGE,
                             "the test images of the two models are others, expected the same");
        comparison->better += first[i].right && !second[i].right;
        comparison->worse += !first[i].right && second[i].right;
    }
    comparison->images = first_count;
    return ST_OK;
}

enum status predictions_compare(const struct predictions *first, const struct predictions *second,
                                struct comparison *comparison, struct error *err)
{
    int32_t first_count, second_count;
    struct image *a = sorted_tests(first, &first_count), *b = sorted_tests(second, &second_count);
    *comparison = (struct comparison){0};
    enum status st = a != NULL && b != NULL
                         ? count_pairs(a, first_count, b, second_count, comparison, err)
                         : error_memory(err, "test images", (size_t)first->count * sizeof(*a));
    free(a);
    free(b);
    if (st != ST_OK)
        return st;
    const struct verdict verdict = verdict_of(comparison->better, comparison->worse, comparison->images);
    comparison->difference = verdict.difference;
    comparison->low = verdict.low;
    comparison->high = verdict.high;
    comparison->p = verdict.p;
    return ST_OK;
}
