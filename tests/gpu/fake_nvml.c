/* A stand-in for libnvidia-ml.so.1: the one GPU it knows is the emulated one, with its usual memory, of which the
 * driver keeps some for itself; and a counter of its energy. */
#include <string.h>
#include <time.h>

struct nvml_memory {
    unsigned long long total, free, used;
};

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetHandleByPciBusId_v2(const char *pci, void **device);
int nvmlDeviceGetMemoryInfo(void *device, struct nvml_memory *memory);
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules);

enum { NOT_FOUND = 6 };

static int the_gpu;

int nvmlInit_v2(void)
{
    return 0;
}

int nvmlShutdown(void)
{
    return 0;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *pci, void **device)
{
    *device = &the_gpu;
    return strcmp(pci, "00000000:00:00.0") == 0 ? 0 : NOT_FOUND;
}

int nvmlDeviceGetMemoryInfo(void *device, struct nvml_memory *memory)
{
    if (device != &the_gpu)
        return NOT_FOUND;
    *memory = (struct nvml_memory){.total = 270000000, .free = 200000000, .used = 70000000};
    return 0;
}

/* A thousand watts, day and night. */
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules)
{
    struct timespec now;
    if (device != &the_gpu || clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        return NOT_FOUND;
    *millijoules = 1000000ULL * (unsigned long long)now.tv_sec + (unsigned long long)now.tv_nsec / 1000;
    return 0;
}
