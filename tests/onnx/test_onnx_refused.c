/* ONNX files that are well formed and no network of nasrun's: each kind is named, none is read as another network.
 * They are made from a few words a node, so that a case is a line. */
#include "host/base/random.h"
#include "host/onnx/onnx_read.h"
#include "onnx.pb-c.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

enum {
    NODES = 16,
    NAMES = 8,
    ATTRIBUTES = 4,
    NUMBERS = 4,
    TENSORS = 10,
    VALUES = 64,
    LENGTH = 1024,
    DAMAGES = 200
};

/* A file in the making: protobuf's structures point into it. */
struct file {
    char text[LENGTH];
    unsigned char raw[7];
    float values[VALUES];
    int64_t dims[TENSORS][NUMBERS + 1];
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    Onnx__OperatorSetIdProto opset, *opsets[1];
    Onnx__ValueInfoProto infos[3], *begins[2], *ends[2];
    Onnx__TypeProto type;
    Onnx__TypeProto__Tensor tensor_type;
    Onnx__TensorShapeProto shape;
    Onnx__TensorShapeProto__Dimension sides[4], *side_list[4];
    Onnx__TensorProto tensors[TENSORS], *tensor_list[TENSORS];
    Onnx__NodeProto nodes[NODES], *node_list[NODES];
    Onnx__AttributeProto attributes[NODES][ATTRIBUTES], *attribute_lists[NODES][ATTRIBUTES];
    int64_t numbers[NODES][ATTRIBUTES][NUMBERS];
    char *input_lists[NODES][NAMES], *output_lists[NODES][NAMES];
};

/* The constants of all files: a kernel of 3 x 3 and its like, a matrix, single numbers; all values are 1, but for
 * those of `half`, `sixth`, `root` and `none`. */
static const struct constant {
    char *name;
    int rank;
    int64_t dims[NUMBERS];
    float value;
} constants[TENSORS] = {
    {"kernel", 4, {2, 1, 3, 3}, 1.0f},
    {"bias", 1, {2}, 1.0f},
    {"matrix", 2, {2, 3}, 1.0f},
    {"one", 1, {1}, 1.0f},
    {"half", 1, {1}, 0.5f},
    {"three", 1, {3}, 1.0f},
    {"root", 1, {1}, 0.70710678f},
    {"none", 1, {1}, 1e-38f},
    {"odd", 2, {3, 2}, 1.0f},
    {"sixth", 1, {1}, 0.16666667f},
};

/* One of "name=TEXT", "name=I", "name=I,I", "name=F.F". */
static void add_attribute(struct file *file, int number, char *word)
{
    Onnx__NodeProto *node = &file->nodes[number];
    const size_t at = node->n_attribute++;
    Onnx__AttributeProto *attribute = &file->attributes[number][at];
    char *value = strchr(word, '=');
    assert_true(at < ATTRIBUTES && value != NULL);
    *value++ = '\0';
    onnx__attribute_proto__init(attribute);
    attribute->name = word;
    attribute->has_i = attribute->has_f = attribute->has_s = 1;
    attribute->i = strtoll(value, NULL, 10);
    attribute->f = strtof(value, NULL);
    attribute->s = (ProtobufCBinaryData){strlen(value), (uint8_t *)value};
    attribute->ints = file->numbers[number][at];
    for (char *rest = value; strchr(value, ',') != NULL && rest != NULL && *rest != '\0';) {
        attribute->ints[attribute->n_ints++] = strtoll(rest, &rest, 10);
        rest = *rest == ',' ? rest + 1 : NULL;
    }
    file->attribute_lists[number][at] = attribute;
    node->attribute = file->attribute_lists[number];
}

