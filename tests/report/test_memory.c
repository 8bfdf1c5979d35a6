/* Each allocation that cJSON makes for a report fails in turn: ST_MEMORY says so and the reports are as they were, or
 * they are whole. */
#include "host/base/file.h"
#include "host/journal/journal.h"
#include "host/report/report.h"
#include "tests/support/data_files.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static void copy_journal(const char *from, const char *folder)
{
    struct error err;
    char *path = file_join(folder, JOURNAL_NAME);
    assert_non_null(path);
    assert_int_equal(file_copy(from, path, &err), ST_OK);
    free(path);
}

/* The report as JSON; NULL where there is none. */
static char *read_report(const char *folder)
{
    struct error err;
    char *path = file_join(folder, "report.json"), *text = NULL;
    size_t length;
    assert_non_null(path);
    if (file_exists(path)) {
        assert_int_equal(file_read(path, &text, &length, &err), ST_OK);
        assert_int_equal(unlink(path), 0);
    }
    free(path);
    return text;
}

static void check_report(const char *journal)
{
    struct error err;
    char *folder = data_files_folder();
    copy_journal(journal, folder);
    failing = allocations = 0;
    assert_int_equal(report_write_all(folder, false, &err), ST_OK);
    const long all = allocations;
    char *expected = read_report(folder);
    assert_non_null(expected);
    assert_true(all > 500);
    for (long number = 1; number <= all; number++) {
        allocations = 0;
        failing = number;
        err = (struct error){0};
        const enum status st = report_write_all(folder, false, &err);
        failing = 0;
        if (st != ST_MEMORY)
            fail_msg("allocation %ld of %ld: status %d, %s", number, all, st, err.message);
        char *found = read_report(folder);
        assert_null(found);
    }
    free(expected);
    data_files_remove(folder);
}

static void test_reports(void **state)
{
    (void)state;
    check_report("tests/journal/format-1/journal.jsonl");
    check_report("tests/journal/format-2/journal.jsonl");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reports)};
    cJSON_Hooks hooks = {.malloc_fn = allocate, .free_fn = free};
    cJSON_InitHooks(&hooks);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
