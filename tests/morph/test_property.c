/* The property that the room exists for: a chain of morphs on a random network with random weights doesn't change what
 * the network computes. 10,000 chains of 1 to 12 morphs, half of the morphs drawn by morph_draw, half wilder ones that it
 * never draws; noise 0.
 *
 * Compared are the logits of start and end of a chain in double precision; the weights are floats, made by remap_apply.
 * The bound is 1e-6 of the largest logit. All that floats cost is the identity batch norm's 7e-9 of scale: the shares of
 * copied channels are powers of two. What is left is doubles' rounding. */
#include "host/morph/morph.h"
#include "tests/support/graph_forward.h"
#include "tests/support/graph_random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    CHAINS = 10000,
    CHAIN_MORPHS = 12,
    IMAGES = 2,
    LOGITS = 8,          /* more than graph_random's */
    MOST_WEIGHTS = 60000 /* a chain ends early when its network grows beyond, to bound the time */
};

static const double TOLERANCE = 1e-6;

/* A graph with its weights. */
struct network {
    struct graph graph;
    struct weight_table table;
    float *weights;
};

static void network_free(struct network *network)
{
    graph_free(&network->graph);
    weight_table_free(&network->table);
    free(network->weights);
    *network = (struct network){0};
}

/* What happened in all chains, so that the test can say that it tested something. */
struct tally {
    int applied[MORPH_KIND_COUNT], variants[DEEPEN_VARIANT_COUNT], refused, lively;
    double worst;
};

static struct random_sequence sequence(uint32_t chain)
{
    return (struct random_sequence){.seed = 20260, .stream = RANDOM_TEST, .part = chain};
}