/* "Operator output input input name=value". An input "-" is one that is left out. */
static void add_node(struct file *file, char *line)
{
    const int number = (int)file->graph.n_node++;
    Onnx__NodeProto *node = &file->nodes[number];
    char *rest;
    assert_true(number < NODES);
    onnx__node_proto__init(node);
    node->op_type = strtok_r(line, " ", &rest);
    node->name = node->op_type;
    node->input = file->input_lists[number];
    node->output = file->output_lists[number];
    char *output = strtok_r(NULL, " ", &rest);
    if (output != NULL)
        node->output[node->n_output++] = output;
    for (char *word; (word = strtok_r(NULL, " ", &rest)) != NULL;) {
        assert_true(node->n_input < NAMES);
        if (strchr(word, '=') != NULL)
            add_attribute(file, number, word);
        else
            node->input[node->n_input++] = strcmp(word, "-") == 0 ? "" : word;
    }
    file->node_list[number] = node;
}

static void add_constants(struct file *file)
{
    float *values = file->values;
    for (int i = 0; i < TENSORS; i++) {
        Onnx__TensorProto *tensor = &file->tensors[i];
        onnx__tensor_proto__init(tensor);
        memcpy(file->dims[i], constants[i].dims, sizeof(constants[i].dims));
        tensor->name = constants[i].name;
        tensor->n_dims = (size_t)constants[i].rank;
        tensor->dims = file->dims[i];
        tensor->has_data_type = 1;
        tensor->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
        tensor->n_float_data = 1;
        for (int k = 0; k < constants[i].rank; k++)
            tensor->n_float_data *= (size_t)constants[i].dims[k];
        tensor->float_data = values;
        for (size_t k = 0; k < tensor->n_float_data; k++)
            *values++ = constants[i].value;
        assert_true(values <= file->values + VALUES);
        file->tensor_list[i] = tensor;
    }
    file->graph.n_initializer = TENSORS;
    file->graph.initializer = file->tensor_list;
}

