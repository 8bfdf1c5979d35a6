/* The history of a run: what its journal says, put in order for reports and plots. Several candidates may be in
 * training at the same time, so their events are mixed and they finish in any order; an event belongs to the candidate
 * whose id it has. */
#ifndef NASRUN_REPORT_HISTORY_H
#define NASRUN_REPORT_HISTORY_H

#include "host/base/error.h"
#include "host/journal/events.h"
#include "host/net/graph.h"
#include "host/report/metrics.h"
#include "spec/job.h"

#include <stdbool.h>
#include <stdint.h>

/* A number that the journal lacks is NAN. */

struct history_point { /* one epoch of one model */
    int64_t epoch;
    double time; /* seconds since the run began */
    double loss, accuracy;
    double validation_loss, validation_accuracy;
};

/* Of a candidate, where they are not the job's; else NAN: those that a search may choose. */
struct history_hyperparameters {
#define HISTORY_HYPERPARAMETER(name, usual_scale) double name;
    JOB_SEARCHED(HISTORY_HYPERPARAMETER)
#undef HISTORY_HYPERPARAMETER
};

struct history_data { /* what was loaded; a number that older journals lack is -1, a text NULL */
    int32_t train, validation, test; /* images */
    int32_t image[3];                /* channels, height, width */
    int32_t few, least, most; /* classes of few images; images of the smallest and of the largest class */
    char *least_class, *most_class;
};

struct history_start_file { /* a file among search.starts */
    char *path, *hash;
    char *name, *license; /* of the network, of its weights, as the file says; NULL: it does not */
    bool keeps_head;      /* its last layer is not replaced */
};

struct history_model { /* one candidate */
    int64_t id;
    int32_t batch;                 /* images of a step; -1: unknown */
    int64_t parameters;            /* -1: unknown */
    double flops;                  /* of a forward pass, for one image; NAN: unknown */
    int32_t layers;                /* of its graph; -1: unknown */
    bool final;                    /* the final fit of a stage */
    bool baseline;                 /* a stage's training without a search, which is no final fit */
    int64_t parent, compared_with; /* ids; -1: none */
    int32_t morphs;                /* that made it of its parent */
    double gain, gain_deviation;   /* over the one that it was compared with, in loss; of a finished model */
    bool finished;                 /* has a model event; else still in training, stopped or failed */
    bool failed;
    bool informed;              /* chosen by what earlier runs have shown (search.prior) */
    bool smaller;               /* its batch, than the job's */
    double time;                /* when it finished */
    double validation_accuracy; /* of the finished model */
    double validation_loss;     /* likewise; NAN before */
    int64_t steps, epochs;      /* that it was trained; -1 before */
    int32_t stage;              /* from 0 */
    char *hash;                 /* of its file; NULL: unknown */
    char *made_by;              /* what made it of its parent, in words */
    char *start;                /* the starting network that it is; NULL: none */
    struct history_hyperparameters hyperparameters;
    struct history_point *points;
    int32_t point_count, point_capacity;
};

/* A stage's training without a search on the test set. */
struct history_baseline {
    int64_t id; /* -1: there is none */
    double accuracy, plain_accuracy;
    int32_t views;
    int64_t better, worse; /* images that the stage's model alone, and the baseline alone, answers right */
};

/* What the changes on a trunk have shown, of all stages until then. */
struct history_branches {
    int32_t rounds, changes, accepted; /* finished changes */
    int32_t morphs;                    /* of these, those that are one */
    double gain, gain_deviation;       /* of such a one in validation loss, the mean */
    double gained_accuracy;            /* likewise, on the validation images */
};

struct history_test { /* one stage's evaluation on the test set */
    int64_t stage, id;
    double accuracy, loss;                  /* by all views together */
    int32_t views;                          /* of each image; -1: unknown, which is one */
    double plain_accuracy;                  /* by the images as they are */
    double budget_seconds, elapsed_seconds; /* the budget is NAN where it is not counted in time */
    int64_t models;                         /* tried */
    int32_t failed;                         /* candidates that failed until then, of all stages */
    int32_t smaller;                        /* trained with a smaller batch for want of memory, likewise */
    int32_t informed;                       /* chosen by search.prior, likewise */
    int64_t max_parameters;                 /* the job's limits of networks; -1: none */
    double max_flops, max_latency_ms;       /* NAN: none */
    double latency_ms;                      /* of the model, measured; NAN: unknown */
    char *latency_device;                   /* where; "" when unknown */
    double cost_per_hour;                   /* NAN: unknown */
    char *currency;                         /* of that; NULL */
    double energy;                          /* joules until then; NAN: unknown */
    char *energy_source;                    /* what counted them; NULL */
    int64_t images;                         /* that were tested */
    /* [true class * classes + predicted class]; NULL where images have several labels, of which these tell: */
    int64_t *counts;
    struct label_results labels; /* at the model's thresholds; else all zeros */
    int64_t *counts_at_half;     /* [classes * LABELS_COUNTS], of answers that are given from 0.5 on */
    double *thresholds;          /* [classes] */
    int32_t *threshold_images;   /* [classes]: unseen validation images that have the label */
    /* of calibration (events.def); numbers that older journals lack are NAN or -1, texts NULL */
    double temperature, plain_temperature, calibrated_loss, calibration_error, calibrated_error, top5;
    int32_t calibrated_by;
    char *published, *predictions; /* hashes of model.safetensors and predictions.csv */
    char *date, *host;             /* when and where it was tested */
    struct event_budget amounts;   /* of the budget */
    char *budget;                  /* "3600 s", "500 steps", "12 models"; "" when unknown */
    bool awaits_baseline;          /* which is still to come */
    struct history_baseline baseline;
    struct history_branches branches;
};

struct history {
    char *folder; /* of the run */
    char *path;   /* of the journal */
    int32_t classes;
    bool several;    /* images have any number of labels */
    int32_t skipped; /* files that could not be read and were left out */
    struct history_data data;
    char *version, *precision; /* of the run event; NULL: unknown */
    int64_t seed;
    char *fingerprint; /* of the data */
    char *job;         /* the run's, as spec_run_text has it; NULL in older journals */
    bool model_clock;  /* its budget in seconds is not counted by the clock (budget.clock) */
    char **devices;    /* [device_count] */
    int32_t device_count;
    char **class_names;
    struct history_start_file *start_files;
    int32_t start_file_count;
    struct history_model *models; /* in the order of their candidate events */
    int32_t model_count, model_capacity;
    struct history_test *tests; /* in the order of the journal */
    int32_t test_count, test_capacity;
    int32_t failed, smaller, informed; /* as in history_test, up to the event being read */
    char *budget;                      /* of the stage being read; as in history_test */
    struct event_budget amounts;       /* likewise */
};

/* From the journal in the run folder, of whichever format. ST_FORMAT when an event is not what its rows say or does not
 * fit those before it: the message names file:line and event. */
enum status history_load(const char *run_folder, struct history *history, struct error *err);
void history_free(struct history *history); /* a zeroed history is allowed */

/* NULL when absent. */
const struct history_model *history_find(const struct history *history, int64_t id);

/* Of all that the history has by now. */
struct history_branches history_branches_of(const struct history *history);

/* The network of that model, from the same journal: the caller's to free. ST_RANGE when there is none. */
enum status history_graph(const struct history *history, int64_t id, struct graph *graph, struct error *err);

/* The last stage's model or, before there is one, that of the highest validation accuracy, which is no baseline; NULL
 * without any. */
const struct history_model *history_best(const struct history *history);

#endif
