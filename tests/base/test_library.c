/* Shared libraries: what one needs, of whole, damaged and made-up files; in which folders one is looked for. */
#include "host/base/file.h"
#include "host/base/library.h"
#include "tests/support/data_files.h"

#include <dlfcn.h>
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

static bool needs(const struct library_needs *list, const char *name)
{
    bool found = false;
    for (int32_t i = 0; i < list->count; i++)
        found = found || strcmp(list->names[i], name) == 0;
    return found;
}

static enum status needs_of(const char *folder, const void *bytes, size_t length, struct library_needs *list)
{
    struct error err;
    char path[256];
    data_files_write(folder, "library", bytes, length, false);
    snprintf(path, sizeof(path), "%s/library", folder);
    return library_read_needs(path, list, &err);
}

/* Of this program, which asks for cmocka; then of what is left of it when its end is missing or a byte of its tables is
 * damaged: whatever is found there, nothing is read outside of it. */
static void test_needs(void **state)
{
    char *bytes, *folder = data_files_folder();
    struct library_needs list;
    struct error err;
    size_t length;
    (void)state;
    assert_int_equal(library_read_needs("/proc/self/exe", &list, &err), ST_OK);
    assert_true(needs(&list, "libcmocka.so.0"));
    assert_true(needs(&list, "libc.so.6"));
    assert_int_equal(file_read("/proc/self/exe", &bytes, &length, &err), ST_OK);
    for (size_t kept = 0; kept < length; kept += length / 7 + 1)
        assert_int_equal(needs_of(folder, bytes, kept, &list), ST_FORMAT);
    for (size_t i = 0; i < 64 + 40 * 64;
         i += i < 64 ? 1 : 7) { /* the header; sections, the last of the file */
        char *damaged = i < 64 ? bytes + i : bytes + length - (i - 63);
        *damaged ^= 0x55;
        (void)needs_of(folder, bytes, length, &list);
        *damaged ^= 0x55;
    }
    free(bytes);
    assert_int_equal(library_read_needs("/dev/null", &list, &err), ST_IO);
    assert_int_equal(library_read_needs("/no/such/file", &list, &err), ST_IO);
    data_files_remove(folder);
}

/* ---- made-up libraries ---- */

enum { ENTRIES = LIBRARY_NEEDS + 2, NAMES = 256 };

/* A library of three sections: none, the dynamic one, the names. */
struct made {
    Elf64_Ehdr header;
    Elf64_Shdr sections[3];
    Elf64_Dyn entries[ENTRIES];
    char names[NAMES];
};

/* It needs "a" and "bc". */
static void make_library(struct made *made)
{
    *made = (struct made){
        .header = {.e_type = ET_DYN, .e_shoff = offsetof(struct made, sections), .e_shnum = 3},
        .entries = {{.d_tag = DT_NEEDED, .d_un.d_val = 1},
                    {.d_tag = DT_SONAME, .d_un.d_val = 6},
                    {.d_tag = DT_NEEDED, .d_un.d_val = 3},
                    {.d_tag = DT_NULL},
                    {.d_tag = DT_NEEDED, .d_un.d_val = 6}},
        .names = "\0a\0bc\0itself",
    };
    memcpy(made->header.e_ident, ELFMAG, SELFMAG);
    made->header.e_ident[EI_CLASS] = ELFCLASS64;
    made->header.e_ident[EI_DATA] = ELFDATA2LSB;
    made->sections[1] = (Elf64_Shdr){.sh_type = SHT_DYNAMIC,
                                     .sh_offset = offsetof(struct made, entries),
                                     .sh_size = sizeof(made->entries),
                                     .sh_link = 2};
    made->sections[2] =
        (Elf64_Shdr){.sh_type = SHT_STRTAB, .sh_offset = offsetof(struct made, names), .sh_size = NAMES};
}

static void two_of_two(struct made *made) /* without an end but that of the section */
{
    made->sections[1].sh_size = 3 * sizeof(made->entries[0]);
}

static void many(struct made *made, int count)
{
    for (int i = 0; i < ENTRIES; i++)
        made->entries[i] = (Elf64_Dyn){.d_tag = i < count ? DT_NEEDED : DT_NULL, .d_un.d_val = 1};
}

static void as_many_as_fit(struct made *made)
{
    many(made, LIBRARY_NEEDS);
}

