/* The final network of a search over cells: as deep and wide as the job says, or as there is time and room for; and the
 * search's own proposals, which change cells alone. */
#include "host/net/cell.h"
#include "host/search/stack.h"
#include "host/search/strategy.h"
#include "spec/job.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { CLASSES = 4 };

static const struct shape IMAGE = {0, 3, 16, 16};

static struct job_search job = {.strategy = JOB_STRATEGY_GREEDY,
                                .space = JOB_SPACE_CELLS,
                                .starts = {2, {"cell", "random_cell"}},
                                .repeats = 1,
                                .width = 8,
                                .morphs = {3, {"widen", "residual", "widen_net"}},
                                .max_morphs = 2};

/* What a final fit begun now would get is `epochs` of the found network, and less of a dearer one. */
static struct search_request request_of(double epochs)
{
    struct graph graph;
    struct error err = {0};
    struct cells cells;
    assert_true(cells_of_start("cell", 1, &cells));
    assert_int_equal(cells_make(&graph, &cells, 1, 8, IMAGE, CLASSES, &err), ST_OK);
    struct search_request request = {
        .id = 1,
        .limits = {.rates = cost_rates_of(1.0, INFINITY), .max_seconds_per_image = INFINITY},
        .means = {.by_cost = true, .left = 1.0, .models = INT32_MAX}};
    request.means.epochs = epochs * cost_seconds(&graph, &request.limits.rates);
    graph_free(&graph);
    return request;
}

static struct search *search_of(const struct job_final *final)
{
    struct search *search;
    struct error err = {0};
    const struct search_setup setup = {
        .job = &job, .final = final, .seed = 1, .image = IMAGE, .classes = CLASSES};
    assert_int_equal(search_new(&setup, &search, &err), ST_OK);
    return search;
}

/* Proposes, and tells of the result. */
static void go_on(struct search *search, int32_t id, double score, struct proposal *proposal)
{
    struct search_request request = request_of(1e9);
    struct error err = {0};
    request.id = id;
    if (search_propose(search, &request, proposal, &err) != ST_OK)
        fail_msg("%s", err.message);
    const struct search_trial trial = {.id = id,
                                       .parent = proposal->parent,
                                       .start = proposal->start,
                                       .graph = &proposal->graph,
                                       .recipe = proposal->recipe,
                                       .prediction = prediction_none(),
                                       .epochs = 1.0};
    assert_int_equal(search_observe(search, &trial, score, 1.0 - score, &err), ST_OK);
}

/* Of a search that has trained one network. */
static struct proposal final_of(const struct job_final *final, const struct search_request *request)
{
    struct search *search = search_of(final);
    struct proposal first, proposal;
    struct error err = {0};
    go_on(search, 0, 0.5, &first);
    proposal_free(&first);
    if (search_propose_final(search, request, &proposal, &err) != ST_OK)
        fail_msg("%s", err.message);
    assert_int_equal(proposal.parent, 0);
    assert_int_equal(proposal.operation_count, proposal.morph_count);
    search_free(search);
    return proposal;
}

static void expect(struct proposal proposal, int32_t repeats, int32_t width)
{
    assert_int_equal(cell_count(&proposal.graph, CELL_NORMAL), CELL_STAGES * repeats);
    assert_int_equal(proposal.graph.layers[1].shape.c, width);
    proposal_free(&proposal);
}

static void test_as_the_job_says(void **state)
{
    (void)state;
    const struct search_request request = request_of(1.0);
    expect(final_of(&(struct job_final){.repeats = 4, .width = 24}, &request), 4, 24);
    expect(final_of(&(struct job_final){.repeats = 1, .width = 40}, &request), 1, 40);
    expect(final_of(&(struct job_final){.repeats = 2, .width = 8}, &request), 2, 8);
    struct proposal same = final_of(&(struct job_final){.repeats = 1, .width = 8}, &request);
    assert_int_equal(same.morph_count, 0);
    expect(same, 1, 8);
}

/* A cell has 4 times the operations in twice the width, and the reduction cells stay as many. */
static void test_as_there_is_time(void **state)
{
    (void)state;
    const struct job_final open = {0};
    const struct {
        double epochs;
        int32_t repeats, width;
    } rows[] = {{STACK_EPOCHS - 1.0, 1, 8},
                {1.1 * STACK_EPOCHS, 1, 8},
                {3.0 * STACK_EPOCHS, 3, 8},
                {20.0 * STACK_EPOCHS, 3, 16}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const struct search_request request = request_of(rows[i].epochs);
        expect(final_of(&open, &request), rows[i].repeats, rows[i].width);
    }
    /* What the job asks for gets the time that there is. */
    const struct search_request little = request_of(0.5);
    expect(final_of(&(struct job_final){.repeats = 3}, &little), 3, 8);
    expect(final_of(&(struct job_final){.width = 16}, &little), 1, 16);
}

/* As deep as the limits allow. */
static void test_within_limits(void **state)
{
    (void)state;
    struct search_request request = request_of(1e9);
    struct proposal two = final_of(&(struct job_final){.repeats = 2, .width = 8}, &request);
    request.limits.max_parameters = cost_of_graph(&two.graph).parameters;
    proposal_free(&two);
    expect(final_of(&(struct job_final){.repeats = 5, .width = 8}, &request), 2, 8);
}

/* The two starts first, then children, each of them of changes of cells. */
static void test_children(void **state)
{
    (void)state;
    struct search *search = search_of(&(struct job_final){0});
    for (int32_t id = 0; id < 12; id++) {
        struct proposal proposal;
        go_on(search, id, 0.5 + 0.01 * id, &proposal);
        assert_int_equal(proposal.start, id < 2 ? id : -1);
        assert_int_equal(proposal.operation_count, id < 2 ? 3 : proposal.morph_count);
        for (int32_t i = 0; i < proposal.morph_count; i++) {
            assert_true(proposal.morphs[i].cells);
            assert_int_not_equal(proposal.morphs[i].kind, MORPH_WIDEN_NET);
            assert_non_null(strstr(proposal.operations[i], " in all "));
        }
        assert_int_equal(cell_count(&proposal.graph, CELL_NORMAL), CELL_STAGES);
        proposal_free(&proposal);
    }
    search_free(search);
}

static void test_no_morph_of_cells(void **state)
{
    (void)state;
    struct job_search wrong = job;
    struct search *search;
    struct error err = {0};
    wrong.morphs = (struct job_strings){1, {"widen_net"}};
    const struct search_setup setup = {.job = &wrong, .image = IMAGE, .classes = CLASSES};
    assert_int_equal(search_new(&setup, &search, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "search.morphs"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_the_job_says),   cmocka_unit_test(test_as_there_is_time),
        cmocka_unit_test(test_within_limits),     cmocka_unit_test(test_children),
        cmocka_unit_test(test_no_morph_of_cells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
