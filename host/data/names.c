/* Class names as people and tools write them: their order, their encoding, and which of them look alike. */
#include "host/data/data_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* What Windows' code page 1252 has between 0x80 and 0x9f; 0: nothing. The rest of it is Latin-1. */
static const uint16_t windows[32] = {0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
                                     0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0,      0x017d, 0,
                                     0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                     0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,      0x017e, 0x0178};

static bool is_number(const char *name)
{
    const char *at = name;
    while (isdigit((unsigned char)*at))
        at++;
    return at > name && *at == '\0';
}

/* Whole numbers of any length. */
static int compare_numbers(const char *a, const char *b)
{
    const char *x = a + strspn(a, "0"), *y = b + strspn(b, "0");
    const size_t length = strlen(x), other = strlen(y);
    if (length != other)
        return length < other ? -1 : 1;
    const int order = strcmp(x, y);
    return order != 0 ? order : strcmp(a, b); /* 01 and 1 are two names */
}

int data_compare_names(const char *a, const char *b)
{
    const bool first = is_number(a), second = is_number(b);
    if (first != second)
        return first ? -1 : 1;
    return first ? compare_numbers(a, b) : strcmp(a, b);
}

static bool is_utf8(const char *name)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)name;
    while (*at != '\0') {
        utf8proc_int32_t point;
        const utf8proc_ssize_t length = utf8proc_iterate(at, -1, &point);
        if (length <= 0)
            return false;
        at += length;
    }
    return true;
}

char *data_name_utf8(const char *name, bool *foreign)
{
    *foreign = !is_utf8(name);
    if (!*foreign)
        return strdup(name);
    char *text = malloc(3 * strlen(name) + 1), *to = text;
    for (; text != NULL && *name != '\0'; name++) {
        const unsigned char c = (unsigned char)*name;
        utf8proc_int32_t point = c;
        if (c >= 0x80 && c < 0xa0)
            point = windows[c - 0x80] != 0 ? windows[c - 0x80] : 0xfffd;
        to += utf8proc_encode_char(point, (utf8proc_uint8_t *)to);
    }
    if (text != NULL)
        *to = '\0';
    return text;
}

/* Blanks and what stands for them in file names go. */
char *data_name_folded(const char *name)
{
    utf8proc_uint8_t *folded = NULL;
    const utf8proc_ssize_t length = utf8proc_map((const utf8proc_uint8_t *)name, 0, &folded,
                                                 UTF8PROC_NULLTERM | UTF8PROC_COMPOSE | UTF8PROC_COMPAT |
                                                     UTF8PROC_CASEFOLD | UTF8PROC_IGNORE);
    if (length < 0) /* the names are UTF-8: memory is short */
        return NULL;
    char *to = (char *)folded;
    for (const char *from = to; *from != '\0'; from++)
        if (*from != ' ' && *from != '\t')
            *to++ = *from;
    *to = '\0';
    return (char *)folded;
}
