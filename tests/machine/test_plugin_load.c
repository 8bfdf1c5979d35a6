/* Plug-ins that are none: each is told in one line, and nothing stays open. With CUDA's libraries and drivers of all
 * ages: tests/gpu/libraries.sh. */
#include "host/machine/plugin_load.h"
#include "tests/support/data_files.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void refuse(const char *path, enum status expected, const char *what)
{
    struct plugin plugin = {.count = 7};
    struct error err = {0};
    assert_int_equal(plugin_open_file(&plugin, path, &err), expected);
    if (strstr(err.message, what) == NULL || strstr(err.message, path) == NULL)
        fail_msg("found \"%s\", expected %s and \"%s\"", err.message, path, what);
    assert_null(strchr(err.message, '\n'));
    assert_null(plugin.library);
    assert_null(plugin.table);
    assert_int_equal(plugin.count, 0);
    plugin_close(&plugin);
}

static void test_no_plugin(void **state)
{
    char *folder = data_files_folder(), path[256];
    (void)state;
    snprintf(path, sizeof path, "%s/missing.so", folder);
    refuse(path, ST_IO, "the GPU's plug-in cannot be loaded");
    data_files_write_text(folder, "text.so",
                          "a text, and long enough for the head of a shared library: it is none");
    snprintf(path, sizeof path, "%s/text.so", folder);
    refuse(path, ST_FORMAT, "the GPU's plug-in cannot be loaded");
    data_files_remove(folder);
}

/* A shared library that is no plug-in: zlib. */
static void test_other_library(void **state)
{
    Dl_info zlib;
    (void)state;
    void *symbol = dlsym(RTLD_DEFAULT, "zlibVersion");
    assert_non_null(symbol);
    assert_int_not_equal(dladdr(symbol, &zlib), 0);
    refuse(zlib.dli_fname, ST_UNSUPPORTED, "found no function " DEVICE_PLUGIN_ENTRY);
}

/* Beside this program there is none. */
static void test_beside_the_program(void **state)
{
    struct plugin plugin = {.count = 7};
    struct error err = {0};
    (void)state;
    assert_int_equal(plugin_open(&plugin, &err), ST_UNSUPPORTED);
    assert_non_null(strstr(err.message, "no libnasrun_cuda.so beside the program"));
    assert_null(plugin.library);
    assert_int_equal(plugin.count, 0);
}

/* Of a plug-in that is not open, and twice. */
static void test_close(void **state)
{
    struct plugin plugin = {0};
    (void)state;
    plugin_close(&plugin);
    plugin.library = dlopen(NULL, RTLD_LAZY);
    plugin.count = 1;
    plugin_close(&plugin);
    assert_null(plugin.library);
    assert_int_equal(plugin.count, 0);
    plugin_close(&plugin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_plugin),
        cmocka_unit_test(test_other_library),
        cmocka_unit_test(test_beside_the_program),
        cmocka_unit_test(test_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
