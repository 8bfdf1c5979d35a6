/* Reports and plots of several runs together. */
#include "host/base/file.h"
#include "host/report/plots.h"
#include "host/report/runs.h"

#include <stdlib.h>
#include <string.h>

enum status report_print_several(char *const *run_folders, int32_t count, FILE *out, struct error *err)
{
    struct runs runs;
    enum status st = runs_load(run_folders, count, &runs, err);
    if (st != ST_OK)
        return st;
    st = runs_print(&runs, out, err);
    runs_free(&runs);
    return st;
}

static enum status write_csv(const char *path, const struct runs *runs, struct error *err)
{
    struct file_aside file;
    enum status st = file_aside_open(&file, path, err);
    if (st != ST_OK)
        return st;
    runs_print_csv(runs, file.stream);
    return file_aside_commit(&file, err);
}

enum status report_plot_several(char *const *run_folders, int32_t count, struct plot_request *request,
                                struct error *err)
{
    struct runs runs = {0};
    struct picture picture = {.missing = request->missing};
    char *path = report_plot_path(request, "budgets", -1);
    enum status st = path != NULL ? runs_load(run_folders, count, &runs, err)
                                  : error_memory(err, request->folder, strlen(request->folder));
    if (st == ST_OK)
        st = file_make_folder(request->folder, err);
    picture.path = path;
    if (st == ST_OK)
        st = request->format == PLOT_CSV ? write_csv(path, &runs, err) : plot_budgets(&picture, &runs, err);
    request->missing = picture.missing;
    runs_free(&runs);
    free(path);
    return st;
}
