/* Images with several labels: what a stage leaves of its model's answers in files, in the journal and in the published
 * model, and what a resumed run knows of it. The tiny job's images have their class's set of labels. */
#include "host/run/answers.h"

#include "host/base/file.h"
#include "host/base/random.h"
#include "host/journal/event_read.h"
#include "host/model/model_file.h"
#include "host/net/start.h"
#include "host/report/thresholds.h"
#include "host/run/engine.h"
#include "host/run/record.h"
#include "host/run/store.h"
#include "tests/support/tiny_job.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CLASSES = TINY_JOB_CLASSES, TESTED = TINY_JOB_TEST };

/* Of class 0 both first labels, of class 1 the second, of class 2 none. */
static const uint8_t sets[CLASSES * CLASSES] = {1, 1, 0, 0, 1, 0, 0, 0, 0};

struct fixture {
    struct tiny_job tiny;
    struct run run;
    struct testing testing;
    struct answers answers;
};

static void assert_ok(enum status st, const struct error *err)
{
    if (st != ST_OK)
        fail_msg("%s", err->message);
}

static void give_labels(struct run *run)
{
    run->data.label_sets = malloc(sizeof(sets));
    assert_non_null(run->data.label_sets);
    memcpy(run->data.label_sets, sets, sizeof(sets));
    run->data.label_set_count = CLASSES;
}

/* Answers that have something to do with the labels. */
static float *make_answers(const struct run *run, const int32_t *samples, int32_t count, uint32_t stream)
{
    float *answers = malloc(((size_t)count * CLASSES + 1) * sizeof(*answers));
    assert_non_null(answers);
    for (int32_t i = 0; i < count * CLASSES; i++) {
        const double luck = (double)(random_draw(3, RANDOM_TEST, (uint64_t)i, stream).v[0] % 1000) / 1000.0;
        const bool has = labels_have(sets, CLASSES, run->data.labels[samples[i / CLASSES]], i % CLASSES);
        answers[i] = (float)((has ? 0.25 : 0.01) + 0.5 * luck);
    }
    return answers;
}

static struct trainer_test make_test(const struct run *run, const int32_t *samples, int32_t count,
                                     int32_t views, uint32_t stream)
{
    return (struct trainer_test){.samples = samples,
                                 .count = count,
                                 .views = views,
                                 .classes = CLASSES,
                                 .labels = run->data.labels,
                                 .label_sets = run->data.label_sets,
                                 .answers = make_answers(run, samples, count, stream)};
}

static void open_all(struct fixture *f)
{
    static const char *const overrides[] = {"baseline.start=first", NULL};
    *f = (struct fixture){0};
    tiny_job_open(&f->tiny, overrides);
    tiny_job_open_run(&f->tiny, &f->run);
    give_labels(&f->run);
    const int32_t *counts = f->run.data.sample_count, *validation = f->run.data.samples[SPLIT_VALIDATION];
    struct testing *testing = &f->testing;
    testing->test = make_test(&f->run, f->run.data.samples[SPLIT_TEST], TESTED, 6, 0);
    testing->unseen = make_test(&f->run, validation, 10, 6, 1);
    testing->unseen.plain_answers = make_answers(&f->run, validation, 10, 2);
    testing->others = make_test(&f->run, validation + 10, counts[SPLIT_VALIDATION] - 10, 1, 3);
    testing->test.right = calloc(TESTED + 1, 1);
    testing->test.confusion = calloc(CLASSES * LABELS_COUNTS, sizeof(int64_t));
    assert_true(testing->test.right != NULL && testing->test.confusion != NULL);
    for (int k = 0; k < CLASSES; k++)
        testing->test.confusion[k * LABELS_COUNTS] = TESTED;
    testing->test.result = (struct trainer_result){.loss = 1.5, .accuracy = 0.25};
}

static void close_all(struct fixture *f)
{
    answers_free(&f->answers);
    testing_close(&f->testing);
    run_close(&f->run);
    tiny_job_close(&f->tiny);
}

