/* The rules of the device interface (host/device/checks.h), each broken on a device: one table for all devices. */
#ifndef NASRUN_TESTS_SUPPORT_DEVICE_RULES_H
#define NASRUN_TESTS_SUPPORT_DEVICE_RULES_H

#include "host/device/device.h"

/* Each misuse gets the status and the text of the table, and leaves the device and what was bound as it was: a step
 * runs after it. There are three devices of that kind. Fails the test otherwise. */
void device_rules_check(const struct device_ops *ops);

#endif
