/* Updates of all weights at once: SGD with Nesterov momentum, AdamW, and the weight average. Formulas:
 * optimizer.h. */
#include "host/ref/ref.h"

#include <math.h>

static void update_sgd(const struct optimizer *optimizer, double rate, bool decayed, double g, double *w,
                       double *v)
{
    double momentum = (double)optimizer->momentum, decay = decayed ? (double)optimizer->decay : 0;
    *v = momentum * *v + g;
    *w = *w * (1 - rate * decay) - rate * (g + momentum * *v);
}

static void update_adamw(const struct optimizer *optimizer, double rate, uint32_t number, bool decayed,
                         double g, double *w, double *m, double *s)
{
    double b1 = (double)optimizer->momentum, b2 = (double)optimizer->second, t = (double)number + 1;
    double decay = decayed ? (double)optimizer->decay : 0;
    *m = b1 * *m + (1 - b1) * g;
    *s = b2 * *s + (1 - b2) * g * g;
    double first = *m / (1 - pow(b1, t)), second = *s / (1 - pow(b2, t));
    *w = *w * (1 - rate * decay) - rate * first / (sqrt(second) + (double)OPTIMIZER_ADAM_EPSILON);
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
        bool decayed = tensor->role == WEIGHT_KERNEL;
        for (size_t i = tensor->offset; i < tensor->offset + tensor->count; i++) {
            double g = call->prepared->gradients[i];
            double *w = &weights->slots[SLOT_VALUE][i];
            double *first = &weights->slots[SLOT_FIRST][i], *second = &weights->slots[SLOT_SECOND][i];
            if (optimizer->kind == OPTIMIZER_SGD)
                update_sgd(optimizer, rate, decayed, g, w, first);
            else
                update_adamw(optimizer, rate, call->step->number, decayed, g, w, first, second);
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
}
