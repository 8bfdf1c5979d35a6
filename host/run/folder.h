/* The run folder: where it is, what makes it this job's. */
#ifndef NASRUN_RUN_FOLDER_H
#define NASRUN_RUN_FOLDER_H

#include "host/base/error.h"
#include "host/run/options.h"
#include "spec/job.h"

#include <stdio.h>

/* Reads the job that the command line names (with --resume: the run folder's) and finds its run folder. Both
 * are the caller's to free, on any status. note->message is not empty when a resumed run's job.cfg is damaged or was
 * changed to another job: then the job is the one that its journal says, and the note one line about it. */
enum status folder_read_job(const struct options *options, struct job *job, char **folder, struct error *note,
                            struct error *err);

enum folder_start {
    FOLDER_GO_ON,   /* with the run that is there, or begin one */
    FOLDER_FRESH,   /* removes what an earlier run left, by names that nasrun writes */
    FOLDER_SALVAGE, /* goes on with a damaged journal from before its fault */
};

/* Makes the folder, or checks that it is this job's: ST_RANGE when it holds another job's run, or files of others where
 * nasrun's would be; ST_FORMAT when its journal is damaged or not nasrun's. What others have there is never changed.
 * Writes the resolved job. note->message is not empty when a journal was salvaged.
 *
 * ST_BUSY while another nasrun works in it. *lock becomes the descriptor of the lock, which is held until it and all
 * copies of it in forked processes are closed; -1 on error. */
enum status folder_prepare(const char *folder, const struct job *job, enum folder_start start, int *lock,
                           struct error *note, struct error *err);

/* Copies report.txt to `out`, and says where the plots are. */
void folder_show_report(const char *folder, FILE *out);

#endif
