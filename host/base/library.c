#include "host/base/library.h"

#include "host/base/file.h"

#include <dlfcn.h>
#include <elf.h>
#include <glob.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- folders ---- */

#define IN_PYTHON                                                                                            \
    "lib/python3*/*-packages/nvidia/*/lib" /* site-packages; Debian's are called dist-packages */

enum { PLACES = 16 };

/* Patterns of folders, as glob(3) reads them. */
struct folders {
    int32_t count;
    char *patterns[PLACES]; /* malloc'd; NULL: out of memory */
};

static void add(struct folders *folders, char *pattern)
{
    folders->patterns[folders->count++] = pattern;
}

/* "folder/below", or "folder" for "" below it, of which only `below` may hold wildcards. */
static char *make_pattern(const char *folder, const char *below)
{
    const size_t most = 2 * strlen(folder) + strlen(below) + 2;
    char *pattern = malloc(most), *end = pattern;
    if (pattern == NULL)
        return NULL;
    for (; *folder != '\0'; folder++) {
        if (strchr("*?[\\", *folder) != NULL)
            *end++ = '\\';
        *end++ = *folder;
    }
    snprintf(end, most - (size_t)(end - pattern), "%s%s", *below != '\0' ? "/" : "", below);
    return pattern;
}

static void add_below(struct folders *folders, const char *folder, const char *below)
{
    if (folder != NULL && folder[0] == '/')
        add(folders, make_pattern(folder, below));
}

/* Of the first python3 in $PATH: "/usr/bin/python3" belongs to /usr. A link may lie in an environment of its own and
 * lead to another one, in which Python looks too. */
static void add_python(struct folders *folders)
{
    const char *path = getenv("PATH");
    char program[PATH_MAX], resolved[PATH_MAX];
    bool found = false;
    for (; path != NULL && *path != '\0' && !found; path += strspn(path, ":")) {
        const int length = (int)strcspn(path, ":");
        snprintf(program, sizeof(program), "%.*s/python3", length, path);
        found = path[0] == '/' && access(program, X_OK) == 0;
        path += length;
    }
    if (!found)
        return;
    const bool known = realpath(program, resolved) != NULL;
    const char *prefix = dirname(dirname(program)), *origin = known ? dirname(dirname(resolved)) : prefix;
    add_below(folders, prefix, IN_PYTHON);
    if (strcmp(prefix, origin) != 0)
        add_below(folders, origin, IN_PYTHON);
    if (strcmp(prefix, "/usr") == 0 || strcmp(origin, "/usr") == 0)
        add_below(folders, "/usr/local", IN_PYTHON); /* Debian's pip installs there */
}

static void list_folders(struct folders *folders)
{
    *folders = (struct folders){0};
    for (int i = 0; i < 2; i++) {
        char *folder = file_beside_program(i == 0 ? "." : "../lib"), *real = NULL;
        if (folder != NULL)
            real = realpath(folder, NULL); /* NULL: there is no such folder */
        add_below(folders, real, "");
        free(real);
        free(folder);
    }
    add_below(folders, getenv("CUDA_HOME"), "lib64");
    add_below(folders, getenv("CUDA_HOME"), "lib");
    add_below(folders, getenv("CONDA_PREFIX"), "lib");
    add_below(folders, getenv("VIRTUAL_ENV"), IN_PYTHON);
    add_python(folders);
    add_below(folders, getenv("HOME"), ".local/" IN_PYTHON);
    add_below(folders, "/usr/local", "cuda/lib64");
    add_below(folders, "/usr/local", "cuda-*/lib64");
}

static void free_folders(struct folders *folders)
{
    for (int32_t i = 0; i < folders->count; i++)
        free(folders->patterns[i]);
}

/* ---- loading ---- */

static void *load(const char *path, char first[ERROR_LENGTH])
{
    void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    if (library == NULL && first[0] == '\0')
        snprintf(first, ERROR_LENGTH, "%s", dlerror());
    return library;
}

/* From the first folder of that pattern which has a file of that name that can be loaded; NULL: none. `first` is what
 * the loader said to the first that could not. */
static enum status load_from(const char *pattern, const char *name, void **library, char first[ERROR_LENGTH],
                             struct error *err)
{
    glob_t files;
    char *whole = file_join(pattern, name);
    if (whole == NULL)
        return error_memory(err, name, strlen(name));
    const int status = glob(whole, 0, NULL, &files);
    for (size_t i = 0; status == 0 && *library == NULL && i < files.gl_pathc; i++)
        *library = load(files.gl_pathv[i], first);
    if (status == 0)
        globfree(&files);
    free(whole);
    return status == GLOB_NOSPACE ? error_memory(err, name, strlen(name)) : ST_OK;
}

