/* Graphs through JSON, JSON that lies, fingerprints. */
#include "host/net/serialise.h"
#include "host/net/start.h"
#include "tests/support/activations.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum status parse(const char *text, struct graph *graph, struct error *err)
{
    cJSON *json = cJSON_Parse(text);
    enum status st = graph_from_json(graph, json, err);
    cJSON_Delete(json);
    return st;
}

static char *print(const struct graph *graph)
{
    cJSON *json = graph_to_json(graph);
    assert_non_null(json);
    char *text = cJSON_PrintUnformatted(json);
    assert_non_null(text);
    cJSON_Delete(json);
    return text;
}

/* Every kind of layer, every default and its opposite. */
static const char every_kind[] =
    "{\"input\":[4,12,8],\"next_id\":40,\"layers\":["
    "{\"id\":1,\"kind\":\"conv\",\"inputs\":[0],\"out\":8,\"kernel\":[3,5],\"stride\":2,\"pad\":[1,2],"
    "\"groups\":2,"
    "\"bias\":true},"
    "{\"id\":5,\"kind\":\"conv\",\"inputs\":[1],\"out\":8,\"kernel\":[1,1]},"
    "{\"id\":2,\"kind\":\"batch_norm\",\"inputs\":[5]},"
    "{\"id\":3,\"kind\":\"relu\",\"inputs\":[2]},"
    "{\"id\":4,\"kind\":\"add\",\"inputs\":[3,1]},"
    "{\"id\":6,\"kind\":\"concat\",\"inputs\":[4,1,3]},"
    "{\"id\":7,\"kind\":\"max_pool\",\"inputs\":[6],\"kernel\":[2,2],\"stride\":2},"
    "{\"id\":8,\"kind\":\"average_pool\",\"inputs\":[7],\"kernel\":[3,1],\"pad\":[1,0]},"
    "{\"id\":9,\"kind\":\"dropout\",\"inputs\":[8],\"rate\":0.10000000149011612},"
    "{\"id\":10,\"kind\":\"global_pool\",\"inputs\":[9]},"
    "{\"id\":39,\"kind\":\"dense\",\"inputs\":[10],\"out\":3,\"bias\":true}]}";

static void test_round_trip(void **state)
{
    (void)state;
    struct graph graph;
    struct error err;
    if (parse(every_kind, &graph, &err) != ST_OK)
        fail_msg("%s", err.message);
    assert_int_equal(graph.count, 12);
    assert_int_equal(graph.next_id, 40);
    assert_true(graph.layers[9].rate == 0.1f);
    assert_int_equal(graph.layers[5].inputs[0], 4); /* the ReLU of id 3 stands at 4 */
    assert_int_equal(graph.layers[2].stride, 1);
    assert_int_equal(graph.layers[2].groups, 1);
    char *text = print(&graph);
    assert_string_equal(text, every_kind);
    free(text);
    graph_free(&graph);
}

static void test_starts_round_trip(void **state)
{
    (void)state;
    static const char *const names[] = {"lean", "res9", "air", "air_deep", "cnn", "resnet", "densenet"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct graph graph, again;
        struct error err;
        assert_int_equal(start_make(&graph, names[i], 0, (struct shape){0, 3, 32, 32}, 10, &err), ST_OK);
        char *text = print(&graph);
        assert_int_equal(parse(text, &again, &err), ST_OK);
        char *second = print(&again);
        assert_string_equal(text, second);
        assert_true(graph_fingerprint(&graph) == graph_fingerprint(&again));
        free(text);
        free(second);
        graph_free(&graph);
        graph_free(&again);
    }
}

