/* One convolution, and what is fused with it, as an operation graph of cuDNN's backend interface. */
#include "cuda/conv/conv_internal.h"

/* Makes descriptors. After the first failure every call does nothing, so that a graph reads as one list of
 * facts. */
struct building {
    struct conv_graph *graph;
    enum status status;
    struct error *err;
};

static cudnnBackendDescriptor_t make(struct building *b, cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t made = NULL;
    if (b->status != ST_OK)
        return NULL;
    b->status = conv_check(cudnnBackendCreateDescriptor(type, &made), "make a descriptor", b->err);
    if (b->status == ST_OK)
        b->graph->parts[b->graph->count++] = made;
    return made;
}

static void set(struct building *b, cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t count, const void *value)
{
    if (b->status == ST_OK)
        b->status = conv_check(cudnnBackendSetAttribute(descriptor, name, type, count, value),
                               "describe a convolution", b->err);
}

static void set_integers(struct building *b, cudnnBackendDescriptor_t descriptor,
                         cudnnBackendAttributeName_t name, int64_t count, const int64_t *value)
{
    set(b, descriptor, name, CUDNN_TYPE_INT64, count, value);
}

static void set_type(struct building *b, cudnnBackendDescriptor_t descriptor,
                     cudnnBackendAttributeName_t name, cudnnDataType_t type)
{
    set(b, descriptor, name, CUDNN_TYPE_DATA_TYPE, 1, &type);
}

static void set_part(struct building *b, cudnnBackendDescriptor_t descriptor,
                     cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t part)
{
    set(b, descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &part);
}

static void finish(struct building *b, cudnnBackendDescriptor_t descriptor, const char *what)
{
    if (b->status == ST_OK)
        b->status = conv_check(cudnnBackendFinalize(descriptor), what, b->err);
}

static cudnnDataType_t data_type(enum cuda_type type)
{
    return type == CUDA_BF16 ? CUDNN_DATA_BFLOAT16 : type == CUDA_HALF ? CUDNN_DATA_HALF : CUDNN_DATA_FLOAT;
}

/* Dimensions are named N,C,H,W whatever the memory's order, which the strides tell: here the channels are
 * neighbours. An alignment of less than 16 bytes would keep all good engines away, though every tensor is
 * aligned to more. */
