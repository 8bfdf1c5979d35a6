/* The verdict: what the search was worth. Beside a training without a search on the same test images, where there was
 * one (baseline.start); else by the changes that were tried on a trunk beside their control (search.branches). */
#ifndef NASRUN_REPORT_VERDICT_H
#define NASRUN_REPORT_VERDICT_H

#include <stdint.h>

/* Two answers to each of `images` images: `better` are right by the first alone, `worse` by the second alone.
 *
 * difference   of the accuracies
 * low, high    its interval of 95 % for paired proportions (Bonett and Price 2012, "Adjusted Wald confidence interval
 *              for a difference of binomial proportions based on paired data")
 * p            that such a difference, or a larger one, is chance: McNemar's test, exact */
#define VERDICT_WITHIN 1.959963984540054 /* of the normal distribution 95 % lie within so many deviations */
struct verdict {
    double difference, low, high, p;
};
struct verdict verdict_of(int64_t better, int64_t worse, int64_t images);

#endif
