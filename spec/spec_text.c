/* From a job file as people write it to a text that libconfig 1.5 reads without loss. */
#include "spec/schema.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct scan {
    const char *text;
    size_t length, at;
    char *result;
    size_t filled;
    char last;   /* how the token before began; comments and spaces are none */
    char opened; /* the bracket that the current list began with; '\0' outside; lists are never nested in a
                    job file */
};

static char scan_peek(const struct scan *scan, size_t ahead)
{
    return scan->at + ahead < scan->length ? scan->text[scan->at + ahead] : '\0';
}

static void scan_copy(struct scan *scan)
{
    scan->result[scan->filled++] = scan->text[scan->at++];
}

static int line_of(const char *text, size_t at)
{
    int line = 1;
    for (size_t i = 0; i < at; i++)
        line += text[i] == '\n';
    return line;
}

/* From the quote to the quote that closes. A text where none may stand is refused here, since libconfig would
 * lose its memory. */
static enum status scan_string(struct scan *scan, const char *file, struct error *err)
{
    size_t start = scan->at;
    const char *before = scan->opened != '\0' ? "=:,([\"" : "=:\"";
    if (scan->last == '\0' || strchr(before, scan->last) == NULL)
        return error_set(err, ST_FORMAT,
                         "%s:%d: syntax error: found a text in quotes, expected it behind = or in a list",
                         file, line_of(scan->text, start));
    scan_copy(scan);
    while (scan->at < scan->length && scan_peek(scan, 0) != '"') {
        if (scan_peek(scan, 0) == '\\' && scan->at + 1 < scan->length)
            scan_copy(scan);
        scan_copy(scan);
    }
    if (scan->at == scan->length)
        return error_set(err, ST_FORMAT, "%s:%d: found a text without an end, expected \"", file,
                         line_of(scan->text, start));
    scan_copy(scan);
    return ST_OK;
}

static void scan_digits(struct scan *scan)
{
    while (isdigit((unsigned char)scan_peek(scan, 0)))
        scan_copy(scan);
}

/* A number without its sign. Only a whole decimal one is changed. */
static void scan_number(struct scan *scan)
{
    if (scan_peek(scan, 0) == '0' && tolower((unsigned char)scan_peek(scan, 1)) == 'x') {
        scan_copy(scan);
        scan_copy(scan);
        while (isxdigit((unsigned char)scan_peek(scan, 0)))
            scan_copy(scan);
        return;
    }
    bool whole = true;
    scan_digits(scan);
    if (scan_peek(scan, 0) == '.') {
        whole = false;
        scan_copy(scan);
        scan_digits(scan);
    }
    if (tolower((unsigned char)scan_peek(scan, 0)) == 'e') {
        char next = scan_peek(scan, 1);
        size_t digit = next == '+' || next == '-' ? 2 : 1;
        if (isdigit((unsigned char)scan_peek(scan, digit))) {
            whole = false;
            while (digit-- > 0)
                scan_copy(scan);
            scan_digits(scan);
        }
    }
    if (whole && scan_peek(scan, 0) != 'L')
        scan->result[scan->filled++] = 'L';
}

/* Brackets become parentheses, unless that would make a pair of what is none. */
static void scan_bracket(struct scan *scan)
{
    char c = scan->text[scan->at++];
    char made = c;
    if (c == '[' || c == '(') {
        scan->opened = c;
        made = '(';
    } else {
        if (scan->opened == '[')
            made = c == ']' ? ')' : ']';
        scan->opened = '\0';
    }
    scan->result[scan->filled++] = made;
}

static enum status scan_comment(struct scan *scan, const char *file, struct error *err)
{
    size_t start = scan->at;
    if (scan_peek(scan, 0) == '/' && scan_peek(scan, 1) == '*') {
        scan_copy(scan);
        scan_copy(scan);
        while (scan->at < scan->length && !(scan_peek(scan, 0) == '*' && scan_peek(scan, 1) == '/'))
            scan_copy(scan);
        if (scan->at == scan->length)
            return error_set(err, ST_FORMAT, "%s:%d: found a comment /* without an end, expected */", file,
                             line_of(scan->text, start));
        scan_copy(scan);
        scan_copy(scan);
        return ST_OK;
    }
    while (scan->at < scan->length && scan_peek(scan, 0) != '\n')
        scan_copy(scan);
    if (scan->at == scan->length) /* libconfig knows no comment whose line has no end */
        scan->result[scan->filled++] = '\n';
    return ST_OK;
}

static enum status scan_all(struct scan *scan, const char *file, struct error *err)
{
    enum status st = ST_OK;
    while (scan->at < scan->length && st == ST_OK) {
        unsigned char c = (unsigned char)scan_peek(scan, 0);
        unsigned char next = (unsigned char)scan_peek(scan, 1);
        bool comment = c == '#' || (c == '/' && (next == '/' || next == '*'));
        if (c == '"') {
            st = scan_string(scan, file, err);
        } else if (comment) {
            st = scan_comment(scan, file, err);
        } else if (isalpha(c) || c == '*') {
            do
                scan_copy(scan);
            while (scan->at < scan->length &&
                   (isalnum((unsigned char)scan_peek(scan, 0)) || strchr("-_*", scan_peek(scan, 0)) != NULL));
        } else if (isdigit(c) || c == '.') {
            scan_number(scan);
        } else if (c == '[' || c == ']' || c == '(' || c == ')') {
            scan_bracket(scan);
        } else if (c == '@') {
            return error_set(err, ST_FORMAT,
                             "%s:%d: found @, expected all settings in one file (no @include)", file,
                             line_of(scan->text, scan->at));
        } else {
            scan_copy(scan);
        }
        if (!isspace(c) && !comment)
            scan->last = (char)c;
    }
    return st;
}

enum status spec_prepare_text(const char *file, const char *text, size_t length, char **result,
                              struct error *err)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    struct scan scan = {.text = text, .length = length};
    *result = NULL;
    const char *nul = memchr(text, '\0', length);
    if (nul != NULL)
        return error_set(err, ST_FORMAT, "%s:%d: found a NUL byte, expected a text file", file,
                         line_of(text, (size_t)(nul - text)));
    if (length >= 3 && memcmp(text, byte_order_mark, 3) == 0)
        scan.at = 3;
    /* Each whole number, one digit at least, grows by one byte, and so does a comment at the end. */
    scan.result = malloc(2 * length + 1);
    if (scan.result == NULL)
        return error_memory(err, file, 2 * (unsigned long long)length + 1);
    enum status st = scan_all(&scan, file, err);
    if (st != ST_OK) {
        free(scan.result);
        return st;
    }
    scan.result[scan.filled] = '\0';
    *result = scan.result;
    return ST_OK;
}
