#include "host/run/answers.h"

#include "host/base/csv.h"
#include "host/base/distinct.h"
#include "host/base/file.h"
#include "host/device/temperature.h"
#include "host/report/thresholds.h"
#include "host/search/budget.h"

#include <stdlib.h>
#include <string.h>

/* ---- temperatures ---- */

/* Of the test's samples; malloc'd, NULL when out of memory. */
static int32_t *labels_of(const struct trainer_test *test)
{
    int32_t *labels = malloc(((size_t)test->count + 1) * sizeof(*labels));
    for (int32_t i = 0; labels != NULL && i < test->count; i++)
        labels[i] = test->labels[test->samples[i]];
    return labels;
}

static enum status fit(const struct trainer_test *unseen, struct answers *answers, struct error *err)
{
    const uint8_t *sets = unseen->label_sets;
    int32_t *labels = labels_of(unseen);
    if (labels == NULL)
        return error_memory(err, "labels", (size_t)unseen->count * sizeof(*labels));
    answers->calibrated_by = unseen->count;
    answers->plain_temperature =
        temperature_fit(unseen->plain_answers, unseen->count, unseen->classes, labels, sets);
    answers->temperature =
        unseen->views > 1 ? temperature_fit(unseen->answers, unseen->count, unseen->classes, labels, sets)
                          : answers->plain_temperature;
    free(labels);
    return ST_OK;
}

static void apply(struct trainer_test *test, const struct answers *answers)
{
    temperature_apply(test->answers, test->count, test->classes,
                      test->views > 1 ? answers->temperature : answers->plain_temperature,
                      test->label_sets != NULL);
}

static struct answered answered_of(const struct trainer_test *test, const int32_t *labels)
{
    return (struct answered){test->answers, test->count, test->classes, labels, test->label_sets};
}

static enum status calibrate(struct testing *testing, struct answers *answers, struct error *err)
{
    struct trainer_test *test = &testing->test;
    enum status st = fit(&testing->unseen, answers, err);
    if (st != ST_OK)
        return st;
    int32_t *labels = labels_of(test);
    if (labels == NULL)
        return error_memory(err, "labels", (size_t)test->count * sizeof(*labels));
    const struct answered answered = answered_of(test, labels);
    answers->before = scores_of(&answered);
    apply(test, answers);
    apply(&testing->unseen, answers);
    apply(&testing->others, answers);
    answers->after = scores_of(&answered);
    free(labels);
    return ST_OK;
}

/* ---- thresholds of labels ---- */

static enum status make_label_answers(int32_t classes, struct answers *answers, struct error *err)
{
    const size_t count = (size_t)classes;
    answers->label_thresholds = malloc(count * sizeof(*answers->label_thresholds));
    answers->threshold_images = malloc(count * sizeof(*answers->threshold_images));
    answers->labels.counts = malloc(count * LABELS_COUNTS * sizeof(*answers->labels.counts));
    return answers->label_thresholds != NULL && answers->threshold_images != NULL &&
                   answers->labels.counts != NULL
               ? ST_OK
               : error_memory(err, "labels", count * LABELS_COUNTS * sizeof(*answers->labels.counts));
}

/* By answers that are calibrated. */
static enum status find_thresholds(const struct testing *testing, struct answers *answers, struct error *err)
{
    int32_t *unseen_labels = labels_of(&testing->unseen), *labels = labels_of(&testing->test);
    enum status st = unseen_labels != NULL && labels != NULL
                         ? make_label_answers(testing->test.classes, answers, err)
                         : error_memory(err, "labels", (size_t)testing->test.count * sizeof(*labels));
    if (st == ST_OK) {
        const struct answered unseen = answered_of(&testing->unseen, unseen_labels);
        st = thresholds_of_labels(&unseen, answers->label_thresholds, answers->threshold_images, err);
    }
    if (st == ST_OK) {
        const struct answered tested = answered_of(&testing->test, labels);
        label_results_count(&tested, answers->label_thresholds, &answers->labels);
    }
    free(unseen_labels);
    free(labels);
    return st;
}

void answers_free(struct answers *answers)
{
    free(answers->label_thresholds);
    free(answers->threshold_images);
    free(answers->labels.counts);
    *answers = (struct answers){0};
}

