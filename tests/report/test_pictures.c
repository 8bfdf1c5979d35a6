/* Pictures beside those that were looked at: tests/report/pictures has each as 80 x 60 shades of grey, which fonts and
 * versions of cairo leave nearly as they are. --write-pictures writes them anew, and the large ones into
 * $NASRUN_PICTURES, if that is set, to be looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/base/file.h"
#include "host/net/start.h"
#include "host/report/plots.h"
#include "host/report/runs.h"
#include "host/report/sheet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WIDTH = 80, HEIGHT = 60, CELLS = WIDTH * HEIGHT, CLASSES = 20, MODELS = 240 };

/* Of 255 shades: the mean over all cells, and that of any cell. Versions of cairo and of the font may set an edge or a
 * letter otherwise; two of these pictures differ by more than three times as much, and a mark that is gone is one cell.
 */
static const double MOST_DIFFERENCE = 0.5, MOST_OF_A_CELL = 40;

static char no_budget[] = "", long_budget[] = "2500 s";

static bool writing;
static char path[] = "/tmp/nasrun-picture-XXXXXX.png";

/* A whole number below `below`, the same at every run. */
static uint32_t draw_number(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % below;
}

/* ---- what is drawn ---- */

struct sample {
    char names[100][48];
    char *name_list[100];
    int64_t counts[100 * 100];
    struct history history;
    struct history_test test;
    struct metrics metrics;
};

static void make_sample(struct sample *sample, int32_t classes)
{
    static const char *const words[] = {"sugar maple", "great white shark",
                                        "hand-held computer, microcomputer", "ear"};
    uint32_t state = 1;
    struct error err;
    memset(sample, 0, sizeof(*sample));
    for (int32_t k = 0; k < classes; k++) {
        snprintf(sample->names[k], sizeof(sample->names[k]), "%s %d", words[k % 4], k);
        sample->name_list[k] = sample->names[k];
        for (int i = 0; i < 50; i++) {
            const uint32_t luck = draw_number(&state, 100);
            const int32_t answer =
                luck < 80 ? k : (int32_t)((uint32_t)k + 1 + draw_number(&state, 3)) % classes;
            sample->counts[k * classes + answer]++;
        }
    }
    sample->history = (struct history){.classes = classes, .class_names = sample->name_list};
    sample->test = (struct history_test){.counts = sample->counts, .budget = no_budget};
    assert_int_equal(metrics_from_confusion(&sample->metrics, classes, sample->counts, &err), ST_OK);
}

/* Of several labels. */
struct label_sample {
    char names[1000][32];
    char *name_list[1000];
    int64_t counts[1000 * LABELS_COUNTS];
    double thresholds[1000];
    struct history history;
    struct history_test test;
    struct metrics metrics;
};

/* 240 candidates in families of five, the last one a final fit of 40 epochs; a test of it. */
struct search {
    struct history history;
    struct history_model models[MODELS];
    struct history_point points[MODELS][40];
    struct history_test test;
};

static void make_search(struct search *search)
{
    uint32_t state = 2;
    memset(search, 0, sizeof(*search));
    for (int32_t i = 0; i < MODELS; i++) {
        struct history_model *model = &search->models[i];
        const bool final = i == MODELS - 1;
        *model =
            (struct history_model){.id = i,
                                   .parent = final        ? MODELS - 2
                                             : i % 5 == 0 ? -1
                                                          : i - 1,
                                   .compared_with = -1,
                                   .final = final,
                                   .finished = true,
                                   .time = 10.0 * (i + 1),
                                   .gain = NAN,
                                   .made_by = (char *)(i % 5 == 0 ? "start air" : "widen stage 3x3 +50%"),
                                   .points = search->points[i],
                                   .point_count = final ? 40 : 3};
        for (int32_t k = 0; k < model->point_count; k++) {
            const double luck = draw_number(&state, 100) / 1000.0, loss = 1.5 / (k + 1) + luck;
            model->points[k] =
                (struct history_point){k + 1, 0, loss, 1 - loss / 2, loss + 0.1, 0.95 - loss / 2};
        }
        model->validation_accuracy = model->points[model->point_count - 1].validation_accuracy;
    }
    search->test = (struct history_test){.id = MODELS - 1,
                                         .accuracy = 0.9,
                                         .budget = long_budget,
                                         .budget_seconds = 2500,
                                         .elapsed_seconds = 2430,
                                         .baseline = {.id = MODELS, .accuracy = 0.8}};
    search->history = (struct history){
        .models = search->models, .model_count = MODELS, .tests = &search->test, .test_count = 1};
}

