/* Text from files and file names, made fit for people: it may hold anything, and a terminal or a report takes it as it
 * comes. In JSON it stays as it is.
 */
#ifndef NASRUN_BASE_TEXT_H
#define NASRUN_BASE_TEXT_H

#include <stddef.h>

/* In place: what would break a line, steer a terminal or turn the direction of what follows becomes '?', byte by byte:
 * control characters, those of Unicode as well (U+0080 to U+009F, line and paragraph separators, marks of direction),
 * and bytes that are no UTF-8. Returns the text. */
char *text_clean(char *text);

/* The same of as much of `text` as fits into `shown`, `size` bytes at least 1. Returns `shown`. */
char *text_shown(const char *text, char *shown, size_t size);

#endif
