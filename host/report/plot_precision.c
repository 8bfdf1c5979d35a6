/* Precision against recall, of a class against all others, over all thresholds of its probability. */
#include "host/report/axes.h"
#include "host/report/plots.h"
#include "host/report/scores.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Of more classes than that those are drawn that are found worst. */
enum { WIDTH = 1240, HEIGHT = 960, LEFT = 110, SIDE = 780, CURVES = 12 };

struct curve {
    int32_t class;
    double average_precision;
};

static int compare_curves(const void *a, const void *b)
{
    const struct curve *x = a, *y = b;
    if (x->average_precision != y->average_precision)
        return x->average_precision < y->average_precision ? -1 : 1;
    return x->class - y->class;
}

/* A colour for each of CURVES, around the circle of hues, every second one darker. */
static struct colour colour_of(int32_t index)
{
    const double hue = 6.0 * index / CURVES, part = 1 - fabs(fmod(hue, 2) - 1),
                 light = index % 2 == 0 ? 0.85 : 0.6;
    const double sides[6][3] = {{1, part, 0}, {part, 1, 0}, {0, 1, part},
                                {0, part, 1}, {part, 0, 1}, {1, 0, part}};
    const double *side = sides[(int)hue % 6];
    return (struct colour){light * side[0], light * 0.85 * side[1], light * side[2], 1};
}

/* As stairs: what recall a threshold gains is gained at its precision. */
static void draw_curve(struct canvas *canvas, const struct axes *axes, const struct ranked *ranked,
                       int32_t count)
{
    int64_t ones = 0, found = 0;
    for (int32_t i = 0; i < count; i++)
        ones += ranked[i].is_one;
    if (ones == 0)
        return;
    cairo_set_line_width(canvas->cairo, 2);
    cairo_new_path(canvas->cairo);
    for (int32_t i = 0; i < count; i++) {
        found += ranked[i].is_one;
        if (i + 1 < count && ranked[i + 1].probability == ranked[i].probability)
            continue;
        const double y = axes_y(axes, (double)found / (i + 1.0));
        double x, before;
        if (cairo_has_current_point(canvas->cairo))
            cairo_get_current_point(canvas->cairo, &x, &before);
        else
            x = axes_x(axes, 0);
        cairo_line_to(canvas->cairo, x, y);
        cairo_line_to(canvas->cairo, axes_x(axes, (double)found / (double)ones), y);
        if (found == ones)
            break;
    }
    cairo_stroke(canvas->cairo);
}

static void draw_class(struct canvas *canvas, const struct axes *axes, const struct predictions *predictions,
                       int32_t class, struct ranked *ranked, int32_t images)
{
    for (int32_t i = 0; i < images; i++)
        ranked[i] = (struct ranked){
            predictions->probabilities[(size_t)i * (size_t)predictions->classes + (size_t) class],
            labels_have(predictions->label_sets, predictions->classes, predictions->rows[i].truth, class)};
    ranked_sort(ranked, images);
    draw_curve(canvas, axes, ranked, images);
}

static void draw_name(struct canvas *canvas, int32_t index, const char *name, double average_precision)
{
    const double x = LEFT + SIDE + 30, y = 140 + 30 * index;
    char number[32];
    cairo_set_line_width(canvas->cairo, 3);
    cairo_move_to(canvas->cairo, x, y);
    cairo_line_to(canvas->cairo, x + 30, y);
    cairo_stroke(canvas->cairo);
    canvas_colour(canvas, COLOUR_INK);
    canvas_text(canvas, x + 40, y, (struct text_style){.size = 15, .max_width = 200}, name);
    snprintf(number, sizeof(number), "%.4f", average_precision);
    canvas_text(canvas, WIDTH - 20, y, (struct text_style){.size = 15, .anchor = TEXT_RIGHT}, number);
}

/* Those to be drawn, *count of them, the worst first; malloc'd. */
static enum status choose(const struct rankings *rankings, int32_t classes, struct curve **curves,
                          int32_t *count, struct error *err)
{
    *count = 0;
    *curves = malloc((size_t)classes * sizeof(**curves));
    if (*curves == NULL)
        return error_memory(err, "curves", (size_t)classes * sizeof(**curves));
    for (int32_t k = 0; k < classes; k++)
        if (isfinite(rankings->of_class[k].average_precision))
            (*curves)[(*count)++] = (struct curve){k, rankings->of_class[k].average_precision};
    qsort(*curves, (size_t)*count, sizeof(**curves), compare_curves);
    *count = *count < CURVES ? *count : CURVES;
    return ST_OK;
}

enum status plot_precision(struct picture *picture, const struct predictions *predictions,
                           const struct rankings *rankings, struct error *err)
{
    struct canvas canvas = {0};
    struct curve *curves = NULL;
    const int32_t images = predictions_tests(predictions);
    int32_t count;
    char title[96];
    struct ranked *ranked = malloc(((size_t)images + 1) * sizeof(*ranked));
    enum status st = choose(rankings, predictions->classes, &curves, &count, err);
    if (st == ST_OK && ranked == NULL)
        st = error_memory(err, "probabilities", (size_t)images * sizeof(*ranked));
    if (st == ST_OK)
        st = canvas_open(&canvas, picture, WIDTH, HEIGHT, err);
    if (st != ST_OK)
        goto out;
    const struct axes axes = {.left = LEFT,
                              .top = 80,
                              .width = SIDE,
                              .height = SIDE,
                              .x_high = 1,
                              .y_high = 1,
                              .x_label = "recall",
                              .y_label = "precision"};
    snprintf(title, sizeof(title), "Precision and recall: mean average precision %.4f",
             rankings->macro.average_precision);
    canvas_title(&canvas, title);
    canvas_text(&canvas, LEFT + SIDE + 30, 104, (struct text_style){.size = 15, .bold = true},
                predictions->classes > count ? "the worst classes" : "class");
    canvas_text(&canvas, WIDTH - 20, 104, (struct text_style){.size = 15, .anchor = TEXT_RIGHT, .bold = true},
                "average precision");
    axes_draw(&canvas, &axes);
    for (int32_t i = 0; i < count; i++) {
        canvas_colour(&canvas, colour_of(i));
        draw_class(&canvas, &axes, predictions, curves[i].class, ranked, images);
        draw_name(&canvas, i, predictions->class_names[curves[i].class], curves[i].average_precision);
    }
    st = canvas_save(&canvas, err);
out:
    canvas_close(&canvas);
    free(curves);
    free(ranked);
    return st;
}
