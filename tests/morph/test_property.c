/* The property that the room exists for: a chain of morphs on a random network with random weights doesn't
 * change what the network computes. 12,000 chains of 1 to 12 morphs, half of the morphs drawn by morph_draw,
 * half wilder ones that it never draws; noise 0.
 *
 * Compared are the logits of start and end of a chain in double precision; the weights are floats, made by
 * remap_apply. The bound is 1e-6 of the largest logit. All that floats cost is the identity batch norm's 4e-12
 * of scale. What is left is doubles' rounding. */
#include "host/morph/morph.h"
#include "tests/support/network.h"
#include "tests/support/tangled_graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum {
    CHAINS = 12000,
    CHAIN_MORPHS = 12,
    MOST_WEIGHTS = 60000 /* a chain ends early when its network grows beyond, to bound the time */
};

static const double TOLERANCE = 1e-6;

/* What happened in all chains, so that the test can say that it tested something. */
struct tally {
    int applied[MORPH_PRESERVING_COUNT], variants[DEEPEN_VARIANT_COUNT], refused, lively;
    double worst;
};

static struct random_sequence sequence(uint32_t chain)
{
    return (struct random_sequence){.seed = 20260, .stream = RANDOM_TEST, .part = chain};
}

/* Any morph at all; most are refused or odd. */
static struct morph wild_morph(const struct graph *graph, struct random_sequence *random)
{
    struct morph morph = {.kind = (enum morph_kind)random_next_below(random, MORPH_PRESERVING_COUNT)};
    uint32_t count = (uint32_t)graph->count;
    int32_t a = (int32_t)random_next_below(random, count);
    morph.a = graph->layers[a].id;
    morph.b = graph->layers[random_next_below(random, count)].id;
    switch (morph.kind) {
    case MORPH_DEEPEN:
        morph.variant = (int32_t)random_next_below(random, DEEPEN_VARIANT_COUNT);
        morph.amount = 1 + 2 * (int32_t)random_next_below(random, 3);
        break;
    case MORPH_RESIDUAL:
    case MORPH_SEPARABLE:
        morph.amount = 1 + 2 * (int32_t)random_next_below(random, 3);
        break;
    case MORPH_WIDEN_STAGE:
    case MORPH_WIDEN_NET:
        morph.amount = 1 + (int32_t)random_next_below(random, 100);
        break;
    case MORPH_WIDEN:
        morph.amount = 1 + (int32_t)random_next_below(random, (uint32_t)graph->layers[a].shape.c);
        break;
    default:
        morph.amount = 2 + 2 * (int32_t)random_next_below(random, 2);
        break;
    }
    return morph;
}

static void start(struct network *network, struct random_sequence *random)
{
    struct graph graph = {0};
    struct error err = {0};
    if (tangled_graph_make(&graph, random, &err) != ST_OK)
        fail_msg("%s", err.message);
    network_start(network, &graph, random);
}

/* One chain with its comparison; `report` compares after each morph and prints. */
static bool run_chain(uint32_t chain, struct tally *tally, bool report)
{
    struct random_sequence random = sequence(chain);
    struct network network;
    struct logits before, after;
    start(&network, &random);
    network_evaluate(&network, chain, &before);
    uint32_t wanted = 1 + random_next_below(&random, CHAIN_MORPHS), made = 0;
    for (int tries = 0; made < wanted && tries < 200 && network.table.total < MOST_WEIGHTS; tries++) {
        struct morph morph = {0};
        struct error err = {0};
        if (random_next_below(&random, 2) == 0)
            morph = wild_morph(&network.graph, &random);
        else if (morph_draw(&network.graph, (1u << MORPH_PRESERVING_COUNT) - 1, &random, &morph, &err) !=
                 ST_OK)
            continue;
        char text[128];
        morph_describe(&morph, &network.graph, text, sizeof(text));
        if (network_grow(&network, &morph, 0.0f, random_next(&random), NULL) != ST_OK) {
            tally->refused++;
            continue;
        }
        made++;
        tally->applied[morph.kind]++;
        if (morph.kind == MORPH_DEEPEN)
            tally->variants[morph.variant]++;
        if (report) {
            network_evaluate(&network, chain, &after);
            print_error("chain %u: %-32s change %g\n", (unsigned)chain, text,
                        logits_difference(&before, &after));
        }
    }
    network_evaluate(&network, chain, &after);
    double change = logits_difference(&before, &after);
    tally->lively += memcmp(before.values[0], before.values[1], sizeof(before.values[0])) != 0;
    tally->worst = change > tally->worst ? change : tally->worst;
    network_free(&network);
    return made > 0 && change <= TOLERANCE;
}

static void test_chains_keep_the_function(void **state)
{
    (void)state;
    struct tally tally = {0};
    for (uint32_t chain = 0; chain < CHAINS; chain++)
        if (!run_chain(chain, &tally, false)) {
            struct tally again = {0};
            run_chain(chain, &again, true);
            fail_msg("chain %u changed the function", (unsigned)chain);
        }
    print_message("%d chains, largest relative change %.3g; applied", CHAINS, tally.worst);
    for (int kind = 0; kind < MORPH_PRESERVING_COUNT; kind++)
        print_message(" %s %d", morph_kind_name((enum morph_kind)kind), tally.applied[kind]);
    print_message(", refused %d\n", tally.refused);
    for (int kind = 0; kind < MORPH_PRESERVING_COUNT; kind++)
        assert_true(tally.applied[kind] >= 1000);
    for (int variant = 0; variant < DEEPEN_VARIANT_COUNT; variant++)
        assert_true(tally.variants[variant] >= 100);
    assert_true(tally.refused >= 1000);
    assert_true(tally.lively >= CHAINS * 9 / 10); /* the networks tell images apart */
}

/* The comparison sees what it should: the same morphs with noise do change the function, and only a little.
 */
static void test_noise_is_seen_and_small(void **state)
{
    (void)state;
    int compared = 0, seen = 0, small = 0;
    for (uint32_t chain = 0; chain < 300; chain++) {
        struct random_sequence random = sequence(chain);
        struct network network;
        struct morph morph = {0};
        struct error err = {0};
        struct logits before, after;
        start(&network, &random);
        network_evaluate(&network, chain, &before);
        uint32_t noisy = 1u << MORPH_ADD_SKIP | 1u << MORPH_CONCAT_SKIP | 1u << MORPH_KERNEL;
        if (morph_draw(&network.graph, noisy, &random, &morph, &err) == ST_OK) {
            assert_int_equal(network_grow(&network, &morph, 1e-3f, chain, NULL), ST_OK);
            network_evaluate(&network, chain, &after);
            double change = logits_difference(&before, &after);
            compared++;
            seen += change > TOLERANCE;
            small += change <= 0.05;
        }
        network_free(&network);
    }
    assert_true(compared >= 200);
    assert_true(seen >= compared * 8 / 10);
    assert_true(small >= compared * 95 / 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chains_keep_the_function),
        cmocka_unit_test(test_noise_is_seen_and_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
