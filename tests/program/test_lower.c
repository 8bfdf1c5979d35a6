/* Lowering: where operations are fused and where they may not be, what stays out of a program, lifetimes and
 * arena offsets by brute force on random graphs, and the checks that refuse a broken program. */
#include "host/net/start.h"
#include "host/program/lower.h"
#include "tests/support/activations.h"
#include "tests/support/random_graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 4, GRAPHS = 120 };

/* ---- building small graphs by hand: images of 2 x 6 x 6, convolutions keep the shape ---- */

static int32_t add_layer(struct graph *graph, enum layer_kind kind, int32_t left, int32_t right)
{
    struct error err;
    struct layer layer = {
        .kind = kind, .input_count = right < 0 ? 1 : 2, .inputs = {left, right < 0 ? 0 : right}};
    layer.stride = layer.groups = 1;
    if (kind == LAYER_CONV) {
        layer.out_channels = 2;
        layer.kernel_h = layer.kernel_w = 3;
        layer.pad_h = layer.pad_w = 1;
    }
    if (kind == LAYER_MAX_POOL)
        layer.kernel_h = layer.kernel_w = 2;
    if (kind == LAYER_DROPOUT)
        layer.rate = 0.5f;
    if (kind == LAYER_DENSE) {
        layer.out_channels = 3;
        layer.bias = true;
    }
    int32_t index;
    if (graph_append(graph, layer, &index, &err) != ST_OK)
        fail_msg("%s", err.message);
    return index;
}

static void start(struct graph *graph)
{
    struct error err;
    assert_int_equal(graph_new(graph, 2, 6, 6, &err), ST_OK);
}

/* Ends with the classifier over `features`, lowers for `purpose`, frees the graph. */
static void finish(struct graph *graph, int32_t features, enum prog_purpose purpose, struct program *program)
{
    struct error err;
    struct lower_options options = {.purpose = purpose,
                                    .batch = BATCH,
                                    .augment = true,
                                    .weight_average = true,
                                    .label_smoothing = 0.1f,
                                    .batch_norm_momentum = 0.1f};
    add_layer(graph, LAYER_DENSE, features, -1);
    if (graph_infer(graph, &err) != ST_OK || lower_graph(graph, &options, program, &err) != ST_OK)
        fail_msg("%s", err.message);
    graph_free(graph);
}

static int32_t count_ops(const struct program *program, enum prog_op_kind kind)
{
    int32_t count = 0;
    for (int32_t i = 0; i < program->op_count; i++)
        count += program->ops[i].kind == kind;
    return count;
}

static const struct prog_op *find_op(const struct program *program, enum prog_op_kind kind, int32_t nth)
{
    for (int32_t i = 0; i < program->op_count; i++)
        if (program->ops[i].kind == kind && nth-- == 0)
            return &program->ops[i];
    fail_msg("no %s", prog_op_name(kind));
    return NULL;
}

/* ---- fusion ---- */

static void norm_and_relu_fuse(void **state)
{
    (void)state;
    for (int32_t purpose = PROG_TRAIN; purpose <= PROG_EVALUATE; purpose++) {
        struct graph graph;
        struct program program;
        start(&graph);
        int32_t conv = add_layer(&graph, LAYER_CONV, 0, -1);
        int32_t relu = add_layer(&graph, LAYER_RELU, add_layer(&graph, LAYER_BATCH_NORM, conv, -1), -1);
        finish(&graph, relu, (enum prog_purpose)purpose, &program);
        bool train = purpose == PROG_TRAIN;
        const struct prog_op *norm =
            find_op(&program, train ? PROG_OP_BATCH_NORM : PROG_OP_BATCH_NORM_INFERENCE, 0);
        assert_true(norm->norm.relu);
        assert_int_equal(norm->inputs[BATCH_NORM_IN_ADDEND], -1);
        assert_int_equal(count_ops(&program, PROG_OP_ACTIVATION), 0);
        assert_int_equal(count_ops(&program, PROG_OP_ACTIVATION_BACKWARD), 0);
        if (train) {
            const struct prog_op *back = find_op(&program, PROG_OP_BATCH_NORM_BACKWARD, 0);
            assert_true(back->norm.relu);
            assert_int_equal(back->inputs[BATCH_NORM_BACKWARD_IN_X], norm->inputs[BATCH_NORM_IN_X]);
            assert_int_equal(back->inputs[BATCH_NORM_BACKWARD_IN_Y], norm->outputs[BATCH_NORM_OUT_Y]);
            assert_int_equal(back->outputs[BATCH_NORM_BACKWARD_OUT_DADDEND], -1);
        }
        program_free(&program);
    }
}

