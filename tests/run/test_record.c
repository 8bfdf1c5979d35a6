/* What a run writes into its journal, function by function, read again as JSON. */
#include "host/run/record.h"

#include "host/run/engine.h"
#include "tests/support/tiny_job.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct tiny_job tiny;
    struct run run;
    struct journal_lines lines;
};

static void open_all(struct fixture *f)
{
    *f = (struct fixture){0};
    tiny_job_open(&f->tiny, NULL);
    tiny_job_open_run(&f->tiny, &f->run); /* writes the run event */
}

static void close_all(struct fixture *f)
{
    journal_lines_free(&f->lines);
    run_close(&f->run);
    tiny_job_close(&f->tiny);
}

/* The journal's last line, which tells that event. */
static const cJSON *last(struct fixture *f, const char *event)
{
    journal_lines_free(&f->lines);
    f->lines = (struct journal_lines){0};
    tiny_job_journal(&f->tiny, &f->lines);
    assert_string_equal(f->lines.lines[f->lines.count - 1].event, event);
    return f->lines.lines[f->lines.count - 1].json;
}

static void check_number(const cJSON *json, const char *name, double expected)
{
    const double found = cJSON_GetNumberValue(cJSON_GetObjectItem(json, name));
    if (!(found >= expected && found <= expected))
        fail_msg("%s: found %g, expected %g", name, found, expected);
}

static void test_run_event(void **state)
{
    static struct fixture f;
    (void)state;
    open_all(&f);
    const cJSON *json = last(&f, "run"), *data = cJSON_GetObjectItem(json, "dataset");
    check_number(json, "seed", 5);
    check_number(data, "train", f.run.data.sample_count[SPLIT_TRAIN]);
    check_number(data, "validation", f.run.data.sample_count[SPLIT_VALIDATION]);
    check_number(data, "test", TINY_JOB_TEST);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(data, "class_names")), TINY_JOB_CLASSES);
    const char *fingerprint = cJSON_GetStringValue(cJSON_GetObjectItem(data, "fingerprint"));
    check_number(data, "few", 0);
    check_number(data, "least", TINY_JOB_IMAGES / TINY_JOB_CLASSES + TINY_JOB_TEST / TINY_JOB_CLASSES);
    assert_true(cJSON_HasObjectItem(data, "least_class") && cJSON_HasObjectItem(data, "most_class"));
    assert_int_equal(strncmp(fingerprint, "xxh3:", 5), 0);
    assert_int_equal(strlen(fingerprint), 5 + 16);
    close_all(&f);
}

static void test_stage_event(void **state)
{
    static struct fixture f;
    struct error err;
    (void)state;
    open_all(&f);
    assert_int_equal(record_stage(&f.run, &err), ST_OK);
    const cJSON *json = last(&f, "stage");
    check_number(json, "stage", 0);
    check_number(cJSON_GetObjectItem(json, "budget"), "models", TINY_JOB_MODELS);
    close_all(&f);
}

static void test_ends(void **state)
{
    static struct fixture f;
    const struct record_model model = {.id = 3,
                                       .parent = 1,
                                       .parameters = 1234,
                                       .epochs = 2,
                                       .steps = 17,
                                       .seconds = 0.5,
                                       .validation = {.loss = 0.25, .accuracy = 0.75}};
    struct error err, cause;
    (void)state;
    open_all(&f);
    assert_int_equal(record_model(&f.run, &model, &err), ST_OK);
    const cJSON *json = last(&f, "model");
    check_number(json, "id", 3);
    check_number(json, "parent", 1);
    check_number(json, "parameters", 1234);
    check_number(json, "epochs", 2);
    check_number(json, "steps", 17);
    check_number(json, "validation_loss", 0.25);
    check_number(json, "validation_accuracy", 0.75);
    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(json, "final")));
    assert_false(cJSON_HasObjectItem(json, "validated"));

    struct record_model joined = model;
    joined.joined = 12;
    assert_int_equal(record_model(&f.run, &joined, &err), ST_OK);
    check_number(last(&f, "model"), "validated", 12);

    error_set(&cause, ST_DIVERGED, "step 9: the loss is nan");
    assert_int_equal(record_failed(&f.run, 4, -1, true, 9, &cause, &err), ST_OK);
    json = last(&f, "failed");
    check_number(json, "id", 4);
    check_number(json, "parent", -1);
    check_number(json, "steps", 9);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(json, "final")));
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "reason")), status_name(ST_DIVERGED));
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "message")), cause.message);
    close_all(&f);
}

