/* Plug-ins that are none: each is told in one line, and nothing stays open. With CUDA's libraries and drivers of all
 * ages: tests/gpu/libraries.sh. */
#include "host/base/file.h"
#include "host/base/library.h"
#include "host/machine/plugin_load.h"
#include "tests/support/data_files.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    snprintf(path, sizeof(path), "%s/missing.so", folder);
    refuse(path, ST_IO, "the GPU's plug-in cannot be loaded");
    data_files_write_text(folder, "text.so",
                          "a text, and long enough for the head of a shared library: it is none");
    snprintf(path, sizeof(path), "%s/text.so", folder);
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

/* One for another kind of processor: it can be read, and not be loaded. */
static void test_other_processor(void **state)
{
    enum { MACHINE = 18, ARM = 40 }; /* a byte of the head */
    Dl_info zlib;
    struct error err;
    char *bytes, *folder = data_files_folder(), path[256];
    size_t length;
    (void)state;
    assert_int_not_equal(dladdr(dlsym(RTLD_DEFAULT, "zlibVersion"), &zlib), 0);
    assert_int_equal(file_read(zlib.dli_fname, &bytes, &length, &err), ST_OK);
    bytes[MACHINE] = ARM;
    data_files_write(folder, "plugin.so", bytes, length, false);
    free(bytes);
    snprintf(path, sizeof(path), "%s/plugin.so", folder);
    refuse(path, ST_DEVICE, "the GPU's plug-in cannot be loaded: ");
    data_files_remove(folder);
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

/* A library is found below the folder that CUDA_HOME names in full, and never by way of the one that we work in. */
static void test_relative_folders(void **state)
{
    static const char *const variables[] = {"CUDA_HOME", "CONDA_PREFIX", "VIRTUAL_ENV", "HOME"};
    static const char name[] = "libnasrun-test.so.1";
    Dl_info zlib;
    struct error err;
    void *library, *symbol = dlsym(RTLD_DEFAULT, "zlibVersion");
    char *folder = data_files_folder(), *before = getcwd(NULL, 0), *bytes, path[256];
    size_t length;
    (void)state;
    assert_non_null(symbol);
    assert_non_null(before);
    assert_int_not_equal(dladdr(symbol, &zlib), 0);
    assert_int_equal(file_read(zlib.dli_fname, &bytes, &length, &err), ST_OK);
    for (size_t i = 0; i < 3; i++) {
        static const char *const below[] = {"", "lib/", "lib64/"};
        snprintf(path, sizeof(path), "%s%s", below[i], name);
        data_files_write(folder, path, bytes, length, false);
    }
    free(bytes);
    assert_int_equal(chdir(folder), 0);
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
        assert_int_equal(setenv(variables[i], ".", 1), 0);
    assert_int_equal(library_load(name, &library, &err), ST_DEVICE);
    assert_null(library);
    assert_int_equal(setenv("CUDA_HOME", folder, 1), 0);
    assert_int_equal(library_load(name, &library, &err), ST_OK);
    assert_non_null(library);
    dlclose(library);
    assert_int_equal(unsetenv("CUDA_HOME"), 0);
    assert_int_equal(chdir(before), 0);
    free(before);
    data_files_remove(folder);
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
        cmocka_unit_test(test_no_plugin),        cmocka_unit_test(test_other_library),
        cmocka_unit_test(test_other_processor),  cmocka_unit_test(test_beside_the_program),
        cmocka_unit_test(test_relative_folders), cmocka_unit_test(test_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
