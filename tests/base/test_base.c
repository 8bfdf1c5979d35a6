/* The base room: random numbers against published values, files that a crash can't tear, error messages. */
#include "host/base/clock.h"
#include "host/base/file.h"
#include "host/base/random.h"
#include "host/base/text.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* philox4x32 with 10 rounds, from kat_vectors of the Random123 library: counter, key, result. */
static void test_philox_known_answers(void **state)
{
    static const struct {
        uint32_t counter[4], key[2], expected[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint32_t *c = cases[i].counter, *k = cases[i].key;
        struct random4 drawn =
            random_draw(k[0] | (uint64_t)k[1] << 32, c[3], c[0] | (uint64_t)c[1] << 32, c[2]);
        for (int j = 0; j < 4; j++)
            assert_int_equal(drawn.v[j], cases[i].expected[j]);
    }
}

static void test_permutations(void **state)
{
    static const uint32_t sizes[] = {1, 2, 3, 4, 5, 16, 17, 255, 256, 257, 1000, 4097};
    (void)state;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        uint32_t n = sizes[s], moved = 0, differs = 0;
        char *seen = calloc(n, 1);
        assert_non_null(seen);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t place = random_permute(7, 3, i, n);
            assert_true(place < n);
            assert_int_equal(seen[place], 0);
            seen[place] = 1;
            moved += place != i;
            differs += place != random_permute(7, 4, i, n);
        }
        if (n >= 16) { /* a fixed place is rare: one is expected in a permutation, whatever its size */
            assert_true(moved >= n - 8);
            assert_true(differs >= n - 8);
        }
        free(seen);
    }
}

static void test_ranges_and_moments(void **state)
{
    enum { DRAWS = 20000 };
    double sum = 0, square = 0, units = 0;
    uint32_t counts[7] = {0};
    (void)state;
    assert_true(random_unit(0) == 0.0f);
    assert_true(random_unit(UINT32_MAX) < 1.0f);
    assert_int_equal(random_below(UINT32_MAX, 7), 6);
    assert_int_equal(random_below(0, 7), 0);
    for (uint32_t i = 0; i < DRAWS; i++) {
        double a, b;
        struct random4 drawn = random_draw(1, RANDOM_TEST, i, 0);
        random_normal2(drawn, &a, &b);
        sum += a + b;
        square += a * a + b * b;
        units += (double)random_unit(drawn.v[2]);
        counts[random_below(drawn.v[3], 7)]++;
    }
    /* five standard deviations each */
    assert_true(fabs(sum / (2 * DRAWS)) < 5.0 / sqrt(2.0 * DRAWS));
    assert_true(fabs(square / (2 * DRAWS) - 1.0) < 5.0 * sqrt(2.0 / (2 * DRAWS)));
    assert_true(fabs(units / DRAWS - 0.5) < 5.0 / sqrt(12.0 * DRAWS));
    for (int i = 0; i < 7; i++)
        assert_true(fabs(counts[i] - DRAWS / 7.0) < 5.0 * sqrt(DRAWS / 7.0));
}

static void test_sequences(void **state)
{
    struct random_sequence a = {.seed = 5, .stream = RANDOM_TEST, .part = 1}, b = a, other = a;
    (void)state;
    other.part = 2;
    int equal = 0;
    for (int i = 0; i < 50; i++) {
        uint32_t drawn = random_next(&a);
        assert_int_equal(drawn, random_next(&b));
        equal += drawn == random_next(&other);
        if (i == 25) { /* saved and restored */
            struct random_sequence saved = a;
            random_next(&a);
            a = saved;
        }
    }
    assert_true(equal < 3);
}

/* ---- files ---- */

struct scratch {
    char folder[64];
    char *path; /* FOLDER/file */
};

static int make_scratch(void **state)
{
    struct scratch *scratch = calloc(1, sizeof(*scratch));
    if (scratch == NULL)
        return -1;
    snprintf(scratch->folder, sizeof(scratch->folder), "/tmp/nasrun-base-XXXXXX");
    if (mkdtemp(scratch->folder) == NULL)
        return -1;
    scratch->path = file_join(scratch->folder, "file");
    *state = scratch;
    return scratch->path != NULL ? 0 : -1;
}

