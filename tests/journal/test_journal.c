/* The journal: what is written is read back; what a crash tears is left out; what is damaged is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/base/file.h"
#include "host/journal/journal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/nasrun-journal-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/journal.jsonl", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static int remove_journal(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

#define assert_ok(call, err)                                                                                 \
    do {                                                                                                     \
        if ((call) != ST_OK)                                                                                 \
            fail_msg("%s: %s", #call, (err).message);                                                        \
    } while (0)

static cJSON *event(const char *name, double number)
{
    cJSON *fields = cJSON_CreateObject();
    cJSON_AddStringToObject(fields, "event", name);
    cJSON_AddStringToObject(fields, "text", "line\nbreak, \"crc\":\"00000000\"} and \xc3\xa9");
    cJSON_AddNumberToObject(fields, "number", number);
    return fields;
}

/* A journal of `count` lines at `path`; line i has number i / 3 and time 1.5 i. */
static void write_lines(int count)
{
    struct error err;
    struct journal journal;
    assert_ok(journal_open(path, &journal, &err), err);
    for (int i = 0; i < count; i++)
        assert_ok(journal_append(&journal, event("morph", i / 3.0), 1.5 * i, &err), err);
    journal_close(&journal);
}

static void assert_lines(size_t count)
{
    struct error err;
    struct journal_lines lines;
    assert_ok(journal_load(path, &lines, &err), err);
    assert_int_equal(lines.count, count);
    for (size_t i = 0; i < count; i++) {
        const struct journal_line *line = &lines.lines[i];
        assert_int_equal(line->seq, i);
        assert_string_equal(line->event, "morph");
        assert_true(line->time == 1.5 * (double)i);
        assert_true(cJSON_GetObjectItem(line->json, "number")->valuedouble == (double)i / 3.0);
    }
    journal_lines_free(&lines);
}

static void writes_and_reads(void **state)
{
    (void)state;
    char *text;
    size_t length;
    struct error err;
    struct journal_lines lines;

    write_lines(5);
    assert_lines(5);
    assert_ok(journal_load(path, &lines, &err), err);
    assert_false(lines.torn);
    assert_ok(file_read(path, &text, &length, &err), err);
    assert_int_equal(lines.torn_at, length);
    for (size_t i = 0; i < lines.count; i++)
        assert_true(text[lines.lines[i].end - 1] == '\n');
    assert_memory_equal(text, "{\"seq\":0,\"time\":0,\"event\":\"morph\",", 34);
    free(text);
    journal_lines_free(&lines);
}

/* The checksum of a known line, computed by Python's zlib.crc32. */
static void checksum_is_zlibs(void **state)
{
    (void)state;
    char *text;
    size_t length;
    struct error err;
    struct journal journal;
    cJSON *fields = cJSON_CreateObject();

    cJSON_AddStringToObject(fields, "event", "run");
    assert_ok(journal_open(path, &journal, &err), err);
    assert_ok(journal_append(&journal, fields, 0.25, &err), err);
    journal_close(&journal);
    assert_ok(file_read(path, &text, &length, &err), err);
    assert_string_equal(text, "{\"seq\":0,\"time\":0.25,\"event\":\"run\",\"crc\":\"dff2ceca\"}\n");
    free(text);
}

/* Cut at every byte: whole lines before the cut are read, the rest is torn; a continued journal is whole
 * again. Without its first line, which comes all at once, it is none, and is left as it is. */
