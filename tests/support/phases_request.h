/* What the tests of phases ask with: one device, the limits and means of CIFAR-10. */
#ifndef NASRUN_TESTS_SUPPORT_PHASES_REQUEST_H
#define NASRUN_TESTS_SUPPORT_PHASES_REQUEST_H

#include "host/search/search.h"

enum { PHASES_IMAGES = 45000 }; /* training images */

extern const struct search_limits phases_limits; /* a machine's rates; no network is too costly */

/* Seconds that pay for `whole` epochs of a network of cost 1, by cost_seconds with the limits' rates. */
struct search_request phases_request(double whole);

#endif
