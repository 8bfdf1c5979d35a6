/* The rules of the device interface (device.h), kept once for all devices.
 *
 * What callers get of a device is the table that DEVICE_CHECKED_OPS makes. Its functions that have rules are the
 * checks': they look at what they are given and then call the device's own, which may rely on it and check nothing
 * again. A device puts those of its own into a second table, which nobody but the checks sees, and its `open` names
 * that in the new device's base; functions without rules are named in DEVICE_CHECKED_OPS. So no device can forget a
 * rule.
 *
 * What is checked, and answered with ST_RANGE unless it says otherwise:
 *   datasets   at least one image, of 1 to DEVICE_MOST_CHANNELS channels; labels are classes or, with sets, of which
 *              there is at least one, sets, and these hold 0 and 1 alone; deviations above 0, class weights not below
 *   weights    a set has 1 to SLOT_GRADIENT slots, and is asked for those alone; copies are between sets of one
 *              network; remaps name tensors that there are
 *   groups     of at least one device, each of the same kind, once, and in no other group; a collective is called by
 *              a member, a broadcast comes from one
 *   bindings   images, classes and weights are the program's, and labels are sets when those of its loss are; samples
 *              are images; the average is there when it is to be read, and all slots when it trains; the program is
 *              lowered for Muon when that is the optimizer; the group is the one that the device is in
 *   programs   are bound before a step, and before anything is read or written of them but metrics; a bind that failed
 *              leaves none. A step's rows are at most a batch and lie among the samples; operations and tensors are
 *              the program's; no tensor that is a weight is set (ST_UNSUPPORTED: it is uploaded); probabilities are an
 *              evaluation's */
#ifndef NASRUN_DEVICE_CHECKS_H
#define NASRUN_DEVICE_CHECKS_H

#include "host/device/device.h"

#include <stddef.h>

enum { DEVICE_MOST_CHANNELS = 4 }; /* as many as struct dataset_view has means */

/* How each of a device's objects begins: its first member is called `base`. All but `own` is written by the checks,
 * when they have made the object; the device may read it. */
struct device_base {
    const struct device_ops *own; /* written by `open`: the functions that have rules, and no other */
    struct device_group *group;   /* that it is in; NULL: none */
};
struct device_dataset_base {
    int32_t count, channels, height, width, classes;
    bool weighted; /* it has class weights */
    bool sets;     /* its labels are sets of classes */
};
struct device_weights_base {
    struct weight_table table; /* a copy */
    int32_t slots;             /* the first ones that it has */
};
struct device_group_base {
    int32_t count;
    struct device **members; /* [count] */
};
struct device_program_base {
    const struct program *program;
    int32_t samples; /* of the binding; 0: not bound */
};

/* Of struct device_ops. */
enum status checked_dataset_upload(struct device *device, const struct dataset_view *view,
                                   struct device_dataset **dataset, struct error *err);
enum status checked_weights_new(struct device *device, const struct weight_table *table, int32_t slots,
                                struct device_weights **weights, struct error *err);
void checked_weights_free(struct device *device, struct device_weights *weights);
enum status checked_weights_upload(struct device *device, struct device_weights *weights,
                                   enum weight_slot slot, const float *values, struct error *err);
enum status checked_weights_download(struct device *device, struct device_weights *weights,
                                     enum weight_slot slot, float *values, struct error *err);
enum status checked_weights_copy(struct device *device, struct device_weights *weights, enum weight_slot to,
                                 struct device *owner, const struct device_weights *source,
                                 enum weight_slot from, struct error *err);
enum status checked_weights_remap(struct device *device, struct device_weights *child,
                                  const struct device_weights *parent, enum weight_slot from,
                                  const struct remap_list *remaps, uint64_t seed, struct error *err);
enum status checked_group_open(struct device *const *devices, int32_t count, double timeout,
                               struct device_group **group, struct error *err);
void checked_group_close(struct device_group *group);
enum status checked_group_average(struct device_group *group, struct device *device,
                                  struct device_weights *weights, enum weight_slot slot, struct error *err);
enum status checked_group_broadcast(struct device_group *group, struct device *device,
                                    struct device_weights *weights, enum weight_slot slot, int32_t root,
                                    struct error *err);
enum status checked_program_prepare(struct device *device, const struct program *program,
                                    struct device_program **prepared, struct error *err);
enum status checked_program_bind(struct device *device, struct device_program *prepared,
                                 const struct device_binding *binding, struct error *err);
enum status checked_program_run(struct device *device, struct device_program *prepared,
                                const struct step *step, struct error *err);
enum status checked_program_probabilities(struct device *device, struct device_program *prepared,
                                          float *probabilities, struct error *err);
enum status checked_program_tensor(struct device *device, struct device_program *prepared, int32_t id,
                                   float *values, struct error *err);
enum status checked_program_set_tensor(struct device *device, struct device_program *prepared, int32_t id,
                                       const float *values, struct error *err);
enum status checked_program_run_op(struct device *device, struct device_program *prepared, int32_t op,
                                   const struct step *step, struct error *err);

/* Defines the table NAME that callers get. Behind it come the members that have no rules: .kind, .on_host, .open,
 * .close, .info and so on. Stands where the device's objects are defined. */
#define DEVICE_CHECKED_OPS(NAME, ...)                                                                        \
    _Static_assert(offsetof(struct device, base) == 0 && offsetof(struct device_dataset, base) == 0 &&       \
                       offsetof(struct device_weights, base) == 0 &&                                         \
                       offsetof(struct device_group, base) == 0 &&                                           \
                       offsetof(struct device_program, base) == 0,                                           \
                   "a device's objects begin with their bases");                                             \
    const struct device_ops NAME = {.version = DEVICE_INTERFACE_VERSION,                                     \
                                    .dataset_upload = checked_dataset_upload,                                \
                                    .weights_new = checked_weights_new,                                      \
                                    .weights_free = checked_weights_free,                                    \
                                    .weights_upload = checked_weights_upload,                                \
                                    .weights_download = checked_weights_download,                            \
                                    .weights_copy = checked_weights_copy,                                    \
                                    .weights_remap = checked_weights_remap,                                  \
                                    .group_open = checked_group_open,                                        \
                                    .group_close = checked_group_close,                                      \
                                    .group_average = checked_group_average,                                  \
                                    .group_broadcast = checked_group_broadcast,                              \
                                    .program_prepare = checked_program_prepare,                              \
                                    .program_bind = checked_program_bind,                                    \
                                    .program_run = checked_program_run,                                      \
                                    .program_probabilities = checked_program_probabilities,                  \
                                    .program_tensor = checked_program_tensor,                                \
                                    .program_set_tensor = checked_program_set_tensor,                        \
                                    .program_run_op = checked_program_run_op,                                \
                                    __VA_ARGS__}

#endif
