/* Groups of reference devices: averages over the members, and broadcasts. Each member computes its share of an average and
 * writes it into everybody's buffers, always adding in the order of the members. */
#include "host/program/host_group.h"
#include "host/ref/ref.h"

#include <string.h>

/* Values [first, end) of each buffer become their mean. */
static void average(double *const *buffers, int32_t count, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        double sum = 0;
        for (int32_t member = 0; member < count; member++)
            sum += buffers[member][i];
        for (int32_t member = 0; member < count; member++)
            buffers[member][i] = sum / count;
    }
}

void ref_run_all_reduce(const struct ref_call *call)
{
    struct device_group *group = call->prepared->binding.group;
    const struct weight_tensor *tensors = call->prepared->program->weights.tensors;
    const size_t begin = tensors[call->op->reduce.first].offset;
    const size_t total = tensors[call->op->reduce.last].offset + tensors[call->op->reduce.last].count - begin;
    size_t first, end;
    int32_t member;
    void *const *offers;
    if (group == NULL || host_group_member(group, call->prepared->device, &member, call->err) != ST_OK ||
        meeting_join(group->meeting, member, "all-reduce", call->prepared->gradients, &offers, call->err) !=
            ST_OK)
        return;
    host_group_share(group, member, total, &first, &end);
    average((double *const *)offers, group->count, begin + first, begin + end);
    meeting_join(group->meeting, member, "all-reduce", NULL, &offers, call->err);
}

enum status ref_group_average(struct device_group *group, struct device *device,
                              struct device_weights *weights, enum weight_slot slot, struct error *err)
{
    int32_t member;
    void *const *offers;
    enum status st = ref_check_slot(weights, slot, err);
    if (st == ST_OK)
        st = host_group_member(group, device, &member, err);
    if (st == ST_OK)
        st =
            meeting_join(group->meeting, member, "average of statistics", weights->slots[slot], &offers, err);
    if (st != ST_OK)
        return st;
    for (int32_t k = member; k < weights->table.count; k += group->count) {
        const struct weight_tensor *tensor = &weights->table.tensors[k];
        if (!weight_is_trained(tensor->role))
            average((double *const *)offers, group->count, tensor->offset, tensor->offset + tensor->count);
    }
    return meeting_join(group->meeting, member, "average of statistics", NULL, &offers, err);
}

enum status ref_group_broadcast(struct device_group *group, struct device *device,
                                struct device_weights *weights, enum weight_slot slot, int32_t root,
                                struct error *err)
{
    int32_t member;
    void *const *offers;
    enum status st = ref_check_slot(weights, slot, err);
    if (st == ST_OK)
        st = host_group_member(group, device, &member, err);
    if (st == ST_OK)
        st = meeting_join(group->meeting, member, "broadcast", weights->slots[slot], &offers, err);
    if (st != ST_OK)
        return st;
    if (member != root)
        memcpy(weights->slots[slot], offers[root], weights->table.total * sizeof(double));
    return meeting_join(group->meeting, member, "broadcast", NULL, &offers, err);
}
