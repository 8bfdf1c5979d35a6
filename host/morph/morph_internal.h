/* What the files of this room share: a morph as an *edit*, the child's graph together with what is known about
 * where its channels and its new layers come from. Each kind of morph makes an edit; one function derives all
 * remaps from it.
 *
 *     morph_edit_make(&edit, morph, parent, err)              // the graph: morph_deepen.c, morph_widen.c, ...
 *     morph_edit_remaps(&edit, parent, noise, &remaps, err)   // the weights: morph_edit.c
 *     morph_edit_free(&edit)
 */
#ifndef NASRUN_MORPH_MORPH_INTERNAL_H
#define NASRUN_MORPH_MORPH_INTERNAL_H

#include "host/morph/morph.h"

enum {
    MORPH_MAX_CHANNELS = 4096,          /* of a convolution or dense layer that a widening makes */
    MORPH_MAX_KERNEL = 5,               /* pixels; beyond it two smaller ones are cheaper */
    MORPH_MAX_FRESH = GRAPH_MAX_LAYERS, /* layers with weights that one morph adds: it may be to all cells */
    MORPH_WIDTH_MULTIPLE = 8,           /* channels come in these, for the devices' vector units */
};

/* Where a layer's channels come from: the child's channel j computes what the parent's channel parent[j] computed;
 * where that is -1 the channel is new, and read with weight 0. */
struct channel_map {
    int32_t count;   /* channels of the child; 0 with parent NULL */
    int32_t *parent; /* [count]; NULL: the identity */
};

/* How the weights of a new layer start. Biases and shifts start at 0 always. */
enum morph_start {
    START_RANDOM, /* conv, dense: normal numbers of variance 2 / fan-in (He et al. 2015), whatever the noise is.
                     * batch norm: scale 1, statistics of a normalised input */
    START_ZERO,   /* conv, dense: zeros.  batch norm: scale 0, statistics of a normalised input */
    START_IDENTITY, /* conv, dense: output o is input channel o, of a depthwise one its own.  batch norm: the identity
                     * in inference */
    START_LIKE, /* with the weights of another layer */
};

struct morph_fresh {
    uint32_t id;
    enum morph_start start;
    uint32_t like; /* START_LIKE: whose */
};

struct morph_edit {
    struct graph child;

    /* Layers added behind `behind`, in order of insertion; what read `behind` reads the last of them. */
    int32_t behind; /* index; the same in parent and child. -1: none added */
    int32_t added;
    int32_t fresh_count;
    struct morph_fresh fresh[MORPH_MAX_FRESH];

    /* Set by a widening, whose child has the parent's layers in the parent's order. NULL otherwise: every map
     * is the identity. The map of layer i is maps[root[i]]. */
    int32_t layer_count;
    int32_t *root;
    struct channel_map *maps;
};

/* Makes the child's graph, inferred and checked. Refuses as morph.h says. On error the edit is empty. */
enum status morph_edit_make(struct morph_edit *edit, const struct morph *morph, const struct graph *parent,
                            struct error *err);

/* One place of the graph `before`, of which edit->child is a copy. */
enum status morph_edit_place(struct morph_edit *edit, const struct morph *morph, const struct graph *before,
                             struct error *err);

/* All cells (morph_cells.c), with edit->child a copy of the parent. */
enum status morph_edit_cells(struct morph_edit *edit, const struct morph *morph, const struct graph *parent,
                             struct error *err);

/* Whether a morph of cells may be at layers a and b: in one cell, b of skips too, not behind its exit where layers come
 * behind it. */
bool morph_fits_cells(const struct morph *morph);

/* Derives the remaps, one for each weight tensor of edit->child. */
enum status morph_edit_remaps(const struct morph_edit *edit, const struct graph *parent, float noise,
                              struct remap_list *remaps, struct error *err);

void morph_edit_free(struct morph_edit *edit); /* a zeroed edit is allowed */

/* Adds `layer` behind layer `behind` and what was added before; its id is set here. *index is its index in
 * the child. */
enum status morph_edit_insert(struct morph_edit *edit, int32_t behind, struct layer layer, int32_t *index,
                              struct error *err);

/* The same for a layer with weights. */
enum status morph_edit_insert_fresh(struct morph_edit *edit, int32_t behind, struct layer layer,
                                    enum morph_start start, int32_t *index, struct error *err);

/* What reads layer `behind` reads what was added behind it; infers the child. */
enum status morph_edit_joined(struct morph_edit *edit, struct error *err);

