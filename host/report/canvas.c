#include "host/report/canvas.h"

#include "host/base/file.h"

#include <cairo/cairo-ft.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct colour COLOUR_INK = {0.13, 0.13, 0.16, 1}, COLOUR_GREY = {0.55, 0.56, 0.60, 1},
                    COLOUR_GRID = {0.90, 0.90, 0.92, 1}, COLOUR_BLUE = {0.07, 0.33, 0.62, 1},
                    COLOUR_PALE_BLUE = {0.68, 0.82, 0.93, 1}, COLOUR_ORANGE = {0.93, 0.49, 0.10, 1},
                    COLOUR_RED = {0.78, 0.13, 0.18, 1};

struct colour colour_between(struct colour from, struct colour to, double share)
{
    return (struct colour){
        from.red + share * (to.red - from.red), from.green + share * (to.green - from.green),
        from.blue + share * (to.blue - from.blue), from.alpha + share * (to.alpha - from.alpha)};
}

/* ---- the font ---- */

#define FONTS "../share/nasrun/fonts/"

/* A pattern that names the file needs none of fontconfig's own files. NULL: not there; out of memory shows in the
 * face. */
static cairo_font_face_t *open_font(const char *name)
{
    cairo_font_face_t *face = NULL;
    char *path = file_beside_program(name);
    if (path == NULL || !file_exists(path)) {
        free(path);
        return NULL;
    }
    FcPattern *pattern = FcPatternCreate();
    if (pattern != NULL && FcPatternAddString(pattern, FC_FILE, (const FcChar8 *)path))
        face = cairo_ft_font_face_create_for_pattern(pattern);
    if (pattern != NULL)
        FcPatternDestroy(pattern);
    free(path);
    return face;
}

/* Those of the system, where our own are not beside the program. It is what fontconfig would do itself, at the first
 * text: for ever, where it has no memory for it. */
static enum status open_fonts(struct error *err)
{
    FcConfig *config = FcInitLoadConfigAndFonts();
    const bool taken = config != NULL && FcConfigSetCurrent(config);
    if (config != NULL)
        FcConfigDestroy(config); /* what is current has its own hold of it */
    return taken ? ST_OK : error_memory(err, "fonts", 0);
}

/* ---- the picture ---- */

enum status canvas_open(struct canvas *canvas, int width, int height, struct error *err)
{
    *canvas = (struct canvas){.surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height),
                              .width = width,
                              .height = height};
    canvas->cairo = cairo_create(canvas->surface);
    canvas->fonts[0] = open_font(FONTS "DejaVuSans.ttf");
    canvas->fonts[1] = open_font(FONTS "DejaVuSans-Bold.ttf");
    enum status st = cairo_status(canvas->cairo) == CAIRO_STATUS_SUCCESS
                         ? ST_OK
                         : error_memory(err, "a picture", 4ull * (unsigned)width * (unsigned)height);
    if (st == ST_OK && (canvas->fonts[0] == NULL || canvas->fonts[1] == NULL))
        st = open_fonts(err);
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

enum status canvas_save(struct canvas *canvas, const char *path, struct error *err)
{
    struct file_aside file;
    cairo_status_t drawn = cairo_status(canvas->cairo);

    if (drawn != CAIRO_STATUS_SUCCESS)
        return error_set(err, ST_MEMORY, "%s: drawing failed: %s", path, cairo_status_to_string(drawn));
    enum status st = file_aside_open(&file, path, err);
    if (st != ST_OK)
        return st;
    drawn = cairo_surface_write_to_png_stream(canvas->surface, write_bytes, file.stream);
    if (drawn != CAIRO_STATUS_SUCCESS && drawn != CAIRO_STATUS_WRITE_ERROR) {
        file_aside_abandon(&file);
        return error_set(err, ST_MEMORY, "%s: PNG failed: %s", path, cairo_status_to_string(drawn));
    }
    return file_aside_commit(&file, err); /* a write error stuck in the stream */
}

void canvas_close(struct canvas *canvas)
{
    if (canvas->cairo != NULL)
        cairo_destroy(canvas->cairo);
    if (canvas->surface != NULL)
        cairo_surface_destroy(canvas->surface);
    for (int i = 0; i < 2; i++)
        cairo_font_face_destroy(canvas->fonts[i]); /* NULL is allowed */
    *canvas = (struct canvas){0};
}

void canvas_colour(struct canvas *canvas, struct colour c)
{
    cairo_set_source_rgba(canvas->cairo, c.red, c.green, c.blue, c.alpha);
}

/* ---- text ---- */

enum { TEXT_MAX = 512 };

