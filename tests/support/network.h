/* A graph together with its weights, for tests of morphs: started at random, grown by morphs, evaluated in
 * double precision. These functions end the running test by cmocka's assertions when something fails that may
 * not. */
#ifndef NASRUN_TESTS_SUPPORT_NETWORK_H
#define NASRUN_TESTS_SUPPORT_NETWORK_H

#include "host/base/random.h"
#include "host/morph/morph.h"

enum {
    NETWORK_IMAGES = 2,
    NETWORK_MAX_LOGITS = 10,
    NETWORK_MAX_PIXELS = 3 * 16 * 16, /* of an image, all channels */
};

struct network {
    struct graph graph;
    struct weight_table table;
    float *weights; /* [table.total] */
};

struct logits {
    double values[NETWORK_IMAGES][NETWORK_MAX_LOGITS];
};

/* Takes the graph over (inferred) and gives it random weights. */
void network_start(struct network *network, struct graph *graph, struct random_sequence *random);
void network_free(struct network *network);

/* Replaces the network by its child. ST_RANGE or ST_NONE when the morph is refused: then nothing has changed, and
 * nothing was left to be freed. err may be NULL. */
enum status network_grow(struct network *network, const struct morph *morph, float noise, uint64_t seed,
                         struct error *err);

/* Logits of the images of set `images`: normal numbers, the same for every network of that input. */
void network_evaluate(const struct network *network, uint32_t images, struct logits *logits);

/* The largest difference relative to the largest value of `before`, NaN if there is one. 0 where nothing
 * differs, also of a dead network, whose logits are all 0. */
double logits_difference(const struct logits *before, const struct logits *after);

#endif
