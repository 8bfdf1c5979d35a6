/* Starting architectures. Each is a function that puts its layers behind the input. */
#include "host/net/start.h"

#include "host/net/builder.h"

#include <stdio.h>
#include <string.h>

/* Halving stops below this short side: what is left goes to the global pool. */
enum { SMALLEST_HALVED_SIDE = 4 };

/* Images with a larger short side are shrunk by the stem to at most this, as ImageNet's networks do. */
enum { LARGEST_STEM_SIDE = 64 };

enum { DENSENET_BLOCKS = 4, RESNET_STAGES = 4, RESNET_STAGE_BLOCKS = 2, AIR_BLOCKS = 3 };

static void simple(struct builder *b, enum layer_kind kind)
{
    builder_add(b, (struct layer){.kind = kind});
}

/* One value a channel: the largest of all pixels. */
static void max_pool_all(struct builder *b)
{
    struct shape s = b->graph->layers[b->at].shape;
    builder_add(
        b, (struct layer){
               .kind = LAYER_MAX_POOL, .kernel_h = s.h, .kernel_w = s.w, .stride = s.h > s.w ? s.h : s.w});
}

static bool can_halve(const struct builder *b)
{
    return builder_short_side(b) >= SMALLEST_HALVED_SIDE;
}

static int32_t halving_stride(const struct builder *b)
{
    return can_halve(b) ? 2 : 1;
}

static void max_pool_halving(struct builder *b)
{
    if (can_halve(b))
        builder_pool(b, LAYER_MAX_POOL, 2, 2, 0);
}

/* The first convolution; large images are halved by it and by as many pools as it takes. */
static void stem(struct builder *b, int32_t channels, int32_t kernel)
{
    builder_conv(b, channels, kernel, builder_short_side(b) > LARGEST_STEM_SIDE ? 2 : 1, false);
    while (b->status == ST_OK && builder_short_side(b) > LARGEST_STEM_SIDE)
        max_pool_halving(b);
}

/* Six convolutions, pooled before batch norm and ReLU (a quarter of the memory traffic for the same function
 * up to the sign of the scale), channels doubled where the image halves. At 32 x 32 x 3, width 32: 68 million
 * operations forward and 203 million a training step and image, 0.55 million parameters: a third of the
 * ResNet's depth at an eighth of its cost, and room for the search to grow. */
static void lean(struct builder *b, int32_t width, int32_t classes)
{
    stem(b, width, 3);
    builder_batch_norm_relu(b);
    builder_conv(b, width, 3, 1, false);
    max_pool_halving(b);
    builder_batch_norm_relu(b);

    builder_conv(b, 2 * width, 3, 1, false);
    max_pool_halving(b);
    builder_batch_norm_relu(b);

    builder_conv(b, 4 * width, 3, 1, false);
    builder_batch_norm_relu(b);
    builder_conv(b, 4 * width, 3, 1, false);
    max_pool_halving(b);
    builder_batch_norm_relu(b);

    builder_conv(b, 8 * width, 3, 1, false);
    builder_batch_norm_relu(b);
    simple(b, LAYER_GLOBAL_POOL);
    builder_dense(b, classes);
}

/* Residual, nine layers deep, after the networks that win DAWNBench's CIFAR-10 (Page 2018, "How to train your ResNet"):
 * four convolutions that double the channels and, behind the second and the last of them, two on a branch. At 32 x 32 x
 * 3, width 32: 571 million operations a training step and image, 1.6 million parameters. */
static void res9(struct builder *b, int32_t width, int32_t classes)
{
    stem(b, width, 3);
    builder_batch_norm_relu(b);
    for (int32_t stage = 1; stage <= 3; stage++) {
        builder_conv(b, width << stage, 3, 1, false);
        max_pool_halving(b);
        builder_batch_norm_relu(b);
        if (stage == 2)
            continue;
        int32_t begin = b->at;
        for (int32_t k = 0; k < 2; k++) {
            builder_conv(b, width << stage, 3, 1, false);
            builder_batch_norm_relu(b);
        }
        builder_join(b, LAYER_ADD, begin, b->at);
    }
    simple(b, LAYER_GLOBAL_POOL);
    builder_dense(b, classes);
}

