/* What the journal says of tests. */
#include "host/report/history_internal.h"

#include "host/base/array.h"

#include <stdlib.h>
#include <string.h>

enum status history_copy_text(const char *text, char **copy, struct error *err)
{
    free(*copy);
    *copy = text != NULL ? strdup(text) : NULL;
    return text == NULL || *copy != NULL ? ST_OK : error_memory(err, "a text", strlen(text) + 1);
}

/* NULL when out of memory. */
static void *copy_values(const void *values, size_t bytes, struct error *err)
{
    void *copy = malloc(bytes);
    if (copy != NULL)
        memcpy(copy, values, bytes);
    else
        error_memory(err, "what was counted", bytes);
    return copy;
}

/* As many images in each row as in the first. */
static enum status check_label_counts(const struct history *history, const char *name,
                                      const struct event_table *table, int64_t images, struct error *err)
{
    if (table->rows != history->classes || table->columns != LABELS_COUNTS)
        return error_set(err, ST_FORMAT, "\"%s\" has %d rows of %d, expected %d of %d", name,
                         (int)table->rows, (int)table->columns, (int)history->classes, LABELS_COUNTS);
    for (int32_t k = 0; k < table->rows; k++) {
        const int64_t *row = table->values + (size_t)k * LABELS_COUNTS;
        const int64_t sum = row[0] + row[1] + row[2] + row[3];
        if (sum != images)
            return error_set(err, ST_FORMAT, "\"%s\" has %lld images in row %d, expected %lld", name,
                             (long long)sum, (int)k + 1, (long long)images);
    }
    return ST_OK;
}

static enum status check_numbers(const struct history *history, const char *name,
                                 const struct event_numbers *numbers, double most, struct error *err)
{
    if (numbers->count != history->classes)
        return error_set(err, ST_FORMAT, "\"%s\" has %d numbers, expected %d", name, (int)numbers->count,
                         (int)history->classes);
    for (int32_t k = 0; k < numbers->count; k++)
        if (!(numbers->items[k] >= 0.0 && numbers->items[k] <= most))
            return error_set(err, ST_FORMAT, "\"%s\" has %.17g, expected 0 to %.17g", name, numbers->items[k],
                             most);
    return ST_OK;
}

static enum status check_labels(const struct history *history, const struct event_test *event,
                                struct error *err)
{
    const struct event_table *counts = &event->label_counts;
    const int64_t *first = counts->values, images = counts->rows > 0 && counts->columns == LABELS_COUNTS
                                                        ? first[0] + first[1] + first[2] + first[3]
                                                        : 0;
    enum status st = check_label_counts(history, "label_counts", counts, images, err);
    if (st == ST_OK)
        st = check_label_counts(history, "label_counts_at_half", &event->label_counts_at_half, images, err);
    if (st == ST_OK)
        st = check_numbers(history, "label_thresholds", &event->label_thresholds, 1.0, err);
    if (st == ST_OK)
        st = check_numbers(history, "threshold_images", &event->threshold_images, INT32_MAX, err);
    if (st == ST_OK && !(event->accuracy >= 0.0 && event->accuracy <= 1.0))
        st = error_set(err, ST_FORMAT, "\"accuracy\" is %.17g, expected 0 to 1", event->accuracy);
    if (st == ST_OK && (event->exact < 0 || event->exact > images))
        st = error_set(err, ST_FORMAT, "\"exact\" is %d, expected 0 to %lld", (int)event->exact,
                       (long long)images);
    return st;
}

/* What the test counted of several labels. */
static enum status read_labels(const struct history *history, const struct event_test *event,
                               struct history_test *test, struct error *err)
{
    const size_t classes = (size_t)history->classes, bytes = classes * LABELS_COUNTS * sizeof(int64_t);
    const int64_t *first = event->label_counts.values;
    test->images = first[0] + first[1] + first[2] + first[3];
    test->labels.exact = event->exact;
    test->labels.by_image = (struct class_metrics){
        .precision = event->image_precision, .recall = event->image_recall, .f1 = event->image_f1};
    test->labels.counts = copy_values(event->label_counts.values, bytes, err);
    test->counts_at_half = copy_values(event->label_counts_at_half.values, bytes, err);
    test->thresholds = copy_values(event->label_thresholds.items, classes * sizeof(double), err);
    test->threshold_images = malloc(classes * sizeof(*test->threshold_images));
    if (test->labels.counts == NULL || test->counts_at_half == NULL || test->thresholds == NULL ||
        test->threshold_images == NULL)
        return error_memory(err, "counts of labels", bytes);
    for (size_t k = 0; k < classes; k++)
        test->threshold_images[k] = (int32_t)event->threshold_images.items[k];
    return ST_OK;
}

