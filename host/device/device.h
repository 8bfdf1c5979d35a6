/* The device interface. A device owns memory in its own layout and types and runs programs; the host never sees a
 * layout: what goes up and comes down is float32 in the order of the weight table, or uint8 images N,C,H,W.
 *     device_open -> dataset_upload -> weights_new, weights_upload -> program_prepare (no tensor memory yet: `bytes` is
 *     exact) -> program_bind -> program_run ... -> program_metrics -> weights_download
 *
 * program_run is asynchronous: it returns when the step is queued, and waits only where the host would be more than a
 * few steps ahead (in a group the first steps after a bind may wait for the other members). Functions that read
 * (…_metrics, …_download, …_probabilities) wait for what was queued. No function but prepare, bind, new, upload and
 * remap allocates. One thread at a time may use a device and what belongs to it, with one exception: other threads
 * may prepare programs (program_prepare, program_bytes, program_free of one that was never bound) while the first
 * uses the device for anything else. All objects of a device are freed before it is closed; …_free allows NULL. What
 * a caller may not do is checked once for all devices, and answered with an error: checks.h says what.
 */
#ifndef NASRUN_DEVICE_DEVICE_H
#define NASRUN_DEVICE_DEVICE_H

#include "host/base/labels.h"
#include "host/device/augment.h"
#include "host/device/optimizer.h"
#include "host/net/remap.h"
#include "host/program/program.h"

#include <stdbool.h>

enum { DEVICE_INTERFACE_VERSION = 10 };

struct device;
struct device_group;
struct device_dataset;
struct device_weights;
struct device_program;

/* What activations are kept and multiplied in. Weights, statistics and sums are float32 in all of them. A device that
 * lacks what is asked for says ST_UNSUPPORTED when it is opened; ref has doubles, whatever is asked for. */
enum device_precision {
    /* The fastest that trains without further care: bf16 where the hardware has it, else float32. A CPU's bf16 may be
     * slower than its float32: it measures a convolution. */
    PRECISION_AUTO,
    PRECISION_BF16,
    PRECISION_FP16, /* the loss is scaled; see cuda/kernels/kernels.h */
    PRECISION_TF32, /* float32, multiplied with ten bits of mantissa */
    PRECISION_FP32,
};

struct device_options {
    int32_t index;   /* which of its kind */
    int32_t count;   /* CPU only: how many of its kind share the cores; 0 as 1 */
    int32_t threads; /* CPU only; 0: as many as the process may use, divided by count */
    enum device_precision precision;
    /* With PRECISION_AUTO: of bf16 and fp32 what a run began in that is gone on with; taken where the device has it,
     * and nothing is measured for that. PRECISION_AUTO: there is none. */
    enum device_precision before;
    /* For tests: what a device takes does not hang on a clock. GPUs measure nothing, neither at open nor to choose
     * algorithms, of which the first that works is taken; for a CPU, auto is float32. */
    bool untimed;
};

struct device_info {
    char name[128];   /* "cpu:0 AMD EPYC 7B13, 2 threads, oneDNN 2.6.3" */
    char library[16]; /* what it computes with, "onednn" or "cuda"; "": its own loops alone */
    /* Of that and what belongs to it: "2.6.3"; "driver for CUDA 13.0, CUDA 13.0, cuDNN 9.19.0". */
    char versions[128];
    int32_t threads;     /* CPU threads or multiprocessors */
    size_t memory_total; /* bytes */
    size_t memory_free;
    /* Operations a second of a mid-sized convolution, measured at open in well under a second; 0: unknown. */
    double flops;
    double bytes;                    /* bytes a second of its memory, likewise */
    bool prepares_slowly;            /* program_prepare chooses by trying: time that a training may hide */
    enum device_precision precision; /* what it took; PRECISION_AUTO: none of these (ref) */
    /* The unit roundoff of an activation, the most that rounding to the nearest moves it, relative: 2^-p for p digits,
     * the hidden one included. 2^-24 where they are float32, 2^-8 for bf16, 2^-11 for fp16; or of what is multiplied,
     * where that is coarser: 2^-10 for tf32, whose last digit may be cut off. */
    double rounding;
};

/* Images resident on a device. Pixels are copied; the sample lists are the splits. Other struct devices of the same
 * kind and index may bind them too, each in its own thread; the one that they were uploaded to frees them, and closes
 * last. */
struct dataset_view {
    int32_t count, channels, height, width, classes;
    const uint8_t *pixels; /* count x channels x height x width */
    const int32_t *labels; /* count, in [0, classes) or, with sets, in [0, label_set_count) */
    /* label_set_count x classes, as labels.h has them; copied; NULL: each image is of one class */
    const uint8_t *label_sets;
    int32_t label_set_count;
    float mean[4], deviation[4]; /* per channel, of value / 255, training part only */
    /* [classes]: what a class's loss is multiplied by, with sets its positive part; copied; NULL: none */
    const float *class_weights;
};

