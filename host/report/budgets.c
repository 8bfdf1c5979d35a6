#include "host/report/budgets.h"

#include "host/base/text.h"
#include "host/report/cost.h"
#include "host/report/json.h"
#include "host/report/runs.h"
#include "host/report/scores.h"

#include <math.h>

enum { NAME_BYTES = 256 };

/* What one stage has reached. */
struct row {
    enum runs_unit unit;
    double budget; /* NAN: unknown */
    double low, high, plain, baseline;
    double cost;        /* in the test's currency; NAN: unknown */
    int64_t parameters; /* -1: unknown */
};

static struct row row_of(const struct history *history, const struct history_test *test)
{
    const struct history_model *winner = history_find(history, test->id);
    struct row row = {.plain = test->views > 1 ? test->plain_accuracy : test->accuracy,
                      .baseline = test->baseline.id >= 0 ? test->baseline.accuracy : NAN,
                      .cost = cost_of(history, test),
                      .parameters = winner != NULL ? winner->parameters : -1};
    row.unit = runs_unit_of(&test->amounts, &row.budget);
    scores_interval(llround(test->accuracy * (double)test->images), test->images, &row.low, &row.high);
    return row;
}

bool budgets_in_one_unit(const struct history *history)
{
    double budget;
    bool same = history->test_count > 1;
    for (int32_t i = 0; i < history->test_count; i++) {
        const enum runs_unit unit = runs_unit_of(&history->tests[i].amounts, &budget);
        same = same && unit != RUNS_UNITS && unit == runs_unit_of(&history->tests[0].amounts, &budget);
    }
    return same;
}

/* ---- text ---- */

static void print_share(FILE *out, double share)
{
    if (isfinite(share))
        fprintf(out, " %9.4f", share);
    else
        fprintf(out, " %9s", "-");
}

static bool has_cost(const struct history *history)
{
    bool found = false;
    for (int32_t i = 0; i < history->test_count; i++)
        found = found || isfinite(cost_of(history, &history->tests[i]));
    return found;
}

static void print_row(FILE *out, const struct history_test *test, const struct row *row)
{
    char budget[64] = "-", currency[NAME_BYTES];
    if (row->unit != RUNS_UNITS)
        runs_budget_text(row->unit, row->budget, budget, sizeof(budget));
    fprintf(out, "%14s", budget);
    print_share(out, test->accuracy);
    fprintf(out, "   %.4f to %.4f", row->low, row->high);
    print_share(out, row->plain);
    print_share(out, row->baseline);
    fprintf(out, " %10lld", (long long)test->models);
    if (row->parameters >= 0)
        fprintf(out, " %10lld", (long long)row->parameters);
    else
        fprintf(out, " %10s", "-");
    if (isfinite(test->elapsed_seconds))
        fprintf(out, " %11.1f s", test->elapsed_seconds);
    else
        fprintf(out, " %13s", "-");
    if (isfinite(row->cost))
        fprintf(out, " %11.2f %s", row->cost, text_shown(test->currency, currency, sizeof(currency)));
    fputc('\n', out);
}

void budgets_print(FILE *out, const struct history *history)
{
    if (history->test_count < 2)
        return;
    fprintf(out, "\n%14s %9s   %16s %9s %9s %10s %10s %13s%s\n\n", "budget", "accuracy", "interval of 95 %",
            "one view", "baseline", "candidates", "parameters", "elapsed",
            has_cost(history) ? "        cost" : "");
    for (int32_t i = 0; i < history->test_count; i++) {
        const struct row row = row_of(history, &history->tests[i]);
        print_row(out, &history->tests[i], &row);
    }
    fprintf(
        out,
        "\naccuracies on the test images; a stage goes on from those before it, and its budget, candidates "
        "and time are all until then\n");
}

/* ---- JSON ---- */

static bool add_row(cJSON *json, const struct history_test *test, const struct row *row)
{
    static const char *const units[] = {"seconds", "steps", "models", NULL};
    return json_add_number(json, "stage", (double)test->stage) &&
           json_add_number(json, "budget", row->budget) && json_add_text(json, "unit", units[row->unit]) &&
           json_add_number(json, "accuracy", test->accuracy) &&
           json_add_number(json, "accuracy_low", row->low) &&
           json_add_number(json, "accuracy_high", row->high) &&
           json_add_number(json, "accuracy_without_views", row->plain) &&
           json_add_number(json, "models", (double)test->models) &&
           json_add_count(json, "parameters", row->parameters) &&
           json_add_number(json, "elapsed_seconds", test->elapsed_seconds) &&
           json_add_number(json, "cost", row->cost) && json_add_number(json, "energy_joules", test->energy) &&
           json_add_number(json, "baseline", row->baseline);
}

bool budgets_add(cJSON *json, const struct history *history)
{
    cJSON *budgets = cJSON_AddArrayToObject(json, "budgets");
    bool added = budgets != NULL;
    for (int32_t i = 0; added && i < history->test_count; i++) {
        const struct row row = row_of(history, &history->tests[i]);
        cJSON *object = cJSON_CreateObject();
        if (!cJSON_AddItemToArray(budgets, object)) {
            cJSON_Delete(object);
            return false;
        }
        added = add_row(object, &history->tests[i], &row);
    }
    return added;
}
