/* Every operation of the CPU device against the reference, over random graphs and over convolutions and dense
 * layers of awkward shapes. */
#include "tests/support/cpu_compare.h"
#include "tests/support/device_cases.h"
#include "tests/support/device_orthogonal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

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

static void sets_of_labels(void **state)
{
    (void)state;
    device_cases_sets(cpu_compare);
}

static void sets_of_labels_in_bf16(void **state)
{
    (void)state;
    cpu_bf16_or_skip();
    device_cases_sets(cpu_compare_bf16);
}

/* Muon's updates are orthogonal; in float32 the same bits by one thread and by three. */
static void orthogonal_updates(void **state)
{
    (void)state;
    for (int32_t k = 0; k < orthogonal_kernel_count; k++) {
        const struct orthogonal_kernel *kernel = &orthogonal_kernels[k];
        const size_t count = (size_t)kernel->out * (size_t)kernel->in * (size_t)(kernel->side * kernel->side);
        struct device_options options = {.threads = 1, .precision = PRECISION_FP32};
        float *one = device_orthogonal_check(&cpu_device_ops, &options, kernel, false);
        options.threads = 3;
        float *three = device_orthogonal_check(&cpu_device_ops, &options, kernel, false);
        assert_memory_equal(one, three, count * sizeof(*one));
        free(three);
        free(one);
    }
}

static void orthogonal_updates_in_bf16(void **state)
{
    (void)state;
    cpu_bf16_or_skip();
    for (int32_t k = 0; k < orthogonal_kernel_count; k++)
        for (int32_t threads = 1; threads <= 3; threads += 2)
            free(device_orthogonal_check(
                &cpu_device_ops, &(struct device_options){.threads = threads, .precision = PRECISION_BF16},
                &orthogonal_kernels[k], true));
}

static void random_graphs_in_bf16(void **state)
{
    (void)state;
    cpu_bf16_or_skip();
    device_cases_random_graphs(GRAPHS, cpu_compare_bf16);
}

static void convolutions_in_bf16(void **state)
{
    (void)state;
    cpu_bf16_or_skip();
    device_cases_convolutions(CONVOLUTIONS, cpu_compare_bf16);
}

static void dense_layers_in_bf16(void **state)
{
    (void)state;
    cpu_bf16_or_skip();
    device_cases_dense(cpu_compare_bf16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs),         cmocka_unit_test(convolutions),
        cmocka_unit_test(dense_layers),          cmocka_unit_test(orthogonal_updates),
        cmocka_unit_test(random_graphs_in_bf16), cmocka_unit_test(convolutions_in_bf16),
        cmocka_unit_test(dense_layers_in_bf16),  cmocka_unit_test(orthogonal_updates_in_bf16),
        cmocka_unit_test(sets_of_labels),        cmocka_unit_test(sets_of_labels_in_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
