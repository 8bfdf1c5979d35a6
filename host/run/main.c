/* nasrun: reads the job, opens the run folder, lets the supervisor run the engine, shows the report. */
#include "host/base/clock.h"
#include "host/base/file.h"
#include "host/run/engine.h"
#include "host/run/folder.h"
#include "host/run/options.h"
#include "spec/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { EXIT_BAD = 2 };

struct command {
    struct options options;
    struct job job;
    char *folder;
};

static int complain(const struct error *err)
{
    fprintf(stderr, "nasrun: %s\n", err->message);
    return EXIT_BAD;
}

static long journal_length(void *context)
{
    struct command *command = context;
    struct stat about;
    char *path = file_join(command->folder, "journal.jsonl");
    long length = path != NULL && stat(path, &about) == 0 ? (long)about.st_size : 0;
    free(path);
    return length;
}

static int engine(void *context, struct engine_history *history)
{
    struct command *command = context;
    struct error err;
    enum status st = engine_run(&command->job, command->folder, command->options.verbosity, history, &err);
    if (st == ST_INTERRUPTED) {
        printf("nasrun: saved; go on with: nasrun --resume %s\n", command->folder);
        return EXIT_SUCCESS;
    }
    if (st == ST_DEVICE && history->working) {
        complain(&err);
        return SUPERVISOR_AGAIN;
    }
    if (st != ST_OK)
        return complain(&err);
    folder_show_report(command->folder, stdout);
    return EXIT_SUCCESS;
}

static int run_job(struct command *command)
{
    struct error err;
    if (folder_prepare(command->folder, &command->job, command->options.fresh, &err) != ST_OK)
        return complain(&err);
    return supervise(engine, journal_length, command);
}

int main(int count, char **arguments)
{
    struct command command = {0};
    struct error err;
    int result = EXIT_SUCCESS;

    if (options_parse(count, arguments, &command.options, &err) != ST_OK)
        return complain(&err);
    switch (command.options.action) {
    case ACTION_HELP:
        fputs(options_help, stdout);
        return EXIT_SUCCESS;
    case ACTION_VERSION:
        puts("nasrun " NASRUN_VERSION);
        return EXIT_SUCCESS;
    case ACTION_PRINT_SPEC:
        spec_print_reference(stdout, false);
        return EXIT_SUCCESS;
    case ACTION_DEVICES:
        return devices_list(stdout, &err) == ST_OK ? EXIT_SUCCESS : complain(&err);
    case ACTION_RUN:
    case ACTION_CHECK:
    case ACTION_PLAN:
        break;
    }
    if (folder_read_job(&command.options, &command.job, &command.folder, &err) != ST_OK)
        result = complain(&err);
    else if (command.options.action == ACTION_CHECK)
        printf("%s: ok\n", command.job.file);
    else if (command.options.action == ACTION_PLAN)
        result = engine_plan(&command.job, stdout, &err) == ST_OK ? EXIT_SUCCESS : complain(&err);
    else
        result = run_job(&command);
    spec_free(&command.job);
    free(command.folder);
    return result;
}
