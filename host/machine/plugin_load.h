/* Loads the GPU's plug-in, libnasrun_cuda.so, which lies beside the program or in ../lib or ../lib/nasrun of its
 * folder, with CUDA's libraries, which are looked for (host/base/library.h). Where the driver is too old for its CUDA,
 * or those libraries are not here, libnasrun_cuda12.so takes its place: the same, built for CUDA 12. Machines without
 * the plug-in, the NVIDIA driver or CUDA's libraries are ordinary: each says in one line what is missing. */
#ifndef NASRUN_MACHINE_PLUGIN_LOAD_H
#define NASRUN_MACHINE_PLUGIN_LOAD_H

#include "host/device/plugin.h"

struct plugin {
    void *library;
    const struct device_plugin *table; /* NULL: not open */
    int32_t count;                     /* devices, at least 1 */
};

/* ST_UNSUPPORTED where there is no plug-in or it belongs to another nasrun, ST_DEVICE where the machine lacks
 * something; then nothing is open. */
enum status plugin_open(struct plugin *plugin, struct error *err);
/* a zeroed plugin is allowed; nothing of the plug-in may be in use */
void plugin_close(struct plugin *plugin);

/* For tests and measurements: the same from that file, without asking for a driver first. */
enum status plugin_open_file(struct plugin *plugin, const char *path, struct error *err);

#endif
