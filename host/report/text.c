#include "host/report/text.h"

#include "host/base/text.h"
#include "host/report/cost.h"
#include "host/report/facts.h"
#include "host/report/json.h"
#include "host/report/verdict.h"

#include <math.h>
#include <string.h>

/* Names are shown up to that length, as file systems have it. */
enum { NAME_BYTES = 256 };

/* Characters of UTF-8 text, as scikit-learn counts a name's width. */
static int characters(const char *text)
{
    int count = 0;
    for (; *text != '\0'; text++)
        count += ((unsigned char)*text & 0xC0) != 0x80;
    return count;
}

/* Right-aligned in `width` characters; printf would count bytes. */
static void print_name(FILE *out, const char *text, int width)
{
    char name[NAME_BYTES];
    text_shown(text, name, sizeof(name));
    fprintf(out, "%*s%s ", width - characters(name), "", name);
}

static void print_row(FILE *out, const char *name, int width, const struct class_metrics *m)
{
    print_name(out, name, width);
    fprintf(out, " %9.4f %9.4f %9.4f %9lld\n", m->precision, m->recall, m->f1, (long long)m->support);
}

static void print_table(FILE *out, const struct history *history, const struct metrics *metrics)
{
    int width = (int)strlen("weighted avg");

    for (int32_t k = 0; k < metrics->classes; k++) {
        char name[NAME_BYTES];
        const int length = characters(text_shown(history->class_names[k], name, sizeof(name)));
        width = length > width ? length : width;
    }
    print_name(out, "", width);
    fprintf(out, " %9s %9s %9s %9s\n\n", "precision", "recall", "f1-score", "support");
    for (int32_t k = 0; k < metrics->classes; k++)
        print_row(out, history->class_names[k], width, &metrics->of_class[k]);
    fputc('\n', out);
    if (history->several) {
        print_row(out, "micro avg", width, &metrics->micro);
    } else {
        print_name(out, "accuracy", width);
        fprintf(out, " %9s %9s %9.4f %9lld\n", "", "", metrics->accuracy, (long long)metrics->samples);
    }
    print_row(out, "macro avg", width, &metrics->macro);
    print_row(out, "weighted avg", width, &metrics->weighted);
    if (history->several)
        print_row(out, "samples avg", width, &metrics->by_image);
}

