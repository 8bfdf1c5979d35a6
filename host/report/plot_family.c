/* The family tree: which model came from which, by what, and what that brought. */
#include "host/report/plots.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { WIDTH = 1200, TOP = 110, PITCH = 24, LEFT = 30, INDENT = 22, MOST_INDENT = 330, ROWS = 300 };
/* Columns from the left: accuracy, its difference to the parent's, and that as a bar around BAR. */
enum { TEXT_END = 760, ACCURACY = 850, GAIN = 950, BAR = 1070, BAR_HALF = 90 };

struct row {
    const struct history_model *model;
    int32_t parent; /* row of it; -1: none */
    int32_t depth;
    double gain; /* in validation accuracy; NAN: there is nothing to compare with */
};

struct family {
    const struct history *history;
    bool *shown; /* [model_count] */
    struct row *rows;
    int32_t count, left_out;
    double low, high, most_gain; /* accuracies; the largest gain or loss */
};

/* What a change is measured by: the one that it was compared with, else its parent. A final fit is trained longer than
 * what it comes from. */
static double gain_of(const struct history *history, const struct history_model *model)
{
    if (model->final)
        return NAN;
    const int64_t id = model->compared_with >= 0 ? model->compared_with : model->parent;
    const struct history_model *other = id >= 0 ? history_find(history, id) : NULL;
    return other != NULL ? model->validation_accuracy - other->validation_accuracy : NAN;
}

