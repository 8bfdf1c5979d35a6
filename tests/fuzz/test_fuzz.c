/* Readers of files that anybody may have written (tests/support/fuzz_targets.h), fed with damaged ones. Whatever the
 * damage, a reader ends, and either accepts or refuses with a status and a message of one printable line.
 * AddressSanitizer and UBSan see the rest (make asan). A case that fails is named by its number, and the same in every
 * run. `make fuzz` looks for damage that these cases don't have. */
#include "host/base/file.h"
#include "tests/support/data_files.h"
#include "tests/support/fuzz_targets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

enum { CASES = 2000 };

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
    for (uint32_t number = 0; number < CASES; number++) {
        fuzz_mutate(&whole, target->kind, (uint32_t)(target - fuzz_targets), number, &damaged);
        if (target->repair != NULL && number % 2 == 0)
            target->repair(&damaged);
        remove(path); /* writing over a file waits for the disk on some file systems */
        data_files_write(folder, target->file, damaged.bytes, damaged.length, false);
        err = (struct error){.status = ST_OK};
        enum status st = target->read(folder, path, &err);
        const char *complaint = fuzz_complaint(st, &err);
        if (complaint != NULL)
            fail_msg("%s, case %u: %s: %s \"%s\"", target->name, number, complaint, status_name(st),
                     err.message);
        refused += st != ST_OK;
    }
    /* Damage that nobody notices would test nothing. */
    assert_in_range(refused, CASES / 8, CASES);
    free(whole.bytes);
    free(damaged.bytes);
    free(bytes);
    free(path);
    data_files_remove(folder);
}

int main(void)
{
    struct CMUnitTest *tests = calloc((size_t)fuzz_target_count, sizeof *tests);
    if (tests == NULL)
        return 1;
    for (int i = 0; i < fuzz_target_count; i++)
        tests[i] = (struct CMUnitTest){.name = fuzz_targets[i].name,
                                       .test_func = survives_damage,
                                       .initial_state = (void *)&fuzz_targets[i]};
    const int failed = _cmocka_run_group_tests("fuzz", tests, (size_t)fuzz_target_count, NULL, NULL);
    free(tests);
    return failed;
}
