/* Host memory of devices whose own memory is the host's: what ref and cpu share. */
#ifndef NASRUN_PROGRAM_HOST_MEMORY_H
#define NASRUN_PROGRAM_HOST_MEMORY_H

#include "host/program/device.h"

/* Of struct device_ops, as they are. */
enum status host_memory_allocate(struct device *device, size_t bytes, void **memory, struct error *err);
void host_memory_free(struct device *device, void *memory);

#endif
