/* The table of NCCL's functions (cuda/device/cuda_nccl.h), filled from libraries that are found in CUDA_HOME. */
#include "cuda/device/cuda_nccl.h"

#include "host/base/file.h"
#include "host/base/library.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

/* zlib under NCCL's name, in a CUDA_HOME of our own: it can be loaded, but has not what is wanted. */
static void another_library(void **state)
{
    char folder[] = "/tmp/nasrun-test-XXXXXX";
    struct cuda_nccl nccl;
    struct error err;
    (void)state;
    assert_non_null(mkdtemp(folder));
    char *below = file_join(folder, "lib"), *link = file_join(folder, "lib/libnccl.so.2");
    assert_int_equal(file_make_folder(below, &err), ST_OK);
    assert_int_equal(symlink(library_of((void (*)(void))crc32_z), link), 0);
    setenv("CUDA_HOME", folder, 1);
    assert_int_equal(cuda_nccl_load(&nccl, &err), ST_DEVICE);
    assert_string_equal(err.message, "NCCL cannot be loaded: libnccl.so.2 has no function ncclCommInitAll");
    unsetenv("CUDA_HOME");
    unlink(link);
    rmdir(below);
    rmdir(folder);
    free(link);
    free(below);
}

/* Where it is installed. Nothing has loaded it so far. */
static void all_functions(void **state)
{
    struct cuda_nccl nccl;
    struct error err;
    int version = 0;
    (void)state;
    assert_int_equal(cuda_nccl_version(), 0);
    if (cuda_nccl_load(&nccl, &err) != ST_OK) {
        print_message("SKIPPED, NOT TESTED: %s\n", err.message);
        skip();
    }
    assert_int_equal(nccl.get_version(&version), ncclSuccess);
    assert_true(version >= 20000);
    assert_int_equal(cuda_nccl_version(), version);
    assert_string_equal(nccl.get_error_string(ncclSuccess), "no error");
    assert_true(nccl.comm_init_all && nccl.comm_destroy && nccl.comm_abort && nccl.comm_get_async_error &&
                nccl.all_reduce && nccl.broadcast && nccl.group_start && nccl.group_end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(another_library), cmocka_unit_test(all_functions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
