/* What the tests of phases ask with: one device, the limits and means of CIFAR-10; and how they do so until nothing
 * comes any more. */
#ifndef NASRUN_TESTS_SUPPORT_PHASES_REQUEST_H
#define NASRUN_TESTS_SUPPORT_PHASES_REQUEST_H

#include "host/search/search.h"

enum { PHASES_IMAGES = 45000 }; /* training images */

extern const struct search_limits phases_limits; /* a machine's rates; no network is too costly */

/* Seconds that pay for `whole` epochs of a network of cost 1, by cost_seconds with the limits' rates. */
struct search_request phases_request(double whole);

/* Proposes and observes until nothing comes any more, so many at a time; how many it were. `end` tells the search the
 * result of the oldest, by search_observe. */
enum { PHASES_MOST = 40 };
typedef void phases_end(struct search *search, int32_t id, struct search_request *request, void *context);
int32_t phases_climb(struct search *search, struct search_request *request, int32_t window, phases_end *end,
                     void *context);

#endif
