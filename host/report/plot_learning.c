/* Learning curves: loss and accuracy of every model against its own epochs. */
#include "host/report/axes.h"
#include "host/report/plots.h"

#include <math.h>
#include <stdlib.h>

/* With more epochs than that the axis is logarithmic: a final fit has many times those of a candidate. */
enum { WIDTH = 1200, HEIGHT = 900, LEFT = 110, RIGHT = 40, LINEAR_EPOCHS = 20 };

static const struct colour COLOUR_OTHERS = {0.55, 0.60, 0.68, 0.30};

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
                        enum series series, double line_width)
{
    bool begun = false;

    cairo_set_line_width(canvas->cairo, line_width);
    cairo_new_path(canvas->cairo);
    for (int32_t i = 0; i < model->point_count; i++) {
        double value = value_of(&model->points[i], series);
        if (!isfinite(value))
            continue;
        double x = axes_x(axes, (double)model->points[i].epoch), y = axes_y(axes, value);
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
            canvas_mark(canvas, axes_x(axes, (double)model->points[i].epoch), axes_y(axes, value), MARK_DISC,
                        model->point_count == 1 ? 2.5 + line_width : 1.2 + line_width / 2);
    }
}

/* The best model, then its parent and so on; malloc'd, *count of them. */
static enum status find_lineage(const struct history *history, const struct history_model ***lineage,
                                int32_t *count, struct error *err)
{
    const size_t room = (size_t)history->model_count + 1;
    const struct history_model *model = history_best(history);

    *count = 0;
    *lineage = malloc(room * sizeof(**lineage));
    if (*lineage == NULL)
        return error_memory(err, "models of a plot", room * sizeof(**lineage));
    while (model != NULL && *count < history->model_count) {
        (*lineage)[(*count)++] = model;
        model = model->parent >= 0 ? history_find(history, model->parent) : NULL;
    }
    return ST_OK;
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

/* What a plot of two panels draws. */
struct curves {
    const struct history *history;
    const struct history_model **lineage; /* the best model first */
    int32_t lineage_count;
};

static struct colour colour_of_ancestor(const struct curves *curves, int32_t index)
{
    return colour_between(COLOUR_BLUE, COLOUR_PALE_BLUE,
                          curves->lineage_count > 2 ? (double)(index - 1) / (curves->lineage_count - 1) : 0);
}

static void draw_panel(struct canvas *canvas, const struct axes *axes, const struct curves *curves,
                       enum series training, enum series validation)
{
    const struct history *history = curves->history;
    axes_draw(canvas, axes);
    axes_begin(canvas, axes);
    for (int32_t i = 0; i < history->model_count; i++) {
        canvas_colour(canvas, COLOUR_OTHERS);
        draw_series(canvas, axes, &history->models[i], validation, 1);
    }
    for (int32_t i = curves->lineage_count - 1; i > 0; i--) {
        canvas_colour(canvas, colour_of_ancestor(curves, i));
        draw_series(canvas, axes, curves->lineage[i], validation, 2.2);
    }
    for (int32_t i = 0; i < history->model_count; i++) {
        if (!history->models[i].baseline)
            continue;
        canvas_colour(canvas, COLOUR_GREEN);
        draw_series(canvas, axes, &history->models[i], validation, 2);
    }
    if (curves->lineage_count > 0) {
        canvas_colour(canvas, COLOUR_ORANGE);
        draw_series(canvas, axes, curves->lineage[0], training, 2);
        canvas_colour(canvas, COLOUR_RED);
        draw_series(canvas, axes, curves->lineage[0], validation, 3);
    }
    axes_end(canvas);
}

static void draw_legend(struct canvas *canvas, const struct curves *curves)
{
    struct legend_entry legend[5];
    int count = 0;
    bool baseline = false;

    for (int32_t i = 0; i < curves->history->model_count; i++)
        baseline = baseline || curves->history->models[i].baseline;
    legend[count++] = (struct legend_entry){COLOUR_RED, 3, MARK_NONE, "the best model, validation"};
    legend[count++] = (struct legend_entry){COLOUR_ORANGE, 2, MARK_NONE, "the same, training"};
    if (curves->lineage_count > 1)
        legend[count++] = (struct legend_entry){COLOUR_BLUE, 2.2, MARK_NONE, "those that it comes from"};
    legend[count++] = (struct legend_entry){COLOUR_OTHERS, 2, MARK_NONE, "all others"};
    if (baseline)
        legend[count++] = (struct legend_entry){COLOUR_GREEN, 2, MARK_NONE, "without a search"};
    canvas_legend(canvas, LEFT, 74, legend, count);
}

/* The last epoch of any model; 1 when there is none. */
static double last_epoch(const struct history *history)
{
    int64_t last = 1;
    for (int32_t i = 0; i < history->model_count; i++) {
        const struct history_model *model = &history->models[i];
        if (model->point_count > 0 && model->points[model->point_count - 1].epoch > last)
            last = model->points[model->point_count - 1].epoch;
    }
    return (double)last;
}

enum status plot_learning(struct picture *picture, const struct history *history, struct error *err)
{
    struct canvas canvas;
    struct curves curves = {.history = history};
    enum status st = canvas_open(&canvas, picture, WIDTH, HEIGHT, err);
    if (st != ST_OK)
        return st;
    const double last = last_epoch(history);
    struct axes loss = {
        .left = LEFT, .top = 100, .width = WIDTH - LEFT - RIGHT, .height = 335, .y_label = "loss"};
    loss.x_log = last > LINEAR_EPOCHS;
    loss.x_low = loss.x_log ? 0.95 : 0;
    loss.x_high = 1.03 * last;
    struct axes accuracy = loss;
    accuracy.top = 470;
    accuracy.x_label = "epochs of the model's training";
    accuracy.y_label = "accuracy";
    st = range_of(history, TRAINING_LOSS, VALIDATION_LOSS, &loss.y_low, &loss.y_high, err);
    if (st == ST_OK)
        st =
            range_of(history, TRAINING_ACCURACY, VALIDATION_ACCURACY, &accuracy.y_low, &accuracy.y_high, err);
    if (st == ST_OK)
        st = find_lineage(history, &curves.lineage, &curves.lineage_count, err);
    if (st != ST_OK)
        goto out;
    canvas_title(&canvas, "Learning curves of all models");
    draw_legend(&canvas, &curves);
    draw_panel(&canvas, &loss, &curves, TRAINING_LOSS, VALIDATION_LOSS);
    draw_panel(&canvas, &accuracy, &curves, TRAINING_ACCURACY, VALIDATION_ACCURACY);
    st = canvas_save(&canvas, err);
out:
    free(curves.lineage);
    canvas_close(&canvas);
    return st;
}
