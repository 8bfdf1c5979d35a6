/* The command line of nasrun. */
#ifndef NASRUN_RUN_OPTIONS_H
#define NASRUN_RUN_OPTIONS_H

#include "host/base/error.h"

#include <stdbool.h>

#define NASRUN_VERSION "0.1.0"

enum action {
    ACTION_RUN,        /* nasrun job.cfg [key=value ...] */
    ACTION_CHECK,      /* --check: read the job, say what is wrong */
    ACTION_PLAN,       /* --plan: say what the run would do */
    ACTION_DEVICES,    /* --devices: which devices there are */
    ACTION_PRINT_SPEC, /* --print-spec: every key of a job file */
    ACTION_VERSION,
    ACTION_HELP,
};

struct options {
    enum action action;
    const char *job;    /* the job file; with --resume the run folder's own */
    const char *resume; /* run folder, NULL without --resume */
    bool fresh;         /* start over: what the run folder holds is removed */
    int verbosity;      /* -1 with -q, 0, 1 with -v */
    char **overrides;   /* "key=value"; points into argv */
    int override_count;
};

/* ST_RANGE with one line for a wrong command line. `arguments` is reordered; nothing is allocated. */
enum status options_parse(int count, char **arguments, struct options *options, struct error *err);

extern const char options_help[];

#endif