static void nothing_fuses_where_another_reads_between(void **state)
{
    (void)state;
    struct graph graph;
    struct program program;
    start(&graph);
    int32_t norm = add_layer(&graph, LAYER_BATCH_NORM, add_layer(&graph, LAYER_CONV, 0, -1), -1);
    int32_t relu = add_layer(&graph, LAYER_RELU, norm, -1);
    finish(&graph, add_layer(&graph, LAYER_CONCAT, norm, relu), PROG_TRAIN, &program);
    assert_false(find_op(&program, PROG_OP_BATCH_NORM, 0)->norm.relu);
    assert_int_equal(count_ops(&program, PROG_OP_ACTIVATION), 1);
    assert_int_equal(find_op(&program, PROG_OP_BATCH_NORM_BACKWARD, 0)->inputs[BATCH_NORM_BACKWARD_IN_Y], -1);
    program_free(&program);
}

/* Only ReLU is fused; what backward reads is what the table says, and lives until then. */
static void activations_stand_alone(void **state)
{
    (void)state;
    for (int a = 0; a < ACTIVATION_COUNT; a++) {
        struct graph graph;
        struct program program;
        start(&graph);
        int32_t norm = add_layer(&graph, LAYER_BATCH_NORM, add_layer(&graph, LAYER_CONV, 0, -1), -1);
        int32_t first = add_layer(&graph, activation_layer((enum activation_kind)a), norm, -1);
        int32_t conv = add_layer(&graph, LAYER_CONV, first, -1);
        finish(&graph, add_layer(&graph, activation_layer((enum activation_kind)a), conv, -1), PROG_TRAIN,
               &program);
        const int32_t alone = a == ACTIVATION_RELU ? 1 : 2;
        assert_int_equal(count_ops(&program, PROG_OP_ACTIVATION), alone);
        assert_int_equal(count_ops(&program, PROG_OP_ACTIVATION_BACKWARD), alone);
        assert_int_equal(find_op(&program, PROG_OP_BATCH_NORM, 0)->norm.relu, a == ACTIVATION_RELU);
        const struct prog_op *forward = find_op(&program, PROG_OP_ACTIVATION, alone - 1);
        const struct prog_op *backward = find_op(&program, PROG_OP_ACTIVATION_BACKWARD, 0);
        assert_int_equal(forward->activation.function, a);
        assert_int_equal(backward->activation.function, a);
        assert_int_equal(forward->layer_id, backward->layer_id);
        const bool input = activation_traits((enum activation_kind)a)->reads == ACTIVATION_READS_INPUT;
        const int32_t seen = backward->inputs[ACTIVATION_BACKWARD_IN_SEEN];
        assert_int_equal(seen, input ? forward->inputs[ACTIVATION_IN_X] : forward->outputs[ACTIVATION_OUT_Y]);
        assert_true(program.tensors[seen].last >= backward - program.ops);
        program_free(&program);
    }
}

static void norm_add_and_relu_fuse(void **state)
{
    (void)state;
    struct graph graph;
    struct program program;
    start(&graph);
    int32_t before = add_layer(&graph, LAYER_CONV, 0, -1);
    int32_t norm = add_layer(&graph, LAYER_BATCH_NORM, add_layer(&graph, LAYER_CONV, before, -1), -1);
    int32_t relu = add_layer(&graph, LAYER_RELU, add_layer(&graph, LAYER_ADD, norm, before), -1);
    finish(&graph, relu, PROG_TRAIN, &program);
    const struct prog_op *fused = find_op(&program, PROG_OP_BATCH_NORM, 0);
    const struct prog_op *back = find_op(&program, PROG_OP_BATCH_NORM_BACKWARD, 0);
    assert_int_equal(fused->inputs[BATCH_NORM_IN_ADDEND],
                     find_op(&program, PROG_OP_CONV, 0)->outputs[CONV_OUT_Y]);
    assert_true(fused->norm.relu);
    assert_true(back->outputs[BATCH_NORM_BACKWARD_OUT_DADDEND] >=
                0); /* behind the ReLU the addend's gradient is not dy */
    /* The first convolution is read twice: one sum of its two gradients, and no other add. */
    assert_int_equal(count_ops(&program, PROG_OP_ADD), 1);
    const struct prog_op *sum = find_op(&program, PROG_OP_ADD, 0);
    assert_true(sum->inputs[ADD_IN_A] == back->outputs[BATCH_NORM_BACKWARD_OUT_DADDEND] ||
                sum->inputs[ADD_IN_B] == back->outputs[BATCH_NORM_BACKWARD_OUT_DADDEND]);
    program_free(&program);
}

static void norm_and_add_fuse_without_relu(void **state)
{
    (void)state;
    struct graph graph;
    struct program program;
    start(&graph);
    int32_t norm = add_layer(&graph, LAYER_BATCH_NORM, add_layer(&graph, LAYER_CONV, 0, -1), -1);
    int32_t sum = add_layer(&graph, LAYER_ADD, 0, norm);
    int32_t relu = add_layer(&graph, LAYER_RELU, sum, -1);
    finish(&graph, add_layer(&graph, LAYER_CONCAT, sum, relu), PROG_TRAIN,
           &program); /* the sum has two readers */
    const struct prog_op *fused = find_op(&program, PROG_OP_BATCH_NORM, 0);
    assert_false(fused->norm.relu);
    assert_int_equal(fused->inputs[BATCH_NORM_IN_ADDEND],
                     find_op(&program, PROG_OP_GATHER, 0)->outputs[GATHER_OUT_IMAGE]);
    assert_int_equal(count_ops(&program, PROG_OP_ACTIVATION), 1);
    assert_int_equal(
        find_op(&program, PROG_OP_BATCH_NORM_BACKWARD, 0)->outputs[BATCH_NORM_BACKWARD_OUT_DADDEND], -1);
    program_free(&program);
}

