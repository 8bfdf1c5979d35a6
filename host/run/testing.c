#include "host/run/testing.h"

#include "host/run/admission.h"
#include "host/run/answers.h"
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
    free(test->answers);
    free(test->plain_answers);
    *test = (struct trainer_test){0};
}

/* ---- which images, in how many views ---- */

bool testing_joins(const struct run *run)
{
    return run->job->train.use_validation && run->stage == budget_stages(&run->job->budget) - 1;
}

static int32_t views_of_test(const struct run *run)
{
    return trainer_views_of(&run->job->evaluate, &run->job->train);
}

static int32_t unseen_count(const struct run *run)
{
    const int32_t all = run->data.sample_count[SPLIT_VALIDATION];
    return testing_joins(run) ? trainer_kept_out_count(all) : all;
}

double testing_evaluations(const struct run *run, bool of_stage)
{
    const int32_t *counts = run->data.sample_count, unseen = unseen_count(run);
    const double views = views_of_test(run), tested = views * counts[SPLIT_TEST];
    return of_stage ? tested + views * unseen + (counts[SPLIT_VALIDATION] - unseen) : tested;
}

void testing_need(const struct run *run, bool of_stage, struct memory_need *need)
{
    const size_t classes = (size_t)run->data.classes, tested = (size_t)run->data.sample_count[SPLIT_TEST];
    const size_t validation = (size_t)run->data.sample_count[SPLIT_VALIDATION],
                 unseen = (size_t)unseen_count(run);
    const size_t counted = run->data.label_sets != NULL ? LABELS_COUNTS : classes;
    need->answers = classes * counted * sizeof(int64_t) + tested;
    if (!of_stage)
        return;
    /* the unseen ones' twice, by all views and by one; and which are those */
    need->answers += (tested + validation + unseen) * classes * sizeof(float) + validation * sizeof(int32_t);
    need->predictions =
        (tested + validation) * answers_row_bytes(run->data.classes, run->data.label_sets != NULL);
}

/* ---- what is found ---- */

static struct trainer_test test_of(const struct run *run, const int32_t *samples, int32_t count,
                                   int32_t views)
{
    return (struct trainer_test){.samples = samples,
                                 .count = count,
                                 .views = views,
                                 .classes = run->data.classes,
                                 .labels = run->data.labels,
                                 .label_sets = run->data.label_sets};
}

static enum status new_test(const struct run *run, struct trainer_test *test, struct error *err)
{
    const size_t classes = (size_t)run->data.classes, count = (size_t)run->data.sample_count[SPLIT_TEST];
    const size_t columns = run->data.label_sets != NULL ? LABELS_COUNTS : classes;
    *test = test_of(run, run->data.samples[SPLIT_TEST], (int32_t)count, views_of_test(run));
    test->confusion = calloc(classes * columns, sizeof(*test->confusion));
    test->right = calloc(count + 1, sizeof(*test->right));
    return test->confusion != NULL && test->right != NULL ? ST_OK : error_memory(err, "test", count);
}

/* For a probability of each class for each of the test's images. */
static enum status make_room(const struct trainer_test *test, float **answers, struct error *err)
{
    const size_t bytes = ((size_t)test->count * (size_t)test->classes + 1) * sizeof(**answers);
    *answers = malloc(bytes);
    return *answers != NULL ? ST_OK : error_memory(err, "answers", bytes);
}

/* The validation samples, those first that are unseen; *samples is the caller's to free. */
static enum status divide_validation(const struct run *run, int32_t **samples, struct error *err)
{
    const int32_t count = run->data.sample_count[SPLIT_VALIDATION];
    const int32_t *validation = run->data.samples[SPLIT_VALIDATION];
    const bool joins = testing_joins(run);
    *samples = malloc(((size_t)count + 1) * sizeof(**samples));
    if (*samples == NULL)
        return error_memory(err, "samples", (size_t)count * sizeof(**samples));
    for (int32_t i = 0, unseen = 0, other = unseen_count(run); i < count; i++)
        (*samples)[!joins || trainer_keeps_out(count, i) ? unseen++ : other++] = validation[i];
    return ST_OK;
}