/* Images "x" of 1 x 4 x 4 bytes, answers "y". */
static void add_ends(struct file *file)
{
    for (int i = 0; i < 3; i++)
        onnx__value_info_proto__init(&file->infos[i]);
    onnx__type_proto__init(&file->type);
    onnx__type_proto__tensor__init(&file->tensor_type);
    onnx__tensor_shape_proto__init(&file->shape);
    for (int i = 0; i < 4; i++) {
        onnx__tensor_shape_proto__dimension__init(&file->sides[i]);
        file->sides[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        file->sides[i].dim_value = i < 2 ? 1 : 4;
        file->side_list[i] = &file->sides[i];
    }
    file->shape.n_dim = 4;
    file->shape.dim = file->side_list;
    file->tensor_type.has_elem_type = 1;
    file->tensor_type.elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__UINT8;
    file->tensor_type.shape = &file->shape;
    file->type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    file->type.tensor_type = &file->tensor_type;
    file->infos[0].name = "x";
    file->infos[0].type = &file->type;
    file->infos[1].name = "other";
    file->infos[2].name = "y";
    file->begins[0] = &file->infos[0];
    file->begins[1] = &file->infos[1];
    file->ends[0] = &file->infos[2];
    file->ends[1] = &file->infos[1];
    file->graph.n_input = file->graph.n_output = 1;
    file->graph.input = file->begins;
    file->graph.output = file->ends;
}

/* `text`: nodes with ";" between them. */
static void make(struct file *file, const char *text)
{
    char *rest;
    memset(file, 0, sizeof(*file));
    onnx__model_proto__init(&file->model);
    onnx__graph_proto__init(&file->graph);
    onnx__operator_set_id_proto__init(&file->opset);
    file->opset.has_version = 1;
    file->opset.version = 13;
    file->opsets[0] = &file->opset;
    file->model.opset_import = file->opsets;
    file->model.n_opset_import = 1;
    file->model.graph = &file->graph;
    file->graph.node = file->node_list;
    add_constants(file);
    add_ends(file);
    assert_true(strlen(text) < LENGTH);
    strcpy(file->text, text);
    for (char *line = strtok_r(file->text, ";", &rest); line != NULL; line = strtok_r(NULL, ";", &rest))
        add_node(file, line);
}

/* The message, or "". */
static void read_file(const struct file *file, struct error *err)
{
    struct model model;
    unsigned char *bytes = malloc(onnx__model_proto__get_packed_size(&file->model));
    assert_non_null(bytes);
    const size_t length = onnx__model_proto__pack(&file->model, bytes);
    *err = (struct error){0};
    const enum status st = onnx_read(bytes, length, &model, NULL, err);
    assert_int_equal(st, err->status);
    model_free(&model);
    free(bytes);
}

static void check_told(const struct file *file, const char *what, const char *told)
{
    struct error err;
    read_file(file, &err);
    if (told == NULL ? err.status != ST_OK
                     : err.status == ST_OK || err.status == ST_MEMORY || strstr(err.message, told) == NULL)
        fail_msg("%s: found \"%s\", expected \"%s\"", what, err.message, told != NULL ? told : "");
}

/* ---- nodes ---- */

#define CONV         "Conv c x kernel;"
#define END_OF(name) ";GlobalAveragePool g " name ";Flatten f g;Gemm y f matrix"
#define END          END_OF("c")
#define LOGITS       "GlobalAveragePool g c;Flatten f g;Gemm z f matrix"

static const struct {
    const char *nodes, *told; /* NULL: it is read */
} cases[] = {
    {CONV END, NULL},
    {"Conv c x kernel bias pads=1,1,1,1 strides=2,2 kernel_shape=3,3 auto_pad=NOTSET" END, NULL},
    {CONV "Sigmoid s c;Mul d c s" END_OF("d"), NULL},
    {CONV "HardSigmoid s c alpha=0.16666667 beta=0.5;Mul d c s" END_OF("d"), NULL},
    {CONV "Mul h c root;Erf e h;Add n e one;Mul d c n;Mul o d half" END_OF("o"), NULL},
    {CONV "Dropout d c" END_OF("d"), NULL},
    {"Cast i x to=1;Sub j i one;Div k j half;Conv c k kernel" END, NULL},
    {"Conv c x matrix" END, "(Conv): expected a constant kernel of four dimensions and bias"},
    {"Conv c x x" END, "expected a constant kernel of four dimensions and bias"},
    {"Conv c x kernel x" END, "expected a constant kernel of four dimensions and bias"},
    {"Conv c x kernel group=0" END, "group: found 0"},
    {"Conv c x kernel auto_pad=SAME_UPPER" END, NULL},
    {"Conv c x kernel auto_pad=VALID" END, NULL},
    {"Conv c x kernel auto_pad=SOME" END, "auto_pad: found SOME, expected NOTSET, VALID or SAME_UPPER"},
    {"Conv c x kernel strides=1,2" END, "strides 1 and 2"},
    {"Conv c x kernel dilations=2,2" END, "dilations 2 and 2"},
    {"Conv c x kernel pads=0,0,1,1" END, NULL},
    {CONV "MaxPool p c kernel_shape=2,2 pads=0,0,1,1" END, "pads 0, 0, 1, 1"},
    {"Conv c x kernel pads=1,1" END, "pads has 2 numbers, expected 4"},
    {"Conv c x kernel pads=-1,0,0,0" END, "pads: found -1, expected 0 to"},
    {"Conv c x kernel kernel_shape=5,5" END, "kernel_shape 5 x 5, and a kernel of 3 x 3"},
    {"Conv c x kernel wrong=1" END, "attribute \"wrong\" is not known"},
    {"Conv c x" END, "found 1 inputs and 1 outputs, expected 2 to 3 and 1"},
    {"Conv c nothing kernel" END, "input \"nothing\" is not known"},
    {"Conv x x kernel" END, "\"x\" stands for two values"},
    {CONV "MaxPool p c kernel_shape=2,2 ceil_mode=1" END_OF("p"), NULL},
    {CONV "MaxPool p c kernel_shape=1,1 strides=2,2 ceil_mode=1" END,
     "ceil_mode: found 1 where the window does not end with the image, expected 0"},
    {CONV "AveragePool p c kernel_shape=2,2 pads=1,1,1,1 count_include_pad=1" END,
     "count_include_pad: found 1, expected 0"},
    {CONV "Relu r matrix" END, "(Relu): input 0 is not what a layer yields"},
    {CONV "Concat k c c axis=2" END, "axis: found 2, expected 1"},
    {CONV "BatchNormalization b c bias bias bias x" END, "input 4 is no constant"},
    {CONV "BatchNormalization b c bias bias bias one" END_OF("b"), "layer 2: found 1 values of its"},
    {CONV "BatchNormalization b c bias bias bias bias training_mode=1" END_OF("b"),
     "training_mode: found 1, expected 0"},
    {CONV "Cast d c to=10" END_OF("d"), NULL},
    {"Cast d x to=7;Conv c d kernel" END, "to: found 7, expected float32 (1)"},
    {CONV "GlobalAveragePool g c;Flatten f g axis=2", "axis: found 2, expected 1"},
    {CONV "GlobalAveragePool g c;Flatten f g;Gemm y f c", "expected a flattened layer, a constant matrix"},
    {CONV "GlobalAveragePool g c;Flatten f g;Gemm y f kernel", "expected a flattened layer, a constant"},
    {CONV "GlobalAveragePool g c;Flatten f g;Gemm y f matrix alpha=0.5", "expected alpha and beta of 1"},
    {CONV "GlobalAveragePool g c;Flatten f g;Gemm y f matrix transA=1", "transA: found 1, expected 0"},
    {CONV END ";Softmax z y axis=0", "axis: found 0, expected 1"},
    {CONV LOGITS ";Sigmoid y z", NULL},
    {CONV LOGITS ";Mul s z half;Sigmoid y s", NULL},
    {CONV LOGITS ";Sigmoid s z;Mul y s half", "output \"y\" is not what the last layer"},
    {CONV LOGITS ";Mul s z none;Sigmoid y s", "the last layer is divided by"},
    {CONV LOGITS ";Sigmoid s z;Sigmoid y s", "(Sigmoid): input 0 is not what a layer yields"},
    {CONV END ";Sigmoid s c;Identity y2 s", NULL},
    {CONV "GlobalAveragePool g c;Flatten f g;Gemm z f matrix", "output \"y\" is not what the last layer"},
    {CONV END ";Relu r c", "output \"y\" is not what the last layer"},
    /* formulas that are nearly those of activations */
    {CONV "Sigmoid s matrix" END, "(Sigmoid): input 0 is not what a layer yields"},
    {CONV "Mul h c half;Sigmoid s h;Mul d c s" END_OF("d"), "by a Sigmoid of a layer times 0.5, expected 1"},
    {CONV "Erf e c" END, "its input is a layer times 1, expected 0.707107"},
    {CONV "HardSigmoid s c" END, "expected alpha of 1 / 6 and beta of 1 / 2"},
    {CONV "HardSigmoid s c alpha=0.16666667 beta=0.4" END, "expected alpha of 1 / 6 and beta of 1 / 2"},
    {CONV "Sigmoid s c;Mul d s s" END, "(Mul): input 0 is not what a layer yields"},
    {CONV "Mul d c c" END, "(Mul): of two layers"},
    {CONV "Add d c one" END, "(Add): of a layer and a constant"},
    {CONV "Add d c three" END, "(Add): of a constant: expected a number for each channel"},
    {CONV "Clip d c" END, "(Clip): from -3.40282e+38 to 3.40282e+38: expected from 0 on"},
    {CONV "Clip d c one" END, "from 1 to 3.40282e+38: expected from 0 on, or from 0 to 6"},
    {CONV "Clip d c c" END, "input 1 is no constant number"},
    {CONV "Clip d c min=0.0 max=6.0" END_OF("d"), NULL},
    {CONV "Clip d c min=0.0" END_OF("d"), NULL},
    {CONV "Gelu d c approximate=tanh" END, "(Gelu): approximate: expected none"},
    {CONV "Gelu d c approximate=none" END_OF("d"), NULL},
    {CONV "LeakyRelu d c" END, "node \"LeakyRelu\" (LeakyRelu): the operator is not known"},
    /* shapes */
    {CONV "GlobalAveragePool g c;Shape s g;Constant i value_int=0;Gather n s i;Unsqueeze u n "
          "axes=0,;Constant o value_ints=-1,;"
          "Concat t u o axis=0;Reshape f g t;Gemm y f matrix",
     NULL},
    {CONV "ReduceMean g c axes=2,3 keepdims=0;Gemm y g matrix", NULL},
    {CONV "ReduceMean g c axes=1,2;Gemm y g matrix", "expected the mean over height and width, axes 2 and 3"},
    {CONV "ReduceMean g c;Gemm y g matrix", "expected the mean over height and width, axes 2 and 3"},
    {CONV "GlobalMaxPool g c;Squeeze f g axes=2,3;Gemm y f matrix", NULL},
    {CONV "GlobalMaxPool g c;Squeeze f g axes=0,2;Gemm y f matrix",
     "axis 0: expected height and width, 2 and 3"},
    {CONV "Squeeze f c axes=2,3;Gemm y f matrix", "expected what a layer yields, one pixel an image"},
    {CONV "Constant o value_ints=3,-1;Reshape f c o;Gemm y f matrix", "(Reshape): expected the shape [N, 8]"},
    {CONV "Reshape f c one;Gemm y f matrix", "(Reshape): input 1 is no constant of whole numbers"},
    {CONV "Shape s c;Constant o value_int=7;Gather n s o" END, "(Gather): index 7 of 4 numbers"},
    {"Constant o wrong=1" END, "(Constant): attribute \"wrong\" is not known"},
    {"Constant o" END, "(Constant): expected one value: a tensor, or numbers"},
    {CONV "Sub d c c" END, "(Sub): of these two"},
    {CONV "Div d one c" END, "(Div): of these two"},
    {CONV "Mul d c three" END, "(Mul): of these two"},
    {CONV "Add d c -" END, "(Add): an operand is missing"},
    {CONV "Sigmoid s c;Add d c s" END, "(Add): input 1 is not what a layer yields"},
    /* what is done to the images */
    {"Sub j x three;Conv c j kernel" END, "found a constant of 3 values, expected 1 or one a channel"},
    {"Mul j x none;Conv c j kernel" END, "images are multiplied by 1e-38"},
    {CONV "Sub j x one;Conv d j kernel" END, "normalises images that the network has read before"},
    {"Sub j x one;Conv c x kernel" END, "input 0 is not what a layer yields"},
};

static void test_nodes(void **state)
{
    static struct file file;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        make(&file, cases[i].nodes);
        check_told(&file, cases[i].nodes, cases[i].told);
    }
}

