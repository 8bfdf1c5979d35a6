/* What the functions of an int8 file are made of. */
#include "host/csource/csource.h"

const char *csource_code_types(void)
{
    return "/* A factor, as multiplier / 2^shift. */\n"
           "struct rescale {\n"
           "    int32_t multiplier;\n"
           "    int shift;\n"
           "};\n\n"
           "/* value - zero, times factor / 2^20 */\n"
           "struct term {\n"
           "    int zero;\n"
           "    int32_t factor;\n"
           "};\n\n"
           "/* A convolution, or a dense layer as one by a kernel as large as the image. */\n"
           "struct convolution {\n"
           "    int inputs, height, width;          /* channels and size of what is read */\n"
           "    int outputs, out_height, out_width; /* and of what is written */\n"
           "    int kernel_height, kernel_width, stride, pad_height, pad_width, groups;\n"
           "    int zero, out_zero;\n"
           "    const int8_t *weights; /* [output][y][x][input] */\n"
           "    const int32_t *bias;\n"
           "    const struct rescale *rescales;\n"
           "};\n\n"
           "struct window {\n"
           "    int channels, height, width, out_height, out_width;\n"
           "    int kernel_height, kernel_width, stride, pad_height, pad_width;\n"
           "    int zero;\n"
           "};\n\n"
           "/* A channel's factor and summand. */\n"
           "struct norm {\n"
           "    int32_t factor, summand;\n"
           "    struct rescale rescale;\n"
           "};\n\n";
}

static const char CUT[] = "static int8_t cut(int64_t code)\n"
                          "{\n"
                          "    return (int8_t)(code < -128 ? -128 : code > 127 ? 127 : code);\n"
                          "}\n\n"
                          "/* value / 2^shift, rounded half away from zero */\n"
                          "static int64_t shift_right(int64_t value, int shift)\n"
                          "{\n"
                          "    const int64_t half = (int64_t)1 << (shift - 1);\n"
                          "    return value >= 0 ? (value + half) >> shift : -((half - value) >> shift);\n"
                          "}\n\n";

/* Of convolve and of score. */
static const char PRODUCTS[] =
    "/* What the kernel sees at one place, outside of the image 0. */\n"
    "static void gather(const struct convolution *c, int group, int place, const int8_t *x, int16_t *to)\n"
    "{\n"
    "    const int inputs = c->inputs / c->groups;\n"
    "    const int top = place / c->out_width * c->stride - c->pad_height;\n"
    "    const int left = place % c->out_width * c->stride - c->pad_width;\n"
    "    for (int tap = 0; tap < c->kernel_height * c->kernel_width; tap++, to += inputs) {\n"
    "        const int iy = top + tap / c->kernel_width, ix = left + tap % c->kernel_width;\n"
    "        const int inside = iy >= 0 && iy < c->height && ix >= 0 && ix < c->width;\n"
    "        const int8_t *from = inside ? x + (iy * c->width + ix) * c->inputs + group * inputs : x;\n"
    "        if (inside)\n"
    "            for (int i = 0; i < inputs; i++)\n"
    "                to[i] = (int16_t)(from[i] - c->zero);\n"
    "        else\n"
    "            memset(to, 0, (size_t)inputs * sizeof(*to));\n"
    "    }\n"
    "}\n\n"
    "/* Sums of products of four patches. */\n"
    "static void multiply(int depth, const int16_t *restrict patches, const int8_t *restrict weights, "
    "int32_t sums[4])\n"
    "{\n"
    "    const int16_t *second = patches + depth, *third = second + depth, *fourth = third + depth;\n"
    "    int32_t a = 0, b = 0, c = 0, d = 0;\n"
    "    for (int i = 0; i < depth; i++) {\n"
    "        const int16_t weight = weights[i];\n"
    "        a += patches[i] * weight;\n"
    "        b += second[i] * weight;\n"
    "        c += third[i] * weight;\n"
    "        d += fourth[i] * weight;\n"
    "    }\n"
    "    sums[0] = a;\n"
    "    sums[1] = b;\n"
    "    sums[2] = c;\n"
    "    sums[3] = d;\n"
    "}\n\n";

