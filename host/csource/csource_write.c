#include "host/csource/csource_write.h"

#include "host/base/file.h"
#include "host/base/version.h"
#include "host/csource/csource.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void csource_name(const char *path, char name[CSOURCE_NAME])
{
    size_t length, n = 0;
    const char *from = file_stem(path, &length);
    if (length == 0 || isdigit((unsigned char)from[0])) /* a name begins with a letter */
        n = (size_t)snprintf(name, CSOURCE_NAME, "n");
    for (size_t i = 0; i < length && n + 1 < CSOURCE_NAME; i++)
        name[n++] = (char)(isalnum((unsigned char)from[i]) && (unsigned char)from[i] < 128 ? from[i] : '_');
    name[n] = '\0';
}

/* In quotes, all but plain characters as octal numbers; '?' too, for trigraphs. */
static void write_text(struct csource *source, const char *text)
{
    fputc('"', source->out);
    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c < ' ' || c > '~' || c == '"' || c == '\\' || c == '?')
            fprintf(source->out, "\\%03o", (unsigned)c);
        else
            fputc(c, source->out);
    }
    fputc('"', source->out);
}

static bool is_coded(const struct csource *source)
{
    return source->evaluation->quantisation != NULL;
}

/* Images have any number of classes. */
static bool has_labels(const struct csource *source)
{
    return source->evaluation->folded->about.label_thresholds != NULL;
}

/* ---- the head ---- */

static void write_head(struct csource *source)
{
    const struct model *folded = source->evaluation->folded;
    const struct shape image = folded->graph.layers[0].shape;
    const char *name = source->name;
    fprintf(source->out,
            "/* An image classifier, made by nasrun %s; arithmetic is %s.\n"
            " *\n"
            " *     int %s_classify(const unsigned char *image, float *probabilities);\n"
            " *\n"
            " * image: %d x %d pixels of %d bytes (height, width, channels), rows from the top, the channels "
            "of a pixel\n"
            " * side by side. Images of other sizes are to be made to fit before, by \"%s\".\n"
            " * probabilities: one of each of %d classes, which have names; normalisation and %s are "
            "inside.\n",
            NASRUN_VERSION, is_coded(source) ? "int8" : "float32", name, image.h, image.w, image.c,
            strpbrk(folded->about.fit, "*/\\?\n") == NULL ? folded->about.fit : "", folded->about.classes,
            has_labels(source) ? "sigmoid" : "softmax");
    if (has_labels(source))
        fprintf(source->out,
                " * An image has any number of classes: those whose probability is at least that of "
                "%s_thresholds.\n"
                " * Returns how many they are.\n",
                name);
    else
        fputs(" * Returns the class of the largest.\n", source->out);
    fprintf(source->out,
            " *\n"
            " * C99; needs expf of libm (-lm). Nothing is allocated: values lie in %zu bytes of static "
            "memory, so that two\n"
            " * calls must not run at once. */\n",
            source->evaluation->plan->arena * (is_coded(source) ? sizeof(int8_t) : sizeof(float)));
    fprintf(source->out, "#include <math.h>\n#include <stdint.h>\n#include <string.h>\n\n");
    fprintf(source->out, "enum { %s_classes = %d, %s_height = %d, %s_width = %d, %s_channels = %d };\n", name,
            folded->about.classes, name, image.h, name, image.w, name, image.c);
    fprintf(source->out,
            "extern const char *const %s_class_names[%s_classes];\n"
            "int %s_classify(const unsigned char *image, float *probabilities);\n\n",
            name, name, name);
    fprintf(source->out, "const char *const %s_class_names[%s_classes] = {\n", name, name);
    for (int32_t k = 0; k < folded->about.classes; k++) {
        fputs("    ", source->out);
        write_text(source, folded->about.class_names[k]);
        fputs(",\n", source->out);
    }
    fputs("};\n\n", source->out);
}

/* Those that are wanted, or else the model's own, of labels. */
static void write_thresholds(struct csource *source, const struct class_thresholds *thresholds)
{
    const char *name = source->name;
    const double *values =
        thresholds != NULL ? thresholds->values : source->evaluation->folded->about.label_thresholds;
    if (values == NULL)
        return;
    if (thresholds != NULL)
        fprintf(
            source->out,
            "/* Of answers with at least that probability %g were right, of validation images; 2: none is "
            "enough. */\n",
            thresholds->precision);
    else
        fputs("/* From that probability on an image has the class. */\n", source->out);
    fprintf(source->out,
            "extern const float %s_thresholds[%s_classes];\n"
            "const float %s_thresholds[%s_classes] = {",
            name, name, name, name);
    for (int32_t k = 0; k < source->evaluation->folded->about.classes; k++)
        csource_item_float(source, (size_t)k, isinf(values[k]) ? 2.0f : (float)values[k]);
    fputs("};\n\n", source->out);
}

