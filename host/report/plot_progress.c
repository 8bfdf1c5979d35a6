/* The search's progress: accuracies against time. */
#include "host/report/axes.h"
#include "host/report/plots.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { WIDTH = 1200, HEIGHT = 900, LEFT = 110, RIGHT = 40 };

struct time_unit {
    const char *label;
    double seconds;
};

static struct time_unit unit_for(double seconds)
{
    if (seconds < 600)
        return (struct time_unit){"time since the run began (seconds)", 1};
    if (seconds < 6 * 3600)
        return (struct time_unit){"time since the run began (minutes)", 60};
    return (struct time_unit){"time since the run began (hours)", 3600};
}

/* Where a stage's budget ends in time; NAN where it is counted otherwise. */
static double clock_budget(const struct history *history, const struct history_test *test)
{
    return history->model_clock ? NAN : test->budget_seconds;
}

/* Seconds of the last epoch, model, test or budget; 1 when there is none. */
static double last_time(const struct history *history)
{
    double last = 0;
    for (int32_t i = 0; i < history->model_count; i++) {
        const struct history_model *model = &history->models[i];
        last = fmax(last, model->time); /* NAN is passed over */
        for (int32_t k = 0; k < model->point_count; k++)
            last = fmax(last, model->points[k].time);
    }
    for (int32_t i = 0; i < history->test_count; i++)
        last = fmax(last, fmax(history->tests[i].elapsed_seconds, clock_budget(history, &history->tests[i])));
    return last > 0 ? last : 1;
}

static int compare_times(const void *a, const void *b)
{
    const struct history_model *x = *(const struct history_model *const *)a;
    const struct history_model *y = *(const struct history_model *const *)b;
    return (x->time > y->time) - (x->time < y->time);
}

/* The finished models with a validation accuracy by time of finishing; malloc'd. */
static enum status finished_models(const struct history *history, const struct history_model ***models,
                                   int32_t *count, struct error *err)
{
    size_t room = (size_t)history->model_count + 1;

    *count = 0;
    *models = malloc(room * sizeof(**models));
    if (*models == NULL)
        return error_memory(err, "models of a plot", room * sizeof(**models));
    for (int32_t i = 0; i < history->model_count; i++)
        if (history->models[i].finished && !history->models[i].baseline &&
            isfinite(history->models[i].validation_accuracy))
            (*models)[(*count)++] = &history->models[i];
    qsort(*models, (size_t)*count, sizeof(**models), compare_times);
    return ST_OK;
}

/* The best accuracy so far as stairs, held to the right edge. */
static void draw_best(struct canvas *canvas, const struct axes *axes,
                      const struct history_model *const *models, int32_t count, double unit)
{
    double best = -INFINITY;

    canvas_colour(canvas, COLOUR_BLUE);
    cairo_set_line_width(canvas->cairo, 2.5);
    cairo_new_path(canvas->cairo);
    for (int32_t i = 0; i < count; i++) {
        double x = axes_x(axes, models[i]->time / unit);
        if (!(models[i]->validation_accuracy > best))
            continue;
        if (isfinite(best))
            cairo_line_to(canvas->cairo, x, axes_y(axes, best));
        best = models[i]->validation_accuracy;
        if (cairo_has_current_point(canvas->cairo))
            cairo_line_to(canvas->cairo, x, axes_y(axes, best));
        else
            cairo_move_to(canvas->cairo, x, axes_y(axes, best));
    }
    if (cairo_has_current_point(canvas->cairo))
        cairo_line_to(canvas->cairo, axes->left + axes->width, axes_y(axes, best));
    cairo_stroke(canvas->cairo);
}

/* The end of each tested stage: its budget where that is time, else when it was tested. */
static void draw_budgets(struct canvas *canvas, const struct axes *axes, const struct history *history,
                         double unit)
{
    static const double dashes[] = {6, 5};

    for (int32_t i = 0; i < history->test_count; i++) {
        const struct history_test *test = &history->tests[i];
        const double budget = clock_budget(history, test),
                     end = isfinite(budget) ? budget : test->elapsed_seconds;
        if (!isfinite(end))
            continue;
        const double x = axes_x(axes, end / unit);
        canvas_colour(canvas, COLOUR_GREY);
        cairo_set_line_width(canvas->cairo, 1.5);
        cairo_set_dash(canvas->cairo, dashes, 2, 0);
        cairo_move_to(canvas->cairo, x, axes->top);
        cairo_line_to(canvas->cairo, x, axes->top + axes->height);
        cairo_stroke(canvas->cairo);
        cairo_set_dash(canvas->cairo, NULL, 0, 0);
        canvas_colour(canvas, COLOUR_INK);
        canvas_text(canvas, x - 10, axes->top + axes->height - 12,
                    (struct text_style){.size = 14, .anchor = TEXT_LEFT, .upwards = true}, test->budget);
    }
}