/* The kinds. edit->child is a copy of the parent; each changes it, morph_edit_make infers it. */
enum status morph_edit_deepen(struct morph_edit *edit, const struct morph *morph, const struct graph *parent,
                              struct error *err);
enum status morph_edit_widen(struct morph_edit *edit, const struct morph *morph, const struct graph *parent,
                             struct error *err);
enum status morph_edit_residual(struct morph_edit *edit, const struct morph *morph,
                                const struct graph *parent, struct error *err);
enum status morph_edit_separable(struct morph_edit *edit, const struct morph *morph,
                                 const struct graph *parent, struct error *err);
enum status morph_edit_repeat(struct morph_edit *edit, const struct morph *morph, const struct graph *parent,
                              struct error *err);
enum status morph_edit_squeeze(struct morph_edit *edit, const struct morph *morph, const struct graph *parent,
                               struct error *err);
enum status morph_edit_skip(struct morph_edit *edit, const struct morph *morph, const struct graph *parent,
                            struct error *err);
enum status morph_edit_kernel(struct morph_edit *edit, const struct morph *morph, const struct graph *parent,
                              struct error *err);

enum status morph_edit_remove(struct morph_edit *edit, const struct morph *morph, const struct graph *parent,
                              struct error *err);

/* ---- questions about a graph (morph_analyse.c) ---- */

/* Index of layer `id`, refused with ST_RANGE when it isn't there or is the last. `what` names the morph. */
enum status morph_find_layer(const struct graph *graph, uint32_t id, const char *what, int32_t *index,
                             struct error *err);

/* Whether the output of layer `index` can't be negative in inference, whatever weights and images are. */
enum status morph_never_negative(const struct graph *graph, int32_t index, bool *answer, struct error *err);

/* Sets reached[i] for layer `from` and every layer that depends on it. reached has graph->count entries. */
void morph_reach(const struct graph *graph, int32_t from, bool *reached);

/* A convolution whose filters are to stay as they are: not trained, or made for the training images. */
bool morph_is_fixed(const struct graph *graph, int32_t index);

/* What can be made wider or narrower: a convolution or dense layer that is not fixed. */
bool morph_has_channels(const struct graph *graph, int32_t index);

bool morph_is_activation(const struct graph *graph, int32_t index);
bool morph_is_one_pixel(const struct shape *shape);

/* Whether each tap of such a kernel sees more than padding somewhere in an input of that shape. */
bool morph_kernel_fits(int32_t kernel, const struct shape *input);

/* Whether it is of that kind, or the first input of one that is. */
bool morph_is_beside(const struct graph *graph, int32_t index, enum layer_kind kind);

/* How the network's own layers are, by most of them, for new ones to be alike. */
struct morph_style {
    enum layer_kind activation; /* RELU where there is none */
    enum layer_init init;       /* of convolutions */
    bool frozen_norm;           /* batch norms have no scale that is trained */
};
struct morph_style morph_style_of(const struct graph *graph);

/* ST_RANGE but for the kernels of new convolutions: 1, 3, 5. `what` names the morph. */
enum status morph_check_kernel(const char *what, int32_t kernel, struct error *err);

/* What could stand for layer a, were it removed: of a sum the operand that comes first, of a gate what it opens; else
 * the nearest layer of its shape in front of a convolution or a dense layer. -1: none. */
int32_t morph_find_without(const struct graph *graph, int32_t a);

/* The kernel of a convolution, its longer side, after one step of MORPH_KERNEL. */
enum { MORPH_KERNEL_STEP = 2 };
int32_t morph_next_kernel(const struct layer *conv);

/* At least so many channels: in whole multiples of MORPH_WIDTH_MULTIPLE. */
int32_t morph_whole_width(int32_t channels);

/* What MORPH_SQUEEZE goes down to: a quarter, in whole multiples. */
int32_t morph_squeezed(int32_t channels);

/* So many quarters of the channels, in whole multiples of MORPH_WIDTH_MULTIPLE: one of these at least. */
int32_t morph_pruned(int32_t channels, int32_t quarters);

/* One filter for each input channel, several channels: its outputs keep their inputs' channels apart. */
bool morph_is_depthwise(const struct graph *graph, int32_t index);

/* A layer of that kind with one input and everything else at its default. */
struct layer morph_layer(enum layer_kind kind, int32_t input);

/* A convolution of stride 1 that keeps height and width (kernel odd), or on 1 x 1 inputs a dense layer. */
struct layer morph_conv_layer(int32_t input, int32_t channels, int32_t kernel, bool bias);
struct layer morph_mixing_layer(const struct graph *graph, int32_t input, int32_t channels, bool bias);

#endif
