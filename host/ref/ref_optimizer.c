/* Updates of all trained weights at once: SGD with Nesterov momentum and AdamW. Formulas: optimizer.h. */
#include "host/ref/ref.h"

#include <math.h>

/* What is the same for all values of a weight tensor. */
struct update {
    const struct optimizer *optimizer;
    double rate, decay; /* decay: 0 where none applies */
    uint32_t number;    /* of the step */
};

static void update_sgd(const struct update *update, double g, double *w, double *v)
{
    double momentum = (double)update->optimizer->momentum;
    *v = momentum * *v + g;
    *w = *w * (1 - update->rate * update->decay) - update->rate * (g + momentum * *v);
}

static void update_adamw(const struct update *update, double g, double *w, double *m, double *s)
{
    double b1 = (double)update->optimizer->momentum, b2 = (double)update->optimizer->second;
    double t = (double)update->number + 1;
    *m = b1 * *m + (1 - b1) * g;
    *s = b2 * *s + (1 - b2) * g * g;
    double first = *m / (1 - pow(b1, t)), second = *s / (1 - pow(b2, t));
    *w = *w * (1 - update->rate * update->decay) -
         update->rate * first / (sqrt(second) + (double)OPTIMIZER_ADAM_EPSILON);
}

enum status ref_run_optimizer(const struct op_call *call)
{
    const struct optimizer *optimizer = &call->prepared->binding.optimizer;
    struct device_weights *weights = call->prepared->binding.weights;
    struct update update = {
        .optimizer = optimizer, .rate = (double)call->step->learning_rate, .number = call->step->number};
    for (int32_t k = 0; k < weights->base.table.count; k++) {
        const struct weight_tensor *tensor = &weights->base.table.tensors[k];
        if (!weight_is_trained(tensor->role))
            continue;
        update.decay = tensor->role == WEIGHT_KERNEL ? (double)optimizer->decay : 0;
        for (size_t i = tensor->offset; i < tensor->offset + tensor->count; i++) {
            double g = call->prepared->gradients[i];
            double *w = &weights->slots[SLOT_VALUE][i];
            double *first = &weights->slots[SLOT_FIRST][i], *second = &weights->slots[SLOT_SECOND][i];
            if (optimizer->kind == OPTIMIZER_SGD)
                update_sgd(&update, g, w, first);
            else
                update_adamw(&update, g, w, first, second);
        }
    }
    return ST_OK;
}
