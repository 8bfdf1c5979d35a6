/* What a run's devices use of electricity: GPUs by their own counters; where the host trains, its processors by RAPL's
 * (running average power limit), which Linux shows to who may read them. A counter tells of all that its device did,
 * whoever it was for. What can't be read is unknown, and never 0. */
#ifndef NASRUN_MACHINE_ENERGY_H
#define NASRUN_MACHINE_ENERGY_H

#include "host/machine/devices.h"

/* Where Linux has RAPL's counters: a folder intel-rapl:N for each of the processors, AMD's too. */
#define ENERGY_POWERCAP "/sys/class/powercap"

struct energy_meter;

/* Of open devices, which have to outlive it. RAPL's counters begin again from 0 within the hour, so a thread looks at
 * them. NULL: there is no counter that can be read, or no memory for it. */
struct energy_meter *energy_open(const struct devices *devices, const char *powercap);
void energy_close(struct energy_meter *meter); /* NULL is allowed */

/* Joules since it was opened; NAN: unknown, of NULL and from when a counter could not be read any more. */
double energy_joules(struct energy_meter *meter);

/* What counts: "GPUs" or "RAPL"; NULL of NULL. */
const char *energy_source(const struct energy_meter *meter);

#endif
