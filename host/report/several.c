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

enum status plots_write_budgets(struct plot_request *request, const struct runs *runs, struct error *err)
{
    char *path = report_plot_path(request, "budgets", -1);
    struct picture picture = {.path = path, .missing = request->missing};
    if (path == NULL)
        return error_memory(err, request->folder, strlen(request->folder));
    enum status st =
        request->format == PLOT_CSV ? write_csv(path, runs, err) : plot_budgets(&picture, runs, err);
    request->missing = picture.missing;
    free(path);
    return st;
}

enum status report_plot_several(char *const *run_folders, int32_t count, struct plot_request *request,
                                struct error *err)
{
    struct runs runs;
    enum status st = runs_load(run_folders, count, &runs, err);
    if (st != ST_OK)
        return st;
    st = file_make_folder(request->folder, err);
    if (st == ST_OK)
        st = plots_write_budgets(request, &runs, err);
    runs_free(&runs);
    return st;
}
