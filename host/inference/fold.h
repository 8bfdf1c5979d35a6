/* A model made ready for use: the same function with fewer layers. Batch norms go into the kernel and bias of the
 * convolution or dense layer in front, also through pools, where nothing else reads what is between; through a max
 * pool only where no channel's factor is negative. What remains of them has no such layer in front. Dropout is left
 * out. Layers keep their ids; every convolution and dense layer has a bias. */
#ifndef NASRUN_INFERENCE_FOLD_H
#define NASRUN_INFERENCE_FOLD_H

#include "host/model/model_file.h"

/* `folded` is a model of its own, to be freed on any status. ST_FORMAT when a weight is not finite. */
enum status fold_model(const struct model *model, struct model *folded, struct error *err);

/* Channel c of a batch norm is factor * x + summand. */
void fold_batch_norm(const struct model *model, const struct layer *layer, int32_t c, double *factor,
                     double *summand);

#endif