static int compare_accuracies(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* All, or of very many the best with those that they come from. */
static enum status choose_shown(struct family *family, struct error *err)
{
    const struct history *history = family->history;
    const size_t count = (size_t)history->model_count;
    double *accuracies = malloc((count + 1) * sizeof(*accuracies));
    if (accuracies == NULL)
        return error_memory(err, "accuracies", count * sizeof(*accuracies));
    for (size_t i = 0; i < count; i++)
        accuracies[i] =
            isfinite(history->models[i].validation_accuracy) ? history->models[i].validation_accuracy : -1;
    qsort(accuracies, count, sizeof(*accuracies), compare_accuracies);
    const double least = count > ROWS ? accuracies[ROWS - 1] : -INFINITY;
    free(accuracies);
    for (size_t i = 0; i < count; i++) {
        const struct history_model *model = &history->models[i];
        if (!(model->validation_accuracy >= least) && count > ROWS)
            continue;
        for (; model != NULL && !family->shown[model - history->models];
             model = model->parent >= 0 ? history_find(history, model->parent) : NULL)
            family->shown[model - history->models] = true;
    }
    for (size_t i = 0; i < count; i++)
        family->left_out += !family->shown[i];
    return ST_OK;
}

/* The children of a row's model, each with its own behind it. */
static void add_children(struct family *family, int64_t parent, int32_t parent_row)
{
    for (int32_t i = 0; i < family->history->model_count; i++) {
        const struct history_model *model = &family->history->models[i];
        const bool root = model->parent < 0 || history_find(family->history, model->parent) == NULL;
        if (!family->shown[i] || (parent_row < 0 ? !root : model->parent != parent || model->id == parent))
            continue;
        family->rows[family->count++] =
            (struct row){.model = model,
                         .parent = parent_row,
                         .depth = parent_row < 0 ? 0 : family->rows[parent_row].depth + 1,
                         .gain = gain_of(family->history, model)};
        add_children(family, model->id, family->count - 1);
    }
}

static void find_ranges(struct family *family)
{
    family->low = INFINITY;
    family->high = -INFINITY;
    for (int32_t i = 0; i < family->count; i++) {
        const double accuracy = family->rows[i].model->validation_accuracy;
        family->low = fmin(family->low, accuracy);
        family->high = fmax(family->high, accuracy);
        family->most_gain = fmax(family->most_gain, fabs(family->rows[i].gain)); /* NAN is passed over */
    }
}

/* ---- drawing ---- */

static double row_x(const struct row *row)
{
    const int indent = row->depth * INDENT;
    return LEFT + (indent < MOST_INDENT ? indent : MOST_INDENT);
}

static double row_y(int32_t index)
{
    return TOP + (index + 0.5) * PITCH;
}

/* A line down from the parent and across to the child. */
static void draw_branch(struct canvas *canvas, const struct family *family, int32_t index)
{
    const struct row *row = &family->rows[index];
    if (row->parent < 0)
        return;
    const double from = row_x(&family->rows[row->parent]);
    canvas_colour(canvas, COLOUR_GREY);
    cairo_set_line_width(canvas->cairo, 1.2);
    cairo_move_to(canvas->cairo, from, row_y(row->parent));
    cairo_line_to(canvas->cairo, from, row_y(index));
    cairo_line_to(canvas->cairo, row_x(row), row_y(index));
    cairo_stroke(canvas->cairo);
}

static void draw_gain(struct canvas *canvas, const struct family *family, const struct row *row, double y)
{
    char number[32];
    if (!isfinite(row->gain))
        return;
    snprintf(number, sizeof(number), "%+.4f", row->gain);
    canvas_text(canvas, GAIN, y, (struct text_style){.size = 14, .anchor = TEXT_RIGHT}, number);
    canvas_colour(canvas, row->gain < 0 ? COLOUR_RED : COLOUR_GREEN);
    cairo_rectangle(canvas->cairo, BAR, y - 6,
                    family->most_gain > 0 ? BAR_HALF * row->gain / family->most_gain : 0, 12);
    cairo_fill(canvas->cairo);
}

static void draw_row(struct canvas *canvas, const struct family *family, int32_t index)
{
    const struct row *row = &family->rows[index];
    const struct history_model *model = row->model, *best = history_best(family->history);
    const double x = row_x(row), y = row_y(index), accuracy = model->validation_accuracy;
    const double share =
        family->high > family->low ? (accuracy - family->low) / (family->high - family->low) : 1;
    char text[600], number[32];

    canvas_colour(canvas, !isfinite(accuracy) ? COLOUR_GRID
                          : model == best     ? COLOUR_RED
                                              : colour_between(COLOUR_PALE_BLUE, COLOUR_BLUE, share));
    canvas_mark(canvas, x, y, MARK_DISC, model == best ? 8 : 6);
    canvas_colour(canvas, COLOUR_INK);
    snprintf(text, sizeof(text), "%lld  %s%s%s", (long long)model->id, model->made_by,
             model->made_by[0] == '\0' ? "trained further" : "",
             model->baseline ? " (without a search)"
             : model->failed ? " (failed)"
                             : "");
    canvas_text(canvas, x + 14, y,
                (struct text_style){.size = 14, .bold = model == best, .max_width = TEXT_END - x - 14}, text);
    if (isfinite(accuracy)) {
        snprintf(number, sizeof(number), "%.4f", accuracy);
        canvas_text(canvas, ACCURACY, y,
                    (struct text_style){.size = 14, .anchor = TEXT_RIGHT, .bold = model == best}, number);
    }
    draw_gain(canvas, family, row, y);
}

static void draw_head(struct canvas *canvas, const struct family *family)
{
    const struct text_style right = {.size = 15, .anchor = TEXT_RIGHT};
    char text[96] = "a model, and what made it of the one above";
    canvas_title(canvas, "Family tree");
    canvas_colour(canvas, COLOUR_INK);
    if (family->left_out > 0)
        snprintf(text, sizeof(text), "the best models and those that they come from; %d others are left out",
                 family->left_out);
    canvas_text(canvas, LEFT, TOP - 26, (struct text_style){.size = 15}, text);
    canvas_text(canvas, ACCURACY, TOP - 46, right, "validation");
    canvas_text(canvas, ACCURACY, TOP - 26, right, "accuracy");
    canvas_text(canvas, BAR, TOP - 26, (struct text_style){.size = 15, .anchor = TEXT_CENTRE},
                "gained by the change");
}

static enum status draw(struct picture *picture, const struct family *family, struct error *err)
{
    struct canvas canvas;
    enum status st = canvas_open(&canvas, picture, WIDTH, TOP + PITCH * (family->count + 1), err);
    if (st != ST_OK)
        return st;
    draw_head(&canvas, family);
    for (int32_t i = 0; i < family->count; i++)
        draw_branch(&canvas, family, i);
    for (int32_t i = 0; i < family->count; i++)
        draw_row(&canvas, family, i);
    st = canvas_save(&canvas, err);
    canvas_close(&canvas);
    return st;
}

enum status plot_family(struct picture *picture, const struct history *history, struct error *err)
{
    const size_t room = (size_t)history->model_count + 1;
    struct family family = {.history = history,
                            .shown = calloc(room, sizeof(*family.shown)),
                            .rows = calloc(room, sizeof(*family.rows))};
    enum status st = family.shown != NULL && family.rows != NULL
                         ? choose_shown(&family, err)
                         : error_memory(err, "a family tree", room * sizeof(*family.rows));
    if (st == ST_OK) {
        add_children(&family, -1, -1);
        find_ranges(&family);
        st = draw(picture, &family, err);
    }
    free(family.shown);
    free(family.rows);
    return st;
}
