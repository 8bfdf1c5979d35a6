/* What libFuzzer calls: https://llvm.org/docs/LibFuzzer.html */
#ifndef NASRUN_TESTS_FUZZ_ENTRY_H
#define NASRUN_TESTS_FUZZ_ENTRY_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#endif
