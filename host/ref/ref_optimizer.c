/* Updates of all weights at once: SGD with Nesterov momentum, AdamW, and the weight average. Formulas:
 * optimizer.h. */
#include "host/ref/ref.h"

#include <math.h>
#include <string.h>

/* Of a tensor, in this step. */
struct update {
    double rate, kept; /* kept: what decay leaves of a weight */
};

static void update_sgd(const struct optimizer *optimizer, struct update update, double g, double *w,
                       double *v)
{
    double momentum = (double)optimizer->momentum;
    *v = momentum * *v + g;
    *w = *w * update.kept - update.rate * (g + momentum * *v);
}

static void update_adamw(const struct optimizer *optimizer, struct update update, uint32_t number, double g,
                         double *w, double *m, double *s)
{
    double b1 = (double)optimizer->momentum, b2 = (double)optimizer->second, t = (double)number + 1;
    *m = b1 * *m + (1 - b1) * g;
    *s = b2 * *s + (1 - b2) * g * g;
    double first = *m / (1 - pow(b1, t)), second = *s / (1 - pow(b2, t));
    *w = *w * update.kept - update.rate * first / (sqrt(second) + (double)OPTIMIZER_ADAM_EPSILON);
}

void ref_run_optimizer(const struct ref_call *call)
{
    const struct optimizer *optimizer = &call->prepared->binding.optimizer;
    struct device_weights *weights = call->prepared->binding.weights;
    double rate = (double)call->step->learning_rate;
    for (int32_t k = 0; k < weights->table.count; k++) {
        const struct weight_tensor *tensor = &weights->table.tensors[k];
        if (!tensor->trained)
            continue;
        const enum optimizer_part part = weight_part(tensor->role);
        const struct update update = {.rate = rate * (double)optimizer_rate(optimizer, part, tensor->gain),
                                      .kept = 1 - rate * (double)optimizer_decay(optimizer, part)};
        for (size_t i = tensor->offset; i < tensor->offset + tensor->count; i++) {
            double g = call->prepared->gradients[i];
            double *w = &weights->slots[SLOT_VALUE][i];
            double *first = &weights->slots[SLOT_FIRST][i], *second = &weights->slots[SLOT_SECOND][i];
            if (optimizer->kind == OPTIMIZER_SGD)
                update_sgd(optimizer, update, g, w, first);
            else
                update_adamw(optimizer, update, call->step->number, g, w, first, second);
        }
    }
}

void ref_run_weight_average(const struct ref_call *call)
{
    struct device_weights *weights = call->prepared->binding.weights;
    double decay = (double)call->step->average_decay;
    for (size_t i = 0; i < weights->table.total; i++)
        weights->slots[SLOT_AVERAGE][i] =
            decay * weights->slots[SLOT_AVERAGE][i] + (1 - decay) * weights->slots[SLOT_VALUE][i];
    if (call->step->look_ahead)
        memcpy(weights->slots[SLOT_VALUE], weights->slots[SLOT_AVERAGE],
               weights->table.total * sizeof(double));
}
