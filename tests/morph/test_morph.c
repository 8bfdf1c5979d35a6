/* Morphs one by one on small networks made by hand: the places where keeping the function is difficult, what
 * is refused, and what the weights of a child are. Every morph that is made is compared with its parent too.
 */
#include "host/morph/morph.h"
#include "host/net/start.h"
#include "tests/support/network.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const double TOLERANCE = 1e-6;

enum { MORPH_TOO_WIDE = 4097 };

/* ---- networks by hand: the ids are 1, 2, 3 ... in order of append, equal to the indices ---- */

static int32_t append(struct graph *graph, struct layer layer)
{
    struct error err = {0};
    int32_t index = -1;
    if (graph_append(graph, layer, &index, &err) != ST_OK)
        fail_msg("%s", err.message);
    return index;
}

static struct graph image(int32_t channels, int32_t height, int32_t width)
{
    struct graph graph;
    struct error err = {0};
    assert_int_equal(graph_new(&graph, channels, height, width, &err), ST_OK);
    return graph;
}

static int32_t conv(struct graph *graph, int32_t input, int32_t channels, int32_t stride, int32_t groups)
{
    return append(graph, (struct layer){.kind = LAYER_CONV,
                                        .input_count = 1,
                                        .inputs = {input},
                                        .out_channels = channels,
                                        .kernel_h = 3,
                                        .kernel_w = 3,
                                        .pad_h = 1,
                                        .pad_w = 1,
                                        .stride = stride,
                                        .groups = groups,
                                        .bias = true});
}

static int32_t plain(struct graph *graph, enum layer_kind kind, int32_t input)
{
    return append(
        graph, (struct layer){.kind = kind, .input_count = 1, .inputs = {input}, .stride = 1, .groups = 1});
}

static int32_t max_pool(struct graph *graph, int32_t input)
{
    return append(graph, (struct layer){.kind = LAYER_MAX_POOL,
                                        .input_count = 1,
                                        .inputs = {input},
                                        .kernel_h = 2,
                                        .kernel_w = 2,
                                        .stride = 2,
                                        .groups = 1});
}

static int32_t joint(struct graph *graph, enum layer_kind kind, int32_t first, int32_t second)
{
    return append(
        graph,
        (struct layer){.kind = kind, .input_count = 2, .inputs = {first, second}, .stride = 1, .groups = 1});
}

static int32_t dense(struct graph *graph, int32_t input, int32_t outputs)
{
    return append(graph, (struct layer){.kind = LAYER_DENSE,
                                        .input_count = 1,
                                        .inputs = {input},
                                        .out_channels = outputs,
                                        .stride = 1,
                                        .groups = 1,
                                        .bias = true});
}

/* Pools what stands last, adds the logits, and draws the weights. */
static struct network finish(struct graph *graph)
{
    struct random_sequence random = {.seed = 5, .stream = RANDOM_TEST};
    struct network network;
    dense(graph, plain(graph, LAYER_GLOBAL_POOL, graph->count - 1), 4);
    network_start(&network, graph, &random);
    return network;
}

/* A starting network for images of 3 x 16 x 16. */
static struct network started(const char *name, int32_t width)
{
    struct random_sequence random = {.seed = 5, .stream = RANDOM_TEST};
    struct network network;
    struct graph graph;
    struct error err = {0};
    if (start_make(&graph, name, width, (struct shape){0, 3, 16, 16}, 10, &err) != ST_OK)
        fail_msg("%s", err.message);
    network_start(&network, &graph, &random);
    return network;
}

/* ---- what a morph must do ---- */

/* Grows the network without noise: it must be allowed and keep the function. */
static void grow(struct network *network, struct morph morph)
{
    struct logits before, after;
    struct error err = {0};
    network_evaluate(network, 7, &before);
    if (network_grow(network, &morph, 0.0f, 11, &err) != ST_OK)
        fail_msg("%s", err.message);
    network_evaluate(network, 7, &after);
    assert_true(before.values[0][0] != before.values[1][0]); /* a dead network would prove nothing */
    assert_true(logits_difference(&before, &after) <= TOLERANCE);
}

static void expect(struct network *network, struct morph morph, enum status status, const char *words)
{
    struct error err = {0};
    int32_t count = network->graph.count;
    assert_int_equal(network_grow(network, &morph, 0.0f, 11, &err), status);
    assert_int_equal(err.status, status);
    assert_int_equal(network->graph.count, count);
    if (!strstr(err.message, words))
        fail_msg("found \"%s\", expected \"%s\" in it", err.message, words);
}

/* It must be refused as a mistake, with `words` in the message. */
static void refuse(struct network *network, struct morph morph, const char *words)
{
    expect(network, morph, ST_RANGE, words);
}

/* It must be refused because this network has no room for it: a search goes on. */
static void finds_no_room(struct network *network, struct morph morph, const char *words)
{
    expect(network, morph, ST_NONE, words);
}

static struct morph widen(uint32_t a, int32_t amount)
{
    return (struct morph){.kind = MORPH_WIDEN, .a = a, .amount = amount};
}

static struct morph deepen(uint32_t a, enum deepen_variant variant, int32_t kernel)
{
    return (struct morph){.kind = MORPH_DEEPEN, .a = a, .amount = kernel, .variant = variant};
}

static struct morph residual(uint32_t a, int32_t kernel)
{
    return (struct morph){.kind = MORPH_RESIDUAL, .a = a, .amount = kernel};
}

static struct morph separable(uint32_t a, int32_t kernel)
{
    return (struct morph){.kind = MORPH_SEPARABLE, .a = a, .amount = kernel};
}

static struct morph squeeze(uint32_t a, int32_t amount)
{
    return (struct morph){.kind = MORPH_SQUEEZE, .a = a, .amount = amount};
}

static struct morph repeat(uint32_t a)
{
    return (struct morph){.kind = MORPH_REPEAT, .a = a};
}

static struct morph skip_over(enum morph_kind kind, uint32_t a, uint32_t b)
{
    return (struct morph){.kind = kind, .a = a, .b = b};
}

