#include "host/run/answers.h"

#include "host/base/csv.h"
#include "host/base/file.h"
#include "host/device/temperature.h"
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

static enum status calibrate(struct testing *testing, struct answers *answers, struct error *err)
{
    struct trainer_test *test = &testing->test;
    enum status st = fit(&testing->unseen, answers, err);
    if (st != ST_OK)
        return st;
    int32_t *labels = labels_of(test);
    if (labels == NULL)
        return error_memory(err, "labels", (size_t)test->count * sizeof(*labels));
    const struct answered answered = {test->answers, test->count, test->classes, labels, test->label_sets};
    answers->before = scores_of(&answered);
    apply(test, answers);
    apply(&testing->unseen, answers);
    apply(&testing->others, answers);
    answers->after = scores_of(&answered);
    free(labels);
    return ST_OK;
}

/* ---- predictions.csv ---- */

enum { NUMBER_LENGTH = 16 };

/* Rows in the making, for which there is room. */
struct table {
    struct predictions predictions;
    char (*numbers)[NUMBER_LENGTH]; /* the images' names, where they are numbers */
};

/* Adds a row for each of the test's images, with the properties of `like`. */
static void add_rows(const struct run *run, const struct trainer_test *test, struct predicted_image like,
                     struct table *table)
{
    struct predictions *to = &table->predictions;
    const size_t classes = (size_t)to->classes;
    for (int32_t i = 0; i < test->count; i++) {
        const int32_t sample = test->samples[i];
        const float *answer = test->answers + (size_t)i * classes;
        struct predicted_image *row = &to->rows[to->count];
        *row = like;
        row->image = data_image_name(&run->data, sample, table->numbers[to->count], NUMBER_LENGTH);
        row->hash = run->data.hashes[sample];
        row->views = test->views;
        row->truth = test->labels[sample];
        row->predicted = scores_class(answer, to->classes);
        memcpy(to->probabilities + (size_t)to->count * classes, answer, classes * sizeof(*answer));
        to->count++;
    }
}

size_t answers_row_bytes(int32_t classes)
{
    return sizeof(struct predicted_image) + NUMBER_LENGTH + (size_t)classes * sizeof(float);
}

static enum status make_table(const struct run *run, const struct testing *testing, struct table *table,
                              struct error *err)
{
    const size_t rows =
        (size_t)testing->test.count + (size_t)testing->unseen.count + (size_t)testing->others.count + 1;
    struct predictions *predictions = &table->predictions;
    *table = (struct table){.predictions = {.classes = run->data.classes,
                                            .class_names = run->data.class_names,
                                            .rows = malloc(rows * sizeof(*predictions->rows)),
                                            .probabilities = malloc(rows * (size_t)run->data.classes *
                                                                    sizeof(*predictions->probabilities))},
                            .numbers = malloc(rows * sizeof(*table->numbers))};
    if (predictions->rows == NULL || predictions->probabilities == NULL || table->numbers == NULL)
        return error_memory(err, "predictions", rows * (size_t)run->data.classes * sizeof(float));
    add_rows(run, &testing->test, (struct predicted_image){0}, table);
    add_rows(run, &testing->unseen, (struct predicted_image){.validation = true}, table);
    add_rows(run, &testing->others, (struct predicted_image){.validation = true, .trained = run->best_joined},
             table);
    return ST_OK;
}

static void free_table(struct table *table)
{
    free(table->predictions.rows);
    free(table->predictions.probabilities);
    free(table->numbers);
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
    if (st == ST_OK)
        st = make_table(run, testing, &table, err);
    if (st == ST_OK)
        st = write_predictions(run, &table.predictions, err);
    if (st == ST_OK)
        memcpy(answers->predictions_hash, table.predictions.hash, sizeof(answers->predictions_hash));
    free_table(&table);
    return st;
}

/* ---- splits.csv ---- */

static void write_split(FILE *out, const struct dataset *data, enum data_split split, const char *word)
{
    char number[NUMBER_LENGTH], hash[FILE_HASH_LENGTH];
    for (int32_t i = 0; i < data->sample_count[split]; i++) {
        const int32_t sample = data->samples[split][i];
        csv_write(out, data_image_name(data, sample, number, sizeof(number)));
        file_hash_text(data->hashes[sample], hash);
        fprintf(out, ",%s,%s,", hash, word);
        csv_write(out, data->class_names[data->labels[sample]]);
        fputc('\n', out);
    }
}

enum status answers_write_splits(const struct run *run, struct error *err)
{
    struct file_aside file = {0};
    char *path = run_path(run, SPLITS_NAME);
    enum status st = path != NULL ? ST_OK : error_memory(err, run->folder, 0);
    if (st == ST_OK && !file_exists(path)) {
        st = file_aside_open(&file, path, err);
        if (st == ST_OK) {
            fputs("image,hash,split,class\n", file.stream);
            write_split(file.stream, &run->data, SPLIT_TRAIN, "train");
            write_split(file.stream, &run->data, SPLIT_VALIDATION, "validation");
            write_split(file.stream, &run->data, SPLIT_TEST, "test");
            st = file_aside_commit(&file, err);
        }
    }
    free(path);
    return st;
}
