/* Programs that every device is compared on. */
#ifndef NASRUN_TESTS_SUPPORT_DEVICE_CASES_H
#define NASRUN_TESTS_SUPPORT_DEVICE_CASES_H

#include "tests/support/device_compare.h"

typedef void device_case_compare(const struct device_case *c, struct device_tally *tally);

/* Training and evaluation of that many random graphs, which hold every kind of operation; fails when one was
 * never compared or only had zeros as results. */
void device_cases_random_graphs(int32_t graphs, device_case_compare *compare);

/* Trainings of image, convolution, dense layer, dense layer of odd sizes: one and a thousand classes, one channel, one
 * image, one pixel and several. The first dense layer has a bias, the second has gradients of data and weights. */
void device_cases_dense(device_case_compare *compare);

/* Trainings and evaluations whose labels are sets, with one to a thousand classes, focal, smoothed and weighted or not,
 * of whole batches and of parts. */
void device_cases_sets(device_case_compare *compare);

/* That many trainings of image, convolution, convolution, dense layer, of awkward shapes: groups that don't
 * fill blocks, depthwise, wide kernels, padding, strides. The second convolution has gradients of data and
 * weights. */
void device_cases_convolutions(int32_t convolutions, device_case_compare *compare);

#endif
