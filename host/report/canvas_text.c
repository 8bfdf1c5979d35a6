#include "host/report/canvas.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

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
    fonts_choose(&canvas->fonts, canvas->cairo, clean, style.size, style.bold);
    return width_of(canvas, clean);
}

/* The place of a character's first byte, at `byte` or before it. */
static size_t character_at(const char *text, size_t byte)
{
    while (byte > 0 && ((unsigned char)text[byte] & 0xC0) == 0x80)
        byte--;
    return byte;
}

/* Puts an ellipsis in the place of what is too much in the middle of clean[TEXT_MAX]: names of one kind often differ at
 * their end. */
static void shorten(struct canvas *canvas, char *clean, double max_width)
{
    static const char ellipsis[] = "\xe2\x80\xa6";
    const size_t length = strlen(clean);
    char made[TEXT_MAX + sizeof(ellipsis)];

    if (width_of(canvas, clean) <= max_width)
        return;
    size_t fits = 0, too_many = length; /* bytes that are kept */
    strcpy(made, ellipsis);
    while (too_many - fits > 1) {
        const size_t kept = (fits + too_many) / 2;
        snprintf(made, sizeof(made), "%.*s%s%s", (int)character_at(clean, (kept + 1) / 2), clean, ellipsis,
                 clean + character_at(clean, length - kept / 2));
        if (width_of(canvas, made) <= max_width)
            fits = kept;
        else
            too_many = kept;
    }
    snprintf(made, sizeof(made), "%.*s%s%s", (int)character_at(clean, (fits + 1) / 2), clean, ellipsis,
             clean + character_at(clean, length - fits / 2));
    snprintf(clean, TEXT_MAX, "%.*s", TEXT_MAX - 1, made);
}

void canvas_text(struct canvas *canvas, double x, double y, struct text_style style, const char *text)
{
    char clean[TEXT_MAX];
    cairo_font_extents_t font;

    clean_text(text, clean);
    fonts_choose(&canvas->fonts, canvas->cairo, clean, style.size, style.bold);
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