static void survives_a_cut_anywhere(void **state)
{
    (void)state;
    char *text;
    size_t length, ends[3];
    struct error err;
    struct journal_lines lines;

    write_lines(3);
    assert_ok(journal_load(path, &lines, &err), err);
    for (int i = 0; i < 3; i++)
        ends[i] = lines.lines[i].end;
    journal_lines_free(&lines);
    assert_ok(file_read(path, &text, &length, &err), err);
    for (size_t cut = 0; cut <= length; cut++) {
        size_t whole = 0;
        while (whole < 3 && ends[whole] <= cut)
            whole++;
        size_t kept = whole == 0 ? 0 : ends[whole - 1];
        FILE *file = fopen(path, "wb");
        assert_int_equal(fwrite(text, 1, cut, file), cut);
        fclose(file);
        if (cut > 0 && whole == 0) {
            struct journal journal;
            assert_int_equal(journal_load(path, &lines, &err), ST_FORMAT);
            assert_int_equal(journal_open(path, &journal, &err), ST_FORMAT);
            assert_non_null(strstr(err.message, ":1: the line has no end"));
            char *left;
            size_t left_length;
            assert_ok(file_read(path, &left, &left_length, &err), err);
            assert_int_equal(left_length, cut);
            free(left);
            continue;
        }
        assert_ok(journal_load(path, &lines, &err), err);
        assert_int_equal(lines.count, whole);
        assert_int_equal(lines.torn, kept != cut);
        assert_int_equal(lines.torn_at, kept);
        journal_lines_free(&lines);
        if (cut % 16 != 0)
            continue;
        struct journal journal;
        assert_ok(journal_open(path, &journal, &err), err);
        for (size_t i = whole; i < 4; i++)
            assert_ok(journal_append(&journal, event("morph", (double)i / 3.0), 1.5 * (double)i, &err), err);
        journal_close(&journal);
        assert_lines(4);
    }
    free(text);
}

/* Any changed byte is seen: in the last line as torn, before it, with no epochs about, as an error that names the line.
 * (A changed newline makes one last line of two.) */
static void sees_every_changed_byte(void **state)
{
    (void)state;
    char *text, place[96];
    size_t length;
    struct error err;
    struct journal_lines lines;

    write_lines(2);
    assert_ok(journal_load(path, &lines, &err), err);
    size_t first_end = lines.lines[0].end;
    journal_lines_free(&lines);
    assert_ok(file_read(path, &text, &length, &err), err);
    snprintf(place, sizeof(place), "%s:1: ", path);
    for (size_t at = 0; at < length; at++) {
        text[at] ^= 1;
        FILE *file = fopen(path, "wb");
        assert_int_equal(fwrite(text, 1, length, file), length);
        fclose(file);
        text[at] ^= 1;
        enum status st = journal_load(path, &lines, &err);
        if (at < first_end) {
            assert_int_equal(st, ST_FORMAT);
            assert_memory_equal(err.message, place, strlen(place));
        } else {
            assert_int_equal(st, ST_OK);
            assert_int_equal(lines.count, 1);
            assert_true(lines.torn);
            assert_int_equal(lines.torn_at, first_end);
        }
        journal_lines_free(&lines);
    }
    free(text);
}

/* Calls of fdatasync, which this program's journal gets from here. */
static int flushes;

int fdatasync(int fd)
{
    flushes++;
    return fsync(fd);
}

/* Every line is flushed; an epoch's with the next one, when it is asked for, or when the journal is closed. */
static void flushes_epochs_later(void **state)
{
    (void)state;
    struct error err;
    struct journal journal;

    assert_ok(journal_open(path, &journal, &err), err);
    assert_ok(journal_append(&journal, event("epoch", 0), 0, &err), err);
    assert_false(journal.behind); /* whatever it is: the first line is on disk before it has its name */
    flushes = 0;
    assert_ok(journal_append(&journal, event("morph", 0), 0, &err), err);
    assert_int_equal(flushes, 1);
    assert_ok(journal_flush(&journal, &err), err); /* nothing is behind */
    assert_int_equal(flushes, 1);
    assert_ok(journal_append(&journal, event("epoch", 0), 0, &err), err);
    assert_ok(journal_append(&journal, event("epoch", 0), 0, &err), err);
    assert_int_equal(flushes, 1);
    assert_int_equal(lseek(journal.fd, 0, SEEK_END), (off_t)journal.length); /* but they are in the file */
    assert_ok(journal_flush(&journal, &err), err);
    assert_ok(journal_flush(&journal, &err), err);
    assert_int_equal(flushes, 2);
    assert_ok(journal_append(&journal, event("epoch", 0), 0, &err), err);
    assert_ok(journal_append(&journal, event("model", 0), 0, &err), err);
    assert_ok(journal_flush(&journal, &err), err);
    assert_int_equal(flushes, 3);
    assert_ok(journal_append(&journal, event("epoch", 0), 0, &err), err);
    journal_close(&journal);
    assert_int_equal(flushes, 4);
}