/* Each under its own name, and no two alike to a fingerprint. */
static void test_activations_round_trip(void **state)
{
    (void)state;
    uint64_t fingerprints[ACTIVATION_COUNT];
    for (int a = 0; a < ACTIVATION_COUNT; a++) {
        const char *name = activation_traits((enum activation_kind)a)->name;
        char text[512];
        snprintf(
            text, sizeof(text),
            "{\"input\":[3,8,8],\"next_id\":4,\"layers\":[{\"id\":1,\"kind\":\"batch_norm\",\"inputs\":[0]},"
            "{\"id\":2,\"kind\":\"%s\",\"inputs\":[1]},"
            "{\"id\":3,\"kind\":\"dense\",\"inputs\":[2],\"out\":3}]}",
            name);
        struct graph graph;
        struct error err;
        if (parse(text, &graph, &err) != ST_OK)
            fail_msg("%s", err.message);
        assert_int_equal(graph.layers[2].kind, activation_layer((enum activation_kind)a));
        char *again = print(&graph);
        assert_string_equal(again, text);
        free(again);
        fingerprints[a] = graph_fingerprint(&graph);
        for (int b = 0; b < a; b++)
            assert_true(fingerprints[a] != fingerprints[b]);
        graph_free(&graph);
    }
}

/* How weights begin and whether they are trained; each is left out where it is as ever. */
static void test_training_round_trip(void **state)
{
    (void)state;
    static const struct {
        const char *conv, *norm, *dense;
    } cases[] = {
        {"", "", ""},
        {",\"init\":\"dirac\"", "", ""},
        {",\"init\":\"whiten\"", "", ""},
        {",\"frozen\":true", "", ""},
        {",\"init\":\"whiten\",\"frozen\":true", "", ""},
        {"", ",\"frozen\":true", ""},
        {"", "", ",\"gain\":0.125"},
        {"", "", ",\"gain\":16"},
        {"", "", ",\"gain\":0.1111111119389534"},
        {",\"pace\":0.125", "", ""},
        {"", ",\"pace\":0.125", ""},
        {"", "", ",\"gain\":0.125,\"pace\":0.5"},
    };
    enum { CASES = sizeof(cases) / sizeof(cases[0]) };
    uint64_t fingerprints[CASES];
    for (int i = 0; i < CASES; i++) {
        char text[512];
        struct graph graph;
        struct error err;
        snprintf(text, sizeof(text),
                 "{\"input\":[3,8,8],\"next_id\":4,\"layers\":["
                 "{\"id\":1,\"kind\":\"conv\",\"inputs\":[0],\"out\":24,\"kernel\":[2,2]%s},"
                 "{\"id\":2,\"kind\":\"batch_norm\",\"inputs\":[1]%s},"
                 "{\"id\":3,\"kind\":\"dense\",\"inputs\":[2],\"out\":3%s}]}",
                 cases[i].conv, cases[i].norm, cases[i].dense);
        if (parse(text, &graph, &err) != ST_OK)
            fail_msg("%s", err.message);
        char *again = print(&graph);
        assert_string_equal(again, text);
        free(again);
        fingerprints[i] = graph_fingerprint(&graph);
        for (int j = 0; j < i; j++)
            assert_true(fingerprints[i] != fingerprints[j]);
        graph_free(&graph);
    }
}

/* What is as ever may be said. */
static void test_training_said(void **state)
{
    (void)state;
    static const char said[] = "{\"input\":[3,8,8],\"next_id\":3,\"layers\":["
                               "{\"id\":1,\"kind\":\"conv\",\"inputs\":[0],\"out\":4,\"kernel\":[1,1],"
                               "\"init\":\"he\",\"frozen\":false,\"pace\":0.25},"
                               "{\"id\":2,\"kind\":\"dense\",\"inputs\":[1],\"out\":3,\"gain\":1}]}";
    struct graph graph;
    struct error err;
    if (parse(said, &graph, &err) != ST_OK)
        fail_msg("%s", err.message);
    assert_int_equal(graph.layers[1].init, LAYER_INIT_HE);
    assert_false(graph.layers[1].frozen);
    assert_true(graph.layers[2].gain == 1.0f);
    assert_true(graph.layers[1].pace == 0.25f && graph.layers[2].pace == 1.0f);
    graph_free(&graph);
}