static struct layer *layer_of(const struct network *network, uint32_t id)
{
    int32_t index = graph_find(&network->graph, id);
    assert_true(index >= 0);
    return &network->graph.layers[index];
}

/* Of the `n`th layer of that kind, from 0. */
static uint32_t id_of_kind(const struct graph *graph, enum layer_kind kind, int n)
{
    for (int32_t i = 0; i < graph->count; i++)
        if (graph->layers[i].kind == kind && n-- == 0)
            return graph->layers[i].id;
    fail_msg("no such layer of kind %s", layer_kind_name(kind));
    return 0;
}

static const float *weights_of(const struct network *network, uint32_t id, enum weight_role role)
{
    int32_t found = weight_find(&network->table, id, role);
    assert_true(found >= 0);
    return network->weights + network->table.tensors[found].offset;
}

/* ---- deepen ---- */

static void test_relu_only_where_nothing_is_negative(void **state)
{
    (void)state;
    struct graph graph = image(2, 8, 8);
    int32_t first = conv(&graph, 0, 4, 1, 1), norm = plain(&graph, LAYER_BATCH_NORM, first);
    int32_t relu = plain(&graph, LAYER_RELU, norm), other = plain(&graph, LAYER_RELU, first);
    int32_t add = joint(&graph, LAYER_ADD, relu, other), mixed = joint(&graph, LAYER_CONCAT, add, norm);
    int32_t pool = max_pool(&graph, joint(&graph, LAYER_CONCAT, add, relu));
    joint(&graph, LAYER_CONCAT, max_pool(&graph, mixed), pool);
    struct network network = finish(&graph);
    const int32_t negative[] = {0, first, norm, mixed};
    for (size_t i = 0; i < sizeof(negative) / sizeof(*negative); i++) {
        refuse(&network, deepen((uint32_t)negative[i], DEEPEN_CONV_RELU, 3),
               "expected a layer whose output is never");
    }
    const int32_t fine[] = {relu, add, pool};
    for (size_t i = 0; i < sizeof(fine) / sizeof(*fine); i++) {
        grow(&network, deepen((uint32_t)fine[i], DEEPEN_CONV_RELU, 3));
    }
    network_free(&network);
}

static void test_deepen_adds_what_it_says(void **state)
{
    (void)state;
    struct graph graph = image(2, 8, 8);
    int32_t relu = plain(&graph, LAYER_RELU, conv(&graph, 0, 4, 1, 1));
    int32_t second = plain(&graph, LAYER_RELU, conv(&graph, relu, 4, 1, 1));
    struct network network = finish(&graph);
    uint32_t last = network.graph.layers[network.graph.count - 1].id, pool = last - 1;
    grow(&network, deepen((uint32_t)relu, DEEPEN_CONV_RELU, 3));
    const struct layer *layers = network.graph.layers;
    assert_int_equal(layers[relu + 1].kind, LAYER_CONV);
    assert_int_equal(layers[relu + 2].kind, LAYER_RELU);
    assert_int_equal(layers[relu + 3].inputs[0], relu + 2);

    refuse(&network, deepen((uint32_t)relu, DEEPEN_CONV_RELU, 4), "kernel is 4, expected 1, 3 or 5");
    refuse(&network, deepen((uint32_t)relu, DEEPEN_DENSE_RELU, 0), "expected 1 x 1");
    refuse(&network, deepen(99, DEEPEN_CONV_RELU, 3), "layer 99 is not in the graph");
    refuse(&network, deepen(last, DEEPEN_DENSE_RELU, 0), "is the last");
    grow(&network, deepen(pool, DEEPEN_DENSE_RELU, 0));
    assert_int_equal(layer_of(&network, pool)[1].kind, LAYER_DENSE);
    assert_int_equal(layer_of(&network, pool)[2].kind, LAYER_RELU);
    grow(&network, deepen((uint32_t)relu, DEEPEN_BATCH_NORM, 0));
    grow(&network, deepen(0, DEEPEN_BATCH_NORM, 0));
    grow(&network, deepen((uint32_t)second, DEEPEN_CONV_RELU, 5));
    network_free(&network);
}

/* ---- residual blocks ---- */

static void test_residual(void **state)
{
    (void)state;
    struct graph graph = image(2, 8, 8);
    int32_t relu = plain(&graph, LAYER_RELU, conv(&graph, 0, 4, 1, 1));
    joint(&graph, LAYER_ADD, relu, conv(&graph, relu, 4, 1, 1));
    struct network network = finish(&graph);
    grow(&network, residual((uint32_t)relu, 3));
    /* relu, the branch, the add, then what was there: both readers of the ReLU read the add now */
    static const enum layer_kind kinds[] = {LAYER_CONV, LAYER_BATCH_NORM, LAYER_RELU,
                                            LAYER_CONV, LAYER_BATCH_NORM, LAYER_ADD};
    const struct layer *layers = network.graph.layers;
    for (int32_t i = 0; i < 6; i++) {
        assert_int_equal(layers[relu + 1 + i].kind, kinds[i]);
        assert_int_equal(layers[relu + 1 + i].inputs[0], i < 5 ? relu + i : relu);
    }
    assert_int_equal(layers[relu + 6].inputs[1], relu + 5);
    assert_int_equal(layers[relu + 7].inputs[0], relu + 6);
    assert_int_equal(layers[relu + 8].inputs[0], relu + 6);
    for (int32_t half = 0; half < 2; half++) {
        const float *scale = weights_of(&network, layers[relu + 2 + 3 * half].id, WEIGHT_SCALE);
        const float *kernel = weights_of(&network, layers[relu + 1 + 3 * half].id, WEIGHT_KERNEL);
        double square = 0.0;
        for (int i = 0; i < 4; i++)
            assert_true(scale[i] == (half == 0 ? 1.0f : 0.0f));
        for (int i = 0; i < 4 * 4 * 9; i++)
            square += (double)kernel[i] * (double)kernel[i];
        double variance =
            square / (4 * 4 * 9); /* of 144 numbers: within a third of 2 / fan-in, three deviations */
        assert_true(fabs(variance * 36.0 / 2.0 - 1.0) <= 0.34);
    }
    refuse(&network, residual((uint32_t)relu, 2), "residual: kernel is 2, expected 1, 3 or 5");
    refuse(&network, residual(99, 3), "layer 99 is not in the graph");
    network_free(&network);
}