/* Bytes of the UTF-8 character at text, 0 when there is none. */
static int character_length(const unsigned char *text)
{
    int length = text[0] < 0x80 ? 1 : text[0] < 0xC2 ? 0 : text[0] < 0xE0 ? 2 : text[0] < 0xF0 ? 3 : 4;
    if (text[0] >= 0xF5)
        return 0;
    for (int i = 1; i < length; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    if ((text[0] == 0xE0 && text[1] < 0xA0) || (text[0] == 0xED && text[1] > 0x9F) ||
        (text[0] == 0xF0 && text[1] < 0x90) || (text[0] == 0xF4 && text[1] > 0x8F))
        return 0;
    return length;
}

/* Valid UTF-8 of the first bytes of `text` into made[TEXT_MAX]: cairo goes into an error state on anything
 * else. */
static void clean_text(const char *text, char *made)
{
    size_t used = 0;
    while (*text != '\0' && used + 4 < TEXT_MAX) {
        int length = character_length((const unsigned char *)text);
        if (length == 0 || (unsigned char)*text < ' ')
            made[used++] = '?';
        else
            memcpy(made + used, text, (size_t)length);
        used += length > 0 && (unsigned char)*text >= ' ' ? (size_t)length : 0;
        text += length > 0 ? length : 1;
    }
    made[used] = '\0';
}

static void choose_font(struct canvas *canvas, struct text_style style)
{
    if (canvas->fonts[style.bold] != NULL)
        cairo_set_font_face(canvas->cairo, canvas->fonts[style.bold]);
    else
        cairo_select_font_face(canvas->cairo, "sans", CAIRO_FONT_SLANT_NORMAL,
                               style.bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(canvas->cairo, style.size);
}

static double width_of(struct canvas *canvas, const char *clean)
{
    cairo_text_extents_t extents;
    cairo_text_extents(canvas->cairo, clean, &extents);
    return extents.x_advance;
}

double canvas_text_width(struct canvas *canvas, struct text_style style, const char *text)
{
    char clean[TEXT_MAX];
    clean_text(text, clean);
    choose_font(canvas, style);
    return width_of(canvas, clean);
}

/* Cuts characters from the end of clean[TEXT_MAX] until it fits with an ellipsis behind it. */
static void shorten(struct canvas *canvas, char *clean, double max_width)
{
    static const char ellipsis[] = "\xe2\x80\xa6";
    size_t length = strlen(clean);

    if (width_of(canvas, clean) <= max_width)
        return;
    if (length > TEXT_MAX - sizeof(ellipsis))
        length = TEXT_MAX - sizeof(ellipsis);
    while (length > 0) {
        length--;
        while (length > 0 && ((unsigned char)clean[length] & 0xC0) == 0x80)
            length--;
        memcpy(clean + length, ellipsis, sizeof(ellipsis));
        if (width_of(canvas, clean) <= max_width)
            return;
    }
}

void canvas_text(struct canvas *canvas, double x, double y, struct text_style style, const char *text)
{
    char clean[TEXT_MAX];
    cairo_font_extents_t font;

    clean_text(text, clean);
    choose_font(canvas, style);
    if (style.max_width > 0)
        shorten(canvas, clean, style.max_width);
    double width = width_of(canvas, clean);
    cairo_font_extents(canvas->cairo, &font);
    cairo_save(canvas->cairo);
    cairo_translate(canvas->cairo, x, y);
    if (style.upwards)
        cairo_rotate(canvas->cairo, -acos(-1.0) / 2);
    double shift = style.anchor == TEXT_LEFT ? 0 : style.anchor == TEXT_CENTRE ? width / 2 : width;
    cairo_move_to(canvas->cairo, -shift, (font.ascent - font.descent) / 2);
    cairo_show_text(canvas->cairo, clean);
    cairo_restore(canvas->cairo);
    cairo_new_path(canvas->cairo);
}

/* ---- axes ---- */

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
    return axes->left + axes->width * (value - axes->x_low) / (axes->x_high - axes->x_low);
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

/* The number at tick `k` of a step, without the noise of k * step near 0. */
static void draw_tick(struct canvas *canvas, const struct axes *axes, bool horizontal, double value,
                      double step)
{
    char number[32];
    double right = axes->left + axes->width, bottom = axes->top + axes->height;

    canvas_colour(canvas, COLOUR_GRID);
    if (horizontal)
        grid_line(canvas, axes_x(axes, value), axes->top, axes_x(axes, value), bottom);
    else
        grid_line(canvas, axes->left, axes_y(axes, value), right, axes_y(axes, value));
    if (horizontal && axes->x_label == NULL)
        return;
    snprintf(number, sizeof(number), "%.6g", fabs(value) < step / 1e6 ? 0 : value);
    canvas_colour(canvas, COLOUR_INK);
    if (horizontal)
        canvas_text(canvas, axes_x(axes, value), bottom + 18,
                    (struct text_style){.size = 15, .anchor = TEXT_CENTRE}, number);
    else
        canvas_text(canvas, axes->left - 10, axes_y(axes, value),
                    (struct text_style){.size = 15, .anchor = TEXT_RIGHT}, number);
}

static void draw_ticks(struct canvas *canvas, const struct axes *axes, bool horizontal)
{
    double low = horizontal ? axes->x_low : axes->y_low, high = horizontal ? axes->x_high : axes->y_high;
    double step = tick_step(low, high);
    double first = ceil(low / step - 1e-9);
    int count = (int)(floor(high / step + 1e-9) - first) + 1;

    for (int k = 0; k < count; k++)
        draw_tick(canvas, axes, horizontal, (first + k) * step, step);
}

void axes_draw(struct canvas *canvas, const struct axes *axes)
{
    cairo_set_line_width(canvas->cairo, 1);
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

/* ---- marks and legend ---- */

void canvas_mark(struct canvas *canvas, double x, double y, enum mark mark, double radius)
{
    if (mark == MARK_NONE)
        return;
    cairo_new_path(canvas->cairo);
    cairo_arc(canvas->cairo, x, y, radius, 0, 2 * acos(-1.0));
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
