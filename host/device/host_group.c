#include "host/device/host_group.h"

#include <stdlib.h>
#include <string.h>

enum status host_group_open(struct device *const *devices, int32_t count, double timeout,
                            struct device_group **group, struct error *err)
{
    struct device_group *made = calloc(1, sizeof(*made));
    (void)devices; /* the checks know them */
    if (made == NULL)
        return error_memory(err, "group of devices", sizeof(*made));
    enum status st = barrier_open(count, timeout, &made->barrier, err);
    if (st == ST_OK) {
        *group = made;
        made = NULL;
    }
    host_group_close(made);
    return st;
}

void host_group_close(struct device_group *group)
{
    if (group == NULL)
        return;
    barrier_close(group->barrier);
    free(group);
}

void host_group_abort(struct device_group *group, const char *reason)
{
    barrier_abort(group->barrier, reason);
}

enum status host_group_check(struct device_group *group, struct error *err)
{
    return barrier_check(group->barrier, err);
}

/* Members read each other's buffers in place. */
size_t host_group_bytes(const struct device_group *group)
{
    (void)group;
    return 0;
}

/* The device's number in the group, in which it is. */
static int32_t member_number(const struct device_group *group, const struct device *device)
{
    int32_t member = 0;
    while (group->base.members[member] != device)
        member++;
    return member;
}

/* The device's number, and everybody's buffers once all have come. */
static enum status begin(struct device_group *group, const struct device *device, const char *what,
                         void *values, int32_t *member, void *const **offers, struct error *err)
{
    *member = member_number(group, device);
    return barrier_wait(group->barrier, *member, what, values, offers, err);
}

/* Waits until all are done with the buffers. */
static enum status end_with(struct device_group *group, int32_t member, const char *what, struct error *err)
{
    void *const *offers;
    return barrier_wait(group->barrier, member, what, NULL, &offers, err);
}

/* The members' shares differ by at most one value. */
enum status host_group_all_reduce(struct device_group *group, const struct device *device, void *values,
                                  size_t first, size_t end, host_group_mean *mean, struct error *err)
{
    const size_t total = end - first, count = (size_t)group->base.count;
    int32_t member;
    void *const *offers;
    enum status st = begin(group, device, "all-reduce", values, &member, &offers, err);
    if (st != ST_OK)
        return st;
    mean(offers, group->base.count, first + total * (size_t)member / count,
         first + total * ((size_t)member + 1) / count);
    return end_with(group, member, "all-reduce", err);
}

enum status host_group_average(struct device_group *group, const struct device *device,
                               const struct weight_table *table, void *values, host_group_mean *mean,
                               struct error *err)
{
    int32_t member;
    void *const *offers;
    enum status st = begin(group, device, "average of statistics", values, &member, &offers, err);
    if (st != ST_OK)
        return st;
    for (int32_t k = member; k < table->count; k += group->base.count) {
        const struct weight_tensor *tensor = &table->tensors[k];
        if (weight_is_statistic(tensor->role))
            mean(offers, group->base.count, tensor->offset, tensor->offset + tensor->count);
    }
    return end_with(group, member, "average of statistics", err);
}

enum status host_group_broadcast(struct device_group *group, const struct device *device, void *values,
                                 size_t bytes, int32_t root, struct error *err)
{
    int32_t member;
    void *const *offers;
    enum status st = begin(group, device, "broadcast", values, &member, &offers, err);
    if (st != ST_OK)
        return st;
    if (member != root)
        memcpy(values, offers[root], bytes);
    return end_with(group, member, "broadcast", err);
}
