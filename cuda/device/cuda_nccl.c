#include "cuda/device/cuda_nccl.h"

#include "host/base/library.h"

#include <dlfcn.h>
#include <string.h>

#define LIBRARY "libnccl.so.2"

/* `function` is the address of a function pointer: C has no cast from objects to functions. */
static enum status find(void *library, const char *name, void *function, struct error *err)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof(symbol));
    return symbol != NULL ? ST_OK : error_set(err, ST_DEVICE, LIBRARY " has no function %s", name);
}

enum status cuda_nccl_load(struct cuda_nccl *nccl, struct error *err)
{
    const struct {
        const char *name;
        void *function;
    } wanted[] = {
        {"ncclCommInitAll", &nccl->comm_init_all}, {"ncclCommDestroy", &nccl->comm_destroy},
        {"ncclCommAbort", &nccl->comm_abort},      {"ncclCommGetAsyncError", &nccl->comm_get_async_error},
        {"ncclAllReduce", &nccl->all_reduce},      {"ncclBroadcast", &nccl->broadcast},
        {"ncclGroupStart", &nccl->group_start},    {"ncclGroupEnd", &nccl->group_end},
        {"ncclGetVersion", &nccl->get_version},    {"ncclGetErrorString", &nccl->get_error_string}};
    void *library = NULL;
    enum status st = library_load(LIBRARY, &library, err);
    for (size_t i = 0; st == ST_OK && i < sizeof(wanted) / sizeof(wanted[0]); i++)
        st = find(library, wanted[i].name, wanted[i].function, err);
    return st == ST_OK ? st : error_prefix(err, "NCCL cannot be loaded");
}

int cuda_nccl_version(void)
{
    ncclResult_t (*get_version)(int *) = NULL;
    struct error ignored;
    int version = 0;
    void *library = dlopen(LIBRARY, RTLD_LAZY | RTLD_NOLOAD);
    if (library == NULL)
        return 0;
    if (find(library, "ncclGetVersion", &get_version, &ignored) == ST_OK)
        (void)get_version(&version);
    dlclose(library); /* it stays: cuda_nccl_load has it */
    return version;
}
