/* Lists as text, row by row, as all kinds of tools write them; class names: their order, their encoding, what they have
 * in common. */
#include "host/data/data_internal.h"
#include "tests/support/data_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

/* ---- rows ---- */

/* Text with its length, for some of it has zero bytes. */
#define TEXT(text) text, sizeof(text) - 1

static const struct listed {
    const char *text;
    size_t length;
    const char *found; /* "LINE:FIELD|FIELD/LINE:..." */
} listed[] = {
    {TEXT(""), ""},
    {TEXT("\n\n \n"), ""},
    {TEXT("a,b\nc,d"), "1:a|b/2:c|d"},
    {TEXT("a,b\r\nc,d\r\n"), "1:a|b/2:c|d"},
    {TEXT("a,b\rc,d\r"), "1:a|b/2:c|d"}, /* old Macs */
    {TEXT("\xef\xbb\xbf"
          "a,b\n"),
     "1:a|b"},
    {TEXT("\n\n a , b \n\nc,\n"), "3:a|b/5:c|"},
    /* the separator is that of the first row, outside of quotes */
    {TEXT("a;b\nc;d,e\n"), "1:a|b/2:c|d,e"},
    {TEXT("a\tb c\n\td\n"), "1:a|b c/2:|d"},
    {TEXT("\"a;b\"\tc\n"), "1:a;b|c"},
    {TEXT("a;b,c\n"), "1:a;b|c"},
    {TEXT("a\n b\n"), "1:a/2:b"},
    {TEXT("\"a,b\"\n"), "1:a,b"},
    {TEXT("\"a"), "! 1: a quoted field without an end, expected \""},
    /* blanks, where there is nothing else: the last of them counts */
    {TEXT("a b 1\nc  2 \n  d\n\n3 4"), "1:a b|1/2:c|2/3:d/5:3|4"},
    {TEXT("a 1\n2\0 3\n"), "! 2: a zero byte"},
    /* quotes, with what they hold and what stands around them */
    {TEXT("\"a,\"\"b\"\"\", \"c\nd\",e\nf\n"), "1:a,\"b\"|c\nd|e/3:f"},
    {TEXT("\"a\"b,c\n"), "1:ab|c"},
    {TEXT("a,\"b"), "! 1: a quoted field without an end"},
    {TEXT("a,b\nc,\"d\"\"\n"), "! 2: a quoted field without an end"},
    {TEXT("a,b\0\n"), "! 1: a zero byte"},
    {TEXT("a,\"b\0\"\n"), "! 1: a zero byte"},
    {TEXT("a,\"b\""), "1:a|b"},
    /* UTF-16 in both orders, with a mark and without; characters of one to four bytes, halves of a pair */
    {TEXT("\xff\xfe"
          "a\0,\0\xe9\0\n\0"),
     "1:a|\xc3\xa9"},
    {TEXT("\xfe\xff\0a\0,\x20\xac"), "1:a|\xe2\x82\xac"},
    {TEXT("a\0,\0\x3d\xd8\x08\xdc"), "1:a|\xf0\x9f\x90\x88"},
    {TEXT("\0a\0,\xd8\x3d\xdc\x08"), "1:a|\xf0\x9f\x90\x88"},
    {TEXT("a\0,\0\x3d\xd8"), "1:a|\xef\xbf\xbd"},
    {TEXT("a\0,\0\x3d\xd8"
          "b\0"),
     "1:a|\xef\xbf\xbd"
     "b"},
    {TEXT("a\0,\0\x08\xdc\xff\xfe"
          "b"),
     "1:a|\xef\xbf\xbd\xef\xbb\xbf"},
    {TEXT("a\0,\0\0\xe0"), "1:a|\xee\x80\x80"},
};

/* What was found, in that form. */
static void read_rows(const char *path, char *found, size_t size)
{
    struct data_rows rows;
    struct error err;
    bool more = true;
    size_t filled = 0;
    found[0] = '\0';
    assert_int_equal(data_rows_open(&rows, path, &err), ST_OK);
    while (more) {
        if (data_rows_next(&rows, &more, &err) != ST_OK) {
            snprintf(found, size, "! %s", err.message + strlen(path) + 1);
            break;
        }
        if (more)
            filled += (size_t)snprintf(found + filled, size - filled, "%s%d:", filled > 0 ? "/" : "",
                                       (int)rows.line);
        for (int32_t i = 0; more && i < rows.field_count; i++)
            filled +=
                (size_t)snprintf(found + filled, size - filled, "%s%s", i > 0 ? "|" : "", rows.fields[i]);
    }
    data_rows_close(&rows);
}

static void test_rows(void **state)
{
    char *folder = data_files_folder(), path[256], found[256];
    (void)state;
    snprintf(path, sizeof(path), "%s/list", folder);
    for (size_t i = 0; i < sizeof(listed) / sizeof(listed[0]); i++) {
        const bool refused = listed[i].found[0] == '!';
        data_files_write(folder, "list", listed[i].text, listed[i].length, false);
        read_rows(path, found, sizeof(found));
        if (refused ? strncmp(found, listed[i].found, strlen(listed[i].found)) != 0
                    : strcmp(found, listed[i].found) != 0)
            fail_msg("case %zu: found %s, expected %s", i, found, listed[i].found);
    }
    data_files_remove(folder);
}

/* ---- names ---- */

/* Each before all that follow: numbers by value, then all else by bytes. */
static void test_order(void **state)
{
    static const char *const names[] = {
        "0",  "01",  "1",  "2", "9",  "010", "10",      "99999999999999999998", "99999999999999999999", "",
        "-1", "10 ", "1a", "a", "a1", "b",   "\xc3\xa9"};
    const int count = sizeof(names) / sizeof(names[0]);
    (void)state;
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count; j++) {
            const int found = data_compare_names(names[i], names[j]);
            if ((found > 0) - (found < 0) != (i > j) - (i < j))
                fail_msg("\"%s\" and \"%s\": %d", names[i], names[j], found);
        }
}

static void test_encoding(void **state)
{
    static const struct {
        const char *name, *text;
        bool foreign;
    } cases[] = {
        {"Caf\xc3\xa9", "Caf\xc3\xa9", false},
        {"\xe6\x97\xa5", "\xe6\x97\xa5", false},
        {"", "", false},
        {"K\xe4"
         "fer",
         "K\xc3\xa4"
         "fer",
         true},                                           /* Latin-1 */
        {"\x80 \x93", "\xe2\x82\xac \xe2\x80\x9c", true}, /* what Windows has besides */
        {"\x81", "\xef\xbf\xbd", true},
        {"\xc3", "\xc3\x83", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool foreign;
        char *text = data_name_utf8(cases[i].name, &foreign);
        assert_non_null(text);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(foreign, cases[i].foreign);
        free(text);
    }
}

static void test_look_alike(void **state)
{
    static const char *const pairs[][2] = {
        {"T-Shirt", "t-shirt"},
        {"ice cream", "icecream"},
        {" a\tb ", "ab"},
        {"STRASSE", "stra\xc3\x9f"
                    "e"},
        {"e\xcc\x81t\xc3\xa9", "\xc3\xa9te\xcc\x81"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char *one = data_name_folded(pairs[i][0]), *other = data_name_folded(pairs[i][1]);
        assert_non_null(one);
        assert_non_null(other);
        assert_string_equal(one, other);
        free(one);
        free(other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_look_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