/* ---- what the layers are ---- */

static void write_channels(struct csource *source, const char *name, bool factor)
{
    const struct model_about *about = &source->evaluation->folded->about;
    const int32_t channels = csource_layer(source, 0)->shape.c;
    fprintf(source->out, "static const float %s[%d] = {", name, (int)channels);
    for (int32_t c = 0; c < channels; c++) {
        fputs(c > 0 ? ", " : "", source->out);
        csource_float(source, factor ? (float)(1.0 / (255.0 * (double)about->deviation[c]))
                                     : (float)(-(double)about->mean[c] / (double)about->deviation[c]));
    }
    fputs("};\n", source->out);
}

static void write_constants(struct csource *source)
{
    const struct graph *graph = &source->evaluation->folded->graph;
    fputs(is_coded(source) ? csource_code_types() : csource_float_types(), source->out);
    if (!is_coded(source)) {
        fputs("/* Normalisation: a pixel's value times factor, plus summand. */\n", source->out);
        write_channels(source, "pixel_factors", true);
        write_channels(source, "pixel_summands", false);
    }
    for (int32_t i = 0; i < graph->count; i++)
        if (is_coded(source))
            csource_code_constants(source, i);
        else
            csource_float_constants(source, i);
    fprintf(source->out, "\nstatic %s values[%zu];\n", is_coded(source) ? "int8_t" : "float",
            source->evaluation->plan->arena);
    if (is_coded(source))
        fprintf(source->out, "static int16_t patches[4 * %zu];\n", plan_patch(graph));
    fputc('\n', source->out);
}

static void write_load(struct csource *source)
{
    const struct shape image = csource_layer(source, 0)->shape;
    if (is_coded(source))
        fprintf(
            source->out,
            "/* Codes of normalised pixels, of one channel. */\n"
            "static void load(int channel, const int8_t codes[256], const unsigned char *image, int8_t *y)\n"
            "{\n"
            "    for (int i = channel; i < %zu; i += %d)\n"
            "        y[i] = codes[image[i]];\n"
            "}\n\n",
            plan_values(csource_layer(source, 0)), image.c);
    else
        fprintf(source->out,
                "static void load(const unsigned char *image, float *y)\n"
                "{\n"
                "    for (int i = 0; i < %zu; i++)\n"
                "        y[i] = (float)image[i] * pixel_factors[i %% %d] + pixel_summands[i %% %d];\n"
                "}\n\n",
                plan_values(csource_layer(source, 0)), image.c, image.c);
}

/* "3: conv, 16 x 28 x 28", as a comment */
static void write_comment(struct csource *source, int32_t index)
{
    const struct layer *layer = csource_layer(source, index);
    const struct shape shape = layer->shape;
    fprintf(source->out, "    /* %u: %s", (unsigned)layer->id, layer_kind_name(layer->kind));
    if (layer->kind == LAYER_CONV || layer->kind == LAYER_MAX_POOL || layer->kind == LAYER_AVERAGE_POOL)
        fprintf(source->out, " of %d x %d", layer->kernel_h, layer->kernel_w);
    fprintf(source->out, ", to %d channels of %d x %d */\n", shape.c, shape.h, shape.w);
}

static void write_softmax(struct csource *source)
{
    const struct model_about *about = &source->evaluation->folded->about;
    fprintf(source->out,
            "    /* softmax, at the temperature by which answers are calibrated */\n"
            "    int best = 0;\n"
            "    float sum = 0.0f;\n"
            "    for (int k = 1; k < %d; k++)\n"
            "        best = logits[k] > logits[best] ? k : best;\n"
            "    for (int k = 0; k < %d; k++)\n"
            "        sum += probabilities[k] = expf((logits[k] - logits[best]) * ",
            about->classes, about->classes);
    csource_float(source, 1.0f / about->plain_temperature);
    fprintf(source->out,
            ");\n"
            "    for (int k = 0; k < %d; k++)\n"
            "        probabilities[k] /= sum;\n"
            "    return best;\n",
            about->classes);
}

static void write_sigmoid(struct csource *source)
{
    const struct model_about *about = &source->evaluation->folded->about;
    fprintf(source->out,
            "    /* sigmoid, at the temperature by which answers are calibrated */\n"
            "    int given = 0;\n"
            "    for (int k = 0; k < %d; k++) {\n"
            "        probabilities[k] = 1.0f / (1.0f + expf(logits[k] * -",
            about->classes);
    csource_float(source, 1.0f / about->plain_temperature);
    fprintf(source->out,
            "));\n"
            "        given += probabilities[k] >= %s_thresholds[k];\n"
            "    }\n"
            "    return given;\n",
            source->name);
}

