/* The kinds of layers and what each is like: layers.def as enums and a table. */
#ifndef NASRUN_NET_LAYER_H
#define NASRUN_NET_LAYER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LAYER_MAX_INPUTS = 8 };

enum layer_kind {
#define LAYER(KIND, ...) LAYER_##KIND,
#include "host/net/layers.def"
    LAYER_KIND_COUNT
};

/* The activations among them. */
enum activation_kind {
#define LAYER(KIND, ...)
#define ACTIVATION(KIND, ...) ACTIVATION_##KIND,
#include "host/net/layers.def"
    ACTIVATION_COUNT
};

/* What code has to tell apart: activations are alike, every other kind is a family of its own. To be switched over
 * without a default. */
enum layer_family {
    FAMILY_ACTIVATION,
#define LAYER(KIND, ...) FAMILY_##KIND,
#define ACTIVATION(...)
#include "host/net/layers.def"
};

/* What a layer has beside id, kind and inputs: members of struct layer, keys in JSON. */
enum layer_field {
    FIELD_OUT = 1,
    FIELD_KERNEL = 2,
    FIELD_STRIDE = 4,
    FIELD_PAD = 8,
    FIELD_GROUPS = 16,
    FIELD_BIAS = 32,
    FIELD_RATE = 64,
    FIELD_INIT = 256,
    FIELD_FROZEN = 512,
    FIELD_GAIN = 1024,
    FIELD_PACE = 2048,
    FIELD_WINDOW = FIELD_KERNEL | FIELD_STRIDE | FIELD_PAD
};

/* How a convolution's kernel begins (weight_initialise). */
enum layer_init {
    LAYER_INIT_HE,     /* normal numbers (He et al. 2015) */
    LAYER_INIT_DIRAC,  /* output k of a group is its input k, as far as there are inputs */
    LAYER_INIT_WHITEN, /* the filters that make patches of the training images white; not in groups */
    LAYER_INIT_COUNT
};

/* Which weight tensors it has, and so whether something in it is trained. */
enum layer_weights {
    LAYER_WEIGHTS_NONE,
    LAYER_WEIGHTS_KERNEL, /* kernel, and a bias where the layer has one */
    LAYER_WEIGHTS_NORM    /* scale, shift, running mean, running variance */
};

enum layer_channels {
    LAYER_CHANNELS_KEPT, /* channel c of the output is made of channel c of every input, and of no other */
    LAYER_CHANNELS_MADE
};

/* Of the output in inference, whatever weights and images are. */
enum layer_sign {
    LAYER_SIGN_ANY,
    LAYER_SIGN_NEVER_NEGATIVE,
    LAYER_SIGN_OF_INPUTS, /* never negative where no input is */
    LAYER_SIGN_OF_FIRST   /* never negative where its first input is not */
};

struct layer_traits {
    const char *name; /* "conv", "batch_norm", ... as in JSON */
    enum layer_family family;
    enum activation_kind activation; /* of FAMILY_ACTIVATION; ACTIVATION_COUNT of the others */
    int32_t least_inputs, most_inputs;
    unsigned fields; /* FIELD_* */
    enum layer_weights weights;
    enum layer_channels channels;
    enum layer_sign sign;
};

/* What the backward pass reads beside the gradient, and so what memory holds until then. A layer whose output says
 * enough costs none: what follows it holds that anyhow. */
enum activation_reads { ACTIVATION_READS_INPUT, ACTIVATION_READS_OUTPUT };

struct activation_traits {
    const char *name;
    enum activation_reads reads;
    double forward, backward; /* floating-point operations a value, as host/program/activation.h has them */
};

/* `kind` below LAYER_KIND_COUNT, `activation` below ACTIVATION_COUNT. */
const struct layer_traits *layer_traits(enum layer_kind kind);
const struct activation_traits *activation_traits(enum activation_kind activation);

const char *layer_init_name(enum layer_init init); /* "he", "dirac", "whiten" as in JSON */
const char *layer_kind_name(enum layer_kind kind); /* of any number: "unknown" beyond the kinds */

#ifdef __cplusplus
}
#endif

#endif
