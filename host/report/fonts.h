/* The fonts of all pictures: those that lie in ../share/nasrun/fonts of the program's folder (a bundle has them), else
 * what fontconfig calls "sans"; and for characters that these have not, any of the system's that has them. */
#ifndef NASRUN_REPORT_FONTS_H
#define NASRUN_REPORT_FONTS_H

#include "host/base/error.h"

#include <cairo/cairo.h>
#include <stdbool.h>
#include <stdint.h>

struct fonts {
    cairo_font_face_t *own[2];   /* that the program brought with it: regular, bold; NULL: the system's */
    cairo_font_face_t *other[2]; /* the last one that was looked for, for `other_for`; NULL: none has it */
    uint32_t other_for[2];       /* 0: none was looked for */
    bool system;                 /* fontconfig has read its files */
    uint32_t missing;            /* the first character that no font has; 0: none was missed */
};

enum status fonts_open(struct fonts *fonts, struct error *err);
void fonts_close(struct fonts *fonts); /* a zeroed one is allowed */

/* Sets the font and its size for valid UTF-8; one font for all of it. */
void fonts_choose(struct fonts *fonts, cairo_t *cairo, const char *text, double size, bool bold);

/* A package of Debian's with a font that has the character. */
const char *fonts_package(uint32_t character);

#endif
