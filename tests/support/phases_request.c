#include "tests/support/phases_request.h"

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

struct search_trial phases_trial(int32_t id, const struct proposal *proposal)
{
    return (struct search_trial){.id = id,
                                 .parent = proposal->parent,
                                 .start = proposal->start,
                                 .graph = &proposal->graph,
                                 .recipe = proposal->recipe,
                                 .prediction = proposal->prediction};
}

struct search_trial phases_told(const struct search_model *model)
{
    return (struct search_trial){.id = model->id,
                                 .parent = model->parent,
                                 .start = model->start,
                                 .graph = &model->graph,
                                 .recipe = model->recipe,
                                 .prediction = model->prediction,
                                 .epochs = model->epochs,
                                 .images_per_second = model->images_per_second,
                                 .gain = model->gain,
                                 .gain_deviation = model->gain_deviation};
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
            const struct search_trial trial = phases_trial(id++, &proposal);
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
