#include "host/report/canvas.h"
#include "host/report/plots.h"

#include <math.h>
#include <stdio.h>

enum { MAX_CLASSES_WITH_COUNTS = 30, MIN_LABEL_PITCH = 11 };

/* Where the matrix stands and how its labels are set. */
struct layout {
    double left, top, cell; /* of the matrix; cells are square */
    double label_size;
    double row_max, column_max; /* lengths that labels may have */
    int label_every;            /* classes from one label to the next: 1 unless the cells are very small */
    bool upright;               /* columns' labels stand on end */
};

/* How dark a share is, 0 to 1: not in proportion, so that the few confusions of a good model are seen. */
static double darkness(double share)
{
    return sqrt(share);
}

static struct colour shade(double share)
{
    return colour_between((struct colour){1, 1, 1, 1}, COLOUR_BLUE, darkness(share));
}

static struct layout lay_out(struct canvas *canvas, const struct history *history)
{
    const double top = 80, axis_label = 60, scale = 110, column_max = 200;
    double longest = 0, row_max = canvas->width * 0.22;
    int32_t n = history->classes;
    /* the labels' size first, from cells as small as the longest labels make them */
    double least = (canvas->height - top - axis_label - column_max) / n;
    struct layout l = {
        .top = top, .label_every = 1, .label_size = fmin(16, fmax(MIN_LABEL_PITCH, least * 0.8))};

    while (least * l.label_every < l.label_size)
        l.label_every++;
    for (int32_t k = 0; k < n; k += l.label_every) {
        struct text_style style = {.size = l.label_size};
        longest = fmax(longest, canvas_text_width(canvas, style, history->class_names[k]));
    }
    l.row_max = fmin(longest, row_max) + 1;
    l.column_max = fmin(longest, column_max) + 1;
    l.cell = fmin(canvas->height - top - axis_label - l.column_max,
                  canvas->width - l.row_max - axis_label - scale) /
             n;
    l.upright = longest > l.cell * l.label_every * 0.92 && l.cell < column_max;
    l.left = (canvas->width - l.cell * n + l.row_max + axis_label - scale) / 2;
    return l;
}

static void draw_cells(struct canvas *canvas, const struct layout *l, const struct history_test *test,
                       const struct metrics *metrics)
{
    size_t n = (size_t)metrics->classes;
    char number[32];
    double widest = 0, size = fmin(18, l->cell * 0.45);

    for (size_t i = 0; i < n * n; i++) {
        snprintf(number, sizeof(number), "%lld", (long long)test->counts[i]);
        widest = fmax(widest, canvas_text_width(canvas, (struct text_style){.size = size}, number));
    }
    if (widest > l->cell * 0.9)
        size *= l->cell * 0.9 / widest;
    for (size_t row = 0; row < n; row++) {
        double support = (double)metrics->of_class[row].support;
        for (size_t column = 0; column < n; column++) {
            double count = (double)test->counts[row * n + column];
            double share = support > 0 ? count / support : 0;
            double x = l->left + (double)column * l->cell, y = l->top + (double)row * l->cell;
            canvas_colour(canvas, shade(share));
            cairo_rectangle(canvas->cairo, x, y, l->cell, l->cell);
            cairo_fill(canvas->cairo);
            if (n > MAX_CLASSES_WITH_COUNTS)
                continue;
            snprintf(number, sizeof(number), "%.0f", count);
            canvas_colour(canvas, darkness(share) > 0.6 ? (struct colour){1, 1, 1, 1}
                                  : count > 0           ? COLOUR_INK
                                                        : COLOUR_GREY);
            canvas_text(canvas, x + l->cell / 2, y + l->cell / 2,
                        (struct text_style){.size = size, .anchor = TEXT_CENTRE}, number);
        }
    }
}

static void draw_grid(struct canvas *canvas, const struct layout *l, int32_t n)
{
    double side = n * l->cell;

    canvas_colour(canvas, COLOUR_GRID);
    cairo_set_line_width(canvas->cairo, n > MAX_CLASSES_WITH_COUNTS ? 0.5 : 1);
    for (int32_t i = 1; i < n; i++) {
        cairo_move_to(canvas->cairo, l->left + i * l->cell, l->top);
        cairo_rel_line_to(canvas->cairo, 0, side);
        cairo_move_to(canvas->cairo, l->left, l->top + i * l->cell);
        cairo_rel_line_to(canvas->cairo, side, 0);
    }
    cairo_stroke(canvas->cairo);
    canvas_colour(canvas, COLOUR_GREY);
    cairo_set_line_width(canvas->cairo, 1);
    cairo_rectangle(canvas->cairo, l->left, l->top, side, side);
    cairo_stroke(canvas->cairo);
}