static const char CONVOLVE[] =
    "static void convolve(const struct convolution *c, const int8_t *x, int8_t *y)\n"
    "{\n"
    "    const int places = c->out_height * c->out_width, outputs = c->outputs / c->groups;\n"
    "    const int depth = c->inputs / c->groups * c->kernel_height * c->kernel_width;\n"
    "    for (int place = 0; place < places; place += 4, y += 4 * c->outputs)\n"
    "        for (int k = 0; k < c->outputs; k++) {\n"
    "            const int count = places - place < 4 ? places - place : 4;\n"
    "            int32_t sums[4];\n"
    "            for (int p = 0; k % outputs == 0 && p < count; p++)\n"
    "                gather(c, k / outputs, place + p, x, patches + p * depth);\n"
    "            multiply(depth, patches, c->weights + k * depth, sums);\n"
    "            for (int p = 0; p < count; p++) {\n"
    "                const int64_t product = (int64_t)(sums[p] + c->bias[k]) * c->rescales[k].multiplier;\n"
    "                y[p * c->outputs + k] = cut(c->out_zero + shift_right(product, c->rescales[k].shift));\n"
    "            }\n"
    "        }\n"
    "}\n\n";

static const char LOGITS[] =
    "/* The last layer, of one place: its sums become numbers. */\n"
    "static void score(const struct convolution *c, const float *scales, const int8_t *x, float *logits)\n"
    "{\n"
    "    const int depth = c->inputs * c->kernel_height * c->kernel_width;\n"
    "    gather(c, 0, 0, x, patches);\n"
    "    for (int k = 0; k < c->outputs; k++) {\n"
    "        int32_t sums[4];\n"
    "        multiply(depth, patches, c->weights + k * depth, sums);\n"
    "        logits[k] = (float)(sums[0] + c->bias[k]) * scales[k];\n"
    "    }\n"
    "}\n\n";

static const char MAX_POOL[] =
    "static void max_pool(const struct window *w, const int8_t *x, int8_t *y)\n"
    "{\n"
    "    for (int place = 0; place < w->out_height * w->out_width; place++, y += w->channels) {\n"
    "        const int top = place / w->out_width * w->stride - w->pad_height;\n"
    "        const int left = place % w->out_width * w->stride - w->pad_width;\n"
    "        memset(y, -128, (size_t)w->channels);\n"
    "        for (int iy = top < 0 ? 0 : top; iy < top + w->kernel_height && iy < w->height; iy++)\n"
    "            for (int ix = left < 0 ? 0 : left; ix < left + w->kernel_width && ix < w->width; ix++) {\n"
    "                const int8_t *from = x + (iy * w->width + ix) * w->channels;\n"
    "                for (int c = 0; c < w->channels; c++)\n"
    "                    y[c] = from[c] > y[c] ? from[c] : y[c];\n"
    "            }\n"
    "    }\n"
    "}\n\n";

static const char AVERAGE_POOL[] =
    "/* What is padded does not count. */\n"
    "static void average_pool(const struct window *w, const int8_t *x, int8_t *y)\n"
    "{\n"
    "    for (int place = 0; place < w->out_height * w->out_width; place++, y += w->channels)\n"
    "        for (int c = 0; c < w->channels; c++) {\n"
    "            const int top = place / w->out_width * w->stride - w->pad_height;\n"
    "            const int left = place % w->out_width * w->stride - w->pad_width;\n"
    "            int seen = 0, sum = 0;\n"
    "            for (int iy = top < 0 ? 0 : top; iy < top + w->kernel_height && iy < w->height; iy++)\n"
    "                for (int ix = left < 0 ? 0 : left; ix < left + w->kernel_width && ix < w->width; ix++, "
    "seen++)\n"
    "                    sum += x[(iy * w->width + ix) * w->channels + c] - w->zero;\n"
    "            y[c] = cut(w->zero + (sum >= 0 ? (sum + seen / 2) / seen : -((seen / 2 - sum) / seen)));\n"
    "        }\n"
    "}\n\n";

