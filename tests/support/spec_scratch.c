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
    snprintf(scratch.file, sizeof scratch.file, "%s/job.cfg", scratch.folder);
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
