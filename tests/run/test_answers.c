/* What a stage leaves of its model's answers: predictions.csv and splits.csv beside the journal, the published model
 * with its temperatures, one file for each stage, and that all of it comes again as it was. */
#include "host/run/answers.h"

#include "host/base/file.h"
#include "host/report/predictions.h"
#include "tests/support/tiny_job.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { VALIDATION = TINY_JOB_IMAGES / 4, KEPT_OUT = VALIDATION / 4 };

static void assert_ok(enum status st, const struct error *err)
{
    if (st != ST_OK)
        fail_msg("%s", err->message);
}

static char *read_file(const struct tiny_job *tiny, const char *name, size_t *length)
{
    struct error err;
    char *path = file_join(tiny->run, name), *data;
    assert_ok(file_read(path, &data, length, &err), &err);
    free(path);
    return data;
}

static bool same_files(const struct tiny_job *tiny, const char *first, const char *second)
{
    size_t lengths[2];
    char *a = read_file(tiny, first, &lengths[0]), *b = read_file(tiny, second, &lengths[1]);
    const bool same = lengths[0] == lengths[1] && memcmp(a, b, lengths[0]) == 0;
    free(a);
    free(b);
    return same;
}

static const char *text_at(const cJSON *json, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));
    assert_non_null(text);
    return text;
}

static void read_predictions(const struct tiny_job *tiny, int64_t stage, struct predictions *predictions)
{
    struct error err;
    char *path = predictions_path(tiny->run, stage);
    assert_ok(predictions_read(path, predictions, &err), &err);
    free(path);
}

/* Rows as the journal tells: `joined`: the final fit has trained on the validation images that are not kept out. */
static void check_predictions(const struct tiny_job *tiny, bool joined)
{
    struct journal_lines lines;
    struct predictions found;
    tiny_job_journal(tiny, &lines);
    const cJSON *test = tiny_job_last(&lines, "test");
    int32_t right = 0, unseen = 0;
    double loss = 0.0;
    read_predictions(tiny, -1, &found);
    assert_string_equal(found.hash, text_at(test, "predictions"));
    assert_int_equal(found.classes, TINY_JOB_CLASSES);
    assert_int_equal(found.count, TINY_JOB_TEST + VALIDATION);
    for (int32_t i = 0; i < found.count; i++) {
        const struct predicted_image *row = &found.rows[i];
        assert_int_equal(row->validation, i >= TINY_JOB_TEST);
        right += !row->validation && row->predicted == row->truth;
        loss -= row->validation
                    ? 0.0
                    : log((double)found.probabilities[i * TINY_JOB_CLASSES + row->truth]) / TINY_JOB_TEST;
        unseen += row->validation && row->views > 1;
        assert_int_equal(row->trained, joined && row->views == 1);
        assert_true(row->validation ? atoi(row->image) < TINY_JOB_IMAGES
                                    : atoi(row->image) == TINY_JOB_IMAGES + i);
    }
    assert_int_equal(unseen, KEPT_OUT);
    assert_int_equal(tiny_job_number(test, "calibrated_by"), KEPT_OUT);
    assert_true(tiny_job_number(test, "accuracy") == (double)right / TINY_JOB_TEST);
    assert_true(fabs(tiny_job_number(test, "calibrated_loss") - loss) < 1e-6);
    predictions_free(&found);
    journal_lines_free(&lines);
}

static void check_published(const struct tiny_job *tiny)
{
    struct journal_lines lines;
    struct model model;
    struct error err;
    tiny_job_journal(tiny, &lines);
    const cJSON *test = tiny_job_last(&lines, "test");
    char *path = file_join(tiny->run, MODEL_FILE_NAME);
    assert_ok(model_load(path, &model, &err), &err);
    assert_string_equal(model.hash, text_at(test, "published"));
    assert_true((double)model.about.temperature == tiny_job_number(test, "temperature"));
    assert_true((double)model.about.plain_temperature == tiny_job_number(test, "plain_temperature"));
    assert_true(model.about.temperature != 1.0f);
    model_free(&model);
    journal_lines_free(&lines);
    free(path);
}

/* Whether the model that was tested has trained on validation images. */
static bool has_joined(const struct tiny_job *tiny)
{
    struct journal_lines lines;
    tiny_job_journal(tiny, &lines);
    const double id = tiny_job_number(tiny_job_last(&lines, "test"), "id");
    bool joined = false;
    for (size_t i = 0; i < lines.count; i++)
        if (strcmp(lines.lines[i].event, "model") == 0 && tiny_job_number(lines.lines[i].json, "id") == id)
            joined = cJSON_HasObjectItem(lines.lines[i].json, "validated");
    journal_lines_free(&lines);
    return joined;
}

static void check(const char *const *overrides, bool joined)
{
    struct tiny_job tiny;
    struct error err;
    size_t length, again;
    tiny_job_open(&tiny, overrides);
    tiny_job_run(&tiny);
    assert_int_equal(has_joined(&tiny), joined);
    check_predictions(&tiny, joined);
    check_published(&tiny);

    /* Gone or damaged, the model comes again, with its temperatures. */
    char *path = file_join(tiny.run, MODEL_FILE_NAME), *model = read_file(&tiny, MODEL_FILE_NAME, &length);
    for (int damaged = 0; damaged < 2; damaged++) {
        if (damaged)
            assert_ok(file_write_atomic(path, model, length / 2, &err), &err);
        else
            unlink(path);
        tiny_job_run(&tiny);
        char *found = read_file(&tiny, MODEL_FILE_NAME, &again);
        assert_int_equal(again, length);
        assert_memory_equal(found, model, length);
        free(found);
    }
    free(path);
    free(model);
    tiny_job_close(&tiny);
}

