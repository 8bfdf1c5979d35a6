/* What is shown while a run goes on: rows, levels of talk, the live line and its end. */
#include "host/run/display.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CLEARED "\r\033[K" /* what ends a live line */

struct shown {
    struct display display;
    char *text;
    size_t length;
};

/* A display into memory, which is no terminal; `live`: as if it were. */
static void open_shown(struct shown *shown, int verbosity, bool live)
{
    FILE *out = open_memstream(&shown->text, &shown->length);
    assert_non_null(out);
    display_open(&shown->display, out, verbosity);
    assert_false(shown->display.live);
    shown->display.live = live;
}

/* Closed, *shown's text is complete, and is the caller's to free. */
static void close_shown(struct shown *shown)
{
    display_close(&shown->display);
    assert_int_equal(fclose(shown->display.out), 0);
}

static int count_of(const char *text, const char *part)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        count++;
    return count;
}

static const struct display_model MODEL = {.id = 7,
                                           .parent = 3,
                                           .operations = "widen layer 4",
                                           .parameters = 12345,
                                           .loss = 0.25,
                                           .accuracy = 0.9375,
                                           .seconds = 12.3};
static const struct display_model FAILED = {
    .id = 8, .parent = -1, .operations = "out of memory", .loss = NAN, .accuracy = NAN, .seconds = 1.5};

static void test_levels(void **state)
{
    static const char *const expected[] = {"", "always\n", "always\nmore 1\n"}; /* by verbosity + 1 */
    (void)state;
    for (int verbosity = -1; verbosity <= 1; verbosity++) {
        struct shown shown;
        open_shown(&shown, verbosity, false);
        display_say(&shown.display, 0, "always");
        display_say(&shown.display, 1, "more %d", 1);
        close_shown(&shown);
        assert_string_equal(shown.text, expected[verbosity + 1]);
        free(shown.text);
    }
}

/* The widest line of a text, its signs of control left out. */
static size_t widest_of(const char *text)
{
    size_t widest = 0, length = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if (strncmp(at, CLEARED, strlen(CLEARED)) == 0) {
            at += strlen(CLEARED) - 1;
            length = 0;
        } else {
            length = *at == '\n' ? 0 : length + 1;
        }
        widest = length > widest ? length : widest;
    }
    return widest;
}

static void test_rows(void **state)
{
    struct shown shown;
    struct display_model long_one = MODEL;
    (void)state;
    long_one.operations = "widen stage 3 by 64, residual behind layer 12, larger kernel of layer 5";
    long_one.parameters = 1234567890;
    long_one.seconds = 12345.67;
    open_shown(&shown, 0, false);
    display_model(&shown.display, 0, &MODEL);
    display_model(&shown.display, 0, &FAILED);
    display_model(&shown.display, 0, &long_one);
    close_shown(&shown);
    assert_int_equal(count_of(shown.text, "model parent"), 1); /* one header */
    assert_int_equal(count_of(shown.text, "\n"), 4);
    assert_int_equal(count_of(shown.text, "    7      3  widen layer 4 "), 1);
    assert_int_equal(count_of(shown.text, " 12345   0.2500  0.9375    12.3\n"), 1);
    assert_int_equal(
        count_of(shown.text, "  widen stage 3 by 64, residual  1234567890   0.2500  0.9375 12345.7\n"), 1);
    assert_non_null(strstr(shown.text, "    8      -  failed after 1.5 s: out of memory\n"));
    assert_int_equal(widest_of(shown.text), 80);
    free(shown.text);

    for (int columns = 40; columns <= 200; columns += 40) {
        static const size_t widths[] = {66, 80, 120, 132,
                                        132}; /* not below what numbers need, and readable */
        open_shown(&shown, 0, true);
        shown.display.columns = columns;
        display_model(&shown.display, 0, &long_one);
        close_shown(&shown);
        assert_int_equal(widest_of(shown.text), widths[columns / 40 - 1]);
        free(shown.text);
    }
    open_shown(&shown, -1, false);
    display_model(&shown.display, 0, &MODEL);
    display_result(&shown.display, "a result");
    close_shown(&shown);
    assert_string_equal(shown.text, "");
    free(shown.text);
}

static void test_times(void **state)
{
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {{0.0, "0:00:00"},    {59.9, "0:00:59"},         {65.9, "0:01:05"},
                 {3600.0, "1:00:00"}, {86399.0, "23:59:59"},     {360000.0, "100:00:00"},
                 {-3.0, "0:00:00"},   {1e300, "277777777:46:40"}};
    char text[DISPLAY_TIME_LENGTH];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        display_time(cases[i].seconds, text);
        assert_string_equal(text, cases[i].text);
    }
}

/* "2026-01-31T12:00:00Z  " */
static bool has_date(const char *line)
{
    int end = 0;
    return sscanf(line, "%*4d-%*2d-%*2dT%*2d:%*2d:%*2dZ  %n", &end) == 0 && end >= 20;
}

