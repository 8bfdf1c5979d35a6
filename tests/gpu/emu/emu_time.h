/* Private to the emulator: virtual time. */
#ifndef NASRUN_TESTS_GPU_EMU_TIME_H
#define NASRUN_TESTS_GPU_EMU_TIME_H

#include <stdbool.h>

void emu_time_reset(void);
/* Whether time is virtual: emu.call_seconds or emu.work_seconds is set. */
bool emu_time_is_virtual(void);
/* The host's time now: virtual, or the real clock's. */
double emu_time_now(void);
/* A call has taken its time. */
void emu_time_call(void);
/* The host has waited until then. */
void emu_time_wait(double until);

#endif
