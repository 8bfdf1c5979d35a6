/* Networks of cells: for every image, of the depth and widths that they promise, with ids that say what is where. */
#include "host/net/cell.h"
#include "host/net/serialise.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct cells named(const char *name)
{
    struct cells cells;
    assert_true(cells_of_start(name, 3, &cells));
    return cells;
}

static void test_every_image(void **state)
{
    (void)state;
    static const struct shape images[] = {{0, 3, 32, 32}, {0, 1, 28, 28}, {0, 3, 8, 8},
                                          {0, 1, 5, 7},   {0, 1, 1, 1},   {0, 3, 224, 160}};
    for (uint32_t draw = 0; draw < 40; draw++) {
        struct random_sequence random = {.seed = 1, .stream = RANDOM_TEST, .part = draw};
        const struct cells cells = cells_draw(&random);
        for (size_t i = 0; i < sizeof(images) / sizeof(*images); i++) {
            struct graph graph;
            struct error err = {0};
            if (cells_make(&graph, &cells, 2, 8, images[i], 7, &err) != ST_OK)
                fail_msg("%s", err.message);
            assert_int_equal(cell_count(&graph, CELL_NORMAL), 2 * CELL_STAGES);
            assert_int_equal(cell_count(&graph, CELL_REDUCTION), CELL_STAGES - 1);
            for (int32_t index = 0; index < 2 * CELL_STAGES; index++) {
                const int32_t out = cell_find(&graph, (struct cell_place){CELL_NORMAL, index, CELL_OUT});
                assert_true(out > 0);
                assert_int_equal(graph.layers[out].shape.c, 8 << index / 2);
                assert_true(graph.layers[out].shape.h <= 24 || graph.layers[out].shape.w <= 24);
            }
            graph_free(&graph);
        }
    }
}

/* Of one seed the same, and of most others another. */
static void test_random_cells(void **state)
{
    (void)state;
    struct cells first, second;
    char texts[2][CELL_TEXT];
    int different = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        assert_true(cells_of_start("random_cell", seed, &first));
        assert_true(cells_of_start("random_cell", seed, &second));
        cell_text(&first.of[CELL_NORMAL], texts[0]);
        cell_text(&second.of[CELL_NORMAL], texts[1]);
        assert_string_equal(texts[0], texts[1]);
        assert_true(cells_of_start("random_cell", seed + 1, &second));
        cell_text(&second.of[CELL_NORMAL], texts[1]);
        different += strcmp(texts[0], texts[1]) != 0;
    }
    assert_true(different >= 18);
    assert_false(cells_of_start("lean", 0, &first));
}

static void test_text(void **state)
{
    (void)state;
    const struct cells cells = named("cell");
    char text[CELL_TEXT];
    cell_text(&cells.of[CELL_NORMAL], text);
    assert_string_equal(text, "0.conv3+0.identity");
    cell_text(&cells.of[CELL_REDUCTION], text);
    assert_string_equal(text, "0.conv3+0.max");
    const struct cell widest = {CELL_MOST_BLOCKS,
                                {{{0, 0}, {CELL_AVERAGE_POOL, CELL_IDENTITY}, true},
                                 {{0, 1}, {CELL_IDENTITY, CELL_IDENTITY}, true},
                                 {{0, 1}, {CELL_IDENTITY, CELL_IDENTITY}, true},
                                 {{0, 1}, {CELL_IDENTITY, CELL_IDENTITY}, true}}};
    cell_text(&widest, text);
    assert_string_equal(text, "0.average|0.identity 0.identity|1.identity 0.identity|1.identity "
                              "0.identity|1.identity");
}

/* The cells of a network are known from what its file tells. */
static void test_ids_are_kept(void **state)
{
    (void)state;
    const struct cells cells = named("cell");
    struct graph graph, read = {0};
    struct error err = {0};
    assert_int_equal(cells_make(&graph, &cells, 3, 0, (struct shape){0, 3, 32, 32}, 10, &err), ST_OK);
    cJSON *json = graph_to_json(&graph);
    assert_int_equal(graph_from_json(&read, json, &err), ST_OK);
    assert_int_equal(cell_count(&read, CELL_NORMAL), 3 * CELL_STAGES);
    for (int32_t i = 0; i < graph.count; i++) {
        struct cell_place place;
        assert_int_equal(read.layers[i].id, graph.layers[i].id);
        if (cell_place_of(read.layers[i].id, &place)) {
            assert_int_equal(cell_id(place), read.layers[i].id);
            assert_int_equal(cell_find(&read, place), i);
        }
    }
    assert_int_equal(read.next_id, graph.next_id);
    cJSON_Delete(json);
    graph_free(&read);
    graph_free(&graph);
}

/* A cell adds nothing at first, so that networks of any depth train. */
static void test_cells_begin_with_nothing(void **state)
{
    (void)state;
    const struct cells cells = named("cell");
    struct graph graph;
    struct weight_table table;
    struct error err = {0};
    assert_int_equal(cells_make(&graph, &cells, 2, 8, (struct shape){0, 3, 16, 16}, 10, &err), ST_OK);
    assert_int_equal(weight_table_new(&table, &graph, &err), ST_OK);
    float *values = test_calloc(table.total, sizeof(*values));
    weight_initialise(&table, &graph, 1, NULL, values);
    for (int32_t index = 0; index < 2 * CELL_STAGES; index++) {
        const uint32_t norm = cell_id((struct cell_place){CELL_NORMAL, index, CELL_EXIT_NORM});
        const struct weight_tensor *scale = &table.tensors[weight_find(&table, norm, WEIGHT_SCALE)];
        for (size_t i = 0; i < scale->count; i++)
            assert_true(values[scale->offset + i] == 0.0f);
    }
    test_free(values);
    weight_table_free(&table);
    graph_free(&graph);
}

static void expect(const struct cells *cells, int32_t repeats, int32_t width, enum status status)
{
    struct graph graph;
    struct error err = {0};
    assert_int_equal(cells_make(&graph, cells, repeats, width, (struct shape){0, 3, 32, 32}, 10, &err),
                     status);
    assert_true(graph.layers == NULL && err.message[0] != '\0');
}

static void test_what_is_refused(void **state)
{
    (void)state;
    const struct cells cells = named("cell");
    struct cells wrong = cells;
    expect(&cells, 1, 12, ST_RANGE);
    expect(&cells, 0, 8, ST_RANGE);
    expect(&cells, CELL_MOST, 8, ST_RANGE);
    expect(&cells, 80, 8, ST_UNSUPPORTED); /* too many layers */
    wrong.of[CELL_NORMAL].count = 0;
    expect(&wrong, 1, 8, ST_RANGE);
    wrong = cells;
    wrong.of[CELL_NORMAL].blocks[0].nodes[1] = 1; /* itself */
    expect(&wrong, 1, 8, ST_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_image),
        cmocka_unit_test(test_random_cells),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_ids_are_kept),
        cmocka_unit_test(test_cells_begin_with_nothing),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