/* New layers are as the network's own are; the last batch norm alone has a scale in any case. */
static void test_residual_in_the_style_of_the_network(void **state)
{
    (void)state;
    struct network network = started("air", 8);
    const uint32_t id = id_of_kind(&network.graph, LAYER_GELU, 1);
    int32_t at = graph_find(&network.graph, id);
    grow(&network, residual(id, 3));
    const struct layer *layers = network.graph.layers + at + 1;
    assert_true(layers[0].init == LAYER_INIT_DIRAC && layers[3].init == LAYER_INIT_DIRAC);
    assert_true(layers[1].frozen && !layers[4].frozen);
    assert_int_equal(layers[2].kind, LAYER_GELU);
    grow(&network, deepen(id, DEEPEN_BATCH_NORM, 0));
    assert_true(layer_of(&network, id)[1].frozen);
    refuse(&network, deepen(id, DEEPEN_CONV_RELU, 3), "expected a layer whose output is never");
    network_free(&network);
}

/* A depthwise convolution, the identity at first, and one of 1 x 1; widened, repeated and grown like all blocks. */
static void test_separable(void **state)
{
    (void)state;
    struct network network = started("res9", 8);
    const uint32_t id = id_of_kind(&network.graph, LAYER_RELU, 1);
    const int32_t at = graph_find(&network.graph, id), channels = network.graph.layers[at].shape.c;
    refuse(&network, separable(id, 1), "separable: kernel is 1, expected 3 or 5");
    refuse(&network, separable(99, 3), "layer 99 is not in the graph");
    finds_no_room(&network, separable(id_of_kind(&network.graph, LAYER_GLOBAL_POOL, 0), 3), "has one pixel");
    grow(&network, separable(id, 3));
    static const enum layer_kind kinds[] = {LAYER_CONV, LAYER_BATCH_NORM, LAYER_RELU,
                                            LAYER_CONV, LAYER_BATCH_NORM, LAYER_ADD};
    const struct layer *layers = network.graph.layers + at + 1;
    for (int32_t i = 0; i < 6; i++)
        assert_int_equal(layers[i].kind, kinds[i]);
    assert_true(layers[0].groups == channels && layers[0].kernel_h == 3 && layers[0].pad_w == 1);
    assert_true(layers[3].groups == 1 && layers[3].kernel_w == 1 && layers[5].inputs[1] == at + 5);
    const float *depthwise = weights_of(&network, layers[0].id, WEIGHT_KERNEL);
    const float *pointwise = weights_of(&network, layers[3].id, WEIGHT_KERNEL);
    const float *scale = weights_of(&network, layers[4].id, WEIGHT_SCALE);
    for (int32_t c = 0; c < channels; c++) {
        for (int32_t tap = 0; tap < 9; tap++)
            assert_true(depthwise[c * 9 + tap] == (tap == 4 ? 1.0f : 0.0f));
        assert_true(pointwise[c] != 0.0f && scale[c] == 0.0f);
    }
    const uint32_t first = layers[0].id, add = layers[5].id;
    grow(&network, repeat(add));
    grow(&network, (struct morph){.kind = MORPH_KERNEL, .a = first, .amount = 2});
    grow(&network, widen(first, 8)); /* with what it reads, and with the repeated block */
    assert_int_equal(layer_of(&network, id)->shape.c, channels + 8);
    for (int32_t i = 1; i <= 12; i++)
        assert_int_equal(layer_of(&network, id)[i].shape.c, channels + 8);
    assert_int_equal(layer_of(&network, first)->groups, channels + 8);
    assert_int_equal(layer_of(&network, first)->kernel_h, 5);
    grow(&network, (struct morph){.kind = MORPH_WIDEN_NET, .amount = 50});
    network_free(&network);
}

static void test_squeeze(void **state)
{
    (void)state;
    struct network network = started("res9", 8);
    const uint32_t id = id_of_kind(&network.graph, LAYER_RELU, 1);
    const int32_t at = graph_find(&network.graph, id), channels = network.graph.layers[at].shape.c;
    refuse(&network, squeeze(id, 0), "squeeze: amount is 0, expected 1 to 4096 channels");
    refuse(&network, squeeze(0, 8), "layer 0 is the image");
    refuse(&network, squeeze(99, 8), "layer 99 is not in the graph");
    finds_no_room(&network, squeeze(id_of_kind(&network.graph, LAYER_GLOBAL_POOL, 0), 8), "has one pixel");
    grow(&network, squeeze(id, 8));
    static const enum layer_kind kinds[] = {LAYER_GLOBAL_POOL, LAYER_DENSE, LAYER_RELU, LAYER_DENSE,
                                            LAYER_GATE};
    const struct layer *layers = network.graph.layers + at;
    for (int32_t i = 0; i < 5; i++)
        assert_int_equal(layers[1 + i].kind, kinds[i]);
    assert_true(layers[2].out_channels == 8 && layers[4].out_channels == channels);
    assert_true(layers[5].inputs[0] == at && layers[5].inputs[1] == at + 4 && layers[6].inputs[0] == at + 5);
    const float *first = weights_of(&network, layers[2].id, WEIGHT_KERNEL);
    const float *second = weights_of(&network, layers[4].id, WEIGHT_KERNEL);
    for (int32_t i = 0; i < 8; i++) /* random: what the second learns first needs values in the middle */
        assert_true(first[i] != 0.0f && second[i] == 0.0f);
    const uint32_t gate = layers[5].id;
    finds_no_room(&network, squeeze(id, 8), "has gates already");
    finds_no_room(&network, squeeze(gate, 8), "has gates already");
    finds_no_room(&network, (struct morph){.kind = MORPH_ADD_SKIP, .a = layers[2].id, .b = layers[6].id},
                  "only opens gates on the way");
    grow(&network, deepen(gate, DEEPEN_CONV_RELU, 3)); /* which only what is never negative has */
    grow(&network, (struct morph){.kind = MORPH_WIDEN_NET, .amount = 50});
    network_free(&network);
}