static void keeps_what_is_answered(void **state)
{
    static const char *const joining[] = {"train.final_epochs=8", "seed=3", NULL};
    (void)state;
    check(NULL, false); /* too short for an end of an epoch in its last quarter */
    check(joining, true);
}

/* A test that was made and not journalled before the engine ended is made again, with the same bytes. */
static void comes_again(void **state)
{
    struct tiny_job tiny;
    struct journal_lines lines;
    struct error err;
    size_t lengths[2][2];
    char *files[2][2], *histories[2];
    (void)state;
    tiny_job_open(&tiny, NULL);
    char *path = file_join(tiny.run, JOURNAL_NAME);
    for (int time = 0; time < 2; time++) {
        tiny_job_run(&tiny);
        files[time][0] = read_file(&tiny, MODEL_FILE_NAME, &lengths[time][0]);
        files[time][1] = read_file(&tiny, "predictions.csv", &lengths[time][1]);
        histories[time] = tiny_job_history(&tiny);
        tiny_job_journal(&tiny, &lines);
        assert_ok(journal_cut(path, &lines, lines.count - 1, &err), &err);
        journal_lines_free(&lines);
    }
    assert_string_equal(histories[0], histories[1]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lengths[0][i], lengths[1][i]);
        assert_memory_equal(files[0][i], files[1][i], lengths[0][i]);
        free(files[0][i]);
        free(files[1][i]);
        free(histories[i]);
    }
    free(path);
    tiny_job_close(&tiny);
}

/* Each stage has its own, whether it was known from the beginning that there are several or not. */
static void keeps_each_stage(void **state)
{
    static const char *const both[] = {"budget.models=[1,2]", NULL}, *const one[] = {"budget.models=1", NULL};
    struct predictions first;
    (void)state;
    for (int later = 0; later < 2; later++) {
        struct tiny_job tiny;
        struct journal_lines lines;
        tiny_job_open(&tiny, later ? one : both);
        if (later) {
            tiny_job_run(&tiny);
            assert_false(tiny_job_has(&tiny, "predictions-0.csv"));
            tiny_job_change(&tiny, both);
        }
        tiny_job_run(&tiny);
        tiny_job_journal(&tiny, &lines);
        read_predictions(&tiny, 0, &first);
        for (size_t i = 0; i < lines.count; i++)
            if (strcmp(lines.lines[i].event, "test") == 0 &&
                tiny_job_number(lines.lines[i].json, "stage") == 0.0)
                assert_string_equal(text_at(lines.lines[i].json, "predictions"), first.hash);
        assert_true(same_files(&tiny, "predictions.csv", "predictions-1.csv"));
        check_published(&tiny);
        predictions_free(&first);
        journal_lines_free(&lines);
        tiny_job_close(&tiny);
    }
}

static int32_t lines_with(const char *text, const char *word)
{
    const size_t length = strlen(word);
    int32_t count = 0;
    for (; *text != '\0'; text++)
        count += strncmp(text, word, length) == 0;
    return count;
}

/* Every image once, with the hash that predictions.csv has. Written when it is not there. */
static void tells_the_splits(void **state)
{
    struct tiny_job tiny;
    struct predictions predictions;
    struct error err;
    size_t length;
    char row[128];
    (void)state;
    tiny_job_open(&tiny, NULL);
    tiny_job_run(&tiny);
    char *splits = read_file(&tiny, SPLITS_NAME, &length), *path = file_join(tiny.run, SPLITS_NAME);
    assert_int_equal(strncmp(splits, "image,hash,split,class\n", 23), 0);
    assert_int_equal(lines_with(splits, "\n"), 1 + TINY_JOB_IMAGES + TINY_JOB_TEST);
    assert_int_equal(lines_with(splits, ",train,"), TINY_JOB_IMAGES - VALIDATION);
    assert_int_equal(lines_with(splits, ",validation,"), VALIDATION);
    assert_int_equal(lines_with(splits, ",test,"), TINY_JOB_TEST);
    read_predictions(&tiny, -1, &predictions);
    for (int32_t i = 0; i < predictions.count; i++) {
        const struct predicted_image *image = &predictions.rows[i];
        snprintf(row, sizeof(row), "\n%s,xxh3:%016llx,%s,%s\n", image->image, (unsigned long long)image->hash,
                 image->validation ? "validation" : "test", predictions.class_names[image->truth]);
        assert_non_null(strstr(splits, row));
    }
    predictions_free(&predictions);
    assert_ok(file_write_atomic(path, "mine", 4, &err), &err);
    tiny_job_run(&tiny);
    char *kept = read_file(&tiny, SPLITS_NAME, &length);
    assert_string_equal(kept, "mine");
    free(kept);
    unlink(path);
    tiny_job_run(&tiny);
    kept = read_file(&tiny, SPLITS_NAME, &length);
    assert_string_equal(kept, splits);
    free(kept);
    free(splits);
    free(path);
    tiny_job_close(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_what_is_answered),
        cmocka_unit_test(comes_again),
        cmocka_unit_test(keeps_each_stage),
        cmocka_unit_test(tells_the_splits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
