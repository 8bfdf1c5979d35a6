#include "tests/support/twelve_images.h"

#include "host/base/distinct.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after what it needs */
#include <cmocka.h>

const uint8_t twelve_sets[TWELVE_SETS * TWELVE_CLASSES] = {0, 0, 0, 1, 0, 0, 0, 0, 1, 0,
                                                           0, 0, 1, 1, 0, 0, 1, 0, 0, 1};
const int32_t twelve_labels[TWELVE_IMAGES] = {0, 0, 1, 1, 1, 0, 2, 3, 1, 4, 1, 3};
static const int32_t hundredths[TWELVE_IMAGES * TWELVE_CLASSES] = {
    55, 24, 40, 19, 57, 33, 40, 26, 23, 22, 40, 14, 10, 20, 5,  15, 19, 50, 7, 12, 54, 57, 14, 20,
    84, 39, 15, 16, 39, 78, 33, 22, 5,  40, 23, 16, 56, 39, 35, 36, 4,  14, 4, 12, 65, 42, 40, 15};
const double twelve_given_from[TWELVE_CLASSES] = {0.6, 0.4, 0.5, 0.18};
const char *const twelve_names[TWELVE_CLASSES] = {"sky", "z\xc3\xbcrich \xc3\xbc", "absent",
                                                  "a name of twenty-six chars"};

static void check(enum status st, const struct error *err)
{
    if (st != ST_OK)
        fail_msg("%s", err->message);
}

struct answered twelve_answered(float *probabilities)
{
    for (int i = 0; i < TWELVE_IMAGES * TWELVE_CLASSES; i++)
        probabilities[i] = (float)hundredths[i] / 100.0f;
    return (struct answered){probabilities, TWELVE_IMAGES, TWELVE_CLASSES, twelve_labels, twelve_sets};
}

struct predictions twelve_predictions(struct predicted_image *rows, float *probabilities)
{
    struct distinct all = {.width = TWELVE_CLASSES};
    struct error err;
    int32_t number;
    twelve_answered(probabilities);
    for (int i = 0; i < TWELVE_SETS; i++)
        check(distinct_number(&all, twelve_sets + (size_t)i * TWELVE_CLASSES, &number, &err), &err);
    for (int i = 0; i < TWELVE_IMAGES; i++) {
        uint8_t given[TWELVE_CLASSES];
        for (int k = 0; k < TWELVE_CLASSES; k++)
            given[k] = (double)probabilities[i * TWELVE_CLASSES + k] >= twelve_given_from[k];
        rows[i] = (struct predicted_image){.image = "a.png",
                                           .hash = (uint64_t)i,
                                           .validation = i >= 10,
                                           .views = 6,
                                           .truth = twelve_labels[i]};
        check(distinct_number(&all, given, &rows[i].predicted, &err), &err);
    }
    uint8_t *rows_of_sets = all.rows;
    all.rows = NULL;
    const int32_t count = all.count;
    distinct_free(&all);
    return (struct predictions){.classes = TWELVE_CLASSES,
                                .count = TWELVE_IMAGES,
                                .class_names = (char **)(uintptr_t)twelve_names,
                                .label_sets = rows_of_sets,
                                .label_set_count = count,
                                .rows = rows,
                                .probabilities = probabilities};
}