static void test_repeat(void **state)
{
    (void)state;
    struct network network = started("res9", 8);
    struct error err = {0};
    uint32_t add = id_of_kind(&network.graph, LAYER_ADD, 0);
    int32_t end = graph_find(&network.graph, add), before = network.graph.count;
    grow(&network, repeat(add));
    /* conv, norm, relu, conv, norm of the block; the ReLU behind them would never learn from zeros */
    static const enum layer_kind kinds[] = {LAYER_CONV, LAYER_BATCH_NORM, LAYER_RELU,
                                            LAYER_CONV, LAYER_BATCH_NORM, LAYER_ADD};
    assert_int_equal(network.graph.count, before + 6);
    for (int32_t i = 0; i < 6; i++)
        assert_int_equal(network.graph.layers[end + 1 + i].kind, kinds[i]);
    assert_int_equal(network.graph.layers[end + 6].inputs[0], end);
    grow(&network, repeat(network.graph.layers[end + 6].id)); /* and the new one is a block, too */
    network_free(&network);

    network = started("resnet", 8);
    add = id_of_kind(&network.graph, LAYER_ADD, 0);
    end = graph_find(&network.graph, add) + 1;
    grow(&network, repeat(add));
    assert_int_equal(network.graph.layers[end].kind, LAYER_RELU);
    assert_int_equal(network.graph.layers[end + 6].kind, LAYER_ADD);
    assert_int_equal(network.graph.layers[end + 6].inputs[0], end);
    assert_int_equal(network.graph.layers[end + 7].kind, LAYER_RELU); /* its block ends with one */
    uint32_t changing = id_of_kind(&network.graph, LAYER_ADD, 3);     /* both operands have a convolution */
    finds_no_room(&network, repeat(changing), "ends no residual block");
    refuse(&network, repeat(1), "layer 1 is conv, expected add");
    network_free(&network);

    /* a branch without an activation inside is no block */
    struct graph graph = image(2, 8, 8);
    int32_t relu = plain(&graph, LAYER_RELU, conv(&graph, 0, 4, 1, 1));
    int32_t linear = joint(&graph, LAYER_ADD, relu, conv(&graph, conv(&graph, relu, 4, 1, 1), 4, 1, 1));
    network = finish(&graph);
    finds_no_room(&network, repeat((uint32_t)linear), "expected one with an activation inside");
    struct morph wrong = repeat(99);
    assert_int_equal(network_grow(&network, &wrong, 0.0f, 11, &err), ST_RANGE);
    network_free(&network);
}

/* ---- widen ---- */

static double deviation_of(const float *values, int count)
{
    double mean = 0.0, square = 0.0;
    for (int i = 0; i < count; i++)
        mean += (double)values[i] / count;
    for (int i = 0; i < count; i++)
        square += ((double)values[i] - mean) * ((double)values[i] - mean) / count;
    return sqrt(square);
}

/* New channels: random incoming weights whatever the noise is, a fresh batch norm, nothing of them read. The old
 * ones are as they were. */
static void test_widen_adds_channels_that_nobody_reads(void **state)
{
    (void)state;
    for (int noisy = 0; noisy < 2; noisy++) {
        struct graph graph = image(2, 6, 6);
        int32_t first = conv(&graph, 0, 4, 1, 1), norm = plain(&graph, LAYER_BATCH_NORM, first);
        int32_t second = conv(&graph, plain(&graph, LAYER_RELU, norm), 3, 1, 1);
        struct network parent = finish(&graph), child = {0};
        struct error err = {0};
        struct random_sequence random = {.seed = 5, .stream = RANDOM_TEST};
        struct logits before, after;
        assert_int_equal(graph_copy(&graph, &parent.graph, &err), ST_OK);
        network_start(&child, &graph, &random); /* the same weights as the parent's */
        struct morph wider = widen((uint32_t)first, 6);
        network_evaluate(&child, 7, &before);
        assert_int_equal(network_grow(&child, &wider, noisy ? 0.5f : 0.0f, 11, &err), ST_OK);
        network_evaluate(&child, 7, &after);
        assert_true(logits_difference(&before, &after) == 0.0);
        assert_int_equal(layer_of(&child, (uint32_t)first)->shape.c, 10);

        const float *wide = weights_of(&child, (uint32_t)first, WEIGHT_KERNEL);
        const float *narrow = weights_of(&parent, (uint32_t)first, WEIGHT_KERNEL);
        assert_memory_equal(wide, narrow, 4 * 18 * sizeof(*wide));
        /* of 108 normal numbers: within a third, five deviations of their deviation */
        assert_true(fabs(deviation_of(wide + 4 * 18, 6 * 18) / deviation_of(narrow, 4 * 18) - 1.0) <= 0.34);
        static const float fresh[WEIGHT_ROLE_COUNT] = {[WEIGHT_SCALE] = 1.0f, [WEIGHT_RUNNING_VAR] = 1.0f};
        for (int role = WEIGHT_BIAS; role < WEIGHT_ROLE_COUNT; role++) {
            const uint32_t id = (uint32_t)(role == WEIGHT_BIAS ? first : norm);
            const float *values = weights_of(&child, id, (enum weight_role)role);
            assert_memory_equal(values, weights_of(&parent, id, (enum weight_role)role), 4 * sizeof(*values));
            for (int j = 4; j < 10; j++)
                assert_true(values[j] == fresh[role]);
        }
        const float *read_wide = weights_of(&child, (uint32_t)second, WEIGHT_KERNEL);
        const float *read_narrow = weights_of(&parent, (uint32_t)second, WEIGHT_KERNEL);
        for (int o = 0; o < 3; o++)
            for (int j = 0; j < 10; j++)
                for (int tap = 0; tap < 9; tap++)
                    assert_true(read_wide[(o * 10 + j) * 9 + tap] ==
                                (j < 4 ? read_narrow[(o * 4 + j) * 9 + tap] : 0.0f));

        refuse(&child, widen((uint32_t)norm, 1), "is batch_norm, expected conv or dense");
        refuse(&child, widen((uint32_t)first, MORPH_TOO_WIDE), "amount is 4097, expected 1 to 4096");
        finds_no_room(&child, widen((uint32_t)first, MORPH_TOO_WIDE - 1), "would have 4106 channels");
        refuse(&child, widen((uint32_t)first, 0), "amount is 0");
        refuse(&child, widen(child.graph.layers[child.graph.count - 1].id, 1), "is the last");
        network_free(&child);
        network_free(&parent);
    }
}

