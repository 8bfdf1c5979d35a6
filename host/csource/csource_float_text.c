/* What the functions of a float32 file are made of. */
#include "host/csource/csource.h"

const char *csource_float_types(void)
{
    return "/* A convolution, or a dense layer as one by a kernel as large as the image. */\n"
           "struct convolution {\n"
           "    int inputs, height, width;          /* channels and size of what is read */\n"
           "    int outputs, out_height, out_width; /* and of what is written */\n"
           "    int kernel_height, kernel_width, stride, pad_height, pad_width, groups;\n"
           "    const float *weights; /* [group][y][x][input][output]; with a group for each channel "
           "[y][x][channel] */\n"
           "    const float *bias;\n"
           "};\n\n"
           "struct window {\n"
           "    int channels, height, width, out_height, out_width;\n"
           "    int kernel_height, kernel_width, stride, pad_height, pad_width;\n"
           "};\n\n";
}

static const char CONVOLVE[] =
    "/* y[k] += the sum of x[i] * weights[i][k], by four inputs at a time. */\n"
    "static void accumulate(int inputs, int outputs, const float *restrict x, const float *restrict "
    "weights,\n"
    "                       float *restrict y)\n"
    "{\n"
    "    int i = 0;\n"
    "    for (; i + 4 <= inputs; i += 4, weights += 4 * outputs) {\n"
    "        const float *second = weights + outputs, *third = second + outputs, *fourth = third + outputs;\n"
    "        for (int k = 0; k < outputs; k++)\n"
    "            y[k] += x[i] * weights[k] + x[i + 1] * second[k] + x[i + 2] * third[k] + x[i + 3] * "
    "fourth[k];\n"
    "    }\n"
    "    for (; i < inputs; i++, weights += outputs)\n"
    "        for (int k = 0; k < outputs; k++)\n"
    "            y[k] += x[i] * weights[k];\n"
    "}\n\n"
    "static void convolve(const struct convolution *c, const float *x, float *y)\n"
    "{\n"
    "    const int inputs = c->inputs / c->groups, outputs = c->outputs / c->groups;\n"
    "    const int taps = c->kernel_height * c->kernel_width;\n"
    "    for (int place = 0; place < c->out_height * c->out_width; place++, y += c->outputs) {\n"
    "        const int top = place / c->out_width * c->stride - c->pad_height;\n"
    "        const int left = place % c->out_width * c->stride - c->pad_width;\n"
    "        memcpy(y, c->bias, (size_t)c->outputs * sizeof(float));\n"
    "        for (int tap = 0; tap < taps; tap++) {\n"
    "            const int iy = top + tap / c->kernel_width, ix = left + tap % c->kernel_width;\n"
    "            if (iy < 0 || iy >= c->height || ix < 0 || ix >= c->width)\n"
    "                continue;\n"
    "            for (int g = 0; g < c->groups; g++)\n"
    "                accumulate(inputs, outputs, x + (iy * c->width + ix) * c->inputs + g * inputs,\n"
    "                           c->weights + (g * taps + tap) * inputs * outputs, y + g * outputs);\n"
    "        }\n"
    "    }\n"
    "}\n\n";

static const char CONVOLVE_CHANNELS[] =
    "/* Each channel by itself. */\n"
    "static void multiply(int count, const float *restrict x, const float *restrict weights, float *restrict "
    "y)\n"
    "{\n"
    "    for (int i = 0; i < count; i++)\n"
    "        y[i] += x[i] * weights[i];\n"
    "}\n\n"
    "static void convolve_channels(const struct convolution *c, const float *x, float *y)\n"
    "{\n"
    "    for (int place = 0; place < c->out_height * c->out_width; place++, y += c->outputs) {\n"
    "        const int top = place / c->out_width * c->stride - c->pad_height;\n"
    "        const int left = place % c->out_width * c->stride - c->pad_width;\n"
    "        memcpy(y, c->bias, (size_t)c->outputs * sizeof(float));\n"
    "        for (int tap = 0; tap < c->kernel_height * c->kernel_width; tap++) {\n"
    "            const int iy = top + tap / c->kernel_width, ix = left + tap % c->kernel_width;\n"
    "            if (iy >= 0 && iy < c->height && ix >= 0 && ix < c->width)\n"
    "                multiply(c->outputs, x + (iy * c->width + ix) * c->inputs, c->weights + tap * "
    "c->outputs, y);\n"
    "        }\n"
    "    }\n"
    "}\n\n";

/* What is done for each channel of each place that a window sees, and when all were seen. */
#define POOL(HEAD, EACH, LAST)                                                                               \
    HEAD "(const struct window *w, const float *x, float *y)\n"                                              \
         "{\n"                                                                                               \
         "    for (int place = 0; place < w->out_height * w->out_width; place++, y += w->channels) {\n"      \
         "        const int top = place / w->out_width * w->stride - w->pad_height;\n"                       \
         "        const int left = place % w->out_width * w->stride - w->pad_width;\n"                       \
         "        int seen = 0;\n"                                                                           \
         "        for (int iy = top < 0 ? 0 : top; iy < top + w->kernel_height && iy < w->height; iy++)\n"   \
         "            for (int ix = left < 0 ? 0 : left; ix < left + w->kernel_width && ix < w->width; "     \
         "ix++, "                                                                                            \
         "seen++) {\n"                                                                                       \
         "                const float *from = x + (iy * w->width + ix) * w->channels;\n"                     \
         "                for (int c = 0; c < w->channels; c++)\n"                                           \
         "                    " EACH ";\n"                                                                   \
         "            }\n" LAST "    }\n"                                                                    \
         "}\n\n"

static const char MAX_POOL[] =
    POOL("static void max_pool", "y[c] = seen == 0 || from[c] > y[c] ? from[c] : y[c]", "");

