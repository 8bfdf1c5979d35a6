/* Morphisms: changes of an architecture that keep its function. Each yields the child's graph and the remaps that make
 * the child's weights from its parent's (Chen, Goodfellow, Shlens, "Net2Net", 2016; Wei et al., "Network morphism",
 * 2016; Auto-Keras). Outputs in inference equal the parent's up to float rounding when noise is 0. A morph that the
 * network has no room for is refused with ST_NONE; one that names a layer which is not there or not of its kind, an
 * amount that is none, or a condition that it breaks, with ST_RANGE: who made it made a mistake. A refused morph
 * changes nothing.
 *
 * One morph at a time: a child of several morphs is made by composing (morph_apply on the previous child);
 * the weights go through one remap list a morph.
 */
#ifndef NASRUN_MORPH_MORPH_H
#define NASRUN_MORPH_MORPH_H

#include "host/base/random.h"
#include "host/net/graph.h"
#include "host/net/remap.h"

enum morph_kind {
    /* New layers behind layer a; `variant` says which. */
    MORPH_DEEPEN,
    /* Layer a (conv or dense) gets `amount` more outputs, copies of as many different ones; what reads them
     * divides its weight between a channel and its copy. What is tied to a by adds is widened alike. */
    MORPH_WIDEN,
    /* b's output becomes b + branch(a), the branch zero at first. One a pair; b depends on a. */
    MORPH_ADD_SKIP,
    /* b's output becomes a 1 x 1 convolution of concat(b, branch(a)): of b the identity, of the branch zero
     * at first. One a pair; b depends on a. */
    MORPH_CONCAT_SKIP,
    /* Convolution a gets a kernel `amount` larger (an even number), the old one centred. */
    MORPH_KERNEL,
    MORPH_KIND_COUNT
};

enum deepen_variant {
    DEEPEN_CONV,       /* an identity convolution, `amount` its kernel (1, 3 or 5) */
    DEEPEN_CONV_RELU,  /* the same with a ReLU; only where a's output can't be negative */
    DEEPEN_RESIDUAL,   /* a + batch_norm(conv(a)), the batch norm's scale 0: same function in training too */
    DEEPEN_BATCH_NORM, /* a batch norm that is the identity in inference */
    DEEPEN_RELU,       /* only where a's output can't be negative; never drawn, it does nothing alone */
    DEEPEN_DENSE,      /* an identity dense (+ ReLU where >= 0); only where a's output is 1 x 1 */
    DEEPEN_VARIANT_COUNT
};

struct morph {
    enum morph_kind kind;
    uint32_t a, b;   /* layer ids; b only for skips, a before b */
    int32_t amount;  /* see the kinds */
    int32_t variant; /* deepen: enum deepen_variant */
};

/* Applies the morph. On ST_OK child and remaps are the caller's to free. `noise` breaks symmetry: the remaps'
 * noise, relative to the weights' deviation; 0 in property tests, 1e-3 by default. Random choices (which
 * channels a widening copies) are drawn from `seed`. */
enum status morph_apply(const struct morph *morph, const struct graph *parent, float noise, uint64_t seed,
                        struct graph *child, struct remap_list *remaps, struct error *err);

/* Draws a morph that fits the graph: kind uniform over those in `allowed` (bit i: enum morph_kind i), then
 * layers and amounts. Widths grow by half or double, in multiples of 8. ST_NONE when none of many draws
 * fits. `allowed` has one of these bits or more. */
enum status morph_draw(const struct graph *graph, uint32_t allowed, struct random_sequence *random,
                       struct morph *morph, struct error *err);

/* "widen conv 4 32->48", "add skip 3->9", for people and the journal. */
void morph_describe(const struct morph *morph, const struct graph *parent, char *text, size_t size);

/* "deepen", "widen", "add_skip", "concat_skip", "kernel" */
const char *morph_kind_name(enum morph_kind kind);

#endif
