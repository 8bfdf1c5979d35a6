/* Reports and plots from a journal. The expected tables were printed by scikit-learn 1.9.1's
 * classification_report with digits=4 for samples that have these confusion counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/base/file.h"
#include "host/report/plots.h"
#include "host/report/predictions.h"
#include "host/report/report.h"
#include "host/report/text.h"
#include "tests/support/journal_events.h"

#include <cairo/cairo.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define assert_ok(call, err)                                                                                 \
    do {                                                                                                     \
        if ((call) != ST_OK)                                                                                 \
            fail_msg("%s: %s", #call, (err).message);                                                        \
    } while (0)

/* ---- the table, against scikit-learn ---- */

static const struct table_case {
    const char *why;
    int32_t classes;
    const char *names[4];
    int64_t counts[16];
    const char *table;
} table_cases[] = {
    {"the usual",
     2,
     {"cat", "dog"},
     {50, 3, 7, 40},
     "              precision    recall  f1-score   support\n"
     "\n"
     "         cat     0.8772    0.9434    0.9091        53\n"
     "         dog     0.9302    0.8511    0.8889        47\n"
     "\n"
     "    accuracy                         0.9000       100\n"
     "   macro avg     0.9037    0.8972    0.8990       100\n"
     "weighted avg     0.9021    0.9000    0.8996       100\n"},
    {"a long name sets the width, characters are not bytes, a class is never found",
     3,
     {"setosa", "versicolor, a name of forty characters..", "zu\xcc\x88rich \xc3\xbc"},
     {13, 0, 0, 1, 0, 15, 0, 0, 9},
     "                                          precision    recall  f1-score   support\n"
     "\n"
     "                                  setosa     0.9286    1.0000    0.9630        13\n"
     "versicolor, a name of forty characters..     0.0000    0.0000    0.0000        16\n"
     "                               zu\xcc\x88rich \xc3\xbc     0.3750    1.0000    0.5455         9\n"
     "\n"
     "                                accuracy                         0.5789        38\n"
     "                               macro avg     0.4345    0.6667    0.5028        38\n"
     "                            weighted avg     0.4065    0.5789    0.4586        38\n"},
    {"a class without samples that is never answered (no part of the averages), one with most of them",
     4,
     {"a", "b", "absent", "e"},
     {3, 1, 0, 0, 2, 5, 0, 1, 0, 0, 0, 0, 1, 0, 0, 12345},
     "              precision    recall  f1-score   support\n"
     "\n"
     "           a     0.5000    0.7500    0.6000         4\n"
     "           b     0.8333    0.6250    0.7143         8\n"
     "      absent     0.0000    0.0000    0.0000         0\n"
     "           e     0.9999    0.9999    0.9999     12346\n"
     "\n"
     "    accuracy                         0.9996     12358\n"
     "   macro avg     0.7778    0.7916    0.7714     12358\n"
     "weighted avg     0.9996    0.9996    0.9996     12358\n"},
};

static void prints_scikit_learns_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(table_cases) / sizeof(*table_cases); i++) {
        const struct table_case *c = &table_cases[i];
        struct error err;
        struct metrics metrics;
        char *names[4], *text = NULL;
        size_t length;
        for (int k = 0; k < 4; k++)
            names[k] = (char *)(uintptr_t)c->names[k];
        const struct history history = {.classes = c->classes, .class_names = names};
        const struct history_test test = {.budget = (char[]){""}};
        assert_ok(metrics_from_confusion(&metrics, c->classes, c->counts, &err), err);
        FILE *out = open_memstream(&text, &length);
        report_text(out, &history, &test, &metrics, NULL);
        fclose(out);
        if (strncmp(text, c->table, strlen(c->table)) != 0)
            fail_msg("%s: found\n%s\nexpected\n%s", c->why, text, c->table);
        assert_memory_equal(text + strlen(c->table), "\naccuracy: ", 11);
        assert_null(strstr(text, "views"));
        free(text);
        metrics_free(&metrics);
    }
}