/* Probabilities of 400 images that are too sure of themselves. */
struct answers {
    struct predicted_image rows[400];
    float probabilities[400 * 3];
    int32_t labels[400];
    struct predictions predictions;
    struct rankings rankings;
};

static void make_answers(struct answers *answers)
{
    static char *names[] = {"a", "b", "c"};
    uint32_t state = 3;
    struct error err;
    for (int32_t i = 0; i < 400; i++) {
        const float sure = 0.4F + 0.6F * (float)draw_number(&state, 1000) / 1000.0F;
        const int32_t answer = (int32_t)draw_number(&state, 3);
        for (int32_t k = 0; k < 3; k++)
            answers->probabilities[3 * i + k] = k == answer ? sure : (1 - sure) / 2;
        answers->labels[i] = draw_number(&state, 1000) < (uint32_t)(900 * sure) ? answer : (answer + 1) % 3;
        answers->rows[i] = (struct predicted_image){.truth = answers->labels[i], .predicted = answer};
    }
    answers->predictions = (struct predictions){.classes = 3,
                                                .count = 400,
                                                .class_names = names,
                                                .rows = answers->rows,
                                                .probabilities = answers->probabilities};
    const struct answered answered = {answers->probabilities, 400, 3, answers->labels, NULL};
    assert_int_equal(rankings_make(&answers->rankings, &answered, &err), ST_OK);
}

/* ---- small pictures ---- */

/* Mean shades of the cells of the PNG at `path`. */
static void shrink(double cells[CELLS])
{
    cairo_surface_t *surface = cairo_image_surface_create_from_png(path);
    assert_int_equal(cairo_surface_status(surface), CAIRO_STATUS_SUCCESS);
    const int width = cairo_image_surface_get_width(surface),
              height = cairo_image_surface_get_height(surface);
    const size_t stride = (size_t)cairo_image_surface_get_stride(surface);
    const unsigned char *data = cairo_image_surface_get_data(surface);
    for (int cell = 0; cell < CELLS; cell++) {
        const int x0 = cell % WIDTH * width / WIDTH, x1 = (cell % WIDTH + 1) * width / WIDTH;
        const int y0 = cell / WIDTH * height / HEIGHT, y1 = (cell / WIDTH + 1) * height / HEIGHT;
        double sum = 0;
        for (int y = y0; y < y1; y++)
            for (int x = x0; x < x1; x++) {
                const unsigned char *pixel = data + (size_t)y * stride + 4 * (size_t)x;
                sum += (pixel[0] + pixel[1] + pixel[2]) / 3.0;
            }
        cells[cell] = sum / ((x1 - x0) * (y1 - y0));
    }
    cairo_surface_destroy(surface);
}

static void write_cells(const char *golden, const double cells[CELLS])
{
    FILE *out = fopen(golden, "w");
    assert_non_null(out);
    fprintf(out, "P2\n%d %d\n255\n", WIDTH, HEIGHT);
    for (int i = 0; i < CELLS; i++)
        fprintf(out, "%.0f%c", cells[i], i % WIDTH == WIDTH - 1 ? '\n' : ' ');
    assert_int_equal(fclose(out), 0);
}

/* Of 255 shades: the mean, and the largest. */
struct difference {
    double mean, most;
};

