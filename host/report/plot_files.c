/* Which plots a run has, and what their files are called. */
#include "host/base/file.h"
#include "host/report/plots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *plots_path(const struct plot_request *request, const char *name, int64_t stage)
{
    static const char *const suffixes[] = {
        [PLOT_PNG] = ".png", [PLOT_SVG] = ".svg", [PLOT_PDF] = ".pdf", [PLOT_CSV] = ".csv"};
    char file[64];
    if (stage < 0)
        snprintf(file, sizeof(file), "%s%s", name, suffixes[request->format]);
    else
        snprintf(file, sizeof(file), "%s-%lld%s", name, (long long)stage, suffixes[request->format]);
    return file_join(request->folder, file);
}

/* What a plot is made of; test and metrics of those that are about a stage. */
struct subject {
    const struct history *history;
    const struct history_test *test;
    const struct metrics *metrics;
};

/* Makes one picture, and its numbers as comma-separated values. */
struct plot {
    const char *name;
    enum status (*draw)(struct picture *picture, const struct subject *subject, struct error *err);
    void (*print)(FILE *out, const struct subject *subject); /* NULL: another plot's are the same */
};

static enum status write_csv(const char *path, const struct plot *plot, const struct subject *subject,
                             struct error *err)
{
    struct file_aside file;
    enum status st = file_aside_open(&file, path, err);
    if (st != ST_OK)
        return st;
    plot->print(file.stream, subject);
    return file_aside_commit(&file, err);
}

static enum status write_plots(struct plot_request *request, const struct plot *plots, size_t count,
                               const struct subject *subject, int64_t stage, struct error *err)
{
    enum status st = ST_OK;
    for (size_t i = 0; st == ST_OK && i < count; i++) {
        if (request->format == PLOT_CSV && plots[i].print == NULL)
            continue;
        char *path = plots_path(request, plots[i].name, stage);
        struct picture picture = {.path = path, .missing = request->missing};
        if (path == NULL)
            st = error_memory(err, request->folder, strlen(request->folder));
        else if (request->format == PLOT_CSV)
            st = write_csv(path, &plots[i], subject, err);
        else
            st = plots[i].draw(&picture, subject, err);
        request->missing = picture.missing;
        free(path);
    }
    return st;
}

/* ---- of a stage ---- */

static enum status draw_counts(struct picture *picture, const struct subject *s, struct error *err)
{
    return plot_confusion(picture, s->history, s->test, s->metrics, false, err);
}

/* Of many classes the cells say nothing, and both would be the same. */
static enum status draw_shares(struct picture *picture, const struct subject *s, struct error *err)
{
    return s->history->classes > PLOT_NUMBERED_CLASSES
               ? ST_OK
               : plot_confusion(picture, s->history, s->test, s->metrics, true, err);
}

static void print_confusion(FILE *out, const struct subject *s)
{
    data_confusion(out, s->history, s->test, s->metrics);
}

enum status plots_write_stage(struct plot_request *request, const struct history *history,
                              const struct history_test *test, const struct metrics *metrics, int64_t stage,
                              struct error *err)
{
    static const struct plot plots[] = {{"confusion", draw_counts, print_confusion},
                                        {"shares", draw_shares, NULL}};
    const struct subject subject = {history, test, metrics};
    return write_plots(request, plots, sizeof(plots) / sizeof(*plots), &subject, stage, err);
}

/* ---- of the run ---- */

static enum status draw_learning(struct picture *picture, const struct subject *s, struct error *err)
{
    return plot_learning(picture, s->history, err);
}

static void print_learning(FILE *out, const struct subject *s)
{
    data_learning(out, s->history);
}

static enum status draw_progress(struct picture *picture, const struct subject *s, struct error *err)
{
    return plot_progress(picture, s->history, err);
}

static void print_progress(FILE *out, const struct subject *s)
{
    data_progress(out, s->history);
}

enum status plots_write_run(struct plot_request *request, const struct history *history, struct error *err)
{
    static const struct plot plots[] = {{"learning", draw_learning, print_learning},
                                        {"progress", draw_progress, print_progress}};
    const struct subject subject = {.history = history};
    return write_plots(request, plots, sizeof(plots) / sizeof(*plots), &subject, -1, err);
}
