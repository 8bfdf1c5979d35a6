/* Groups of devices whose memory the host can address: what ref and cpu share of the device interface's group
 * functions. The members meet (host/base/barrier.h) and read each other's buffers in place. */
#ifndef NASRUN_DEVICE_HOST_GROUP_H
#define NASRUN_DEVICE_HOST_GROUP_H

#include "host/base/barrier.h"
#include "host/device/checks.h"

struct device_group {
    struct device_group_base base;
    struct barrier *barrier;
};

/* Of struct device_ops, as they are. */
enum status host_group_open(struct device *const *devices, int32_t count, double timeout,
                            struct device_group **group, struct error *err);
void host_group_close(struct device_group *group);
void host_group_abort(struct device_group *group, const char *reason);
enum status host_group_check(struct device_group *group, struct error *err);
size_t host_group_bytes(const struct device_group *group);

/* Values [first, end) of each member's buffer become their mean, always summed up in the order of the members. */
typedef void host_group_mean(void *const *buffers, int32_t count, size_t first, size_t end);

/* Collectives, called by every member with buffers of its own, laid out alike. Each member computes a share of the
 * means and writes it into everybody's buffers; nobody returns before all are done. */
enum status host_group_all_reduce(struct device_group *group, const struct device *device, void *values,
                                  size_t first, size_t end, host_group_mean *mean, struct error *err);
/* Of the running statistics among values laid out by the table. */
enum status host_group_average(struct device_group *group, const struct device *device,
                               const struct weight_table *table, void *values, host_group_mean *mean,
                               struct error *err);
/* Member `root`'s values go to all others. */
enum status host_group_broadcast(struct device_group *group, const struct device *device, void *values,
                                 size_t bytes, int32_t root, struct error *err);

#endif