/* What views have brought stands beside what is found with them. */
static void tells_of_views(void **state)
{
    static const int64_t counts[] = {50, 3, 7, 40};
    char first[] = "cat", second[] = "dog", budget[] = "", *names[] = {first, second}, *text = NULL;
    const struct history history = {.classes = 2, .class_names = names};
    const struct history_test test = {.views = 6, .plain_accuracy = 0.875, .budget = budget};
    struct error err;
    struct metrics metrics;
    size_t length;
    (void)state;
    assert_ok(metrics_from_confusion(&metrics, 2, counts, &err), err);
    FILE *out = open_memstream(&text, &length);
    report_text(out, &history, &test, &metrics, NULL);
    fclose(out);
    assert_non_null(strstr(text, "\naccuracy: 0.9000 (0.8750 without views)\n"));
    free(text);
    metrics_free(&metrics);
}

/* Scores, where they are known, and what speaks against them. */
static void tells_of_scores(void **state)
{
    static const int64_t counts[] = {50, 3, 7, 40};
    static const char *const lines[] = {
        "\naccuracy: 0.9000\n\naccuracy interval: 0.8256 to 0.9448 (95 %)\ntop-5 accuracy: 0.9900\n"
        "log loss: 0.2500 (0.5000 before calibration)\ncalibration error: 0.0312 (0.1250 before "
        "calibration)\n"
        "temperature: 1.5000, by 25 validation images\nROC AUC: 0.8750 macro, 0.7500 weighted\n"
        "average precision: 0.6250 macro, 0.5000 weighted\n\nstage: 0\n",
        "\nwarning: fewer than 10 images in 1 of 2 classes\n"
        "warning: class \"dog\" has 91 images, \"cat\" 9: see the averages and each class's recall rather "
        "than the "
        "accuracy\nwarning: 99 validation images: what is chosen and calibrated by them is rough\n",
    };
    char first[] = "cat", second[] = "dog", budget[] = "", *names[] = {first, second}, *text = NULL;
    struct history history = {.classes = 2, .class_names = names};
    const struct history_test test = {.temperature = 1.5,
                                      .calibrated_by = 25,
                                      .loss = 0.5,
                                      .calibrated_loss = 0.25,
                                      .calibration_error = 0.125,
                                      .calibrated_error = 0.03125,
                                      .top5 = 0.99,
                                      .budget = budget};
    const struct rankings rankings = {.macro = {0.875, 0.625}, .weighted = {0.75, 0.5}};
    struct error err;
    struct metrics metrics;
    size_t length;
    (void)state;
    history.data = (struct history_data){.validation = 99, .few = 1, .least = 9, .most = 91};
    history.data.least_class = first;
    history.data.most_class = second;
    assert_ok(metrics_from_confusion(&metrics, 2, counts, &err), err);
    for (int calm = 0; calm < 2; calm++) {
        FILE *out = open_memstream(&text, &length);
        report_text(out, &history, &test, &metrics, &rankings);
        fclose(out);
        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
            if ((strstr(text, lines[i]) == NULL) != (calm && i == 1))
                fail_msg("found\n%s\nexpected\n%s", text, lines[i]);
        assert_int_equal(strstr(text, "warning") == NULL, calm);
        free(text);
        history.data = (struct history_data){
            .validation = 100, .least = 10, .most = 100, .least_class = first, .most_class = second};
    }
    metrics_free(&metrics);
}

/* ---- a run folder ---- */

static const char *const four_names[] = {"a", "b", "c", "\377d"}, *const two_names[] = {"a", "b"};
static const char *const no_names[] = {""};
static cJSON *three_layers, *four_layers, *no_layers; /* graphs, of which a report counts the layers */

#define BEGINNING(names, count)                                                                              \
    {                                                                                                        \
        .kind = EVENT_RUN, .run = {                                                                          \
            .version = "1",                                                                                  \
            .format = EVENT_FORMAT,                                                                          \
            .dataset = {.fingerprint = "0", .class_names = {names, count}, .skipped = 3, .policy = ""},      \
            .libraries = {"1", "1", "1", NULL}                                                               \
        }                                                                                                    \
    }
#define STAGE(number, seconds, models)                                                                       \
    {                                                                                                        \
        .kind = EVENT_STAGE, .stage = { number, {seconds, NAN, models} }                                     \
    }
#define EPOCH_OF(seconds, number, count, train_loss, train, validation, right)                               \
    {                                                                                                        \
        .kind = EVENT_EPOCH, .time = seconds, .epoch = {                                                     \
            .id = number,                                                                                    \
            .epoch = count,                                                                                  \
            .loss = train_loss,                                                                              \
            .accuracy = train,                                                                               \
            .validation_loss = validation,                                                                   \
            .validation_accuracy = right                                                                     \
        }                                                                                                    \
    }
