#include "tests/gpu/emu/emu_test.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

int emu_test_begin(void **state)
{
    (void)state;
    emu_reset();
    cuda_on_cpu = (struct cuda_on_cpu_settings){.threads = 32, .blocks = 4};
    return 0;
}

int emu_test_end(void **state)
{
    (void)state;
    assert_int_equal(emu_count.objects, 0);
    return 0;
}