static void of_two_norms_before_an_add_one_fuses(void **state)
{
    (void)state;
    struct graph graph;
    struct program program;
    start(&graph);
    int32_t left = add_layer(&graph, LAYER_BATCH_NORM, add_layer(&graph, LAYER_CONV, 0, -1), -1);
    int32_t right = add_layer(&graph, LAYER_BATCH_NORM, add_layer(&graph, LAYER_CONV, 0, -1), -1);
    int32_t relu = add_layer(&graph, LAYER_RELU, add_layer(&graph, LAYER_ADD, left, right), -1);
    finish(&graph, relu, PROG_TRAIN, &program);
    const struct prog_op *first = find_op(&program, PROG_OP_BATCH_NORM, 0);
    const struct prog_op *second = find_op(&program, PROG_OP_BATCH_NORM, 1);
    assert_int_equal(first->inputs[BATCH_NORM_IN_ADDEND], -1);
    assert_false(first->norm.relu);
    assert_int_equal(second->inputs[BATCH_NORM_IN_ADDEND], first->outputs[BATCH_NORM_OUT_Y]);
    assert_true(second->norm.relu);
    assert_int_equal(count_ops(&program, PROG_OP_ADD), 0);
    program_free(&program);
}

static void a_norm_added_to_itself_does_not_fuse(void **state)
{
    (void)state;
    struct graph graph;
    struct program program;
    start(&graph);
    int32_t norm = add_layer(&graph, LAYER_BATCH_NORM, add_layer(&graph, LAYER_CONV, 0, -1), -1);
    finish(&graph, add_layer(&graph, LAYER_ADD, norm, norm), PROG_TRAIN, &program);
    assert_int_equal(find_op(&program, PROG_OP_BATCH_NORM, 0)->inputs[BATCH_NORM_IN_ADDEND], -1);
    assert_int_equal(count_ops(&program, PROG_OP_ADD), 2); /* forward, and the sum of dy and dy */
    program_free(&program);
}

static void dropout_is_nothing_in_inference(void **state)
{
    (void)state;
    for (int32_t purpose = PROG_TRAIN; purpose <= PROG_EVALUATE; purpose++) {
        struct graph graph;
        struct program program;
        start(&graph);
        int32_t norm = add_layer(&graph, LAYER_BATCH_NORM, add_layer(&graph, LAYER_CONV, 0, -1), -1);
        int32_t dropout = add_layer(&graph, LAYER_DROPOUT, norm, -1);
        int32_t relu = add_layer(&graph, LAYER_RELU, dropout, -1);
        finish(&graph, add_layer(&graph, LAYER_DROPOUT, relu, -1), (enum prog_purpose)purpose, &program);
        bool train = purpose == PROG_TRAIN;
        assert_int_equal(count_ops(&program, PROG_OP_DROPOUT), train ? 2 : 0);
        assert_int_equal(count_ops(&program, PROG_OP_ACTIVATION),
                         train ? 1 : 0); /* fused through the dropout */
        program_free(&program);
    }
}

/* Two residual blocks, the second with a shortcut of its own, behind a sum of two that are equally deep: of the last
 * branch all of the rate, of the first half of it, of the sum none. Adds with it are operations of their own. */
static void branches_are_dropped(void **state)
{
    (void)state;
    for (int32_t purpose = PROG_TRAIN; purpose <= PROG_EVALUATE; purpose++) {
        const bool train = purpose == PROG_TRAIN;
        struct graph graph;
        struct program program;
        struct error err;
        start(&graph);
        int32_t twins = add_layer(&graph, LAYER_ADD, add_layer(&graph, LAYER_CONV, 0, -1),
                                  add_layer(&graph, LAYER_CONV, 0, -1));
        int32_t norm = add_layer(&graph, LAYER_BATCH_NORM, add_layer(&graph, LAYER_CONV, twins, -1), -1);
        int32_t first = add_layer(&graph, LAYER_ADD, norm, twins);
        int32_t shortcut = add_layer(&graph, LAYER_CONV, first, -1);
        int32_t relu = add_layer(&graph, LAYER_RELU, add_layer(&graph, LAYER_CONV, first, -1), -1);
        int32_t second = add_layer(&graph, LAYER_ADD, shortcut, relu);
        add_layer(&graph, LAYER_DENSE, second, -1);
        const struct lower_options options = {
            .purpose = (enum prog_purpose)purpose, .batch = BATCH, .drop_path = 0.5f};
        assert_int_equal(graph_infer(&graph, &err), ST_OK);
        assert_int_equal(lower_graph(&graph, &options, &program, &err), ST_OK);
        assert_int_equal(count_ops(&program, PROG_OP_DROP_PATH), train ? 2 : 0);
        assert_int_equal(count_ops(&program, PROG_OP_DROP_PATH_BACKWARD), train ? 2 : 0);
        if (train) {
            const struct prog_op *of_first = find_op(&program, PROG_OP_DROP_PATH, 0),
                                 *of_second = find_op(&program, PROG_OP_DROP_PATH, 1);
            assert_true(of_first->dropout.rate == 0.25f && of_second->dropout.rate == 0.5f);
            assert_int_equal(of_first->layer_id, graph.layers[first].id);
            assert_int_equal(of_first->inputs[DROP_PATH_IN_X],
                             find_op(&program, PROG_OP_BATCH_NORM, 0)->outputs[BATCH_NORM_OUT_Y]);
            assert_int_equal(of_second->inputs[DROP_PATH_IN_X],
                             find_op(&program, PROG_OP_ACTIVATION, 0)->outputs[ACTIVATION_OUT_Y]);
            assert_int_equal(find_op(&program, PROG_OP_ADD, 2)->inputs[ADD_IN_B],
                             of_second->outputs[DROP_PATH_OUT_Y]);
        } else {
            assert_int_equal(count_ops(&program, PROG_OP_ADD), 2); /* the first is the batch norm's */
        }
        program_free(&program);
        graph_free(&graph);
    }
}

