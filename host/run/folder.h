/* The run folder: where it is, what makes it this job's. */
#ifndef NASRUN_RUN_FOLDER_H
#define NASRUN_RUN_FOLDER_H

#include "host/base/error.h"
#include "host/run/options.h"
#include "spec/job.h"

#include <stdio.h>

/* Reads the job that the command line names (with --resume: the run folder's) and finds its run folder. Both
 * are the caller's to free, on any status. */
enum status folder_read_job(const struct options *options, struct job *job, char **folder, struct error *err);

/* Makes the folder, or checks that it is this job's: ST_RANGE when it holds another job's run. Writes the
 * resolved job. `fresh`: removes what an earlier run left. ST_BUSY while another nasrun works in it. */
enum status folder_prepare(const char *folder, const struct job *job, bool fresh, struct error *err);

/* Copies report.txt to `out`, and says where the plots are. */
void folder_show_report(const char *folder, FILE *out);

#endif
