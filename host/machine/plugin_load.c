#include "host/machine/plugin_load.h"

#include "host/base/file.h"
#include "host/base/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the files ---- */

/* In the order in which they are tried. */
static const char *const files[] = {"libnasrun_cuda.so", "libnasrun_cuda12.so"};

enum { FILES = sizeof(files) / sizeof(files[0]) };

#define CUDA_12_FILE files[1]
#define UNLOADED     "the GPU's plug-in cannot be loaded"

/* NULL where it is in none of these folders. The caller frees. */
static char *find_file(const char *name)
{
    static const char *const folders[] = {"", "../lib/", "../lib/nasrun/"};
    char below[64];
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(below, sizeof(below), "%s%s", folders[i], name);
        char *path = file_beside_program(below);
        if (path != NULL && file_exists(path))
            return path;
        free(path);
    }
    return NULL;
}

/* ---- CUDA's libraries ---- */

/* They are large: they are loaded only where a driver is. *version: 12040 for CUDA 12.4; 0: it does not tell, the
 * plug-in will ask it again. */
static enum status ask_driver(int *version, struct error *err)
{
    int (*get_version)(int *) = NULL;
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    *version = 0;
    if (driver == NULL)
        return error_set(err, ST_DEVICE, "no NVIDIA driver on this machine (libcuda.so.1 is missing)");
    void *symbol = dlsym(driver, "cuDriverGetVersion");
    memcpy(&get_version, &symbol, sizeof(get_version)); /* C has no cast from objects to functions */
    if (get_version == NULL || get_version(version) != 0)
        *version = 0;
    dlclose(driver);
    return ST_OK;
}

/* The major version of CUDA for which a plug-in is built, by the cuBLAS that it needs; 0: it needs none. */
static int cuda_of(const struct library_needs *needs)
{
    int major = 0;
    for (int32_t i = 0; i < needs->count; i++)
        if (sscanf(needs->names[i], "libcublas.so.%d", &major) == 1)
            return major;
    return 0;
}

/* Loaded here by their full paths, they are what the plug-in gets when it asks for them by their names. Their own parts
 * lie beside them, and NVIDIA's libraries look there; but cuDNN compiles by NVRTC, which may lie with the toolkit. */
static enum status load_libraries(const struct library_needs *needs, struct error *err)
{
    char nvrtc[LIBRARY_NAME];
    void *library;
    enum status st = ST_OK;
    struct error ignored;
    for (int32_t i = 0; st == ST_OK && i < needs->count; i++)
        if (strncmp(needs->names[i], "libcu", 5) == 0)
            st = library_load(needs->names[i], &library, err);
    snprintf(nvrtc, sizeof(nvrtc), "libnvrtc.so.%d", cuda_of(needs));
    if (st == ST_OK && cuda_of(needs) > 0)
        (void)library_load(nvrtc, &library, &ignored); /* without it there are fewer plans to choose from */
    return st;
}

/* ---- open, close ---- */

/* A plug-in whose libraries are loaded. */
static enum status open_loaded(struct plugin *plugin, const char *path, struct error *err)
{
    struct plugin made = {.library = dlopen(path, RTLD_NOW | RTLD_LOCAL)};
    enum status st = ST_OK;
    if (made.library == NULL)
        return error_set(err, ST_DEVICE, UNLOADED ": %s", dlerror());
    device_plugin_entry *entry = NULL;
    void *symbol = dlsym(made.library, DEVICE_PLUGIN_ENTRY);
    memcpy(&entry, &symbol, sizeof(entry)); /* C has no cast from objects to functions */
    if (entry == NULL) {
        st = error_set(err, ST_UNSUPPORTED, "%s: found no function %s, expected nasrun's plug-in", path,
                       DEVICE_PLUGIN_ENTRY);
        goto out;
    }
    made.table = entry();
    if (made.table->version != DEVICE_INTERFACE_VERSION) {
        st = error_set(err, ST_UNSUPPORTED,
                       "%s: found device interface %u, expected %u: plug-in and program belong to "
                       "different versions of nasrun",
                       path, (unsigned)made.table->version, (unsigned)DEVICE_INTERFACE_VERSION);
        goto out;
    }
    st = made.table->count(&made.count, err);
    if (st == ST_OK) {
        *plugin = made;
        made.library = NULL;
    }
out:
    if (made.library != NULL)
        dlclose(made.library);
    return st;
}

enum status plugin_open_file(struct plugin *plugin, const char *path, struct error *err)
{
    struct library_needs needs;
    *plugin = (struct plugin){0};
    enum status st = library_read_needs(path, &needs, err);
    if (st == ST_OK)
        st = load_libraries(&needs, err);
    return st == ST_OK ? open_loaded(plugin, path, err) : error_prefix(err, UNLOADED);
}

static enum status refuse_driver(int driver, int expected, struct error *err)
{
    char other[96] = "";
    if (expected > 12)
        snprintf(other, sizeof(other), "; the plug-in for those from 12.0 on, %s, is not beside the program",
                 CUDA_12_FILE);
    return error_set(err, ST_DEVICE, "the NVIDIA driver supports CUDA %d.%d, expected at least %d.0%s",
                     driver / 1000, driver % 1000 / 10, expected, other);
}

/* Of those that are there, the first for which the driver is new enough and CUDA's libraries are here. When one would
 * do but for its libraries, the first such tells what it lacks. */
static enum status open_suitable(struct plugin *plugin, char *const paths[FILES], struct error *err)
{
    struct library_needs needs;
    struct error lacks;
    int driver, least = 0;
    bool lacking = false;
    enum status st = ask_driver(&driver, err);
    for (int i = 0; st == ST_OK && i < FILES; i++) {
        if (paths[i] == NULL)
            continue;
        if (library_read_needs(paths[i], &needs, err) != ST_OK)
            return error_prefix(err, UNLOADED);
        const int major = cuda_of(&needs);
        if (driver > 0 && major > driver / 1000)
            least = least == 0 || major < least ? major : least;
        else if (load_libraries(&needs, lacking ? &lacks : err) == ST_OK)
            return open_loaded(plugin, paths[i], err);
        else
            lacking = true;
    }
    if (lacking)
        return error_prefix(err, UNLOADED);
    return st == ST_OK ? refuse_driver(driver, least, err) : st;
}

enum status plugin_open(struct plugin *plugin, struct error *err)
{
    char *paths[FILES];
    bool any = false;
    *plugin = (struct plugin){0};
    for (int i = 0; i < FILES; i++) {
        paths[i] = find_file(files[i]);
        any = any || paths[i] != NULL;
    }
    enum status st =
        any ? open_suitable(plugin, paths, err)
            : error_set(err, ST_UNSUPPORTED,
                        "this nasrun was built without GPU support (no %s beside the program)", files[0]);
    for (int i = 0; i < FILES; i++)
        free(paths[i]);
    return st;
}

void plugin_close(struct plugin *plugin)
{
    if (plugin->library != NULL)
        dlclose(plugin->library);
    *plugin = (struct plugin){0};
}
