/* Morphisms: changes of an architecture that keep its function, but for those that make it smaller. Each yields the
 * child's graph and the remaps that make the child's weights from its parent's (Chen, Goodfellow, Shlens, "Net2Net",
 * 2016; Wei et al., "Network morphism", 2016; Auto-Keras). Outputs in inference equal the parent's up to float rounding
 * when noise is 0 (morph_preserves). A morph that the network has no room for is refused with ST_NONE; one that names a
 * layer which is not there or not of its kind, an amount that is none, or a condition that it breaks, with ST_RANGE:
 * who made it made a mistake. A refused morph changes nothing.
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
    /* Layer a (conv or dense) gets `amount` more outputs. Their incoming weights are fresh, normal numbers of the other
     * outputs' deviation; what reads them does so with weight 0. What is tied to a by adds is widened alike. */
    MORPH_WIDEN,
    /* b's output becomes b + branch(a), the branch zero at first. One a pair; b depends on a. */
    MORPH_ADD_SKIP,
    /* b's output becomes a 1 x 1 convolution of concat(b, branch(a)): of b the identity, of the branch zero
     * at first. One a pair; b depends on a. */
    MORPH_CONCAT_SKIP,
    /* Convolution a gets a kernel `amount` larger (an even number), the old one centred. */
    MORPH_KERNEL,
    /* Behind layer a its output plus a branch of two convolutions of kernel `amount` (1, 3 or 5), each with a batch
     * norm, an activation between them; the branch is zero at first. */
    MORPH_RESIDUAL,
    /* Behind the residual block that ends in add a another one like it, its branch zero at first. */
    MORPH_REPEAT,
    /* Behind layer a its channels, each times a gate that follows from the means of all (squeeze and excitation, Hu et
     * al. 2018): a global pool, a dense layer of `amount` outputs with an activation, one of as many as a has, and the
     * gate, which multiplies by 1 at first. */
    MORPH_SQUEEZE,
    /* Every convolution and dense layer whose output has the height and width of layer a's, and what is tied to it,
     * gets `amount` percent more outputs, rounded up to a multiple of 8; those that can't be widened stay as they
     * are. */
    MORPH_WIDEN_STAGE,
    /* The same of the whole network. */
    MORPH_WIDEN_NET,
    /* Behind layer a its output plus a branch of a depthwise convolution of kernel `amount` (3 or 5), which is the
     * identity at first, and one of 1 x 1, each with a batch norm, an activation between them (Howard et al. 2017,
     * "MobileNets"); the branch is zero at first. */
    MORPH_SEPARABLE,
    /* What reads layer a reads b instead, which a is made of and has the shape of; what then nobody reads goes. Does
     * not keep the function. */
    MORPH_REMOVE,
    /* Layer a (conv or dense) loses `amount` outputs, those of the least `importance`, and what is tied to it by adds
     * does alike. Does not keep the function. */
    MORPH_PRUNE,
    MORPH_KIND_COUNT
};

/* The kinds that keep the function come first. */
enum { MORPH_PRESERVING_COUNT = MORPH_REMOVE };
static inline bool morph_preserves(enum morph_kind kind)
{
    return (int)kind < MORPH_PRESERVING_COUNT;
}

/* Convolutions and dense layers come with a ReLU: without one they would bring nothing that the next layer can't do. */
enum deepen_variant {
    DEEPEN_CONV_RELU, /* identity, `amount` its kernel (1, 3 or 5); only where a's output can't be negative */
    DEEPEN_BATCH_NORM, /* a batch norm that is the identity in inference */
    DEEPEN_DENSE_RELU, /* identity; only where a's output is 1 x 1 and can't be negative */
    DEEPEN_VARIANT_COUNT
};

struct morph {
    enum morph_kind kind;
    uint32_t a, b;   /* layer ids; b only for skips, a before b; MORPH_WIDEN_NET needs neither */
    int32_t amount;  /* see the kinds */
    int32_t variant; /* deepen: enum deepen_variant */
    /* The same is done in all cells of a's kind (host/net/cell.h): to the layers of a's slot, and b's, amounts of
     * channels in proportion. Not of those kinds that change more than one place, nor of such as do not keep the
     * function. What stands behind a cell's exit stays as it is, so that a cell whose last batch norm has scale 0
     * computes nothing. MORPH_REPEAT is of whole cells then and needs no a: behind the last normal cell of each stage
     * `amount` more like it, with its weights, which add nothing at first. */
    bool cells;
    /* prune: [channels of a], see morph_importance; not owned. NULL: the last channels go, for the graph is the same
     * whichever do. */
    const float *importance;
};

/* Applies the morph. On ST_OK child and remaps are the caller's to free. `noise` is that of weights that begin at 0 and
 * are read, relative to the weights' deviation: it changes the function a little. Fresh weights, which are read with
 * weight 0, do not, and are random whatever `noise` is. */
enum status morph_apply(const struct morph *morph, const struct graph *parent, float noise,
                        struct graph *child, struct remap_list *remaps, struct error *err);

/* The child alone, for who has no weights to bring along. On ST_OK it is the caller's to free; on any other status it
 * is empty. */
enum status morph_graph(const struct morph *morph, const struct graph *parent, struct graph *child,
                        struct error *err);

/* How much each channel of layer a does, into importance[channels of a]: the sizes of the trained scales of the batch
 * norms that are tied to it, or where there is none the norms of the kernels. `values`: table's, the graph's weights.
 * ST_RANGE when there is no such layer. */
enum status morph_importance(const struct graph *graph, uint32_t a, const struct weight_table *table,
                             const float *values, float *importance, struct error *err);

/* Draws a morph that fits the graph: kind uniform over those in `allowed` (bit i: enum morph_kind i), then layers
 * and amounts. Widths grow by half or double, of the whole network by a quarter or half, in multiples of 8. ST_NONE
 * when none of many draws fits. `allowed` has one of these bits or more. */
enum status morph_draw(const struct graph *graph, uint32_t allowed, struct random_sequence *random,
                       struct morph *morph, struct error *err);

/* The same of morphs of cells; of the kinds that are allowed those in MORPH_OF_CELLS count. ST_NONE also when there are
 * no cells. */
#define MORPH_OF_CELLS                                                                                       \
    (1u << MORPH_DEEPEN | 1u << MORPH_WIDEN | 1u << MORPH_ADD_SKIP | 1u << MORPH_CONCAT_SKIP |               \
     1u << MORPH_KERNEL | 1u << MORPH_RESIDUAL | 1u << MORPH_SQUEEZE | 1u << MORPH_SEPARABLE)
enum status morph_draw_in_cells(const struct graph *graph, uint32_t allowed, struct random_sequence *random,
                                struct morph *morph, struct error *err);

/* All morphs that fit the graph and could be drawn, skips only between activations, in an order that follows from the
 * graph. *morphs is the caller's to free; NULL when there are none. */
enum status morph_list(const struct graph *graph, uint32_t allowed, struct morph **morphs, int32_t *count,
                       struct error *err);
/* The same of morphs of cells, each once. */
enum status morph_list_in_cells(const struct graph *graph, uint32_t allowed, struct morph **morphs,
                                int32_t *count, struct error *err);

/* "widen conv 4 32->48", "add skip 3->9", for people and the journal. */
void morph_describe(const struct morph *morph, const struct graph *parent, char *text, size_t size);

/* "deepen", "widen", "add_skip": the words of search.morphs. */
const char *morph_kind_name(enum morph_kind kind);

#endif