static struct difference difference_to(const char *golden, const double cells[CELLS])
{
    FILE *in = fopen(golden, "r");
    struct difference difference = {0};
    if (in == NULL || fscanf(in, "P2 %*d %*d %*d") != 0)
        fail_msg("%s: cannot be read", golden);
    for (int i = 0; i < CELLS; i++) {
        int shade;
        if (fscanf(in, "%d", &shade) != 1)
            fail_msg("%s: too short", golden);
        difference.mean += fabs(shade - cells[i]) / CELLS;
        difference.most = fmax(difference.most, fabs(shade - cells[i]));
    }
    fclose(in);
    return difference;
}

/* The picture at `path` beside the one of that name, and another one that is not to be like it. */
static void compare(const char *name, const char *other)
{
    char golden[96], against[96], command[256];
    double cells[CELLS];
    const char *folder = getenv("NASRUN_PICTURES");
    snprintf(golden, sizeof(golden), "tests/report/pictures/%s.pgm", name);
    snprintf(against, sizeof(against), "tests/report/pictures/%s.pgm", other);
    shrink(cells);
    if (writing)
        write_cells(golden, cells);
    if (writing && folder != NULL) {
        snprintf(command, sizeof(command), "cp %s %s/%s.png", path, folder, name);
        assert_int_equal(system(command), 0);
    }
    const struct difference difference = difference_to(golden, cells);
    if (difference.mean > MOST_DIFFERENCE || difference.most > MOST_OF_A_CELL)
        fail_msg("%s: differs by %.2f shades and by %.0f in a cell, expected at most %.2f and %.0f", name,
                 difference.mean, difference.most, MOST_DIFFERENCE, MOST_OF_A_CELL);
    if (!writing)
        assert_true(difference_to(against, cells).mean > 3 * MOST_DIFFERENCE);
}

/* ---- tests ---- */

static struct picture picture = {.path = path};

static void draws_confusion(void **state)
{
    static struct sample sample;
    struct error err;
    (void)state;
    make_sample(&sample, CLASSES);
    assert_int_equal(plot_confusion(&picture, &sample.history, &sample.test, &sample.metrics, true, &err),
                     ST_OK);
    compare("shares-20", "confusion-100");
    metrics_free(&sample.metrics);
    make_sample(&sample, 100);
    assert_int_equal(plot_confusion(&picture, &sample.history, &sample.test, &sample.metrics, false, &err),
                     ST_OK);
    compare("confusion-100", "shares-20");
    metrics_free(&sample.metrics);
}

/* Classes of 5 to 60 images of 400; of 1000 classes one in eight has none. */
static void make_labels(struct label_sample *sample, int32_t classes)
{
    uint32_t state = 5;
    struct error err;
    memset(sample, 0, sizeof(*sample));
    for (int32_t k = 0; k < classes; k++) {
        int64_t *counts = &sample->counts[k * LABELS_COUNTS];
        const int64_t all = classes > 100 && k % 8 == 3 ? 0 : 5 + draw_number(&state, 56);
        const int64_t found = all - all * draw_number(&state, 60) / 100;
        counts[LABELS_TRUE_POSITIVE] = found;
        counts[LABELS_FALSE_NEGATIVE] = all - found;
        counts[LABELS_FALSE_POSITIVE] = draw_number(&state, 30);
        counts[LABELS_TRUE_NEGATIVE] = 400 - all - counts[LABELS_FALSE_POSITIVE];
        snprintf(sample->names[k], sizeof(sample->names[k]),
                 k % 3 == 0 ? "sugar maple %d" : "microcomputer %d", k);
        sample->name_list[k] = sample->names[k];
        sample->thresholds[k] = 0.2 + draw_number(&state, 600) / 1000.0;
    }
    sample->history = (struct history){.classes = classes, .class_names = sample->name_list, .several = true};
    sample->test =
        (struct history_test){.labels = {.counts = sample->counts}, .thresholds = sample->thresholds};
    assert_int_equal(
        metrics_from_labels(&sample->metrics, classes, &sample->test.labels, sample->counts, 200, &err),
        ST_OK);
}