static enum status read_confusion(const struct history *history, const struct event_test *event,
                                  struct history_test *test, struct error *err)
{
    const size_t cells = (size_t)history->classes * (size_t)history->classes;
    for (size_t i = 0; i < cells; i++)
        test->images += event->confusion.values[i];
    test->counts = copy_values(event->confusion.values, cells * sizeof(int64_t), err);
    return test->counts != NULL ? ST_OK : err->status;
}

static enum status check_test(const struct history *history, const struct event_test *event,
                              struct error *err)
{
    if (history->classes == 0)
        return error_set(err, ST_FORMAT, "a test event before the run event");
    if (history->several)
        return check_labels(history, event, err);
    if (event->confusion.rows != history->classes)
        return error_set(err, ST_FORMAT, "\"confusion\" has %d rows, expected %d", (int)event->confusion.rows,
                         (int)history->classes);
    return ST_OK;
}

enum status history_read_test(struct history *history, const struct event_test *event, struct error *err)
{
    enum status st = check_test(history, event, err);
    if (st != ST_OK)
        return st;
    struct history_test *tests = array_with_room(history->tests, history->test_count, &history->test_capacity,
                                                 sizeof(*tests), "tests", err);
    if (tests == NULL)
        return err->status;
    history->tests = tests;
    struct history_test *test = &tests[history->test_count++];
    *test = (struct history_test){.stage = event->stage,
                                  .id = event->id,
                                  .accuracy = event->accuracy,
                                  .loss = event->loss,
                                  .views = event->views,
                                  .plain_accuracy = event->plain_accuracy,
                                  .budget_seconds = event->budget_seconds,
                                  .elapsed_seconds = event->elapsed_seconds,
                                  .models = event->models,
                                  .max_parameters = event->max_parameters,
                                  .max_flops = event->max_flops,
                                  .max_latency_ms = event->max_latency_ms,
                                  .latency_ms = event->latency_ms,
                                  .latency_device =
                                      strdup(event->latency_device == NULL ? "" : event->latency_device),
                                  .cost_per_hour = event->cost_per_hour,
                                  .energy = event->energy,
                                  .failed = history->failed,
                                  .smaller = history->smaller,
                                  .awaits_baseline = event->right != NULL,
                                  .baseline = {.id = -1},
                                  .branches = history_branches_of(history),
                                  .informed = history->informed,
                                  .temperature = event->temperature,
                                  .plain_temperature = event->plain_temperature,
                                  .calibrated_loss = event->calibrated_loss,
                                  .calibration_error = event->calibration_error,
                                  .calibrated_error = event->calibrated_error,
                                  .top5 = event->top5,
                                  .calibrated_by = event->calibrated_by,
                                  .amounts = history->amounts,
                                  .budget = strdup(history->budget == NULL ? "" : history->budget)};
    if (test->budget == NULL || test->latency_device == NULL)
        return error_memory(err, "a test", sizeof(*test));
    st =
        history->several ? read_labels(history, event, test, err) : read_confusion(history, event, test, err);
    if (st == ST_OK)
        st = history_copy_text(event->published, &test->published, err);
    if (st == ST_OK)
        st = history_copy_text(event->predictions, &test->predictions, err);
    if (st == ST_OK)
        st = history_copy_text(event->date, &test->date, err);
    if (st == ST_OK)
        st = history_copy_text(event->host, &test->host, err);
    if (st == ST_OK)
        st = history_copy_text(event->currency, &test->currency, err);
    return st == ST_OK ? history_copy_text(event->energy_source, &test->energy_source, err) : st;
}

/* Of the last test. */
enum status history_read_baseline(struct history *history, const struct event_baseline *event,
                                  struct error *err)
{
    struct history_test *test = history->test_count > 0 ? &history->tests[history->test_count - 1] : NULL;
    if (test == NULL || test->stage != event->stage)
        return error_set(err, ST_FORMAT, "no test of stage %d before it", (int)event->stage);
    test->awaits_baseline = false;
    test->baseline = (struct history_baseline){.id = event->id,
                                               .accuracy = event->accuracy,
                                               .plain_accuracy = event->plain_accuracy,
                                               .views = event->views,
                                               .better = event->better,
                                               .worse = event->worse};
    return ST_OK;
}

void history_free_test(struct history_test *test)
{
    free(test->counts);
    free(test->labels.counts);
    free(test->counts_at_half);
    free(test->thresholds);
    free(test->threshold_images);
    free(test->budget);
    free(test->published);
    free(test->predictions);
    free(test->date);
    free(test->host);
    free(test->latency_device);
    free(test->currency);
    free(test->energy_source);
}
