/* The rules of the device interface on emulated GPUs (emu/emu.h), by the table that all devices have in common. */
#include "cuda/device/cuda_internal.h"
#include "tests/gpu/emu/emu_test.h"
#include "tests/support/device_rules.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void rules(void **state)
{
    (void)state;
    emu.devices = 3;
    device_rules_check(&cuda_device_ops);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(rules, emu_test_begin, emu_test_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