static const char MEAN[] =
    "static void mean(int pixels, int channels, int zero, struct rescale rescale, int out_zero, const int8_t "
    "*x, int8_t *y)\n"
    "{\n"
    "    for (int c = 0; c < channels; c++) {\n"
    "        int64_t sum = 0;\n"
    "        for (int i = 0; i < pixels; i++)\n"
    "            sum += x[i * channels + c] - zero;\n"
    "        y[c] = cut(out_zero + shift_right(sum * rescale.multiplier, rescale.shift));\n"
    "    }\n"
    "}\n\n";

static const char SCALE[] =
    "static void scale(int pixels, int channels, const struct norm *norms, int zero, int out_zero, const "
    "int8_t *x,\n"
    "                  int8_t *y)\n"
    "{\n"
    "    for (int i = 0; i < pixels * channels; i++) {\n"
    "        const struct norm *norm = &norms[i % channels];\n"
    "        const int64_t sum = (int64_t)(x[i] - zero) * norm->factor + norm->summand;\n"
    "        y[i] = cut(out_zero + shift_right(sum * norm->rescale.multiplier, norm->rescale.shift));\n"
    "    }\n"
    "}\n\n";

static const char ADD[] =
    "static void add(int count, struct term first, const int8_t *a, struct term second, const int8_t *b, int "
    "out_zero,\n"
    "                int8_t *y)\n"
    "{\n"
    "    for (int i = 0; i < count; i++)\n"
    "        y[i] = cut(out_zero + shift_right((int64_t)(a[i] - first.zero) * first.factor +\n"
    "                                              (int64_t)(b[i] - second.zero) * second.factor,\n"
    "                                          20));\n"
    "}\n\n";

static const char JOIN[] =
    "/* Some of the `total` channels of y. */\n"
    "static void join(int pixels, int channels, int total, struct term term, int out_zero, const int8_t *x, "
    "int8_t *y)\n"
    "{\n"
    "    for (int i = 0; i < pixels; i++, x += channels, y += total)\n"
    "        for (int c = 0; c < channels; c++)\n"
    "            y[c] = cut(out_zero + shift_right((int64_t)(x[c] - term.zero) * term.factor, 20));\n"
    "}\n\n";

static const char GATE[] = "/* Channel c times what factors has for the code gates[c]. */\n"
                           "static void gate(int pixels, int channels, const int32_t factors[256], int zero, "
                           "const int8_t *x, const int8_t *gates,\n"
                           "                 int out_zero, int8_t *y)\n"
                           "{\n"
                           "    for (int i = 0; i < pixels * channels; i++)\n"
                           "        y[i] = cut(out_zero + shift_right((int64_t)(x[i] - zero) * "
                           "factors[gates[i % channels] + 128], 20));\n"
                           "}\n\n";

static const char LOOK_UP[] =
    "static void look_up(int count, const int8_t codes[256], const int8_t *x, int8_t *y)\n"
    "{\n"
    "    for (int i = 0; i < count; i++)\n"
    "        y[i] = codes[x[i] + 128];\n"
    "}\n\n";

const char *csource_code_piece(int piece)
{
    static const char *const texts[PIECES] = {
        [PIECE_CUT] = CUT,       [PIECE_PRODUCTS] = PRODUCTS, [PIECE_CONVOLVE] = CONVOLVE,
        [PIECE_LOGITS] = LOGITS, [PIECE_MAX_POOL] = MAX_POOL, [PIECE_AVERAGE_POOL] = AVERAGE_POOL,
        [PIECE_MEAN] = MEAN,     [PIECE_SCALE] = SCALE,       [PIECE_ADD] = ADD,
        [PIECE_JOIN] = JOIN,     [PIECE_GATE] = GATE,         [PIECE_LOOK_UP] = LOOK_UP,
    };
    return texts[piece];
}