/* Into a file nothing lives; a line a minute tells that it goes on, and when a stage ends. */
static void test_no_terminal(void **state)
{
    const struct display_progress progress = {
        .id = 1, .epochs_done = 2.5, .progress = 0.5, .loss = 0.25, .accuracy = 0.5, .seconds_left = 10.0};
    struct shown shown;
    (void)state;
    open_shown(&shown, 0, false);
    display_progress(&shown.display, 0, &progress);
    display_say(&shown.display, 0, "a line");
    fflush(shown.display.out);
    assert_string_equal(shown.text, "a line\n");
    shown.display.said -= 61.0; /* a minute later */
    display_progress(&shown.display, 0, &progress);
    display_progress(&shown.display, 0, &progress);
    assert_int_equal(count_of(shown.text, "\n"), 2);
    assert_true(has_date(strchr(shown.text, '\n') + 1));
    assert_non_null(strstr(shown.text, "Z  model 1  epoch 2.5   50%"));
    assert_non_null(strstr(shown.text, "0:00:10 left\n"));
    display_result(&shown.display, "stage %d of %d", 1, 2);
    close_shown(&shown);
    assert_int_equal(count_of(shown.text, "\n"), 3);
    assert_non_null(strstr(shown.text, "Z  stage 1 of 2\n"));
    assert_null(strchr(shown.text, '\r'));
    free(shown.text);

    open_shown(&shown, -1, false);
    shown.display.said -= 61.0;
    display_progress(&shown.display, 0, &progress);
    close_shown(&shown);
    assert_string_equal(shown.text, "");
    free(shown.text);
}

static const struct display_progress FIRST = {.id = 1,
                                              .epochs_done = 2.5,
                                              .progress = 0.5,
                                              .batches_per_second = 20.0,
                                              .images_per_second = 640.0,
                                              .loss = 0.125,
                                              .accuracy = 0.75,
                                              .seconds_left = 65.9};

static void test_live(void **state)
{
    struct display_progress first = FIRST;
    const struct display_progress second = {
        .id = 2, .progress = 0.25, .images_per_second = 360.0, .seconds_left = NAN};
    struct shown shown;
    (void)state;
    open_shown(&shown, 0, true);
    shown.display.columns = 120;
    display_progress(&shown.display, 0, &first);
    assert_string_equal(shown.text,
                        CLEARED "  model 1  epoch 2.5   50%  20.0 batch/s  640 images/s  loss 0.1250  acc "
                                "0.7500  0:01:05 left");
    /* Beside another: each one's share, the sum of their speeds; a budget that no clock counts has no end to tell. */
    display_progress(&shown.display, 5, &second);
    assert_string_equal(strrchr(shown.text, '\r'), CLEARED "  1:50% 2:25%  1000 images/s");
    /* The end of one takes it from the line, which is cleared before the row. */
    display_model(&shown.display, 0, &MODEL);
    assert_non_null(strstr(shown.text, "images/s" CLEARED "model parent"));
    display_progress(&shown.display, 5, &second);
    assert_non_null(strstr(strrchr(shown.text, '\r'), "  model 2  epoch"));
    assert_null(strstr(strrchr(shown.text, '\r'), "left"));
    /* A line of text and the end clear it, and only where it stands. */
    display_say(&shown.display, 0, "said");
    display_result(&shown.display, "again");
    assert_string_equal(strrchr(shown.text, '\r'), CLEARED "said\nagain\n");
    first.seconds_left = -3.0;
    display_progress(&shown.display, 0, &first);
    assert_non_null(strstr(strrchr(shown.text, '\r'), "  0:00:00 left"));
    close_shown(&shown);
    assert_string_equal(strrchr(shown.text, '\r'), CLEARED);
    free(shown.text);
}

/* At the beginning of an epoch no loss is known: the last one stays, but not another network's. */
static void test_last_known(void **state)
{
    struct display_progress unknown = FIRST;
    struct shown shown;
    (void)state;
    unknown.loss = unknown.accuracy = NAN;
    open_shown(&shown, 0, true);
    shown.display.columns = 120;
    display_progress(&shown.display, 0, &unknown);
    assert_null(strstr(shown.text, "loss"));
    display_progress(&shown.display, 0, &FIRST);
    for (int i = 0; i < 2; i++) {
        display_progress(&shown.display, 0, &unknown);
        assert_non_null(strstr(strrchr(shown.text, '\r'), "loss 0.1250  acc 0.7500"));
    }
    display_model(&shown.display, 0, &MODEL);
    unknown.id = 2;
    display_progress(&shown.display, 0, &unknown);
    assert_null(strstr(strrchr(shown.text, '\r'), "loss"));
    close_shown(&shown);
    free(shown.text);
}

/* However narrow the terminal, the line does not wrap; what matters most stays. */
static void test_width(void **state)
{
    (void)state;
    for (int columns = 20; columns <= 120; columns++) {
        struct shown shown;
        struct display_progress p = FIRST;
        p.images_per_second = 123456.0;
        open_shown(&shown, 0, true);
        shown.display.columns = columns;
        for (int32_t row = 0; row < DISPLAY_TRAININGS; row++) {
            p.id = 1000 + row;
            display_progress(&shown.display, row, &p);
        }
        close_shown(&shown);
        assert_true(widest_of(shown.text) < (size_t)columns);
        assert_true(columns < 34 || count_of(shown.text, "left") == DISPLAY_TRAININGS);
        free(shown.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),      cmocka_unit_test(test_rows), cmocka_unit_test(test_times),
        cmocka_unit_test(test_no_terminal), cmocka_unit_test(test_live), cmocka_unit_test(test_last_known),
        cmocka_unit_test(test_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