/* One layer of "every_kind"'s kind of text replaced, and what the error must say. */
static void test_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *message;
    } cases[] = {
        {"\"input\":[4,12,8],", "", "graph: key \"input\" is missing"},
        {"[4,12,8]", "[4,12]", "\"input\" has 2 entries, expected 3 to 3"},
        {"[4,12,8]", "[4,12,8,9]", "\"input\" has 4 entries"},
        {"[4,12,8]", "[4,1e300,8]", "\"input\" is 1.0000000000000001e+300, expected a whole number"},
        {"[4,12,8]", "[65536,4096,4096]", "number of values is 1099511627776"},
        {"[4,12,8]", "[4,12.5,8]", "\"input\" is 12.5"},
        {"[4,12,8]", "[4,\"12\",8]", "\"input\" is not a number"},
        {"[4,12,8]", "\"4\"", "\"input\" is not an array"},
        {"\"next_id\":40", "\"next_id\":39", "\"next_id\" is 39, expected at least 40"},
        {"\"next_id\":40", "\"next_id\":2147483647", "next_id is 2147483647"},
        {"\"id\":1,", "\"id\":-1,", "graph: entry 0 of \"layers\": \"id\" is -1"},
        {"\"id\":1,", "\"id\":0,", "\"id\" is 0"},
        {"\"id\":5,", "\"id\":1,", "entry 1 of \"layers\": layer 1 (conv): the id is in use"},
        {"\"id\":5,", "\"id\":4294967297,", "\"id\" is 4294967297"},
        {"\"id\":5,", "", "key \"id\" is missing"},
        {"\"kind\":\"relu\"", "\"kind\":\"tanh\"", "\"kind\" is \"tanh\""},
        {"\"kind\":\"relu\"", "\"kind\":\"input\"", "\"kind\" is \"input\""},
        {"\"kind\":\"relu\"", "\"kind\":7", "\"kind\" is missing or not a string"},
        {"\"inputs\":[3,1]", "\"inputs\":[3,9]", "\"inputs\" names 9, expected the id of a layer before it"},
        {"\"inputs\":[3,1]", "\"inputs\":[3]", "number of inputs is 1, expected 2 to 2"},
        {"\"inputs\":[3,1]", "\"inputs\":[]", "\"inputs\" has 0 entries"},
        {"[4,1,3]", "[4,1,3,4,1,3,4,1,3]", "\"inputs\" has 9 entries, expected 1 to 8"},
        {"\"out\":8", "\"out\":100000", "out_channels is 100000"},
        {"\"out\":8", "\"outs\":8", "key \"outs\" is none of this kind of layer"},
        {"\"out\":8", "\"out\":8,\"out\":8", "key \"out\" stands twice"},
        {"\"out\":8", "\"out\":8,\"rate\":0.5", "key \"rate\" is none"},
        {"\"groups\":2", "\"groups\":0", "groups is 0"},
        {"\"bias\":true}", "\"bias\":1}", "\"bias\" is not true or false"},
        {"\"groups\":2", "\"init\":\"zero\"",
         "\"init\" is \"zero\", expected \"he\", \"dirac\" or \"whiten\""},
        {"\"groups\":2", "\"init\":1", "\"init\" is \"no text\", expected"},
        {"\"groups\":2", "\"frozen\":1", "\"frozen\" is not true or false"},
        {"\"groups\":2", "\"frozen\":true", "a frozen kernel has a bias"},
        {"\"groups\":2", "\"gain\":0.5", "key \"gain\" is none of this kind of layer"},
        {"\"inputs\":[5]", "\"inputs\":[5],\"init\":\"he\"", "key \"init\" is none"},
        {"\"inputs\":[2]", "\"inputs\":[2],\"frozen\":true", "key \"frozen\" is none"},
        {"\"out\":3,", "\"out\":3,\"gain\":0,", "\"gain\" is not a number above 0 and up to 16"},
        {"\"out\":3,", "\"out\":3,\"pace\":2,", "\"pace\" is not a number above 0 and up to 1"},
        {"\"out\":3,", "\"out\":3,\"gain\":16.5,", "\"gain\" is not a number above 0"},
        {"\"out\":3,", "\"out\":3,\"gain\":\"2\",", "\"gain\" is not a number above 0"},
        {"\"out\":3,", "\"out\":3,\"gain\":1e-60,", "\"gain\" is not a number above 0"},
        {"\"rate\":0.10000000149011612", "\"rate\":1", "\"rate\" is missing or not a number"},
        {"\"rate\":0.10000000149011612", "\"rate\":0.99999999999",
         "rate is 1, expected at least 0 and below 1"},
        {",\"rate\":0.10000000149011612", "", "\"rate\" is missing"},
        {"\"kernel\":[3,5]", "\"kernel\":3", "\"kernel\" is not an array"},
        {"\"kernel\":[3,1]", "\"kernel\":[9,1]", "kernel height is 9, expected at most"},
        {"\"kind\":\"dense\",\"inputs\":[10],\"out\":3,\"bias\":true", "\"kind\":\"relu\",\"inputs\":[10]",
         "stands last"},
        {"\"layers\":[", "\"layers\":[[],", "entry 0 of \"layers\": not an object"},
        {"\"layers\":[", "\"layer\":[", "\"layers\" is missing"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[2048];
        struct graph graph;
        struct error err;
        const char *at = strstr(every_kind, cases[i].from);
        assert_non_null(at);
        int length = snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - every_kind), every_kind, cases[i].to,
                              at + strlen(cases[i].from));
        assert_true(length > 0 && (size_t)length < sizeof(text));
        assert_int_not_equal(parse(text, &graph, &err), ST_OK);
        if (strstr(err.message, cases[i].message) == NULL)
            fail_msg("case %d: found \"%s\", expected \"%s\"", (int)i, err.message, cases[i].message);
        assert_null(graph.layers);
    }
    struct graph graph;
    struct error err;
    assert_int_equal(parse("[]", &graph, &err), ST_FORMAT);
    assert_int_equal(parse("not json", &graph, &err), ST_FORMAT);
    assert_int_equal(parse("{\"input\":[1,1,1],\"next_id\":1,\"layers\":[]}", &graph, &err), ST_RANGE);
}

