/* Groups of CPU devices: averages over the members, and broadcasts. Each member computes its share of an average with its
 * own team and writes it into everybody's buffers, always adding in the order of the members: no copies, and the same
 * bits in every run. */
#include "host/cpu/cpu_internal.h"
#include "host/program/host_group.h"

#include <string.h>

/* Values [first, end) of each buffer become their mean. */
static void average(float *const *buffers, int32_t count, size_t first, size_t end)
{
    const float share = 1.0f / (float)count;
#pragma omp parallel for schedule(static)
    for (size_t i = first; i < end; i++) {
        float sum = 0.0f;
        for (int32_t member = 0; member < count; member++)
            sum += buffers[member][i];
        for (int32_t member = 0; member < count; member++)
            buffers[member][i] = sum * share;
    }
}

enum status cpu_run_all_reduce(struct device_program *prepared, int32_t index, const struct step *step,
                               struct error *err)
{
    (void)step;
    struct device_group *group = prepared->binding.group;
    const struct prog_op *op = &prepared->program->ops[index];
    const struct weight_tensor *tensors = prepared->program->weights.tensors;
    const size_t begin = tensors[op->reduce.first].offset;
    const size_t total = tensors[op->reduce.last].offset + tensors[op->reduce.last].count - begin;
    size_t first, end;
    int32_t member;
    void *const *offers;
    if (group == NULL)
        return ST_OK;
    enum status st = host_group_member(group, prepared->device, &member, err);
    if (st == ST_OK)
        st = meeting_join(group->meeting, member, "all-reduce", prepared->memory + prepared->gradients,
                          &offers, err);
    if (st != ST_OK)
        return st;
    host_group_share(group, member, total, &first, &end);
    average((float *const *)offers, group->count, begin + first, begin + end);
    return meeting_join(group->meeting, member, "all-reduce", NULL, &offers, err);
}

enum status cpu_group_average(struct device_group *group, struct device *device,
                              struct device_weights *weights, enum weight_slot slot, struct error *err)
{
    int32_t member;
    void *const *offers;
    enum status st = cpu_check_slot(weights, slot, err);
    if (st == ST_OK)
        st = host_group_member(group, device, &member, err);
    if (st == ST_OK)
        st =
            meeting_join(group->meeting, member, "average of statistics", weights->slots[slot], &offers, err);
    if (st != ST_OK)
        return st;
    cpu_threads_enter(device);
    for (int32_t k = member; k < weights->table.count; k += group->count) {
        const struct weight_tensor *tensor = &weights->table.tensors[k];
        if (!weight_is_trained(tensor->role))
            average((float *const *)offers, group->count, tensor->offset, tensor->offset + tensor->count);
    }
    cpu_threads_leave(device);
    weights->version++;
    return meeting_join(group->meeting, member, "average of statistics", NULL, &offers, err);
}

enum status cpu_group_broadcast(struct device_group *group, struct device *device,
                                struct device_weights *weights, enum weight_slot slot, int32_t root,
                                struct error *err)
{
    int32_t member;
    void *const *offers;
    enum status st = cpu_check_slot(weights, slot, err);
    if (st == ST_OK)
        st = host_group_member(group, device, &member, err);
    if (st == ST_OK)
        st = meeting_join(group->meeting, member, "broadcast", weights->slots[slot], &offers, err);
    if (st != ST_OK)
        return st;
    if (member != root) {
        memcpy(weights->slots[slot], offers[root], weights->table.total * sizeof(float));
        weights->version++;
    }
    return meeting_join(group->meeting, member, "broadcast", NULL, &offers, err);
}