/* Those that are not the job's, which may be none. */
static void print_hyperparameters(FILE *out, const struct history_hyperparameters *hyperparameters)
{
#define PRINT(name, usual_scale)                                                                             \
    if (!isnan(hyperparameters->name))                                                                       \
        fprintf(out, "train." #name ": %.6g\n", hyperparameters->name);
    JOB_SEARCHED(PRINT)
#undef PRINT
}

static double points(double share)
{
    return 100.0 * share;
}

/* "baseline: model 9 (resnet, 11173962 parameters), without a search" */
static void print_network(FILE *out, const struct history *history, int64_t id)
{
    const struct history_model *model = history_find(history, id);
    char start[NAME_BYTES];
    fprintf(out, "baseline: model %lld", (long long)id);
    if (model != NULL && model->start != NULL)
        fprintf(out, " (%s, %lld parameters)", text_shown(model->start, start, sizeof(start)),
                (long long)model->parameters);
    fprintf(out, ", without a search");
}

static void print_baseline(FILE *out, const struct history *history, const struct history_test *test,
                           const struct metrics *metrics)
{
    const struct history_baseline *baseline = &test->baseline;
    print_network(out, history, baseline->id);
    if (isnan(baseline->accuracy)) {
        fprintf(out, ", could not be trained\n");
        return;
    }
    const struct verdict verdict = verdict_of(baseline->better, baseline->worse, metrics->samples);
    fprintf(out, ", accuracy %.4f", baseline->accuracy);
    if (baseline->views > 1)
        fprintf(out, " (%.4f without views)", baseline->plain_accuracy);
    fprintf(
        out,
        "\nverdict: %s: %+.2f points (95 %%: %+.2f to %+.2f), %lld images right by the search alone, %lld "
        "without it alone, p = %.2g\n",
        verdict.low > 0.0    ? "the search was worth it"
        : verdict.high < 0.0 ? "no search would have been better"
                             : "no difference can be told",
        points(verdict.difference), points(verdict.low), points(verdict.high), (long long)baseline->better,
        (long long)baseline->worse, verdict.p);
}

static void print_branches(FILE *out, const struct history_branches *branches)
{
    fprintf(out, "branches: %d rounds, %d changes beside their controls, %d accepted\n", branches->rounds,
            branches->changes, branches->accepted);
    if (branches->morphs == 0)
        fprintf(out, "verdict: no morph was compared with its control\n");
    else
        fprintf(
            out,
            "verdict: morphs were worth %+.2f points of validation accuracy, %+.4f +- %.4f in loss (%d of "
            "them, 95 %%)\n",
            points(branches->gained_accuracy), branches->gain, VERDICT_WITHIN * branches->gain_deviation,
            branches->morphs);
}

/* What the search was worth, as far as anything tells. */
static void print_verdict(FILE *out, const struct history *history, const struct history_test *test,
                          const struct metrics *metrics)
{
    if (test->branches.changes > 0)
        print_branches(out, &test->branches);
    if (test->baseline.id >= 0)
        print_baseline(out, history, test, metrics);
    else if (test->awaits_baseline)
        fprintf(out, "baseline: still to be trained\n");
    else if (test->branches.changes == 0 && test->models > 0)
        fprintf(out, "verdict: nothing was compared with the search (baseline.start)\n");
}

/* What a network's answer costs beside what the job allows. A pass of an unknown size was not journalled. */
static void print_costs(FILE *out, const struct history_test *test, const struct history_model *winner)
{
    char device[NAME_BYTES];
    if (winner->parameters >= 0) {
        fprintf(out, "parameters: %lld", (long long)winner->parameters);
        if (test->max_parameters >= 0)
            fprintf(out, " (search.max_parameters: %lld)", (long long)test->max_parameters);
        fputc('\n', out);
    }
    if (!isnan(winner->flops)) {
        fprintf(out, "operations of an image: %.6g", winner->flops);
        if (!isnan(test->max_flops))
            fprintf(out, " (search.max_flops: %.6g)", test->max_flops);
        fputc('\n', out);
    }
    if (!isnan(test->latency_ms))
        fprintf(out, "time of an image: %.3g ms on %s (search.max_latency_ms: %.6g)\n", test->latency_ms,
                text_shown(test->latency_device, device, sizeof(device)), test->max_latency_ms);
}

void report_text(FILE *out, const struct history *history, const struct history_test *test,
                 const struct metrics *metrics, const struct rankings *rankings)
{
    const struct history_model *winner = history_find(history, test->id);

    print_table(out, history, metrics);
    fprintf(out, "\naccuracy: %.4f", metrics->accuracy);
    if (test->views > 1)
        fprintf(out, " (%.4f without views)", test->plain_accuracy);
    fprintf(out, "\n\n");
    facts_print_scores(out, history, test, metrics, rankings);
    fprintf(out, "stage: %lld\n", (long long)test->stage);
    if (test->budget[0] != '\0')
        fprintf(out, "budget: %s\n", test->budget);
    if (isfinite(test->elapsed_seconds))
        fprintf(out, "elapsed: %.1f s\n", test->elapsed_seconds);
    cost_print(out, history, test);
    fprintf(out, "models tried: %lld%s", (long long)test->models, test->models == 0 ? " (no search)" : "");
    if (test->failed > 0)
        fprintf(out, " (candidates that failed: %d)", test->failed);
    if (test->smaller > 0)
        fprintf(out, "\nmodels with a smaller batch for want of memory: %d", test->smaller);
    if (test->informed > 0)
        fprintf(out, "\nmodels chosen by search.prior, what earlier runs have shown: %d", test->informed);
    fprintf(out, "\nwinner: model %lld\n", (long long)test->id);
    if (winner != NULL && winner->final && winner->morphs > 0) /* a search over cells ends so */
        fprintf(out, "grown from: model %lld: %s\n", (long long)winner->parent, winner->made_by);
    facts_print_start_files(out, history);
    if (winner != NULL)
        print_costs(out, test, winner);
    if (winner != NULL && winner->layers >= 0)
        fprintf(out, "layers: %d\n", winner->layers);
    if (winner != NULL)
        print_hyperparameters(out, &winner->hyperparameters);
    if (history->skipped > 0)
        fprintf(out, "files skipped: %d, which could not be read\n", history->skipped);
    facts_print_warnings(out, history, test);
    print_verdict(out, history, test, metrics);
}

/* ---- JSON: each function is false when out of memory ---- */

static bool add_baseline(cJSON *json, const struct history *history, const struct history_test *test,
                         const struct metrics *metrics)
{
    const struct history_baseline *baseline = &test->baseline;
    if (baseline->id < 0)
        return cJSON_AddNullToObject(json, "baseline") != NULL;
    cJSON *object = cJSON_AddObjectToObject(json, "baseline");
    const struct verdict verdict = verdict_of(baseline->better, baseline->worse, metrics->samples);
    const struct history_model *model = history_find(history, baseline->id);
    const bool known = !isnan(baseline->accuracy);
    return object != NULL && json_add_number(object, "model", (double)baseline->id) &&
           json_add_text(object, "network", model != NULL ? model->start : NULL) &&
           json_add_count(object, "parameters", model != NULL ? model->parameters : -1) &&
           json_add_number(object, "accuracy", baseline->accuracy) &&
           json_add_number(object, "accuracy_without_views",
                           baseline->views > 1 ? baseline->plain_accuracy : baseline->accuracy) &&
           json_add_number(object, "better", (double)baseline->better) &&
           json_add_number(object, "worse", (double)baseline->worse) &&
           json_add_number(object, "difference", known ? verdict.difference : NAN) &&
           json_add_number(object, "low", known ? verdict.low : NAN) &&
           json_add_number(object, "high", known ? verdict.high : NAN) &&
           json_add_number(object, "p", known ? verdict.p : NAN);
}

static bool add_branches(cJSON *json, const struct history_branches *branches)
{
    if (branches->changes == 0)
        return cJSON_AddNullToObject(json, "branches") != NULL;
    cJSON *object = cJSON_AddObjectToObject(json, "branches");
    const bool known = branches->morphs > 0;
    return object != NULL && json_add_number(object, "rounds", branches->rounds) &&
           json_add_number(object, "changes", branches->changes) &&
           json_add_number(object, "accepted", branches->accepted) &&
           json_add_number(object, "morphs", branches->morphs) &&
           json_add_number(object, "accuracy", known ? branches->gained_accuracy : NAN) &&
           json_add_number(object, "loss", known ? branches->gain : NAN) &&
           json_add_number(object, "loss_interval", known ? VERDICT_WITHIN * branches->gain_deviation : NAN);
}

static bool add_metrics(cJSON *json, const struct class_metrics *m)
{
    return json_add_number(json, "precision", m->precision) && json_add_number(json, "recall", m->recall) &&
           json_add_number(json, "f1", m->f1) && json_add_number(json, "support", (double)m->support);
}

static bool add_average(cJSON *json, const char *key, const struct class_metrics *m,
                        const struct ranking *ranking)
{
    cJSON *average = cJSON_AddObjectToObject(json, key);
    return average != NULL && add_metrics(average, m) && facts_add_ranking(average, ranking);
}

static bool add_label_averages(cJSON *json, const struct metrics *metrics)
{
    cJSON *micro = cJSON_AddObjectToObject(json, "micro_average"),
          *by_image = cJSON_AddObjectToObject(json, "samples_average");
    return micro != NULL && by_image != NULL && add_metrics(micro, &metrics->micro) &&
           add_metrics(by_image, &metrics->by_image);
}

static bool add_classes(cJSON *json, const struct history *history, const struct history_test *test,
                        const struct metrics *metrics, const struct rankings *rankings)
{
    cJSON *classes = cJSON_AddArrayToObject(json, "classes");
    if (classes == NULL)
        return false;
    for (int32_t k = 0; k < metrics->classes; k++) {
        cJSON *row = cJSON_CreateObject();
        if (!cJSON_AddItemToArray(classes, row)) {
            cJSON_Delete(row);
            return false;
        }
        if (cJSON_AddStringToObject(row, "name", history->class_names[k]) == NULL ||
            !add_metrics(row, &metrics->of_class[k]) ||
            !facts_add_ranking(row, rankings != NULL ? &rankings->of_class[k] : NULL) ||
            (history->several && !facts_add_threshold(row, test, k)))
            return false;
    }
    return true;
}

static bool add_limits(cJSON *json, const struct history_test *test)
{
    cJSON *object = cJSON_AddObjectToObject(json, "limits");
    return object != NULL && json_add_count(object, "parameters", test->max_parameters) &&
           json_add_number(object, "flops", test->max_flops) &&
           json_add_number(object, "latency_ms", test->max_latency_ms);
}

cJSON *report_json(const struct history *history, const struct history_test *test,
                   const struct metrics *metrics, const struct rankings *rankings)
{
    const struct history_model *winner = history_find(history, test->id);
    cJSON *json = cJSON_CreateObject();

    if (!json_add_number(json, "stage", (double)test->stage) ||
        !json_add_number(json, "accuracy", metrics->accuracy) ||
        !json_add_number(json, "views", fmax(test->views, 1)) ||
        !json_add_number(json, "accuracy_without_views",
                         test->views > 1 ? test->plain_accuracy : metrics->accuracy) ||
        !json_add_number(json, "loss", test->loss) ||
        !json_add_number(json, "budget_seconds", test->budget_seconds) ||
        !json_add_number(json, "elapsed_seconds", test->elapsed_seconds) || !cost_add(json, history, test) ||
        !json_add_number(json, "models", (double)test->models) ||
        !json_add_number(json, "smaller_batches", (double)test->smaller) ||
        !json_add_number(json, "chosen_by_prior", (double)test->informed) ||
        !json_add_number(json, "winner", (double)test->id) ||
        !json_add_count(json, "parameters", winner != NULL ? winner->parameters : -1) ||
        !json_add_number(json, "flops", winner != NULL ? winner->flops : NAN) ||
        !json_add_number(json, "latency_ms", test->latency_ms) || !add_limits(json, test) ||
        !json_add_count(json, "layers", winner != NULL ? winner->layers : -1) ||
        !json_add_number(json, "skipped_files", history->skipped) ||
        !facts_add_hyperparameters(json, history, winner) || !add_baseline(json, history, test, metrics) ||
        !add_branches(json, &test->branches) || !add_classes(json, history, test, metrics, rankings) ||
        !add_average(json, "macro_average", &metrics->macro, rankings != NULL ? &rankings->macro : NULL) ||
        !add_average(json, "weighted_average", &metrics->weighted,
                     rankings != NULL ? &rankings->weighted : NULL) ||
        (history->several && !add_label_averages(json, metrics)) ||
        !facts_add_scores(json, history, test, metrics) || !facts_add_run(json, history, test)) {
        cJSON_Delete(json);
        return NULL;
    }
    return json;
}
