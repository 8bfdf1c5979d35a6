/* Groups of devices whose memory the host can address: what ref and cpu share of the device interface's group functions.
 * The members meet (host/base/meeting.h) and read each other's buffers in place. */
#ifndef NASRUN_PROGRAM_HOST_GROUP_H
#define NASRUN_PROGRAM_HOST_GROUP_H

#include "host/base/meeting.h"
#include "host/program/device.h"

struct device_group {
    struct meeting *meeting;
    int32_t count;
    struct device **members; /* [count] */
};

/* Of struct device_ops, as they are. */
enum status host_group_open(struct device *const *devices, int32_t count, double timeout,
                            struct device_group **group, struct error *err);
void host_group_close(struct device_group *group);
void host_group_abort(struct device_group *group, const char *reason);
enum status host_group_check(struct device_group *group, struct error *err);
size_t host_group_bytes(const struct device_group *group);

/* The device's number in the group; ST_RANGE when it is no member. */
enum status host_group_member(const struct device_group *group, const struct device *device, int32_t *member,
                              struct error *err);

/* A share of `total` things for one member: [*first, *end). Shares differ by at most one. */
void host_group_share(const struct device_group *group, int32_t member, size_t total, size_t *first,
                      size_t *end);

#endif