/* Epochs that were not flushed may be damaged in any order. A line of another event behind them was flushed, and they
 * with it. */
static void tears_several_epochs(void **state)
{
    (void)state;
    char *text, place[96];
    size_t length;
    struct error err;
    struct journal journal;
    struct journal_lines lines;

    for (int last = 0; last < 2; last++) {
        assert_ok(journal_open(path, &journal, &err), err);
        assert_ok(journal_append(&journal, event("morph", 0), 0, &err), err);
        const size_t kept = journal.length;
        for (int i = 0; i < 3; i++)
            assert_ok(journal_append(&journal, event("epoch", 0), 1, &err), err);
        if (last == 1)
            assert_ok(journal_append(&journal, event("model", 0), 2, &err), err);
        journal_close(&journal);
        assert_ok(file_read(path, &text, &length, &err), err);
        memset(text + kept, 0, 20); /* of the first epoch, as if this block had not come to the disk */
        assert_ok(file_write_atomic(path, text, length, &err), err);
        free(text);
        if (last == 0) {
            assert_ok(journal_load(path, &lines, &err), err);
            assert_true(lines.torn);
            assert_int_equal(lines.count, 1);
            assert_int_equal(lines.torn_at, kept);
            journal_lines_free(&lines);
            assert_ok(journal_open(path, &journal, &err), err);
            assert_int_equal(journal.next_seq, 1);
            journal_close(&journal);
        } else {
            snprintf(place, sizeof(place), "%s:2: ", path);
            assert_int_equal(journal_load(path, &lines, &err), ST_FORMAT);
            assert_memory_equal(err.message, place, strlen(place));
        }
        unlink(path);
    }
}

static void refuses_a_gap_in_the_sequence(void **state)
{
    (void)state;
    struct error err;
    struct journal journal;
    struct journal_lines lines;

    write_lines(2);
    assert_ok(journal_open(path, &journal, &err), err);
    journal.next_seq = 5;
    assert_ok(journal_append(&journal, event("morph", 0), 0, &err), err);
    assert_ok(journal_append(&journal, event("morph", 0), 0, &err), err);
    journal_close(&journal);
    assert_int_equal(journal_load(path, &lines, &err), ST_FORMAT);
    assert_non_null(strstr(err.message, ":3: seq is 5, expected 2"));
}

/* What is kept stays as it was but for its number, the lock goes over to the new file, and it is written on. */
static void keeps_some_lines(void **state)
{
    (void)state;
    struct error err;
    struct journal journal, second;
    struct journal_lines lines, kept;
    const bool keep[5] = {true, false, true, true, false};

    write_lines(5);
    assert_ok(journal_load(path, &lines, &err), err);
    assert_ok(journal_open(path, &journal, &err), err);
    assert_int_equal(journal.next_seq, 5);
    assert_ok(journal_keep(&journal, &lines, keep, &err), err);
    assert_int_equal(journal.next_seq, 3);
    assert_int_equal(journal_open(path, &second, &err), ST_BUSY);
    assert_ok(journal_load(path, &kept, &err), err);
    assert_int_equal(kept.count, 3);
    for (size_t i = 0, from = 0; i < kept.count; i++, from++) {
        from += !keep[from];
        assert_true(kept.lines[i].time == lines.lines[from].time);
        assert_string_equal(kept.lines[i].event, lines.lines[from].event);
        assert_int_equal(kept.lines[i].seq, i);
        cJSON_DeleteItemFromObjectCaseSensitive(kept.lines[i].json, "seq");
        cJSON_DeleteItemFromObjectCaseSensitive(kept.lines[i].json, "crc");
        cJSON_DeleteItemFromObjectCaseSensitive(lines.lines[from].json, "seq");
        cJSON_DeleteItemFromObjectCaseSensitive(lines.lines[from].json, "crc");
        assert_true(cJSON_Compare(kept.lines[i].json, lines.lines[from].json, true));
    }
    journal_lines_free(&kept);
    journal_lines_free(&lines);
    assert_ok(journal_append(&journal, event("morph", 2 / 3.0), 3.0, &err), err);
    journal_close(&journal);
    assert_ok(journal_open(path, &second, &err), err);
    journal_close(&second);
    assert_ok(journal_load(path, &lines, &err), err);
    assert_int_equal(lines.count, 4);
    journal_lines_free(&lines);
}

