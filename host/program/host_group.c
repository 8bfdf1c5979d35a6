#include "host/program/host_group.h"

#include <stdlib.h>
#include <string.h>

enum status host_group_open(struct device *const *devices, int32_t count, double timeout,
                            struct device_group **group, struct error *err)
{
    enum status st = ST_OK;
    struct device_group *made = calloc(1, sizeof *made);
    *group = NULL;
    if (made == NULL)
        return error_memory(err, "group of devices", sizeof *made);
    made->count = count;
    made->members = calloc((size_t)count, sizeof(struct device *));
    if (made->members == NULL) {
        st = error_memory(err, "group of devices", (size_t)count * sizeof(struct device *));
        goto out;
    }
    memcpy(made->members, devices, (size_t)count * sizeof(struct device *));
    st = meeting_open(count, timeout, &made->meeting, err);
    if (st != ST_OK)
        goto out;
    *group = made;
    made = NULL;
out:
    host_group_close(made);
    return st;
}

void host_group_close(struct device_group *group)
{
    if (group == NULL)
        return;
    meeting_close(group->meeting);
    free(group->members);
    free(group);
}

void host_group_abort(struct device_group *group, const char *reason)
{
    meeting_call_off(group->meeting, reason);
}

enum status host_group_check(struct device_group *group, struct error *err)
{
    return meeting_check(group->meeting, err);
}

/* Members read each other's buffers in place. */
size_t host_group_bytes(const struct device_group *group)
{
    (void)group;
    return 0;
}

enum status host_group_member(const struct device_group *group, const struct device *device, int32_t *member,
                              struct error *err)
{
    for (*member = 0; *member < group->count; ++*member) {
        if (group->members[*member] == device)
            return ST_OK;
    }
    return error_set(err, ST_RANGE, "group: the device is none of its %d members", (int)group->count);
}

void host_group_share(const struct device_group *group, int32_t member, size_t total, size_t *first,
                      size_t *end)
{
    size_t count = (size_t)group->count, number = (size_t)member;
    *first = total * number / count;
    *end = total * (number + 1) / count;
}
