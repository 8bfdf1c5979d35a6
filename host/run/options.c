#include "host/run/options.h"

#include <string.h>

const char options_help[] =
    "nasrun: searches the best image classifier that a budget buys\n"
    "\n"
    "  nasrun JOB.cfg [KEY=VALUE ...]   run the job; the same command again resumes it\n"
    "  nasrun --resume DIR [KEY=VALUE]  resume the run in that folder\n"
    "  nasrun --plan JOB.cfg            say what the run would take, without training\n"
    "  nasrun --check JOB.cfg           read and check the job file\n"
    "  nasrun --devices                 list the devices that a job can run on\n"
    "  nasrun --print-spec              every key of a job file: type, unit, range, default, meaning\n"
    "\n"
    "  --fresh      start over: removes what an earlier run left in the folder\n"
    "  -v, -q       say more; say nothing but errors and the final report\n"
    "  --version, --help\n"
    "\n"
    "KEY=VALUE overrides the job file: budget.seconds=120 output.dir=runs/x\n"
    "Ctrl-C (or SIGTERM) saves and stops. Exit status: 0 done or saved, 2 an error, told in one line.\n";

enum status options_parse(int count, char **arguments, struct options *options, struct error *err)
{
    static const struct {
        const char *name;
        enum action action;
    } actions[] = {{"--check", ACTION_CHECK},
                   {"--plan", ACTION_PLAN},
                   {"--print-spec", ACTION_PRINT_SPEC},
                   {"--devices", ACTION_DEVICES},
                   {"--version", ACTION_VERSION},
                   {"--help", ACTION_HELP},
                   {"-h", ACTION_HELP}};

    *options = (struct options){.overrides = arguments + 1};
    for (int i = 1; i < count; i++) {
        const char *argument = arguments[i];
        size_t known = 0;
        while (known < sizeof(actions) / sizeof(actions[0]) && strcmp(actions[known].name, argument) != 0)
            known++;
        if (known < sizeof(actions) / sizeof(actions[0])) {
            options->action = actions[known].action;
        } else if (strcmp(argument, "--fresh") == 0) {
            options->fresh = true;
        } else if (strcmp(argument, "-v") == 0) {
            options->verbosity = 1;
        } else if (strcmp(argument, "-q") == 0) {
            options->verbosity = -1;
        } else if (strcmp(argument, "--resume") == 0) {
            if (++i == count)
                return error_set(err, ST_RANGE, "--resume: expected a run folder behind it");
            options->resume = arguments[i];
        } else if (argument[0] == '-') {
            return error_set(err, ST_RANGE, "unknown option %s, see nasrun --help", argument);
        } else if (strchr(argument, '=') != NULL) {
            options->overrides[options->override_count++] = arguments[i];
        } else if (options->job == NULL) {
            options->job = argument;
        } else {
            return error_set(err, ST_RANGE, "found two job files, %s and %s, expected one", options->job,
                             argument);
        }
    }
    bool needs_job =
        options->action == ACTION_RUN || options->action == ACTION_CHECK || options->action == ACTION_PLAN;
    if (needs_job && options->job == NULL && options->resume == NULL)
        return error_set(err, ST_RANGE, "expected a job file, see nasrun --help");
    if (options->job != NULL && options->resume != NULL)
        return error_set(err, ST_RANGE, "found a job file and --resume, expected one of them");
    if (options->fresh && options->resume != NULL)
        return error_set(err, ST_RANGE, "--fresh and --resume exclude each other");
    return ST_OK;
}