/* ---- predictions.csv ---- */

enum { NUMBER_LENGTH = 16 };

/* Rows in the making, for which there is room. */
struct table {
    struct predictions predictions;
    char (*numbers)[NUMBER_LENGTH]; /* the images' names, where they are numbers */
    const double *thresholds;       /* [classes], where images have several labels; else NULL */
    struct distinct sets;           /* then: of labels, those of the data first */
    uint8_t *set;                   /* [classes]: one that is given */
};

/* What an image is taken for: its class, or the number of the set of its labels. */
static enum status predict(struct table *table, const float *answer, int32_t *predicted, struct error *err)
{
    const int32_t classes = table->predictions.classes;
    if (table->thresholds == NULL) {
        *predicted = labels_class(answer, classes);
        return ST_OK;
    }
    for (int32_t k = 0; k < classes; k++)
        table->set[k] = (double)answer[k] >= table->thresholds[k];
    return distinct_number(&table->sets, table->set, predicted, err);
}

/* Adds a row for each of the test's images, with the properties of `like`. */
static enum status add_rows(const struct run *run, const struct trainer_test *test,
                            struct predicted_image like, struct table *table, struct error *err)
{
    struct predictions *to = &table->predictions;
    const size_t classes = (size_t)to->classes;
    enum status st = ST_OK;
    for (int32_t i = 0; st == ST_OK && i < test->count; i++) {
        const int32_t sample = test->samples[i];
        const float *answer = test->answers + (size_t)i * classes;
        struct predicted_image *row = &to->rows[to->count];
        *row = like;
        row->image = data_image_name(&run->data, sample, table->numbers[to->count], NUMBER_LENGTH);
        row->hash = run->data.hashes[sample];
        row->views = test->views;
        row->truth = test->labels[sample];
        st = predict(table, answer, &row->predicted, err);
        memcpy(to->probabilities + (size_t)to->count * classes, answer, classes * sizeof(*answer));
        to->count++;
    }
    return st;
}

size_t answers_row_bytes(int32_t classes, bool sets)
{
    /* the set that it is taken for may be one of its own */
    const size_t row = sizeof(struct predicted_image) + NUMBER_LENGTH + (size_t)classes * sizeof(float);
    return sets ? row + (size_t)classes : row;
}

/* The data's sets get the numbers that they have there. */
static enum status add_sets(const struct dataset *data, struct table *table, struct error *err)
{
    const size_t classes = (size_t)data->classes;
    enum status st = ST_OK;
    table->sets.width = classes;
    table->set = malloc(classes);
    if (table->set == NULL)
        return error_memory(err, "labels", classes);
    for (int32_t i = 0, number; st == ST_OK && i < data->label_set_count; i++)
        st = distinct_number(&table->sets, data->label_sets + (size_t)i * classes, &number, err);
    return st;
}

static enum status make_table(const struct run *run, const struct testing *testing,
                              const struct answers *answers, struct table *table, struct error *err)
{
    const size_t rows =
        (size_t)testing->test.count + (size_t)testing->unseen.count + (size_t)testing->others.count + 1;
    struct predictions *predictions = &table->predictions;
    *table = (struct table){.predictions = {.classes = run->data.classes,
                                            .class_names = run->data.class_names,
                                            .rows = malloc(rows * sizeof(*predictions->rows)),
                                            .probabilities = malloc(rows * (size_t)run->data.classes *
                                                                    sizeof(*predictions->probabilities))},
                            .numbers = malloc(rows * sizeof(*table->numbers)),
                            .thresholds = answers->label_thresholds};
    if (predictions->rows == NULL || predictions->probabilities == NULL || table->numbers == NULL)
        return error_memory(err, "predictions", rows * (size_t)run->data.classes * sizeof(float));
    const struct predicted_image unseen = {.validation = true},
                                 others = {.validation = true, .trained = run->best_joined};
    enum status st = table->thresholds != NULL ? add_sets(&run->data, table, err) : ST_OK;
    if (st == ST_OK)
        st = add_rows(run, &testing->test, (struct predicted_image){0}, table, err);
    if (st == ST_OK)
        st = add_rows(run, &testing->unseen, unseen, table, err);
    if (st == ST_OK)
        st = add_rows(run, &testing->others, others, table, err);
    predictions->label_sets = table->sets.rows;
    predictions->label_set_count = table->sets.count;
    return st;
}