#define MODEL(seconds, number, right)                                                                        \
    {                                                                                                        \
        .kind = EVENT_MODEL, .time = seconds, .model = {.id = number, .validation_accuracy = right }         \
    }
#define FAILED(seconds, number)                                                                              \
    {                                                                                                        \
        .kind = EVENT_FAILED, .time = seconds, .failed = {                                                   \
            .id = number,                                                                                    \
            .reason = "diverged",                                                                            \
            .message = "the loss is nan"                                                                     \
        }                                                                                                    \
    }

static struct event candidate_of(double seconds, int32_t id, int64_t parameters, cJSON *graph)
{
    struct event event = journal_events_blank(EVENT_CANDIDATE);
    event.time = seconds;
    event.candidate.id = id;
    event.candidate.parent = -1;
    event.candidate.graph = graph;
    event.candidate.parameters = parameters;
    return event;
}

static struct event tested(int32_t stage, int32_t id, double accuracy, double loss, const int64_t counts[16],
                           double budget, double elapsed, int32_t models)
{
    struct event event = journal_events_blank(EVENT_TEST);
    event.test.stage = stage;
    event.test.id = id;
    event.test.accuracy = accuracy;
    event.test.loss = loss;
    event.test.confusion = (struct event_matrix){counts, 4};
    event.test.budget_seconds = budget;
    event.test.elapsed_seconds = elapsed;
    event.test.models = models;
    return event;
}

/* The events of a run of four classes, two stages, three models and two final fits. */
enum { RUN_EVENTS = 15, FIRST_TEST = 12 };
static void fill_run_events(struct event events[RUN_EVENTS])
{
    static const int64_t first[] = {1, 0, 1, 0, 0, 2, 0, 0, 1, 1, 1, 0, 1, 0, 0, 0};
    static const int64_t second[] = {2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2};
    const struct event made_here[RUN_EVENTS] = {
        BEGINNING(four_names, 4),
        STAGE(0, 60, NAN),
        candidate_of(0, 0, 1000, three_layers),
        EPOCH_OF(0, 0, 0, 1.5, 0.5, 1.6, 0.4),
        EPOCH_OF(0, 0, 1, NAN, 0.6, 1.4, 0.55),
        MODEL(0, 0, 0.55),
        candidate_of(0, 1, 2000, no_layers),
        FAILED(0, 1),
        candidate_of(0, 2, 3000, four_layers),
        {.kind = EVENT_PLAN, .plan = {.id = 2, .batch = 16, .wanted = 32}},
        EPOCH_OF(0, 2, 0, 0.5, 0.9, 0.6, 0.8),
        MODEL(0, 2, 0.8),
        tested(0, 2, 0.5, 0.7, first, 60, 58.25, 2),
        STAGE(1, NAN, 12),
        tested(1, 0, 1, 0.1, second, NAN, 99, 3),
    };
    memcpy(events, made_here, sizeof(made_here));
    for (int i = 0; i < RUN_EVENTS; i++)
        events[i].time = 10.0 * i;
    for (int i = 0; i < RUN_EVENTS; i++)
        if (events[i].kind == EVENT_CANDIDATE && events[i].candidate.id == 2)
            events[i].candidate.learning_rate = 0.046875, events[i].candidate.batch = 48.0,
            events[i].candidate.prior = 1;
}

static char folder[] = "/tmp/nasrun-report-XXXXXX";

static char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static const char *const made[] = {
    "journal.jsonl",         "report.txt",
    "report.json",           "report-0.txt",
    "report-0.json",         "report-1.txt",
    "report-1.json",         "plots/learning.png",
    "plots/progress.png",    "plots/confusion-0.png",
    "plots/confusion-1.png", "plots/confusion.png",
    "plots/shares-0.png",    "plots/shares-1.png",
    "plots/shares.png",      "plots/family.png",
};
enum { MADE = sizeof(made) / sizeof(*made) };

