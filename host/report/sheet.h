/* A class's sheet of images, for whoever has the images. */
#ifndef NASRUN_REPORT_SHEET_H
#define NASRUN_REPORT_SHEET_H

#include "host/report/canvas.h"

enum sheet_row { SHEET_RIGHT, SHEET_FALSE, SHEET_MISSED, SHEET_ROWS };
enum { SHEET_IMAGES = 8 }; /* in a row, at most */

struct sheet_image {
    const uint8_t *pixels, *nearest; /* [channels, height, width]; nearest NULL: it was not looked for */
    const char *name;
    double probability;        /* of the sheet's class */
    const char *other;         /* what it is, or what a missed one was taken for: a class, or labels */
    const char *nearest_class; /* or labels */
};

struct sheet {
    const char *class_name;
    int32_t channels, height, width;
    bool has_nearest;
    struct sheet_image images[SHEET_ROWS][SHEET_IMAGES];
    int32_t counts[SHEET_ROWS]; /* of the images that are shown */
    int64_t totals[SHEET_ROWS]; /* and of all there are */
};

enum status plot_errors(struct picture *picture, const struct sheet *sheet, struct error *err);

#endif
