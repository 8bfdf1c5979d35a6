/* The two plots against time: learning curves and the search's progress. */
#include "host/report/canvas.h"
#include "host/report/plots.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 1200, HEIGHT = 900, LEFT = 110, RIGHT = 40 };

/* ---- time ---- */

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

/* Seconds of the last epoch or model; 1 when there is none. */
static double last_time(const struct history *history)
{
    double last = 0;
    for (int32_t i = 0; i < history->model_count; i++) {
        const struct history_model *model = &history->models[i];
        last = fmax(last, model->time); /* NAN is passed over */
        for (int32_t k = 0; k < model->point_count; k++)
            last = fmax(last, model->points[k].time);
    }
    return last > 0 ? last : 1;
}

/* ---- learning curves ---- */

/* The four series of a model's epochs. */
enum series { TRAINING_LOSS, VALIDATION_LOSS, TRAINING_ACCURACY, VALIDATION_ACCURACY };

static double value_of(const struct history_point *point, enum series series)
{
    switch (series) {
    case TRAINING_LOSS:
        return point->loss;
    case VALIDATION_LOSS:
        return point->validation_loss;
    case TRAINING_ACCURACY:
        return point->accuracy;
    case VALIDATION_ACCURACY:
        return point->validation_accuracy;
    }
    return NAN;
}

/* A line through the finite values; with few points also a disc at each, which for a single epoch is all
 * that is seen and so is larger. */
static void draw_series(struct canvas *canvas, const struct axes *axes, const struct history_model *model,
                        enum series series, double unit, double line_width)
{
    bool begun = false;

    cairo_set_line_width(canvas->cairo, line_width);
    cairo_new_path(canvas->cairo);
    for (int32_t i = 0; i < model->point_count; i++) {
        double value = value_of(&model->points[i], series);
        if (!isfinite(value))
            continue;
        double x = axes_x(axes, model->points[i].time / unit), y = axes_y(axes, value);
        if (begun)
            cairo_line_to(canvas->cairo, x, y);
        else
            cairo_move_to(canvas->cairo, x, y);
        begun = true;
    }
    cairo_stroke(canvas->cairo);
    for (int32_t i = 0; model->point_count <= 40 && i < model->point_count; i++) {
        double value = value_of(&model->points[i], series);
        if (isfinite(value))
            canvas_mark(canvas, axes_x(axes, model->points[i].time / unit), axes_y(axes, value), MARK_DISC,
                        model->point_count == 1 ? 2.5 + line_width : 1.2 + line_width / 2);
    }
}

