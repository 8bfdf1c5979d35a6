/* The lists that nasstudy is told: budgets and seeds. */
#ifndef NASRUN_TOOLS_STUDY_H
#define NASRUN_TOOLS_STUDY_H

#include "host/base/error.h"

#include <stdint.h>

enum { STUDY_LIST_MOST = 1000 };

struct study_list {
    double values[STUDY_LIST_MOST]; /* rising, each once */
    int32_t count;
};

/* "900,3600": rising numbers above 0. */
enum status study_read_budgets(const char *text, struct study_list *list, struct error *err);

/* "1-3,7": whole numbers from 0, rising, and ranges of such. */
enum status study_read_seeds(const char *text, struct study_list *list, struct error *err);

#endif
