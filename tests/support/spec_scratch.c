#include "tests/support/spec_scratch.h"

#include "spec/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* after what it needs */
#include <cmocka.h>

int spec_scratch_open(void **state)
{
    static struct spec_scratch scratch;
    strcpy(scratch.folder, "/tmp/nasrun-spec-XXXXXX");
    if (mkdtemp(scratch.folder) == NULL)
        return -1;
    snprintf(scratch.file, sizeof(scratch.file), "%s/job.cfg", scratch.folder);
    *state = &scratch;
    return 0;
}

int spec_scratch_close(void **state)
{
    struct spec_scratch *scratch = *state;
    unlink(scratch->file);
    return rmdir(scratch->folder);
}

void spec_scratch_write(const char *path, const char *text, size_t length)
{
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, length, out), length);
    assert_int_equal(fclose(out), 0);
}

enum status spec_scratch_read(const struct spec_scratch *scratch, const char *text,
                              const char *const *overrides, struct job *job, struct error *err)
{
    char *list[SPEC_SCRATCH_OVERRIDES];
    int count = 0;
    while (overrides != NULL && count < SPEC_SCRATCH_OVERRIDES && overrides[count] != NULL) {
        list[count] = (char *)overrides[count];
        count++;
    }
    *err = (struct error){0};
    spec_scratch_write(scratch->file, text, strlen(text));
    return spec_read(scratch->file, list, count, job, err);
}

void spec_scratch_read_good(const struct spec_scratch *scratch, const char *text, const char *override,
                            struct job *job)
{
    const char *const overrides[] = {override, NULL};
    struct error err;
    if (spec_scratch_read(scratch, text, overrides, job, &err) != ST_OK)
        fail_msg("%s\n(override %s)\n%s", text, override != NULL ? override : "none", err.message);
}

char *spec_scratch_print(const struct job *job, const char *name)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    spec_print_value(job, &spec_keys[spec_index(name)], out);
    assert_int_equal(fclose(out), 0);
    return text;
}

void spec_scratch_check(const struct job *job, const char *name, const char *expected)
{
    char *text = spec_scratch_print(job, name);
    if (strcmp(text, expected) != 0)
        fail_msg("%s: found %s, expected %s", name, text, expected);
    free(text);
}

void spec_scratch_check_same(const struct job *a, const struct job *b)
{
    for (int i = 0; i < SPEC_KEY_COUNT; i++) {
        char *expected = spec_scratch_print(a, spec_keys[i].name);
        spec_scratch_check(b, spec_keys[i].name, expected);
        free(expected);
    }
}

char *spec_scratch_write_job(const struct job *job)
{
    char *text = NULL;
    size_t length = 0;
    struct error err;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    assert_int_equal(spec_write(job, out, &err), ST_OK);
    assert_int_equal(fclose(out), 0);
    return text;
}
