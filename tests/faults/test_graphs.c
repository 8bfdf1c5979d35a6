/* Graphs under a lack of memory, at each place: morphs, their remaps, distances, lowering, JSON. */
#include "host/morph/morph.h"
#include "host/net/distance.h"
#include "host/net/serialise.h"
#include "host/net/start.h"
#include "host/program/lower.h"
#include "tests/faults/failing.h"
#include "tests/support/random_graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

enum { ALL = (1 << MORPH_KIND_COUNT) - 1, DRAWS = 60 };

/* A child of `parent`, its distance from it, its program. */
static enum status grow(const struct graph *parent, struct random_sequence *random, struct graph *child,
                        struct error *err)
{
    const struct lower_options options = {.purpose = PROG_TRAIN,
                                          .batch = 4,
                                          .augment = true,
                                          .weight_average = true,
                                          .orthogonalise = true,
                                          .batch_norm_momentum = 0.1f};
    struct descriptor *one = NULL, *other = NULL;
    struct remap_list remaps = {0};
    struct program program = {0};
    struct morph morph;
    double distance;
    enum status st = morph_draw(parent, ALL, random, &morph, err);
    if (st == ST_OK)
        st = morph_apply(&morph, parent, 0.0f, child, &remaps, err);
    if (st == ST_OK)
        st = descriptor_new(&one, parent, err);
    if (st == ST_OK)
        st = descriptor_new(&other, child, err);
    if (st == ST_OK)
        st = descriptor_distance(one, other, 1.0, &distance, err);
    if (st == ST_OK)
        st = lower_graph(child, &options, &program, err);
    program_free(&program);
    descriptor_free(one);
    descriptor_free(other);
    remap_list_free(&remaps);
    return st;
}

static int32_t grow_from(const struct graph *start, uint32_t part)
{
    int32_t count = 0;
    for (uint64_t draw = 0; draw < DRAWS; draw++) {
        failing_begin(3);
        do {
            struct random_sequence random = {
                .seed = 3, .stream = RANDOM_SEARCH, .part = part, .counter = 1000 * draw};
            struct graph child = {0};
            struct error err = {0};
            failing_arm();
            const enum status st = grow(start, &random, &child, &err);
            failing_pause();
            failing_check_end("growing", st, &err);
            if (failing_more() && st != ST_OK)
                assert_int_equal(st, ST_MEMORY);
            graph_free(&child);
        } while (failing_more());
        count += failing_count();
    }
    return count;
}

static void test_morphs(void **state)
{
    static const char *const starts[] = {"lean", "res9", "air"};
    int32_t count = 0;
    (void)state;
    for (uint32_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        struct graph graph = {0};
        struct error err;
        const struct shape image = {0, 3, 16, 16};
        assert_int_equal(start_make(&graph, starts[i], 8, image, 10, &err), ST_OK);
        count += grow_from(&graph, i);
        graph_free(&graph);
    }
    assert_true(count > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_morphs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
