/* nasplot RUN: makes a run's plots anew from its journal, also while it runs. */
#include "host/report/report.h"
#include "tools/common/arguments.h"

#include <stdio.h>

static const char usage[] = "usage: nasplot RUN\n"
                            "Writes plots/learning.png, plots/progress.png and, once a stage is tested,\n"
                            "plots/confusion.png of the run folder RUN anew from its journal.\n";

int main(int argc, char **argv)
{
    struct error err;
    int status;

    if (!arguments_fit(argc, argv, 1, 1, usage, &status))
        return status;
    if (report_write_plots(argv[1], &err) != ST_OK) {
        fprintf(stderr, "nasplot: %s\n", err.message);
        return 2;
    }
    return 0;
}
