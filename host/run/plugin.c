#include "host/run/plugin.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the file ---- */

/* The program's folder, without a slash at the end. */
static enum status program_folder(char folder[PATH_MAX], struct error *err)
{
    ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    if (length < 0)
        return error_set(err, ST_IO, "cannot find the program's own folder");
    folder[length] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash != NULL)
        *slash = '\0';
    return ST_OK;
}

/* NULL where it is in neither place. The caller frees. */
static char *find_file(const char *folder)
{
    static const char *const places[] = {"", "/../lib"};
    size_t size = strlen(folder) + sizeof "/../lib/" PLUGIN_FILE;
    char *path = malloc(size);
    for (size_t i = 0; path != NULL && i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, size, "%s%s/" PLUGIN_FILE, folder, places[i]);
        if (access(path, F_OK) == 0)
            return path;
    }
    free(path);
    return NULL;
}

/* ---- open, close ---- */

/* CUDA's libraries are large: they are loaded only where a driver is. */
static enum status check_driver(struct error *err)
{
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (driver == NULL)
        return error_set(err, ST_DEVICE, "no NVIDIA driver on this machine (libcuda.so.1 is missing)");
    dlclose(driver);
    return ST_OK;
}

enum status plugin_open_file(struct plugin *plugin, const char *path, struct error *err)
{
    struct plugin made = {.library = dlopen(path, RTLD_NOW | RTLD_LOCAL)};
    enum status st = ST_OK;
    *plugin = (struct plugin){0};
    if (made.library == NULL)
        return error_set(err, ST_DEVICE, "the GPU's plug-in cannot be loaded: %s", dlerror());
    device_plugin_entry *entry = NULL;
    void *symbol = dlsym(made.library, DEVICE_PLUGIN_ENTRY);
    memcpy(&entry, &symbol, sizeof entry); /* C has no cast from objects to functions */
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

enum status plugin_open(struct plugin *plugin, struct error *err)
{
    char folder[PATH_MAX];
    *plugin = (struct plugin){0};
    enum status st = program_folder(folder, err);
    if (st != ST_OK)
        return st;
    char *path = find_file(folder);
    if (path == NULL)
        return error_set(err, ST_UNSUPPORTED,
                         "this nasrun was built without GPU support (no " PLUGIN_FILE " beside the program)");
    st = check_driver(err);
    if (st == ST_OK)
        st = plugin_open_file(plugin, path, err);
    free(path);
    return st;
}

void plugin_close(struct plugin *plugin)
{
    if (plugin->library != NULL)
        dlclose(plugin->library);
    *plugin = (struct plugin){0};
}
