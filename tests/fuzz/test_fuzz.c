/* Readers of files that anybody may have written (tests/support/fuzz_targets.h), fed with damaged ones. Whatever the
 * damage, a reader ends, and either accepts or refuses with a status and a message of one printable line.
 * AddressSanitizer and UBSan see the rest (make asan). A case that fails is named by its number, and the same in every
 * run. `make fuzz` looks for damage that these cases don't have. */
#include "host/base/file.h"
#include "tests/support/data_files.h"
#include "tests/support/fuzz_targets.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

enum { CASES = 1000 };

/* What a reader may allocate: four times its file, and this. Sanitizers have maps of memory of their own. */
enum { ROOM = 64 << 20 };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { LIMITED = 0 };
#else
enum { LIMITED = 1 };
#endif

/* Of the data of the process, which an allocation then fails at; -1: any. Returns what it was. */
static rlim_t limit_memory(size_t length)
{
    struct rlimit limit;
    unsigned long pages[6] = {0};
    assert_int_equal(getrlimit(RLIMIT_DATA, &limit), 0);
    const rlim_t before = limit.rlim_cur;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu %lu %lu %lu %lu", &pages[0], &pages[1], &pages[2], &pages[3],
                            &pages[4], &pages[5]),
                     6);
    fclose(file);
    limit.rlim_cur = pages[5] * (rlim_t)sysconf(_SC_PAGESIZE) + 4 * length + ROOM;
    if (LIMITED && limit.rlim_cur <= limit.rlim_max)
        assert_int_equal(setrlimit(RLIMIT_DATA, &limit), 0);
    return before;
}

static void lift_limit(rlim_t before)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_DATA, &limit), 0);
    limit.rlim_cur = before;
    assert_int_equal(setrlimit(RLIMIT_DATA, &limit), 0);
}

/* What libFuzzer begins with, as it is. */
static void read_corpus(const struct fuzz_target *target, const char *folder, const char *path)
{
    char place[64], *bytes;
    struct error err;
    size_t length;
    snprintf(place, sizeof(place), "tests/fuzz/corpus/%s", target->name);
    DIR *stream = opendir(place);
    for (const struct dirent *entry; stream != NULL && (entry = readdir(stream)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        char *from = file_join(place, entry->d_name);
        assert_int_equal(file_read(from, &bytes, &length, &err), ST_OK);
        remove(path);
        data_files_write(folder, target->file, bytes, length, false);
        err = (struct error){.status = ST_OK};
        const char *complaint = fuzz_complaint(target->read(folder, path, &err), &err);
        if (complaint != NULL)
            fail_msg("%s: %s: \"%s\"", from, complaint, err.message);
        free(bytes);
        free(from);
    }
    if (stream != NULL)
        closedir(stream);
}

static void survives_damage(void **state)
{
    const struct fuzz_target *target = *state;
    struct error err;
    char *folder = data_files_folder(), *path = file_join(folder, target->file), *bytes;
    size_t length;
    int refused = 0;

    assert_non_null(path);
    target->make(folder);
    if (target->read(folder, path, &err) != ST_OK)
        fail_msg("%s, undamaged: %s", target->name, err.message);
    assert_int_equal(file_read(path, &bytes, &length, &err), ST_OK);
    struct fuzz_bytes whole = fuzz_copy(bytes, length), damaged = fuzz_copy(bytes, length);
    const rlim_t before = limit_memory(length);
    for (uint32_t number = 0; number < CASES; number++) {
        fuzz_mutate(&whole, target->kind, (uint32_t)(target - fuzz_targets), number, &damaged);
        if (target->repair != NULL && number % 2 == 0)
            target->repair(&damaged);
        remove(path); /* writing over a file waits for the disk on some file systems */
        data_files_write(folder, target->file, damaged.bytes, damaged.length, false);
        err = (struct error){.status = ST_OK};
        enum status st = target->read(folder, path, &err);
        const char *complaint = fuzz_complaint(st, &err);
        if (complaint == NULL && st == ST_MEMORY)
            complaint = "it wants more memory than four times its file and 64 MiB";
        if (complaint != NULL)
            fail_msg("%s, case %u: %s: %s \"%s\"", target->name, number, complaint, status_name(st),
                     err.message);
        refused += st != ST_OK;
    }
    read_corpus(target, folder, path);
    lift_limit(before);
    /* Damage that nobody notices would test nothing. */
    const bool forgives = (target->about & FUZZ_FORGIVES) != 0;
    const int32_t least = (target->about & FUZZ_LENIENT) != 0 ? CASES / 32 : CASES / 8;
    assert_in_range(refused, forgives ? 0 : least, forgives ? 0 : CASES);
    free(whole.bytes);
    free(damaged.bytes);
    free(bytes);
    free(path);
    data_files_remove(folder);
}

/* test_fuzz NAME: that reader alone. */
int main(int count, char **arguments)
{
    struct CMUnitTest *tests = calloc((size_t)fuzz_target_count, sizeof(*tests));
    if (tests == NULL)
        return 1;
    for (int i = 0; i < fuzz_target_count; i++)
        tests[i] = (struct CMUnitTest){.name = fuzz_targets[i].name,
                                       .test_func = survives_damage,
                                       .initial_state = (void *)&fuzz_targets[i]};
    cmocka_set_test_filter(count > 1 ? arguments[1] : NULL);
    const int failed = _cmocka_run_group_tests("fuzz", tests, (size_t)fuzz_target_count, NULL, NULL);
    free(tests);
    return failed;
}
