/* Sheets of right, false and missed images of each class. */
#ifndef NASRUN_TOOLS_ERRORS_H
#define NASRUN_TOOLS_ERRORS_H

#include "host/report/report.h"

/* Writes errors-CLASS.png, or as is asked for, for each class, numbered from 0; the folder as of report_write_plots.
 * Reads the run's predictions.csv and, by its job.cfg, the data: ST_FORMAT where these are others. */
enum status errors_write(const char *run_folder, struct plot_request *request, struct error *err);

#endif