/* A kernel that is widened and reads what is widened: new channels read each other, old ones none of the new. */
static void test_widen_rows_and_columns(void **state)
{
    (void)state;
    struct graph graph = image(2, 6, 6);
    int32_t first = conv(&graph, 0, 4, 1, 1), second = conv(&graph, first, 4, 1, 1);
    joint(&graph, LAYER_ADD, first, second);
    struct network network = finish(&graph);
    grow(&network, widen((uint32_t)first, 4)); /* the second is tied to it, and reads it */
    const float *kernel = weights_of(&network, (uint32_t)second, WEIGHT_KERNEL);
    for (int o = 0; o < 8; o++)
        for (int i = 0; i < 8; i++)
            for (int tap = 0; tap < 9; tap++)
                assert_true((kernel[(o * 8 + i) * 9 + tap] == 0.0f) == (o < 4 && i >= 4));
    network_free(&network);
}

static void test_widen_a_stage(void **state)
{
    (void)state;
    struct network network = started("lean", 8); /* 8 8 | 16 | 32 32 | 64 channels, 16 x 16 to 2 x 2 pixels */
    static const int32_t widths[] = {16, 16, 16, 32, 32, 64}, all[] = {24, 24, 24, 40, 40, 80};
    uint32_t second = id_of_kind(&network.graph, LAYER_CONV, 1);
    grow(&network, (struct morph){.kind = MORPH_WIDEN_STAGE, .a = second, .amount = 100});
    for (int i = 0; i < 6; i++)
        assert_int_equal(layer_of(&network, id_of_kind(&network.graph, LAYER_CONV, i))->shape.c, widths[i]);
    grow(&network, (struct morph){.kind = MORPH_WIDEN_NET, .amount = 25});
    for (int i = 0; i < 6; i++)
        assert_int_equal(layer_of(&network, id_of_kind(&network.graph, LAYER_CONV, i))->shape.c, all[i]);
    assert_int_equal(network.graph.layers[network.graph.count - 1].shape.c, 10);
    struct morph wrong = {.kind = MORPH_WIDEN_NET, .amount = 101};
    refuse(&network, wrong, "widen_net: amount is 101, expected 1 to 100 percent");
    wrong = (struct morph){.kind = MORPH_WIDEN_STAGE, .a = 99, .amount = 50};
    refuse(&network, wrong, "widen_stage: layer 99 is not in the graph");
    wrong.a = id_of_kind(&network.graph, LAYER_GLOBAL_POOL, 0); /* the logits alone */
    finds_no_room(&network, wrong, "found no layer that can be widened");
    network_free(&network);
}

/* What can't be widened stays as it is: the whitening, and what has its channels from elsewhere. */
static void test_widen_all_that_can_be(void **state)
{
    (void)state;
    struct network network = started("air", 8);
    const uint32_t whitening = id_of_kind(&network.graph, LAYER_CONV, 0);
    const int32_t filters = layer_of(&network, whitening)->shape.c;
    grow(&network, (struct morph){.kind = MORPH_WIDEN_NET, .amount = 50});
    assert_int_equal(layer_of(&network, whitening)->shape.c, filters);
    assert_int_equal(layer_of(&network, id_of_kind(&network.graph, LAYER_CONV, 1))->shape.c, 16);
    finds_no_room(&network, widen(whitening, 8), "has filters that are to stay as they are");
    finds_no_room(&network, (struct morph){.kind = MORPH_KERNEL, .a = whitening, .amount = 2},
                  "has filters that are to stay as they are");
    network_free(&network);

    struct graph graph = image(4, 8, 8);
    int32_t first = conv(&graph, 0, 4, 1, 1), with_image = joint(&graph, LAYER_ADD, first, 0);
    int32_t left = conv(&graph, with_image, 8, 1, 1), grouped = conv(&graph, left, 6, 1, 2);
    int32_t both = joint(&graph, LAYER_CONCAT, left, grouped);
    joint(&graph, LAYER_ADD, conv(&graph, both, 14, 1, 1), both);
    network = finish(&graph);
    grow(&network, (struct morph){.kind = MORPH_WIDEN_STAGE, .a = (uint32_t)first, .amount = 50});
    assert_int_equal(layer_of(&network, (uint32_t)first)->shape.c, 4);
    assert_int_equal(layer_of(&network, (uint32_t)left)->shape.c, 16);
    assert_int_equal(layer_of(&network, (uint32_t)grouped)->shape.c, 16);
    assert_int_equal(layer_of(&network, (uint32_t)both)->shape.c, 32); /* and the convolution added to it */
    network_free(&network);
}

/* Both inputs of a concat come from one convolution: Auto-Keras's networks crash here. */
static void test_widen_into_both_sides_of_a_concat(void **state)
{
    (void)state;
    struct graph graph = image(3, 6, 6);
    int32_t first = conv(&graph, 0, 4, 1, 1);
    int32_t relu = plain(&graph, LAYER_RELU, plain(&graph, LAYER_BATCH_NORM, first));
    int32_t twice = joint(&graph, LAYER_CONCAT, relu, first);
    int32_t thrice = joint(&graph, LAYER_CONCAT, relu, twice);
    conv(&graph, plain(&graph, LAYER_BATCH_NORM, thrice), 5, 2, 1);
    struct network network = finish(&graph);
    grow(&network, widen((uint32_t)first, 2));
    assert_int_equal(layer_of(&network, (uint32_t)thrice)->shape.c, 18);
    grow(&network, widen((uint32_t)first, 6));
    network_free(&network);
}

