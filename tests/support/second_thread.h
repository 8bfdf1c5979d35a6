/* For tests of the one exception to the rule of one thread a device (device.h): a training, step by step, while a
 * second thread prepares and frees programs of other shapes on the same device. Failures end the test. */
#ifndef NASRUN_TESTS_SUPPORT_SECOND_THREAD_H
#define NASRUN_TESTS_SUPPORT_SECOND_THREAD_H

#include "host/device/device.h"

struct second_thread;

/* Begins to prepare and free programs, one after another, until second_thread_end. */
struct second_thread *second_thread_begin(const struct device_ops *ops, struct device *device);
/* Waits until `count` more programs have been prepared and freed, from before to after this call. */
void second_thread_wait(struct second_thread *second, int32_t count);
/* Fails the test when a program could not be prepared. */
void second_thread_end(struct second_thread *second);

enum { SECOND_THREAD_STEPS = 20 };

/* Trains a small network for so many steps, undisturbed and beside a second thread, while the first, too, prepares
 * programs: metrics and weights are the same bits. `begun` and `ended` (NULL allowed) are called around the disturbed
 * training, `begun` with the second thread. */
void second_thread_check(const struct device_ops *ops, const struct device_options *options,
                         void (*begun)(struct second_thread *second), void (*ended)(void));

#endif
