/* Which plots a run has, and what their files are called. */
#include "host/base/file.h"
#include "host/report/plots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Makes one picture by `draw`. */
typedef enum status draw_stage(struct picture *picture, const struct history *history,
                               const struct history_test *test, const struct metrics *metrics,
                               struct error *err);
typedef enum status draw_run(struct picture *picture, const struct history *history, struct error *err);

static enum status draw_counts(struct picture *picture, const struct history *history,
                               const struct history_test *test, const struct metrics *metrics,
                               struct error *err)
{
    return plot_confusion(picture, history, test, metrics, false, err);
}

/* Of many classes the cells say nothing, and both would be the same. */
static enum status draw_shares(struct picture *picture, const struct history *history,
                               const struct history_test *test, const struct metrics *metrics,
                               struct error *err)
{
    return history->classes > PLOT_NUMBERED_CLASSES
               ? ST_OK
               : plot_confusion(picture, history, test, metrics, true, err);
}

static const char *const suffixes[] = {[PLOT_PNG] = ".png", [PLOT_SVG] = ".svg", [PLOT_PDF] = ".pdf"};

/* "folder/NAME[-stage].png", or as is asked for; malloc'd, NULL when out of memory. */
static char *plot_path(const struct plot_request *request, const char *name, int64_t stage)
{
    char file[64];
    if (stage < 0)
        snprintf(file, sizeof(file), "%s%s", name, suffixes[request->format]);
    else
        snprintf(file, sizeof(file), "%s-%lld%s", name, (long long)stage, suffixes[request->format]);
    return file_join(request->folder, file);
}

enum status plots_write_stage(struct plot_request *request, const struct history *history,
                              const struct history_test *test, const struct metrics *metrics, int64_t stage,
                              struct error *err)
{
    static const struct {
        const char *name;
        draw_stage *draw;
    } plots[] = {{"confusion", draw_counts}, {"shares", draw_shares}};
    enum status st = ST_OK;
    for (size_t i = 0; st == ST_OK && i < sizeof(plots) / sizeof(*plots); i++) {
        char *path = plot_path(request, plots[i].name, stage);
        struct picture picture = {.path = path, .missing = request->missing};
        st = path != NULL ? plots[i].draw(&picture, history, test, metrics, err)
                          : error_memory(err, request->folder, strlen(request->folder));
        request->missing = picture.missing;
        free(path);
    }
    return st;
}

enum status plots_write_run(struct plot_request *request, const struct history *history, struct error *err)
{
    static const struct {
        const char *name;
        draw_run *draw;
    } plots[] = {{"learning", plot_learning}, {"progress", plot_progress}};
    enum status st = ST_OK;
    for (size_t i = 0; st == ST_OK && i < sizeof(plots) / sizeof(*plots); i++) {
        char *path = plot_path(request, plots[i].name, -1);
        struct picture picture = {.path = path, .missing = request->missing};
        st = path != NULL ? plots[i].draw(&picture, history, err)
                          : error_memory(err, request->folder, strlen(request->folder));
        request->missing = picture.missing;
        free(path);
    }
    return st;
}
