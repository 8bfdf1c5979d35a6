/* nasreport RUN: makes a run's reports anew from its journal and prints the last one. */
#include "host/base/file.h"
#include "host/report/report.h"
#include "tools/common/arguments.h"
#include "tools/common/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status print_file(const char *path, struct error *err)
{
    char *text = NULL;
    size_t length = 0;
    enum status st = file_read(path, &text, &length, err);
    if (st != ST_OK)
        return st;
    fwrite(text, 1, length, stdout);
    if (fflush(stdout) != 0 || ferror(stdout))
        st = error_set(err, ST_IO, "standard output: cannot be written");
    free(text);
    return st;
}

int main(int argc, char **argv)
{
    struct command_line line;
    struct error err;
    int status;

    if (!arguments_read(&nasreport_command, argc, argv, NULL, NULL, &line, &status))
        return status;
    enum status st = report_write_all(line.words[0], false, &err);
    if (st == ST_OK) {
        char *path = file_join(line.words[0], "report.txt");
        st = path == NULL ? error_memory(&err, line.words[0], strlen(line.words[0])) : print_file(path, &err);
        free(path);
    }
    if (st != ST_OK)
        fprintf(stderr, "nasreport: %s\n", err.message);
    return st == ST_OK ? COMMAND_DONE : COMMAND_ERROR;
}