static void free_table(struct table *table)
{
    free(table->predictions.rows);
    free(table->predictions.probabilities);
    free(table->numbers);
    free(table->set);
    distinct_free(&table->sets);
}

/* ---- stages ---- */

/* What predictions.csv holds becomes that of the stage before, if that has none yet. */
static enum status keep_before(const char *latest, const char *before, struct error *err)
{
    return file_exists(latest) && !file_exists(before) ? file_copy(latest, before, err) : ST_OK;
}

static enum status write_predictions(const struct run *run, struct predictions *predictions,
                                     struct error *err)
{
    const bool several = run->stage > 0 || budget_stages(&run->job->budget) > 1;
    char *latest = predictions_path(run->folder, -1), *before = predictions_path(run->folder, run->stage - 1),
         *own = predictions_path(run->folder, run->stage);
    enum status st =
        latest != NULL && before != NULL && own != NULL ? ST_OK : error_memory(err, run->folder, 0);
    if (st == ST_OK && run->stage > 0)
        st = keep_before(latest, before, err);
    if (st == ST_OK)
        st = predictions_write(several ? own : latest, predictions, err);
    if (st == ST_OK && several)
        st = file_copy(own, latest, err);
    free(latest);
    free(before);
    free(own);
    return st;
}

enum status answers_keep(const struct run *run, struct testing *testing, struct answers *answers,
                         struct error *err)
{
    struct table table = {0};
    *answers = (struct answers){0};
    enum status st = calibrate(testing, answers, err);
    if (st == ST_OK && run->data.label_sets != NULL)
        st = find_thresholds(testing, answers, err);
    if (st == ST_OK)
        st = make_table(run, testing, answers, &table, err);
    if (st == ST_OK)
        st = write_predictions(run, &table.predictions, err);
    if (st == ST_OK)
        memcpy(answers->predictions_hash, table.predictions.hash, sizeof(answers->predictions_hash));
    free_table(&table);
    return st;
}

/* ---- splits.csv ---- */

static enum status write_split(FILE *out, const struct dataset *data, enum data_split split, const char *word,
                               struct error *err)
{
    const struct predictions named = {.classes = data->classes,
                                      .class_names = data->class_names,
                                      .label_sets = data->label_sets,
                                      .label_set_count = data->label_set_count};
    char number[NUMBER_LENGTH], hash[FILE_HASH_LENGTH];
    for (int32_t i = 0; i < data->sample_count[split]; i++) {
        const int32_t sample = data->samples[split][i];
        char *label = predictions_label_text(&named, data->labels[sample]);
        if (label == NULL)
            return error_memory(err, SPLITS_NAME, 0);
        csv_write(out, data_image_name(data, sample, number, sizeof(number)));
        file_hash_text(data->hashes[sample], hash);
        fprintf(out, ",%s,%s,", hash, word);
        csv_write(out, label);
        fputc('\n', out);
        free(label);
    }
    return ST_OK;
}

static enum status write_splits(FILE *out, const struct dataset *data, struct error *err)
{
    fprintf(out, "image,hash,split,%s\n", data->label_sets != NULL ? "labels" : "class");
    enum status st = write_split(out, data, SPLIT_TRAIN, "train", err);
    if (st == ST_OK)
        st = write_split(out, data, SPLIT_VALIDATION, "validation", err);
    return st == ST_OK ? write_split(out, data, SPLIT_TEST, "test", err) : st;
}

enum status answers_write_splits(const struct run *run, struct error *err)
{
    struct file_aside file = {0};
    char *path = run_path(run, SPLITS_NAME);
    enum status st = path != NULL ? ST_OK : error_memory(err, run->folder, 0);
    if (st == ST_OK && !file_exists(path)) {
        st = file_aside_open(&file, path, err);
        if (st == ST_OK)
            st = write_splits(file.stream, &run->data, err);
        if (st == ST_OK)
            st = file_aside_commit(&file, err);
        else
            file_aside_abandon(&file);
    }
    free(path);
    return st;
}
