/* What history.c and history_test.c share. */
#ifndef NASRUN_REPORT_HISTORY_INTERNAL_H
#define NASRUN_REPORT_HISTORY_INTERNAL_H

#include "host/report/history.h"

/* *copy is the caller's to free; NULL of NULL. */
enum status history_copy_text(const char *text, char **copy, struct error *err);

/* A test becomes the history's last. */
enum status history_read_test(struct history *history, const struct event_test *event, struct error *err);
/* Of the last test. */
enum status history_read_baseline(struct history *history, const struct event_baseline *event,
                                  struct error *err);
/* What the test owns. */
void history_free_test(struct history_test *test);

#endif
