/* How much memory of a GPU is free, for those who only look. CUDA tells it to who has a context there, and to make one
 * takes a third of a second and half a gigabyte of the GPU; NVML, which comes with the driver, tells everybody. */
#include "cuda/device/cuda_internal.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* Of nvml.h, which the toolkit does not always bring: success is 0. */
struct memory {
    unsigned long long total, free, used;
};
typedef int initialise(void);
typedef int find_device(const char *pci, void **device);
typedef int get_memory(void *device, struct memory *memory);

static bool find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof(symbol));
    return symbol != NULL;
}

static bool ask(void *library, const char *pci, struct memory *memory)
{
    initialise *begin, *end;
    find_device *look;
    get_memory *tell;
    void *device = NULL;
    if (!find(library, "nvmlInit_v2", &begin) || !find(library, "nvmlShutdown", &end) ||
        !find(library, "nvmlDeviceGetHandleByPciBusId_v2", &look) ||
        !find(library, "nvmlDeviceGetMemoryInfo", &tell) || begin() != 0)
        return false;
    const bool told = look(pci, &device) == 0 && tell(device, memory) == 0;
    (void)end();
    return told;
}

size_t cuda_nvml_free(const struct cudaDeviceProp *properties)
{
    const unsigned long long total = properties->totalGlobalMem;
    struct memory memory = {0};
    char pci[32];
    snprintf(pci, sizeof(pci), "%08x:%02x:%02x.0", (unsigned)properties->pciDomainID,
             (unsigned)properties->pciBusID, (unsigned)properties->pciDeviceID);
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    const bool told = library != NULL && ask(library, pci, &memory);
    if (library != NULL)
        dlclose(library);
    /* NVML counts what the driver keeps for itself. One that tells of much more speaks of all of a GPU of which this is
     * a part. */
    if (!told || memory.total < total || memory.total - total > total / 8)
        return 0;
    return (size_t)(memory.free < total ? memory.free : total);
}
