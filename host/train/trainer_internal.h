/* The trainer's fields, for trainer.c, members.c and checkpoint.c alone.
 *
 * A training runs on one device or on a group of them. Each member has the network's weights, the same in all of them
 * after every step but for the running statistics, which are of its own rows until an evaluation wants their mean; and
 * its share of every batch and of every evaluation; what members do at the same time is done by a team, the calling
 * thread being member 0. A training with one member has no group, no threads and no collectives. */
#ifndef NASRUN_TRAIN_TRAINER_INTERNAL_H
#define NASRUN_TRAIN_TRAINER_INTERNAL_H

#include "host/base/thread_team.h"
#include "host/train/progressive.h"
#include "host/train/trainer.h"

struct member {
    struct trainer_device device;
    struct device_program *evaluation;
    /* for each size of the trainer; those that it has behind it are freed and NULL */
    struct device_program *training[PROGRESSIVE_SIZES];
    struct device_weights *weights;
    double metrics[METRIC_COUNT]; /* of its rows since the last validation, as last read or set */
    bool validates;               /* its evaluation program is bound to its share of the validation samples */
};

/* What is known of a program's steps by the device's clock. */
struct step_times {
    uint64_t steps; /* so far */
    double seconds; /* that they took */
    double mean;    /* of the last ones; 0: none is known yet */
};

struct trainer {
    struct trainer_settings settings;
    struct trainer_state state;
    struct graph graph;
    /* The images' sizes, with progressive resolution PROGRESSIVE_SIZES, else one; the last one is the full size. */
    int32_t sizes, size; /* the size at hand */
    /* Of one member's share of a batch; the training's for each size. */
    struct program training_programs[PROGRESSIVE_SIZES], evaluation_program;
    int32_t count;
    struct member *members; /* [count] */
    struct thread_team *team;
    struct device_group *group; /* NULL with one member */
    float *losses;              /* of the validation samples; NULL where none are kept */
    int32_t *joined;     /* the training samples and those of the validation; NULL before it is needed */
    double epoch_began;  /* trainer_state.seconds at the last validation, or when this process went on */
    double epoch_images; /* trained on since then */
    struct step_times training_times, evaluation_times;
    struct step_times epoch_times; /* training_times at the last validation, or when this process went on */
};

/* ---- trainer_open.c ---- */

/* How the program of `device`, one of `members`, is lowered. */
struct lower_options trainer_lower_options(const struct trainer_settings *settings,
                                           const struct trainer_device *device, int32_t members,
                                           enum prog_purpose purpose);

/* ---- members.c: what all members do ---- */

/* Calls `work` for each member's number, in the team's threads. */
enum status members_all(struct trainer *trainer, void *context,
                        enum status (*work)(void *context, int32_t member, struct error *err),
                        struct error *err);

/* The member's training program of the size at hand. */
struct device_program *member_training(const struct trainer *trainer, const struct member *member);

/* All members train with images of that size from now on, a later one than that at hand. The metrics that were read
 * last are kept. Waits for the devices. */
enum status members_resize(struct trainer *trainer, int32_t size, struct error *err);

/* Queues a step: `step` for the whole batch. */
enum status members_step(struct trainer *trainer, const struct step *step, struct error *err);

/* Reads every member's metrics; their sum becomes trainer->state.metrics. */
enum status members_metrics(struct trainer *trainer, struct error *err);
/* Gives the devices the members' metrics; the sum as above. */
enum status members_set_metrics(struct trainer *trainer, struct error *err);

/* values[weights.total] into that slot of all members. */
enum status members_upload(struct trainer *trainer, enum weight_slot slot, const float *values,
                           struct error *err);
/* `weights`' values into that slot of all members. */
enum status members_copy(struct trainer *trainer, enum weight_slot slot, struct device *owner,
                         const struct device_weights *weights, struct error *err);
/* values[weights.total] of member `number` alone, in that slot. */
enum status members_upload_one(struct trainer *trainer, int32_t number, enum weight_slot slot,
                               const float *values, struct error *err);
enum status members_download(struct trainer *trainer, int32_t number, enum weight_slot slot, float *values,
                             struct error *err);

/* The running statistics in that slot become their mean over the members, if a step was taken since. Before anybody
 * looks. */
enum status members_average(struct trainer *trainer, enum weight_slot slot, struct error *err);

/* Samples of an epoch in that state, its own or a checkpoint's. */
int32_t trainer_epoch_samples(const struct trainer *trainer, const struct trainer_state *state);
/* All members train on the validation images too, from now on: state.joined tells since when. For an epoch's end. */
enum status members_join(struct trainer *trainer, struct error *err);

/* Binds the member's training program of the size at hand to the samples of an epoch. Waits for the device. */
enum status member_bind_training(const struct trainer *trainer, const struct member *member,
                                 struct error *err);
/* Binds the member's evaluation program to those samples. Waits for the device. */
enum status member_bind_evaluation(const struct trainer *trainer, const struct member *member,
                                   const int32_t *samples, int32_t count, struct error *err);

/* What is evaluated: fields as in struct trainer_test. Several views want answers, a confusion or losses. */
struct members_evaluation {
    const int32_t *samples;
    int32_t count, views, classes;
    const int32_t *labels;
    const uint8_t *label_sets;      /* NULL: labels are classes */
    int64_t *confusion;             /* NULL: not wanted */
    uint8_t *right;                 /* beside a confusion; NULL: not wanted */
    float *losses;                  /* of each sample; NULL: not wanted */
    float *answers, *plain_answers; /* NULL: not wanted. Labels, sets and classes are for these five alone */
};

/* Sums over the samples; plain: those of the images as they are, the same with one view. */
enum status members_evaluate(struct trainer *trainer, const struct members_evaluation *wanted,
                             double metrics[METRIC_COUNT], double plain[METRIC_COUNT], struct error *err);

#endif