static int remove_scratch(void **state)
{
    struct scratch *scratch = *state;
    unlink(scratch->path);
    int result = rmdir(scratch->folder); /* fails when a test leaves anything else */
    free(scratch->path);
    free(scratch);
    return result;
}

static void assert_content(const char *path, const char *expected, size_t length)
{
    struct error err;
    char *data;
    size_t found;
    assert_int_equal(file_read(path, &data, &found, &err), ST_OK);
    assert_int_equal(found, length);
    assert_memory_equal(data, expected, length);
    assert_int_equal(data[found], '\0');
    free(data);
}

static void test_write_atomic(void **state)
{
    const struct scratch *scratch = *state;
    struct error err;
    assert_int_equal(file_write_atomic(scratch->path, "old", 3, &err), ST_OK);
    assert_content(scratch->path, "old", 3);
    assert_int_equal(file_write_atomic(scratch->path, "a\0new one", 9, &err), ST_OK);
    assert_content(scratch->path, "a\0new one", 9);
    assert_int_equal(file_write_atomic(scratch->path, "", 0, &err), ST_OK);
    assert_content(scratch->path, "", 0);
}

static void test_write_aside(void **state)
{
    const struct scratch *scratch = *state;
    struct file_aside file;
    struct error err;
    assert_int_equal(file_write_atomic(scratch->path, "old", 3, &err), ST_OK);
    assert_int_equal(file_aside_open(&file, scratch->path, &err), ST_OK);
    fputs("half of the", file.stream);
    fflush(file.stream);
    assert_content(scratch->path, "old", 3); /* untouched until the commit */
    file_aside_abandon(&file);
    assert_content(scratch->path, "old", 3);
    assert_int_equal(file_aside_open(&file, scratch->path, &err), ST_OK);
    fputs("new", file.stream);
    assert_int_equal(file_aside_commit(&file, &err), ST_OK);
    file_aside_abandon(&file); /* nothing to do */
    assert_content(scratch->path, "new", 3);
}

/* Where writing fails the old content stays, no .tmp is left (remove_scratch looks) and the path is told. */
static void test_write_refused(void **state)
{
    const struct scratch *scratch = *state;
    struct error err = {0};
    char *inner = file_join(scratch->path, "below-a-file");
    assert_non_null(inner);
    assert_int_equal(file_write_atomic(scratch->path, "old", 3, &err), ST_OK);
    assert_int_equal(file_write_atomic(inner, "x", 1, &err), ST_IO);
    assert_non_null(strstr(err.message, inner));
    assert_content(scratch->path, "old", 3);
    assert_int_equal(file_make_folder(inner, &err), ST_IO);
    assert_non_null(strstr(err.message, strerror(ENOTDIR)));
    assert_int_equal(file_flush_folder(inner, &err), ST_IO);
    assert_non_null(strstr(err.message, scratch->path));
    free(inner);
    /* A folder has the name: what was written aside is gone again. */
    assert_int_equal(unlink(scratch->path), 0);
    assert_int_equal(mkdir(scratch->path, 0777), 0);
    assert_int_equal(file_write_atomic(scratch->path, "x", 1, &err), ST_IO);
    assert_non_null(strstr(err.message, strerror(EISDIR)));
    assert_int_equal(rmdir(scratch->path), 0);
}

/* What stands under the names that files aside get stays as it is: links, other files' second names, folders; what a
 * crash left is taken over. Two at once get two names. */
