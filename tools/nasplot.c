/* nasplot RUN ...: makes a run's plots anew from its journal, also while it runs; of several runs one plot. */
#include "host/report/report.h"
#include "tools/common/arguments.h"
#include "tools/common/commands.h"
#include "tools/common/pictures.h"

#include <stdio.h>

/* --out and --format. */
static enum status take_option(void *context, const struct command_line *line, struct error *err)
{
    struct plot_request *request = context;
    if (line->option == PLOT_OPTION_FORMAT)
        return pictures_read_format(line->value, &request->format, err);
    if (line->value[0] == '\0')
        return error_set(err, ST_RANGE, "--out: found nothing, expected a folder");
    request->folder = line->value;
    return ST_OK;
}

int main(int argc, char **argv)
{
    struct plot_request request = {0};
    struct command_line line;
    struct error err;
    int status;

    if (!arguments_read(&nasplot_command, argc, argv, take_option, &request, &line, &status))
        return status;
    if (line.word_count > 1 && request.folder == NULL)
        request.folder = "plots";
    const enum status st = line.word_count > 1
                               ? report_plot_several(line.words, line.word_count, &request, &err)
                               : report_write_plots(line.words[0], &request, &err);
    if (st != ST_OK) {
        fprintf(stderr, "nasplot: %s\n", err.message);
        return COMMAND_ERROR;
    }
    pictures_tell_missing("nasplot", request.missing);
    return COMMAND_DONE;
}
