/* What this process may take of the machine: the machine itself, and the control groups (cgroups(7), version 1 and 2)
 * that it is in. A batch system's job, a container or a unit of systemd is a group below others, and the limit of each
 * of them counts. Where something can't be found out (no /proc, no file left to open), the machine is all there is. */
#ifndef NASRUN_BASE_LIMITS_H
#define NASRUN_BASE_LIMITS_H

#include <sched.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that may be had in all, and that are free or could be made free, now. `root` is put before /proc and
 * /sys, for tests; "" else. *free_bytes is never 0 because it is unknown. */
void limits_memory(const char *root, size_t *total, size_t *free_bytes);

/* CPUs' worth of time that the groups grant, rounded up; 0: no limit. */
int32_t limits_cpus(const char *root);

/* How many threads that leaves this process, by its mask of CPUs, which is put into *allowed, and by the groups. */
int32_t limits_threads(cpu_set_t *allowed);

#endif
