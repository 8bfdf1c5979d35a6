/* A panel with two axes; the horizontal one may be logarithmic. */
#ifndef NASRUN_REPORT_AXES_H
#define NASRUN_REPORT_AXES_H

#include "host/report/canvas.h"

struct axes_tick {
    double value;
    const char *text;
};

/* x and y values outside the ranges are clipped by axes_begin. */
struct axes {
    double left, top, width, height; /* of the panel's inside */
    double x_low, x_high, y_low, y_high;
    const char *x_label, *y_label;   /* x_label NULL: numbers and label are left out */
    bool x_log;                      /* both ends are above 0 */
    const struct axes_tick *x_ticks; /* in rising order; none: round numbers */
    int x_tick_count;
};

/* Ends of a range that holds [low, high], is not empty and has round ends; of nothing, low above high, 0 and 1. */
void axes_round_range(double *low, double *high);

/* Frame, grid, ticks with numbers, labels. */
void axes_draw(struct canvas *canvas, const struct axes *axes);

/* Between these drawing is clipped to the panel. */
void axes_begin(struct canvas *canvas, const struct axes *axes);
void axes_end(struct canvas *canvas);

double axes_x(const struct axes *axes, double value);
double axes_y(const struct axes *axes, double value);

#endif
