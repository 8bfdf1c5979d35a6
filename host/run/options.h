/* The command line of nasrun. */
#ifndef NASRUN_RUN_OPTIONS_H
#define NASRUN_RUN_OPTIONS_H

#include "host/base/command.h"

#include <stdbool.h>

enum action {
    ACTION_RUN,        /* nasrun job.cfg [key=value ...] */
    ACTION_CHECK,      /* --check: read the job, say what is wrong */
    ACTION_PLAN,       /* --plan: say what the run would do */
    ACTION_DEVICES,    /* --devices: which devices there are */
    ACTION_PRETRAINED, /* --pretrained: which networks lie in the user's data folder */
    ACTION_PRINT_SPEC, /* --print-spec: every key of a job file */
    ACTION_VERSION,
    ACTION_HELP,
};

struct options {
    enum action action;
    const char *job;    /* the job file; with --resume the run folder's own */
    const char *resume; /* run folder, NULL without --resume */
    bool fresh;         /* start over: what the run folder holds is removed */
    bool salvage;       /* go on from before what is damaged */
    int verbosity;      /* -1 with -q, 0, 1 with -v */
    char **overrides;   /* "key=value"; points into argv */
    int override_count;
};

extern const struct command nasrun_command;

/* ST_RANGE with one line for a wrong command line. `arguments` is reordered; nothing is allocated.
 *
 * KEY=VALUE is an override when KEY is a key of the schema; else it is the job file when there is such a file; else it
 * is an override when KEY looks like one (letters, digits, '_' and '.'), which whoever reads the job refuses with the
 * nearest key. */
enum status options_parse(int count, char **arguments, struct options *options, struct error *err);

#endif
