/* A run in progress: everything the engine holds. One struct, opened by engine.c.
 *
 * Who works on it: the main thread, which decides (stage.c, coordinator.c), and one worker a device, which trains
 * candidates (workers.c, candidate.c). Workers take `lock` for what they share with others: journal, display, memory,
 * and whatever they read of the fields below the line, which the main thread changes under it.
 */
#ifndef NASRUN_RUN_RUN_H
#define NASRUN_RUN_RUN_H

#include "host/data/dataset.h"
#include "host/device/device.h"
#include "host/journal/journal.h"
#include "host/machine/devices.h"
#include "host/machine/energy.h"
#include "host/machine/memory.h"
#include "host/machine/weight_cache.h"
#include "host/model/model_file.h"
#include "host/net/whitening.h"
#include "host/run/batch.h"
#include "host/run/display.h"
#include "host/run/start_files.h"
#include "host/run/supervisor.h"
#include "host/search/search.h"
#include "host/train/trainer.h"
#include "spec/job.h"

#include <pthread.h>
#include <stdatomic.h>

/* Trainings side by side on each device (sharing.h). */
struct run_sharing {
    int32_t workers; /* 0: not found yet */
    /* images a second on a device: of one training, of all side by side; 0: not measured */
    double alone, together;
    size_t bytes; /* of a device that the one training takes; 0: not measured */
};

/* The last final fit that went well. */
struct run_final {
    int32_t id, parent;   /* -1: none */
    uint64_t fingerprint; /* of its network */
    bool joined;          /* it has been trained on the validation images too */
};

/* What the search is measured by (baseline.h). */
struct run_baseline {
    struct search *search; /* without candidates: it proposes the network; NULL: there is no baseline */
    struct run_final last; /* that was tested */
    double spent;          /* that it had had, with those that it went on from: seconds, or steps */
    double began;          /* the run time when the one in hand began; NAN: none is */
};

/* Joules of the run's stages, without baselines. A stage that another process began is not known whole, so that none
 * behind it is. */
struct run_energy {
    struct energy_meter *meter; /* NULL: nothing counts */
    double began;               /* what it showed when the stage in hand began */
    double spent;               /* in those before it; NAN: unknown */
};

/* What the last stage's test found of its model (answers.h). */
struct run_calibration {
    int32_t id; /* -1: there was none */
    float temperature, plain_temperature;
    double *label_thresholds;     /* [classes], where images have several labels; else NULL */
    char hash[MODEL_HASH_LENGTH]; /* of model.safetensors with them */
};

/* The hashes of a model's files, as they were written. */
enum run_file { RUN_MODEL, RUN_LOSSES, RUN_FILES };
struct run_hash {
    char text[RUN_FILES][MODEL_HASH_LENGTH]; /* "": not known, there is none or an older version wrote it */
};

struct run {
    const struct job *job;
    char *folder;
    struct dataset data; /* pixels NULL: they are on the device */
    struct devices devices;
    const struct device_ops *ops;   /* the devices' */
    struct device_info device_info; /* the first one's; the others are taken to be like it */
    struct cost_rates rates;        /* its rates, those of a calibration where there was one */
    struct whitening whitening;     /* of the training images */
    struct start_files files;       /* those among search.starts */
    struct batches batches;
    struct run_sharing sharing;
    int32_t window; /* candidates that may be under way (coordinator.h) */
    struct weight_cache *weights;
    struct engine_history *history; /* who was in training when the engine ends before its time */
    atomic_bool stop;               /* trainings are to save themselves and end */
    double clock_start;             /* clock_seconds at which run time was clock_base */
    double clock_base;

    pthread_mutex_t lock;      /* of all that follows */
    pthread_mutex_t admission; /* held from the look at free memory until it is taken */
    /* ---- */
    struct journal journal;
    struct display display;
    struct memory memory;
    struct search *search;
    struct search_limits limits; /* the job's (limits.h) */

    double report_seconds; /* that report and plots took when they were written last; 0: not known */
    double first_step;     /* seconds from the program's start to the first training step; 0 before it */
    double stage_began;    /* run time */
    int32_t stage;         /* index into the budget's list */
    bool stage_open;       /* its stage event is in the journal */
    bool stage_tested;     /* and its test, but its baseline is still to come */
    uint8_t *right;        /* then: of each test image whether the best model's answer was */
    double opened;         /* run time when the first stage began */
    double aside;          /* seconds of run time that baselines of earlier stages took */
    uint32_t steps_done;   /* in all trainings that were observed, in this and earlier stages */
    uint32_t stage_steps;  /* steps_done when the stage began */
    uint32_t steps_coming; /* at most, in trainings that are not observed yet; with a budget in steps */
    int32_t models;        /* observed in all, failures counted, final fits not */
    int32_t coming;        /* proposed and not observed yet */
    int32_t next_id;
    int32_t best_id;  /* -1: none */
    bool best_joined; /* it was trained on validation images, too */
    struct run_calibration calibration;
    int32_t published_id;            /* the model that this process has put into model.safetensors; -1 */
    double best_accuracy, best_loss; /* validation */
    struct run_final final;
    struct run_baseline baseline;
    struct run_energy energy;
    /* of the job's starting networks, within its limits; without layers where one can't be made for these images */
    struct graph *starts;
    int32_t start_count;
    struct run_hash *hashes; /* [hash_count], by id */
    int32_t hash_count;
    int32_t lost_id;            /* a model that was needed and whose file is gone or damaged; -1 */
    char failure[ERROR_LENGTH]; /* why the candidate that failed last did; "" */
    /* the model's clock (budget.clock): of all tests, and trainings that were observed */
    double model_seconds;
    double model_seconds_coming; /* at most, of trainings that are not observed yet */
    bool calibrated;             /* seconds_per_image was measured */
    double seconds_per_image;    /* measured over predicted training time of the last model; 1 before */
    /* measured evaluation time over predicted training time of an image, on one device; 0 before */
    double evaluation_factor;
    double beside; /* seconds that a candidate takes beside its training, as measured; 0 before */
    /* What the journal tells of this stage's candidates, to be gone through again (resume.h): by id, [past_count]. */
    struct candidate **past;
    int32_t past_count;
    /* Candidates that were in training when the engine was killed: nothing else trains beside them. */
    int32_t suspects[DEVICES_MOST];
    int32_t suspect_count;
};

/* Seconds of work on this run so far, over all processes that worked on it; by the clock that budget.clock names. */
double run_time(const struct run *run);

/* The data's images, as a network takes them. */
struct shape run_image(const struct run *run);

/* What the run's search is opened with, and what starting networks are made with before. */
struct search_setup run_search_setup(const struct run *run);

/* A device as trainers see it, with the images that a final fit, or another candidate, trains on. */
struct trainer_device run_trainer_device(const struct run *run, int32_t device, bool final);

/* FOLDER/NAME, malloc'd; NULL when out of memory. */
char *run_path(const struct run *run, const char *name);

/* "FOLDER/models/ID.safetensors", "FOLDER/checkpoint-ID.bin": malloc'd, NULL when out of memory. */
char *run_model_path(const struct run *run, int32_t id);
/* "FOLDER/models/ID.state", where it stood when its learning rate had held; "FOLDER/models/ID.losses". */
char *run_state_path(const struct run *run, int32_t id);
char *run_losses_path(const struct run *run, int32_t id);
char *run_checkpoint_path(const struct run *run, int32_t id);

/* pthread_mutex_lock and _unlock of run->lock. */
void run_lock(struct run *run);
void run_unlock(struct run *run);

#endif