/* The labels that a row was given are those that reach the thresholds, of all splits. */
static void check_rows(const struct fixture *f, const struct predictions *found)
{
    const struct dataset *data = &f->run.data;
    assert_int_equal(found->count, TESTED + data->sample_count[SPLIT_VALIDATION]);
    for (int32_t i = 0; i < found->count; i++) {
        const struct predicted_image *row = &found->rows[i];
        const int32_t sample =
            i < TESTED ? data->samples[SPLIT_TEST][i] : data->samples[SPLIT_VALIDATION][i - TESTED];
        assert_int_equal(row->hash, data->hashes[sample]);
        for (int32_t k = 0; k < CLASSES; k++) {
            const double probability = (double)found->probabilities[i * CLASSES + k];
            assert_int_equal(labels_have(found->label_sets, CLASSES, row->truth, k),
                             labels_have(sets, CLASSES, data->labels[sample], k));
            assert_int_equal(labels_have(found->label_sets, CLASSES, row->predicted, k),
                             probability >= f->answers.label_thresholds[k]);
        }
    }
}

/* predictions.csv alone gives the thresholds again, and what was counted. */
static void finds_thresholds_and_writes_answers(void **state)
{
    static struct fixture f;
    struct predictions found;
    double thresholds[CLASSES];
    int32_t images[CLASSES], labels[TINY_JOB_IMAGES + TESTED];
    int64_t counts[CLASSES * LABELS_COUNTS];
    struct label_results results = {.counts = counts};
    struct error err;
    (void)state;
    open_all(&f);
    assert_ok(answers_keep(&f.run, &f.testing, &f.answers, &err), &err);
    assert_true(f.answers.temperature < 1.0f || f.answers.temperature > 1.0f);
    char *path = predictions_path(f.run.folder, -1);
    assert_ok(predictions_read(path, &found, &err), &err);
    free(path);
    assert_string_equal(found.hash, f.answers.predictions_hash);
    check_rows(&f, &found);
    for (int32_t i = 0; i < found.count; i++)
        labels[i] = found.rows[i].truth;
    const struct answered tested = {found.probabilities, TESTED, CLASSES, labels, found.label_sets};
    const struct answered unseen = {found.probabilities + (size_t)TESTED * CLASSES, 10, CLASSES,
                                    labels + TESTED, found.label_sets};
    assert_ok(thresholds_of_labels(&unseen, thresholds, images, &err), &err);
    assert_memory_equal(thresholds, f.answers.label_thresholds, sizeof(thresholds));
    assert_memory_equal(images, f.answers.threshold_images, sizeof(images));
    assert_true(images[0] > 0 && images[1] > images[0] && thresholds[0] < 0.5 && images[2] == 0);
    assert_true(thresholds[2] == 0.5); /* no image has it */
    label_results_count(&tested, thresholds, &results);
    assert_memory_equal(counts, f.answers.labels.counts, sizeof(counts));
    assert_int_equal(results.exact, f.answers.labels.exact);
    assert_true(results.exact > 0);
    predictions_free(&found);
    close_all(&f);
}

static void writes_splits_by_labels(void **state)
{
    static struct fixture f;
    char *path, *text, expected[128];
    size_t length;
    struct error err;
    (void)state;
    open_all(&f);
    const struct dataset *data = &f.run.data;
    path = run_path(&f.run, SPLITS_NAME);
    assert_ok(answers_write_splits(&f.run, &err), &err);
    assert_ok(file_read(path, &text, &length, &err), &err);
    assert_memory_equal(text, "image,hash,split,labels\n", 24);
    for (int32_t i = 0; i < TESTED; i++) {
        const int32_t sample = data->samples[SPLIT_TEST][i], label = data->labels[sample];
        char **names = data->class_names;
        snprintf(expected, sizeof(expected), ",test,%s%s%s\n", label == 0 ? names[0] : "",
                 label == 0 ? "|" : "", label < 2 ? names[1] : "");
        assert_non_null(strstr(text, expected));
    }
    free(text);
    free(path);
    close_all(&f);
}

