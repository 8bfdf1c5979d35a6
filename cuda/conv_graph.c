/* One convolution as an operation graph of cuDNN's backend interface. */
#include "cuda/conv_internal.h"

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

/* Dimensions are named N,C,H,W whatever the memory's order, which the strides tell: here the channels are
 * neighbours. An alignment of less than 16 bytes would keep all good engines away, though every tensor is
 * aligned to more. */
static cudnnBackendDescriptor_t tensor(struct building *b, int64_t id, enum cuda_type type, int64_t n,
                                       int64_t c, int64_t h, int64_t w)
{
    const int64_t dims[4] = {n, c, h, w}, strides[4] = {h * w * c, 1, w * c, c}, alignment = 16;
    cudnnBackendDescriptor_t t = make(b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    set_integers(b, t, CUDNN_ATTR_TENSOR_UNIQUE_ID, 1, &id);
    set_type(b, t, CUDNN_ATTR_TENSOR_DATA_TYPE,
             type == CUDA_BF16   ? CUDNN_DATA_BFLOAT16
             : type == CUDA_HALF ? CUDNN_DATA_HALF
                                 : CUDNN_DATA_FLOAT);
    set_integers(b, t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 1, &alignment);
    set_integers(b, t, CUDNN_ATTR_TENSOR_DIMENSIONS, 4, dims);
    set_integers(b, t, CUDNN_ATTR_TENSOR_STRIDES, 4, strides);
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

/* The names of one thing in the three operations. Groups follow from the channels of x and kernel. */
static const struct operation {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t x, kernel, y, window, alpha, beta;
} operations[CONV_KIND_COUNT] = {
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

enum status conv_graph_new(const struct conv_planner *planner, const struct conv_plan_info *info,
                           struct conv_graph *graph, struct error *err)
{
    const struct operation *names = &operations[info->kind];
    const struct conv_geometry *g = &info->geometry;
    const double one = 1, zero = 0;
    *graph = (struct conv_graph){0};
    struct building b = {.graph = graph, .status = ST_OK, .err = err};

    cudnnBackendDescriptor_t x = tensor(&b, CONV_ID_X, info->type, g->n, g->c, g->h, g->w);
    cudnnBackendDescriptor_t kernel =
        tensor(&b, CONV_ID_KERNEL, info->type, g->rows, g->depth, g->kernel_h, g->kernel_w);
    cudnnBackendDescriptor_t y =
        tensor(&b, CONV_ID_Y, info->type, g->n, g->rows, conv_out_height(g), conv_out_width(g));
    cudnnBackendDescriptor_t shape = window(&b, g);
    cudnnBackendDescriptor_t operation = make(&b, names->type);
    set_part(&b, operation, names->x, x);
    set_part(&b, operation, names->kernel, kernel);
    set_part(&b, operation, names->y, y);
    set_part(&b, operation, names->window, shape);
    set(&b, operation, names->alpha, CUDNN_TYPE_DOUBLE, 1, &one);
    set(&b, operation, names->beta, CUDNN_TYPE_DOUBLE, 1, &zero);
    finish(&b, operation, conv_kind_name(info->kind));

    graph->graph = make(&b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set_part(&b, graph->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, operation);
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
