/* The team of threads: where they run.
 *
 * Why bind them: with a busy neighbour on the same CPUs the scheduler tends to put two of our threads on one
 * of them, and then every barrier spins through a whole time slice; short operations were measured up to 140
 * times slower. Bound, they lose only what the neighbour takes. Binding is for a team that has all allowed
 * CPUs to itself, or for several devices that share them all; a smaller team is left to the scheduler, so that several
 * programs do not pile up on the first CPUs. */
#include "host/cpu/cpu_internal.h"

#include <omp.h>

static int32_t nth_allowed(const cpu_set_t *allowed, int32_t n)
{
    int32_t cpu = 0;
    for (; cpu < CPU_SETSIZE - 1; cpu++)
        if (CPU_ISSET(cpu, allowed) && n-- == 0)
            break;
    return cpu;
}

void cpu_threads_limit(const struct device *device)
{
    omp_set_num_threads(device->threads);
}

/* At every step, for a microsecond: libgomp ends threads that a smaller team had no use for, and makes new
 * ones, which start with the calling thread's mask. That is also why the calling thread itself is bound only
 * in a team of two, which cannot shrink and grow again: else new threads would crowd on its CPU. */
void cpu_threads_enter(const struct device *device)
{
    cpu_threads_limit(device);
    if (!device->pinned)
        return;
#pragma omp parallel num_threads(device->threads)
    {
        int32_t number = omp_get_thread_num();
        if (number > 0 || device->threads == 2) {
            cpu_set_t mine;
            CPU_ZERO(&mine);
            CPU_SET(nth_allowed(&device->allowed, device->first_cpu + number), &mine);
            sched_setaffinity(0, sizeof(mine), &mine);
        }
    }
}

void cpu_threads_leave(const struct device *device)
{
    if (device->pinned && device->threads == 2)
        sched_setaffinity(0, sizeof(device->allowed), &device->allowed);
}
