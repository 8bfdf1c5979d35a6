/* The plots of a run. The ending of a picture's name says what it is (canvas.h). */
#ifndef NASRUN_REPORT_PLOTS_H
#define NASRUN_REPORT_PLOTS_H

#include "host/report/canvas.h"
#include "host/report/history.h"
#include "host/report/metrics.h"
#include "host/report/predictions.h"
#include "host/report/report.h"
#include "host/report/runs.h"
#include "host/report/scores.h"

struct plots_stage; /* below */

/* Of more classes a confusion matrix has no numbers. */
enum { PLOT_NUMBERED_CLASSES = 30 };

/* A stage's confusion matrix: a row for each true class, shaded by its share. Up to 30 classes the cells have the
 * counts, or with `shares` per cent of the true class; of more the pairs that are confused most are listed beside. */
enum status plot_confusion(struct picture *picture, const struct history *history,
                           const struct history_test *test, const struct metrics *metrics, bool shares,
                           struct error *err);

/* In its place where images have several labels: a bar for each class of what was rightly given, missed and falsely
 * given. Of more than 40 classes the worst, beside the F1 of all. */
enum status plot_labels(struct picture *picture, const struct plots_stage *stage, struct error *err);

/* Loss and accuracy of every model against its own epochs. The best model (history_best) and those that it comes from
 * stand out. */
enum status plot_learning(struct picture *picture, const struct history *history, struct error *err);

/* Validation accuracy of every finished model against time, the best so far, the tests and the budgets' ends. */
enum status plot_progress(struct picture *picture, const struct history *history, struct error *err);

/* Of the test images in `predictions`: accuracy against the probability of the answer, of several labels the share that
 * has one against its probability; precision against recall, of up to twelve classes, the worst if there are more. */
enum status plot_reliability(struct picture *picture, const struct predictions *predictions,
                             struct error *err);
enum status plot_precision(struct picture *picture, const struct predictions *predictions,
                           const struct rankings *rankings, struct error *err);

/* Which model came from which, by what, and what that brought. Of very many the best, with those that they come from.
 * */
enum status plot_family(struct picture *picture, const struct history *history, struct error *err);

/* A network from its image to its classes; `graph` is inferred. */
enum status plot_network(struct picture *picture, const struct graph *graph, const char *title,
                         struct error *err);

/* What these plots show, as comma-separated values. Write errors stick in the stream. */
void data_confusion(FILE *out, const struct history *history, const struct history_test *test,
                    const struct metrics *metrics);
void data_labels(FILE *out, const struct plots_stage *stage);
void data_reliability(FILE *out, const struct predictions *predictions);
void data_learning(FILE *out, const struct history *history);
void data_progress(FILE *out, const struct history *history);

/* What the plots of a tested stage are made of. */
struct plots_stage {
    const struct history *history;
    const struct history_test *test;
    const struct metrics *metrics;
    const struct predictions *predictions; /* NULL: they are not there */
    const struct rankings *rankings;       /* of the predictions */
};

/* All that there are of a tested stage, with its number in their names unless that is below 0, and of the whole run.
 * The request has a folder. */
enum status plots_write_stage(struct plot_request *request, const struct plots_stage *stage, int64_t number,
                              struct error *err);
enum status plots_write_run(struct plot_request *request, const struct history *history, struct error *err);
/* budgets.png: accuracy against budget, of a run with several stages or of several runs. */
enum status plots_write_budgets(struct plot_request *request, const struct runs *runs, struct error *err);

#endif
