#include "tools/common/job_data.h"

#include "host/base/file.h"
#include "spec/spec.h"

#include <stdlib.h>
#include <string.h>

enum status job_data_load(const char *job_file, const struct data_way *way, struct dataset *data,
                          struct error *err)
{
    struct job job = {0};
    enum status st = spec_read(job_file, NULL, 0, &job, err);
    if (st == ST_OK)
        st = data_load(&job.dataset, job.seed, way, data, err);
    spec_free(&job);
    return st;
}

enum status job_data_load_run(const char *run_folder, struct dataset *data, struct error *err)
{
    const struct data_way way = {0};
    char *path = file_join(run_folder, "job.cfg");
    enum status st = path != NULL ? job_data_load(path, &way, data, err)
                                  : error_memory(err, run_folder, strlen(run_folder));
    free(path);
    return st;
}
