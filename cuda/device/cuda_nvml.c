/* What NVML, which comes with the driver, tells of a GPU to everybody: what it has used of electricity, and how much of
 * its memory is free. CUDA tells that to who has a context there, and to make one takes a third of a second and half a
 * gigabyte of the GPU. */
#include "cuda/device/cuda_internal.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Of nvml.h, which the toolkit does not always bring: success is 0. */
struct memory {
    unsigned long long total, free, used;
};
typedef int initialise(void);
typedef int find_device(const char *pci, void **device);
typedef int get_memory(void *device, struct memory *memory);
typedef int get_energy(void *device, unsigned long long *millijoules);

/* NVML, in use, and the GPU that was looked for. */
struct session {
    void *library, *device;
    initialise *end;
};

static bool find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof(symbol));
    return symbol != NULL;
}

static void close_session(struct session *session)
{
    if (session->end != NULL)
        (void)session->end();
    if (session->library != NULL)
        dlclose(session->library);
}

/* What is open of it on false is closed. */
static bool open_session(struct session *session, const struct cudaDeviceProp *properties)
{
    initialise *begin, *end;
    find_device *look;
    char pci[32];
    *session = (struct session){.library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)};
    snprintf(pci, sizeof(pci), "%08x:%02x:%02x.0", (unsigned)properties->pciDomainID,
             (unsigned)properties->pciBusID, (unsigned)properties->pciDeviceID);
    if (session->library != NULL && find(session->library, "nvmlInit_v2", &begin) &&
        find(session->library, "nvmlShutdown", &end) &&
        find(session->library, "nvmlDeviceGetHandleByPciBusId_v2", &look) && begin() == 0) {
        session->end = end;
        if (look(pci, &session->device) == 0)
            return true;
    }
    close_session(session);
    return false;
}

/* Whether it speaks of the GPU and not of more, of which the GPU is a part. NVML counts what the driver keeps for
 * itself; one that tells of much more memory speaks of all of a GPU that was divided. */
static bool ask_memory(const struct session *session, unsigned long long total, struct memory *memory)
{
    get_memory *tell;
    *memory = (struct memory){0};
    return find(session->library, "nvmlDeviceGetMemoryInfo", &tell) && tell(session->device, memory) == 0 &&
           memory->total >= total && memory->total - total <= total / 8;
}

size_t cuda_nvml_free(const struct cudaDeviceProp *properties)
{
    const unsigned long long total = properties->totalGlobalMem;
    struct session session;
    struct memory memory;
    if (!open_session(&session, properties))
        return 0;
    const bool told = ask_memory(&session, total, &memory);
    close_session(&session);
    return !told ? 0 : (size_t)(memory.free < total ? memory.free : total);
}

double cuda_nvml_joules(const struct cudaDeviceProp *properties)
{
    unsigned long long millijoules = 0;
    struct session session;
    struct memory memory;
    get_energy *tell;
    if (!open_session(&session, properties))
        return NAN;
    const bool told = ask_memory(&session, properties->totalGlobalMem, &memory) &&
                      find(session.library, "nvmlDeviceGetTotalEnergyConsumption", &tell) &&
                      tell(session.device, &millijoules) == 0;
    close_session(&session);
    return told ? 1e-3 * (double)millijoules : NAN;
}
