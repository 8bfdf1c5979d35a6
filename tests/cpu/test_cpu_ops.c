/* Every operation of the CPU device against the reference, over random graphs and over convolutions and dense
 * layers of awkward shapes. */
#include "tests/support/cpu_compare.h"
#include "tests/support/device_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { GRAPHS = 48, CONVOLUTIONS = 72 };

static void random_graphs(void **state)
{
    (void)state;
    device_cases_random_graphs(GRAPHS, cpu_compare);
}

static void convolutions(void **state)
{
    (void)state;
    device_cases_convolutions(CONVOLUTIONS, cpu_compare);
}

static void dense_layers(void **state)
{
    (void)state;
    device_cases_dense(cpu_compare);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_graphs), cmocka_unit_test(convolutions),
                                       cmocka_unit_test(dense_layers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
