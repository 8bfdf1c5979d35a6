/* Distinct rows of bytes, beside a search through all of them. */
#include "host/base/distinct.h"

#include "host/base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { WIDTH = 3, ROWS = 2000, VALUES = 9 };

static void numbers_in_the_order_of_coming(void **state)
{
    struct distinct distinct = {.width = WIDTH};
    uint8_t rows[ROWS][WIDTH];
    int32_t expected[ROWS], known = 0, number;
    struct error err;
    (void)state;
    for (int32_t i = 0; i < ROWS; i++) {
        const struct random4 words = random_draw(3, RANDOM_TEST, (uint64_t)i, 0);
        int32_t same = 0;
        for (int k = 0; k < WIDTH; k++)
            rows[i][k] = (uint8_t)(words.v[k] % VALUES);
        while (memcmp(rows[same], rows[i], WIDTH) != 0)
            same++;
        expected[i] = same < i ? expected[same] : known++;
        assert_int_equal(distinct_number(&distinct, rows[i], &number, &err), ST_OK);
        assert_int_equal(number, expected[i]);
        assert_int_equal(distinct.count, known);
    }
    assert_true(known > 256 && known < ROWS); /* the slots have grown, and rows have come again */
    for (int32_t i = 0; i < ROWS; i++)
        assert_memory_equal(distinct.rows + (size_t)expected[i] * WIDTH, rows[i], WIDTH);
    distinct_free(&distinct);
    assert_null(distinct.rows);
    distinct_free(&distinct);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(numbers_in_the_order_of_coming)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
