/* Reports and plots of a run folder, made from its journal alone and therefore any time, also while it runs:
 *
 *     report.txt, report.json            the last stage that was tested, and all of them in a table (budgets.h)
 *     report-<stage>.txt, .json          every stage, when there are several
 *     plots/confusion.png                the last stage that was tested; plots/confusion-<stage>.png as above
 *     plots/shares.png                   the same in per cent, up to 30 classes; likewise
 *     plots/labels.png                   in the place of both, where images have several labels; likewise
 *     plots/reliability.png, plots/precision.png    by predictions.csv, when it is there; likewise
 *     plots/learning.png, plots/progress.png, plots/family.png, plots/network.png
 *     plots/budgets.png                  of several stages whose budgets are in one unit
 *
 * Every file is written atomically.
 */
#ifndef NASRUN_REPORT_REPORT_H
#define NASRUN_REPORT_REPORT_H

#include "host/base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* What plots are written as. */
enum plot_format { PLOT_PNG, PLOT_SVG, PLOT_PDF, PLOT_CSV /* what they show, as numbers */ };

/* The reports, then the plots if wanted. ST_RANGE when no stage has been tested: then there are the plots
 * that need no test, and no report. */
enum status report_write_all(const char *run_folder, bool plots, struct error *err);

/* What report.txt would be, to a stream; nothing in the run folder is written. ST_RANGE as above. */
enum status report_print(const char *run_folder, FILE *out, struct error *err);

/* Whether a model's file of that hash (host/model/model_file.h) is what the run wrote: the model, or what was published
 * of it with its temperatures; also where the journal can't be read or knows no hash of it. Else *expected is the hash
 * that was published last, malloc'd, NULL when out of memory; NULL otherwise. */
bool report_knows_model(const char *run_folder, int64_t id, const char *hash, char **expected);

/* Whether a predictions.csv of that hash (predictions.h) is what a stage wrote of that model; also where the journal
 * can't be read. */
bool report_knows_predictions(const char *run_folder, int64_t id, const char *hash);

struct plot_request {
    const char *folder; /* made if need be; NULL: plots/ of the run folder */
    enum plot_format format;
    uint32_t missing; /* set: the first character that no font here has; 0: none */
};

/* "folder/NAME[-number].png", or as is asked for; without a number below 0; malloc'd, NULL when out of memory. */
char *report_plot_path(const struct plot_request *request, const char *name, int64_t number);

/* Of several runs together: the table of budgets and seeds with each two runs compared, to a stream; and the plot of
 * accuracy against budget, budgets.png, into the request's folder. ST_RANGE when no stage has been tested. */
enum status report_print_several(char *const *run_folders, int32_t count, FILE *out, struct error *err);
enum status report_plot_several(char *const *run_folders, int32_t count, struct plot_request *request,
                                struct error *err);

/* The plots alone. Without a tested stage there is none of its test. */
enum status report_write_plots(const char *run_folder, struct plot_request *request, struct error *err);

#endif
