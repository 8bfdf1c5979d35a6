/* The CPU device against the reference, operation by operation. */
#ifndef NASRUN_TESTS_SUPPORT_CPU_COMPARE_H
#define NASRUN_TESTS_SUPPORT_CPU_COMPARE_H

#include "tests/support/device_compare.h"

/* Every output starts as NaN on the CPU, scratch too; lanes beyond the channels must come out as zeros. */
void cpu_compare(const struct device_case *c, struct device_tally *tally);

#endif