/* A convolution that begins as the identity, and a batch norm without a scale. */
static void dirac(struct builder *b, int32_t channels)
{
    builder_add(b, (struct layer){.kind = LAYER_CONV,
                                  .out_channels = channels,
                                  .kernel_h = 3,
                                  .kernel_w = 3,
                                  .pad_h = 1,
                                  .pad_w = 1,
                                  .init = LAYER_INIT_DIRAC});
}

static void norm_gelu(struct builder *b)
{
    builder_add(b, (struct layer){.kind = LAYER_BATCH_NORM, .frozen = true});
    simple(b, LAYER_GELU);
}

/* Both airs: frozen whitening filters, blocks that halve the image, the largest value of each channel, logits that
 * begin small. Against Jordan's the whitening has no bias (there one that learns for three epochs), and large images
 * are whitened patch by patch and shrunk as the others' stems do. With `residual` a block has a convolution more, and
 * what came out of its first goes around the other two. */
static void whitened_blocks(struct builder *b, const int32_t widths[AIR_BLOCKS], bool residual,
                            int32_t classes)
{
    const struct shape image = b->graph->layers[0].shape;
    builder_add(b, (struct layer){.kind = LAYER_CONV,
                                  .out_channels = 2 * GRAPH_WHITENING_SIDE * GRAPH_WHITENING_SIDE * image.c,
                                  .kernel_h = GRAPH_WHITENING_SIDE,
                                  .kernel_w = GRAPH_WHITENING_SIDE,
                                  .stride = builder_short_side(b) > LARGEST_STEM_SIDE ? 2 : 1,
                                  .pad_h = image.h < GRAPH_WHITENING_SIDE ? 1 : 0,
                                  .pad_w = image.w < GRAPH_WHITENING_SIDE ? 1 : 0,
                                  .init = LAYER_INIT_WHITEN,
                                  .frozen = true});
    simple(b, LAYER_GELU);
    while (b->status == ST_OK && builder_short_side(b) > LARGEST_STEM_SIDE)
        max_pool_halving(b);
    for (int32_t block = 0; block < AIR_BLOCKS; block++) {
        dirac(b, widths[block]);
        max_pool_halving(b);
        norm_gelu(b);
        const int32_t begin = b->at;
        dirac(b, widths[block]);
        norm_gelu(b);
        if (!residual)
            continue;
        dirac(b, widths[block]);
        builder_add(b, (struct layer){.kind = LAYER_BATCH_NORM, .frozen = true});
        builder_join(b, LAYER_ADD, begin, b->at);
        simple(b, LAYER_GELU);
    }
    max_pool_all(b);
    builder_add(b, (struct layer){.kind = LAYER_DENSE, .out_channels = classes, .gain = 1.0f / 9.0f});
}

/* Jordan 2024, "94% on CIFAR-10 in 3.29 seconds" (arXiv 2404.00498), airbench94. */
static void air(struct builder *b, int32_t width, int32_t classes)
{
    whitened_blocks(b, (int32_t[AIR_BLOCKS]){width, 4 * width, 4 * width}, false, classes);
}

/* The same, airbench96: for trainings of tens of epochs. */
static void air_deep(struct builder *b, int32_t width, int32_t classes)
{
    whitened_blocks(b, (int32_t[AIR_BLOCKS]){width, 3 * width, 4 * width}, true, classes);
}

/* Auto-Keras's CnnGenerator. There a block is ReLU, batch norm, convolution, pool; here it is convolution,
 * batch norm, ReLU, pool, so that the image itself is not cut at zero. */
static void cnn(struct builder *b, int32_t width, int32_t classes)
{
    for (int32_t block = 0; block < 3; block++) {
        builder_conv(b, width, 3, 1, true);
        builder_batch_norm_relu(b);
        max_pool_halving(b);
    }
    simple(b, LAYER_GLOBAL_POOL);
    builder_add(b, (struct layer){.kind = LAYER_DROPOUT, .rate = 0.25f});
    builder_dense(b, width);
    simple(b, LAYER_RELU);
    builder_dense(b, classes);
}

/* He et al. 2015, ResNet-18 with the 3 x 3 stem for small images. Where the shape stays, the shortcut is the
 * identity (Auto-Keras puts a ReLU and a convolution there always). */