/* Whether the model's curves stand out: final fits; without one the best model so far. */
static bool stands_out(const struct history *history, const struct history_model *model)
{
    const struct history_model *best = NULL;
    for (int32_t i = 0; i < history->model_count; i++) {
        const struct history_model *other = &history->models[i];
        if (other->final)
            return model->final;
        if (!other->baseline && isfinite(other->validation_accuracy) &&
            (best == NULL || other->validation_accuracy > best->validation_accuracy))
            best = other;
    }
    return model == best;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The range of two series over all models. A few huge losses of a network's first steps would flatten all the
 * rest, so the top is at most three times what nine of ten values stay below. [0, 1] when there are no
 * values. */
static enum status range_of(const struct history *history, enum series first, enum series second, double *low,
                            double *high, struct error *err)
{
    size_t count = 0, room = 1;

    for (int32_t i = 0; i < history->model_count; i++)
        room += 2 * (size_t)history->models[i].point_count;
    double *values = malloc(room * sizeof(*values));
    if (values == NULL)
        return error_memory(err, "values of a plot", room * sizeof(*values));
    for (int32_t i = 0; i < history->model_count; i++) {
        const struct history_model *model = &history->models[i];
        for (int32_t k = 0; k < model->point_count; k++) {
            double pair[] = {value_of(&model->points[k], first), value_of(&model->points[k], second)};
            for (int j = 0; j < 2; j++)
                if (isfinite(pair[j]))
                    values[count++] = pair[j];
        }
    }
    qsort(values, count, sizeof(*values), compare_doubles);
    *low = count > 0 ? values[0] : 0;
    *high = count > 0 ? fmin(values[count - 1], 3 * values[count * 9 / 10]) : 1;
    free(values);
    axes_round_range(low, high);
    return ST_OK;
}

static struct colour colour_by_age(const struct history *history, int32_t index)
{
    struct colour c =
        colour_between(COLOUR_PALE_BLUE, COLOUR_BLUE,
                       history->model_count > 1 ? (double)index / (history->model_count - 1) : 1);
    c.alpha = 0.8;
    return c;
}

static void draw_panel(struct canvas *canvas, const struct axes *axes, const struct history *history,
                       double unit, enum series training, enum series validation)
{
    axes_draw(canvas, axes);
    axes_begin(canvas, axes);
    for (int32_t i = 0; i < history->model_count; i++) {
        if (stands_out(history, &history->models[i]))
            continue;
        canvas_colour(canvas, colour_by_age(history, i));
        draw_series(canvas, axes, &history->models[i], validation, unit, 1.6);
    }
    for (int32_t i = 0; i < history->model_count; i++) {
        if (!stands_out(history, &history->models[i]))
            continue;
        canvas_colour(canvas, COLOUR_ORANGE);
        draw_series(canvas, axes, &history->models[i], training, unit, 2);
        canvas_colour(canvas, COLOUR_RED);
        draw_series(canvas, axes, &history->models[i], validation, unit, 3);
    }
    axes_end(canvas);
}

static void draw_title(struct canvas *canvas, const char *title)
{
    canvas_colour(canvas, COLOUR_INK);
    canvas_text(canvas, canvas->width / 2, 34,
                (struct text_style){.size = 23, .anchor = TEXT_CENTRE, .bold = true}, title);
}

static bool has_final(const struct history *history)
{
    for (int32_t i = 0; i < history->model_count; i++)
        if (history->models[i].final)
            return true;
    return false;
}

enum status plot_learning(const char *path, const struct history *history, struct error *err)
{
    struct canvas canvas;
    enum status st = canvas_open(&canvas, WIDTH, HEIGHT, err);
    if (st != ST_OK)
        return st;
    double last = last_time(history);
    struct time_unit unit = unit_for(last);
    struct axes loss = {
        .left = LEFT, .top = 100, .width = WIDTH - LEFT - RIGHT, .height = 335, .y_label = "loss"};
    loss.x_high = 1.02 * last / unit.seconds;
    struct axes accuracy = loss;
    accuracy.top = 470;
    accuracy.x_label = unit.label;
    accuracy.y_label = "accuracy";
    st = range_of(history, TRAINING_LOSS, VALIDATION_LOSS, &loss.y_low, &loss.y_high, err);
    if (st == ST_OK)
        st =
            range_of(history, TRAINING_ACCURACY, VALIDATION_ACCURACY, &accuracy.y_low, &accuracy.y_high, err);
    if (st != ST_OK)
        goto out;
    bool final = has_final(history);
    const struct legend_entry legend[] = {
        {COLOUR_PALE_BLUE, 2, MARK_NONE, "first models, validation"},
        {COLOUR_BLUE, 2, MARK_NONE, "last models, validation"},
        {COLOUR_RED, 3, MARK_NONE, final ? "final fit, validation" : "best model, validation"},
        {COLOUR_ORANGE, 2, MARK_NONE, final ? "final fit, training" : "best model, training"},
    };
    draw_title(&canvas, "Learning curves of all models");
    canvas_legend(&canvas, LEFT, 74, legend, sizeof(legend) / sizeof(*legend));
    draw_panel(&canvas, &loss, history, unit.seconds, TRAINING_LOSS, VALIDATION_LOSS);
    draw_panel(&canvas, &accuracy, history, unit.seconds, TRAINING_ACCURACY, VALIDATION_ACCURACY);
    st = canvas_save(&canvas, path, err);
out:
    canvas_close(&canvas);
    return st;
}

/* ---- progress ---- */

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

enum status plot_progress(const char *path, const struct history *history, struct error *err)
{
    struct canvas canvas;
    const struct history_model **models = NULL;
    int32_t count = 0;
    enum status st = canvas_open(&canvas, WIDTH, HEIGHT, err);
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
                        .y_label = "validation accuracy"};
    axes.x_high = 1.02 * last / unit.seconds;
    axes.y_low = count > 0 ? models[0]->validation_accuracy : 0;
    axes.y_high = count > 0 ? axes.y_low : 1;
    for (int32_t i = 0; i < count; i++) {
        axes.y_low = fmin(axes.y_low, models[i]->validation_accuracy);
        axes.y_high = fmax(axes.y_high, models[i]->validation_accuracy);
    }
    axes_round_range(&axes.y_low, &axes.y_high);
    const struct legend_entry legend[] = {{COLOUR_BLUE, 2.5, MARK_NONE, "best so far"},
                                          {COLOUR_GREY, 0, MARK_DISC, "a model of the search"},
                                          {COLOUR_RED, 0, MARK_DISC, "a final fit"}};
    draw_title(&canvas, "Progress of the search");
    canvas_legend(&canvas, LEFT, 74, legend, sizeof(legend) / sizeof(*legend));
    axes_draw(&canvas, &axes);
    axes_begin(&canvas, &axes);
    draw_best(&canvas, &axes, models, count, unit.seconds);
    axes_end(&canvas);
    for (int32_t i = 0; i < count; i++) { /* not clipped: a disc on the frame is drawn whole */
        canvas_colour(&canvas, models[i]->final ? COLOUR_RED : COLOUR_GREY);
        canvas_mark(&canvas, axes_x(&axes, models[i]->time / unit.seconds),
                    axes_y(&axes, models[i]->validation_accuracy), MARK_DISC, models[i]->final ? 7 : 5);
    }
    st = canvas_save(&canvas, path, err);
out:
    free(models);
    canvas_close(&canvas);
    return st;
}