static void test_widen_through_adds(void **state)
{
    (void)state;
    struct graph graph = image(4, 8, 8);
    int32_t first = conv(&graph, 0, 4, 1, 1), second = conv(&graph, first, 4, 1, 1);
    int32_t add = joint(&graph, LAYER_ADD, plain(&graph, LAYER_RELU, first), second);
    int32_t third = conv(&graph, add, 4, 1, 1), with_image = joint(&graph, LAYER_ADD, third, 0);
    int32_t left = conv(&graph, with_image, 3, 1, 1), right = conv(&graph, with_image, 2, 1, 1);
    int32_t both = joint(&graph, LAYER_CONCAT, left, right), other = conv(&graph, both, 5, 1, 1);
    joint(&graph, LAYER_ADD, other, both);
    struct network network = finish(&graph);
    grow(&network, widen((uint32_t)second, 3)); /* the first is an operand too */
    assert_int_equal(layer_of(&network, (uint32_t)first)->shape.c, 7);
    assert_int_equal(layer_of(&network, (uint32_t)second)->shape.c, 7);
    finds_no_room(&network, widen((uint32_t)third, 2), "input 0 is added to it");
    grow(&network, widen((uint32_t)left, 2)); /* its new channels stand in the middle of the concat's */
    assert_int_equal(layer_of(&network, (uint32_t)other)->shape.c, 7);
    grow(&network, widen((uint32_t)right, 1));
    finds_no_room(&network, widen((uint32_t)other, 2), "would need channels that its inputs do not make");
    network_free(&network);
}

static void test_widen_with_groups(void **state)
{
    (void)state;
    struct graph graph = image(3, 8, 8);
    int32_t first = conv(&graph, 0, 4, 1, 1), depthwise = conv(&graph, first, 4, 1, 4);
    int32_t doubled = conv(&graph, depthwise, 8, 2, 4), mix = conv(&graph, doubled, 6, 1, 1);
    int32_t grouped = conv(&graph, mix, 8, 1, 2), again = conv(&graph, grouped, 6, 1, 2);
    int32_t other = conv(&graph, again, 6, 1, 3);
    struct network network = finish(&graph);
    grow(&network, widen((uint32_t)first, 3)); /* through both depthwise convolutions */
    assert_int_equal(layer_of(&network, (uint32_t)depthwise)->groups, 7);
    assert_int_equal(layer_of(&network, (uint32_t)doubled)->shape.c, 14);
    grow(&network, widen((uint32_t)depthwise, 1)); /* is to widen what it reads */
    assert_int_equal(layer_of(&network, (uint32_t)first)->shape.c, 8);
    finds_no_room(&network, widen((uint32_t)doubled, 2), "would need channels that its inputs do not make");
    finds_no_room(&network, widen((uint32_t)mix, 3), "a multiple of 2");
    grow(&network, widen((uint32_t)mix, 4)); /* two in each block of its reader */
    grow(&network, widen((uint32_t)grouped, 2));
    assert_int_equal(layer_of(&network, (uint32_t)grouped)->groups, 2);
    finds_no_room(&network, widen((uint32_t)again, 3),
                  "would mix channels of several groups"); /* blocks of 2 and of 3 */
    grow(&network, widen((uint32_t)other, 3));
    network_free(&network);
}

static void test_widen_before_a_dense_layer_over_pixels(void **state)
{
    (void)state;
    struct graph graph = image(2, 5, 7);
    int32_t first = conv(&graph, 0, 3, 1, 1);
    int32_t hidden = dense(&graph, plain(&graph, LAYER_RELU, first), 6);
    plain(&graph, LAYER_DROPOUT, plain(&graph, LAYER_RELU, hidden));
    struct network network = finish(&graph);
    grow(&network, widen((uint32_t)first, 2));
    grow(&network, widen((uint32_t)hidden, 6));
    network_free(&network);
}

/* ---- skips and kernels ---- */

static void test_skips(void **state)
{
    (void)state;
    struct graph graph = image(2, 9, 8);
    int32_t first = conv(&graph, 0, 4, 1, 1), relu = plain(&graph, LAYER_RELU, first);
    int32_t pool = max_pool(&graph, relu), second = conv(&graph, pool, 6, 2, 1);
    int32_t third = plain(&graph, LAYER_BATCH_NORM, second),
            aside = plain(&graph, LAYER_RELU, conv(&graph, pool, 6, 2, 1));
    joint(&graph, LAYER_ADD, third, aside);
    struct network network = finish(&graph);
    uint32_t last = network.graph.layers[network.graph.count - 1].id, globe = last - 1, a = (uint32_t)relu;
    for (int kind = MORPH_ADD_SKIP; kind <= MORPH_CONCAT_SKIP; kind++) {
        enum morph_kind which = (enum morph_kind)kind;
        grow(&network, skip_over(which, a, (uint32_t)third)); /* over a pool and a stride */
        finds_no_room(&network, skip_over(which, a, (uint32_t)third),
                      "there is one from layer 2 to layer 5 already");
        grow(&network, skip_over(which, (uint32_t)first, (uint32_t)third)); /* another pair */
        finds_no_room(&network, skip_over(which, a, (uint32_t)third),
                      "already");                   /* the first is still found behind the second */
        grow(&network, skip_over(which, a, globe)); /* one pixel: the branch ends in a dense layer */
        refuse(&network, skip_over(which, 0, globe), "layer 0 is the image");
        grow(&network, skip_over(which, (uint32_t)first, a)); /* neighbours */
        refuse(&network, skip_over(which, (uint32_t)third, a), "does not depend on layer 5");
        refuse(&network, skip_over(which, a, a), "does not depend on layer 2");
        refuse(&network, skip_over(which, (uint32_t)second, (uint32_t)aside), "does not depend on layer 4");
        refuse(&network, skip_over(which, a, last), "is the last");
        refuse(&network, skip_over(which, 99, a), "layer 99 is not in the graph");
    }
    network_free(&network);
}

