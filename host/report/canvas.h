/* A picture: a cairo surface with the few things that plots are made of. All lengths are pixels, from the top
 * left. */
#ifndef NASRUN_REPORT_CANVAS_H
#define NASRUN_REPORT_CANVAS_H

#include "host/report/fonts.h"

struct colour {
    double red, green, blue, alpha; /* 0 to 1 */
};

/* The colours of all plots. */
extern const struct colour COLOUR_INK, COLOUR_GREY, COLOUR_GRID, COLOUR_BLUE, COLOUR_PALE_BLUE, COLOUR_ORANGE,
    COLOUR_RED, COLOUR_GREEN;

/* The colour at `share` (0 to 1) of the way from one to the other. */
struct colour colour_between(struct colour from, struct colour to, double share);

/* A picture's file, in whose name's ending stands what it is: .png, .svg or .pdf. */
struct picture {
    const char *path;
    uint32_t missing; /* set when saved: the first character that no font here has; 0: none */
};

enum picture_kind { PICTURE_PNG, PICTURE_SVG, PICTURE_PDF };

struct canvas {
    struct picture *picture;
    enum picture_kind kind;
    cairo_surface_t *surface;
    cairo_t *cairo;
    struct fonts fonts;
    double width, height;
};

/* A white picture; `picture` outlives the canvas. */
enum status canvas_open(struct canvas *canvas, struct picture *picture, int width, int height,
                        struct error *err);
/* Writes the file, atomically. Errors of drawing that cairo kept are found here. */
enum status canvas_save(struct canvas *canvas, struct error *err);
void canvas_close(struct canvas *canvas); /* a zeroed canvas is allowed */

void canvas_colour(struct canvas *canvas, struct colour colour);

enum text_anchor { TEXT_LEFT, TEXT_CENTRE, TEXT_RIGHT }; /* which part of the text stands at x */

struct text_style {
    double size; /* pixels of an em */
    enum text_anchor anchor;
    bool bold;
    bool upwards;     /* turned left by 90 degrees; the anchor is along the text */
    double max_width; /* longer texts have an ellipsis in their middle; 0: no limit */
};

/* Draws in the present colour; (x, y) is the middle of the text's height. Text that is not UTF-8 shows '?'
 * for the bytes that aren't; characters that no font has are boxes, and told in picture->missing. */
void canvas_text(struct canvas *canvas, double x, double y, struct text_style style, const char *text);

/* Width of the text when drawn; without max_width. */
double canvas_text_width(struct canvas *canvas, struct text_style style, const char *text);

/* In the middle of the picture's top. */
void canvas_title(struct canvas *canvas, const char *title);

enum mark { MARK_NONE, MARK_DISC, MARK_DIAMOND };

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
