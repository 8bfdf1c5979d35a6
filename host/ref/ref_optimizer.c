/* Updates of all trained weights at once: SGD with Nesterov momentum and AdamW. Formulas: optimizer.h. */
#include "host/ref/ref.h"

#include <math.h>

/* What is the same for all values of a weight tensor. */
struct update {
    const struct optimizer *optimizer;
    double rate, kept; /* kept: what decay leaves of a weight */
    uint32_t number;   /* of the step */
};

static void update_sgd(const struct update *update, double g, double *w, double *v)
{
    double momentum = (double)update->optimizer->momentum;
    *v = momentum * *v + g;
    *w = *w * update->kept - update->rate * (g + momentum * *v);
}

static void update_adamw(const struct update *update, double g, double *w, double *m, double *s)
{
    double b1 = (double)update->optimizer->momentum, b2 = (double)update->optimizer->second;
    double t = (double)update->number + 1;
    *m = b1 * *m + (1 - b1) * g;
    *s = b2 * *s + (1 - b2) * g * g;
    double first = *m / (1 - pow(b1, t)), second = *s / (1 - pow(b2, t));
    *w = *w * update->kept - update->rate * first / (sqrt(second) + (double)OPTIMIZER_ADAM_EPSILON);
}

enum status ref_run_optimizer(const struct op_call *call)
{
    const struct optimizer *optimizer = &call->prepared->binding.optimizer;
    struct device_weights *weights = call->prepared->binding.weights;
    const double rate = (double)call->step->learning_rate;
    struct update update = {.optimizer = optimizer, .number = call->step->number};
    for (int32_t k = 0; k < weights->base.table.count; k++) {
        const struct weight_tensor *tensor = &weights->base.table.tensors[k];
        if (!tensor->trained)
            continue;
        const enum optimizer_part part = weight_part(tensor->role);
        update.rate = rate * (double)optimizer_rate(optimizer, part, tensor->gain);
        update.kept = 1 - rate * (double)optimizer_decay(optimizer, part);
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