/* What the optimizer takes a trained tensor for. */
static inline enum optimizer_part weight_part(const struct weight_tensor *tensor)
{
    return tensor->hidden                  ? OPTIMIZER_HIDDEN
           : tensor->role == WEIGHT_KERNEL ? OPTIMIZER_KERNEL
           : tensor->role == WEIGHT_SCALE  ? OPTIMIZER_SCALE
                                           : OPTIMIZER_BIAS;
}

/* Which samples a program reads. `samples` are indices into the dataset, copied at bind. */
struct device_binding {
    struct device_weights *weights;
    struct device_dataset *dataset;
    const int32_t *samples;
    int32_t sample_count;
    int32_t shuffled;           /* see gather_position */
    int32_t use_average;        /* evaluation reads the averaged weights instead of the values */
    struct device_group *group; /* whose members all-reduce; NULL: the device is alone */
    struct augment augment;     /* train only */
    struct optimizer optimizer; /* train only */
};

/* What changes from step to step. */
struct step {
    uint64_t seed;
    uint32_t number; /* steps done before this one: dropout's counter, AdamW's t - 1 */
    uint32_t epoch;
    uint32_t first; /* position of row 0 in the epoch's order */
    /* Place of row 0 in the batch of all members of a group; 0 alone. Dropout counts from there. */
    uint32_t row;
    int32_t valid; /* rows that count, 1 .. batch */
    float learning_rate;
    /* average += (1 - average_decay) * (value - average), which leaves a weight that is not trained as it is; 1: the
     * averages stay as they are */
    float average_decay;
    /* 1: the values then become the averages (Zhang et al. 2019, "Lookahead Optimizer") */
    int32_t look_ahead;
    float drop_path;          /* what the rates of drop path are multiplied by, in [0, 1] (drop_path.h) */
    struct augment_view view; /* all zero but in evaluations that look at images in several ways (views.h) */
};

/* How a program's steps are run, and how long they take by the device's clock. */
struct device_report {
    /* Pieces of the recorded step that is replayed; 0: each is queued by itself, or the device records none. */
    int32_t recorded;
    int32_t failures; /* steps that could not be recorded: they run all the same, but slower */
    uint64_t steps;   /* whose time is known: those that somebody has waited for, but for the first ones */
    double seconds;   /* that these took, one behind the other */
    char reason[ERROR_LENGTH]; /* of the last one, with the operation where it happened; "" */
};

/* The parts of a weight set. GRADIENT belongs to programs and is listed for tests. */
enum weight_slot { SLOT_VALUE, SLOT_AVERAGE, SLOT_FIRST, SLOT_SECOND, SLOT_GRADIENT, SLOT_COUNT };

struct device_ops {
    uint32_t version; /* DEVICE_INTERFACE_VERSION */
    const char *kind; /* "ref", "cpu", "cuda" */
    bool on_host;     /* its memory and its processors are the host's own */

    enum status (*open)(const struct device_options *options, struct device **device, struct error *err);
    void (*close)(struct device *device);
    void (*info)(struct device *device, struct device_info *info);
    /* Joules that its hardware has used since some moment, for whomever; NAN: no counter can be read now. NULL: it has
     * none of its own. */
    double (*energy)(struct device *device);

    enum status (*dataset_upload)(struct device *device, const struct dataset_view *view,
                                  struct device_dataset **dataset, struct error *err);
    void (*dataset_free)(struct device *device, struct device_dataset *dataset);

    /* Host memory that the device copies to and from at its fastest (pinned, where that means something). Any thread
     * may call; host_free allows NULL. */
    enum status (*host_allocate)(struct device *device, size_t bytes, void **memory, struct error *err);
    void (*host_free)(struct device *device, void *memory);

    /* A weight set with the first `slots` slots, zeroed: 1 for values alone (models that are kept, or only answer),
     * SLOT_GRADIENT for all that a training needs. `table` is copied. */
    enum status (*weights_new)(struct device *device, const struct weight_table *table, int32_t slots,
                               struct device_weights **weights, struct error *err);
    void (*weights_free)(struct device *device, struct device_weights *weights);
    /* values[table->total], exact both ways: upload then download returns the same bits. */
    enum status (*weights_upload)(struct device *device, struct device_weights *weights,
                                  enum weight_slot slot, const float *values, struct error *err);
    enum status (*weights_download)(struct device *device, struct device_weights *weights,
                                    enum weight_slot slot, float *values, struct error *err);
    /* Copies slot `from` of `source`, a set of `owner` (this device or another of its kind), to slot `to` of
     * `weights`; the tables are one network's. `owner`'s own thread may go on meanwhile, but not change or free
     * `source`. Waits. */
    enum status (*weights_copy)(struct device *device, struct device_weights *weights, enum weight_slot to,
                                struct device *owner, const struct device_weights *source,
                                enum weight_slot from, struct error *err);
    /* Fills the child's VALUE and AVERAGE from the parent's slot `from`; clears FIRST and SECOND. Slots that the child
     * lacks are left out. */
    enum status (*weights_remap)(struct device *device, struct device_weights *child,
                                 const struct device_weights *parent, enum weight_slot from,
                                 const struct remap_list *remaps, uint64_t seed, struct error *err);