static void check_text(const cJSON *json, const char *key, const char *expected)
{
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, key)), expected);
}

static void test_test_event(void **state)
{
    static struct fixture f;
    static int64_t confusion[TINY_JOB_CLASSES * TINY_JOB_CLASSES] = {5, 1, 0, 2, 3, 0, 0, 0, 5};
    struct trainer_test test = {.views = 1,
                                .confusion = confusion,
                                .result = {.loss = 0.5, .accuracy = 0.8125},
                                .plain = {.loss = 0.75, .accuracy = 0.625}};
    struct limits_latency latency = {.seconds = NAN, .predicted = NAN};
    const struct answers answers = {.temperature = 1.25f,
                                    .plain_temperature = 1.5f,
                                    .calibrated_by = 30,
                                    .before = {.loss = 0.5, .calibration_error = 0.0625, .top = NAN},
                                    .after = {.loss = 0.375, .calibration_error = 0.03125, .top = NAN},
                                    .predictions_hash = "xxh3:fedcba9876543210"};
    struct error err;
    (void)state;
    open_all(&f);
    f.run.models = 2;
    snprintf(f.run.calibration.hash, sizeof(f.run.calibration.hash), "xxh3:0123456789abcdef");
    assert_int_equal(record_test(&f.run, 6, &test, &answers, &latency, &err), ST_OK);
    const cJSON *json = last(&f, "test"), *rows = cJSON_GetObjectItem(json, "confusion");
    check_number(json, "id", 6);
    check_number(json, "accuracy", 0.8125);
    check_number(json, "models", 2);
    assert_int_equal(cJSON_GetArraySize(rows), TINY_JOB_CLASSES);
    for (int i = 0; i < TINY_JOB_CLASSES * TINY_JOB_CLASSES; i++) { /* rows are the truth */
        const cJSON *row = cJSON_GetArrayItem(rows, i / TINY_JOB_CLASSES);
        assert_int_equal((int64_t)cJSON_GetNumberValue(cJSON_GetArrayItem(row, i % TINY_JOB_CLASSES)),
                         confusion[i]);
    }
    check_number(json, "temperature", 1.25);
    check_number(json, "plain_temperature", 1.5);
    check_number(json, "calibrated_by", 30);
    check_number(json, "calibrated_loss", 0.375);
    check_number(json, "calibration_error", 0.0625);
    check_number(json, "calibrated_error", 0.03125);
    assert_false(cJSON_HasObjectItem(json, "top5")); /* of three classes */
    check_text(json, "published", "xxh3:0123456789abcdef");
    check_text(json, "predictions", "xxh3:fedcba9876543210");
    assert_int_equal(strlen(cJSON_GetStringValue(cJSON_GetObjectItem(json, "date"))), 20);
    assert_true(cJSON_HasObjectItem(json, "host"));
    assert_false(cJSON_HasObjectItem(json, "views") || cJSON_HasObjectItem(json, "plain_accuracy") ||
                 cJSON_HasObjectItem(json, "plain_loss") || cJSON_HasObjectItem(json, "max_latency_ms") ||
                 cJSON_HasObjectItem(json, "latency_ms") || cJSON_HasObjectItem(json, "latency_device"));

    test.views = 3;
    latency = (struct limits_latency){.seconds = 0.002, .predicted = 0.003, .device = "the device"};
    assert_int_equal(record_test(&f.run, 6, &test, &answers, &latency, &err), ST_OK);
    json = last(&f, "test");
    check_number(json, "views", 3);
    check_number(json, "accuracy", 0.8125);
    check_number(json, "plain_accuracy", 0.625);
    check_number(json, "plain_loss", 0.75);
    check_number(json, "latency_ms", 2.0);
    check_number(json, "predicted_latency_ms", 3.0);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "latency_device")), "the device");
    close_all(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_event),
        cmocka_unit_test(test_stage_event),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_test_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