/* Bytes of all these files, spoilt one, two or three at a time: whatever they say then, it is told as a file's fault or
 * read as a network. Weights are few, so that most of what is hit is structure. */
static void test_damage(void **state)
{
    static struct file file;
    size_t refused = 0;
    (void)state;
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        make(&file, cases[i].nodes);
        const size_t length = onnx__model_proto__get_packed_size(&file.model);
        unsigned char *whole = malloc(length), *bytes = malloc(length);
        assert_true(whole != NULL && bytes != NULL);
        onnx__model_proto__pack(&file.model, whole);
        for (uint32_t n = 0; n < DAMAGES; n++) {
            struct model model;
            struct error err = {0};
            memcpy(bytes, whole, length);
            for (uint32_t k = 0; k <= n % 3; k++) {
                const struct random4 draw = random_draw(3, RANDOM_TEST, n, 4 * i + k);
                bytes[draw.v[0] % length] = (unsigned char)(draw.v[2] % 2 ? draw.v[1] : draw.v[1] % 16);
            }
            const enum status st =
                onnx_read(bytes, n % 7 == 0 ? length - n % length : length, &model, NULL, &err);
            model_free(&model);
            assert_true(st == ST_OK || st == ST_FORMAT || st == ST_UNSUPPORTED || st == ST_RANGE);
            assert_true(st == ST_OK || err.message[0] != '\0');
            refused += st != ST_OK;
        }
        free(whole);
        free(bytes);
    }
    assert_true(refused > 0);
}