static enum status explain(const struct folders *folders, const char *what, struct error *err)
{
    char looked[ERROR_LENGTH] = "";
    for (int32_t i = 0; i < folders->count; i++)
        snprintf(looked + strlen(looked), sizeof(looked) - strlen(looked), "%s, ", folders->patterns[i]);
    return error_set(err, ST_DEVICE,
                     "%.300s; looked in %sand where the loader looks (CUDA_HOME may name another folder)",
                     what, looked);
}

enum status library_load(const char *name, void **library, struct error *err)
{
    struct folders folders;
    char first[ERROR_LENGTH] = "";
    enum status st = ST_OK;
    *library = NULL;
    list_folders(&folders);
    for (int32_t i = 0; st == ST_OK && i < folders.count; i++)
        if (folders.patterns[i] == NULL)
            st = error_memory(err, "folders of libraries", PATH_MAX);
    for (int32_t i = 0; st == ST_OK && *library == NULL && i < folders.count; i++)
        st = load_from(folders.patterns[i], name, library, first, err);
    if (st == ST_OK && *library == NULL)
        *library = load(name, first);
    if (st == ST_OK && *library == NULL)
        st = explain(&folders, first, err);
    free_folders(&folders);
    return st;
}

const char *library_of(void (*function)(void))
{
    Dl_info found;
    void *address;
    memcpy(&address, &function, sizeof(address)); /* C has no cast from functions to objects */
    return dladdr(address, &found) != 0 && found.dli_fname != NULL ? found.dli_fname : "?";
}

/* ---- what a library needs ---- */

struct content {
    char *bytes;
    size_t length;
};

/* NULL: the file is not that long. */
static const void *at(const struct content *content, uint64_t offset, uint64_t size)
{
    const bool inside = offset <= content->length && size <= content->length - offset;
    return inside ? content->bytes + offset : NULL;
}

static bool read_header(const struct content *content, Elf64_Ehdr *header)
{
    const void *found = at(content, 0, sizeof(*header));
    if (found == NULL)
        return false;
    memcpy(header, found, sizeof(*header));
    return memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 && header->e_ident[EI_CLASS] == ELFCLASS64 &&
           header->e_ident[EI_DATA] == ELFDATA2LSB && header->e_type == ET_DYN;
}

static bool read_section(const struct content *content, const Elf64_Ehdr *header, uint32_t index,
                         Elf64_Shdr *section)
{
    const void *found = at(content, header->e_shoff + (uint64_t)index * sizeof(*section), sizeof(*section));
    if (index >= header->e_shnum || found == NULL)
        return false;
    memcpy(section, found, sizeof(*section));
    return true;
}

/* The name at that offset of the section of names, into the list. */
static bool take_name(const struct content *content, const Elf64_Shdr *names, uint64_t offset,
                      struct library_needs *needs)
{
    const uint64_t room = offset < names->sh_size ? names->sh_size - offset : 0;
    const char *name = at(content, names->sh_offset + offset, room);
    const size_t length = name != NULL ? strnlen(name, room) : room;
    if (length == room || length >= LIBRARY_NAME || needs->count == LIBRARY_NEEDS)
        return false;
    memcpy(needs->names[needs->count++], name, length + 1);
    return true;
}

static bool take_names(const struct content *content, const Elf64_Shdr *dynamic, const Elf64_Shdr *names,
                       struct library_needs *needs)
{
    bool good = true;
    for (uint64_t i = 0; good && (i + 1) * sizeof(Elf64_Dyn) <= dynamic->sh_size; i++) {
        Elf64_Dyn entry;
        const void *found = at(content, dynamic->sh_offset + i * sizeof(entry), sizeof(entry));
        if (found == NULL)
            return false;
        memcpy(&entry, found, sizeof(entry));
        if (entry.d_tag == DT_NULL)
            break;
        if (entry.d_tag == DT_NEEDED)
            good = take_name(content, names, entry.d_un.d_val, needs);
    }
    return good;
}

enum status library_read_needs(const char *path, struct library_needs *needs, struct error *err)
{
    struct content content;
    Elf64_Ehdr header;
    Elf64_Shdr section, names;
    *needs = (struct library_needs){0};
    enum status st = file_read(path, &content.bytes, &content.length, err);
    if (st != ST_OK)
        return st;
    bool good = read_header(&content, &header);
    for (uint32_t i = 0; good && i < header.e_shnum; i++) {
        good = read_section(&content, &header, i, &section);
        if (good && section.sh_type == SHT_DYNAMIC)
            good = read_section(&content, &header, section.sh_link, &names) &&
                   take_names(&content, &section, &names, needs);
    }
    free(content.bytes);
    return good
               ? ST_OK
               : error_set(err, ST_FORMAT, "%s: found no list of libraries, expected a shared library", path);
}
