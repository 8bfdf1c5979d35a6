/* What a report says beside its table and its summary: how good the probabilities are, what speaks against the figures,
 * and, in JSON alone, what the run was. */
#ifndef NASRUN_REPORT_FACTS_H
#define NASRUN_REPORT_FACTS_H

#include "host/report/history.h"
#include "host/report/metrics.h"
#include "host/report/scores.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>

/* Lines of the scores and an empty one. rankings NULL: not known. */
void facts_print_scores(FILE *out, const struct history *history, const struct history_test *test,
                        const struct metrics *metrics, const struct rankings *rankings);
/* A line for each of: classes of few images, classes of very unequal sizes, few validation images, thresholds of labels
 * by few images. */
void facts_print_warnings(FILE *out, const struct history *history, const struct history_test *test);

/* A line for each starting network that is a file. */
void facts_print_start_files(FILE *out, const struct history *history);

/* "accuracy_low", "accuracy_high", "top5_accuracy", "calibration" and "confusion" or, with several labels,
 * "exact_match", "hamming_loss", "hamming_loss_at_half", "micro_f1_at_half", "macro_f1_at_half", "label_counts",
 * "label_counts_at_half". False when out of memory, as below. */
bool facts_add_scores(cJSON *json, const struct history *history, const struct history_test *test,
                      const struct metrics *metrics);
/* "threshold", "threshold_images" of a class, with several labels. */
bool facts_add_threshold(cJSON *json, const struct history_test *test, int32_t class);
/* "roc_auc", "average_precision"; null where they are not known. */
bool facts_add_ranking(cJSON *json, const struct ranking *ranking);
/* "version", "seed", "dataset", "devices", "precision", "start_files", "budget", "batch", "date", "host", "job". */
bool facts_add_run(cJSON *json, const struct history *history, const struct history_test *test);
/* What the winner was trained with, of what a search may choose; without the job (older journals) only what was chosen
 * for it. */
bool facts_add_hyperparameters(cJSON *json, const struct history *history,
                               const struct history_model *winner);

#endif