static int make_folder(void **state)
{
    (void)state;
    three_layers = cJSON_Parse("{\"layers\":[1,2,3]}");
    four_layers = cJSON_Parse("{\"layers\":[1,2,3,4]}");
    no_layers = cJSON_Parse("{}");
    return three_layers == NULL || four_layers == NULL || no_layers == NULL || mkdtemp(folder) == NULL ? -1
                                                                                                       : 0;
}

static int empty_folder(void **state)
{
    (void)state;
    for (size_t i = 0; i < MADE; i++)
        unlink(in_folder(made[i]));
    rmdir(in_folder("plots"));
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    cJSON_Delete(three_layers);
    cJSON_Delete(four_layers);
    cJSON_Delete(no_layers);
    return rmdir(folder); /* fails when something was left that nobody expected */
}

/* A journal of the first `count` events of the run, and `extra` behind them unless NULL. */
static void write_journal(int count, const struct event *extra)
{
    struct event events[RUN_EVENTS];
    fill_run_events(events);
    journal_events_write(in_folder(JOURNAL_NAME), events, (size_t)count);
    if (extra != NULL)
        journal_events_write(in_folder(JOURNAL_NAME), extra, 1);
}

static char *read_text(const char *name)
{
    struct error err;
    char *text;
    size_t length;
    assert_ok(file_read(in_folder(name), &text, &length, &err), err);
    return text;
}

#define FEW     "warning: 0 validation images: what is chosen and calibrated by them is rough\n"
#define NOTHING "verdict: nothing was compared with the search (baseline.start)\n"

static void assert_ends_with(const char *name, const char *end)
{
    char *text = read_text(name);
    assert_true(strlen(text) >= strlen(end));
    assert_string_equal(text + strlen(text) - strlen(end), end);
    free(text);
}

static double number_at(const cJSON *json, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static void writes_reports_of_every_stage(void **state)
{
    (void)state;
    struct error err;

    write_journal(RUN_EVENTS, NULL);
    assert_ok(report_write_all(folder, false, &err), err);
    assert_false(file_exists(in_folder("plots/learning.png")));
    assert_ends_with("report-0.txt",
                     "\naccuracy: 0.5000\n\naccuracy interval: 0.2152 to 0.7848 (95 %)\n\n"
                     "stage: 0\nbudget: 60 s\nelapsed: 58.2 s\n"
                     "models tried: 2 (candidates that failed: 1)\n"
                     "models with a smaller batch for want of memory: 1\n"
                     "models chosen by search.prior, what earlier runs have shown: 1\nwinner: "
                     "model 2\n"
                     "parameters: 3000\nlayers: 4\ntrain.batch: 48\ntrain.learning_rate: "
                     "0.046875\nfiles skipped: 3, which could not be read\n" FEW NOTHING);
    assert_ends_with("report-1.txt",
                     "\naccuracy: 1.0000\n\naccuracy interval: 0.6756 to 1.0000 (95 %)\n\n"
                     "stage: 1\nbudget: 12 models\nelapsed: 99.0 s\n"
                     "models tried: 3 (candidates that failed: 1)\n"
                     "models with a smaller batch for want of memory: 1\n"
                     "models chosen by search.prior, what earlier runs have shown: 1\nwinner: model 0\n"
                     "parameters: 1000\nlayers: 3\nfiles skipped: 3, which could not be read\n" FEW NOTHING);
    char *last = read_text("report.txt"), *second = read_text("report-1.txt");
    assert_memory_equal(last, second, strlen(second));
    assert_string_equal(last + strlen(second), "\n        budget  accuracy   interval of 95 %  one view  "
                                               "baseline candidates parameters       elapsed\n"
                                               "\n          60 s    0.5000   0.2152 to 0.7848    0.5000      "
                                               "   -          2       3000        58.2 s\n"
                                               "     12 models    1.0000   0.6756 to 1.0000    1.0000        "
                                               " -          3       1000        99.0 s\n"
                                               "\naccuracies on the test images; a stage goes on from those "
                                               "before it, and its budget, candidates and "
                                               "time are all until then\n");
    free(last);
    free(second);
}

static void writes_the_same_facts_as_json(void **state)
{
    (void)state;
    struct error err;

    write_journal(FIRST_TEST + 1, NULL);
    assert_ok(report_write_all(folder, false, &err), err);
    assert_false(file_exists(in_folder("report-0.txt"))); /* a single stage */
    char *text = read_text("report.json");
    cJSON *json = cJSON_Parse(text);
    const cJSON *third = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "classes"), 2);
    const cJSON *macro = cJSON_GetObjectItem(json, "macro_average");
    assert_true(number_at(json, "accuracy") == 0.5);
    assert_true(number_at(json, "loss") == 0.7);
    assert_true(number_at(json, "budget_seconds") == 60);
    assert_true(number_at(json, "elapsed_seconds") == 58.25);
    assert_true(number_at(json, "models") == 2);
    assert_true(number_at(json, "smaller_batches") == 1);
    assert_true(number_at(json, "chosen_by_prior") == 1);
    assert_true(number_at(json, "winner") == 2);
    assert_true(number_at(json, "parameters") == 3000);
    const cJSON *chosen = cJSON_GetObjectItem(json, "hyperparameters");
    assert_int_equal(cJSON_GetArraySize(chosen), 2);
    assert_true(number_at(chosen, "learning_rate") == 0.046875 && number_at(chosen, "batch") == 48);
    assert_string_equal(cJSON_GetObjectItem(third, "name")->valuestring, "c");
    assert_true(number_at(third, "precision") == 0.5);
    assert_true(number_at(third, "recall") == 1 / 3.0);
    assert_true(fabs(number_at(third, "f1") - 0.4) < 1e-15);
    assert_true(number_at(third, "support") == 3);
    assert_true(fabs(number_at(macro, "recall") - (0.5 + 1 + 1 / 3.0 + 0) / 4) < 1e-15);
    assert_true(number_at(json, "skipped_files") == 3.0);
    assert_true(number_at(cJSON_GetObjectItem(json, "weighted_average"), "recall") == 0.5);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "budgets")), 1);
    cJSON_Delete(json);
    free(text);
}

