/* The command lines of the tools: what tools/manual makes the manual pages and completions from, with nasrun's. */
#ifndef NASRUN_TOOLS_COMMON_COMMANDS_H
#define NASRUN_TOOLS_COMMON_COMMANDS_H

#include "host/base/command.h"

/* nasplot's options. */
enum { PLOT_OPTION_OUT = 1, PLOT_OPTION_FORMAT, PLOT_OPTION_ERRORS };
/* nasexport's. */
enum { EXPORT_OPTION_ONNX = 1, EXPORT_OPTION_C, EXPORT_OPTION_INT8, EXPORT_OPTION_PRECISION };
/* nasstudy's. */
enum { STUDY_OPTION_BUDGETS = 1, STUDY_OPTION_SEEDS, STUDY_OPTION_OUT };

/* The options of naspredict. */
enum predict_option {
    PREDICT_LIST = 1,
    PREDICT_NULL,
    PREDICT_DATA,
    PREDICT_SPLIT,
    PREDICT_FORMAT,
    PREDICT_TOP,
    PREDICT_ALL,
    PREDICT_THRESHOLD,
    PREDICT_PRECISION,
    PREDICT_THREADS,
    PREDICT_DEVICE,
    PREDICT_ON_ERROR,
    PREDICT_VIEWS,
};
enum { PREDICT_THREADS_MOST = 1024 };

/* The options of nasinspect. */
enum { INSPECT_OPTION_FORMAT = 1, INSPECT_OPTION_REPLAY };

extern const struct command nasplot_command, nasreport_command, naspredict_command, nasexport_command,
    nasstudy_command, nasinspect_command;

#endif
