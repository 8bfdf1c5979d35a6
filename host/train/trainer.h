/* A trainer: one network on one device or several, from its first step to its last, with evaluation, checkpoints
 * and limits.
 *
 *     trainer_prepare -> trainer_bind -> trainer_load_values / trainer_load_weights / trainer_restore -> trainer_run ->
 *     trainer_evaluate, trainer_values, trainer_keep -> trainer_close
 *
 * Everything that decides what a step computes lies in struct trainer_settings and struct trainer_state: a
 * trainer restored from a checkpoint goes on bit by bit as the one that wrote it (when limited by steps: with
 * a limit in seconds the clock decides where it stops; and the reference device's doubles are rounded to
 * floats).
 */
#ifndef NASRUN_TRAIN_TRAINER_H
#define NASRUN_TRAIN_TRAINER_H

#include "host/device/device.h"
#include "host/program/lower.h"
#include "host/train/schedule.h"
#include "spec/job.h"

/* A device with the data on it, as all trainers share it. */
struct trainer_device {
    const struct device_ops *ops;
    struct device *handle;
    struct device_dataset *dataset;
    const int32_t *train, *validation; /* sample lists; train may be shorter than the whole training part */
    int32_t train_count, validation_count;
    const uint8_t *label_sets; /* the data's, on the host (labels.h); NULL: each image is of one class */
};

struct trainer_settings {
    int32_t batch;
    struct optimizer optimizer;
    struct schedule schedule;
    struct augment augment;
    float label_smoothing;
    float focal;     /* gamma of the focal loss; 0: none */
    bool weighted;   /* the loss is multiplied by the dataset's class weights */
    float drop_path; /* of the last residual block, at the end: it grows with the progress (lower.h) */
    enum job_averaging averaging;
    float average;    /* decay of the weight average; 0: none */
    int32_t patience; /* validations; 0: never stop early */
    /* Images are smaller at first (progressive.h), where the network takes them. */
    bool progressive;
    /* In the last part of the training the validation images, but for those that are kept out, are trained on too: from
     * the first end of an epoch on that lies in it. They are validated on once more before, and never again. */
    bool use_validation;
    /* Of the dataset's images: each validation keeps the losses of its images (trainer_losses). NULL: none does. */
    const int32_t *labels;
    uint64_t seed;
};

/* The settings that a job asks for, with that batch, for which its learning rate is scaled; `seed` is the candidate's
 * own. */
void trainer_settings_of(const struct job_train *job, int32_t batch, uint64_t seed,
                         struct trainer_settings *settings);

/* Of `count` validation samples so many are never trained on, and tell how sure the final network's answers should be
 * (host/device/temperature.h): a quarter, at most 1000, spread evenly over the list. */
int32_t trainer_kept_out_count(int32_t count);
bool trainer_keeps_out(int32_t count, int32_t position);

/* Whether the job gives classes weights of their own. */
bool trainer_is_weighted(const struct job_train *job);

/* How many views the test takes: of those that the job allows, what the training has shown the network. */
int32_t trainer_views_of(const struct job_evaluate *evaluate, const struct job_train *train);

/* Where a training stands. All that a checkpoint holds beside the weights. */
struct trainer_state {
    uint32_t step;     /* steps done */
    uint32_t epoch;    /* epochs begun before this one */
    uint32_t position; /* samples of this epoch's order already used */
    uint32_t stale;    /* validations since the best validation loss */
    uint32_t averaged; /* 1: all members have the same running statistics */
    uint32_t joined;   /* since so many steps validation images are trained on too; 0: not yet */
    uint32_t begun;    /* steps that were another training's, which this one goes on from */
    uint32_t held;     /* 1: the learning rate no longer holds, and on_held was called */
    double best_loss;  /* validation; INFINITY before the first */
    /* of the last validation before the validation images were trained on */
    double joined_loss, joined_accuracy;
    double seconds;               /* of training and evaluation so far */
    double metrics[METRIC_COUNT]; /* since the last validation */
};

