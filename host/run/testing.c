#include "host/run/testing.h"

#include "host/run/admission.h"
#include "host/run/run_budget.h"
#include "host/run/store.h"

#include <stdlib.h>
#include <string.h>

/* Images that one digit tells of. */
enum { DIGIT_IMAGES = 4 };

void testing_free(struct trainer_test *test)
{
    free(test->confusion);
    free(test->right);
    *test = (struct trainer_test){0};
}

static enum status new_test(const struct run *run, struct trainer_test *test, struct error *err)
{
    const size_t classes = (size_t)run->data.classes, count = (size_t)run->data.sample_count[SPLIT_TEST];
    *test = (struct trainer_test){.samples = run->data.samples[SPLIT_TEST],
                                  .count = run->data.sample_count[SPLIT_TEST],
                                  .views = trainer_views_of(&run->job->evaluate, &run->job->train),
                                  .classes = run->data.classes,
                                  .labels = run->data.labels,
                                  .confusion = calloc(classes * classes, sizeof(int64_t)),
                                  .right = calloc(count + 1, 1)};
    return test->confusion != NULL && test->right != NULL ? ST_OK : error_memory(err, "test", count);
}

enum status testing_run(struct run *run, int32_t id, struct trainer_test *test, struct error *err)
{
    const struct team all = {0, run->devices.count};
    struct candidate tested = {
        .id = id, .final = true, .recipe = recipe_usual(), .batch = run->batches.final};
    struct trainer *trainer = NULL;
    float *values = NULL;
    struct memory_need need = {0};

    enum status st = new_test(run, test, err);
    if (st == ST_OK)
        st = store_load(run, id, &tested.graph, &values, err);
    if (st == ST_OK)
        st = admission_open(run, &tested, all, ADMISSION_LEAST_BATCH, &need, &trainer, err);
    if (st == ST_OK)
        st = trainer_load_values(trainer, values, err);
    if (st == ST_OK)
        st = trainer_test(trainer, test, err);
    if (st == ST_OK) {
        run_lock(run);
        run->model_seconds += run_model_test_seconds(run, &tested.graph);
        run_unlock(run);
    }
    trainer_close(trainer);
    graph_free(&tested.graph);
    free(values);
    return st;
}

char *testing_right_text(const uint8_t *right, int32_t count)
{
    const int32_t digits = (count + DIGIT_IMAGES - 1) / DIGIT_IMAGES;
    char *text = malloc((size_t)digits + 1);
    if (text == NULL)
        return NULL;
    for (int32_t d = 0; d < digits; d++) {
        int32_t value = 0;
        for (int32_t i = DIGIT_IMAGES * d; i < DIGIT_IMAGES * (d + 1); i++)
            value = 2 * value + (i < count && right[i] != 0);
        text[d] = "0123456789abcdef"[value];
    }
    text[digits] = '\0';
    return text;
}

enum status testing_right_of(const char *text, int32_t count, uint8_t *right, struct error *err)
{
    const size_t digits = (size_t)((count + DIGIT_IMAGES - 1) / DIGIT_IMAGES);
    if (strlen(text) != digits || strspn(text, "0123456789abcdef") != digits)
        return error_set(err, ST_FORMAT,
                         "\"right\" has %zu digits, expected %zu of 0 to 9 and a to f for %d images",
                         strlen(text), digits, (int)count);
    for (int32_t i = 0; i < count; i++) {
        const char digit = text[i / DIGIT_IMAGES];
        const int32_t value = digit <= '9' ? digit - '0' : digit - 'a' + 10;
        right[i] = value >> (DIGIT_IMAGES - 1 - i % DIGIT_IMAGES) & 1;
    }
    return ST_OK;
}