static void too_many(struct made *made)
{
    many(made, LIBRARY_NEEDS + 1);
}

static void longest_name(struct made *made)
{
    memset(made->names + 3, 'x', LIBRARY_NAME - 1);
}

static void too_long_a_name(struct made *made)
{
    memset(made->names + 3, 'x', LIBRARY_NAME);
}

static void name_without_end(struct made *made)
{
    made->sections[2].sh_size = 5;
}

static void name_outside(struct made *made)
{
    made->entries[2].d_un.d_val = NAMES + 1;
}

static void names_outside(struct made *made)
{
    made->sections[2].sh_offset = sizeof(*made) - 2;
}

static void entries_outside(struct made *made)
{
    made->sections[1].sh_offset = sizeof(*made) - 8;
}

static void entries_far_outside(struct made *made)
{
    made->sections[1].sh_offset = UINT64_MAX - 8;
}

static void sections_outside(struct made *made)
{
    made->header.e_shoff = sizeof(*made) - 8;
}

static void no_such_section(struct made *made)
{
    made->sections[1].sh_link = 3;
}

static void of_32_bits(struct made *made)
{
    made->header.e_ident[EI_CLASS] = ELFCLASS32;
}

static void big_endian(struct made *made)
{
    made->header.e_ident[EI_DATA] = ELFDATA2MSB;
}

static void an_object(struct made *made)
{
    made->header.e_type = ET_REL;
}

static void test_made_up(void **state)
{
    static const struct {
        void (*change)(struct made *made);
        int32_t count; /* -1: refused */
    } cases[] = {
        {two_of_two, 2},        {as_many_as_fit, LIBRARY_NEEDS},
        {too_many, -1},         {longest_name, 2},
        {too_long_a_name, -1},  {name_without_end, -1},
        {name_outside, -1},     {names_outside, -1},
        {entries_outside, -1},  {entries_far_outside, -1},
        {sections_outside, -1}, {no_such_section, -1},
        {of_32_bits, -1},       {big_endian, -1},
        {an_object, -1},
    };
    char *folder = data_files_folder();
    struct library_needs list;
    struct made made;
    (void)state;
    make_library(&made);
    assert_int_equal(needs_of(folder, &made, sizeof(made), &list), ST_OK);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.names[0], "a");
    assert_string_equal(list.names[1], "bc");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        make_library(&made);
        cases[i].change(&made);
        const enum status st = needs_of(folder, &made, sizeof(made), &list);
        if (st != (cases[i].count < 0 ? ST_FORMAT : ST_OK) || (st == ST_OK && list.count != cases[i].count))
            fail_msg("case %zu: status %d, %d names, expected %d", i, st, list.count, cases[i].count);
    }
    data_files_remove(folder);
}

/* ---- where one is looked for ---- */

static const char NAME[] = "libnasrun-place.so.1";
static const char *const variables[] = {"CUDA_HOME", "CONDA_PREFIX", "VIRTUAL_ENV", "HOME", "PATH"};
enum { VARIABLES = sizeof(variables) / sizeof(variables[0]) };

/* zlib, which is the only library that this program surely has. */
static void put_library(const char *folder, const char *below)
{
    struct error err;
    char name[256], *bytes;
    size_t length;
    snprintf(name, sizeof(name), "%s/%s", below, NAME);
    assert_int_equal(file_read(library_of((void (*)(void))zlibVersion), &bytes, &length, &err), ST_OK);
    data_files_write(folder, name, bytes, length, false);
    free(bytes);
}

/* An executable file, or a link to `target`. */
static void put_python(const char *folder, const char *below, const char *target)
{
    char name[128], path[256];
    snprintf(name, sizeof(name), "%s/python3", below);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    data_files_write_text(folder, name, "no program, but it may be executed");
    assert_int_equal(chmod(path, 0700), 0);
    if (target != NULL) {
        assert_int_equal(unlink(path), 0);
        assert_int_equal(symlink(target, path), 0);
    }
}

/* `value` with FOLDER for each "@". */
static void set_variable(const char *variable, const char *value, const char *folder)
{
    char text[512];
    size_t filled = 0;
    for (; *value != '\0'; value++)
        filled += (size_t)snprintf(text + filled, sizeof(text) - filled, *value == '@' ? "%s" : "%.1s",
                                   *value == '@' ? folder : value);
    assert_int_equal(setenv(variable, text, 1), 0);
}