/* A stage's predictions.csv gives rankings when it is the one that its test tells of, and is passed over otherwise. */
static void ranks_by_predictions(void **state)
{
    enum { IMAGES = 4 };
    static struct predicted_image rows[IMAGES] = {
        {"1", 1, false, false, 1, 0, 0},
        {"2", 2, false, false, 1, 1, 0},
        {"3", 3, false, false, 1, 2, 2},
        {"4", 4, true, false, 1, 3, 3},
    };
    static float answers[IMAGES * 4] = {0.5f, 0.25f, 0.25f, 0,    0.5f, 0.5f, 0, 0,
                                        0,    0.75f, 0.25f, 0.0f, 0,    0,    0, 1};
    struct event events[RUN_EVENTS];
    struct predictions predictions = {.classes = 4, .count = IMAGES, .rows = rows, .probabilities = answers};
    struct error err;
    (void)state;
    fill_run_events(events);
    predictions.class_names = (char **)(uintptr_t)four_names;
    assert_ok(predictions_write(in_folder("predictions.csv"), &predictions, &err), err);
    events[FIRST_TEST].test.predictions = predictions.hash;
    events[FIRST_TEST].test.date = "2026-01-31T12:00:00Z";
    events[FIRST_TEST].test.host = "node7";
    journal_events_write(in_folder(JOURNAL_NAME), events, FIRST_TEST + 1);
    for (int other = 0; other < 2; other++) {
        assert_ok(report_write_all(folder, false, &err), err);
        char *text = read_text("report.json");
        cJSON *json = cJSON_Parse(text);
        const cJSON *classes = cJSON_GetObjectItem(json, "classes");
        const cJSON *second = cJSON_GetArrayItem(classes, 1), *fourth = cJSON_GetArrayItem(classes, 3);
        assert_true(other ? isnan(number_at(second, "roc_auc")) : number_at(second, "roc_auc") == 0.5);
        assert_true(other || number_at(second, "average_precision") == 0.5);
        assert_true(isnan(number_at(fourth, "roc_auc"))); /* a validation image alone */
        assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "date")), "2026-01-31T12:00:00Z");
        assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "host")), "node7");
        assert_true(number_at(cJSON_GetObjectItem(json, "budget"), "seconds") == 60.0);
        assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "confusion")), 4);
        assert_true(number_at(json, "batch") == 16.0);
        cJSON_Delete(json);
        free(text);
        text = read_text("report.txt");
        assert_int_equal(strstr(text, "ROC AUC: ") != NULL, !other);
        free(text);
        answers[0] = 0.625f; /* another's */
        assert_ok(predictions_write(in_folder("predictions.csv"), &predictions, &err), err);
    }
    unlink(in_folder("predictions.csv"));
}

