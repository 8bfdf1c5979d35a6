#include "host/report/canvas.h"

#include "host/base/file.h"

#include <cairo/cairo-pdf.h>
#include <cairo/cairo-svg.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const struct colour COLOUR_INK = {0.13, 0.13, 0.16, 1}, COLOUR_GREY = {0.55, 0.56, 0.60, 1},
                    COLOUR_GRID = {0.90, 0.90, 0.92, 1}, COLOUR_BLUE = {0.07, 0.33, 0.62, 1},
                    COLOUR_PALE_BLUE = {0.68, 0.82, 0.93, 1}, COLOUR_ORANGE = {0.93, 0.49, 0.10, 1},
                    COLOUR_RED = {0.78, 0.13, 0.18, 1}, COLOUR_GREEN = {0.13, 0.55, 0.30, 1};

struct colour colour_between(struct colour from, struct colour to, double share)
{
    return (struct colour){
        from.red + share * (to.red - from.red), from.green + share * (to.green - from.green),
        from.blue + share * (to.blue - from.blue), from.alpha + share * (to.alpha - from.alpha)};
}

/* Width and height of a picture that is made of lines and not of pixels are points; 72 of them are an inch. */
static const double POINTS = 0.6;

enum status canvas_open(struct canvas *canvas, struct picture *picture, int width, int height,
                        struct error *err)
{
    const char *suffix = strrchr(picture->path, '.');
    *canvas = (struct canvas){.picture = picture, .width = width, .height = height};
    canvas->kind = suffix != NULL && strcmp(suffix, ".svg") == 0   ? PICTURE_SVG
                   : suffix != NULL && strcmp(suffix, ".pdf") == 0 ? PICTURE_PDF
                                                                   : PICTURE_PNG;
    const cairo_rectangle_t extents = {0, 0, width, height};
    canvas->surface = canvas->kind == PICTURE_PNG
                          ? cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height)
                          : cairo_recording_surface_create(CAIRO_CONTENT_COLOR_ALPHA, &extents);
    canvas->cairo = cairo_create(canvas->surface);
    enum status st = cairo_status(canvas->cairo) == CAIRO_STATUS_SUCCESS
                         ? ST_OK
                         : error_memory(err, "a picture", 4ull * (unsigned)width * (unsigned)height);
    if (st == ST_OK)
        st = fonts_open(&canvas->fonts, err);
    if (st != ST_OK) {
        canvas_close(canvas);
        return st;
    }
    cairo_set_source_rgb(canvas->cairo, 1, 1, 1);
    cairo_paint(canvas->cairo);
    cairo_set_line_join(canvas->cairo, CAIRO_LINE_JOIN_ROUND);
    return ST_OK;
}

static cairo_status_t write_bytes(void *stream, const unsigned char *data, unsigned int length)
{
    return fwrite(data, 1, length, stream) == length ? CAIRO_STATUS_SUCCESS : CAIRO_STATUS_WRITE_ERROR;
}

/* What was drawn, drawn once more into a file of lines. The same picture gives the same bytes: a PDF has no date. */
static cairo_status_t write_lines(const struct canvas *canvas, FILE *stream)
{
    const double width = POINTS * canvas->width, height = POINTS * canvas->height;
    cairo_surface_t *surface = canvas->kind == PICTURE_SVG
                                   ? cairo_svg_surface_create_for_stream(write_bytes, stream, width, height)
                                   : cairo_pdf_surface_create_for_stream(write_bytes, stream, width, height);
    if (canvas->kind == PICTURE_PDF)
        cairo_pdf_surface_set_metadata(surface, CAIRO_PDF_METADATA_CREATE_DATE, NULL);
    cairo_t *cairo = cairo_create(surface);
    cairo_scale(cairo, POINTS, POINTS);
    cairo_set_source_surface(cairo, canvas->surface, 0, 0);
    cairo_paint(cairo);
    cairo_status_t drawn = cairo_status(cairo);
    cairo_destroy(cairo);
    cairo_surface_finish(surface);
    if (drawn == CAIRO_STATUS_SUCCESS)
        drawn = cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    return drawn;
}

enum status canvas_save(struct canvas *canvas, struct error *err)
{
    const char *path = canvas->picture->path;
    struct file_aside file;
    cairo_status_t drawn = cairo_status(canvas->cairo);

    if (drawn != CAIRO_STATUS_SUCCESS)
        return error_set(err, ST_MEMORY, "%s: drawing failed: %s", path, cairo_status_to_string(drawn));
    enum status st = file_aside_open(&file, path, err);
    if (st != ST_OK)
        return st;
    drawn = canvas->kind == PICTURE_PNG
                ? cairo_surface_write_to_png_stream(canvas->surface, write_bytes, file.stream)
                : write_lines(canvas, file.stream);
    if (drawn != CAIRO_STATUS_SUCCESS && drawn != CAIRO_STATUS_WRITE_ERROR) {
        file_aside_abandon(&file);
        return error_set(err, ST_MEMORY, "%s: the picture failed: %s", path, cairo_status_to_string(drawn));
    }
    if (canvas->picture->missing == 0)
        canvas->picture->missing = canvas->fonts.missing;
    return file_aside_commit(&file, err); /* a write error stuck in the stream */
}

void canvas_close(struct canvas *canvas)
{
    if (canvas->cairo != NULL)
        cairo_destroy(canvas->cairo);
    if (canvas->surface != NULL)
        cairo_surface_destroy(canvas->surface);
    fonts_close(&canvas->fonts);
    *canvas = (struct canvas){0};
}

void canvas_colour(struct canvas *canvas, struct colour c)
{
    cairo_set_source_rgba(canvas->cairo, c.red, c.green, c.blue, c.alpha);
}

void canvas_title(struct canvas *canvas, const char *title)
{
    canvas_colour(canvas, COLOUR_INK);
    canvas_text(canvas, canvas->width / 2, 34,
                (struct text_style){.size = 23, .anchor = TEXT_CENTRE, .bold = true}, title);
}

void canvas_mark(struct canvas *canvas, double x, double y, enum mark mark, double radius)
{
    if (mark == MARK_NONE)
        return;
    cairo_new_path(canvas->cairo);
    if (mark == MARK_DISC)
        cairo_arc(canvas->cairo, x, y, radius, 0, 2 * acos(-1.0));
    for (int corner = 0; mark == MARK_DIAMOND && corner < 4; corner++)
        cairo_line_to(canvas->cairo,
                      x + (corner % 2 == 0 ? 0
                           : corner == 1   ? radius
                                           : -radius),
                      y + (corner % 2 == 1 ? 0
                           : corner == 0   ? radius
                                           : -radius));
    cairo_fill(canvas->cairo);
}

void canvas_legend(struct canvas *canvas, double x, double y, const struct legend_entry *entries, int count)
{
    const struct text_style style = {.size = 15};
    const double sample = 34, gap = 8, between = 28;

    for (int i = 0; i < count; i++) {
        const struct legend_entry *entry = &entries[i];
        canvas_colour(canvas, entry->colour);
        if (entry->line_width > 0) {
            cairo_set_line_width(canvas->cairo, entry->line_width);
            cairo_move_to(canvas->cairo, x, y);
            cairo_line_to(canvas->cairo, x + sample, y);
            cairo_stroke(canvas->cairo);
        }
        canvas_mark(canvas, x + sample / 2, y, entry->mark, 5);
        canvas_colour(canvas, COLOUR_INK);
        canvas_text(canvas, x + sample + gap, y, style, entry->text);
        x += sample + gap + canvas_text_width(canvas, style, entry->text) + between;
    }
}