/* input, conv `first`, conv `second` (both from the input), add of them in either order, dense; `base`
 * renames. */
static uint64_t branches(int32_t first, int32_t second, bool swapped, enum layer_kind join, uint32_t base)
{
    struct graph graph;
    struct error err;
    struct layer conv = {.kind = LAYER_CONV, .input_count = 1, .out_channels = 8, .stride = 1, .groups = 1};
    struct layer both = {.kind = join, .input_count = 2, .inputs = {swapped ? 2 : 1, swapped ? 1 : 2}};
    struct layer dense = {
        .kind = LAYER_DENSE, .input_count = 1, .inputs = {3}, .out_channels = 2, .id = base};
    assert_int_equal(graph_new(&graph, 4, 8, 8, &err), ST_OK);
    const int32_t kernels[] = {first, second};
    for (int i = 0; i < 2; i++) {
        conv.kernel_h = conv.kernel_w = kernels[i];
        conv.pad_h = conv.pad_w = kernels[i] / 2;
        assert_int_equal(graph_append(&graph, conv, NULL, &err), ST_OK);
    }
    assert_int_equal(graph_append(&graph, both, NULL, &err), ST_OK);
    assert_int_equal(graph_append(&graph, dense, NULL, &err), ST_OK);
    assert_int_equal(graph_infer(&graph, &err), ST_OK);
    uint64_t fingerprint = graph_fingerprint(&graph);
    graph_free(&graph);
    return fingerprint;
}