static enum status new_stage(const struct run *run, struct testing *testing, struct error *err)
{
    const int32_t unseen = unseen_count(run), others = run->data.sample_count[SPLIT_VALIDATION] - unseen;
    enum status st = new_test(run, &testing->test, err);
    if (st == ST_OK)
        st = divide_validation(run, &testing->validation, err);
    if (st != ST_OK)
        return st;
    testing->unseen = test_of(run, testing->validation, unseen, views_of_test(run));
    testing->others = test_of(run, testing->validation + unseen, others, 1);
    st = make_room(&testing->test, &testing->test.answers, err);
    if (st == ST_OK)
        st = make_room(&testing->unseen, &testing->unseen.answers, err);
    if (st == ST_OK)
        st = make_room(&testing->unseen, &testing->unseen.plain_answers, err);
    if (st == ST_OK)
        st = make_room(&testing->others, &testing->others.answers, err);
    return st;
}

void testing_close(struct testing *testing)
{
    testing_free(&testing->test);
    testing_free(&testing->unseen);
    testing_free(&testing->others);
    graph_free(&testing->graph);
    free(testing->validation);
    *testing = (struct testing){0};
}

/* ---- testing ---- */

/* The tests that are wanted, one behind the other; those of no images are over. *graph is the model's, the caller's to
 * free, on errors too. */
static enum status run_tests(struct run *run, int32_t id, struct trainer_test *const *tests, int32_t count,
                             bool of_stage, struct graph *graph, struct error *err)
{
    const struct team all = {0, run->devices.count};
    struct candidate tested = {
        .id = id, .final = true, .recipe = recipe_usual(), .batch = run->batches.final};
    struct trainer *trainer = NULL;
    float *values = NULL;
    struct memory_need need = {0};
    bool reserved = false;

    testing_need(run, of_stage, &need);
    enum status st = store_load(run, id, &tested.graph, &values, err);
    if (st == ST_OK)
        st = admission_open(run, &tested, all, ADMISSION_LEAST_BATCH, &need, &trainer, err);
    if (st == ST_OK) {
        const size_t cached = weight_cache_bytes(run->weights, run->memory.device_is_host);
        run_lock(run);
        memory_reserve(&run->memory, &need, cached);
        run_unlock(run);
        reserved = true;
    }
    if (st == ST_OK)
        st = trainer_load_values(trainer, values, err);
    for (int32_t i = 0; st == ST_OK && i < count; i++)
        if (tests[i]->count > 0)
            st = trainer_test(trainer, tests[i], err);
    if (st == ST_OK) {
        run_lock(run);
        run->model_seconds += run_model_test_seconds(run, &tested.graph, testing_evaluations(run, of_stage));
        run_unlock(run);
    }
    trainer_close(trainer);
    if (reserved) {
        run_lock(run);
        memory_release(&run->memory, &need);
        run_unlock(run);
    }
    free(values);
    *graph = tested.graph;
    return st;
}

enum status testing_run(struct run *run, int32_t id, struct trainer_test *test, struct error *err)
{
    struct graph graph = {0};
    enum status st = new_test(run, test, err);
    if (st == ST_OK)
        st = run_tests(run, id, &test, 1, false, &graph, err);
    graph_free(&graph);
    return st;
}

enum status testing_stage(struct run *run, int32_t id, struct testing *testing, struct error *err)
{
    struct trainer_test *const tests[] = {&testing->test, &testing->unseen, &testing->others};
    *testing = (struct testing){0};
    enum status st = new_stage(run, testing, err);
    return st == ST_OK ? run_tests(run, id, tests, 3, true, &testing->graph, err) : st;
}

/* ---- as text ---- */

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
