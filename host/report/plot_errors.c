/* A class's sheet: images that were rightly found, falsely found and missed, each with the training image that is most
 * like it. */
#include "host/report/sheet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 1280, LEFT = 30, TOP = 70, CELL = 154, IMAGE = 128, NEAREST = 60, ROW = 282 };

/* Pixels as cairo has them; malloc'd into *bytes, which outlives the surface. NULL when out of memory. */
static cairo_surface_t *make_surface(const struct sheet *sheet, const uint8_t *pixels, unsigned char **bytes)
{
    const int stride = cairo_format_stride_for_width(CAIRO_FORMAT_RGB24, sheet->width);
    const size_t plane = (size_t)sheet->height * (size_t)sheet->width;
    *bytes = malloc((size_t)stride * (size_t)sheet->height);
    if (*bytes == NULL)
        return NULL;
    for (int32_t y = 0; y < sheet->height; y++)
        for (int32_t x = 0; x < sheet->width; x++) {
            const uint8_t *value = pixels + (size_t)y * (size_t)sheet->width + (size_t)x;
            const bool grey = sheet->channels < 3;
            const uint32_t red = value[0], green = grey ? red : value[plane],
                           blue = grey ? red : value[2 * plane];
            const uint32_t pixel = red << 16 | green << 8 | blue;
            memcpy(*bytes + (size_t)y * (size_t)stride + 4 * (size_t)x, &pixel, sizeof(pixel));
        }
    return cairo_image_surface_create_for_data(*bytes, CAIRO_FORMAT_RGB24, sheet->width, sheet->height,
                                               stride);
}

/* Into a square at (x, y), its pixels to be seen when it is made larger. */
static enum status draw_image(struct canvas *canvas, const struct sheet *sheet, const uint8_t *pixels,
                              double x, double y, double side, struct error *err)
{
    unsigned char *bytes;
    const double scale = side / fmax(sheet->width, sheet->height);
    cairo_surface_t *surface = make_surface(sheet, pixels, &bytes);
    if (surface == NULL)
        return error_memory(err, "an image", (size_t)sheet->height * (size_t)sheet->width * 4);
    cairo_save(canvas->cairo);
    cairo_translate(canvas->cairo, x + (side - scale * sheet->width) / 2,
                    y + (side - scale * sheet->height) / 2);
    cairo_scale(canvas->cairo, scale, scale);
    cairo_set_source_surface(canvas->cairo, surface, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(canvas->cairo),
                             scale > 1 ? CAIRO_FILTER_NEAREST : CAIRO_FILTER_GOOD);
    cairo_rectangle(canvas->cairo, 0, 0, sheet->width, sheet->height);
    cairo_fill(canvas->cairo);
    cairo_restore(canvas->cairo);
    cairo_surface_destroy(surface); /* a recording has a copy of it */
    free(bytes);
    return ST_OK;
}

static const char *base_of(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash != NULL ? slash + 1 : name;
}

/* The image, its probability and class, its name; the training image and that one's class. */
static enum status draw_cell(struct canvas *canvas, const struct sheet *sheet,
                             const struct sheet_image *image, double x, double y, struct error *err)
{
    const struct text_style small = {.size = 12, .max_width = CELL - 10};
    char text[300];
    enum status st = draw_image(canvas, sheet, image->pixels, x, y, IMAGE, err);
    if (st != ST_OK)
        return st;
    canvas_colour(canvas, COLOUR_INK);
    snprintf(text, sizeof(text), "%.3f  %s", image->probability, image->other);
    canvas_text(canvas, x, y + IMAGE + 12,
                (struct text_style){.size = 13, .bold = true, .max_width = CELL - 10}, text);
    canvas_text(canvas, x, y + IMAGE + 29, small, base_of(image->name));
    if (image->nearest == NULL)
        return ST_OK;
    st = draw_image(canvas, sheet, image->nearest, x, y + IMAGE + 42, NEAREST, err);
    canvas_colour(canvas, COLOUR_INK);
    canvas_text(canvas, x + NEAREST + 8, y + IMAGE + 42 + NEAREST / 2.0,
                (struct text_style){.size = 12, .max_width = CELL - NEAREST - 18}, image->nearest_class);
    return st;
}

static enum status draw_row(struct canvas *canvas, const struct sheet *sheet, enum sheet_row row,
                            struct error *err)
{
    static const char *const titles[SHEET_ROWS] = {
        [SHEET_RIGHT] = "rightly found",
        [SHEET_FALSE] = "falsely found: probability, and what they are",
        [SHEET_MISSED] = "missed: probability of the class, and what they were taken for"};
    const double top = TOP + row * ROW;
    char title[160];
    enum status st = ST_OK;
    canvas_colour(canvas, row == SHEET_RIGHT ? COLOUR_GREEN : COLOUR_RED);
    snprintf(title, sizeof(title), "%lld %s", (long long)sheet->totals[row], titles[row]);
    canvas_text(canvas, LEFT, top + 10, (struct text_style){.size = 17, .bold = true}, title);
    for (int32_t i = 0; st == ST_OK && i < sheet->counts[row]; i++)
        st = draw_cell(canvas, sheet, &sheet->images[row][i], LEFT + i * CELL, top + 28, err);
    return st;
}

enum status plot_errors(struct picture *picture, const struct sheet *sheet, struct error *err)
{
    struct canvas canvas;
    char title[300];
    enum status st = canvas_open(&canvas, picture, WIDTH, TOP + SHEET_ROWS * ROW + 20, err);
    if (st != ST_OK)
        return st;
    snprintf(title, sizeof(title), "%s%s", sheet->class_name,
             sheet->has_nearest ? ", and below each image the training image most like it" : "");
    canvas_title(&canvas, title);
    for (int row = 0; st == ST_OK && row < SHEET_ROWS; row++)
        st = draw_row(&canvas, sheet, (enum sheet_row)row, err);
    if (st == ST_OK)
        st = canvas_save(&canvas, err);
    canvas_close(&canvas);
    return st;
}