/* ---- what a program holds ---- */

static void the_image_gets_no_gradient(void **state)
{
    (void)state;
    struct graph graph;
    struct program program;
    start(&graph);
    int32_t pool = add_layer(&graph, LAYER_MAX_POOL, 0, -1);
    int32_t conv = add_layer(&graph, LAYER_CONV, pool, -1);
    finish(&graph, add_layer(&graph, LAYER_CONV, conv, -1), PROG_TRAIN, &program);
    assert_int_equal(count_ops(&program, PROG_OP_CONV_BACKWARD_WEIGHTS), 2);
    assert_int_equal(count_ops(&program, PROG_OP_CONV_BACKWARD_DATA), 1);
    assert_int_equal(count_ops(&program, PROG_OP_MAX_POOL_BACKWARD), 0);
    assert_int_equal(find_op(&program, PROG_OP_MAX_POOL, 0)->outputs[MAX_POOL_OUT_INDEX],
                     -1); /* nobody reads the winners */
    program_free(&program);
}

/* The image, frozen conv, GELU, frozen conv: nothing before the classifier has a backward pass. */
static void what_is_frozen_first_has_no_backward(void **state)
{
    (void)state;
    struct graph graph;
    struct program program;
    start(&graph);
    int32_t first = add_layer(&graph, LAYER_CONV, 0, -1);
    int32_t second = add_layer(&graph, LAYER_CONV, add_layer(&graph, LAYER_GELU, first, -1), -1);
    graph.layers[first].frozen = graph.layers[second].frozen = true;
    finish(&graph, second, PROG_TRAIN, &program);
    assert_int_equal(count_ops(&program, PROG_OP_CONV), 2);
    assert_int_equal(count_ops(&program, PROG_OP_CONV_BACKWARD_WEIGHTS), 0);
    assert_int_equal(count_ops(&program, PROG_OP_CONV_BACKWARD_DATA), 0);
    assert_int_equal(count_ops(&program, PROG_OP_ACTIVATION_BACKWARD), 0);
    assert_int_equal(count_ops(&program, PROG_OP_DENSE_BACKWARD_DATA), 0);
    assert_int_equal(count_ops(&program, PROG_OP_DENSE_BACKWARD_WEIGHTS), 1);
    program_free(&program);
}

/* Behind trained layers the gradient passes through a frozen kernel. */
static void what_is_frozen_later_hands_gradients_on(void **state)
{
    (void)state;
    struct graph graph;
    struct program program;
    start(&graph);
    int32_t trained = add_layer(&graph, LAYER_CONV, 0, -1);
    int32_t frozen = add_layer(&graph, LAYER_CONV, trained, -1);
    int32_t norm = add_layer(&graph, LAYER_BATCH_NORM, frozen, -1);
    graph.layers[frozen].frozen = graph.layers[norm].frozen = true;
    finish(&graph, norm, PROG_TRAIN, &program);
    assert_int_equal(count_ops(&program, PROG_OP_CONV_BACKWARD_WEIGHTS), 1);
    assert_int_equal(count_ops(&program, PROG_OP_CONV_BACKWARD_DATA), 1);
    assert_int_equal(count_ops(&program, PROG_OP_BATCH_NORM_BACKWARD), 1);
    const struct prog_op *data = find_op(&program, PROG_OP_CONV_BACKWARD_DATA, 0);
    const struct prog_tensor *kernel = &program.tensors[data->inputs[CONV_BACKWARD_DATA_IN_KERNEL]];
    assert_int_equal(program.weights.tensors[kernel->weight].layer, frozen);
    assert_false(program.weights.tensors[kernel->weight].trained);
    /* A frozen conv has no gradient at all, a batch norm that of its shift and an unused one of its scale. */
    int32_t of_frozen = 0, of_norm = 0;
    for (int32_t t = 0; t < program.tensor_count; t++)
        if (program.tensors[t].kind == TENSOR_GRADIENT && program.tensors[t].first >= 0) {
            of_frozen += program.weights.tensors[program.tensors[t].weight].layer == frozen;
            of_norm += program.weights.tensors[program.tensors[t].weight].layer == norm;
        }
    assert_int_equal(of_frozen, 0);
    assert_int_equal(of_norm, 2);
    program_free(&program);
}

