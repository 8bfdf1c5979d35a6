/* Time on the emulated GPU. By default nothing takes any, and clocks are real. With emu.call_seconds or
 * emu.work_seconds it is virtual: each call takes the host so long, each kernel, convolution, product, copy and fill
 * its stream; streams go on side by side, a graph's pieces too, and the host's clock_seconds (the linker's --wrap leads
 * it here) moves by calls and waits alone. So what a test finds is the same on every machine, however late the emulator
 * really runs what is queued.
 *
 * There is one host's clock: threads that call at the same time add up. */
#include "tests/gpu/emu/emu_time.h"

#include "host/base/clock.h"
#include "tests/gpu/emu/emu.h"

static double now; /* under the emulator's lock */

double __real_clock_seconds(void);
double __wrap_clock_seconds(void);

void emu_time_reset(void)
{
    now = 0.0;
}

bool emu_time_is_virtual(void)
{
    return emu.call_seconds > 0.0 || emu.work_seconds > 0.0;
}

double emu_time_now(void)
{
    return emu_time_is_virtual() ? now : __real_clock_seconds();
}

double __wrap_clock_seconds(void)
{
    return emu_time_now();
}

void emu_time_call(void)
{
    now += emu.call_seconds;
}

void emu_time_wait(double until)
{
    if (emu_time_is_virtual() && until > now)
        now = until;
}
