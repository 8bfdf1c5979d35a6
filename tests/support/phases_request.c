#include "tests/support/phases_request.h"

#include <math.h>

const struct search_limits phases_limits = {.max_seconds_per_image = INFINITY,
                                            .rates = {.flops = 1e11, .bytes = 2e10}};

struct search_request phases_request(double whole)
{
    return (struct search_request){.limits = phases_limits,
                                   .means = {.epochs = whole,
                                             .candidate_epochs = whole,
                                             .by_cost = true,
                                             .device_seconds = NAN,
                                             .left = 1.0,
                                             .search = 0.4,
                                             .candidate = 0.08,
                                             .workers = 1,
                                             .models = INT32_MAX,
                                             .train_images = PHASES_IMAGES,
                                             .validation_images = 5000,
                                             .candidate_batch = 128}};
}
