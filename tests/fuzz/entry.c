/* libFuzzer's entry to the readers of tests/support/fuzz_targets.h (`make fuzz`); test_entry.c calls it without
 * libFuzzer.
 *
 * FUZZ_TARGET   which reader, by its name; "list" prints the names and ends
 * FUZZ_SEEDS    a folder that gets the reader's valid file, before libFuzzer reads what is there; unset: none
 */
#include "tests/fuzz/entry.h"
#include "host/base/file.h"
#include "tests/support/data_files.h"
#include "tests/support/fuzz_targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_SECONDS = 1 };

static const struct fuzz_target *target;
static char *folder, *path; /* where the target reads, with the files beside the damaged one */

static void clean(void)
{
    data_files_remove(folder);
    free(path);
}

_Noreturn static void stop(const char *what, const char *more)
{
    fprintf(stderr, "%s: %s%s\n", target->name, what, more);
    abort();
}

static void choose(const char *name)
{
    for (int i = 0; i < fuzz_target_count; i++) {
        /* The same reader for texts comes behind the first; libFuzzer damages all alike. */
        if (strcmp(name, "list") == 0 && (i == 0 || fuzz_targets[i].read != fuzz_targets[i - 1].read ||
                                          fuzz_targets[i].make != fuzz_targets[i - 1].make ||
                                          fuzz_targets[i].file != fuzz_targets[i - 1].file))
            puts(fuzz_targets[i].name);
        if (strcmp(name, fuzz_targets[i].name) == 0)
            target = &fuzz_targets[i];
    }
    if (target != NULL)
        return;
    if (strcmp(name, "list") != 0)
        fprintf(stderr, "FUZZ_TARGET: found \"%s\", expected the name of a reader, or list\n", name);
    exit(strcmp(name, "list") == 0 ? 0 : 2);
}

static void write_seed(const char *seeds)
{
    struct error err;
    char *seed = NULL, *to = file_join(seeds, target->name);
    size_t length;
    if (to == NULL || file_read(path, &seed, &length, &err) != ST_OK)
        stop("no seed", "");
    if (file_make_folder(seeds, &err) != ST_OK || file_write_atomic(to, seed, length, &err) != ST_OK)
        stop("no seed: ", err.message);
    free(seed);
    free(to);
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    const char *name = getenv("FUZZ_TARGET"), *seeds = getenv("FUZZ_SEEDS");
    (void)count;
    (void)arguments;
    choose(name != NULL ? name : "");
    folder = data_files_folder();
    path = file_join(folder, target->file);
    if (path == NULL)
        stop("no memory", "");
    atexit(clean);
    target->make(folder);
    if (seeds != NULL)
        write_seed(seeds);
    return 0;
}

/* Inputs of even length get their checksums made right. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct error err = {.status = ST_OK};
    struct fuzz_bytes input = fuzz_copy(data, length);
    if (target->repair != NULL && length % 2 == 0)
        target->repair(&input);
    remove(path); /* writing over a file waits for the disk on some file systems */
    data_files_write(folder, target->file, input.bytes, input.length, false);
    const clock_t before = clock();
    const char *complaint = fuzz_complaint(target->read(folder, path, &err), &err);
    if (complaint == NULL && clock() - before > MOST_SECONDS * CLOCKS_PER_SEC)
        complaint = "it takes over a second of a core";
    if (complaint != NULL)
        stop(complaint, err.message);
    free(input.bytes);
    return 0;
}