/* A training ends at whichever comes first. */
struct trainer_limit {
    double seconds; /* of trainer_state.seconds, the closing evaluation included; INFINITY: none */
    uint32_t steps; /* of its own; UINT32_MAX: none */
    /* No limit: training between two validations, at least. 0: each epoch is validated, and no clock decides
     * anything. */
    double validation_seconds;
};

struct trainer_result {
    double loss, accuracy;
};

/* One validated epoch (or the part of one before the limit); `train` and `images_per_second` are of all since the
 * validation before. Once the validation images are trained on, the same without a validation: that is NAN then. */
struct trainer_epoch {
    uint32_t epoch, step;
    struct trainer_result train, validation;
    double learning_rate, seconds;
    double images_per_second; /* while steps ran one behind the other, by the device's clock where it knows */
    double validation_seconds; /* of the evaluation on the validation samples; 0 without one */
};

/* Called by trainer_run. Any of them may end the training by returning other than ST_OK. */
struct trainer_events {
    void *context;
    enum status (*on_epoch)(void *context, const struct trainer_epoch *epoch, struct error *err);
    /* Every `tick_seconds` or so between two steps; for display, checkpoints and signals. Not with INFINITY: then it
     * may be NULL. */
    enum status (*on_tick)(void *context, const struct trainer_state *state, double progress,
                           struct error *err);
    double tick_seconds;
    /* With a schedule that holds: when the hold ends, or with it the training, before the closing evaluation. NULL:
     * nobody asks. */
    enum status (*on_held)(void *context, struct error *err);
};

/* Where another training stood, to be gone on from: its checkpoint's state and slots, on the host. */
struct trainer_past {
    struct trainer_state state;
    int32_t slots;                /* that there are: SLOT_VALUE, SLOT_AVERAGE and what the optimizer has */
    float *values[SLOT_GRADIENT]; /* of each slot, the network's weight table's total; NULL for others */
};

struct trainer;

/* Prepares programs on `count` devices of one kind, which share every batch (it has to be a multiple of `count`); their
 * devices have the same sample lists. With several, batch norm takes its statistics over a device's own rows, and the
 * calling thread drives the first device. The same devices give the same result; others differ in rounding and in those
 * statistics. `graph` is copied. Nothing large is allocated. With one device this may be done by a second thread while
 * the device's own uses it for another training (device.h), and so may the trainer_close of a trainer that was never
 * bound. */
enum status trainer_prepare(const struct trainer_device *devices, int32_t count, const struct graph *graph,
                            const struct trainer_settings *settings, struct trainer **prepared,
                            struct error *err);
/* Takes the memory of programs and empty weights. `bytes` receives the device bytes of all that, of the fullest device;
 * when they, and those of the group (trainer_group_bytes), are above `bytes_limit` it ends with ST_MEMORY before
 * anything else is allocated. On errors the trainer is good for trainer_close alone. */
enum status trainer_bind(struct trainer *trainer, size_t bytes_limit, size_t *bytes, struct error *err);
/* Both of them. */
enum status trainer_open(const struct trainer_device *devices, int32_t count, const struct graph *graph,
                         const struct trainer_settings *settings, size_t bytes_limit, struct trainer **opened,
                         size_t *bytes, struct error *err);
void trainer_close(struct trainer *trainer); /* NULL is allowed */
int32_t trainer_batch(const struct trainer *trainer);
/* Bytes that the bound trainer's group of devices has taken on each of them, for buffers of its own; 0 with one
 * device. */
size_t trainer_group_bytes(const struct trainer *trainer);

/* Bytes of a training's weight set on a device: all its slots, whatever the optimizer uses. */
size_t trainer_weights_bytes(const struct weight_table *table);
const struct weight_table *trainer_weights(const struct trainer *trainer);
const struct trainer_state *trainer_state(const struct trainer *trainer); /* lives as long as the trainer */

