/* The plots of a run, as PNG. */
#ifndef NASRUN_REPORT_PLOTS_H
#define NASRUN_REPORT_PLOTS_H

#include "host/report/history.h"
#include "host/report/metrics.h"

/* A stage's confusion matrix: a row for each true class, shaded by its share, with the counts in the cells up
 * to 30 classes. */
enum status plot_confusion(const char *path, const struct history *history, const struct history_test *test,
                           const struct metrics *metrics, struct error *err);

/* Loss and accuracy of every model against time; the final fit, or the best model before there is one, stands
 * out. */
enum status plot_learning(const char *path, const struct history *history, struct error *err);

/* Validation accuracy of every finished model against time, and the best so far. */
enum status plot_progress(const char *path, const struct history *history, struct error *err);

#endif
