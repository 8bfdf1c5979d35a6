/* Inheritance: a child's weights from its parent's, morph by morph, each morph checked on a real batch. */
#ifndef NASRUN_TRAIN_INHERIT_H
#define NASRUN_TRAIN_INHERIT_H

#include "host/morph/morph.h"
#include "host/train/trainer.h"

enum { INHERIT_MAX_MORPHS = 8 };

/* The largest change that a morph may make: max |child's logit - parent's| over max |parent's logit|. Beside it a
 * device may round, parent and child each in its own way, layer by layer: INHERIT_ROUNDINGS times device_info.rounding.
 * With bf16 up to 2 roundings were seen; a morph that is wrong changes the logits by more than a tenth. */
#define INHERIT_TOLERANCE 1e-3
#define INHERIT_ROUNDINGS 8.0

struct inheritance {
    struct graph graph;             /* the child's */
    struct device_weights *weights; /* the child's, one slot, on the device */
    int32_t count;                  /* morphs checked */
    size_t device_bytes;            /* the most that was taken on the device, the parent's weights left out */
    double differences[INHERIT_MAX_MORPHS];
    float noises[INHERIT_MAX_MORPHS];       /* with which each was accepted */
    float *importances[INHERIT_MAX_MORPHS]; /* that channels were pruned by; NULL for other morphs */
    /* of the child on the validation samples, behind a morph that does not keep the function; NAN behind others */
    double losses[INHERIT_MAX_MORPHS];
};

/* The seed of the random choices and the noise of morph `index` of candidate `id`. */
uint64_t inherit_seed(uint64_t seed, int32_t id, int32_t index);

/* What a child is made of. `parent_weights`: a set on that device, of one slot or more; its values are read. The
 * check's batch is the first of the validation samples. */
struct inherit_order {
    const struct trainer_device *device;
    int32_t batch;
    const struct graph *parent;
    struct device_weights *parent_weights;
    const struct morph *morphs; /* [morph_count], one or more */
    int32_t morph_count;
    float noise;
    uint64_t seed;
    int32_t id; /* the candidate's */
};

/* Applies the morphs in order to graph and weights, on the device, by remap.
 * Noise that changes the outputs by more than the tolerance is reduced, to none if need be. ST_DIVERGED when a morph
 * that is to keep the function changes the outputs by more than that all the same, or another one to what is no number,
 * what morph_apply says when it refuses one; the message says which, and by how much. On any status `result` is to be
 * freed. */
enum status inherit(const struct inherit_order *order, struct inheritance *result, struct error *err);
/* The same morphs, as they were accepted, on a past of the parent (trainer.h), whose evaluated slot was what `inherit`
 * was given: `past` becomes the child's. What the optimizer knows of a weight goes where the weight goes; of new
 * weights it knows nothing. */
enum status inherit_past(const struct graph *parent, const struct morph *morphs,
                         const struct inheritance *accepted, uint64_t seed, int32_t id,
                         struct trainer_past *past, struct error *err);
void inheritance_free(const struct trainer_device *device,
                      struct inheritance *result); /* a zeroed one is allowed */

#endif
