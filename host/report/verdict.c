#include "host/report/verdict.h"

#include <math.h>

/* Twice the part of `n` throws of a coin that show at most `k` heads. */
static double both_tails(int64_t k, int64_t n)
{
    const double all = lgamma((double)n + 1.0) - (double)n * log(2.0);
    double sum = 0.0;
    for (int64_t i = 0; i <= k; i++)
        sum += exp(all - lgamma((double)i + 1.0) - lgamma((double)(n - i) + 1.0));
    return fmin(2.0 * sum, 1.0);
}

struct verdict verdict_of(int64_t better, int64_t worse, int64_t images)
{
    const double n = (double)images + 2.0, first = ((double)better + 1.0) / n,
                 second = ((double)worse + 1.0) / n;
    const double centre = first - second,
                 half = VERDICT_WITHIN * sqrt(fmax(first + second - centre * centre, 0.0) / n);
    return (struct verdict){.difference = images > 0 ? (double)(better - worse) / (double)images : 0.0,
                            .low = fmax(centre - half, -1.0),
                            .high = fmin(centre + half, 1.0),
                            .p = both_tails(better < worse ? better : worse, better + worse)};
}