/* Four candidates in training at the same time: 4 finishes first, 2 last, 3 fails in between; another one fails in the
 * second stage. `apart`: the same models finish at the same times, but each begins after the one before it. */
#define RUN                                       BEGINNING(two_names, 2)
#define CANDIDATE(seconds, number, size)          candidate_of(seconds, number, size, no_layers)
#define EPOCH(seconds, number, count, train_loss) EPOCH_OF(seconds, number, count, train_loss, NAN, NAN, NAN)
#define TEST(seconds, number)                                                                                \
    {                                                                                                        \
        .kind = EVENT_TEST, .time = seconds, .test = {                                                       \
            .stage = number,                                                                                 \
            .id = 4,                                                                                         \
            .models = 4,                                                                                     \
            .confusion = {identity, 2}                                                                       \
        }                                                                                                    \
    }
static const int64_t identity[] = {1, 0, 0, 1};

static void write_mixed(void)
{
    const struct event mixed[] = {
        RUN,
        CANDIDATE(1, 1, 100),
        CANDIDATE(2, 2, 200),
        EPOCH(10, 1, 1, 0.11),
        CANDIDATE(11, 3, 300),
        EPOCH(12, 2, 1, 0.21),
        CANDIDATE(13, 4, 400),
        EPOCH(14, 3, 1, 0.31),
        EPOCH(15, 4, 1, 0.41),
        EPOCH(16, 1, 2, 0.12),
        EPOCH(17, 2, 2, 0.22),
        MODEL(20, 4, 0.7),
        EPOCH(25, 2, 1, 0.23), /* 2 goes on from an earlier checkpoint */
        FAILED(30, 3),
        MODEL(40, 1, 0.8),
        EPOCH(45, 2, 2, 0.24),
        MODEL(60, 2, 0.6),
        TEST(61, 0),
        CANDIDATE(62, 5, 500),
        FAILED(63, 5),
        TEST(64, 1),
    };
    journal_events_write(in_folder(JOURNAL_NAME), mixed, sizeof(mixed) / sizeof(*mixed));
}

static void write_apart(void)
{
    const struct event apart[] = {
        RUN,
        CANDIDATE(1, 4, 400),
        MODEL(20, 4, 0.7),
        CANDIDATE(21, 1, 100),
        MODEL(40, 1, 0.8),
        CANDIDATE(41, 2, 200),
        MODEL(60, 2, 0.6),
        TEST(61, 0),
        TEST(64, 1),
    };
    journal_events_write(in_folder(JOURNAL_NAME), apart, sizeof(apart) / sizeof(*apart));
}

static void reads_candidates_trained_at_the_same_time(void **state)
{
    (void)state;
    static const struct {
        int64_t id;
        int32_t points;
        double losses[2], time, accuracy;
        bool failed;
    } expected[] = {
        {1, 2, {0.11, 0.12}, 40, 0.8, false},
        {2, 2, {0.23, 0.24}, 60, 0.6, false},
        {3, 1, {0.31}, 0, 0, true},
        {4, 1, {0.41}, 20, 0.7, false},
        {5, 0, {0}, 0, 0, true},
    };
    struct error err;
    struct history history;

    write_mixed();
    assert_ok(history_load(folder, &history, &err), err);
    assert_int_equal(history.model_count, sizeof(expected) / sizeof(*expected));
    for (int32_t i = 0; i < history.model_count; i++) {
        const struct history_model *model = &history.models[i];
        assert_int_equal(model->id, expected[i].id);
        assert_int_equal(model->parameters, 100 * model->id);
        assert_int_equal(model->point_count, expected[i].points);
        for (int32_t k = 0; k < model->point_count; k++) {
            assert_int_equal(model->points[k].epoch, k + 1);
            assert_true(model->points[k].loss == expected[i].losses[k]);
        }
        assert_int_equal(model->failed, expected[i].failed);
        assert_int_equal(model->finished, !expected[i].failed);
        if (model->finished)
            assert_true(model->time == expected[i].time &&
                        model->validation_accuracy == expected[i].accuracy);
    }
    assert_int_equal(history.tests[0].failed, 1);
    assert_int_equal(history.tests[1].failed, 2);
    history_free(&history);
}