static void draws_labels(void **state)
{
    static struct label_sample sample;
    static const struct {
        int32_t classes;
        const char *name, *other;
    } cases[] = {{20, "labels-20", "labels-1000"},
                 {100, "labels-100", "labels-20"},
                 {1000, "labels-1000", "labels-20"}};
    const struct plots_stage stage = {
        .history = &sample.history, .test = &sample.test, .metrics = &sample.metrics};
    struct error err;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        make_labels(&sample, cases[i].classes);
        assert_int_equal(plot_labels(&picture, &stage, &err), ST_OK);
        compare(cases[i].name, cases[i].other);
        metrics_free(&sample.metrics);
    }
}

static void draws_a_search(void **state)
{
    static struct search search;
    struct error err;
    (void)state;
    make_search(&search);
    assert_int_equal(plot_learning(&picture, &search.history, &err), ST_OK);
    compare("learning", "progress");
    assert_int_equal(plot_progress(&picture, &search.history, &err), ST_OK);
    compare("progress", "learning");
    assert_int_equal(plot_family(&picture, &search.history, &err), ST_OK);
    compare("family", "learning");
}

/* The last few failed, are in training, and are a final fit. Without a policy there is nothing to draw. */
static void draws_a_policy(void **state)
{
    static struct search search;
    struct error err;
    (void)state;
    make_search(&search);
    for (int32_t i = 0; i < MODELS; i++)
        search.models[i].policy_entropy = NAN;
    remove(path);
    assert_int_equal(plot_policy(&picture, &search.history, &err), ST_OK);
    assert_int_not_equal(access(path, F_OK), 0);
    for (int32_t i = 1; i < MODELS; i++) {
        search.models[i].policy_entropy = 2.0 - 1.5 * i / MODELS;
        search.models[i].policy_baseline = i == 1 ? NAN : 0.2 + 0.5 * i / MODELS;
    }
    search.models[MODELS - 3].validation_accuracy = NAN;
    search.models[MODELS - 3].finished = false;
    search.models[MODELS - 3].failed = true;
    search.models[MODELS - 2].validation_accuracy = NAN;
    search.models[MODELS - 2].finished = false;
    assert_int_equal(plot_policy(&picture, &search.history, &err), ST_OK);
    compare("policy", "progress");
}

static void draws_a_network(void **state)
{
    struct graph graph;
    struct error err;
    (void)state;
    assert_int_equal(start_make(&graph, "res9", 16, (struct shape){.c = 3, .h = 32, .w = 32}, 10, &err),
                     ST_OK);
    assert_int_equal(plot_network(&picture, &graph, "The network of model 1", &err), ST_OK);
    compare("network", "family");
    graph_free(&graph);
}

static void draws_answers(void **state)
{
    static uint8_t of_several[] = {1, 0, 0, 1, 1, 0, 0, 0, 1};
    static struct answers answers;
    struct error err;
    (void)state;
    make_answers(&answers);
    assert_int_equal(plot_reliability(&picture, &answers.predictions, &err), ST_OK);
    compare("reliability", "precision");
    assert_int_equal(plot_precision(&picture, &answers.predictions, &answers.rankings, &err), ST_OK);
    compare("precision", "reliability");
    answers.predictions.label_sets = of_several; /* the classes, as sets of one, and pairs of them */
    answers.predictions.label_set_count = 3;
    assert_int_equal(plot_reliability(&picture, &answers.predictions, &err), ST_OK);
    compare("reliability-labels", "reliability");
    rankings_free(&answers.rankings);
}