static void test_write_aside_beside_others(void **state)
{
    const struct scratch *scratch = *state;
    struct error err = {0};
    struct file_aside first, second;
    char *target = file_join(scratch->folder, "target"), *link_name = file_join(scratch->folder, "link"),
         names[10][256];
    for (int i = 0; i < 10; i++)
        snprintf(names[i], sizeof(names[i]), i == 0 ? "%s.tmp" : "%s.%d.tmp", scratch->path, i);
    assert_int_equal(file_write_atomic(target, "theirs", 6, &err), ST_OK);
    assert_int_equal(symlink(target, names[0]), 0);
    assert_int_equal(link(target, names[1]), 0);
    assert_int_equal(mkdir(names[2], 0777), 0);
    assert_int_equal(file_write_atomic(names[3], "left by a crash", 15, &err), ST_OK);
    assert_int_equal(file_aside_open(&first, scratch->path, &err), ST_OK);
    assert_string_equal(first.aside, names[3]);
    assert_int_equal(file_aside_open(&second, scratch->path, &err), ST_OK);
    assert_string_equal(second.aside, names[4]);
    fputs("one", first.stream);
    fputs("two", second.stream);
    assert_int_equal(file_aside_commit(&second, &err), ST_OK);
    assert_content(scratch->path, "two", 3);
    assert_int_equal(file_aside_commit(&first, &err), ST_OK);
    assert_content(scratch->path, "one", 3);
    assert_content(target, "theirs", 6);
    /* A link under the path itself is replaced, and not written through. */
    assert_int_equal(symlink(target, link_name), 0);
    assert_int_equal(file_write_atomic(link_name, "new", 3, &err), ST_OK);
    assert_content(link_name, "new", 3);
    assert_content(target, "theirs", 6);
    /* When no name is left, that is told. */
    for (int i = 3; i < 10; i++)
        assert_int_equal(symlink("nowhere", names[i]), 0);
    assert_int_equal(file_write_atomic(scratch->path, "x", 1, &err), ST_IO);
    assert_non_null(strstr(err.message, "remove what stands there"));
    assert_content(scratch->path, "one", 3);
    assert_content(target, "theirs", 6);
    assert_int_equal(rmdir(names[2]), 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(i == 2 ? 0 : unlink(names[i]), 0);
    assert_int_equal(unlink(link_name), 0);
    assert_int_equal(unlink(target), 0);
    free(target);
    free(link_name);
}

static void test_aside_names(void **state)
{
    (void)state;
    assert_true(file_is_aside_of("job.cfg.tmp", 7));
    assert_true(file_is_aside_of("job.cfg.9.tmp", 7));
    assert_false(file_is_aside_of("job.cfg.0.tmp", 7));
    assert_false(file_is_aside_of("job.cfg.10.tmp", 7));
    assert_false(file_is_aside_of("job.cfg", 7));
    assert_false(file_is_aside_of("job.cfg.tmp.mine", 7));
}

static void test_read_refused(void **state)
{
    const struct scratch *scratch = *state;
    struct error err = {0};
    char *data;
    size_t length;
    assert_int_equal(file_read(scratch->path, &data, &length, &err), ST_IO);
    assert_non_null(strstr(err.message, scratch->path));
    assert_non_null(strstr(err.message, strerror(ENOENT)));
    assert_int_equal(file_read(scratch->folder, &data, &length, &err), ST_IO);
    assert_null(data);
}

static void test_folders(void **state)
{
    const struct scratch *scratch = *state;
    struct error err = {0};
    struct stat about;
    char *outer = file_join(scratch->folder, "one"), *inner = file_join(scratch->folder, "one/two");
    assert_non_null(outer);
    assert_non_null(inner);
    assert_false(file_exists(inner));
    assert_int_equal(file_make_folder(inner, &err), ST_OK);
    assert_int_equal(file_make_folder(inner, &err), ST_OK);
    assert_int_equal(stat(inner, &about), 0);
    assert_true(S_ISDIR(about.st_mode));
    assert_true(file_exists(inner));
    assert_int_equal(file_write_atomic(scratch->path, "x", 1, &err), ST_OK);
    assert_int_equal(file_make_folder(scratch->path, &err), ST_IO); /* a file stands there */
    assert_int_equal(rmdir(inner), 0);
    assert_int_equal(rmdir(outer), 0);
    free(outer);
    free(inner);
}

/* This program lies in .../tests/base, wherever it is started from. */
static void test_beside_program(void **state)
{
    char *itself = file_beside_program("../base/test_base"), *missing = file_beside_program("no such file");
    (void)state;
    assert_non_null(itself);
    assert_non_null(missing);
    assert_int_equal(itself[0], '/');
    assert_true(file_exists(itself));
    assert_false(file_exists(missing));
    free(itself);
    free(missing);
}

static void test_text(void **state)
{
    static const char *const pairs[][2] = {
        {"Caf\xc3\xa9 \xe6\x97\xa5 \xf0\x9f\x90\x88", "Caf\xc3\xa9 \xe6\x97\xa5 \xf0\x9f\x90\x88"},
        {"a\x1b[31m\nb\x7f", "a?[31m?b?"},
        {"K\xe4"
         "fer",
         "K?fer"}, /* Latin-1 */
        {"a\xc2\x9b"
         "31m",
         "a??31m"}, /* a control sequence of 8 bits */
        {"\xe2\x80\xae"
         "gpj",
         "???gpj"},                                            /* right to left */
        {"\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80", "?????????"}, /* too long, half a pair, too large */
        {"\xe6\x97", "??"},                                    /* cut */
        {"\xf5\x80\x80\x80\xff", "?????"},                     /* begins no character */
        {"\xe0\x80\x80\xf0\x80\x80\x80", "???????"},           /* too long */
        {"\xee\x80\x80\xf4\x8f\xbf\xbf", "\xee\x80\x80\xf4\x8f\xbf\xbf"},
        /* marks and brackets of a direction, between others; the ends of each range and what is beside it */
        {"\xd8\x9b\xd8\x9c\xd8\x9d", "\xd8\x9b??\xd8\x9d"},
        {"\xe2\x80\x8d\xe2\x80\x8e\xe2\x80\x8f\xe2\x80\x90", "\xe2\x80\x8d??????\xe2\x80\x90"},
        {"\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xaf", "\xe2\x80\xa7???\xe2\x80\xaf"},
        {"\xe2\x81\xa5\xe2\x81\xa6\xe2\x81\xa9\xe2\x81\xaa", "\xe2\x81\xa5??????\xe2\x81\xaa"},
    };
    char shown[64];
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        assert_string_equal(text_shown(pairs[i][0], shown, sizeof(shown)), pairs[i][1]);
    assert_string_equal(text_shown("a\xe6\x97\xa5"
                                   "b",
                                   shown, 4),
                        "a"); /* not within a character */
    assert_string_equal(text_shown("a", shown, 1), "");
}

/* What is no regular file is refused at once: it may never end, or never begin. */
static void test_special_files(void **state)
{
    const struct scratch *scratch = *state;
    struct error err;
    char *data;
    size_t length;
    assert_int_equal(mkfifo(scratch->path, 0600), 0);
    assert_int_equal(file_read(scratch->path, &data, &length, &err), ST_IO);
    assert_non_null(strstr(err.message, "is a named pipe, expected a regular file"));
    assert_int_equal(file_read("/dev/zero", &data, &length, &err), ST_IO);
    assert_non_null(strstr(err.message, "is a device"));
    assert_int_equal(file_read("/", &data, &length, &err), ST_IO);
    assert_non_null(strstr(err.message, "is a folder"));
    assert_int_equal(unlink(scratch->path), 0);
    assert_int_equal(file_write_atomic(scratch->path, "abcd", 4, &err), ST_OK);
    assert_int_equal(file_read_limited(scratch->path, 3, &data, &length, &err), ST_UNSUPPORTED);
    assert_int_equal(file_read_limited(scratch->path, 4, &data, &length, &err), ST_OK);
    free(data);
}

static void test_checksums(void **state)
{
    (void)state;
    assert_int_equal(file_checksum("123456789", 9), 0xcbf43926); /* the usual check value of CRC-32 */
    /* from xxHash's own tests (tests/sanity_test_vectors.h): zero to one byte of 0, and a seed */
    assert_true(file_hash(0, "", 0) == 0x2d06800538d394c2ull);
    assert_true(file_hash(0x9e3779b185ebca8dull, "", 0) == 0xa8a6b918b2f0364aull);
    assert_true(file_hash(0, "", 1) == 0xc44bdff4074eecdbull);
    assert_true(file_hash(file_hash(0, "foo", 3), "bar", 3) != file_hash(file_hash(0, "bar", 3), "foo", 3));
}

/* ---- errors and time ---- */

static void test_errors(void **state)
{
    struct error err;
    char text[2 * ERROR_LENGTH];
    (void)state;
    assert_int_equal(error_set(&err, ST_RANGE, "found %d, expected %s", 3, "four"), ST_RANGE);
    assert_int_equal(err.status, ST_RANGE);
    assert_string_equal(err.message, "found 3, expected four");
    assert_int_equal(error_prefix(&err, "%s:%d", "a.cfg", 7), ST_RANGE);
    assert_string_equal(err.message, "a.cfg:7: found 3, expected four");
    assert_int_equal(error_system(&err, ENOENT, "%s", "a.cfg"), ST_IO);
    assert_string_equal(err.message, "a.cfg: No such file or directory");
    assert_int_equal(error_system(&err, ENOMEM, "x"), ST_MEMORY);
    assert_int_equal(error_memory(&err, "weights", 12), ST_MEMORY);
    assert_string_equal(err.message, "out of memory: weights, 12 bytes");

    /* too long a text is cut, never written past the end */
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    error_set(&err, ST_IO, "%s", text);
    assert_int_equal(strlen(err.message), ERROR_LENGTH - 1);
    error_prefix(&err, "place");
    assert_int_equal(strlen(err.message), ERROR_LENGTH - 1);
    assert_int_equal(strncmp(err.message, "place: xxx", 10), 0);
    error_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.message), ERROR_LENGTH - 1);
    error_system(&err, ENOENT, "%s", text);
    assert_int_equal(strlen(err.message), ERROR_LENGTH - 1);

    /* one line, whatever is quoted */
    error_set(&err, ST_FORMAT, "found \"%s\"", "a\nb\x1b[31m");
    assert_string_equal(err.message, "found \"a?b?[31m\"");
}