/* What stands before a bad line is kept; all of it is kept aside. */
static void salvages_what_is_good(void **state)
{
    (void)state;
    char *text, *left, aside[96];
    size_t length, left_length, kept, dropped;
    struct error err;
    struct journal_lines lines;

    snprintf(aside, sizeof(aside), "%s/%s", folder, JOURNAL_DAMAGED_NAME);
    write_lines(6);
    assert_ok(journal_salvage(path, &kept, &dropped, &err), err);
    assert_int_equal(kept, 6);
    assert_int_equal(dropped, 0);
    assert_false(file_exists(aside));
    assert_ok(journal_load(path, &lines, &err), err);
    assert_ok(file_read(path, &text, &length, &err), err);
    for (int bad = 1; bad < 5; bad++) {
        const size_t at = lines.lines[bad].end - 40;
        text[at] ^= 4;
        assert_ok(file_write_atomic(path, text, length, &err), err);
        assert_ok(journal_salvage(path, &kept, &dropped, &err), err);
        assert_int_equal(kept, bad);
        assert_int_equal(dropped, 6 - bad);
        assert_lines((size_t)bad);
        assert_ok(file_read(aside, &left, &left_length, &err), err);
        assert_int_equal(left_length, length);
        assert_memory_equal(left, text, length);
        free(left);
        text[at] ^= 4;
    }
    /* Without a first line nothing says what it is. */
    text[3] ^= 4;
    assert_ok(file_write_atomic(path, text, length, &err), err);
    assert_int_equal(journal_salvage(path, &kept, &dropped, &err), ST_FORMAT);
    assert_ok(file_read(path, &left, &left_length, &err), err);
    assert_int_equal(left_length, length);
    free(left);
    text[3] ^= 4;

    assert_ok(file_write_atomic(path, text, length, &err), err);
    assert_ok(journal_cut(path, &lines, 2, &err), err);
    assert_lines(2);
    assert_int_equal(journal_cut(path, &lines, 6, &err), ST_IO);
    journal_lines_free(&lines);
    unlink(aside);
    free(text);
}

static void refuses_a_second_writer(void **state)
{
    (void)state;
    struct error err;
    struct journal first, second;

    assert_ok(journal_open(path, &first, &err), err);
    assert_int_equal(journal_open(path, &second, &err), ST_BUSY);
    assert_non_null(strstr(err.message, "another nasrun"));
    assert_null(strchr(err.message, '\n'));
    journal_close(&first);
    journal_close(&first); /* twice is allowed */
    assert_ok(journal_open(path, &second, &err), err);
    journal_close(&second);
}

/* In a child whose files may not grow beyond a limit inside the second line: exit 0 when the line was refused
 * and nothing of it is left. */
static void removes_what_a_full_disk_left(void **state)
{
    (void)state;
    write_lines(1);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct error err;
        struct journal journal;
        if (journal_open(path, &journal, &err) != ST_OK)
            _exit(1);
        size_t before = journal.length;
        struct rlimit limit = {before + 20, before + 20};
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
            _exit(2);
        if (journal_append(&journal, event("morph", 1), 1, &err) != ST_IO)
            _exit(3);
        if (strstr(err.message, "only 20 of ") == NULL || journal.length != before || journal.next_seq != 1)
            _exit(4);
        _exit(lseek(journal.fd, 0, SEEK_END) == (off_t)before ? 0 : 5);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
    assert_lines(1);
}

