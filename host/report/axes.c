#include "host/report/axes.h"

#include <math.h>
#include <stdio.h>

enum { TICKS_WANTED = 6 };

/* Distance of ticks: 1, 2 or 5 times a power of ten. */
static double tick_step(double low, double high)
{
    double rough = (high - low) / TICKS_WANTED;
    double power = pow(10, floor(log10(rough)));
    double digit = rough / power;
    return power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
}

void axes_round_range(double *low, double *high)
{
    if (*low > *high) {
        *low = 0;
        *high = 1;
    }
    if (!(*high - *low > 1e-9 * fmax(fabs(*low), fabs(*high)))) {
        double middle = *low, half = middle == 0 ? 0.5 : 0.1 * fabs(middle);
        *low = middle - half;
        *high = middle + half;
    }
    double step = tick_step(*low, *high);
    *low = step * floor(*low / step + 1e-9);
    *high = step * ceil(*high / step - 1e-9);
}

double axes_x(const struct axes *axes, double value)
{
    const double share = axes->x_log ? log(value / axes->x_low) / log(axes->x_high / axes->x_low)
                                     : (value - axes->x_low) / (axes->x_high - axes->x_low);
    return axes->left + axes->width * share;
}

double axes_y(const struct axes *axes, double value)
{
    return axes->top + axes->height * (axes->y_high - value) / (axes->y_high - axes->y_low);
}

/* A line of the grid on whole pixels, where it is sharp. */
static void grid_line(struct canvas *canvas, double x0, double y0, double x1, double y1)
{
    cairo_move_to(canvas->cairo, floor(x0) + 0.5, floor(y0) + 0.5);
    cairo_line_to(canvas->cairo, floor(x1) + 0.5, floor(y1) + 0.5);
    cairo_stroke(canvas->cairo);
}

/* A line of the grid with its text; the text of an x axis without a label is left out. */
static void draw_tick(struct canvas *canvas, const struct axes *axes, bool horizontal, double value,
                      const char *text)
{
    double right = axes->left + axes->width, bottom = axes->top + axes->height;

    canvas_colour(canvas, COLOUR_GRID);
    if (horizontal)
        grid_line(canvas, axes_x(axes, value), axes->top, axes_x(axes, value), bottom);
    else
        grid_line(canvas, axes->left, axes_y(axes, value), right, axes_y(axes, value));
    if (horizontal && axes->x_label == NULL)
        return;
    canvas_colour(canvas, COLOUR_INK);
    if (horizontal)
        canvas_text(canvas, axes_x(axes, value), bottom + 18,
                    (struct text_style){.size = 15, .anchor = TEXT_CENTRE}, text);
    else
        canvas_text(canvas, axes->left - 10, axes_y(axes, value),
                    (struct text_style){.size = 15, .anchor = TEXT_RIGHT}, text);
}

static void draw_ticks(struct canvas *canvas, const struct axes *axes, bool horizontal)
{
    double low = horizontal ? axes->x_low : axes->y_low, high = horizontal ? axes->x_high : axes->y_high;
    double step = tick_step(low, high);
    double first = ceil(low / step - 1e-9);
    int count = (int)(floor(high / step + 1e-9) - first) + 1;
    char number[32];

    for (int k = 0; k < count; k++) {
        const double value = (first + k) * step;
        /* without the noise of k * step near 0 */
        snprintf(number, sizeof(number), "%.6g", fabs(value) < step / 1e6 ? 0 : value);
        draw_tick(canvas, axes, horizontal, value, number);
    }
}

/* At 1, 2 and 5 times powers of ten. */
static void draw_log_ticks(struct canvas *canvas, const struct axes *axes)
{
    static const int digits[] = {1, 2, 5};
    char number[32];

    for (double power = pow(10, floor(log10(axes->x_low))); power <= axes->x_high; power *= 10)
        for (int i = 0; i < 3; i++) {
            const double value = power * digits[i];
            if (value < axes->x_low * (1 - 1e-9) || value > axes->x_high * (1 + 1e-9))
                continue;
            snprintf(number, sizeof(number), "%.6g", value);
            draw_tick(canvas, axes, true, value, number);
        }
}

/* Those that are given; a text that would touch the one before is left out. */
static void draw_given_ticks(struct canvas *canvas, const struct axes *axes)
{
    double free_from = -INFINITY;
    for (int i = 0; i < axes->x_tick_count; i++) {
        const struct axes_tick *tick = &axes->x_ticks[i];
        const double x = axes_x(axes, tick->value);
        const double half = canvas_text_width(canvas, (struct text_style){.size = 15}, tick->text) / 2;
        const bool fits = x - half > free_from;
        draw_tick(canvas, axes, true, tick->value, fits ? tick->text : "");
        if (fits)
            free_from = x + half + 6;
    }
}

void axes_draw(struct canvas *canvas, const struct axes *axes)
{
    cairo_set_line_width(canvas->cairo, 1);
    if (axes->x_tick_count > 0)
        draw_given_ticks(canvas, axes);
    else if (axes->x_log)
        draw_log_ticks(canvas, axes);
    else
        draw_ticks(canvas, axes, true);
    draw_ticks(canvas, axes, false);
    canvas_colour(canvas, COLOUR_GREY);
    cairo_rectangle(canvas->cairo, floor(axes->left) + 0.5, floor(axes->top) + 0.5, floor(axes->width),
                    floor(axes->height));
    cairo_stroke(canvas->cairo);
    canvas_colour(canvas, COLOUR_INK);
    struct text_style label = {.size = 17, .anchor = TEXT_CENTRE};
    if (axes->x_label != NULL)
        canvas_text(canvas, axes->left + axes->width / 2, axes->top + axes->height + 46, label,
                    axes->x_label);
    label.upwards = true;
    canvas_text(canvas, axes->left - 76, axes->top + axes->height / 2, label, axes->y_label);
}

void axes_begin(struct canvas *canvas, const struct axes *axes)
{
    cairo_save(canvas->cairo);
    cairo_rectangle(canvas->cairo, axes->left, axes->top, axes->width + 1, axes->height + 1);
    cairo_clip(canvas->cairo);
}

void axes_end(struct canvas *canvas)
{
    cairo_restore(canvas->cairo);
}
