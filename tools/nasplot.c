/* nasplot RUN: makes a run's plots anew from its journal, also while it runs. */
#include "host/report/report.h"

#include <stdio.h>
#include <string.h>

static const char usage[] = "usage: nasplot RUN\n"
                            "Writes plots/learning.png, plots/progress.png and, once a stage is tested,\n"
                            "plots/confusion.png of the run folder RUN anew from its journal.\n";

int main(int argc, char **argv)
{
    struct error err;

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc != 2 || argv[1][0] == '-') {
        fputs(usage, stderr);
        return 2;
    }
    if (report_write_plots(argv[1], &err) != ST_OK) {
        fprintf(stderr, "nasplot: %s\n", err.message);
        return 2;
    }
    return 0;
}
