/* Images with several labels: of each class how many were rightly given, missed and falsely given, with precision,
 * recall and F1. Of very many classes those that are found worst, beside the F1 of all. */
#include "host/report/axes.h"
#include "host/report/plots.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ROWS = 40,
    TABLE_WIDTH = 1240,
    PANEL_WIDTH = 760,
    TOP = 130,
    PITCH = 30,
    BELOW = 40,
    NAME = 280,
    COLUMN = 92,
    COLUMNS = 5
};

/* A class and its row. */
struct row {
    int32_t class;
    double f1;
    bool occurs;
};

/* Where the table stands. */
struct table {
    double left, bars, bars_width, numbers; /* numbers: the right end of the first column */
    double most;                            /* images that the longest bar has */
};

/* The worst first; those that no image has, which say nothing, behind all others. */
static int compare_rows(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->occurs != y->occurs)
        return x->occurs ? -1 : 1;
    if (x->f1 != y->f1)
        return x->f1 < y->f1 ? -1 : 1;
    return x->class - y->class;
}

/* A row for each class, in their order or, of more than ROWS, the worst first; malloc'd. */
static enum status make_rows(const struct metrics *metrics, struct row **rows, struct error *err)
{
    const size_t bytes = (size_t)metrics->classes * sizeof(**rows);
    *rows = malloc(bytes);
    if (*rows == NULL)
        return error_memory(err, "classes", bytes);
    for (int32_t k = 0; k < metrics->classes; k++)
        (*rows)[k] = (struct row){k, metrics->of_class[k].f1, metrics->of_class[k].support > 0};
    if (metrics->classes > ROWS)
        qsort(*rows, (size_t)metrics->classes, sizeof(**rows), compare_rows);
    return ST_OK;
}

static const int64_t *counts_of(const struct history_test *test, int32_t class)
{
    return test->labels.counts + (size_t) class * LABELS_COUNTS;
}

/* ---- the table ---- */

static void draw_head(struct canvas *canvas, const struct table *table)
{
    static const char *const heads[COLUMNS] = {"images", "precision", "recall", "F1", "threshold"};
    const struct legend_entry legend[] = {{COLOUR_BLUE, 10, MARK_NONE, "rightly given"},
                                          {COLOUR_PALE_BLUE, 10, MARK_NONE, "missed"},
                                          {COLOUR_ORANGE, 10, MARK_NONE, "falsely given"}};
    canvas_legend(canvas, table->left, 80, legend, 3);
    canvas_colour(canvas, COLOUR_INK);
    for (int i = 0; i < COLUMNS; i++)
        canvas_text(canvas, table->numbers + i * COLUMN, TOP - 20,
                    (struct text_style){.size = 15, .anchor = TEXT_RIGHT, .bold = true}, heads[i]);
}

/* The parts of a bar stand behind each other: what is there, rightly given and missed, then what is given falsely. */
static void draw_bar(struct canvas *canvas, const struct table *table, const int64_t *counts, double y)
{
    const struct {
        int64_t count;
        struct colour colour;
    } parts[] = {{counts[LABELS_TRUE_POSITIVE], COLOUR_BLUE},
                 {counts[LABELS_FALSE_NEGATIVE], COLOUR_PALE_BLUE},
                 {counts[LABELS_FALSE_POSITIVE], COLOUR_ORANGE}};
    double x = table->bars;
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        const double width = table->bars_width * (double)parts[i].count / table->most;
        canvas_colour(canvas, parts[i].colour);
        cairo_rectangle(canvas->cairo, x, y - PITCH * 0.34, width, PITCH * 0.68);
        cairo_fill(canvas->cairo);
        x += width;
    }
}

static void draw_row(struct canvas *canvas, const struct table *table, const struct plots_stage *stage,
                     int32_t class, double y)
{
    const struct class_metrics *m = &stage->metrics->of_class[class];
    const double numbers[COLUMNS] = {(double)m->support, m->precision, m->recall, m->f1,
                                     stage->test->thresholds[class]};
    char text[32];
    draw_bar(canvas, table, counts_of(stage->test, class), y);
    canvas_colour(canvas, COLOUR_INK);
    canvas_text(canvas, table->bars - 12, y,
                (struct text_style){.size = 15, .anchor = TEXT_RIGHT, .max_width = NAME},
                stage->history->class_names[class]);
    for (int i = 0; i < COLUMNS; i++) {
        snprintf(text, sizeof(text), "%.*f", i == 0 ? 0 : 3, numbers[i]);
        canvas_text(canvas, table->numbers + i * COLUMN, y,
                    (struct text_style){.size = 15, .anchor = TEXT_RIGHT}, text);
    }
}