    /* Groups: `count` devices of this kind in one process that train one network together, each driven by a thread of
     * its own. A collective (program_run of a program with all-reduce operations, group_average, group_broadcast) has
     * to be called by every member's thread, in the same order, and before a step the program is bound anew by all of
     * them or by none. Sums are formed in one order: the same members give the same bits. Who waits for others longer
     * than `timeout` seconds gets ST_DEVICE with one line that names the members that are missing, and the group is
     * broken from then on: every later call gets ST_DEVICE. The devices of a group outlive it. */
    enum status (*group_open)(struct device *const *devices, int32_t count, double timeout,
                              struct device_group **group, struct error *err);
    /* Programs that were bound to it are freed before, or bound without it. What is still queued is broken off. */
    void (*group_close)(struct device_group *group);
    /* Breaks the group: collectives that wait end soon with ST_DEVICE, `reason` in their message. From any thread. */
    void (*group_abort)(struct device_group *group, const char *reason);
    /* ST_DEVICE when the group is broken, or when what was queued has failed or is overdue. From any thread; never
     * waits: a watchdog calls it now and then. */
    enum status (*group_check)(struct device_group *group, struct error *err);
    /* Device bytes that the group itself has taken, on the member where that is most. */
    size_t (*group_bytes)(const struct device_group *group);
    /* A collective: the running statistics in slot `slot` of all members' weights become their mean. Each member
     * updates its own from its own rows, and nothing but an evaluation reads them. `device` says who calls. */
    enum status (*group_average)(struct device_group *group, struct device *device,
                                 struct device_weights *weights, enum weight_slot slot, struct error *err);
    /* A collective: slot `slot` of member `root`'s weights goes to all others. `device` says who calls. */
    enum status (*group_broadcast)(struct device_group *group, struct device *device,
                                   struct device_weights *weights, enum weight_slot slot, int32_t root,
                                   struct error *err);

    /* Chooses algorithms, layouts and offsets. `program` is kept and must outlive the result. */
    enum status (*program_prepare)(struct device *device, const struct program *program,
                                   struct device_program **prepared, struct error *err);
    void (*program_free)(struct device *device, struct device_program *prepared);
    /* Device bytes that bind takes: arena, workspaces, gradients. Exact, known before bind. The copy of the sample list
     * (4 bytes a sample) comes on top: its length is known only then. */
    size_t (*program_bytes)(const struct device_program *prepared);
    /* Allocates (once) and connects. May be called again to change weights, samples or settings. */
    enum status (*program_bind)(struct device *device, struct device_program *prepared,
                                const struct device_binding *binding, struct error *err);
    enum status (*program_run)(struct device *device, struct device_program *prepared,
                               const struct step *step, struct error *err);
    /* Never waits, and asks nothing of the device. */
    void (*program_report)(const struct device_program *prepared, struct device_report *report);
    enum status (*program_metrics)(struct device *device, struct device_program *prepared,
                                   double metrics[METRIC_COUNT], struct error *err);
    /* Sets the accumulated metrics (zeros: a reset; other values: a resume). */
    enum status (*program_set_metrics)(struct device *device, struct device_program *prepared,
                                       const double metrics[METRIC_COUNT], struct error *err);
    /* probabilities[batch x classes] of the last step of an evaluation program. */
    enum status (*program_probabilities)(struct device *device, struct device_program *prepared,
                                         float *probabilities, struct error *err);
    /* For tests: tensor `id` of the last step as float32 in N,C,H,W order (labels as floats). The arena may have reused
     * its place when its last use lies before the program's end. */
    enum status (*program_tensor)(struct device *device, struct device_program *prepared, int32_t id,
                                  float *values, struct error *err);
    /* For tests: writes an arena or gradient tensor before program_run_op. */
    enum status (*program_set_tensor)(struct device *device, struct device_program *prepared, int32_t id,
                                      const float *values, struct error *err);
    /* For tests and benchmarks: runs operation `op` alone. */
    enum status (*program_run_op)(struct device *device, struct device_program *prepared, int32_t op,
                                  const struct step *step, struct error *err);
};

extern const struct device_ops ref_device_ops; /* host/ref: double precision, plain loops */
extern const struct device_ops cpu_device_ops; /* host/cpu: oneDNN */

#endif