static void names_a_missing_file(void **state)
{
    (void)state;
    struct error err;
    struct journal journal;
    struct journal_lines lines;

    assert_int_equal(journal_load("/nonexistent/journal.jsonl", &lines, &err), ST_IO);
    assert_non_null(strstr(err.message, "/nonexistent/journal.jsonl"));
    assert_int_equal(journal_open("/nonexistent/journal.jsonl", &journal, &err), ST_IO);
    assert_non_null(strstr(err.message, "/nonexistent/journal.jsonl"));
}

/* Lines with a right checksum that are no events, as files and as a first line. */
static void refuses_other_lines(void **state)
{
    static const struct {
        const char *text, *told;
    } cases[] = {
        {"[1,2", "the line is no JSON object"},
        {"{\"seq\":0,\"time\":1", "expected the numbers \"seq\" and \"time\" and the string \"event\""},
        {"{\"seq\":\"0\",\"time\":1,\"event\":\"run\"", "expected the numbers \"seq\""},
        {"{\"seq\":0,\"time\":1e999,\"event\":\"run\"", "expected the numbers \"seq\""},
        {"{\"seq\":0,\"time\":true,\"event\":\"run\"", "expected the numbers \"seq\""},
        {"{\"seq\":0,\"time\":1,\"event\":2", "expected the numbers \"seq\""},
        {"{\"seq\":7,\"time\":1,\"event\":\"run\"", "seq is 7, expected 0"},
        {"{\"seq\":0,\"time\":1,\"event\":\"stage\"", "its first event is stage, expected run"},
        {NULL, "has no checksum"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct journal_lines lines;
        struct error err;
        const char *text = cases[i].text;
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        if (text != NULL)
            fprintf(file, "%s,\"crc\":\"%08x\"}\n", text, file_checksum(text, strlen(text)));
        else
            fprintf(file, "a line\n");
        assert_int_equal(fclose(file), 0);
        assert_int_equal(journal_first(path, &lines, &err), ST_FORMAT);
        if (strstr(err.message, cases[i].told) == NULL || strstr(err.message, path) == NULL)
            fail_msg("found \"%s\", expected \"%s\"", err.message, cases[i].told);
        assert_null(lines.lines);
    }
    /* a line that ends nowhere; and an empty file, which a run may have left that was killed at once */
    struct journal_lines lines;
    struct error err;
    assert_int_equal(file_write_atomic(path, "{\"seq\":0", 8, &err), ST_OK);
    assert_int_equal(journal_first(path, &lines, &err), ST_FORMAT);
    assert_non_null(strstr(err.message, "its first line has no end"));
    assert_int_equal(file_write_atomic(path, "", 0, &err), ST_OK);
    assert_int_equal(journal_first(path, &lines, &err), ST_OK);
    assert_int_equal(lines.count, 0);
    /* what is no file, or somewhere else */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(journal_first(path, &lines, &err), ST_FORMAT);
    assert_non_null(strstr(err.message, "it is no plain file"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_int_equal(journal_first(path, &lines, &err), ST_FORMAT);
    assert_non_null(strstr(err.message, "it is a symbolic link"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(writes_and_reads, remove_journal),
        cmocka_unit_test_teardown(checksum_is_zlibs, remove_journal),
        cmocka_unit_test_teardown(survives_a_cut_anywhere, remove_journal),
        cmocka_unit_test_teardown(sees_every_changed_byte, remove_journal),
        cmocka_unit_test_teardown(flushes_epochs_later, remove_journal),
        cmocka_unit_test_teardown(tears_several_epochs, remove_journal),
        cmocka_unit_test_teardown(refuses_a_gap_in_the_sequence, remove_journal),
        cmocka_unit_test_teardown(keeps_some_lines, remove_journal),
        cmocka_unit_test_teardown(salvages_what_is_good, remove_journal),
        cmocka_unit_test_teardown(refuses_a_second_writer, remove_journal),
        cmocka_unit_test_teardown(removes_what_a_full_disk_left, remove_journal),
        cmocka_unit_test_teardown(refuses_other_lines, remove_journal),
        cmocka_unit_test(names_a_missing_file),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
