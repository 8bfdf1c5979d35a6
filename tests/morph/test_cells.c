/* Morphs of cells: a chain of them on random cells doesn't change what the network computes, all cells of a kind stay
 * alike, and a network becomes deeper and wider without losing its function. */
#include "host/morph/morph.h"
#include "host/net/cell.h"
#include "tests/support/network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { CHAINS = 60, CHAIN_MORPHS = 5, ALL = (1 << MORPH_PRESERVING_COUNT) - 1 };

/* As in test_property.c. */
static const double TOLERANCE = 1e-6;

static struct random_sequence sequence(uint32_t part)
{
    return (struct random_sequence){.seed = 11, .stream = RANDOM_TEST, .part = part};
}

/* With random weights, so that no cell computes nothing. */
static void start(struct network *network, const struct cells *cells, int32_t repeats,
                  struct random_sequence *random)
{
    struct graph graph;
    struct error err = {0};
    if (cells_make(&graph, cells, repeats, 8, (struct shape){0, 3, 8, 8}, 4, &err) != ST_OK)
        fail_msg("%s", err.message);
    network_start(network, &graph, random);
}

static void grow(struct network *network, const struct morph *morph)
{
    struct logits before, after;
    struct error err = {0};
    char text[128];
    morph_describe(morph, &network->graph, text, sizeof(text));
    network_evaluate(network, 3, &before);
    if (network_grow(network, morph, 0.0f, 11, &err) != ST_OK)
        fail_msg("%s: %s", text, err.message);
    network_evaluate(network, 3, &after);
    assert_true(before.values[0][0] != before.values[1][0]);
    if (logits_difference(&before, &after) > TOLERANCE)
        fail_msg("%s changed the logits by %g", text, logits_difference(&before, &after));
}

static int32_t layers_of(const struct graph *graph, enum cell_kind kind, int32_t index)
{
    int32_t count = 0;
    for (int32_t i = 0; i < graph->count; i++) {
        struct cell_place place;
        count += cell_place_of(graph->layers[i].id, &place) && place.kind == kind && place.index == index;
    }
    return count;
}

/* Each layer of a cell has its like in all others of the kind. */
static void check_alike(const struct graph *graph)
{
    for (int32_t i = 0; i < graph->count; i++) {
        struct cell_place place;
        const struct layer *layer = &graph->layers[i];
        if (!cell_place_of(layer->id, &place))
            continue;
        const int32_t index = place.index;
        for (place.index = 0; cell_is_there(graph, place.kind, place.index); place.index++) {
            const int32_t other = cell_find(graph, place);
            assert_true(other >= 0);
            assert_int_equal(graph->layers[other].kind, layer->kind);
            assert_int_equal(graph->layers[other].kernel_h, layer->kernel_h);
            assert_int_equal(graph->layers[other].input_count, layer->input_count);
            assert_int_equal(layers_of(graph, place.kind, place.index), layers_of(graph, place.kind, index));
        }
    }
}

static void test_chains_keep_the_function(void **state)
{
    (void)state;
    int applied[MORPH_KIND_COUNT] = {0};
    for (uint32_t chain = 0; chain < CHAINS; chain++) {
        struct random_sequence random = sequence(chain);
        struct network network;
        const struct cells cells = cells_draw(&random);
        start(&network, &cells, 2, &random);
        for (int made = 0; made < CHAIN_MORPHS; made++) {
            struct morph morph;
            struct error err = {0};
            if (morph_draw_in_cells(&network.graph, ALL, &random, &morph, &err) != ST_OK)
                fail_msg("%s", err.message);
            assert_true(morph.cells);
            grow(&network, &morph);
            check_alike(&network.graph);
            applied[morph.kind]++;
        }
        network_free(&network);
    }
    for (int kind = 0; kind < MORPH_KIND_COUNT; kind++)
        if (MORPH_OF_CELLS >> kind & 1)
            assert_true(applied[kind] >= 5);
}

