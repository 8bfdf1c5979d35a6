/* nasreport RUN: makes a run's reports anew from its journal and prints the last one. */
#include "host/base/file.h"
#include "host/report/report.h"
#include "tools/common/arguments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: nasreport RUN\n"
    "Writes report.txt and report.json of the run folder RUN anew from its journal\n"
    "(report-STAGE.txt and .json too when it has several stages) and prints report.txt.\n";

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
    struct error err;
    int status;

    if (!arguments_fit(argc, argv, 1, 1, usage, &status))
        return status;
    enum status st = report_write_all(argv[1], false, &err);
    if (st == ST_OK) {
        char *path = file_join(argv[1], "report.txt");
        st = path == NULL ? error_memory(&err, argv[1], strlen(argv[1])) : print_file(path, &err);
        free(path);
    }
    if (st != ST_OK)
        fprintf(stderr, "nasreport: %s\n", err.message);
    return st == ST_OK ? 0 : 2;
}