static void test_status_names(void **state)
{
    (void)state;
    for (int a = ST_OK; a <= ST_BUSY; a++) {
        assert_true(strlen(status_name((enum status)a)) > 1);
        for (int b = ST_OK; b < a; b++)
            assert_string_not_equal(status_name((enum status)a), status_name((enum status)b));
    }
    assert_string_equal(status_name(ST_DIVERGED), "diverged");
}

static void test_clock(void **state)
{
    char date[32];
    int year, month, day, hour, minute, second, end = 0;
    (void)state;
    double before = clock_seconds();
    usleep(20000);
    double passed = clock_seconds() - before;
    assert_true(passed >= 0.02 && passed < 10.0);
    clock_date(date, sizeof(date));
    assert_int_equal(
        sscanf(date, "%4d-%2d-%2dT%2d:%2d:%2dZ%n", &year, &month, &day, &hour, &minute, &second, &end), 6);
    assert_int_equal(strlen(date), 20);
    assert_int_equal(end, 20);
    assert_true(year >= 2024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_known_answers),
        cmocka_unit_test(test_permutations),
        cmocka_unit_test(test_ranges_and_moments),
        cmocka_unit_test(test_sequences),
        cmocka_unit_test_setup_teardown(test_write_atomic, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_write_aside, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_write_refused, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_write_aside_beside_others, make_scratch, remove_scratch),
        cmocka_unit_test(test_aside_names),
        cmocka_unit_test_setup_teardown(test_read_refused, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_folders, make_scratch, remove_scratch),
        cmocka_unit_test(test_beside_program),
        cmocka_unit_test(test_text),
        cmocka_unit_test_setup_teardown(test_special_files, make_scratch, remove_scratch),
        cmocka_unit_test(test_checksums),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_status_names),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