static void test_fingerprint_ignores_history(void **state)
{
    (void)state;
    uint64_t usual = branches(3, 5, false, LAYER_ADD, 0);
    assert_true(usual == branches(3, 5, false, LAYER_ADD, 1000)); /* ids */
    assert_true(usual == branches(5, 3, false, LAYER_ADD, 0));    /* order of branches and summands */
    assert_true(usual != branches(3, 3, false, LAYER_ADD, 0));
    uint64_t joined = branches(3, 5, false, LAYER_CONCAT, 0);
    assert_true(joined != usual);
    assert_true(joined == branches(5, 3, true, LAYER_CONCAT, 0)); /* same order of channels */
    assert_true(joined != branches(3, 5, true, LAYER_CONCAT, 0)); /* another one */
}

/* Each setting shows. */
static void test_fingerprint_sees_settings(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } changes[] = {
        {"[4,12,8]", "[4,12,10]"},
        {"\"out\":3", "\"out\":4"},
        {"\"kernel\":[3,5]", "\"kernel\":[3,6]"},
        {"\"pad\":[1,0]", "\"pad\":[2,0]"},
        {"\"groups\":2", "\"groups\":4"},
        {",\"bias\":true}]}", "}]}"},
        {"0.10000000149011612", "0.2"},
        {"\"kind\":\"max_pool\"", "\"kind\":\"average_pool\""},
        {"\"inputs\":[3,1]", "\"inputs\":[3,5]"},
        {"[4,1,3]", "[4,3,1]"},
        {"[4,1,3]", "[4,1]"},
    };
    enum { CHANGES = sizeof(changes) / sizeof(changes[0]) };
    uint64_t seen[CHANGES + 1];
    for (int i = 0; i <= CHANGES; i++) {
        char text[2048];
        struct graph graph;
        struct error err;
        const char *from = i < CHANGES ? changes[i].from : "", *to = i < CHANGES ? changes[i].to : "";
        const char *at = strstr(every_kind, from);
        assert_non_null(at);
        snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - every_kind), every_kind, to, at + strlen(from));
        if (parse(text, &graph, &err) != ST_OK)
            fail_msg("change %d: %s", i, err.message);
        seen[i] = graph_fingerprint(&graph);
        for (int j = 0; j < i; j++)
            assert_true(seen[i] != seen[j]);
        graph_free(&graph);
    }
}

static long allocations, failing; /* which one fails; 0: none */

static void *allocate(size_t size)
{
    return ++allocations == failing ? NULL : malloc(size);
}

/* Each allocation fails in turn: there is no JSON then, never a part of it. */
static void check_no_memory(const struct graph *graph)
{
    cJSON_Hooks hooks = {.malloc_fn = allocate, .free_fn = free};
    cJSON *json;
    cJSON_InitHooks(&hooks);
    failing = allocations = 0;
    json = graph_to_json(graph);
    const long all = allocations;
    assert_non_null(json);
    cJSON_Delete(json);
    assert_true(all > graph->count);
    for (long number = 1; number <= all; number++) {
        allocations = 0;
        failing = number;
        json = graph_to_json(graph);
        if (json != NULL)
            fail_msg("a JSON without allocation %ld of %ld", number, all);
    }
    cJSON_InitHooks(NULL);
}

static void test_no_memory(void **state)
{
    struct graph graph;
    struct error err;
    (void)state;
    assert_int_equal(parse(every_kind, &graph, &err), ST_OK);
    check_no_memory(&graph);
    graph_free(&graph);
    assert_int_equal(start_make(&graph, "air", 0, (struct shape){0, 3, 32, 32}, 10, &err), ST_OK);
    check_no_memory(&graph);
    graph_free(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_activations_round_trip),
        cmocka_unit_test(test_starts_round_trip),
        cmocka_unit_test(test_training_round_trip),
        cmocka_unit_test(test_training_said),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_fingerprint_ignores_history),
        cmocka_unit_test(test_fingerprint_sees_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