/* A test's accuracy, and that of the training without a search. */
static void draw_tests(struct canvas *canvas, const struct axes *axes, const struct history *history,
                       double unit)
{
    char number[32];

    for (int32_t i = 0; i < history->test_count; i++) {
        const struct history_test *test = &history->tests[i];
        const double x = axes_x(axes, test->elapsed_seconds / unit), y = axes_y(axes, test->accuracy);
        if (!isfinite(x) || !isfinite(y))
            continue;
        if (test->baseline.id >= 0 && isfinite(test->baseline.accuracy)) {
            canvas_colour(canvas, COLOUR_GREEN);
            canvas_mark(canvas, x, axes_y(axes, test->baseline.accuracy), MARK_DIAMOND, 8);
        }
        canvas_colour(canvas, COLOUR_ORANGE);
        canvas_mark(canvas, x, y, MARK_DIAMOND, 9);
        canvas_colour(canvas, COLOUR_INK);
        snprintf(number, sizeof(number), "%.4f", test->accuracy);
        canvas_text(canvas, x - 14, y, (struct text_style){.size = 15, .anchor = TEXT_RIGHT, .bold = true},
                    number);
    }
}

static void reach(struct axes *axes, double accuracy)
{
    axes->y_low = fmin(axes->y_low, accuracy); /* NAN is passed over */
    axes->y_high = fmax(axes->y_high, accuracy);
}

static void choose_range(struct axes *axes, const struct history *history,
                         const struct history_model *const *models, int32_t count)
{
    axes->y_low = INFINITY;
    axes->y_high = -INFINITY;
    for (int32_t i = 0; i < count; i++)
        reach(axes, models[i]->validation_accuracy);
    for (int32_t i = 0; i < history->test_count; i++) {
        reach(axes, history->tests[i].accuracy);
        if (history->tests[i].baseline.id >= 0)
            reach(axes, history->tests[i].baseline.accuracy);
    }
    axes_round_range(&axes->y_low, &axes->y_high);
}

static void draw_legend(struct canvas *canvas, const struct history *history)
{
    struct legend_entry legend[5] = {{COLOUR_BLUE, 2.5, MARK_NONE, "best so far, validation"},
                                     {COLOUR_GREY, 0, MARK_DISC, "a model of the search"},
                                     {COLOUR_RED, 0, MARK_DISC, "a final fit"}};
    int count = 3;
    bool baseline = false;

    for (int32_t i = 0; i < history->test_count; i++)
        baseline = baseline || history->tests[i].baseline.id >= 0;
    if (history->test_count > 0)
        legend[count++] = (struct legend_entry){COLOUR_ORANGE, 0, MARK_DIAMOND, "on the test images"};
    if (baseline)
        legend[count++] = (struct legend_entry){COLOUR_GREEN, 0, MARK_DIAMOND, "without a search"};
    canvas_legend(canvas, LEFT, 74, legend, count);
}

enum status plot_progress(struct picture *picture, const struct history *history, struct error *err)
{
    struct canvas canvas;
    const struct history_model **models = NULL;
    int32_t count = 0;
    enum status st = canvas_open(&canvas, picture, WIDTH, HEIGHT, err);
    if (st != ST_OK)
        return st;
    st = finished_models(history, &models, &count, err);
    if (st != ST_OK)
        goto out;
    double last = last_time(history);
    struct time_unit unit = unit_for(last);
    struct axes axes = {.left = LEFT,
                        .top = 100,
                        .width = WIDTH - LEFT - RIGHT,
                        .height = 705,
                        .x_label = unit.label,
                        .y_label = "accuracy"};
    axes.x_high = 1.02 * last / unit.seconds;
    choose_range(&axes, history, models, count);
    canvas_title(&canvas, "Progress of the search");
    draw_legend(&canvas, history);
    axes_draw(&canvas, &axes);
    axes_begin(&canvas, &axes);
    draw_budgets(&canvas, &axes, history, unit.seconds);
    draw_best(&canvas, &axes, models, count, unit.seconds);
    axes_end(&canvas);
    for (int32_t i = 0; i < count; i++) { /* not clipped: a disc on the frame is drawn whole */
        canvas_colour(&canvas, models[i]->final ? COLOUR_RED : COLOUR_GREY);
        canvas_mark(&canvas, axes_x(&axes, models[i]->time / unit.seconds),
                    axes_y(&axes, models[i]->validation_accuracy), MARK_DISC, models[i]->final ? 7 : 5);
    }
    draw_tests(&canvas, &axes, history, unit.seconds);
    st = canvas_save(&canvas, err);
out:
    free(models);
    canvas_close(&canvas);
    return st;
}
