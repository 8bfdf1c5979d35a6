/* Accuracy against budget, of several runs. */
#include "host/report/axes.h"
#include "host/report/runs.h"

#include <math.h>
#include <stdlib.h>

enum { WIDTH = 1200, HEIGHT = 900, LEFT = 110, RIGHT = 40, TICK_BYTES = 64 };

static const struct colour *const colours[] = {&COLOUR_BLUE,  &COLOUR_ORANGE, &COLOUR_RED,
                                               &COLOUR_GREEN, &COLOUR_INK,    &COLOUR_GREY};
enum { COLOURS = sizeof(colours) / sizeof(*colours) };

static struct colour colour_of(int32_t job)
{
    return *colours[job % COLOURS];
}

/* ---- axes ---- */

static int compare_ticks(const void *a, const void *b)
{
    const struct axes_tick *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

/* A tick for each budget, with texts[row_count][TICK_BYTES]. */
static int make_ticks(const struct runs *runs, struct axes_tick *ticks, char (*texts)[TICK_BYTES])
{
    int count = 0;
    for (int32_t i = 0; i < runs->row_count; i++) {
        runs_budget_text(runs->rows[i].unit, runs->rows[i].budget, texts[i], TICK_BYTES);
        ticks[i] = (struct axes_tick){runs->rows[i].budget, texts[i]};
    }
    qsort(ticks, (size_t)runs->row_count, sizeof(*ticks), compare_ticks);
    for (int32_t i = 0; i < runs->row_count; i++)
        if (count == 0 || ticks[count - 1].value < ticks[i].value)
            ticks[count++] = ticks[i];
    return count;
}

static void choose_ranges(struct axes *axes, const struct runs *runs)
{
    axes->x_low = axes->y_low = INFINITY;
    axes->x_high = axes->y_high = -INFINITY;
    for (int32_t i = 0; i < runs->row_count; i++) {
        const struct runs_row *row = &runs->rows[i];
        axes->x_low = fmin(axes->x_low, row->budget);
        axes->x_high = fmax(axes->x_high, row->budget);
        axes->y_low = fmin(axes->y_low, row->search.count > 0 ? row->search.low : NAN);
        axes->y_high = fmax(axes->y_high, row->search.count > 0 ? row->search.high : NAN);
        axes->y_low = fmin(axes->y_low, row->baseline.count > 0 ? row->baseline.low : NAN);
        axes->y_high = fmax(axes->y_high, row->baseline.count > 0 ? row->baseline.high : NAN);
    }
    const double margin = fmax(pow(axes->x_high / axes->x_low, 0.05), 1.2);
    axes->x_low /= margin;
    axes->x_high *= margin;
    axes_round_range(&axes->y_low, &axes->y_high);
}

/* ---- curves ---- */

/* The rows from `first` on that are of its job. */
static int32_t rows_of_job(const struct runs *runs, int32_t first)
{
    int32_t count = 1;
    while (first + count < runs->row_count && runs->rows[first + count].job == runs->rows[first].job)
        count++;
    return count;
}

/* From the lowest to the highest seed. */
static void draw_band(struct canvas *canvas, const struct axes *axes, const struct runs_row *rows,
                      int32_t count)
{
    struct colour pale = colour_of(rows->job);
    pale.alpha = 0.15;
    canvas_colour(canvas, pale);
    cairo_new_path(canvas->cairo);
    for (int32_t i = 0; i < count; i++)
        cairo_line_to(canvas->cairo, axes_x(axes, rows[i].budget), axes_y(axes, rows[i].search.high));
    for (int32_t i = count - 1; i >= 0; i--)
        cairo_line_to(canvas->cairo, axes_x(axes, rows[i].budget), axes_y(axes, rows[i].search.low));
    cairo_close_path(canvas->cairo);
    cairo_fill(canvas->cairo);
}

/* Means of the search, or dashed of the trainings without one. */
static void draw_means(struct canvas *canvas, const struct axes *axes, const struct runs_row *rows,
                       int32_t count, bool baseline)
{
    static const double dashes[] = {8, 6};
    canvas_colour(canvas, colour_of(rows->job));
    cairo_set_line_width(canvas->cairo, baseline ? 2 : 3);
    cairo_set_dash(canvas->cairo, dashes, baseline ? 2 : 0, 0);
    cairo_new_path(canvas->cairo);
    for (int32_t i = 0; i < count; i++) {
        const struct runs_mean *mean = baseline ? &rows[i].baseline : &rows[i].search;
        if (mean->count > 0)
            cairo_line_to(canvas->cairo, axes_x(axes, rows[i].budget), axes_y(axes, mean->mean));
    }
    cairo_stroke(canvas->cairo);
    cairo_set_dash(canvas->cairo, NULL, 0, 0);
    for (int32_t i = 0; i < count; i++) {
        const struct runs_mean *mean = baseline ? &rows[i].baseline : &rows[i].search;
        if (mean->count > 0)
            canvas_mark(canvas, axes_x(axes, rows[i].budget), axes_y(axes, mean->mean),
                        baseline ? MARK_DIAMOND : MARK_DISC, 7);
    }
}

/* Each run, as a small disc. */
static void draw_results(struct canvas *canvas, const struct axes *axes, const struct runs *runs)
{
    for (int32_t i = 0; i < runs->result_count; i++) {
        const struct runs_result *result = &runs->results[i];
        struct colour colour = colour_of(result->job);
        colour.alpha = 0.5;
        canvas_colour(canvas, colour);
        if (isfinite(result->accuracy))
            canvas_mark(canvas, axes_x(axes, result->budget), axes_y(axes, result->accuracy), MARK_DISC, 3.5);
    }
}

static void draw_curves(struct canvas *canvas, const struct axes *axes, const struct runs *runs)
{
    axes_draw(canvas, axes);
    for (int32_t i = 0, count; i < runs->row_count; i += count) {
        count = rows_of_job(runs, i);
        draw_band(canvas, axes, runs->rows + i, count);
    }
    draw_results(canvas, axes, runs);
    for (int32_t i = 0, count; i < runs->row_count; i += count) {
        count = rows_of_job(runs, i);
        draw_means(canvas, axes, runs->rows + i, count, true);
        draw_means(canvas, axes, runs->rows + i, count, false);
    }
}

static bool has_baseline(const struct runs *runs)
{
    bool found = false;
    for (int32_t i = 0; i < runs->row_count; i++)
        found = found || runs->rows[i].baseline.count > 0;
    return found;
}

/* What lines mean in one row; below it a row for each job, when there are several. */
static void draw_legend(struct canvas *canvas, const struct runs *runs)
{
    const struct colour ink = runs->job_count > 1 ? COLOUR_INK : colour_of(0);
    const struct legend_entry lines[] = {
        {ink, 3, MARK_DISC,
         runs->result_count > runs->row_count ? "mean, and range over the seeds" : "accuracy"},
        {ink, 2, MARK_DIAMOND, "without a search (dashed)"}};
    canvas_legend(canvas, LEFT, 74, lines, has_baseline(runs) ? 2 : 1);
    for (int32_t i = 0; runs->job_count > 1 && i < runs->job_count; i++) {
        const double y = 98 + 24 * i;
        canvas_colour(canvas, colour_of(i));
        canvas_mark(canvas, LEFT + 17, y, MARK_DISC, 6);
        canvas_colour(canvas, COLOUR_INK);
        canvas_text(canvas, LEFT + 42, y,
                    (struct text_style){.size = 15, .max_width = WIDTH - LEFT - 42 - RIGHT},
                    runs->jobs[i][0] != '\0' ? runs->jobs[i] : "as it is");
    }
}

static enum status check_units(const struct runs *runs, struct error *err)
{
    for (int32_t i = 1; i < runs->row_count; i++)
        if (runs->rows[i].unit != runs->rows[0].unit) {
            char texts[2][TICK_BYTES];
            runs_budget_text(runs->rows[0].unit, runs->rows[0].budget, texts[0], TICK_BYTES);
            runs_budget_text(runs->rows[i].unit, runs->rows[i].budget, texts[1], TICK_BYTES);
            return error_set(err, ST_RANGE, "found budgets of %s and of %s, expected all in one unit",
                             texts[0], texts[1]);
        }
    return ST_OK;
}

enum status plot_budgets(struct picture *picture, const struct runs *runs, struct error *err)
{
    const int jobs = runs->job_count > 1 ? runs->job_count : 0;
    struct canvas canvas;
    struct axes_tick *ticks = calloc((size_t)runs->row_count, sizeof(*ticks));
    char(*texts)[TICK_BYTES] = calloc((size_t)runs->row_count, sizeof(*texts));
    enum status st = check_units(runs, err);
    if (st == ST_OK && (ticks == NULL || texts == NULL))
        st = error_memory(err, "ticks", (size_t)runs->row_count * TICK_BYTES);
    if (st == ST_OK)
        st = canvas_open(&canvas, picture, WIDTH, HEIGHT + 24 * jobs, err);
    if (st != ST_OK)
        goto out;
    struct axes axes = {.left = LEFT,
                        .top = 100 + 24 * jobs,
                        .width = WIDTH - LEFT - RIGHT,
                        .height = 705,
                        .x_label = "budget",
                        .y_label = "accuracy on the test images",
                        .x_log = true,
                        .x_ticks = ticks};
    axes.x_tick_count = make_ticks(runs, ticks, texts);
    choose_ranges(&axes, runs);
    canvas_title(&canvas, "Accuracy against budget");
    draw_legend(&canvas, runs);
    draw_curves(&canvas, &axes, runs);
    st = canvas_save(&canvas, err);
    canvas_close(&canvas);
out:
    free(ticks);
    free(texts);
    return st;
}
