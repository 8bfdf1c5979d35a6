#include "host/report/canvas.h"
#include "host/report/plots.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MIN_LABEL_PITCH = 11, PAIRS = 40, PAIRS_WIDTH = 560 };

/* Where the matrix stands and how its labels are set. */
struct layout {
    double width;           /* of the part of the picture that the matrix has */
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

static struct layout lay_out(struct canvas *canvas, double width, const struct history *history)
{
    const double top = 80, axis_label = 60, scale = 110, column_max = 200;
    double longest = 0, row_max = width * 0.22;
    int32_t n = history->classes;
    /* the labels' size first, from cells as small as the longest labels make them */
    double least = (canvas->height - top - axis_label - column_max) / n;
    struct layout l = {.width = width,
                       .top = top,
                       .label_every = 1,
                       .label_size = fmin(16, fmax(MIN_LABEL_PITCH, least * 0.8))};

    while (least * l.label_every < l.label_size)
        l.label_every++;
    for (int32_t k = 0; k < n; k += l.label_every) {
        struct text_style style = {.size = l.label_size};
        longest = fmax(longest, canvas_text_width(canvas, style, history->class_names[k]));
    }
    l.row_max = fmin(longest, row_max) + 1;
    l.column_max = fmin(longest, column_max) + 1;
    l.cell =
        fmin(canvas->height - top - axis_label - l.column_max, width - l.row_max - axis_label - scale) / n;
    l.upright = longest > l.cell * l.label_every * 0.92 && l.cell < column_max;
    l.left = (width - l.cell * n + l.row_max + axis_label - scale) / 2;
    return l;
}

/* What a cell says: the count, or per cent of the true class. */
static void print_cell(char *text, size_t room, double count, double share, bool shares)
{
    if (!shares)
        snprintf(text, room, "%.0f", count);
    else if (count == 0)
        snprintf(text, room, "0");
    else
        snprintf(text, room, "%.*f", share < 0.0995 ? 1 : 0, 100 * share);
}

/* As large as fits the widest into the cells. */
static double number_size(struct canvas *canvas, const struct layout *l, const struct history_test *test,
                          const struct metrics *metrics, bool shares)
{
    const size_t n = (size_t)metrics->classes;
    double widest = 0, size = fmin(18, l->cell * 0.45);
    char number[32];

    for (size_t i = 0; i < n * n; i++) {
        const double count = (double)test->counts[i], support = (double)metrics->of_class[i / n].support;
        print_cell(number, sizeof(number), count, support > 0 ? count / support : 0, shares);
        widest = fmax(widest, canvas_text_width(canvas, (struct text_style){.size = size}, number));
    }
    return widest > l->cell * 0.9 ? size * l->cell * 0.9 / widest : size;
}

static void draw_cells(struct canvas *canvas, const struct layout *l, const struct history_test *test,
                       const struct metrics *metrics, bool shares)
{
    const size_t n = (size_t)metrics->classes;
    const bool numbers = n <= PLOT_NUMBERED_CLASSES;
    const double size = numbers ? number_size(canvas, l, test, metrics, shares) : 0;
    /* of very many classes: so that a cell is seen */
    const double side = fmax(l->cell, 3), least = l->cell < 3 ? 0.25 : 0;
    char number[32];

    for (size_t row = 0; row < n; row++) {
        double support = (double)metrics->of_class[row].support;
        for (size_t column = 0; column < n; column++) {
            double count = (double)test->counts[row * n + column];
            double share = support > 0 ? count / support : 0;
            double x = l->left + (double)column * l->cell, y = l->top + (double)row * l->cell;
            if (count > 0) {
                canvas_colour(canvas, shade(fmax(share, least)));
                cairo_rectangle(canvas->cairo, x, y, side, side);
                cairo_fill(canvas->cairo);
            }
            if (!numbers)
                continue;
            print_cell(number, sizeof(number), count, share, shares);
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
    cairo_set_line_width(canvas->cairo, n > PLOT_NUMBERED_CLASSES ? 0.5 : 1);
    for (int32_t i = 1; l->cell >= 5 && i < n; i++) { /* finer it would hide the cells */
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

/* ---- the pairs of many classes ---- */

struct pair {
    int32_t truth, predicted;
    int64_t count;
    double share; /* of the true class */
};

/* The most images first, then the largest share, then by class. */
static int compare_pairs(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    if (x->share != y->share)
        return x->share < y->share ? 1 : -1;
    return x->truth != y->truth ? x->truth - y->truth : x->predicted - y->predicted;
}

/* The pairs that are confused most, *count <= PAIRS of them. */
static enum status find_pairs(const struct history_test *test, const struct metrics *metrics,
                              struct pair *most, int32_t *count, struct error *err)
{
    const size_t n = (size_t)metrics->classes;
    size_t found = 0;
    struct pair *pairs = malloc(n * n * sizeof(*pairs));
    if (pairs == NULL)
        return error_memory(err, "pairs of classes", n * n * sizeof(*pairs));
    for (size_t i = 0; i < n * n; i++)
        if (test->counts[i] > 0 && i / n != i % n)
            pairs[found++] =
                (struct pair){(int32_t)(i / n), (int32_t)(i % n), test->counts[i],
                              (double)test->counts[i] / (double)metrics->of_class[i / n].support};
    qsort(pairs, found, sizeof(*pairs), compare_pairs);
    *count = found < PAIRS ? (int32_t)found : PAIRS;
    for (int32_t i = 0; i < *count; i++)
        most[i] = pairs[i];
    free(pairs);
    return ST_OK;
}

static enum status draw_pairs(struct canvas *canvas, const struct layout *l, const struct history *history,
                              const struct history_test *test, const struct metrics *metrics,
                              struct error *err)
{
    const double left = l->width + 20, right = canvas->width - 40, pitch = 32, arrow = 30, numbers = 130,
                 name = (right - left - arrow - numbers) / 2;
    struct pair pairs[PAIRS];
    int32_t count = 0;
    char number[64];
    enum status st = find_pairs(test, metrics, pairs, &count, err);
    if (st != ST_OK)
        return st;
    canvas_colour(canvas, COLOUR_INK);
    canvas_text(canvas, left, l->top, (struct text_style){.size = 18, .bold = true},
                count > 0 ? "confused most: true class \xe2\x86\x92 predicted class" : "nothing is confused");
    for (int32_t i = 0; i < count; i++) {
        const double y = l->top + (i + 1.2) * pitch;
        const struct text_style text = {.size = 16, .max_width = name};
        canvas_text(canvas, left, y, text, history->class_names[pairs[i].truth]);
        canvas_text(canvas, left + name + arrow / 2, y,
                    (struct text_style){.size = 16, .anchor = TEXT_CENTRE}, "\xe2\x86\x92");
        canvas_text(canvas, left + name + arrow, y, text, history->class_names[pairs[i].predicted]);
        snprintf(number, sizeof(number), "%lld (%.0f %%)", (long long)pairs[i].count, 100 * pairs[i].share);
        canvas_text(canvas, right, y, (struct text_style){.size = 16, .anchor = TEXT_RIGHT}, number);
    }
    return ST_OK;
}

enum status plot_confusion(struct picture *picture, const struct history *history,
                           const struct history_test *test, const struct metrics *metrics, bool shares,
                           struct error *err)
{
    struct canvas canvas;
    char title[160], stage[32] = "";
    const bool many = history->classes > PLOT_NUMBERED_CLASSES;
    const int width = many ? 1600 : 1200;
    enum status st =
        canvas_open(&canvas, picture, many ? width + PAIRS_WIDTH : width, many ? 1500 : 1050, err);
    if (st != ST_OK)
        return st;
    struct layout l = lay_out(&canvas, width, history);
    if (history->test_count > 1)
        snprintf(stage, sizeof(stage), ", stage %lld", (long long)test->stage);
    snprintf(title, sizeof(title), "Confusion matrix%s%s: accuracy %.4f on %lld test images",
             shares && !many ? " in per cent of the true class" : "", stage, metrics->accuracy,
             (long long)metrics->samples);
    canvas_title(&canvas, title);
    draw_cells(&canvas, &l, test, metrics, shares);
    draw_grid(&canvas, &l, history->classes);
    draw_labels(&canvas, &l, history);
    draw_scale(&canvas, &l, history->classes);
    if (many)
        st = draw_pairs(&canvas, &l, history, test, metrics, err);
    if (st == ST_OK)
        st = canvas_save(&canvas, err);
    canvas_close(&canvas);
    return st;
}