static void test_a_residual_is_a_skip_already(void **state)
{
    (void)state;
    struct graph graph = image(2, 8, 8);
    int32_t relu = plain(&graph, LAYER_RELU, conv(&graph, 0, 4, 1, 1));
    int32_t norm = plain(&graph, LAYER_BATCH_NORM, conv(&graph, relu, 4, 1, 1));
    joint(&graph, LAYER_ADD, norm, relu);
    struct network network = finish(&graph);
    finds_no_room(&network, skip_over(MORPH_ADD_SKIP, (uint32_t)relu, (uint32_t)norm), "already");
    grow(&network, skip_over(MORPH_CONCAT_SKIP, (uint32_t)relu, (uint32_t)norm));
    network_free(&network);
}

static void test_kernels_grow_around_the_old(void **state)
{
    (void)state;
    struct graph graph = image(2, 7, 8);
    int32_t first = conv(&graph, 0, 4, 2, 1), depthwise = conv(&graph, first, 4, 1, 4);
    struct network network = finish(&graph);
    struct morph larger = {.kind = MORPH_KERNEL, .a = (uint32_t)first, .amount = 2};
    grow(&network, larger);
    assert_int_equal(layer_of(&network, (uint32_t)first)->kernel_h, 5);
    assert_int_equal(layer_of(&network, (uint32_t)first)->pad_w, 2);
    finds_no_room(&network, larger, "would get a kernel of 7, expected at most 5");
    larger = (struct morph){.kind = MORPH_KERNEL, .a = (uint32_t)depthwise, .amount = 2};
    grow(&network, larger);
    larger.amount = 3;
    refuse(&network, larger, "amount is 3, expected an even number");
    larger = (struct morph){.kind = MORPH_KERNEL, .a = 3, .amount = 2};
    refuse(&network, larger, "layer 3 is global_pool, expected conv");
    larger = (struct morph){.kind = MORPH_KIND_COUNT, .a = 1};
    network_free(&network);
}

/* What a block computes is lost with it, unless that is nothing: then the network is as it was before the block. What
 * stays keeps its weights. */
static void test_remove(void **state)
{
    (void)state;
    struct network network = started("res9", 8);
    struct logits before, with, after;
    struct error err = {0};
    const int32_t layers = network.graph.count;
    const uint32_t relu = id_of_kind(&network.graph, LAYER_RELU, 1);
    network_evaluate(&network, 7, &before);
    grow(&network, (struct morph){.kind = MORPH_RESIDUAL, .a = relu, .amount = 3});
    const int32_t add = graph_find(&network.graph, relu) + 6;
    assert_int_equal(network.graph.layers[add].kind, LAYER_ADD);
    const uint32_t block = network.graph.layers[add].id;
    grow(&network, deepen(block, DEEPEN_BATCH_NORM, 1));
    const struct morph remove = {.kind = MORPH_REMOVE, .a = block, .b = relu};
    grow(&network, remove); /* its branch is zero */
    assert_int_equal(network.graph.count, layers + 1);
    assert_int_equal(graph_find(&network.graph, block), -1);

    const uint32_t own = id_of_kind(&network.graph, LAYER_ADD, 0),
                   kept = id_of_kind(&network.graph, LAYER_CONV, 0);
    const int32_t *inputs = layer_of(&network, own)->inputs, around = inputs[inputs[1] < inputs[0]];
    const struct morph skipped = {.kind = MORPH_REMOVE, .a = own, .b = network.graph.layers[around].id};
    float first[8];
    memcpy(first, weights_of(&network, kept, WEIGHT_KERNEL), sizeof(first));
    network_evaluate(&network, 7, &with);
    assert_int_equal(network_grow(&network, &skipped, 0.0f, 11, &err), ST_OK);
    network_evaluate(&network, 7, &after);
    assert_true(logits_difference(&before, &with) <= TOLERANCE);
    assert_true(logits_difference(&with, &after) > 0.01);
    assert_memory_equal(first, weights_of(&network, kept, WEIGHT_KERNEL), sizeof(first));
    network_free(&network);
    for (int kind = 0; kind < MORPH_KIND_COUNT; kind++)
        assert_int_equal(morph_preserves((enum morph_kind)kind), kind != MORPH_REMOVE && kind != MORPH_PRUNE);
}

/* Convolution, batch norm, a sum with a shortcut that another one makes. */
static struct network prunable(bool norms, int32_t *target)
{
    struct graph graph = image(2, 7, 8);
    int32_t first = conv(&graph, 0, 8, 1, 1), second = conv(&graph, 0, 8, 2, 1);
    *target = first;
    first = conv(&graph, first, 8, 2, 1);
    if (norms) {
        first = plain(&graph, LAYER_BATCH_NORM, first);
        second = plain(&graph, LAYER_BATCH_NORM, second);
        *target = second;
    }
    const int32_t relu = plain(&graph, LAYER_RELU, joint(&graph, LAYER_ADD, first, second));
    conv(&graph, relu, 6, 1, 1);
    return finish(&graph);
}

static struct morph prune(const struct network *network, uint32_t a, int32_t amount, float *importance)
{
    struct error err;
    assert_int_equal(
        morph_importance(&network->graph, a, &network->table, network->weights, importance, &err), ST_OK);
    return (struct morph){.kind = MORPH_PRUNE, .a = a, .amount = amount, .importance = importance};
}

static void silence(struct network *network, uint32_t id, enum weight_role role, int32_t channel)
{
    const struct weight_tensor *tensor = &network->table.tensors[weight_find(&network->table, id, role)];
    const size_t each = tensor->count / (size_t)tensor->dims[0];
    memset(network->weights + tensor->offset + (size_t)channel * each, 0, each * sizeof(float));
}

/* Channels that do nothing are found by scales or kernels and go first: then the function is kept. The next one that
 * goes is missed. */