static void evaluation_has_no_training(void **state)
{
    (void)state;
    struct graph graph;
    struct program program;
    start(&graph);
    finish(&graph, add_layer(&graph, LAYER_CONV, 0, -1), PROG_EVALUATE, &program);
    const enum prog_op_kind expected[] = {PROG_OP_GATHER, PROG_OP_CONV, PROG_OP_DENSE, PROG_OP_LOSS};
    assert_int_equal(program.op_count, 4);
    for (int32_t i = 0; i < program.op_count; i++)
        assert_int_equal(program.ops[i].kind, expected[i]);
    assert_false(program.ops[0].gather.augment);
    assert_true(program.ops[3].loss.smoothing == 0);
    assert_int_equal(program.ops[3].outputs[LOSS_OUT_PROBABILITIES], program.probabilities);
    assert_int_equal(program.ops[3].outputs[LOSS_OUT_DLOGITS], -1);
    assert_int_equal(program.tensors[program.logits].shape.c, 3);
    assert_int_equal(program.tensors[program.logits].shape.n, BATCH);
    program_free(&program);
}

static void options_are_checked(void **state)
{
    (void)state;
    struct error err;
    struct graph graph;
    struct program program;
    struct lower_options options = {.purpose = PROG_TRAIN, .batch_norm_momentum = 0.1f};
    start(&graph);
    add_layer(&graph, LAYER_DENSE, add_layer(&graph, LAYER_DROPOUT, 0, -1), -1);
    assert_int_equal(lower_graph(&graph, &options, &program, &err), ST_RANGE);
    assert_non_null(strstr(err.message, "batch is 0"));
    options.batch = 1 << 20; /* 72 values an image: more than the dropout's counter can number */
    assert_int_equal(lower_graph(&graph, &options, &program, &err), ST_UNSUPPORTED);
    assert_non_null(strstr(err.message, "dropout layer 1"));
    graph_free(&graph);
}

/* Each way to break a program is found by prog_finish. */
static void broken_programs_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *why, *message;
    } cases[] = {
        {"a convolution before the image is there", "not written before"},
        {"a tensor written twice", "written a second time"},
        {"a weight as output", "output Y is of kind weight, expected activation"},
        {"an id beyond the last tensor", "no such tensor"},
        {"an input behind the last", "behind the last input"},
        {"too few inputs", "2 inputs, expected 3"},
        {"an input that must be there", "input KERNEL is absent"},
        {"an output that must be there", "output Y is absent"},
        {"a gradient that nobody writes", "written 0 times"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct error err = {ST_OK, ""};
        struct graph graph;
        struct program program;
        start(&graph);
        finish(&graph, add_layer(&graph, LAYER_CONV, 0, -1), PROG_TRAIN, &program);
        struct prog_op *ops = program.ops, gather = ops[0]; /* gather, conv, dense, loss ... */
        switch (i) {
        case 0:
            ops[0] = ops[1];
            ops[1] = gather;
            break;
        case 1:
            ops[2].outputs[DENSE_OUT_Y] = ops[1].outputs[CONV_OUT_Y];
            break;
        case 2:
            ops[1].outputs[CONV_OUT_Y] = ops[1].inputs[CONV_IN_KERNEL];
            break;
        case 3:
            ops[1].inputs[CONV_IN_X] = program.tensor_count;
            break;
        case 4:
            ops[2].input_count--; /* the bias is there */
            break;
        case 5:
            ops[1].input_count--; /* the bias is absent, but its offset is not */
            break;
        case 6:
            ops[1].inputs[CONV_IN_KERNEL] = -1;
            break;
        case 7:
            ops[1].outputs[CONV_OUT_Y] = -1;
            break;
        default:
            for (int32_t op = 0; op < program.op_count; op++)
                if (ops[op].kind == PROG_OP_DENSE_BACKWARD_WEIGHTS)
                    ops[op].outputs[DENSE_BACKWARD_WEIGHTS_OUT_DBIAS] = -1;
            break;
        }
        assert_int_equal(prog_finish(&program, &err), ST_RANGE);
        if (!strstr(err.message, cases[i].message))
            fail_msg("%s: \"%s\", expected \"%s\"", cases[i].why, err.message, cases[i].message);
        program_free(&program);
    }
}