/* What the search found stays what it was in a network of three times the depth and twice the width. */
static void test_deeper_and_wider(void **state)
{
    (void)state;
    for (uint32_t chain = 0; chain < 20; chain++) {
        struct random_sequence random = sequence(100 + chain);
        struct network network;
        struct morph morph;
        struct error err = {0};
        const struct cells cells = cells_draw(&random);
        start(&network, &cells, 1, &random);
        for (int made = 0; made < 3; made++) {
            assert_int_equal(morph_draw_in_cells(&network.graph, ALL, &random, &morph, &err), ST_OK);
            grow(&network, &morph);
        }
        const int32_t depth = network.graph.count, cell = layers_of(&network.graph, CELL_NORMAL, 0);
        grow(&network, &(struct morph){.kind = MORPH_REPEAT, .amount = 2, .cells = true});
        assert_int_equal(cell_count(&network.graph, CELL_NORMAL), 3 * CELL_STAGES);
        assert_int_equal(cell_count(&network.graph, CELL_REDUCTION), CELL_STAGES - 1);
        assert_int_equal(network.graph.count, depth + 2 * CELL_STAGES * cell);
        check_alike(&network.graph);
        grow(&network, &(struct morph){.kind = MORPH_WIDEN_NET, .amount = 100});
        /* It can be changed as before. */
        assert_int_equal(morph_draw_in_cells(&network.graph, ALL, &random, &morph, &err), ST_OK);
        grow(&network, &morph);
        network_free(&network);
    }
}

/* A new cell begins with the weights of the one that it is like, but for the scale that keeps it from adding. */
static void test_new_cells_know_what_the_old_ones_learnt(void **state)
{
    (void)state;
    struct random_sequence random = sequence(1000);
    struct network network;
    struct cells cells;
    assert_true(cells_of_start("cell", 0, &cells));
    start(&network, &cells, 1, &random);
    grow(&network, &(struct morph){.kind = MORPH_REPEAT, .amount = 1, .cells = true});
    int compared = 0;
    for (int32_t t = 0; t < network.table.count; t++) {
        const struct weight_tensor *new = &network.table.tensors[t];
        struct cell_place place;
        if (!cell_place_of(new->layer_id, &place) || place.kind != CELL_NORMAL || place.index < CELL_STAGES)
            continue;
        const float *values = network.weights + new->offset;
        place.index -= CELL_STAGES; /* the stages' cells in their order */
        if (place.slot == CELL_EXIT_NORM) {
            for (size_t i = 0; new->role == WEIGHT_SCALE &&i < new->count; i++)
                assert_true(values[i] == 0.0f);
            continue;
        }
        const int32_t old = weight_find(&network.table, cell_id(place), new->role);
        assert_true(old >= 0 && network.table.tensors[old].count == new->count);
        assert_memory_equal(values, network.weights + network.table.tensors[old].offset,
                            new->count * sizeof(*values));
        compared++;
    }
    assert_true(compared >= 3 * 11);
    network_free(&network);
}

static void expect(const struct network *network, struct morph morph, enum status status)
{
    struct graph child;
    struct remap_list remaps;
    struct error err = {0};
    assert_int_equal(morph_apply(&morph, &network->graph, 0.0f, &child, &remaps, &err), status);
    assert_true(err.message[0] != '\0');
}

static void test_what_is_refused(void **state)
{
    (void)state;
    struct random_sequence random = sequence(2000);
    struct network network;
    struct cells cells;
    assert_true(cells_of_start("cell", 0, &cells));
    start(&network, &cells, 1, &random);
    const uint32_t stem = network.graph.layers[1].id;
    const uint32_t exit = cell_id((struct cell_place){CELL_NORMAL, 0, CELL_EXIT_NORM});
    expect(&network, (struct morph){.kind = MORPH_RESIDUAL, .a = stem, .amount = 3, .cells = true}, ST_RANGE);
    expect(&network, (struct morph){.kind = MORPH_RESIDUAL, .a = exit, .amount = 3, .cells = true}, ST_RANGE);
    expect(&network, (struct morph){.kind = MORPH_WIDEN_NET, .amount = 50, .cells = true}, ST_RANGE);
    expect(&network, (struct morph){.kind = MORPH_REPEAT, .amount = 0, .cells = true}, ST_RANGE);
    expect(&network, (struct morph){.kind = MORPH_REPEAT, .amount = CELL_MOST, .cells = true}, ST_NONE);
    network_free(&network);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chains_keep_the_function),
        cmocka_unit_test(test_deeper_and_wider),
        cmocka_unit_test(test_new_cells_know_what_the_old_ones_learnt),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
