/* nasplot RUN: makes a run's plots anew from its journal, also while it runs. */
#include "host/report/report.h"
#include "tools/common/arguments.h"
#include "tools/common/commands.h"

#include <stdio.h>

/* --out, the only one. */
static enum status take_option(void *context, const struct command_line *line, struct error *err)
{
    if (line->value[0] == '\0')
        return error_set(err, ST_RANGE, "--out: found nothing, expected a folder");
    *(const char **)context = line->value;
    return ST_OK;
}

int main(int argc, char **argv)
{
    struct command_line line;
    struct error err;
    const char *plot_folder = NULL;
    int status;

    if (!arguments_read(&nasplot_command, argc, argv, take_option, &plot_folder, &line, &status))
        return status;
    if (report_write_plots(line.words[0], plot_folder, &err) != ST_OK) {
        fprintf(stderr, "nasplot: %s\n", err.message);
        return COMMAND_ERROR;
    }
    return COMMAND_DONE;
}
