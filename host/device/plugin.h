/* A device in a plug-in: a shared library with one exported function, so that the program itself runs on
 * machines that lack what the device needs. The plug-in brings its own copies of the host code that it uses
 * and shares nothing with the program but these tables.
 *
 * `version` stands first and is checked before anything else is read: tables of another version may look
 * different. */
#ifndef NASRUN_DEVICE_PLUGIN_H
#define NASRUN_DEVICE_PLUGIN_H

#include "host/device/device.h"

struct device_plugin {
    uint32_t version;             /* DEVICE_INTERFACE_VERSION of the headers it was built with */
    const struct device_ops *ops; /* of the same version */
    /* How many devices there are, at least 1. ST_DEVICE with one line that says why there is none. */
    enum status (*count)(int32_t *count, struct error *err);
    /* Device `index` without opening it: name, versions, threads and memory; nothing is measured, nothing happens on
     * the device. memory_free: 0 where nobody can tell then. */
    enum status (*describe)(int32_t index, struct device_info *info, struct error *err);
    /* Whether its devices can form groups. ST_DEVICE with one line that says what is missing for that, and where it
     * was looked for. */
    enum status (*can_group)(struct error *err);
    /* Of each library it uses, from 0, also of those that only groups need: "cuDNN 9.19.0 from PATH", or that it is
     * missing. False: there is none of that index. */
    bool (*library)(int32_t index, char *text, size_t size);
};

#define DEVICE_PLUGIN_ENTRY "nasrun_device_plugin"

typedef const struct device_plugin *device_plugin_entry(void);

/* What a plug-in exports. */
const struct device_plugin *nasrun_device_plugin(void);

#endif
