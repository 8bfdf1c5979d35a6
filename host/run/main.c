/* nasrun: reads the job, opens the run folder, lets the supervisor run the engine, shows the report. */
#include "host/base/clock.h"
#include "host/base/crash.h"
#include "host/base/file.h"
#include "host/base/streams.h"
#include "host/run/engine.h"
#include "host/run/folder.h"
#include "host/run/options.h"
#include "host/run/pretrained.h"
#include "spec/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct invocation {
    struct options options;
    struct job job;
    char *folder;
};

static int complain(const struct error *err)
{
    fprintf(stderr, "nasrun: %s\n", err->message);
    return COMMAND_ERROR;
}

static long journal_length(void *context)
{
    struct invocation *invocation = context;
    struct stat about;
    char *path = file_join(invocation->folder, "journal.jsonl");
    long length = path != NULL && stat(path, &about) == 0 ? (long)about.st_size : 0;
    free(path);
    return length;
}

static int engine(void *context, struct engine_history *history)
{
    struct invocation *invocation = context;
    struct error err;
    history->salvage = invocation->options.salvage;
    enum status st =
        engine_run(&invocation->job, invocation->folder, invocation->options.verbosity, history, &err);
    if (st == ST_INTERRUPTED)
        return COMMAND_UNFINISHED;
    if (st == ST_DEVICE && history->working) {
        complain(&err);
        return SUPERVISOR_AGAIN;
    }
    if (st != ST_OK)
        return complain(&err);
    folder_show_report(invocation->folder, stdout);
    return COMMAND_DONE;
}

static int run_job(struct invocation *invocation)
{
    struct error note, err;
    enum folder_start start = FOLDER_GO_ON;
    int lock; /* the engine's processes get it by their forks: the folder is this command's until the last has ended */
    if (invocation->options.fresh)
        start = FOLDER_FRESH;
    else if (invocation->options.salvage)
        start = FOLDER_SALVAGE;
    if (folder_prepare(invocation->folder, &invocation->job, start, &lock, &note, &err) != ST_OK)
        return complain(&err);
    if (note.message[0] != '\0')
        complain(&note);
    const int status = supervise(engine, journal_length, invocation);
    close(lock);
    if (status == COMMAND_UNFINISHED)
        printf("nasrun: saved; go on with: nasrun --resume=%s\n", invocation->folder);
    return status;
}

int main(int count, char **arguments)
{
    struct invocation invocation = {0};
    struct error note, err;
    int result = COMMAND_DONE;

    if (!streams_secure(nasrun_command.name))
        return COMMAND_ERROR;
    crash_tell_memory(nasrun_command.name);
    if (options_parse(count, arguments, &invocation.options, &err) != ST_OK)
        return complain(&err);
    switch (invocation.options.action) {
    case ACTION_HELP:
        command_print_help(&nasrun_command, stdout);
        return COMMAND_DONE;
    case ACTION_VERSION:
        command_print_version(&nasrun_command, stdout);
        return COMMAND_DONE;
    case ACTION_PRINT_SPEC:
        spec_print_reference(stdout, false);
        return COMMAND_DONE;
    case ACTION_DEVICES:
        return devices_list(stdout, &err) == ST_OK ? COMMAND_DONE : complain(&err);
    case ACTION_PRETRAINED:
        return pretrained_list(stdout, &err) == ST_OK ? COMMAND_DONE : complain(&err);
    case ACTION_RUN:
    case ACTION_CHECK:
    case ACTION_PLAN:
        break;
    }
    enum status st = folder_read_job(&invocation.options, &invocation.job, &invocation.folder, &note, &err);
    if (st == ST_OK && note.message[0] != '\0')
        complain(&note);
    if (st != ST_OK)
        result = complain(&err);
    else if (invocation.options.action == ACTION_CHECK)
        printf("%s: ok\n", invocation.job.file);
    else if (invocation.options.action == ACTION_PLAN)
        result = engine_dry_run(&invocation.job, stdout, &err) == ST_OK ? COMMAND_DONE : complain(&err);
    else
        result = run_job(&invocation);
    spec_free(&invocation.job);
    free(invocation.folder);
    return result;
}