/* What is printed of a network with one of each, lowered with those options. */
static void check_printed(const struct lower_options *options, const char *const *there,
                          const char *const *missing)
{
    struct graph graph;
    struct program program;
    struct error err;
    char text[16384] = "";
    start(&graph);
    int32_t at = add_layer(&graph, LAYER_RELU,
                           add_layer(&graph, LAYER_BATCH_NORM, add_layer(&graph, LAYER_CONV, 0, -1), -1), -1);
    at = add_layer(&graph, LAYER_GELU, add_layer(&graph, LAYER_BATCH_NORM, at, -1), -1);
    at = add_layer(&graph, LAYER_DROPOUT, add_layer(&graph, LAYER_MAX_POOL, at, -1), -1);
    add_layer(&graph, LAYER_DENSE, at, -1);
    assert_int_equal(graph_infer(&graph, &err), ST_OK);
    assert_int_equal(lower_graph(&graph, options, &program, &err), ST_OK);
    FILE *out = fmemopen(text, sizeof(text), "w");
    assert_non_null(out);
    prog_print(&program, out);
    fclose(out);
    for (; *there != NULL; there++)
        if (strstr(text, *there) == NULL)
            fail_msg("no \"%s\" in\n%s", *there, text);
    for (; *missing != NULL; missing++)
        if (strstr(text, *missing) != NULL)
            fail_msg("\"%s\" in\n%s", *missing, text);
    program_free(&program);
    graph_free(&graph);
}

static void programs_print_themselves(void **state)
{
    static const char *const plain[] = {"train, batch 4",
                                        "convolution backward weights",
                                        "3x3 stride 1 pad 1,1 groups 1",
                                        "  with relu\n",
                                        "  gelu",
                                        "  rate 0.5",
                                        "  smoothing 0.1\n",
                                        NULL};
    static const char *const all[] = {"  smoothing 0.1  focal 2  weighted by class  of sets\n",
                                      "  augmented\n", NULL};
    static const char *const evaluated[] = {"evaluate, batch 4", "  of sets\n", NULL};
    static const char *const none[] = {"focal", "weighted", "of sets", "augmented", NULL};
    static const char *const trained[] = {"backward", "rate", "focal", "weighted", "augmented", NULL};
    struct lower_options options = {
        .purpose = PROG_TRAIN, .batch = BATCH, .label_smoothing = 0.1f, .batch_norm_momentum = 0.1f};
    (void)state;
    check_printed(&options, plain, none);
    options.augment = options.weighted = options.sets = true;
    options.focal = 2.0f;
    check_printed(&options, all, all + 2);
    options.purpose = PROG_EVALUATE;
    check_printed(&options, evaluated, trained);
}

/* ---- lifetimes and arena, by brute force ---- */

static bool uses(const struct prog_op *op, int32_t tensor)
{
    for (int32_t i = 0; i < PROG_MAX_INPUTS; i++)
        if (op->inputs[i] == tensor)
            return true;
    for (int32_t i = 0; i < PROG_MAX_OUTPUTS; i++)
        if (op->outputs[i] == tensor)
            return true;
    return false;
}

static void check_lifetimes(const struct program *program)
{
    for (int32_t t = 0; t < program->tensor_count; t++) {
        const struct prog_tensor *tensor = &program->tensors[t];
        int32_t first = -1, last = -1;
        for (int32_t op = 0; op < program->op_count; op++)
            if (uses(&program->ops[op], t)) {
                first = first < 0 && tensor->kind != TENSOR_WEIGHT ? op : first;
                last = op;
            }
        assert_int_equal(tensor->first, first);
        assert_int_equal(tensor->last, last);
    }
}

/* Runs through the operations with an owner for every 64 bytes of the arena: an operation may only take bytes
 * that no tensor still needs. Also: the arena is no smaller than the largest sum of living tensors and not
 * far above it. */
static void check_arena(const struct program *program, const size_t *sizes, size_t *slack_worst)
{
    struct error err;
    size_t *offsets = calloc((size_t)program->tensor_count, sizeof(*offsets)), arena = 0;
    assert_non_null(offsets);
    assert_int_equal(prog_arena_offsets(program, sizes, offsets, &arena, &err), ST_OK);
    assert_int_equal(arena % 64, 0);
    int32_t *owner = calloc(arena / 64 + 1, sizeof(*owner)); /* the tensor + 1; 0: none yet */
    assert_non_null(owner);
    size_t peak = 0;
    for (int32_t op = 0; op < program->op_count; op++) {
        size_t living = 0;
        for (int32_t t = 0; t < program->tensor_count; t++) {
            const struct prog_tensor *tensor = &program->tensors[t];
            if (sizes[t] == 0 || tensor->first < 0 || tensor->first > op || tensor->last < op)
                continue;
            living += (sizes[t] + 63) / 64 * 64;
            assert_int_equal(offsets[t] % 64, 0);
            assert_true(offsets[t] + sizes[t] <= arena);
            for (size_t at = offsets[t] / 64; at < (offsets[t] + sizes[t] + 63) / 64; at++) {
                if (tensor->first == op) {
                    int32_t before = owner[at] - 1;
                    assert_true(before < 0 || program->tensors[before].last < op);
                    owner[at] = t + 1;
                }
                assert_int_equal(owner[at], t + 1);
            }
        }
        peak = living > peak ? living : peak;
    }
    assert_true(arena >= peak);
    if (peak > 0 && arena * 100 / peak > *slack_worst)
        *slack_worst = arena * 100 / peak;
    free(owner);
    free(offsets);
}

