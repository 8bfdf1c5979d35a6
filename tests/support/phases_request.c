#include "tests/support/phases_request.h"

#include "tests/support/trial.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

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

int32_t phases_climb(struct search *search, struct search_request *request, int32_t window, phases_end *end,
                     void *context)
{
    int32_t id = 0, observed = 0;
    struct error err;
    for (;;) {
        struct proposal proposal;
        request->id = id;
        enum status st = id - observed < window && id < PHASES_MOST
                             ? search_propose(search, request, &proposal, &err)
                             : ST_NONE;
        if (st != ST_OK && st != ST_NONE)
            fail_msg("%s", err.message);
        if (st == ST_OK) {
            const struct search_trial trial = trial_of_proposal(id++, &proposal);
            assert_int_equal(search_pend(search, &trial, &err), ST_OK);
            proposal_free(&proposal);
        } else if (observed < id) {
            end(search, observed++, request, context);
        } else {
            break;
        }
    }
    assert_true(id < PHASES_MOST);
    return id;
}