/* Models appear when they finish, whenever they began. */
static void draws_progress_by_time_of_finishing(void **state)
{
    struct error err;
    struct plot_request request = {0};
    char *pictures[2];
    size_t lengths[2];

    for (int i = 0; i < 2; i++) {
        if (i == 0)
            write_mixed();
        else
            write_apart();
        assert_ok(report_write_plots(folder, &request, &err), err);
        assert_ok(file_read(in_folder("plots/progress.png"), &pictures[i], &lengths[i], &err), err);
        empty_folder(state);
    }
    assert_int_equal(lengths[0], lengths[1]);
    assert_memory_equal(pictures[0], pictures[1], lengths[0]);
    free(pictures[0]);
    free(pictures[1]);
}

/* The share of the picture's pixels that are not white; the picture must be readable. */
static double ink_of(const char *name, int width)
{
    cairo_surface_t *surface = cairo_image_surface_create_from_png(in_folder(name));
    assert_int_equal(cairo_surface_status(surface), CAIRO_STATUS_SUCCESS);
    assert_int_equal(cairo_image_surface_get_width(surface), width);
    int height = cairo_image_surface_get_height(surface), inked = 0;
    const unsigned char *data = cairo_image_surface_get_data(surface);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const unsigned char *pixel =
                data + (size_t)y * (size_t)cairo_image_surface_get_stride(surface) + 4 * x;
            inked += pixel[0] != 255 || pixel[1] != 255 || pixel[2] != 255;
        }
    cairo_surface_destroy(surface);
    return (double)inked / width / height;
}

static void draws_the_plots(void **state)
{
    (void)state;
    struct error err;

    write_journal(RUN_EVENTS, NULL);
    assert_ok(report_write_all(folder, true, &err), err);
    for (size_t i = 0; i < MADE; i++)
        assert_true(file_exists(in_folder(made[i])));
    double good = ink_of("plots/confusion-1.png", 1200), bad = ink_of("plots/confusion-0.png", 1200);
    assert_true(good > 0.1 && good < bad && bad < 0.8); /* errors shade more cells */
    assert_true(ink_of("plots/learning.png", 1200) > 0.01);
    assert_true(ink_of("plots/progress.png", 1200) > 0.01);
}

/* A run that has only begun: its plots are empty axes, and there is no report yet. */
static void plots_before_any_result(void **state)
{
    (void)state;
    struct error err;
    struct plot_request request = {0};

    write_journal(1, NULL);
    assert_ok(report_write_plots(folder, &request, &err), err);
    assert_true(ink_of("plots/learning.png", 1200) > 0.005);
    assert_false(file_exists(in_folder("plots/confusion.png")));
    assert_int_equal(report_write_all(folder, false, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "no stage of this run has been tested yet"));
    assert_false(file_exists(in_folder("report.txt")));
}

/* 1, 2, 31 and 100 classes with names of all lengths. */
static void draws_any_number_of_classes(void **state)
{
    (void)state;
    static const int32_t class_counts[] = {1, 2, 31, 100};
    char path[128];
    struct picture picture = {.path = path};
    struct error err;

    assert_ok(file_make_folder(in_folder("plots"), &err), err);
    snprintf(path, sizeof(path), "%s", in_folder("plots/confusion.png"));
    for (size_t i = 0; i < sizeof(class_counts) / sizeof(*class_counts); i++) {
        int32_t n = class_counts[i];
        char *names[100], name[700];
        int64_t counts[100 * 100] = {0};
        struct metrics metrics;
        for (int32_t k = 0; k < n; k++) {
            memset(name, 'a' + k % 26, sizeof(name));
            name[k == 0 ? 699 : k % 20] = '\0';
            names[k] = strdup(name);
            assert_non_null(names[k]);
            counts[k * n + k] = 1000000;
        }
        const struct history history = {.classes = n, .class_names = names};
        const struct history_test test = {.counts = counts, .budget = (char[]){""}};
        assert_ok(metrics_from_confusion(&metrics, n, counts, &err), err);
        assert_ok(plot_confusion(&picture, &history, &test, &metrics, false, &err), err);
        assert_true(ink_of("plots/confusion.png", n > 30 ? 2160 : 1200) > 0.01);
        metrics_free(&metrics);
        for (int32_t k = 0; k < n; k++)
            free(names[k]);
    }
}

