/* What candidates reserve on devices of the host and on others, beside each other, and when they have ended. */
#include "host/machine/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

enum { MIB = 1 << 20 };

static void test_added(void **state)
{
    static const struct {
        struct memory_need need;
        /* what it adds where the devices' memory is the process's own, and where it is not */
        size_t on_host, on_device;
    } cases[] = {
        /* Training, its values for the cache and for the file. */
        {{.training = 1000, .values = 10}, 1020, 10},
        {{.training = 1000, .values = 10, .devices = 1}, 1020, 10},
        {{.training = 1000, .values = 10, .devices = 3}, 3020, 10},
        /* Inheriting comes before training: the larger counts, not the sum. */
        {{.training = 1000, .values = 10, .inheritance = 400, .parent = 8}, 1020, 10},
        {{.training = 1000, .values = 10, .inheritance = 2000, .parent = 8}, 2008, 10},
        {{.training = 1000, .values = 10, .inheritance = 2000, .parent = 80}, 2080, 80},
        /* A past is there beside both. */
        {{.training = 1000, .values = 10, .past = 60}, 1080, 70},
        {{.training = 1000, .values = 10, .inheritance = 2000, .parent = 80, .past = 60}, 2140, 140},
        /* Of a test the answers are there beside its training, and beside what is made of them when that is over. */
        {{.training = 1000, .values = 10, .answers = 500, .predictions = 400}, 1520, 900},
        {{.training = 1000, .values = 10, .answers = 500, .predictions = 4000}, 4500, 4500},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct memory host = {.device_is_host = true}, device = {0};
        struct memory_need need = cases[i].need;
        memory_reserve(&host, &need, 0);
        assert_int_equal(need.added, cases[i].on_host);
        memory_reserve(&device, &need, 0);
        assert_int_equal(need.added, cases[i].on_device);
        assert_int_equal(device.in_training, cases[i].on_device);
    }
}

static void test_largest(void **state)
{
    struct memory memory = {.device_is_host = true, .base = 5000, .opening = 5500};
    struct memory_need a = {.training = 100, .values = 5}, b = {.training = 300, .values = 7};
    (void)state;
    assert_int_equal(memory_reserved(&memory), 5500);
    memory_reserve(&memory, &a, 0);
    memory_reserve(&memory, &b, 200); /* both at the same time, and the cache */
    assert_int_equal(memory.largest, 624);
    memory_release(&memory, &a);
    memory_release(&memory, &b);
    assert_int_equal(memory.in_training, 0);
    memory_reserve(&memory, &a, 200);
    assert_int_equal(memory.largest, 624);
    assert_int_equal(memory_reserved(&memory), 5624); /* more than opening took */
    memory_release(&memory, &a);
}

/* What was freed before is not the base's, but was the peak's. */
static void test_opened(void **state)
{
    enum { SIZE = 64 * MIB };
    struct memory memory;
    (void)state;
    memory_begin();
    char *block = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(block != MAP_FAILED);
    memset(block, 1, SIZE);
    memory_opened(&memory, true);
    const size_t with = memory.base;
    assert_true(with > SIZE);
    assert_true(memory_peak() > SIZE);
    assert_int_equal(munmap(block, SIZE), 0);
    memory_opened(&memory, false);
    assert_true(memory.base < with - SIZE / 2);
    assert_true(memory.opening > SIZE);
    assert_false(memory.device_is_host);
    assert_int_equal(memory.in_training, 0);
    assert_int_equal(memory.largest, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_added),
        cmocka_unit_test(test_largest),
        cmocka_unit_test(test_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