static void lifetimes_and_arena_never_overlap(void **state)
{
    (void)state;
    size_t slack_worst = 0; /* arena in percent of the peak */
    for (uint64_t seed = 1; seed <= GRAPHS; seed++) {
        for (int32_t purpose = PROG_TRAIN; purpose <= PROG_EVALUATE; purpose++) {
            struct error err;
            struct graph graph;
            struct program program;
            struct lower_options options = {.purpose = (enum prog_purpose)purpose,
                                            .batch = BATCH,
                                            .weight_average = true,
                                            .batch_norm_momentum = 0.1f};
            if (random_graph_make(&graph, seed, &err) != ST_OK ||
                lower_graph(&graph, &options, &program, &err) != ST_OK)
                fail_msg("graph %llu: %s", (unsigned long long)seed, err.message);
            check_lifetimes(&program);
            size_t *sizes = calloc((size_t)program.tensor_count, sizeof(*sizes));
            assert_non_null(sizes);
            for (int32_t t = 0; t < program.tensor_count; t++) {
                const struct prog_tensor *tensor = &program.tensors[t];
                struct shape s = tensor->shape;
                bool in_arena = tensor->kind <= TENSOR_INDEX;
                sizes[t] = in_arena ? (size_t)s.n * (size_t)s.c * (size_t)s.h * (size_t)s.w * 4 : 0;
            }
            check_arena(&program, sizes, &slack_worst);
            struct random_sequence random = {.seed = seed, .stream = RANDOM_TEST};
            for (int32_t t = 0; t < program.tensor_count; t++) /* sizes that no network has */
                sizes[t] = random_next_below(&random, 4) == 0 ? 0 : random_next_below(&random, 5000);
            check_arena(&program, sizes, &slack_worst);
            free(sizes);
            program_free(&program);
            graph_free(&graph);
        }
    }
    assert_in_range(slack_worst, 100, 150);
}

/* What random_graph.h promises; other tests rely on it. */
static void random_graphs_hold_every_layer_kind(void **state)
{
    (void)state;
    for (uint64_t start_seed = 1; start_seed <= 161; start_seed += 40) {
        int32_t seen[LAYER_KIND_COUNT] = {0}, grouped = 0, strided = 0, to_itself = 0;
        int32_t begun[LAYER_INIT_COUNT] = {0}, frozen_kernels = 0, frozen_scales = 0, gains = 0;
        for (uint64_t seed = start_seed; seed < start_seed + 40; seed++) {
            struct error err;
            struct graph graph;
            if (random_graph_make(&graph, seed, &err) != ST_OK)
                fail_msg("graph %llu: %s", (unsigned long long)seed, err.message);
            for (int32_t i = 0; i < graph.count; i++) {
                const struct layer *layer = &graph.layers[i];
                seen[layer->kind]++;
                grouped += layer->kind == LAYER_CONV && layer->groups > 1;
                strided += layer->stride > 1 && layer->pad_h > 0;
                begun[layer->init] += layer->kind == LAYER_CONV;
                frozen_kernels += layer->kind == LAYER_CONV && layer->frozen;
                frozen_scales += layer->kind == LAYER_BATCH_NORM && layer->frozen;
                gains += layer->kind == LAYER_DENSE && layer->gain != 1.0f;
                to_itself += layer->kind == LAYER_ADD && layer->inputs[0] == layer->inputs[1];
            }
            graph_free(&graph);
        }
        for (int32_t kind = 0; kind < LAYER_KIND_COUNT; kind++)
            assert_true(seen[kind] > 3);
        assert_true(grouped > 0 && strided > 0 && to_itself > 0);
        for (int init = 0; init < LAYER_INIT_COUNT; init++)
            assert_true(begun[init] > 3);
        assert_true(frozen_kernels > 3 && frozen_scales > 3 && gains > 3);
    }
}

/* ---- groups ---- */