static const char AVERAGE_POOL[] = POOL("/* What is padded does not count. */\n"
                                        "static void average_pool",
                                        "y[c] = seen == 0 ? from[c] : y[c] + from[c]",
                                        "        for (int c = 0; c < w->channels; c++)\n"
                                        "            y[c] /= (float)seen;\n");

static const char MEAN[] = "static void mean(int pixels, int channels, const float *x, float *y)\n"
                           "{\n"
                           "    for (int c = 0; c < channels; c++) {\n"
                           "        y[c] = 0.0f;\n"
                           "        for (int i = 0; i < pixels; i++)\n"
                           "            y[c] += x[i * channels + c];\n"
                           "        y[c] /= (float)pixels;\n"
                           "    }\n"
                           "}\n\n";

static const char SCALE[] =
    "static void scale(int pixels, int channels, const float *factors, const float *summands, float *y)\n"
    "{\n"
    "    for (int i = 0; i < pixels; i++, y += channels)\n"
    "        for (int c = 0; c < channels; c++)\n"
    "            y[c] = y[c] * factors[c] + summands[c];\n"
    "}\n\n";

static const char ADD[] = "static void add(int count, const float *x, float *y)\n"
                          "{\n"
                          "    for (int i = 0; i < count; i++)\n"
                          "        y[i] += x[i];\n"
                          "}\n\n";

static const char JOIN[] = "/* Some of the `total` channels of y. */\n"
                           "static void join(int pixels, int channels, int total, const float *x, float *y)\n"
                           "{\n"
                           "    for (int i = 0; i < pixels; i++, x += channels, y += total)\n"
                           "        memcpy(y, x, (size_t)channels * sizeof(float));\n"
                           "}\n\n";

static const char GATE[] = "/* Channel c times twice the logistic function of gates[c]. */\n"
                           "static void gate(int pixels, int channels, const float *gates, float *y)\n"
                           "{\n"
                           "    for (int c = 0; c < channels; c++) {\n"
                           "        const float factor = 2.0f / (1.0f + expf(-gates[c]));\n"
                           "        for (int i = 0; i < pixels; i++)\n"
                           "            y[i * channels + c] *= factor;\n"
                           "    }\n"
                           "}\n\n";

static const char RELU[] = "static void relu(int count, float *y)\n"
                           "{\n"
                           "    for (int i = 0; i < count; i++)\n"
                           "        y[i] = y[i] < 0.0f ? 0.0f : y[i];\n"
                           "}\n\n";

static const char GELU[] = "/* x times the share of the standard normal distribution below x; the tail is "
                           "that of Abramowitz, Stegun 7.1.26 with\n"
                           " * a polynomial of degree 6. */\n"
                           "static void gelu(int count, float *y)\n"
                           "{\n"
                           "    for (int i = 0; i < count; i++) {\n"
                           "        const float x = y[i], t = 1.0f / (1.0f + 0.45f * fabsf(x));\n"
                           "        float p = -0.0378538731f;\n"
                           "        p = p * t + 0.217446938f;\n"
                           "        p = p * t - 0.474041408f;\n"
                           "        p = p * t + 0.393639517f;\n"
                           "        p = p * t + 0.0181362574f;\n"
                           "        p = p * t + 0.205400962f;\n"
                           "        p = p * t + 0.177271605f;\n"
                           "        const float tail = p * t * expf(-0.5f * x * x);\n"
                           "        y[i] = x * (x < 0.0f ? tail : 1.0f - tail);\n"
                           "    }\n"
                           "}\n\n";

static const char SILU[] = "static void silu(int count, float *y)\n"
                           "{\n"
                           "    for (int i = 0; i < count; i++)\n"
                           "        y[i] /= 1.0f + expf(-y[i]);\n"
                           "}\n\n";

static const char HARD_SWISH[] =
    "static void hard_swish(int count, float *y)\n"
    "{\n"
    "    for (int i = 0; i < count; i++)\n"
    "        y[i] *= y[i] < -3.0f ? 0.0f : y[i] > 3.0f ? 1.0f : y[i] / 6.0f + 0.5f;\n"
    "}\n\n";

static const char RELU6[] = "static void relu6(int count, float *y)\n"
                            "{\n"
                            "    for (int i = 0; i < count; i++)\n"
                            "        y[i] = y[i] < 0.0f ? 0.0f : y[i] > 6.0f ? 6.0f : y[i];\n"
                            "}\n\n";

static const char *activation_text(enum activation_kind activation)
{
    switch (activation) {
    case ACTIVATION_RELU:
        return RELU;
    case ACTIVATION_GELU:
        return GELU;
    case ACTIVATION_SILU:
        return SILU;
    case ACTIVATION_HARD_SWISH:
        return HARD_SWISH;
    case ACTIVATION_RELU6:
        return RELU6;
    case ACTIVATION_COUNT:
        break;
    }
    return "";
}

const char *csource_float_piece(int piece)
{
    static const char *const texts[PIECE_ACTIVATION] = {
        [PIECE_CONVOLVE] = CONVOLVE, [PIECE_CONVOLVE_CHANNELS] = CONVOLVE_CHANNELS,
        [PIECE_MAX_POOL] = MAX_POOL, [PIECE_AVERAGE_POOL] = AVERAGE_POOL,
        [PIECE_MEAN] = MEAN,         [PIECE_SCALE] = SCALE,
        [PIECE_ADD] = ADD,           [PIECE_JOIN] = JOIN,
        [PIECE_GATE] = GATE,
    };
    return piece < PIECE_ACTIVATION ? texts[piece]
                                    : activation_text((enum activation_kind)(piece - PIECE_ACTIVATION));
}