/* What an event alone does not show; what is wrong with its fields is event_read.c's affair. */
static void names_what_is_wrong_with_an_event(void **state)
{
    static const int64_t counts[] = {1, 0, 0, 1};
    const struct {
        struct event event;
        const char *expected;
    } cases[] = {
        {BEGINNING(four_names, 4), "run event: a second run event, expected one"},
        {CANDIDATE(0, 2, 100), "candidate event: a second candidate with id 2"},
        {EPOCH(0, 9, 1, 0.5), "epoch event: id 9 has no candidate event before it"},
        {MODEL(0, 9, 0.5), "model event: id 9 has no candidate event before it"},
        {FAILED(0, 9), "failed event: id 9 has no candidate event before it"},
        {{.kind = EVENT_TEST, .test = {.confusion = {counts, 2}}},
         "test event: \"confusion\" has 2 rows, expected 4"},
    };
    const struct event stage = STAGE(0, 60, NAN), test = TEST(0, 0), nothing = BEGINNING(no_names, 0);
    struct error err;
    char place[160];

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        write_journal(RUN_EVENTS, &cases[i].event);
        assert_int_equal(report_write_all(folder, false, &err), ST_FORMAT);
        snprintf(place, sizeof(place), "%s:%d: ", in_folder(JOURNAL_NAME), RUN_EVENTS + 1);
        assert_memory_equal(err.message, place, strlen(place));
        assert_string_equal(err.message + strlen(place), cases[i].expected);
        empty_folder(state);
    }
    write_journal(0, &stage);
    assert_int_equal(report_write_all(folder, false, &err), ST_FORMAT);
    assert_non_null(strstr(err.message, "no run event in 1 lines, expected one"));
    write_journal(0, &test);
    assert_int_equal(report_write_all(folder, false, &err), ST_FORMAT);
    assert_non_null(strstr(err.message, ":2: test event: a test event before the run event"));
    empty_folder(state);
    write_journal(0, &nothing);
    assert_int_equal(report_write_all(folder, false, &err), ST_FORMAT);
    assert_non_null(strstr(err.message, ":1: run event: 0 class names, expected 1 to 10000"));
}

/* A run of format 1, as an older nasrun left it, gives the report that this one gave. */
static void reports_a_run_of_format_1(void **state)
{
    (void)state;
    struct error err;
    char *journal, *expected;
    size_t length;
    assert_ok(file_read("tests/journal/format-1/journal.jsonl", &journal, &length, &err), err);
    assert_ok(file_write_atomic(in_folder(JOURNAL_NAME), journal, length, &err), err);
    assert_ok(report_write_all(folder, true, &err), err);
    assert_ok(file_read("tests/journal/format-1/report.txt", &expected, &length, &err), err);
    char *found = read_text("report.txt");
    assert_string_equal(found, expected);
    assert_true(ink_of("plots/learning.png", 1200) > 0.01);
    assert_true(ink_of("plots/progress.png", 1200) > 0.01);
    assert_true(ink_of("plots/confusion.png", 1200) > 0.1);
    assert_true(ink_of("plots/network.png", 1000) > 0.05); /* the other journals here have no networks */
    unlink(in_folder("plots/network.png"));
    free(found);
    free(expected);
    free(journal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_scikit_learns_table),
        cmocka_unit_test(tells_of_views),
        cmocka_unit_test(tells_of_scores),
        cmocka_unit_test_teardown(writes_reports_of_every_stage, empty_folder),
        cmocka_unit_test_teardown(ranks_by_predictions, empty_folder),
        cmocka_unit_test_teardown(writes_the_same_facts_as_json, empty_folder),
        cmocka_unit_test_teardown(reads_candidates_trained_at_the_same_time, empty_folder),
        cmocka_unit_test_teardown(draws_progress_by_time_of_finishing, empty_folder),
        cmocka_unit_test_teardown(draws_the_plots, empty_folder),
        cmocka_unit_test_teardown(plots_before_any_result, empty_folder),
        cmocka_unit_test_teardown(draws_any_number_of_classes, empty_folder),
        cmocka_unit_test_teardown(names_what_is_wrong_with_an_event, empty_folder),
        cmocka_unit_test_teardown(reports_a_run_of_format_1, empty_folder),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
