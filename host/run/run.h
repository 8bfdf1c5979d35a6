/* A run in progress: everything the engine holds. One struct, opened by engine.c, worked on by candidate.c
 * and stage.c. */
#ifndef NASRUN_RUN_RUN_H
#define NASRUN_RUN_RUN_H

#include "host/data/dataset.h"
#include "host/program/device.h"
#include "host/run/devices.h"
#include "host/run/display.h"
#include "host/run/journal.h"
#include "host/run/memory.h"
#include "host/run/supervisor.h"
#include "host/search/search.h"
#include "host/train/trainer.h"
#include "spec/job.h"

/* A candidate whose training was cut off, as the journal and the checkpoint tell. */
struct run_unfinished {
    bool exists;
    int32_t id, parent;
    bool final;
    int32_t batch;
    struct graph graph;
};

/* A final fit that was journalled as finished. */
struct run_final {
    int32_t id, parent; /* -1: none */
    int32_t stage;
};

struct run {
    const struct job *job;
    char *folder;
    struct journal journal;
    struct display display;
    struct dataset data; /* pixels NULL: they are on the device */
    struct devices devices;
    const struct device_ops *ops;   /* the devices' */
    struct device_info device_info; /* the first one's; the others are taken to be like it */
    int32_t team;                   /* devices that share a training */
    struct search *search;

    double clock_start; /* clock_seconds at which run time was clock_base */
    double clock_base;
    double first_step;    /* seconds from the program's start to the first training step; 0 before it */
    double stage_began;   /* run time */
    int32_t stage;        /* index into the budget's list */
    bool stage_open;      /* its stage event is in the journal */
    uint32_t steps_done;  /* in all trainings, in this and earlier stages */
    uint32_t stage_steps; /* steps_done when the stage began */
    int32_t models;       /* finished in all, failures counted, final fits not */
    int32_t starts;       /* starting networks begun */
    int32_t next_id;
    int32_t best_id;                 /* the model that model.safetensors holds; -1 */
    double best_accuracy, best_loss; /* validation */
    struct run_final final;
    struct run_unfinished unfinished;
    bool calibrated;          /* seconds_per_image was measured */
    double seconds_per_image; /* measured over predicted training time of the last model; 1 before */
    struct memory memory;
};

/* Seconds of work on this run so far, over all processes that worked on it. */
double run_time(const struct run *run);

/* FOLDER/NAME, malloc'd; NULL when out of memory. */
char *run_path(const struct run *run, const char *name);

/* "FOLDER/models/ID.safetensors", malloc'd, NULL when out of memory. */
char *run_model_path(const struct run *run, int32_t id);

#endif
