/* The command line of naspredict. */
#ifndef NASRUN_TOOLS_PREDICT_OPTIONS_H
#define NASRUN_TOOLS_PREDICT_OPTIONS_H

#include "host/base/command.h"
#include "host/data/dataset.h"

#include <stdbool.h>
#include <stdint.h>

enum answer_format { FORMAT_TSV, FORMAT_CSV, FORMAT_JSONL, FORMAT_COUNT };

struct predict_options {
    const char *run;
    char **paths; /* of images and folders; with a list or data there are none */
    int32_t path_count;
    const char *list; /* a file's name, "-": standard input; NULL: none */
    bool null;        /* its paths end with NUL */
    const char *data; /* a job file's name; NULL: none */
    enum data_split split;
    enum answer_format format;
    int32_t top;      /* classes of an image, at least 1 */
    bool all;         /* the probabilities of all classes */
    double threshold; /* below it an image has no class; 0: none has none */
    double precision; /* that the thresholds of the classes are to reach; 0: there are none */
    int32_t threads;  /* 0: as many as may be had */
    char *device;     /* as in a job's `devices` */
    bool stop;        /* at the first image that fails */
    int32_t views;    /* 0: as the model says */
};

/* What naspredict does without options. */
struct predict_options options_default(void);
/* An arguments_option, of a struct predict_options. */
enum status options_take(void *context, const struct command_line *line, struct error *err);
/* The words behind the options, and what does not go together. */
enum status options_finish(struct predict_options *options, const struct command_line *line,
                           struct error *err);

#endif
