/* libFuzzer's entries without libFuzzer: each reader's valid file and pieces of it, in a process of its own. And what
 * an entry takes for a fault of a reader. */
#include "host/base/file.h"
#include "tests/fuzz/entry.h"
#include "tests/support/data_files.h"
#include "tests/support/fuzz_targets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { PIECES = 16 };

/* The child's part; its exit status. */
static int feed(const char *name, const char *seeds)
{
    struct error err;
    char *seed, *path = file_join(seeds, name);
    size_t length;
    setenv("FUZZ_TARGET", name, 1);
    setenv("FUZZ_SEEDS", seeds, 1);
    if (LLVMFuzzerInitialize(NULL, NULL) != 0 || path == NULL ||
        file_read(path, &seed, &length, &err) != ST_OK || length == 0)
        return 1;
    for (size_t i = 0; i <= PIECES; i++)
        if (LLVMFuzzerTestOneInput((const uint8_t *)seed, length * i / PIECES) != 0)
            return 1;
    free(seed);
    free(path);
    return 0;
}

static int status_of(const char *name, const char *seeds)
{
    int status;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        exit(feed(name, seeds));
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void test_entries(void **state)
{
    char *seeds = data_files_folder();
    (void)state;
    for (int i = 0; i < fuzz_target_count; i++) {
        const int status = status_of(fuzz_targets[i].name, seeds);
        if (status != 0)
            fail_msg("%s: status %d", fuzz_targets[i].name, status);
    }
    data_files_remove(seeds);
}

static void test_names(void **state)
{
    char *seeds = data_files_folder();
    (void)state;
    assert_int_equal(status_of("no-such-reader", seeds), 2);
    assert_int_equal(status_of("", seeds), 2);
    assert_int_equal(status_of("list", seeds), 0);
    data_files_remove(seeds);
}

static void test_complaints(void **state)
{
    struct error err;
    (void)state;
    assert_null(fuzz_complaint(ST_OK, &(struct error){0}));
    assert_null(fuzz_complaint(error_set(&err, ST_FORMAT, "file:1: found x, expected y"), &err));
    assert_non_null(fuzz_complaint(ST_IO, &err));
    err.message[4] = '\n';
    assert_non_null(fuzz_complaint(ST_FORMAT, &err));
    err.message[0] = '\0';
    assert_non_null(fuzz_complaint(ST_FORMAT, &err));
    memset(err.message, 'x', sizeof err.message);
    assert_non_null(fuzz_complaint(ST_FORMAT, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_complaints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
