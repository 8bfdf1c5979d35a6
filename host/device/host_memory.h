/* Host memory of devices whose own memory is the host's: what ref and cpu share. */
#ifndef NASRUN_DEVICE_HOST_MEMORY_H
#define NASRUN_DEVICE_HOST_MEMORY_H

#include "host/device/device.h"

/* Of struct device_ops, as they are. */
enum status host_memory_allocate(struct device *device, size_t bytes, void **memory, struct error *err);
void host_memory_free(struct device *device, void *memory);

#endif