/* Any morph at all; most are refused or odd. */
static struct morph wild_morph(const struct graph *graph, struct random_sequence *random)
{
    struct morph morph = {.kind = (enum morph_kind)random_next_below(random, MORPH_KIND_COUNT)};
    uint32_t count = (uint32_t)graph->count;
    int32_t a = (int32_t)random_next_below(random, count);
    morph.a = graph->layers[a].id;
    morph.b = graph->layers[random_next_below(random, count)].id;
    switch (morph.kind) {
    case MORPH_DEEPEN:
        morph.variant = (int32_t)random_next_below(random, DEEPEN_VARIANT_COUNT);
        morph.amount = 1 + 2 * (int32_t)random_next_below(random, 3);
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

/* Replaces the network by its child. ST_RANGE when the morph is refused, and nothing changes. */
static enum status grow(struct network *network, const struct morph *morph, float noise, uint64_t seed)
{
    struct network child = {0};
    struct remap_list remaps = {0};
    struct error err = {0};
    enum status st = morph_apply(morph, &network->graph, noise, seed, &child.graph, &remaps, &err);
    if (st != ST_OK) {
        assert_int_equal(st, ST_RANGE);
        assert_int_equal(child.graph.count, 0);
        assert_int_equal(remaps.count, 0);
        return st;
    }
    assert_int_equal(weight_table_new(&child.table, &child.graph, &err), ST_OK);
    assert_int_equal(remaps.count, child.table.count);
    child.weights = malloc(child.table.total * sizeof *child.weights);
    assert_non_null(child.weights);
    remap_apply(&remaps, &child.table, &network->table, network->weights, seed, child.weights);
    remap_list_free(&remaps);
    network_free(network);
    *network = child;
    return ST_OK;
}

static void evaluate(const struct network *network, uint32_t chain, double logits[IMAGES][LOGITS])
{
    const struct shape *in = &network->graph.layers[0].shape;
    double image[3 * 12 * 12];
    for (uint32_t n = 0; n < IMAGES; n++) {
        for (int32_t i = 0; i < in->c * in->h * in->w; i += 2)
            random_normal2(random_draw(n, RANDOM_TEST, (uint64_t)i, chain), &image[i], &image[i + 1]);
        memset(logits[n], 0, sizeof logits[n]);
        assert_true(graph_forward(&network->graph, &network->table, network->weights, image, logits[n]));
    }
}

/* The largest difference between two sets of logits relative to the first's largest, NaN if there is one. 0 where
 * nothing differs, also of a dead network, whose logits are all 0. */
static double difference(double a[IMAGES][LOGITS], double b[IMAGES][LOGITS])
{
    double most = 0.0, change = 0.0;
    for (int n = 0; n < IMAGES; n++)
        for (int k = 0; k < LOGITS; k++) {
            double d = fabs(a[n][k] - b[n][k]);
            most = fabs(a[n][k]) > most ? fabs(a[n][k]) : most;
            if (isnan(d))
                return d;
            change = d > change ? d : change;
        }
    return change == 0.0 ? 0.0 : change / most;
}

static void start(struct network *network, struct random_sequence *random)
{
    struct error err = {0};
    *network = (struct network){0};
    if (graph_random(&network->graph, random, &err) != ST_OK)
        fail_msg("%s", err.message);
    assert_int_equal(weight_table_new(&network->table, &network->graph, &err), ST_OK);
    network->weights = malloc(network->table.total * sizeof *network->weights);
    assert_non_null(network->weights);
    graph_random_weights(&network->table, random, network->weights);
}

/* One chain with its comparison; `report` compares after each morph and prints. */
static bool run_chain(uint32_t chain, struct tally *tally, bool report)
{
    struct random_sequence random = sequence(chain);
    struct network network;
    double before[IMAGES][LOGITS], after[IMAGES][LOGITS];
    start(&network, &random);
    evaluate(&network, chain, before);
    uint32_t wanted = 1 + random_next_below(&random, CHAIN_MORPHS), made = 0;
    for (int tries = 0; made < wanted && tries < 200 && network.table.total < MOST_WEIGHTS; tries++) {
        struct morph morph = {0};
        struct error err = {0};
        if (random_next_below(&random, 2) == 0)
            morph = wild_morph(&network.graph, &random);
        else if (morph_draw(&network.graph, (1u << MORPH_KIND_COUNT) - 1, &random, &morph, &err) != ST_OK)
            continue;
        char text[128];
        morph_describe(&morph, &network.graph, text, sizeof text);
        if (grow(&network, &morph, 0.0f, random_next(&random)) != ST_OK) {
            tally->refused++;
            continue;
        }
        made++;
        tally->applied[morph.kind]++;
        if (morph.kind == MORPH_DEEPEN)
            tally->variants[morph.variant]++;
        if (report) {
            evaluate(&network, chain, after);
            print_error("chain %u: %-32s change %g\n", (unsigned)chain, text, difference(before, after));
        }
    }
    evaluate(&network, chain, after);
    double change = difference(before, after);
    tally->lively += memcmp(before[0], before[1], sizeof before[0]) != 0;
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
    for (int kind = 0; kind < MORPH_KIND_COUNT; kind++)
        print_message(" %s %d", morph_kind_name((enum morph_kind)kind), tally.applied[kind]);
    print_message(", refused %d\n", tally.refused);
    for (int kind = 0; kind < MORPH_KIND_COUNT; kind++)
        assert_true(tally.applied[kind] >= 1000);
    for (int variant = 0; variant < DEEPEN_VARIANT_COUNT; variant++)
        assert_true(tally.variants[variant] >= 100);
    assert_true(tally.refused >= 1000);
    assert_true(tally.lively >= CHAINS * 9 / 10); /* the networks tell images apart */
}

/* The comparison sees what it should: the same morphs with noise do change the function, and only a little. */
static void test_noise_is_seen_and_small(void **state)
{
    (void)state;
    int compared = 0, seen = 0, small = 0;
    for (uint32_t chain = 0; chain < 300; chain++) {
        struct random_sequence random = sequence(chain);
        struct network network;
        struct morph morph = {0};
        struct error err = {0};
        double before[IMAGES][LOGITS], after[IMAGES][LOGITS];
        start(&network, &random);
        evaluate(&network, chain, before);
        uint32_t noisy = 1u << MORPH_WIDEN | 1u << MORPH_ADD_SKIP | 1u << MORPH_KERNEL;
        if (morph_draw(&network.graph, noisy, &random, &morph, &err) == ST_OK) {
            assert_int_equal(grow(&network, &morph, 1e-3f, chain), ST_OK);
            evaluate(&network, chain, after);
            double change = difference(before, after);
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