static void draws_accuracy_against_budget(void **state)
{
    char *jobs[] = {"search.strategy = \"phases\"", "search.strategy = \"random\""};
    struct runs_row rows[] = {
        {0, RUNS_SECONDS, 900, {3, 0.90, 0.01, 0.88, 0.91}, {3, 0.86, 0.01, 0.85, 0.87}},
        {0, RUNS_SECONDS, 3600, {3, 0.93, 0.01, 0.92, 0.94}, {3, 0.91, 0.01, 0.90, 0.92}},
        {0, RUNS_SECONDS, 14400, {3, 0.95, 0.01, 0.945, 0.955}, {.mean = 0}},
        {1, RUNS_SECONDS, 900, {2, 0.80, 0.01, 0.78, 0.82}, {.mean = 0}},
        {1, RUNS_SECONDS, 14400, {2, 0.89, 0.01, 0.87, 0.90}, {.mean = 0}},
    };
    const struct runs runs = {.job_count = 2, .jobs = jobs, .rows = rows, .row_count = 5};
    struct error err;
    (void)state;
    assert_int_equal(plot_budgets(&picture, &runs, &err), ST_OK);
    compare("budgets", "learning");
    rows[4].unit = RUNS_STEPS;
    assert_int_equal(plot_budgets(&picture, &runs, &err), ST_RANGE);
}

static void draws_a_sheet(void **state)
{
    static uint8_t pixels[3 * 24 * 32];
    static struct sheet sheet = {
        .class_name = "cat", .channels = 3, .height = 24, .width = 32, .has_nearest = true};
    uint32_t luck = 4;
    struct error err;
    (void)state;
    for (size_t i = 0; i < sizeof(pixels); i++)
        pixels[i] = (uint8_t)(draw_number(&luck, 100) + (i % 32) * 4);
    for (int row = 0; row < SHEET_ROWS; row++) {
        sheet.counts[row] = SHEET_IMAGES - 3 * row;
        sheet.totals[row] = 100 * row;
        for (int32_t i = 0; i < sheet.counts[row]; i++)
            sheet.images[row][i] =
                (struct sheet_image){pixels, pixels, "photos/cat/1.jpg", 0.5, "dog", "cat"};
    }
    assert_int_equal(plot_errors(&picture, &sheet, &err), ST_OK);
    compare("errors", "learning");
}

/* A name with characters that no font here has, if there are any: those of a private area belong to no script. */
static void tells_of_missing_glyphs(void **state)
{
    static struct sample sample;
    struct error err;
    (void)state;
    make_sample(&sample, 2);
    picture.missing = 0;
    assert_int_equal(plot_confusion(&picture, &sample.history, &sample.test, &sample.metrics, false, &err),
                     ST_OK);
    assert_int_equal(picture.missing, 0);
    snprintf(sample.names[1], sizeof(sample.names[1]), "\xf4\x8f\xbf\xbd"); /* U+10FFFD */
    assert_int_equal(plot_confusion(&picture, &sample.history, &sample.test, &sample.metrics, false, &err),
                     ST_OK);
    assert_int_equal(picture.missing, 0x10FFFD);
    metrics_free(&sample.metrics);
    assert_string_equal(fonts_package(0x4E2D), "fonts-noto-cjk");
    assert_string_equal(fonts_package(0x3042), "fonts-noto-cjk");
    assert_string_equal(fonts_package(0x0915), "fonts-noto-core");
    assert_string_equal(fonts_package(0x1F600), "fonts-symbola");
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_confusion),
        cmocka_unit_test(draws_labels),
        cmocka_unit_test(draws_a_search),
        cmocka_unit_test(draws_a_policy),
        cmocka_unit_test(draws_a_network),
        cmocka_unit_test(draws_answers),
        cmocka_unit_test(draws_accuracy_against_budget),
        cmocka_unit_test(draws_a_sheet),
        cmocka_unit_test(tells_of_missing_glyphs),
    };
    writing = count > 1 && strcmp(arguments[1], "--write-pictures") == 0;
    const int made = mkstemps(path, 4);
    if (made < 0)
        return 1;
    close(made);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