/* ResNet-18's 11 million weights: several buckets, the first of them long before the backward pass ends. */
static void buckets_begin_early(void **state)
{
    struct lower_options options = {.purpose = PROG_TRAIN,
                                    .batch = BATCH,
                                    .weight_average = true,
                                    .batch_norm_momentum = 0.1f,
                                    .members = 2};
    struct graph graph = {0};
    struct program program;
    struct error err;
    int32_t buckets = 0, first = -1, loss = -1, optimizer = -1, last_backward = -1;
    (void)state;
    assert_int_equal(start_make(&graph, "resnet", 0, (struct shape){0, 3, 32, 32}, 10, &err), ST_OK);
    if (lower_graph(&graph, &options, &program, &err) != ST_OK)
        fail_msg("%s", err.message);
    for (int32_t at = 0; at < program.op_count; at++) {
        const struct prog_op *op = &program.ops[at];
        if (op->kind == PROG_OP_ALL_REDUCE) {
            first = first < 0 ? at : first;
            buckets++;
        }
        loss = op->kind == PROG_OP_LOSS ? at : loss;
        optimizer = op->kind == PROG_OP_OPTIMIZER ? at : optimizer;
        last_backward = op->kind == PROG_OP_CONV_BACKWARD_WEIGHTS ? at : last_backward;
    }
    assert_in_range(buckets, 5, 44);
    assert_true(first < loss + (last_backward - loss) / 4);
    assert_int_equal(optimizer, program.op_count - 2);
    /* A weight that no bucket holds, and one whose gradient comes too late, are found. */
    int32_t end = program.ops[first].reduce.last;
    program.ops[first].reduce.last = program.ops[first].reduce.first - 1;
    assert_int_equal(prog_finish(&program, &err), ST_RANGE);
    program.ops[first].reduce.last = end;
    assert_int_equal(prog_finish(&program, &err), ST_OK);
    program_free(&program);
    options.members = 1;
    assert_int_equal(lower_graph(&graph, &options, &program, &err), ST_OK);
    for (int32_t at = 0; at < program.op_count; at++)
        assert_true(program.ops[at].kind != PROG_OP_ALL_REDUCE);
    program_free(&program);
    graph_free(&graph);
}

/* ---- Muon ---- */

/* Of `air`: the whitening convolution reads the image and is frozen, six are hidden. */
static void hidden_kernels_get_updates(void **state)
{
    struct lower_options options = {.purpose = PROG_TRAIN,
                                    .batch = BATCH,
                                    .orthogonalise = true,
                                    .batch_norm_momentum = 0.1f,
                                    .members = 2};
    struct graph graph = {0};
    struct program program;
    struct error err;
    int32_t updates = 0, optimizer = -1, reduced = -1;
    (void)state;
    assert_int_equal(start_make(&graph, "air", 8, (struct shape){0, 3, 32, 32}, 10, &err), ST_OK);
    if (lower_graph(&graph, &options, &program, &err) != ST_OK)
        fail_msg("%s", err.message);
    for (int32_t at = 0; at < program.op_count; at++) {
        reduced = program.ops[at].kind == PROG_OP_ALL_REDUCE ? at : reduced;
        optimizer = program.ops[at].kind == PROG_OP_OPTIMIZER ? at : optimizer;
    }
    for (int32_t at = 0; at < program.op_count; at++) {
        const struct prog_op *op = &program.ops[at];
        if (op->kind != PROG_OP_ORTHOGONALISE)
            continue;
        const struct prog_tensor *gradient = &program.tensors[op->inputs[ORTHOGONALISE_IN_DKERNEL]],
                                 *update = &program.tensors[op->outputs[ORTHOGONALISE_OUT_UPDATE]];
        const struct weight_tensor *weight = &program.weights.tensors[update->weight];
        updates++;
        assert_int_equal(update->weight, gradient->weight);
        assert_int_equal(prog_update_of(&program, update->weight), op->outputs[ORTHOGONALISE_OUT_UPDATE]);
        assert_int_equal(weight->role, WEIGHT_KERNEL);
        assert_true(weight->trained && weight->hidden);
        assert_int_equal(graph.layers[weight->layer].kind, LAYER_CONV);
        assert_true(graph.layers[weight->layer].inputs[0] > 0);
        assert_true(at > reduced && at < optimizer);
        assert_int_equal(update->first, at);
        assert_int_equal(update->last, optimizer);
    }
    assert_int_equal(updates, 6);
    assert_int_equal(prog_update_of(&program, 0), -1);
    program_free(&program);
    options.orthogonalise = false;
    assert_int_equal(lower_graph(&graph, &options, &program, &err), ST_OK);
    for (int32_t at = 0; at < program.op_count; at++)
        assert_true(program.ops[at].kind != PROG_OP_ORTHOGONALISE);
    program_free(&program);
    graph_free(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs_hold_every_layer_kind),
        cmocka_unit_test(norm_and_relu_fuse),
        cmocka_unit_test(activations_stand_alone),
        cmocka_unit_test(nothing_fuses_where_another_reads_between),
        cmocka_unit_test(norm_add_and_relu_fuse),
        cmocka_unit_test(norm_and_add_fuse_without_relu),
        cmocka_unit_test(of_two_norms_before_an_add_one_fuses),
        cmocka_unit_test(a_norm_added_to_itself_does_not_fuse),
        cmocka_unit_test(dropout_is_nothing_in_inference),
        cmocka_unit_test(branches_are_dropped),
        cmocka_unit_test(the_image_gets_no_gradient),
        cmocka_unit_test(what_is_frozen_first_has_no_backward),
        cmocka_unit_test(what_is_frozen_later_hands_gradients_on),
        cmocka_unit_test(evaluation_has_no_training),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(buckets_begin_early),
        cmocka_unit_test(hidden_kernels_get_updates),
        cmocka_unit_test(broken_programs_are_refused),
        cmocka_unit_test(programs_print_themselves),
        cmocka_unit_test(lifetimes_and_arena_never_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
