#include "host/base/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Bytes of the UTF-8 character at `at` and its code point; 0: it is none. */
static size_t read_character(const unsigned char *at, uint32_t *point)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const size_t length = at[0] < 0x80   ? 1
                          : at[0] < 0xc2 ? 0
                          : at[0] < 0xe0 ? 2
                          : at[0] < 0xf0 ? 3
                          : at[0] < 0xf5 ? 4
                                         : 0;
    if (length < 2) {
        *point = at[0];
        return length;
    }
    *point = at[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) /* also the end of the text */
            return 0;
        *point = *point << 6 | (at[i] & 0x3f);
    }
    return *point >= least[length] && *point <= 0x10ffff && (*point < 0xd800 || *point > 0xdfff) ? length : 0;
}

static bool is_shown(uint32_t point)
{
    return point >= 0x20 && (point < 0x7f || point > 0x9f) && point != 0x061c && point != 0x200e &&
           point != 0x200f && (point < 0x2028 || point > 0x202e) && (point < 0x2066 || point > 0x2069);
}

char *text_clean(char *text)
{
    for (char *at = text; *at != '\0';) {
        uint32_t point;
        size_t length = read_character((const unsigned char *)at, &point);
        if (length == 0 || !is_shown(point)) {
            length = length == 0 ? 1 : length;
            memset(at, '?', length);
        }
        at += length;
    }
    return text;
}

char *text_shown(const char *text, char *shown, size_t size)
{
    size_t length = strlen(text);
    if (length >= size) {
        length = size - 1;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80) /* not within a character */
            length--;
    }
    memcpy(shown, text, length);
    shown[length] = '\0';
    return text_clean(shown);
}
