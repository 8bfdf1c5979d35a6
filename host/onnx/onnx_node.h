/* What a node is read with, shared by onnx_node.c, onnx_formula.c and onnx_codes.c. */
#ifndef NASRUN_ONNX_ONNX_NODE_H
#define NASRUN_ONNX_ONNX_NODE_H

#include "host/onnx/onnx_reading.h"

struct node {
    struct onnx_reading *reading;
    const Onnx__NodeProto *proto;
    const struct onnx_value *inputs[GRAPH_MAX_INPUTS]; /* NULL: left out */
    int32_t input_count;
    struct error *err;
};

/* The attribute's number, `usual` where it is absent. */
int64_t node_int(const struct node *node, const char *name, int64_t usual);
float node_float(const struct node *node, const char *name, float usual);

/* Index of the layer that input k is the output of. The first that reads the image ends its normalisation.
 * ST_UNSUPPORTED when it is something else. */
enum status node_layer(const struct node *node, int32_t k, int32_t *index);

/* The node's output is that value, whose name is set here; or what a new layer yields. */
enum status node_yield(const struct node *node, struct onnx_value value);
enum status node_yield_layer(const struct node *node, struct layer layer);

/* onnx_codes.c: QuantizeLinear, DequantizeLinear. */
enum status node_read_quantise(const struct node *node);
enum status node_read_dequantise(const struct node *node);

/* onnx_formula.c: Erf, HardSigmoid, Sigmoid, which are parts of formulas; Add, Div, Mul, Sub. */
enum status node_read_function(const struct node *node);
enum status node_read_arithmetic(const struct node *node);

#endif
