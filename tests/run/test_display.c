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

static void test_rows(void **state)
{
    struct shown shown;
    struct display_model final = MODEL;
    (void)state;
    final.final = true;
    open_shown(&shown, 0, false);
    display_model(&shown.display, 0, &MODEL);
    display_model(&shown.display, 0, &FAILED);
    display_model(&shown.display, 0, &final);
    close_shown(&shown);
    assert_int_equal(count_of(shown.text, "model parent"), 1); /* one header */
    assert_int_equal(count_of(shown.text, "\n"), 4);
    assert_int_equal(count_of(shown.text, "    7      3  widen layer 4 "), 2);
    assert_int_equal(count_of(shown.text, " 12345    0.2500    0.9375     12.3\n"), 1);
    assert_int_equal(count_of(shown.text, " 12345    0.2500    0.9375     12.3  final\n"), 1);
    assert_non_null(strstr(shown.text, "    8      -  failed after 1.5 s: out of memory\n"));
    free(shown.text);

    open_shown(&shown, -1, false);
    display_model(&shown.display, 0, &MODEL);
    close_shown(&shown);
    assert_string_equal(shown.text, "");
    free(shown.text);
}

/* Into a file nothing lives. */
static void test_no_terminal(void **state)
{
    const struct display_progress progress = {.id = 1, .progress = 0.5, .seconds_left = 10.0};
    struct shown shown;
    (void)state;
    open_shown(&shown, 1, false);
    display_progress(&shown.display, 0, &progress);
    display_say(&shown.display, 0, "a line");
    close_shown(&shown);
    assert_string_equal(shown.text, "a line\n");
    free(shown.text);
}

static void test_live(void **state)
{
    struct display_progress first = {.id = 1,
                                     .epochs_done = 2.5,
                                     .progress = 0.5,
                                     .batches_per_second = 20.0,
                                     .images_per_second = 640.0,
                                     .loss = 0.125,
                                     .accuracy = 0.75,
                                     .seconds_left = 65.9};
    const struct display_progress second = {
        .id = 2, .progress = 0.25, .images_per_second = 360.0, .seconds_left = NAN};
    struct shown shown;
    (void)state;
    open_shown(&shown, 0, true);
    display_progress(&shown.display, 0, &first);
    assert_string_equal(shown.text,
                        CLEARED "  model 1  epoch 2.5   50%  20.0 batch/s  640 images/s  loss 0.1250  acc "
                                "0.7500  1:05 left");
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
    display_say(&shown.display, 0, "again");
    assert_string_equal(strrchr(shown.text, '\r'), CLEARED "said\nagain\n");
    first.seconds_left = -3.0;
    display_progress(&shown.display, 0, &first);
    assert_non_null(strstr(strrchr(shown.text, '\r'), "  0:00 left"));
    close_shown(&shown);
    assert_string_equal(strrchr(shown.text, '\r'), CLEARED);
    free(shown.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_no_terminal),
        cmocka_unit_test(test_live),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