static void write_classify(struct csource *source)
{
    const struct model *folded = source->evaluation->folded;
    const struct graph *graph = &folded->graph;
    fprintf(source->out, "int %s_classify(const unsigned char *image, float *probabilities)\n{\n",
            source->name);
    if (is_coded(source))
        fprintf(source->out, "    float logits[%d];\n", folded->about.classes);
    for (int32_t i = 0; i < graph->count; i++) {
        write_comment(source, i);
        if (is_coded(source))
            csource_code_statement(source, i);
        else
            csource_float_statement(source, i);
    }
    if (!is_coded(source))
        fprintf(source->out, "    const float *logits = values + %zu;\n",
                source->evaluation->plan->offsets[graph->count - 1]);
    if (has_labels(source))
        write_sigmoid(source);
    else
        write_softmax(source);
    fputs("}\n", source->out);
}

/* What a layer's statements call. */
static enum csource_piece piece_of(const struct csource *source, int32_t index)
{
    const struct layer *layer = csource_layer(source, index);
    const struct layer_traits *traits = layer_traits(layer->kind);
    switch (traits->family) {
    case FAMILY_CONV:
    case FAMILY_DENSE:
        if (!is_coded(source))
            return csource_is_depthwise(source, layer) ? PIECE_CONVOLVE_CHANNELS : PIECE_CONVOLVE;
        return index + 1 == source->evaluation->folded->graph.count ? PIECE_LOGITS : PIECE_CONVOLVE;
    case FAMILY_BATCH_NORM:
        return PIECE_SCALE;
    case FAMILY_MAX_POOL:
        return PIECE_MAX_POOL;
    case FAMILY_AVERAGE_POOL:
        return PIECE_AVERAGE_POOL;
    case FAMILY_GLOBAL_POOL:
        return PIECE_MEAN;
    case FAMILY_ADD:
        return PIECE_ADD;
    case FAMILY_CONCAT:
        return PIECE_JOIN;
    case FAMILY_GATE:
        return PIECE_GATE;
    case FAMILY_ACTIVATION:
        if (!is_coded(source))
            return (enum csource_piece)(PIECE_ACTIVATION + (int)traits->activation);
        return csource_coding(source, layer->inputs[0]).fused ? PIECE_NONE : PIECE_LOOK_UP;
    case FAMILY_INPUT:
    case FAMILY_DROPOUT: /* folding leaves none */
        break;
    }
    return PIECE_NONE;
}

/* Those that others are made of stand in front; a file has none that it does not call. */
static void write_pieces(struct csource *source)
{
    static const enum csource_piece cutting[] = {PIECE_CONVOLVE, PIECE_AVERAGE_POOL, PIECE_MEAN, PIECE_SCALE,
                                                 PIECE_ADD,      PIECE_JOIN,         PIECE_GATE};
    bool used[PIECES] = {false};
    for (int32_t i = 0; i < source->evaluation->folded->graph.count; i++)
        used[piece_of(source, i)] = true;
    used[PIECE_PRODUCTS] = is_coded(source) && (used[PIECE_CONVOLVE] || used[PIECE_LOGITS]);
    for (size_t i = 0; is_coded(source) && i < sizeof(cutting) / sizeof(cutting[0]); i++)
        used[PIECE_CUT] = used[PIECE_CUT] || used[cutting[i]];
    for (int piece = PIECE_NONE + 1; piece < PIECES; piece++)
        if (used[piece])
            fputs(is_coded(source) ? csource_code_piece(piece) : csource_float_piece(piece), source->out);
}

enum status csource_write(const struct evaluation *evaluation, const char *name,
                          const struct class_thresholds *thresholds, char **text, size_t *length,
                          struct error *err)
{
    struct csource source = {.evaluation = evaluation, .name = name};
    *text = NULL;
    source.out = open_memstream(text, length);
    if (source.out == NULL)
        return error_memory(err, "a C file", evaluation->folded->table.total);
    write_head(&source);
    write_thresholds(&source, thresholds);
    write_constants(&source);
    write_load(&source);
    write_pieces(&source);
    write_classify(&source);
    const bool failed = ferror(source.out) != 0;
    if (fclose(source.out) != 0 || failed) {
        free(*text);
        *text = NULL;
        return error_memory(err, "a C file", evaluation->folded->table.total);
    }
    return ST_OK;
}