static void test_places(void **state)
{
    static const struct {
        const char *variable, *value, *below; /* @ is the folder of the test */
    } cases[] = {
        {"CUDA_HOME", "@/a*[?]\\x", "a*[?]\\x/lib64"}, /* a folder's name is no pattern */
        {"CUDA_HOME", "@/cuda", "cuda/lib"},
        {"CONDA_PREFIX", "@/conda", "conda/lib"},
        {"VIRTUAL_ENV", "@/venv", "venv/lib/python3.12/site-packages/nvidia/cublas/lib"},
        {"HOME", "@/home", "home/.local/lib/python3.9/site-packages/nvidia/cudnn/lib"},
        {"PATH", "@/python/bin", "python/lib/python3.11/dist-packages/nvidia/cudnn/lib"},
        {"PATH", "python/bin::/no/such/bin:@/python/bin:/usr/bin",
         "python/lib/python3/x-packages/nvidia/a/lib"},
        {"PATH", "@/linked/bin", "linked/lib/python3.11/dist-packages/nvidia/cudnn/lib"},
        {"PATH", "@/linked/bin", "python/lib/python3.11/dist-packages/nvidia/cudnn/lib"},
    };
    char *kept[VARIABLES], *folder = data_files_folder(), path[512];
    struct error err;
    void *library;
    (void)state;
    for (int i = 0; i < VARIABLES; i++) {
        kept[i] = getenv(variables[i]) != NULL ? strdup(getenv(variables[i])) : NULL;
        assert_int_equal(unsetenv(variables[i]), 0);
    }
    put_python(folder, "python/bin", NULL);
    put_python(folder, "linked/bin", "../../python/bin/python3");
    put_python(folder, "system/bin", "/usr/bin/env");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put_library(folder, cases[i].below);
        assert_int_equal(library_load(NAME, &library, &err), ST_DEVICE);
        set_variable(cases[i].variable, cases[i].value, folder);
        if (library_load(NAME, &library, &err) != ST_OK)
            fail_msg("%s = %s: %s", cases[i].variable, cases[i].value, err.message);
        dlclose(library);
        assert_int_equal(unsetenv(cases[i].variable), 0);
        snprintf(path, sizeof(path), "%s/%s/%s", folder, cases[i].below, NAME);
        assert_int_equal(unlink(path), 0);
    }
    /* Debian's pip installs beside the system's Python. */
    set_variable("PATH", "@/system/bin", folder);
    assert_int_equal(library_load(NAME, &library, &err), ST_DEVICE);
    assert_non_null(strstr(err.message, " /usr/local/lib/python3*/*-packages/nvidia/*/lib, "));
    /* One that can't be loaded hides none behind it; where it is the only one, what the loader said of it is told. */
    set_variable("CUDA_HOME", "@/cuda", folder);
    snprintf(path, sizeof(path), "cuda/lib64/%s", NAME);
    data_files_write_text(folder, path, "no library");
    assert_int_equal(library_load(NAME, &library, &err), ST_DEVICE);
    assert_non_null(strstr(err.message, path));
    put_library(folder, "cuda/lib");
    assert_int_equal(library_load(NAME, &library, &err), ST_OK);
    dlclose(library);
    for (int i = 0; i < VARIABLES; i++) {
        assert_int_equal(kept[i] != NULL ? setenv(variables[i], kept[i], 1) : unsetenv(variables[i]), 0);
        free(kept[i]);
    }
    data_files_remove(folder);
}

static void test_load(void **state)
{
    struct error err;
    void *library;
    (void)state;
    assert_int_equal(library_load("libz.so.1", &library, &err), ST_OK);
    assert_non_null(library);
    dlclose(library);
    assert_int_equal(library_load("libnosuch.so.7", &library, &err), ST_DEVICE);
    assert_null(library);
    assert_non_null(strstr(err.message, "libnosuch.so.7: "));
    assert_non_null(strstr(err.message, "looked in /"));
    assert_non_null(strstr(library_of((void (*)(void))crc32_z), "libz"));
    assert_string_equal(library_of(NULL), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_needs),
        cmocka_unit_test(test_made_up),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
