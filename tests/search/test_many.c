/* A search that has seen much: a thousand networks that were trained, whose proposal is to take less than a second (the
 * time is printed, and no test's matter), and the kernel over hundreds of graphs, which is to be positive definite. */
#include "host/base/clock.h"
#include "host/base/matrix.h"
#include "host/net/distance.h"
#include "host/net/serialise.h"
#include "host/net/start.h"
#include "host/search/gaussian.h"
#include "host/search/strategy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { MODELS = 1000, GRAPHS = 500, CLASSES = 10, MOST_LAYERS = 80 };

static const struct shape image = {0, 3, 16, 16};
static const char *const starts[] = {"air", "res9", "lean"};
enum { START_COUNT = sizeof(starts) / sizeof(*starts), ALL = (1 << MORPH_PRESERVING_COUNT) - 1 };

static void demand(enum status st, const struct error *err)
{
    if (st != ST_OK)
        fail_msg("%s", err->message);
}

/* Starting networks, then each a morph or two away from one of those before it. */
static void grow_graphs(struct graph *graphs, int32_t count, uint64_t seed)
{
    struct random_sequence random = {.seed = seed, .stream = RANDOM_TEST};
    struct error err = {0};
    for (int32_t i = 0; i < count; i++) {
        if (i < START_COUNT) {
            demand(start_make(&graphs[i], starts[i], 16, image, CLASSES, &err), &err);
            continue;
        }
        int32_t from = (int32_t)random_next_below(&random, (uint32_t)i);
        if (graphs[from].count > MOST_LAYERS)
            from = from % START_COUNT;
        demand(graph_copy(&graphs[i], &graphs[from], &err), &err);
        for (uint32_t m = 0, wanted = 1 + random_next_below(&random, 2); m < wanted; m++) {
            struct morph morph;
            struct graph child;
            struct remap_list remaps;
            demand(morph_draw(&graphs[i], ALL, &random, &morph, &err), &err);
            demand(morph_apply(&morph, &graphs[i], 0.0f, &child, &remaps, &err), &err);
            remap_list_free(&remaps);
            graph_free(&graphs[i]);
            graphs[i] = child;
        }
    }
}

static void free_graphs(struct graph *graphs, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        graph_free(&graphs[i]);
}

static void observe(struct search *search, int32_t id, const struct graph *graph)
{
    const struct search_trial trial = {.id = id,
                                       .parent = -1,
                                       .start = id < START_COUNT ? id : -1,
                                       .graph = graph,
                                       .recipe = recipe_usual(),
                                       .prediction = prediction_none()};
    struct error err = {0};
    const double score = 0.5 + 0.3 * sin(0.1 * id) + 0.001 * graph->count;
    demand(search_observe(search, &trial, score, 1.0 - score, &err), &err);
}

/* The proposal behind a thousand results, timed; asked again, it is the same. */
static void test_a_proposal_behind_a_thousand_results(void **state)
{
    static struct graph graphs[MODELS];
    const struct job_search job = {.starts = {.count = START_COUNT, .items = {"air", "res9", "lean"}},
                                   .morphs = {.count = 3, .items = {"deepen", "widen", "residual"}},
                                   .max_morphs = 2,
                                   .width = 16,
                                   .beta = 2.5,
                                   .skip_weight = 1.0};
    const struct search_setup setup = {.job = &job, .seed = 3, .image = image, .classes = CLASSES};
    const struct search_request request = {.id = MODELS, .limits = {.max_seconds_per_image = INFINITY}};
    uint64_t fingerprints[2];
    double means[2];
    struct error err = {0};
    (void)state;
    grow_graphs(graphs, MODELS, 1);
    struct search *search;
    struct proposal proposal;
    demand(search_new_with(&search_bayesian, &setup, &search, &err), &err);
    for (int32_t id = 0; id < MODELS - 1; id++)
        observe(search, id, &graphs[id]);
    /* distances among those before are known by then: each proposal adds a network's */
    demand(search_propose(search, &request, &proposal, &err), &err);
    proposal_free(&proposal);
    observe(search, MODELS - 1, &graphs[MODELS - 1]);
    for (int32_t turn = 0; turn < 2; turn++) {
        const double begin = clock_seconds();
        const clock_t ticks = clock();
        demand(search_propose(search, &request, &proposal, &err), &err);
        print_message("bayesian: a proposal behind %d results took %.3f s, %.3f s of processors\n", MODELS,
                      clock_seconds() - begin, (double)(clock() - ticks) / CLOCKS_PER_SEC);
        assert_true(proposal.parent >= 0 && proposal.morph_count >= 1);
        assert_true(isfinite(proposal.prediction.mean) && proposal.prediction.deviation >= 0.0);
        fingerprints[turn] = graph_fingerprint(&proposal.graph);
        means[turn] = proposal.prediction.mean;
        proposal_free(&proposal);
    }
    search_free(search);
    assert_true(fingerprints[0] == fingerprints[1] && means[0] == means[1]);
    free_graphs(graphs, MODELS);
}

/* At the length that is chosen for targets that change slowly, which long ones suit, of graphs of all kinds. */
static void check_kernel(uint64_t seed)
{
    static struct graph graphs[GRAPHS];
    static struct descriptor *descriptors[GRAPHS];
    static double distances[GRAPHS * GRAPHS], kernel[GRAPHS * GRAPHS], values[GRAPHS];
    struct gaussian *gaussian;
    struct error err = {0};
    grow_graphs(graphs, GRAPHS, seed);
    for (int32_t i = 0; i < GRAPHS; i++) {
        demand(descriptor_new(&descriptors[i], &graphs[i], &err), &err);
        values[i] = graphs[i].count;
        for (int32_t j = 0; j < i; j++) {
            demand(descriptor_distance(descriptors[i], descriptors[j], 1.0, &distances[i * GRAPHS + j], &err),
                   &err);
            distances[j * GRAPHS + i] = distances[i * GRAPHS + j];
        }
    }
    demand(gaussian_fit(distances, values, GRAPHS, &gaussian, &err), &err);
    for (int32_t i = 0; i < GRAPHS * GRAPHS; i++)
        kernel[i] = gaussian_kernel(distances[i], gaussian_length(gaussian));
    for (int32_t i = 0; i < GRAPHS; i++)
        kernel[i * GRAPHS + i] += 1e-8;
    print_message("kernel of %d graphs, length %.3g\n", GRAPHS, gaussian_length(gaussian));
    assert_true(matrix_cholesky(kernel, GRAPHS)); /* no eigenvalue below -1e-8 */
    gaussian_free(gaussian);
    for (int32_t i = 0; i < GRAPHS; i++)
        descriptor_free(descriptors[i]);
    free_graphs(graphs, GRAPHS);
}

static void test_the_kernel_is_positive_definite(void **state)
{
    (void)state;
    check_kernel(5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_proposal_behind_a_thousand_results),
        cmocka_unit_test(test_the_kernel_is_positive_definite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
