#include "host/report/fonts.h"

#include "host/base/file.h"

#include <cairo/cairo-ft.h>
#include <stdlib.h>

#define FOLDER "../share/nasrun/fonts/"

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

/* Those of the system. It is what fontconfig would do itself, at the first text: for ever, where it has no memory for
 * it. */
static bool open_system(struct fonts *fonts)
{
    if (fonts->system)
        return true;
    FcConfig *config = FcInitLoadConfigAndFonts();
    fonts->system = config != NULL && FcConfigSetCurrent(config);
    if (config != NULL)
        FcConfigDestroy(config); /* what is current has its own hold of it */
    return fonts->system;
}

enum status fonts_open(struct fonts *fonts, struct error *err)
{
    *fonts =
        (struct fonts){.own = {open_font(FOLDER "DejaVuSans.ttf"), open_font(FOLDER "DejaVuSans-Bold.ttf")}};
    if ((fonts->own[0] == NULL || fonts->own[1] == NULL) && !open_system(fonts))
        return error_memory(err, "fonts", 0);
    return ST_OK;
}

void fonts_close(struct fonts *fonts)
{
    for (int i = 0; i < 2; i++) {
        cairo_font_face_destroy(fonts->own[i]); /* NULL is allowed */
        cairo_font_face_destroy(fonts->other[i]);
    }
    *fonts = (struct fonts){0};
}

/* The first character of valid UTF-8. */
static uint32_t first_character(const char *text)
{
    const unsigned char *byte = (const unsigned char *)text;
    static const unsigned char masks[] = {0x7F, 0x1F, 0x0F, 0x07};
    int more = byte[0] < 0x80 ? 0 : byte[0] < 0xE0 ? 1 : byte[0] < 0xF0 ? 2 : 3;
    uint32_t character = byte[0] & masks[more];
    for (int i = 1; i <= more; i++)
        character = character << 6 | (byte[i] & 0x3F);
    return character;
}

/* The first character that the font being set has no glyph for; 0: it has all. Fonts set a glyph for each. */
static uint32_t find_missing(cairo_t *cairo, const char *text)
{
    cairo_glyph_t *glyphs = NULL;
    int count = 0;
    uint32_t missing = 0;
    if (cairo_scaled_font_text_to_glyphs(cairo_get_scaled_font(cairo), 0, 0, text, -1, &glyphs, &count, NULL,
                                         NULL, NULL) != CAIRO_STATUS_SUCCESS)
        return 0; /* out of memory shows when the text is set */
    for (int i = 0; i < count && missing == 0 && *text != '\0'; i++) {
        if (glyphs[i].index == 0)
            missing = first_character(text);
        for (text++; ((unsigned char)*text & 0xC0) == 0x80;)
            text++;
    }
    cairo_glyph_free(glyphs);
    return missing;
}

/* A font of the system that has the character; NULL: none. */
static cairo_font_face_t *open_other(uint32_t character, bool bold)
{
    FcPattern *wanted = FcPatternCreate(), *found = NULL;
    FcCharSet *set = FcCharSetCreate(), *has = NULL;
    cairo_font_face_t *face = NULL;
    FcResult result;
    if (wanted == NULL || set == NULL || !FcCharSetAddChar(set, character) ||
        !FcPatternAddCharSet(wanted, FC_CHARSET, set) || !FcPatternAddBool(wanted, FC_SCALABLE, FcTrue) ||
        !FcPatternAddInteger(wanted, FC_WEIGHT, bold ? FC_WEIGHT_BOLD : FC_WEIGHT_REGULAR) ||
        !FcConfigSubstitute(NULL, wanted, FcMatchPattern))
        goto out;
    FcDefaultSubstitute(wanted);
    found = FcFontMatch(NULL, wanted, &result);
    if (found != NULL && FcPatternGetCharSet(found, FC_CHARSET, 0, &has) == FcResultMatch &&
        FcCharSetHasChar(has, character))
        face = cairo_ft_font_face_create_for_pattern(found);
out:
    if (found != NULL)
        FcPatternDestroy(found);
    if (set != NULL)
        FcCharSetDestroy(set);
    if (wanted != NULL)
        FcPatternDestroy(wanted);
    return face;
}

void fonts_choose(struct fonts *fonts, cairo_t *cairo, const char *text, double size, bool bold)
{
    if (fonts->own[bold] != NULL)
        cairo_set_font_face(cairo, fonts->own[bold]);
    else
        cairo_select_font_face(cairo, "sans", CAIRO_FONT_SLANT_NORMAL,
                               bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cairo, size);
    uint32_t missing = find_missing(cairo, text);
    if (missing == 0)
        return;
    if (missing != fonts->other_for[bold]) {
        cairo_font_face_destroy(fonts->other[bold]);
        fonts->other[bold] = open_system(fonts) ? open_other(missing, bold) : NULL;
        fonts->other_for[bold] = missing;
    }
    if (fonts->other[bold] != NULL) {
        cairo_set_font_face(cairo, fonts->other[bold]);
        missing = find_missing(cairo, text);
    }
    if (fonts->missing == 0)
        fonts->missing = missing;
}

const char *fonts_package(uint32_t character)
{
    static const struct {
        uint32_t first, last;
        const char *package;
    } ranges[] = {
        {0x1100, 0x11FF, "fonts-noto-cjk"}, {0x2E80, 0x9FFF, "fonts-noto-cjk"},
        {0xA960, 0xA97F, "fonts-noto-cjk"}, {0xAC00, 0xD7FF, "fonts-noto-cjk"},
        {0xF900, 0xFAFF, "fonts-noto-cjk"}, {0xFE30, 0xFE4F, "fonts-noto-cjk"},
        {0xFF00, 0xFFEF, "fonts-noto-cjk"}, {0x20000, 0x3FFFF, "fonts-noto-cjk"},
        {0x2190, 0x2BFF, "fonts-symbola"},  {0x1F000, 0x1FAFF, "fonts-symbola"},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++)
        if (character >= ranges[i].first && character <= ranges[i].last)
            return ranges[i].package;
    return character < 0x600 ? "fonts-dejavu-core" : "fonts-noto-core";
}