static void resnet(struct builder *b, int32_t width, int32_t classes)
{
    stem(b, width, 3);
    builder_batch_norm_relu(b);
    for (int32_t stage = 0; stage < RESNET_STAGES; stage++)
        for (int32_t block = 0; block < RESNET_STAGE_BLOCKS; block++) {
            int32_t channels = width << stage, begin = b->at;
            bool changes = stage > 0 && block == 0;
            int32_t stride = changes ? halving_stride(b) : 1;
            builder_conv(b, channels, 3, stride, false);
            builder_batch_norm_relu(b);
            builder_conv(b, channels, 3, 1, false);
            simple(b, LAYER_BATCH_NORM);
            int32_t branch = b->at, shortcut = begin;
            if (changes) {
                b->at = begin;
                builder_conv(b, channels, 1, stride, false);
                simple(b, LAYER_BATCH_NORM);
                shortcut = b->at;
            }
            builder_join(b, LAYER_ADD, branch, shortcut);
            simple(b, LAYER_RELU);
        }
    simple(b, LAYER_GLOBAL_POOL);
    builder_dense(b, classes);
}

/* Huang et al. 2017, DenseNet-121 with Auto-Keras's stem: growth is half the width, bottlenecks four times
 * the growth, transitions halve the channels. */
static void densenet(struct builder *b, int32_t width, int32_t classes)
{
    static const int32_t block_layers[DENSENET_BLOCKS] = {6, 12, 24, 16};
    int32_t growth = width / 2, channels = width;
    stem(b, width, 7);
    builder_batch_norm_relu(b);
    if (can_halve(b))
        builder_pool(b, LAYER_MAX_POOL, 3, 2, 1);
    for (int32_t block = 0; block < DENSENET_BLOCKS; block++) {
        for (int32_t l = 0; l < block_layers[block]; l++) {
            int32_t begin = b->at;
            builder_batch_norm_relu(b);
            builder_conv(b, 4 * growth, 1, 1, false);
            builder_batch_norm_relu(b);
            builder_conv(b, growth, 3, 1, false);
            builder_join(b, LAYER_CONCAT, begin, b->at);
            channels += growth;
        }
        if (block == DENSENET_BLOCKS - 1)
            break;
        builder_batch_norm_relu(b);
        channels /= 2;
        builder_conv(b, channels, 1, 1, false);
        if (can_halve(b))
            builder_pool(b, LAYER_AVERAGE_POOL, 2, 2, 0);
    }
    builder_batch_norm_relu(b);
    simple(b, LAYER_GLOBAL_POOL);
    builder_dense(b, classes);
}

static const struct start {
    const char *name;
    int32_t width; /* its own */
    void (*build)(struct builder *b, int32_t width, int32_t classes);
} starts[] = {
    {"lean", 32, lean}, {"res9", 32, res9},     {"air", 64, air},           {"air_deep", 64, air_deep},
    {"cnn", 64, cnn},   {"resnet", 64, resnet}, {"densenet", 64, densenet},
};

enum { START_COUNT = sizeof(starts) / sizeof(starts[0]) };

static enum status unknown_start(const char *name, struct error *err)
{
    char names[128] = "";
    size_t length = 0;
    for (int32_t i = 0; i < START_COUNT; i++)
        length += (size_t)snprintf(names + length, sizeof(names) - length, "%s\"%s\"", i > 0 ? ", " : "",
                                   starts[i].name);
    return error_set(err, ST_RANGE, "starting network: found \"%.64s\", expected one of %s", name, names);
}

enum status start_make(struct graph *graph, const char *name, int32_t width, struct shape image,
                       int32_t classes, struct error *err)
{
    *graph = (struct graph){0};
    const struct start *start = NULL;
    for (int32_t i = 0; i < START_COUNT; i++)
        if (strcmp(starts[i].name, name) == 0)
            start = &starts[i];
    if (start == NULL)
        return unknown_start(name, err);
    if (width == 0)
        width = start->width;
    if (width < START_WIDTH_STEP || width > START_MAX_WIDTH || width % START_WIDTH_STEP != 0)
        return error_set(err, ST_RANGE,
                         "starting network %s: width is %d, expected 0 or a multiple of 8 from 8 to %d", name,
                         width, START_MAX_WIDTH);
    enum status st = graph_new(graph, image.c, image.h, image.w, err);
    if (st == ST_OK) {
        struct builder builder = {.graph = graph, .err = err};
        start->build(&builder, width, classes);
        st = builder.status;
    }
    if (st == ST_OK)
        st = graph_infer(graph, err);
    if (st != ST_OK) {
        graph_free(graph);
        return error_prefix(err, "starting network %s", name);
    }
    return ST_OK;
}
