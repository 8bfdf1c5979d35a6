#include "host/device/host_memory.h"

#include <stdlib.h>

enum status host_memory_allocate(struct device *device, size_t bytes, void **memory, struct error *err)
{
    (void)device;
    *memory = malloc(bytes);
    return *memory != NULL ? ST_OK : error_memory(err, "host memory", bytes);
}

void host_memory_free(struct device *device, void *memory)
{
    (void)device;
    free(memory);
}
