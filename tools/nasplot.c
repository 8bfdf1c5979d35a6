/* nasplot RUN: makes a run's plots anew from its journal, also while it runs. */
#include "host/report/report.h"
#include "tools/common/arguments.h"
#include "tools/common/commands.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    struct command_line line;
    struct error err;
    int status;

    if (!arguments_read(&nasplot_command, argc, argv, NULL, NULL, &line, &status))
        return status;
    if (report_write_plots(line.words[0], &err) != ST_OK) {
        fprintf(stderr, "nasplot: %s\n", err.message);
        return COMMAND_ERROR;
    }
    return COMMAND_DONE;
}
