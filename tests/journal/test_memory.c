/* Each allocation that cJSON makes for an event fails in turn: the event is whole in the journal, or it is not there and
 * ST_MEMORY says so; and a journal that there is no memory to read is not taken for a torn one. */
#include "host/journal/event_read.h"
#include "host/journal/event_write.h"
#include "tests/support/data_files.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static long allocations, failing; /* which one fails; 0: none */

static void *allocate(size_t size)
{
    if (++allocations == failing) {
        errno = ENOMEM;
        return NULL;
    }
    return malloc(size);
}

static void let_fail(long number)
{
    allocations = 0;
    failing = number;
}

/* ---- events with all kinds of fields ---- */

static enum status write_run(struct journal *journal, const cJSON *graph, struct error *err)
{
    static const char *const names[] = {"cat", "dog"};
    const struct event_run event = {
        .version = "1",
        .format = EVENT_FORMAT,
        .dataset = {.fingerprint = "xxh3:0", .class_names = {names, 2}, .image = {3, 8, 8}, .policy = ""},
        .devices = {names, 1},
        .libraries = {.cjson = "1"}};
    (void)graph;
    return event_write_run(journal, &event, 0.5, err);
}

static enum status write_candidate(struct journal *journal, const cJSON *graph, struct error *err)
{
    static const char *const operations[] = {"deepen", "widen"};
    const struct event_candidate event = {
        .parent = -1, .operations = {operations, 2}, .start = "lean", .expected = 0.5, .graph = graph};
    return event_write_candidate(journal, &event, 1.5, err);
}

static enum status write_test(struct journal *journal, const cJSON *graph, struct error *err)
{
    static const int64_t confusion[] = {3, 1, 0, 4};
    const struct event_test event = {.accuracy = 0.875, .loss = NAN, .confusion = {confusion, 2}};
    (void)graph;
    return event_write_test(journal, &event, 2.5, err);
}

typedef enum status write_event(struct journal *journal, const cJSON *graph, struct error *err);
static write_event *const writers[] = {write_run, write_candidate, write_test};
enum { EVENTS = sizeof(writers) / sizeof(writers[0]) };

/* ---- tests ---- */

static void open_journal(const char *folder, char path[256], struct journal *journal)
{
    struct error err;
    snprintf(path, 256, "%s/%s", folder, JOURNAL_NAME);
    remove(path);
    assert_int_equal(journal_open(path, journal, &err), ST_OK);
}

/* All that the journal's events say, by the table of events. */
static size_t whole_events(const char *path)
{
    struct journal_lines lines;
    struct error err;
    const struct event *event;
    assert_int_equal(journal_load(path, &lines, &err), ST_OK);
    assert_false(lines.torn);
    struct event_reader reader = event_reader_open(path, &lines);
    do {
        if (event_next(&reader, &event, &err) != ST_OK)
            fail_msg("%s", err.message);
    } while (event != NULL);
    const size_t count = reader.count;
    event_reader_close(&reader);
    journal_lines_free(&lines);
    return count;
}

static void test_whole_or_not_there(void **state)
{
    (void)state;
    char *folder = data_files_folder(), path[256];
    cJSON *graph = cJSON_Parse("{\"layers\":[{\"id\":1},{\"id\":2}]}");
    struct journal journal;
    struct error err;
    for (int k = 0; k < EVENTS; k++) {
        long failed = 0;
        open_journal(folder, path, &journal);
        for (enum status st = ST_MEMORY; st != ST_OK; failed++) {
            let_fail(failed + 1);
            st = writers[k](&journal, graph, &err);
            let_fail(0);
            assert_true(st == ST_OK || st == ST_MEMORY);
            assert_int_equal(whole_events(path), st == ST_OK);
        }
        assert_true(failed > 10);
        journal_close(&journal);
    }
    cJSON_Delete(graph);
    data_files_remove(folder);
}

static void test_unread_is_not_torn(void **state)
{
    (void)state;
    char *folder = data_files_folder(), path[256];
    cJSON *graph = cJSON_Parse("{\"layers\":[{\"id\":1},{\"id\":2}]}");
    struct journal journal;
    struct journal_lines lines;
    struct error err;
    long failed = 0;
    open_journal(folder, path, &journal);
    for (int k = 0; k < EVENTS; k++)
        assert_int_equal(writers[k](&journal, graph, &err), ST_OK);
    journal_close(&journal);
    for (enum status st = ST_MEMORY; st != ST_OK; failed++) {
        let_fail(failed + 1);
        st = journal_open(path, &journal, &err);
        let_fail(0);
        assert_true(st == ST_OK || st == ST_MEMORY);
        journal_close(&journal);
        assert_int_equal(whole_events(path), EVENTS);
    }
    assert_true(failed > 30);
    assert_int_equal(journal_load(path, &lines, &err), ST_OK);
    journal_lines_free(&lines);
    cJSON_Delete(graph);
    data_files_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole_or_not_there),
                                       cmocka_unit_test(test_unread_is_not_torn)};
    cJSON_Hooks hooks = {.malloc_fn = allocate, .free_fn = free};
    cJSON_InitHooks(&hooks);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
