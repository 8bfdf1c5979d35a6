#include "tests/support/fuzz_mutate.h"

#include "host/base/file.h"
#include "host/base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

static const char *const tokens[] = {
    "-1",
    "0",
    "2147483648",
    "9007199254740993",
    "1e999",
    "-0.0",
    "0x7fffffffffffffffL",
    "nan",
    "null",
    "[]",
    "{}",
    "[",
    "}",
    "\"",
    "\\u0000",
    "(((((((((((((((",
    "=",
    ";",
    "\n",
    "\r",
    "/*",
    "#",
    ",",
    "..",
    "\x1b[31m",
    "\xff",
    "\"\"",
    "@include \"/\"\n",
};
enum { TOKEN_COUNT = sizeof(tokens) / sizeof(tokens[0]) };

static const uint32_t ends[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff};
enum { END_COUNT = sizeof(ends) / sizeof(ends[0]) };

struct fuzz_bytes fuzz_copy(const void *bytes, size_t length)
{
    struct fuzz_bytes copy = {.length = length, .capacity = 2 * length + FUZZ_ROOM};
    copy.bytes = malloc(copy.capacity);
    assert_non_null(copy.bytes);
    memcpy(copy.bytes, bytes, length);
    return copy;
}

static size_t draw_below(struct random_sequence *random, size_t n)
{
    return n == 0 ? 0 : random_next_below(random, (uint32_t)n);
}

static void insert(struct fuzz_bytes *file, size_t at, const void *bytes, size_t length)
{
    if (length > file->capacity - file->length)
        return;
    memmove(file->bytes + at + length, file->bytes + at, file->length - at);
    memcpy(file->bytes + at, bytes, length);
    file->length += length;
}

static void cut_out(struct fuzz_bytes *file, size_t at, size_t length)
{
    memmove(file->bytes + at, file->bytes + at + length, file->length - at - length);
    file->length -= length;
}

/* A part of the file put in again elsewhere. */
static void double_part(struct fuzz_bytes *file, struct random_sequence *random)
{
    uint8_t part[64];
    size_t from = draw_below(random, file->length), left = file->length - from;
    size_t length = 1 + draw_below(random, left < sizeof(part) ? left : sizeof(part));
    length = length < left ? length : left;
    memcpy(part, file->bytes + from, length);
    insert(file, draw_below(random, file->length + 1), part, length);
}

/* Two or four bytes replaced by the end of a range, in either order of bytes. */
static void put_end(struct fuzz_bytes *file, size_t at, struct random_sequence *random)
{
    uint32_t value = ends[random_next_below(random, END_COUNT)];
    size_t width = random_next_below(random, 2) ? 4 : 2;
    bool big = random_next_below(random, 2);
    for (size_t i = 0; i < width && at + i < file->length; i++)
        file->bytes[at + i] = (uint8_t)(value >> (8 * (big ? width - 1 - i : i)));
}

static void change_binary(struct fuzz_bytes *file, struct random_sequence *random)
{
    /* Half of the changes hit the first bytes, where the headers are. */
    size_t reach = random_next_below(random, 2) && file->length > 64 ? 64 : file->length;
    size_t at = draw_below(random, reach);
    switch (random_next_below(random, 4)) {
    case 0:
        file->bytes[at] ^= (uint8_t)(1u << random_next_below(random, 8));
        break;
    case 1:
        file->bytes[at] = (uint8_t)random_next(random);
        break;
    default:
        put_end(file, at, random);
        break;
    }
}

static void change_text(struct fuzz_bytes *file, struct random_sequence *random)
{
    size_t at = draw_below(random, file->length);
    const char *token = tokens[random_next_below(random, TOKEN_COUNT)];
    switch (random_next_below(random, 4)) {
    case 0:
        file->bytes[at] = (uint8_t)(32 + random_next_below(random, 95));
        break;
    case 1:
        insert(file, at, token, strlen(token));
        break;
    default: /* the next number becomes another, or a token */
        while (at < file->length && (file->bytes[at] < '0' || file->bytes[at] > '9'))
            at++;
        if (at == file->length)
            break;
        file->bytes[at] = (uint8_t)('0' + random_next_below(random, 10));
        if (random_next_below(random, 2)) {
            cut_out(file, at, 1);
            insert(file, at, token, strlen(token));
        }
        break;
    }
}

void fuzz_mutate(const struct fuzz_bytes *from, enum fuzz_kind kind, uint32_t part, uint32_t number,
                 struct fuzz_bytes *to)
{
    struct random_sequence random = {.seed = number, .stream = RANDOM_TEST, .part = part};
    uint32_t changes = 1 + random_next_below(&random, 3);
    memcpy(to->bytes, from->bytes, from->length);
    to->length = from->length;
    for (uint32_t i = 0; i < changes && to->length > 0; i++) {
        size_t at = draw_below(&random, to->length), left = to->length - at;
        switch (random_next_below(&random, 12)) {
        case 0:
            cut_out(to, at, 1 + draw_below(&random, left < 32 ? left : 32));
            break;
        case 1:
            double_part(to, &random);
            break;
        case 2:
            to->length = random_next_below(&random, 4) ? to->length : at;
            break;
        default:
            if (kind == FUZZ_TEXT)
                change_text(to, &random);
            else
                change_binary(to, &random);
            break;
        }
    }
}

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

void fuzz_repair_png(struct fuzz_bytes *file)
{
    size_t at = 8; /* behind the signature: length, type, content, check sum of type and content */
    while (at + 12 <= file->length) {
        size_t length = big_endian(file->bytes + at);
        if (length > file->length - at - 12)
            return;
        uint32_t sum = file_checksum(file->bytes + at + 4, 4 + length);
        for (size_t i = 0; i < 4; i++)
            file->bytes[at + 8 + length + i] = (uint8_t)(sum >> (24 - 8 * i));
        at += 12 + length;
    }
}

void fuzz_repair_journal(struct fuzz_bytes *file)
{
    static const char mark[] = ",\"crc\":\"";
    enum { MARK = sizeof(mark) - 1, DIGITS = 8 };
    size_t begin = 0;
    for (size_t i = 0; i < file->length; i++) {
        if (file->bytes[i] == '\n')
            begin = i + 1;
        if (file->length - i < MARK + DIGITS || memcmp(file->bytes + i, mark, MARK) != 0)
            continue;
        char digits[DIGITS + 1];
        snprintf(digits, sizeof(digits), "%08x", file_checksum(file->bytes + begin, i - begin));
        memcpy(file->bytes + i + MARK, digits, DIGITS);
    }
}

void fuzz_repair_checkpoint(struct fuzz_bytes *file)
{
    uint32_t sum;
    if (file->length < sizeof sum)
        return;
    sum = file_checksum(file->bytes, file->length - sizeof sum);
    memcpy(file->bytes + file->length - sizeof sum, &sum, sizeof sum);
}
