/* Several runs as text: the table of budgets and seeds, the runs in pairs, comma-separated values. */
#include "host/base/csv.h"
#include "host/base/text.h"
#include "host/report/predictions.h"
#include "host/report/runs.h"

#include <math.h>
#include <stdlib.h>

/* Of more runs not each two are compared, but each with the first. */
enum { ALL_PAIRS = 8, NAME_BYTES = 256 };

/* ---- the table ---- */

/* Whether it is the first result of its seed, in the order of results of a row. */
static bool seed_is_new(const struct runs *runs, int32_t index)
{
    for (int32_t i = 0; i < index; i++)
        if (runs->results[i].seed == runs->results[index].seed)
            return false;
    return true;
}

static int compare_seeds(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* All seeds in rising order; malloc'd. */
static enum status find_seeds(const struct runs *runs, int64_t **seeds, int32_t *count, struct error *err)
{
    *count = 0;
    *seeds = malloc((size_t)runs->result_count * sizeof(**seeds));
    if (*seeds == NULL)
        return error_memory(err, "seeds", (size_t)runs->result_count * sizeof(**seeds));
    for (int32_t i = 0; i < runs->result_count; i++)
        if (seed_is_new(runs, i))
            (*seeds)[(*count)++] = runs->results[i].seed;
    qsort(*seeds, (size_t)*count, sizeof(**seeds), compare_seeds);
    return ST_OK;
}

/* The mean of the results of that row and seed, of which there is usually one; NAN: none. */
static double result_of(const struct runs *runs, const struct runs_row *row, int64_t seed, bool baseline)
{
    double sum = 0;
    int32_t count = 0;
    for (int32_t i = 0; i < runs->result_count; i++) {
        const struct runs_result *result = &runs->results[i];
        const double value = baseline ? result->baseline : result->accuracy;
        if (result->job == row->job && result->unit == row->unit && result->budget == row->budget &&
            result->seed == seed && isfinite(value)) {
            sum += value;
            count++;
        }
    }
    return count > 0 ? sum / count : NAN;
}

static void print_number(FILE *out, double value)
{
    if (isfinite(value))
        fprintf(out, " %10.4f", value);
    else
        fprintf(out, " %10s", "-");
}

static void print_row(FILE *out, const struct runs *runs, const struct runs_row *row, const int64_t *seeds,
                      int32_t seed_count, bool baseline)
{
    const struct runs_mean *mean = baseline ? &row->baseline : &row->search;
    char budget[64];
    runs_budget_text(row->unit, row->budget, budget, sizeof(budget));
    fprintf(out, "%18s", baseline ? "without a search" : budget);
    for (int32_t i = 0; i < seed_count; i++)
        print_number(out, result_of(runs, row, seeds[i], baseline));
    fprintf(out, " %6d", mean->count);
    print_number(out, mean->mean);
    print_number(out, mean->deviation);
    fputc('\n', out);
}

static enum status print_table(const struct runs *runs, FILE *out, struct error *err)
{
    int64_t *seeds;
    int32_t seed_count;
    char seed[32], job[NAME_BYTES];
    enum status st = find_seeds(runs, &seeds, &seed_count, err);
    if (st != ST_OK)
        return st;
    fprintf(out, "%18s", "budget");
    for (int32_t i = 0; i < seed_count; i++) {
        snprintf(seed, sizeof(seed), "seed %lld", (long long)seeds[i]);
        fprintf(out, " %10s", seed);
    }
    fprintf(out, " %6s %10s %10s\n", "runs", "mean", "deviation");
    for (int32_t i = 0; i < runs->row_count; i++) {
        const struct runs_row *row = &runs->rows[i];
        if (runs->job_count > 1 && (i == 0 || row[-1].job != row->job))
            fprintf(out, "\n%s\n", text_shown(runs->jobs[row->job], job, sizeof(job)));
        print_row(out, runs, row, seeds, seed_count, false);
        if (row->baseline.count > 0)
            print_row(out, runs, row, seeds, seed_count, true);
    }
    fprintf(out, "\naccuracies on the test images; deviation of one run, from all of its row\n");
    if (runs->shared)
        fprintf(out,
                "some of the runs have several stages, which share work: their rows are not independent\n");
    free(seeds);
    return ST_OK;
}

/* ---- two runs ---- */

static void print_comparison(FILE *out, const struct comparison *c)
{
    fprintf(
        out,
        "%+.2f points (95 %%: %+.2f to %+.2f), %lld of %d images right by the first alone, %lld by the second"
        " alone, p = %.2g\n",
        100 * c->difference, 100 * c->low, 100 * c->high, (long long)c->better, c->images,
        (long long)c->worse, c->p);
}

static void print_pair(const struct runs *runs, const struct predictions *all, int32_t first, int32_t second,
                       FILE *out)
{
    char names[2][NAME_BYTES];
    struct comparison comparison;
    struct error err;
    fprintf(out, "%s - %s: ", text_shown(runs->folders[first], names[0], NAME_BYTES),
            text_shown(runs->folders[second], names[1], NAME_BYTES));
    if (predictions_compare(&all[first], &all[second], &comparison, &err) == ST_OK)
        print_comparison(out, &comparison);
    else
        fprintf(out, "not compared: %s\n", err.message);
}

/* The last stage's predictions of a run; without rows where they can't be read. */
static void read_predictions(const char *folder, struct predictions *predictions)
{
    struct error ignored;
    char *path = predictions_path(folder, -1);
    *predictions = (struct predictions){0};
    if (path != NULL)
        predictions_read(path, predictions, &ignored);
    free(path);
}

static enum status print_pairs(const struct runs *runs, FILE *out, struct error *err)
{
    char name[NAME_BYTES];
    int32_t known = 0;
    struct predictions *all = calloc((size_t)runs->count, sizeof(*all));
    if (all == NULL)
        return error_memory(err, "predictions", (size_t)runs->count * sizeof(*all));
    for (int32_t i = 0; i < runs->count; i++) {
        read_predictions(runs->folders[i], &all[i]);
        known += all[i].count > 0;
    }
    if (known > 1)
        fprintf(out, "\nthe last stages in pairs, image by image (McNemar's exact test)\n");
    for (int32_t i = 0; i < (runs->count <= ALL_PAIRS ? runs->count : 1); i++)
        for (int32_t k = i + 1; k < runs->count; k++)
            if (all[i].count > 0 && all[k].count > 0)
                print_pair(runs, all, i, k, out);
    for (int32_t i = 0; i < runs->count; i++) {
        if (all[i].count == 0)
            fprintf(out, "%s: not compared image by image: no predictions.csv can be read\n",
                    text_shown(runs->folders[i], name, sizeof(name)));
        predictions_free(&all[i]);
    }
    free(all);
    return ST_OK;
}

enum status runs_print(const struct runs *runs, FILE *out, struct error *err)
{
    enum status st = print_table(runs, out, err);
    return st == ST_OK ? print_pairs(runs, out, err) : st;
}

void runs_print_csv(const struct runs *runs, FILE *out)
{
    static const char *const units[RUNS_UNITS] = {"seconds", "steps", "models"};
    fprintf(out, "run,job,unit,budget,seed,stage,accuracy,baseline\n");
    for (int32_t i = 0; i < runs->result_count; i++) {
        const struct runs_result *result = &runs->results[i];
        csv_write(out, runs->folders[result->run]);
        fputc(',', out);
        csv_write(out, runs->jobs[result->job]);
        fprintf(out, ",%s,%.17g,%lld,%lld,%.17g,", units[result->unit], result->budget,
                (long long)result->seed, (long long)result->stage, result->accuracy);
        if (isfinite(result->baseline))
            fprintf(out, "%.17g", result->baseline);
        fputc('\n', out);
    }
}
