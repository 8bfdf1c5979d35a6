/* The data that a job names, for tools that look at images again. */
#ifndef NASRUN_TOOLS_JOB_DATA_H
#define NASRUN_TOOLS_JOB_DATA_H

#include "host/data/dataset.h"

/* The dataset is the caller's to free on any status. */
enum status job_data_load(const char *job_file, const struct data_way *way, struct dataset *data,
                          struct error *err);

/* The same by a run folder's job.cfg; warnings are not told. */
enum status job_data_load_run(const char *run_folder, struct dataset *data, struct error *err);

#endif