/* The journal has all of it, and a run that goes through it again publishes the same model. */
static void is_journalled_and_known_again(void **state)
{
    static struct fixture f;
    struct limits_latency latency = {.seconds = NAN, .predicted = NAN};
    struct journal_lines lines;
    const struct event *event;
    struct error err;
    (void)state;
    open_all(&f);
    assert_ok(answers_keep(&f.run, &f.testing, &f.answers, &err), &err);
    assert_ok(record_run(&f.run, &err), &err);
    assert_ok(record_test(&f.run, 0, &f.testing.test, &f.answers, &latency, &err), &err);
    tiny_job_journal(&f.tiny, &lines);
    struct event_reader reader = event_reader_open(f.run.journal.path, &lines);
    bool several = false;
    do {
        assert_ok(event_next(&reader, &event, &err), &err);
        assert_non_null(event);
        several = several || (event->kind == EVENT_RUN && event->run.dataset.labels != NULL &&
                              strcmp(event->run.dataset.labels, EVENT_LABELS_SEVERAL) == 0);
    } while (event->kind != EVENT_TEST);
    const struct event_test *test = &event->test;
    assert_true(several);
    assert_int_equal(test->confusion.rows, 0);
    assert_int_equal(test->label_counts.rows, CLASSES);
    assert_int_equal(test->label_counts.columns, LABELS_COUNTS);
    assert_memory_equal(test->label_counts.values, f.answers.labels.counts,
                        CLASSES * LABELS_COUNTS * sizeof(int64_t));
    assert_memory_equal(test->label_counts_at_half.values, f.testing.test.confusion,
                        CLASSES * LABELS_COUNTS * sizeof(int64_t));
    assert_int_equal(test->label_thresholds.count, CLASSES);
    assert_memory_equal(test->label_thresholds.items, f.answers.label_thresholds, CLASSES * sizeof(double));
    for (int k = 0; k < CLASSES; k++)
        assert_true(test->threshold_images.items[k] == f.answers.threshold_images[k]);
    assert_int_equal(test->exact, f.answers.labels.exact);
    assert_true(test->image_f1 == f.answers.labels.by_image.f1);
    assert_true(isnan(test->top5));
    assert_non_null(test->right);
    event_reader_close(&reader);
    journal_lines_free(&lines);
    close_all(&f);
}

static void publishes_thresholds(void **state)
{
    static struct fixture f;
    static const double thresholds[CLASSES] = {0.25, 0.5, 0.625};
    struct graph graph;
    struct weight_table table;
    struct model model = {0};
    struct error err;
    (void)state;
    open_all(&f);
    assert_ok(start_make(&graph, "lean", 8, run_image(&f.run), CLASSES, &err), &err);
    assert_ok(weight_table_new(&table, &graph, &err), &err);
    float *values = calloc(table.total, sizeof(*values));
    assert_non_null(values);
    char *path = run_path(&f.run, MODEL_FILE_NAME);
    assert_ok(store_save(&f.run, 0, &graph, values, 0.5, &err), &err);
    f.run.best_id = 0;
    assert_ok(store_calibrate(&f.run, 1.25f, 1.5f, thresholds, &err), &err);
    for (int again = 0; again < 2; again++) { /* then by what is known of it, as a resumed run does */
        assert_ok(model_load(path, &model, &err), &err);
        assert_non_null(model.about.label_thresholds);
        assert_memory_equal(model.about.label_thresholds, thresholds, sizeof(thresholds));
        assert_string_equal(model.hash, f.run.calibration.hash);
        model_free(&model);
        const struct run_calibration known = {.id = 0, .temperature = 1.25f, .plain_temperature = 1.5f};
        assert_ok(store_note_calibration(&f.run, &known, thresholds, &err), &err);
        f.run.published_id = -1;
        assert_int_equal(remove(path), 0);
        assert_ok(store_publish_best(&f.run, &err), &err);
    }
    free(path);
    free(values);
    weight_table_free(&table);
    graph_free(&graph);
    close_all(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_thresholds_and_writes_answers),
        cmocka_unit_test(writes_splits_by_labels),
        cmocka_unit_test(is_journalled_and_known_again),
        cmocka_unit_test(publishes_thresholds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
