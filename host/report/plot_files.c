/* Which plots a run has, and what their files are called. */
#include "host/base/file.h"
#include "host/report/budgets.h"
#include "host/report/plots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *report_plot_path(const struct plot_request *request, const char *name, int64_t number)
{
    static const char *const suffixes[] = {
        [PLOT_PNG] = ".png", [PLOT_SVG] = ".svg", [PLOT_PDF] = ".pdf", [PLOT_CSV] = ".csv"};
    return file_join_number(request->folder, name, number, suffixes[request->format]);
}

/* Makes one picture, and its numbers as comma-separated values. */
struct plot {
    const char *name;
    enum status (*draw)(struct picture *picture, const struct plots_stage *subject, struct error *err);
    void (*print)(FILE *out,
                  const struct plots_stage *subject); /* NULL: other plots have them, or there are none */
};

static enum status write_csv(const char *path, const struct plot *plot, const struct plots_stage *subject,
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
                               const struct plots_stage *subject, int64_t stage, struct error *err)
{
    enum status st = ST_OK;
    for (size_t i = 0; st == ST_OK && i < count; i++) {
        if (request->format == PLOT_CSV && plots[i].print == NULL)
            continue;
        char *path = report_plot_path(request, plots[i].name, stage);
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

static enum status draw_counts(struct picture *picture, const struct plots_stage *s, struct error *err)
{
    return plot_confusion(picture, s->history, s->test, s->metrics, false, err);
}

/* Of many classes the cells say nothing, and both would be the same. */
static enum status draw_shares(struct picture *picture, const struct plots_stage *s, struct error *err)
{
    return s->history->classes > PLOT_NUMBERED_CLASSES
               ? ST_OK
               : plot_confusion(picture, s->history, s->test, s->metrics, true, err);
}

static void print_confusion(FILE *out, const struct plots_stage *s)
{
    data_confusion(out, s->history, s->test, s->metrics);
}

static enum status draw_reliability(struct picture *picture, const struct plots_stage *s, struct error *err)
{
    return plot_reliability(picture, s->predictions, err);
}

static void print_reliability(FILE *out, const struct plots_stage *s)
{
    data_reliability(out, s->predictions);
}

static enum status draw_precision(struct picture *picture, const struct plots_stage *s, struct error *err)
{
    return plot_precision(picture, s->predictions, s->rankings, err);
}

enum status plots_write_stage(struct plot_request *request, const struct plots_stage *stage, int64_t number,
                              struct error *err)
{
    static const struct plot of_one[] = {{"confusion", draw_counts, print_confusion},
                                         {"shares", draw_shares, NULL}};
    static const struct plot of_several[] = {{"labels", plot_labels, data_labels}};
    static const struct plot predicted[] = {{"reliability", draw_reliability, print_reliability},
                                            {"precision", draw_precision, NULL}};
    enum status st =
        stage->history->several
            ? write_plots(request, of_several, sizeof(of_several) / sizeof(*of_several), stage, number, err)
            : write_plots(request, of_one, sizeof(of_one) / sizeof(*of_one), stage, number, err);
    if (st == ST_OK && stage->predictions != NULL)
        st = write_plots(request, predicted, sizeof(predicted) / sizeof(*predicted), stage, number, err);
    return st;
}

/* ---- of the run ---- */

static enum status draw_learning(struct picture *picture, const struct plots_stage *s, struct error *err)
{
    return plot_learning(picture, s->history, err);
}

static void print_learning(FILE *out, const struct plots_stage *s)
{
    data_learning(out, s->history);
}

static enum status draw_progress(struct picture *picture, const struct plots_stage *s, struct error *err)
{
    return plot_progress(picture, s->history, err);
}

static void print_progress(FILE *out, const struct plots_stage *s)
{
    data_progress(out, s->history);
}

static enum status draw_family(struct picture *picture, const struct plots_stage *s, struct error *err)
{
    return plot_family(picture, s->history, err);
}

/* Of a journal whose networks can't be read, and before there is a model, there is none. */
static enum status draw_network(struct picture *picture, const struct plots_stage *s, struct error *err)
{
    const struct history_model *best = history_best(s->history);
    struct graph graph = {0};
    struct error unread;
    char title[96];
    enum status st = best != NULL ? history_graph(s->history, best->id, &graph, &unread) : ST_RANGE;
    if (st == ST_MEMORY)
        *err = unread;
    if (st == ST_OK) {
        snprintf(title, sizeof(title), "The network of model %lld: %lld parameters", (long long)best->id,
                 (long long)best->parameters);
        st = plot_network(picture, &graph, title, err);
        graph_free(&graph);
        return st;
    }
    return st == ST_MEMORY ? st : ST_OK;
}

static enum status write_budgets(struct plot_request *request, const struct history *history,
                                 struct error *err)
{
    struct runs runs;
    enum status st = runs_of_one(history, &runs, err);
    if (st != ST_OK)
        return st;
    st = plots_write_budgets(request, &runs, err);
    runs_free(&runs);
    return st;
}

enum status plots_write_run(struct plot_request *request, const struct history *history, struct error *err)
{
    static const struct plot plots[] = {{"learning", draw_learning, print_learning},
                                        {"progress", draw_progress, print_progress},
                                        {"family", draw_family, NULL},
                                        {"network", draw_network, NULL}};
    const struct plots_stage subject = {.history = history};
    enum status st = write_plots(request, plots, sizeof(plots) / sizeof(*plots), &subject, -1, err);
    return st == ST_OK && budgets_in_one_unit(history) ? write_budgets(request, history, err) : st;
}
