/* nasplot RUN ...: makes a run's plots anew from its journal, also while it runs; of several runs one plot. */
#include "host/report/report.h"
#include "tools/common/arguments.h"
#include "tools/common/commands.h"
#include "tools/common/errors.h"
#include "tools/common/pictures.h"

#include <stdio.h>

struct wishes {
    struct plot_request request;
    bool errors;
};

static enum status read_format(const struct command_line *line, enum plot_format *format, struct error *err)
{
    static const char *const words[] = {
        [PLOT_PNG] = "png", [PLOT_SVG] = "svg", [PLOT_PDF] = "pdf", [PLOT_CSV] = "csv"};
    int which = *format;
    enum status st = arguments_read_word(line, "format", words, sizeof(words) / sizeof(*words), &which, err);
    *format = (enum plot_format)which;
    return st;
}

static enum status take_option(void *context, const struct command_line *line, struct error *err)
{
    struct wishes *wishes = context;
    struct plot_request *request = &wishes->request;
    if (line->option == PLOT_OPTION_ERRORS) {
        wishes->errors = true;
        return ST_OK;
    }
    if (line->option == PLOT_OPTION_FORMAT)
        return read_format(line, &request->format, err);
    if (line->value[0] == '\0')
        return error_set(err, ST_RANGE, "--out: found nothing, expected a folder");
    request->folder = line->value;
    return ST_OK;
}

static enum status plot(struct wishes *wishes, const struct command_line *line, struct error *err)
{
    struct plot_request *request = &wishes->request;
    if (wishes->errors)
        return line->word_count == 1
                   ? errors_write(line->words[0], request, err)
                   : error_set(err, ST_RANGE, "--errors: found %d runs, expected one", line->word_count);
    if (line->word_count == 1)
        return report_write_plots(line->words[0], request, err);
    if (request->folder == NULL)
        request->folder = "plots";
    return report_plot_several(line->words, line->word_count, request, err);
}

int main(int argc, char **argv)
{
    struct wishes wishes = {0};
    struct command_line line;
    struct error err;
    int status;

    if (!arguments_read(&nasplot_command, argc, argv, take_option, &wishes, &line, &status))
        return status;
    if (plot(&wishes, &line, &err) != ST_OK) {
        fprintf(stderr, "nasplot: %s\n", err.message);
        return COMMAND_ERROR;
    }
    pictures_tell_missing("nasplot", wishes.request.missing);
    return COMMAND_DONE;
}