static cudnnBackendDescriptor_t tensor(struct building *b, int64_t id, cudnnDataType_t type, int64_t n,
                                       int64_t c, int64_t h, int64_t w)
{
    const int64_t dims[4] = {n, c, h, w}, strides[4] = {h * w * c, 1, w * c, c}, alignment = 16;
    const bool is_virtual = id >= CONV_ID_BETWEEN;
    cudnnBackendDescriptor_t t = make(b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    set_integers(b, t, CUDNN_ATTR_TENSOR_UNIQUE_ID, 1, &id);
    set_type(b, t, CUDNN_ATTR_TENSOR_DATA_TYPE, type);
    set_integers(b, t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 1, &alignment);
    set_integers(b, t, CUDNN_ATTR_TENSOR_DIMENSIONS, 4, dims);
    set_integers(b, t, CUDNN_ATTR_TENSOR_STRIDES, 4, strides);
    if (is_virtual)
        set(b, t, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    finish(b, t, "describe a convolution's tensor");
    return t;
}

static cudnnBackendDescriptor_t window(struct building *b, const struct conv_geometry *g)
{
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t spatial = 2, pads[2] = {g->pad_h, g->pad_w}, strides[2] = {g->stride, g->stride},
                  dilations[2] = {1, 1};
    cudnnBackendDescriptor_t d = make(b, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    set_integers(b, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 1, &spatial);
    set_type(b, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
    set(b, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set_integers(b, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 2, pads);
    set_integers(b, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, 2, pads);
    set_integers(b, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, 2, dilations);
    set_integers(b, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 2, strides);
    finish(b, d, "describe a convolution's window");
    return d;
}

/* The names of one thing in the three directions. Groups follow from the channels of x and kernel. */
static const struct operation {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t x, kernel, y, window, alpha, beta;
} operations[CONV_BIAS] = {
    [CONV_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    [CONV_BACKWARD_DATA] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    [CONV_BACKWARD_WEIGHTS] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

/* A tensor of y's shape. What lies between two operations is float32, as sums are. */
static cudnnBackendDescriptor_t like_y(struct building *b, const struct conv_plan_info *info, int64_t id)
{
    const struct conv_geometry *g = &info->geometry;
    return tensor(b, id, id >= CONV_ID_BETWEEN ? CUDNN_DATA_FLOAT : data_type(info->type), g->n, g->rows,
                  conv_out_height(g), conv_out_width(g));
}

static cudnnBackendDescriptor_t convolution(struct building *b, const struct conv_plan_info *info,
                                            cudnnBackendDescriptor_t y)
{
    const struct operation *names =
        &operations[conv_is_fused(info->kind) ? CONV_FORWARD : (size_t)info->kind];
    const struct conv_geometry *g = &info->geometry;
    const cudnnDataType_t type = data_type(info->type);
    const float one = 1, zero = 0;
    cudnnBackendDescriptor_t x = tensor(b, CONV_ID_X, type, g->n, g->c, g->h, g->w);
    cudnnBackendDescriptor_t kernel =
        tensor(b, CONV_ID_KERNEL, type, g->rows, g->depth, g->kernel_h, g->kernel_w);
    cudnnBackendDescriptor_t shape = window(b, g);
    cudnnBackendDescriptor_t operation = make(b, names->type);
    set_part(b, operation, names->x, x);
    set_part(b, operation, names->kernel, kernel);
    set_part(b, operation, names->y, y);
    set_part(b, operation, names->window, shape);
    set(b, operation, names->alpha, CUDNN_TYPE_FLOAT, 1, &one);
    set(b, operation, names->beta, CUDNN_TYPE_FLOAT, 1, &zero);
    finish(b, operation, conv_kind_name(info->kind));
    return operation;
}

/* y = x + other, or ReLU(x) where other is NULL. */
static cudnnBackendDescriptor_t pointwise(struct building *b, cudnnPointwiseMode_t mode,
                                          cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t other,
                                          cudnnBackendDescriptor_t y)
{
    const char *what = "describe what follows a convolution";
    cudnnBackendDescriptor_t how = make(b, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    set(b, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set_type(b, how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
    finish(b, how, what);
    cudnnBackendDescriptor_t operation = make(b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_part(b, operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
    set_part(b, operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (other != NULL)
        set_part(b, operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, other);
    set_part(b, operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    finish(b, operation, what);
    return operation;
}

enum { MOST_OPERATIONS = 4 }; /* convolution, sum, bias, ReLU */

/* The operations in their order; returns how many. */
static int64_t list_operations(struct building *b, const struct conv_plan_info *info,
                               cudnnBackendDescriptor_t *list)
{
    const enum conv_kind kind = info->kind;
    cudnnBackendDescriptor_t y = like_y(b, info, CONV_ID_Y), value = y;
    int64_t count = 0, between = CONV_ID_BETWEEN;
    if (conv_is_fused(kind))
        value = like_y(b, info, between++);
    list[count++] = convolution(b, info, value);
    if (conv_adds(kind)) {
        cudnnBackendDescriptor_t sum = like_y(b, info, between++);
        list[count++] = pointwise(b, CUDNN_POINTWISE_ADD, value, like_y(b, info, CONV_ID_ADDEND), sum);
        value = sum;
    }
    if (conv_is_fused(kind)) {
        cudnnBackendDescriptor_t bias =
            tensor(b, CONV_ID_BIAS, data_type(info->type), 1, info->geometry.rows, 1, 1);
        cudnnBackendDescriptor_t sum = conv_rectifies(kind) ? like_y(b, info, between++) : y;
        list[count++] = pointwise(b, CUDNN_POINTWISE_ADD, value, bias, sum);
        value = sum;
    }
    if (conv_rectifies(kind))
        list[count++] = pointwise(b, CUDNN_POINTWISE_RELU_FWD, value, NULL, y);
    return count;
}

enum status conv_graph_new(const struct conv_planner *planner, const struct conv_plan_info *info,
                           struct conv_graph *graph, struct error *err)
{
    *graph = (struct conv_graph){0};
    struct building b = {.graph = graph, .status = ST_OK, .err = err};
    cudnnBackendDescriptor_t list[MOST_OPERATIONS];
    const int64_t count = list_operations(&b, info, list);
    graph->graph = make(&b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set(&b, graph->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, list);
    if (planner->handle != NULL)
        set(&b, graph->graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &planner->handle);
    finish(&b, graph->graph, conv_kind_name(info->kind));
    if (b.status != ST_OK)
        conv_graph_free(graph);
    return b.status;
}

void conv_discard(cudnnBackendDescriptor_t descriptor)
{
    if (descriptor != NULL)
        cudnnBackendDestroyDescriptor(descriptor);
}

void conv_graph_free(struct conv_graph *graph)
{
    while (graph->count > 0)
        conv_discard(graph->parts[--graph->count]);
    graph->graph = NULL;
}
