/* What libnasrun_cuda.so exports: one function, and nothing else. */
#include "host/device/plugin.h"
#include "cuda/device/cuda_internal.h"

__attribute__((visibility("default"))) const struct device_plugin *nasrun_device_plugin(void)
{
    static const struct device_plugin plugin = {.version = DEVICE_INTERFACE_VERSION,
                                                .ops = &cuda_device_ops,
                                                .count = cuda_count,
                                                .describe = cuda_describe,
                                                .can_group = cuda_can_group,
                                                .library = cuda_library};
    return &plugin;
}
