/* A fresh emulated GPU for every test: cmocka's set-up and tear-down. */
#ifndef NASRUN_TESTS_GPU_EMU_TEST_H
#define NASRUN_TESTS_GPU_EMU_TEST_H

#include "tests/gpu/emu/emu.h"

/* Small blocks of threads, for speed; others are tests/gpu/kernels.sh's affair. */
int emu_test_begin(void **state);
/* Fails the test when an object is left: memory, streams, events, graphs, handles. */
int emu_test_end(void **state);

#endif