/* Sets weights from host values[table->total]; the optimizer's slots are cleared. */
enum status trainer_load_values(struct trainer *trainer, const float *values, struct error *err);
/* The same from the values of a weight set with this table on `owner`, one of this kind of device, to all members. */
enum status trainer_load_weights(struct trainer *trainer, struct device *owner,
                                 const struct device_weights *weights, struct error *err);
/* The weights that evaluation uses (the average where there is one) to the host: values[table->total]. */
enum status trainer_values(struct trainer *trainer, float *values, struct error *err);
/* The same into a new weight set of one slot on the first device; the caller's to free. */
enum status trainer_keep(struct trainer *trainer, struct device_weights **weights, struct error *err);

/* Evaluates on `samples` in their order. Does not touch the training state. */
enum status trainer_evaluate(struct trainer *trainer, const int32_t *samples, int32_t count,
                             struct trainer_result *result, struct error *err);

/* The loss on each of the device's validation samples, in their order, of the last validation; NULL where none were
 * kept. The trainer's. */
const float *trainer_losses(const struct trainer *trainer);

/* A test: an evaluation that looks at each image in several views and tells what was taken for what. */
struct trainer_test {
    const int32_t *samples;
    int32_t count;
    int32_t views; /* views.h */
    int32_t classes;
    const int32_t *labels;     /* of the dataset's images */
    const uint8_t *label_sets; /* the dataset's; NULL: each image is of one class */
    /* is added to; NULL: not wanted. Classes x classes, rows are the truth; with sets, of each class LABELS_COUNTS */
    int64_t *confusion;
    uint8_t *right; /* [count], of each image whether its answer was; NULL: not wanted */
    /* [count, classes], the probabilities: by all views together, and by the images as they are; NULL: not wanted */
    float *answers, *plain_answers;
    /* what was found: by all views together, as the confusion; and by the images as they are */
    struct trainer_result result, plain;
};

/* Does not touch the training state either. */
enum status trainer_test(struct trainer *trainer, struct trainer_test *test, struct error *err);

/* Trains until the limit, the patience's end or an event ends it. Ends with an evaluation on the validation
 * samples, whose result is *result; where these were trained on, it is that of the last one before. ST_DIVERGED when
 * the loss is no longer finite, at the latest after one epoch. */
enum status trainer_run(struct trainer *trainer, struct trainer_limit limit,
                        const struct trainer_events *events, struct trainer_result *result,
                        struct error *err);

/* How the steps of training, or of evaluation, are run: of the first member. Never waits. */
void trainer_report(const struct trainer *trainer, enum prog_purpose purpose, struct device_report *report);

/* Writes weights, optimizer slots and state, atomically; `note` is kept with it. May be called from on_tick.
 */
enum status trainer_checkpoint(struct trainer *trainer, const char *path, uint64_t note, struct error *err);
/* Checks a checkpoint file and reads its note, and how many steps were done. ST_FORMAT when it is damaged. */
enum status checkpoint_note(const char *path, uint64_t *note, uint32_t *steps, struct error *err);
/* Reads a checkpoint of a network with the same weights table. ST_FORMAT when it is torn or another's. */
enum status trainer_restore(struct trainer *trainer, const char *path, uint64_t *note, struct error *err);

/* Reads a checkpoint as a past, of a network with that table; of several members the first one's running statistics.
 * ST_FORMAT as above. On any status `past` is to be freed. */
enum status trainer_past_read(struct trainer_past *past, const char *path, const struct weight_table *table,
                              struct error *err);
void trainer_past_free(struct trainer_past *past); /* a zeroed one is allowed */
/* The slot that is evaluated with that decay of the weight average (train.average). */
const float *trainer_past_evaluated(const struct trainer_past *past, float average);
/* A new training that goes on from there: with its weights, its optimizer's slots, its place in the epoch. Steps,
 * seconds and progress of its own begin with 0. `past` is of the trainer's network. */
enum status trainer_go_on(struct trainer *trainer, const struct trainer_past *past, struct error *err);

#endif