static void draw_table(struct canvas *canvas, const struct plots_stage *stage, const struct row *rows,
                       int32_t count, double left)
{
    struct table table = {.left = left,
                          .bars = left + NAME + 12,
                          .numbers = left + TABLE_WIDTH - 60 - (COLUMNS - 1) * COLUMN,
                          .most = 1};
    table.bars_width = table.numbers - COLUMN - table.bars - 10;
    for (int32_t i = 0; i < count; i++) {
        const int64_t *counts = counts_of(stage->test, rows[i].class);
        table.most = fmax(table.most, (double)(counts[LABELS_TRUE_POSITIVE] + counts[LABELS_FALSE_NEGATIVE] +
                                               counts[LABELS_FALSE_POSITIVE]));
    }
    draw_head(canvas, &table);
    for (int32_t i = 0; i < count; i++)
        draw_row(canvas, &table, stage, rows[i].class, TOP + (i + 0.5) * PITCH);
}

/* ---- all of very many classes ---- */

/* The F1 of each, the best first. */
static void draw_panel(struct canvas *canvas, const struct metrics *metrics, const struct row *rows,
                       int32_t occurring)
{
    const struct axes axes = {.left = 110,
                              .top = TOP,
                              .width = PANEL_WIDTH - 130,
                              .height = ROWS * PITCH - 60,
                              .x_high = metrics->classes,
                              .y_high = 1,
                              .x_label = "classes, the best first",
                              .y_label = "F1"};
    axes_draw(canvas, &axes);
    canvas_colour(canvas, COLOUR_PALE_BLUE);
    cairo_move_to(canvas->cairo, axes_x(&axes, 0), axes_y(&axes, 0));
    for (int32_t i = 0; i < occurring; i++) {
        const double y = axes_y(&axes, rows[occurring - 1 - i].f1);
        cairo_line_to(canvas->cairo, axes_x(&axes, i), y);
        cairo_line_to(canvas->cairo, axes_x(&axes, i + 1), y);
    }
    cairo_line_to(canvas->cairo, axes_x(&axes, occurring), axes_y(&axes, 0));
    cairo_close_path(canvas->cairo);
    cairo_fill_preserve(canvas->cairo);
    canvas_colour(canvas, COLOUR_BLUE);
    cairo_set_line_width(canvas->cairo, 2);
    cairo_stroke(canvas->cairo);
}

enum status plot_labels(struct picture *picture, const struct plots_stage *stage, struct error *err)
{
    struct canvas canvas = {0};
    struct row *rows = NULL;
    const struct metrics *metrics = stage->metrics;
    const bool many = metrics->classes > ROWS;
    int32_t count = many ? ROWS : metrics->classes, occurring = 0;
    char title[200], number[32] = "";
    enum status st = make_rows(metrics, &rows, err);
    if (st == ST_OK)
        st = canvas_open(&canvas, picture, many ? PANEL_WIDTH + TABLE_WIDTH : TABLE_WIDTH,
                         TOP + count * PITCH + BELOW, err);
    if (st != ST_OK)
        goto out;
    for (int32_t k = 0; k < metrics->classes; k++)
        occurring += metrics->of_class[k].support > 0;
    count = many && occurring < count ? occurring : count;
    if (stage->history->test_count > 1)
        snprintf(number, sizeof(number), ", stage %lld", (long long)stage->test->stage);
    snprintf(title, sizeof(title), "Labels%s: F1 %.4f micro, %.4f macro on %lld test images%s", number,
             metrics->labels.micro_f1, metrics->labels.macro_f1, (long long)metrics->samples,
             many ? "; the worst classes" : "");
    canvas_title(&canvas, title);
    if (many)
        draw_panel(&canvas, metrics, rows, occurring);
    draw_table(&canvas, stage, rows, count, many ? PANEL_WIDTH : 20);
    st = canvas_save(&canvas, err);
out:
    canvas_close(&canvas);
    free(rows);
    return st;
}
