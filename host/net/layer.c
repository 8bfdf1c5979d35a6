/* The table of the kinds of layers. */
#include "host/net/layer.h"

static const struct layer_traits layers[LAYER_KIND_COUNT] = {
#define LAYER(KIND, name, least, most, fields, WEIGHTS, CHANNELS, SIGN)                                      \
    [LAYER_##KIND] = {#name,                                                                                 \
                      FAMILY_##KIND,                                                                         \
                      ACTIVATION_COUNT,                                                                      \
                      least,                                                                                 \
                      most,                                                                                  \
                      fields,                                                                                \
                      LAYER_WEIGHTS_##WEIGHTS,                                                               \
                      LAYER_CHANNELS_##CHANNELS,                                                             \
                      LAYER_SIGN_##SIGN},
#define ACTIVATION(KIND, name, READS, forward, backward, SIGN)                                               \
    [LAYER_##KIND] = {#name,                                                                                 \
                      FAMILY_ACTIVATION,                                                                     \
                      ACTIVATION_##KIND,                                                                     \
                      1,                                                                                     \
                      1,                                                                                     \
                      0,                                                                                     \
                      LAYER_WEIGHTS_NONE,                                                                    \
                      LAYER_CHANNELS_KEPT,                                                                   \
                      LAYER_SIGN_##SIGN},
#include "host/net/layers.def"
};

static const struct activation_traits activations[ACTIVATION_COUNT] = {
#define LAYER(KIND, ...)
#define ACTIVATION(KIND, name, READS, forward, backward, SIGN)                                               \
    [ACTIVATION_##KIND] = {#name, ACTIVATION_READS_##READS, forward, backward},
#include "host/net/layers.def"
};

const struct layer_traits *layer_traits(enum layer_kind kind)
{
    return &layers[kind];
}

const struct activation_traits *activation_traits(enum activation_kind activation)
{
    return &activations[activation];
}

const char *layer_init_name(enum layer_init init)
{
    static const char *const names[LAYER_INIT_COUNT] = {
        [LAYER_INIT_HE] = "he", [LAYER_INIT_DIRAC] = "dirac", [LAYER_INIT_WHITEN] = "whiten"};
    return (unsigned)init < LAYER_INIT_COUNT ? names[init] : "unknown";
}

const char *layer_kind_name(enum layer_kind kind)
{
    return (unsigned)kind < LAYER_KIND_COUNT ? layers[kind].name : "unknown";
}
