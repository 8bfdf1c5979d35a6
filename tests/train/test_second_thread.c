/* A second thread prepares programs while the first trains: reference and CPU. (The GPU:
 * tests/gpu/test_device_threads.c.) */
#include "tests/support/second_thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void reference(void **state)
{
    (void)state;
    second_thread_check(&ref_device_ops, &(struct device_options){.threads = 1}, NULL, NULL);
}

static void cpu_with_one_thread(void **state)
{
    (void)state;
    second_thread_check(&cpu_device_ops, &(struct device_options){.threads = 1}, NULL, NULL);
}

static void cpu_with_a_team(void **state)
{
    (void)state;
    second_thread_check(&cpu_device_ops, &(struct device_options){.threads = 2}, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference),
        cmocka_unit_test(cpu_with_one_thread),
        cmocka_unit_test(cpu_with_a_team),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