/* ---- the file around them ---- */

static void no_graph(struct file *file)
{
    file->model.graph = NULL;
}

static void old_opset(struct file *file)
{
    file->opset.version = 6;
}

static void two_inputs(struct file *file)
{
    file->graph.n_input = 2;
}

static void no_input(struct file *file)
{
    file->graph.n_input = 0;
}

static void two_outputs(struct file *file)
{
    file->graph.n_output = 2;
}

static void flat_images(struct file *file)
{
    file->shape.n_dim = 3;
}

static void open_height(struct file *file)
{
    file->sides[2].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE__NOT_SET;
}

static void five_channels(struct file *file)
{
    file->sides[1].dim_value = 5;
}

static void images_of_doubles(struct file *file)
{
    file->tensor_type.elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
}

static void unnamed_constant(struct file *file)
{
    file->tensors[1].name = NULL;
}

static void rank_of_five(struct file *file)
{
    file->tensors[0].n_dims = 5;
}

static void no_rows(struct file *file)
{
    file->dims[2][0] = 0;
}

static void too_many_values(struct file *file)
{
    file->dims[2][0] = INT32_MAX;
}

static void constant_of_bytes(struct file *file)
{
    file->tensors[0].data_type = ONNX__TENSOR_PROTO__DATA_TYPE__UINT8;
}

