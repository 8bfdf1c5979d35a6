/* The rules of the device interface on the devices that every machine has; tests/gpu/test_device_rules.c has the
 * third. */
#include "tests/support/device_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void rules_of_ref(void **state)
{
    (void)state;
    device_rules_check(&ref_device_ops);
}

static void rules_of_cpu(void **state)
{
    (void)state;
    device_rules_check(&cpu_device_ops);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_of_ref),
        cmocka_unit_test(rules_of_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