static void draw_labels(struct canvas *canvas, const struct layout *l, const struct history *history)
{
    int32_t n = history->classes;
    double side = n * l->cell, below = l->top + side;
    struct text_style row = {.size = l->label_size, .anchor = TEXT_RIGHT, .max_width = l->row_max};
    struct text_style column = row, axis = {.size = 18, .anchor = TEXT_CENTRE};

    column.upwards = l->upright;
    column.anchor = l->upright ? TEXT_RIGHT : TEXT_CENTRE;
    column.max_width = l->upright ? l->column_max : l->cell * l->label_every * 0.92;
    canvas_colour(canvas, COLOUR_INK);
    for (int32_t k = 0; k < n; k += l->label_every) {
        double middle = (k + 0.5) * l->cell;
        canvas_text(canvas, l->left - 8, l->top + middle, row, history->class_names[k]);
        canvas_text(canvas, l->left + middle, below + (l->upright ? 8 : 18), column, history->class_names[k]);
    }
    double depth = l->upright ? l->column_max + 8 : 30;
    canvas_text(canvas, l->left + side / 2, below + depth + 24, axis, "predicted class");
    axis.upwards = true;
    canvas_text(canvas, l->left - l->row_max - 34, l->top + side / 2, axis, "true class");
}

/* What the shades mean. */
static void draw_scale(struct canvas *canvas, const struct layout *l, int32_t n)
{
    enum { STEPS = 100 };
    double side = n * l->cell, x = l->left + side + 36, width = 20;
    struct text_style number = {.size = 14}, label = {.size = 15, .anchor = TEXT_CENTRE, .upwards = true};

    for (int i = 0; i < STEPS; i++) {
        canvas_colour(canvas, shade((i + 0.5) / STEPS));
        cairo_rectangle(canvas->cairo, x, floor(l->top + side * (STEPS - 1 - i) / STEPS), width,
                        ceil(side / STEPS) + 1);
        cairo_fill(canvas->cairo);
    }
    canvas_colour(canvas, COLOUR_GREY);
    cairo_set_line_width(canvas->cairo, 1);
    cairo_rectangle(canvas->cairo, x, l->top, width, side);
    cairo_stroke(canvas->cairo);
    canvas_colour(canvas, COLOUR_INK);
    canvas_text(canvas, x + width + 7, l->top + side, number, "0");
    canvas_text(canvas, x + width + 7, l->top + side / 2, number, "0.5");
    canvas_text(canvas, x + width + 7, l->top, number, "1");
    canvas_text(canvas, x + width + 48, l->top + side / 2, label, "share of the true class");
}

enum status plot_confusion(const char *path, const struct history *history, const struct history_test *test,
                           const struct metrics *metrics, struct error *err)
{
    struct canvas canvas;
    char title[128], stage[32] = "";
    bool many = history->classes > MAX_CLASSES_WITH_COUNTS;
    enum status st = canvas_open(&canvas, many ? 1600 : 1200, many ? 1500 : 1050, err);
    if (st != ST_OK)
        return st;
    struct layout l = lay_out(&canvas, history);
    if (history->test_count > 1)
        snprintf(stage, sizeof(stage), ", stage %lld", (long long)test->stage);
    snprintf(title, sizeof(title), "Confusion matrix%s: accuracy %.4f on %lld test images", stage,
             metrics->accuracy, (long long)metrics->samples);
    canvas_colour(&canvas, COLOUR_INK);
    canvas_text(&canvas, canvas.width / 2, 38,
                (struct text_style){.size = 23, .anchor = TEXT_CENTRE, .bold = true}, title);
    draw_cells(&canvas, &l, test, metrics);
    draw_grid(&canvas, &l, history->classes);
    draw_labels(&canvas, &l, history);
    draw_scale(&canvas, &l, history->classes);
    st = canvas_save(&canvas, path, err);
    canvas_close(&canvas);
    return st;
}
