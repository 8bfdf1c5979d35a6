/* What a node is read with, shared by onnx_node.c, onnx_window.c, onnx_shape.c, onnx_formula.c and onnx_codes.c. */
#ifndef NASRUN_ONNX_ONNX_NODE_H
#define NASRUN_ONNX_ONNX_NODE_H

#include "host/onnx/onnx_reading.h"

enum { NODE_MOST_INPUTS = 128 };

struct node {
    struct onnx_reading *reading;
    const Onnx__NodeProto *proto;
    const struct onnx_value *inputs[NODE_MOST_INPUTS]; /* NULL: left out */
    int32_t input_count;
    struct error *err;
};

const Onnx__AttributeProto *node_attribute(const struct node *node,
                                           const char *name); /* NULL: there is none */
/* The attribute's number, `usual` where it is absent. */
int64_t node_int(const struct node *node, const char *name, int64_t usual);
float node_float(const struct node *node, const char *name, float usual);

/* ST_UNSUPPORTED when it is not what is wanted. */
enum status node_expect_int(const struct node *node, const char *name, int64_t usual, int64_t wanted);

/* Input k when it is a constant; NULL: it is none. */
const struct onnx_tensor *node_tensor(const struct node *node, int32_t k);

/* Index of the layer that input k is the output of. The first that reads the image ends its normalisation.
 * ST_UNSUPPORTED when it is something else. Where input k is that output times a number, it becomes another layer's; by
 * the second function it stays, and that number is for who reads it. */
enum status node_layer(const struct node *node, int32_t k, int32_t *index);
enum status node_scaled_layer(const struct node *node, int32_t k, int32_t *index, float *factor);

/* The layer that was made last takes input k as its weights, or, of `ones`, none. */
enum status node_take_weights(const struct node *node, int32_t k, struct onnx_weights weights);

/* The node's output is that value, whose name is set here; or what a new layer yields. */
enum status node_yield(const struct node *node, struct onnx_value value);
enum status node_yield_layer(const struct node *node, struct layer layer);

/* onnx_window.c: Conv; AveragePool, MaxPool, GlobalMaxPool. */
enum status node_read_conv(const struct node *node);
enum status node_read_pool(const struct node *node);

/* onnx_shape.c: what says shapes, and what changes them. */
enum status node_read_constant(const struct node *node);
enum status node_read_gather(const struct node *node);
enum status node_read_joined_ints(const struct node *node); /* Concat of shapes */
enum status node_read_mean(const struct node *node);
enum status node_read_reshape(const struct node *node);
enum status node_read_shape(const struct node *node);
enum status node_read_slice(const struct node *node);
enum status node_read_squeeze(const struct node *node); /* and Unsqueeze */

/* onnx_codes.c: QuantizeLinear, DequantizeLinear. */
enum status node_read_quantise(const struct node *node);
enum status node_read_dequantise(const struct node *node);

/* onnx_formula.c: Erf, HardSigmoid, Sigmoid, which are parts of formulas; Clip, Gelu; Add, Div, Mul, Sub. */
enum status node_read_clip(const struct node *node);
enum status node_read_gelu(const struct node *node);
enum status node_read_function(const struct node *node);
enum status node_read_arithmetic(const struct node *node);

#endif