static void test_prune(void **state)
{
    static const int32_t dead[] = {1, 4, 7};
    (void)state;
    for (int norms = 0; norms < 2; norms++) {
        struct logits before, after;
        struct error err = {0};
        float importance[8];
        int32_t target;
        struct network network = prunable(norms, &target);
        uint32_t ids[3] = {0};
        int32_t count = 0;
        for (int32_t i = 0; i < network.graph.count; i++) {
            const struct layer *layer = &network.graph.layers[i];
            if (norms ? layer->kind == LAYER_BATCH_NORM : i == target)
                ids[count++] = layer->id;
        }
        for (int32_t k = 0; k < count; k++)
            for (int d = 0; d < 3; d++) {
                silence(&network, ids[k], norms ? WEIGHT_SCALE : WEIGHT_KERNEL, dead[d]);
                silence(&network, ids[k], norms ? WEIGHT_SHIFT : WEIGHT_BIAS, dead[d]);
            }
        const uint32_t a = norms ? network.graph.layers[network.graph.layers[target].inputs[0]].id
                                 : network.graph.layers[target].id;
        grow(&network, prune(&network, a, 3, importance));
        for (int c = 0; c < 8; c++)
            assert_true((importance[c] == 0.0f) == (c == 1 || c == 4 || c == 7));
        assert_int_equal(layer_of(&network, a)->shape.c, 5);
        network_evaluate(&network, 7, &before);
        const struct morph more = prune(&network, a, 1, importance);
        assert_int_equal(network_grow(&network, &more, 0.0f, 11, &err), ST_OK);
        network_evaluate(&network, 7, &after);
        assert_true(logits_difference(&before, &after) > 1e-4);
        refuse(&network, (struct morph){.kind = MORPH_PRUNE, .a = a, .amount = 4}, "expected 1 to 3");
        network_free(&network);
    }
    int32_t target;
    struct network network = prunable(true, &target);
    refuse(&network, (struct morph){.kind = MORPH_PRUNE, .a = (uint32_t)target, .amount = 1},
           "expected conv or dense");
    network_free(&network);
}

static void test_refuses_to_remove(void **state)
{
    (void)state;
    struct graph graph = image(4, 8, 8);
    const int32_t first = conv(&graph, 0, 4, 1, 1), second = conv(&graph, first, 4, 1, 1);
    const int32_t relu = plain(&graph, LAYER_RELU, second), other = conv(&graph, first, 4, 1, 1);
    const int32_t sum = joint(&graph, LAYER_ADD, relu, other), last = joint(&graph, LAYER_ADD, sum, first);
    max_pool(&graph, last);
    struct network network = finish(&graph);
    const struct {
        int32_t a, b;
        const char *words;
    } none[] = {{first, 0, "whose shape is another"}, /* the image is never read in its place */
                {relu, second, "no conv or dense layer lies between"},
                {other, second, "does not depend on"},
                {sum, first, "would read layer 1 twice"},
                {last + 1, first, "whose shape is another"}};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        finds_no_room(
            &network,
            (struct morph){.kind = MORPH_REMOVE, .a = (uint32_t)none[i].a, .b = (uint32_t)none[i].b},
            none[i].words);
    refuse(&network, (struct morph){.kind = MORPH_REMOVE, .a = (uint32_t)first, .b = (uint32_t)relu},
           "does not stand before");
    refuse(&network, (struct morph){.kind = MORPH_REMOVE, .a = 99, .b = (uint32_t)relu}, "not in the graph");
    network_free(&network);
}

static void test_describe(void **state)
{
    (void)state;
    struct graph graph = image(2, 7, 8);
    int32_t first = conv(&graph, 0, 4, 2, 1);
    struct network network = finish(&graph);
    const struct {
        struct morph morph;
        const char *text;
    } cases[] = {
        {widen((uint32_t)first, 2), "widen conv 1 4->6"},
        {{.kind = MORPH_PRUNE, .a = (uint32_t)first, .amount = 3}, "prune conv 1 4->1"},
        {{.kind = MORPH_REMOVE, .a = (uint32_t)first, .b = 7}, "remove conv 1 back to 7"},
        {deepen((uint32_t)first, DEEPEN_CONV_RELU, 3), "deepen conv 1: conv+relu 3x3"},
        {residual((uint32_t)first, 3), "residual conv 1: 3x3"},
        {separable((uint32_t)first, 5), "separable conv 1: 5x5"},
        {repeat((uint32_t)first), "repeat block of conv 1"},
        {{.kind = MORPH_WIDEN_STAGE, .a = 1, .amount = 50}, "widen stage 4x4 +50%"},
        {{.kind = MORPH_WIDEN_NET, .amount = 25}, "widen net +25%"},
        {deepen((uint32_t)first, DEEPEN_BATCH_NORM, 3), "deepen conv 1: batch_norm"},
        {skip_over(MORPH_ADD_SKIP, 0, 1), "add skip 0->1"},
        {skip_over(MORPH_CONCAT_SKIP, 0, 1), "concat skip 0->1"},
        {{.kind = MORPH_KERNEL, .a = 1, .amount = 2}, "kernel conv 1 3x3->5x5"},
        {deepen(77, DEEPEN_VARIANT_COUNT, 3), "deepen unknown 77: unknown"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[64], shorter[6];
        morph_describe(&cases[i].morph, &network.graph, text, sizeof(text));
        assert_string_equal(text, cases[i].text);
        morph_describe(&cases[i].morph, &network.graph, shorter, sizeof(shorter));
        assert_memory_equal(shorter, cases[i].text, sizeof(shorter) - 1);
    }
    network_free(&network);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_relu_only_where_nothing_is_negative),
        cmocka_unit_test(test_deepen_adds_what_it_says),
        cmocka_unit_test(test_residual),
        cmocka_unit_test(test_residual_in_the_style_of_the_network),
        cmocka_unit_test(test_separable),
        cmocka_unit_test(test_squeeze),
        cmocka_unit_test(test_repeat),
        cmocka_unit_test(test_widen_adds_channels_that_nobody_reads),
        cmocka_unit_test(test_widen_rows_and_columns),
        cmocka_unit_test(test_widen_a_stage),
        cmocka_unit_test(test_widen_all_that_can_be),
        cmocka_unit_test(test_widen_into_both_sides_of_a_concat),
        cmocka_unit_test(test_widen_through_adds),
        cmocka_unit_test(test_widen_with_groups),
        cmocka_unit_test(test_widen_before_a_dense_layer_over_pixels),
        cmocka_unit_test(test_skips),
        cmocka_unit_test(test_a_residual_is_a_skip_already),
        cmocka_unit_test(test_kernels_grow_around_the_old),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_refuses_to_remove),
        cmocka_unit_test(test_prune),
        cmocka_unit_test(test_describe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
