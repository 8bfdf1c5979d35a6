/* The job: what a job file says, with every default filled in. Field by field the schema (schema.def) says type, unit,
 * range, default and meaning. Strings and lists are owned by the job. */
#ifndef NASRUN_SPEC_JOB_H
#define NASRUN_SPEC_JOB_H

#include <stdbool.h>
#include <stdint.h>

enum { JOB_LIST_MAX = 32 };

/* The value of keys that may be "auto", when they are. */
enum { JOB_AUTO = 0 };

struct job_strings {
    int32_t count;
    char *items[JOB_LIST_MAX];
};

struct job_numbers {
    int32_t count;
    double items[JOB_LIST_MAX];
};

struct job_dataset {
    char *format; /* "auto", "idx", "cifar10", "cifar100", "folder", "csv" */
    char *path;   /* folder (idx, cifar, folder) or CSV file; required */
    char *images; /* csv: folder that relative paths start from; "" : the CSV's own */
    double
        validation; /* share of the training images held out when the data has no validation split of its own */
    double test;    /* share held out when the data has no test split */
    struct job_numbers resize; /* [height, width]; empty: the median size, capped */
    int32_t max_side;          /* pixels; the cap of the median policy */
    char *fit;                 /* "stretch", "crop", "pad" */
    char *channels;            /* "auto", "grey", "rgb" */
    char *on_error;            /* "stop", "skip" */
    char *cache;               /* folder of decoded datasets; "": no cache */
};

struct job_search {
    char *strategy;            /* "bayesian", "greedy", "random" */
    struct job_strings starts; /* "lean", "cnn", "resnet", "densenet" */
    int32_t width;             /* of the first stage of the starting networks; 0: their own */
    struct job_strings morphs; /* allowed kinds */
    int32_t max_morphs;        /* morphs in one step from parent to child */
    double noise;              /* of morphs, relative to the weights' deviation */
    double beta;               /* upper confidence bound's factor */
    double skip_weight;        /* lambda of the edit distance */
    double random_share;       /* share of proposals drawn at random */
    int32_t ahead; /* candidates proposed before a device is free for them; -1: chosen by kind of device */
    int32_t workers_per_device; /* candidates side by side on a GPU; JOB_AUTO: by measurement */
    double epochs;      /* training of one candidate, in epochs of the training part; 0: from the budget */
    double data;        /* share of the training part that candidates train on */
    double final_share; /* share of a budget kept for the final fit */
    int32_t max_parameters; /* of a candidate; 0: no limit beyond memory and time */
};

struct job_train {
    int32_t batch;        /* JOB_AUTO: by kind of device and size of the training part (host/run/batch.h) */
    char *precision;      /* "auto", "bf16", "fp16", "tf32", "fp32" */
    char *optimizer;      /* "sgd", "adamw" */
    double learning_rate; /* peak, for a batch of 128; scaled by batch / 128 */
    double momentum, beta2, weight_decay;
    char *schedule; /* "cosine", "linear", "one_cycle" */
    double warmup;  /* share of the steps */
    double label_smoothing;
    int32_t translate, cutout; /* pixels */
    bool flip;
    double average;      /* decay of the weight average a step, at the end; 0: none */
    int32_t patience;    /* validations without a better loss; 0: never stop early */
    double final_epochs; /* final fit with budgets in models: epochs */
};

struct job_budget {
    struct job_numbers seconds, steps,
        models; /* at most one is non-empty; each entry a stage, rising; steps and models
                                                  are totals like seconds */
};

struct job_output {
    char *dir; /* the run folder; spec_read makes "" into "runs/" and the job file's name without extension */
    bool plots;
    double checkpoint_seconds; /* between two checkpoints of a training */
};

struct job {
    char *file; /* the job file's path */
    struct job_strings
        devices;     /* "auto", "cuda", "cpu" or "ref" alone, or numbered ones of a kind: "cuda:0" */
    int32_t threads; /* of a CPU device; 0: all the process may use, shared by the CPU devices */
    int64_t seed;
    struct job_dataset dataset;
    struct job_search search;
    struct job_train train;
    struct job_budget budget;
    struct job_output output;
};

#endif