static void constant_elsewhere(struct file *file)
{
    file->tensors[0].has_data_location = 1;
    file->tensors[0].data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
}

static void too_few_values(struct file *file)
{
    file->tensors[0].n_float_data--;
}

static void half_a_value(struct file *file)
{
    file->tensors[3].has_raw_data = 1;
    file->tensors[3].raw_data = (ProtobufCBinaryData){sizeof(file->raw), file->raw};
}

static void names_are_no_list(struct file *file)
{
    static Onnx__StringStringEntryProto entry, *entries[1] = {&entry};
    onnx__string_string_entry_proto__init(&entry);
    entry.key = "class_names";
    entry.value = "none";
    file->model.metadata_props = entries;
    file->model.n_metadata_props = 1;
}

static void test_files(void **state)
{
    static struct file file;
    static const struct {
        void (*change)(struct file *file);
        const char *told;
    } cases[] = {
        {no_graph, "is an ONNX model without a graph"},
        {old_opset, "opset: found 6, expected 7 or later"},
        {two_inputs, "found inputs \"x\" and \"other\", expected one"},
        {no_input, "found no input, expected one"},
        {two_outputs, "found 2 outputs, expected one"},
        {flat_images, "input \"x\": found no four dimensions, expected N, channels, height, width"},
        {open_height, "input \"x\": dimension 2 is open, not 0, expected 1 to"},
        {five_channels, "input \"x\": dimension 1 is 5, expected 1 to 4"},
        {images_of_doubles, "input \"x\": found type 11, expected uint8 (2), float32 (1) or float16 (10)"},
        {unnamed_constant, "initializer 1 has no name"},
        {rank_of_five, "tensor \"kernel\": found 5 dimensions, expected at most 4"},
        {no_rows, "tensor \"matrix\": dimension 0 is 0"},
        {too_many_values, "tensor \"matrix\": dimension 1 is 3"},
        {constant_of_bytes, "tensor \"kernel\": found type 2, expected float32 (1)"},
        {constant_elsewhere, "tensor \"kernel\": its data are in another file"},
        {too_few_values, "tensor \"kernel\": found 17 values, expected 18"},
        {half_a_value, "tensor \"one\": found 1 values, expected 1"},
        {names_are_no_list, "metadata"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        make(&file, CONV END);
        cases[i].change(&file);
        check_told(&file, cases[i].told, cases[i].told);
    }
}

/* More nodes than any network that nasrun can hold. */
static void test_too_many_nodes(void **state)
{
    static struct file file;
    (void)state;
    make(&file, CONV END);
    const size_t count = 12 * GRAPH_MAX_LAYERS + 1;
    Onnx__NodeProto **many = calloc(count, sizeof(*many));
    assert_non_null(many);
    for (size_t i = 0; i < count; i++)
        many[i] = &file.nodes[0];
    file.graph.node = many;
    file.graph.n_node = count;
    check_told(&file, "many nodes", "nodes, expected at most");
    free(many);
}

/* ---- what a file says beside its network ---- */

/* A network that leaves the normalisation to whoever calls it may say it in its metadata; one that has its own goes by
 * that, and what is no image's normalisation is passed over. */
static void test_metadata(void **state)
{
    static const struct {
        char *nodes, *mean, *deviation;
        float expected[2];
    } told[] = {
        {CONV END, "[0.5]", "[0.25]", {0.5f, 0.25f}},
        {CONV END, "[0.5, 0.5]", "[0.25, 0.25]", {0.0f, 1.0f}},
        {CONV END, "[-1]", "[0]", {0.0f, 1.0f}},
        {CONV END, "half", "[\"0.25\"]", {0.0f, 1.0f}},
        {"Sub j x half;Div k j half;Conv c k kernel" END, "[0.25]", "[0.25]", {0.5f, 0.5f}},
    };
    static struct file file;
    (void)state;
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        Onnx__StringStringEntryProto entries[4], *list[4];
        char *const words[4][2] = {
            {"mean", told[i].mean}, {"deviation", told[i].deviation}, {"name", "a\nnet"}, {"license", "MIT"}};
        struct onnx_origin origin;
        struct model model;
        struct error err;
        make(&file, told[i].nodes);
        file.tensor_type.elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
        for (int k = 0; k < 4; k++) {
            onnx__string_string_entry_proto__init(&entries[k]);
            entries[k].key = words[k][0];
            entries[k].value = words[k][1];
            list[k] = &entries[k];
        }
        file.model.metadata_props = list;
        file.model.n_metadata_props = 4;
        const size_t length = onnx__model_proto__get_packed_size(&file.model);
        unsigned char *bytes = malloc(length);
        assert_non_null(bytes);
        onnx__model_proto__pack(&file.model, bytes);
        if (onnx_read(bytes, length, &model, NULL, &err) != ST_OK)
            fail_msg("%s", err.message);
        /* As exactly as told, or as floats reckon it. */
        const double off = i + 1 < sizeof(told) / sizeof(told[0]) ? 0.0 : 1e-6;
        if (fabs((double)(model.about.mean[0] - told[i].expected[0])) > off ||
            fabs((double)(model.about.deviation[0] - told[i].expected[1])) > off)
            fail_msg("%zu: found mean %.9g, deviation %.9g", i, (double)model.about.mean[0],
                     (double)model.about.deviation[0]);
        onnx_read_origin(bytes, length, &origin);
        assert_string_equal(origin.name, "a?net");
        assert_string_equal(origin.license, "MIT");
        onnx_read_origin(bytes, length - 1, &origin); /* no ONNX file any more */
        assert_string_equal(origin.name, "");
        model_free(&model);
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nodes), cmocka_unit_test(test_damage),         cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_files), cmocka_unit_test(test_too_many_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
