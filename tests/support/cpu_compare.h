/* The CPU device against the reference, operation by operation. */
#ifndef NASRUN_TESTS_SUPPORT_CPU_COMPARE_H
#define NASRUN_TESTS_SUPPORT_CPU_COMPARE_H

#include "tests/support/device_compare.h"

/* Every output starts as NaN on the CPU, scratch too; lanes beyond the channels must come out as zeros. */
void cpu_compare(const struct device_case *c, struct device_tally *tally);
/* In bf16. */
void cpu_compare_bf16(const struct device_case *c, struct device_tally *tally);
/* Skips the running test where the processor has no bf16. */
void cpu_bf16_or_skip(void);

#endif
