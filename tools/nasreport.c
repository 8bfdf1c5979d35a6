/* nasreport RUN ...: makes a run's reports anew from its journal and prints the last one; of several runs a table. */
#include "host/base/streams.h"
#include "host/report/report.h"
#include "tools/common/arguments.h"
#include "tools/common/commands.h"

#include <stdio.h>

/* --stdout, the only one. */
static enum status take_option(void *context, const struct command_line *line, struct error *err)
{
    (void)line;
    (void)err;
    *(bool *)context = true;
    return ST_OK;
}

static enum status print(char *const *run_folders, int32_t count, struct error *err)
{
    enum status st = count > 1 ? report_print_several(run_folders, count, stdout, err)
                               : report_print(run_folders[0], stdout, err);
    return st == ST_OK ? streams_flush_output(err) : st;
}

int main(int argc, char **argv)
{
    struct command_line line;
    struct error err;
    bool only_print = false;
    int status;

    if (!arguments_read(&nasreport_command, argc, argv, take_option, &only_print, &line, &status))
        return status;
    enum status st = only_print || line.word_count > 1 ? ST_OK : report_write_all(line.words[0], false, &err);
    if (st == ST_OK)
        st = print(line.words, line.word_count, &err);
    if (st != ST_OK)
        fprintf(stderr, "nasreport: %s\n", err.message);
    return st == ST_OK ? COMMAND_DONE : COMMAND_ERROR;
}
