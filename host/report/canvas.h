/* A picture: a cairo surface with the few things that plots are made of. All lengths are pixels, from the top
 * left. */
#ifndef NASRUN_REPORT_CANVAS_H
#define NASRUN_REPORT_CANVAS_H

#include "host/base/error.h"

#include <cairo/cairo.h>
#include <stdbool.h>

struct colour {
    double red, green, blue, alpha; /* 0 to 1 */
};

/* The colours of all plots. */
extern const struct colour COLOUR_INK, COLOUR_GREY, COLOUR_GRID, COLOUR_BLUE, COLOUR_PALE_BLUE, COLOUR_ORANGE,
    COLOUR_RED;

/* The colour at `share` (0 to 1) of the way from one to the other. */
struct colour colour_between(struct colour from, struct colour to, double share);

struct canvas {
    cairo_surface_t *surface;
    cairo_t *cairo;
    cairo_font_face_t *fonts[2]; /* that the program brought with it: regular, bold; NULL: the system's */
    double width, height;
};

/* A white picture. Text is set in the font that lies in ../share/nasrun/fonts of the program's folder (a bundle has
 * one), or in what fontconfig calls "sans". */
enum status canvas_open(struct canvas *canvas, int width, int height, struct error *err);
/* Writes a PNG, atomically. Errors of drawing that cairo kept are found here. */
enum status canvas_save(struct canvas *canvas, const char *path, struct error *err);
void canvas_close(struct canvas *canvas); /* a zeroed canvas is allowed */

void canvas_colour(struct canvas *canvas, struct colour colour);

enum text_anchor { TEXT_LEFT, TEXT_CENTRE, TEXT_RIGHT }; /* which part of the text stands at x */

struct text_style {
    double size; /* pixels of an em */
    enum text_anchor anchor;
    bool bold;
    bool upwards;     /* turned left by 90 degrees; the anchor is along the text */
    double max_width; /* longer texts end in an ellipsis; 0: no limit */
};

/* Draws in the present colour; (x, y) is the middle of the text's height. Text that is not UTF-8 shows '?'
 * for the bytes that aren't. */
void canvas_text(struct canvas *canvas, double x, double y, struct text_style style, const char *text);

/* Width of the text when drawn; without max_width. */
double canvas_text_width(struct canvas *canvas, struct text_style style, const char *text);

/* A panel with two linear axes. x and y values outside the ranges are clipped by axes_begin. */
struct axes {
    double left, top, width, height; /* of the panel's inside */
    double x_low, x_high, y_low, y_high;
    const char *x_label, *y_label; /* x_label NULL: numbers and label are left out */
};

/* Ends of a range that holds [low, high], is not empty and has round ends. */
void axes_round_range(double *low, double *high);

/* Frame, grid, ticks with numbers, labels. */
void axes_draw(struct canvas *canvas, const struct axes *axes);

/* Between these drawing is clipped to the panel. */
void axes_begin(struct canvas *canvas, const struct axes *axes);
void axes_end(struct canvas *canvas);

double axes_x(const struct axes *axes, double value);
double axes_y(const struct axes *axes, double value);

enum mark { MARK_NONE, MARK_DISC };

struct legend_entry {
    struct colour colour;
    double line_width; /* 0: no line */
    enum mark mark;
    const char *text;
};

/* Draws the entries in one row from (x, y) to the right. */
void canvas_legend(struct canvas *canvas, double x, double y, const struct legend_entry *entries, int count);

/* A mark in the present colour. */
void canvas_mark(struct canvas *canvas, double x, double y, enum mark mark, double radius);

#endif
