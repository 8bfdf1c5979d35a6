/* Updates of all trained weights at once: SGD with Nesterov momentum, AdamW, and what Muon does with the updates that
 * ref_orthogonalise.c has made. Formulas: optimizer.h. */
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

/* All values of weight `index`, by its gradient. */
static void update_weight(const struct op_call *call, int32_t index, const struct update *update)
{
    struct device_weights *weights = call->prepared->binding.weights;
    const struct weight_tensor *tensor = &weights->base.table.tensors[index];
    for (size_t i = tensor->offset; i < tensor->offset + tensor->count; i++) {
        double g = call->prepared->gradients[i];
        double *w = &weights->slots[SLOT_VALUE][i];
        double *first = &weights->slots[SLOT_FIRST][i], *second = &weights->slots[SLOT_SECOND][i];
        switch (update->optimizer->kind) {
        case OPTIMIZER_SGD:
        case OPTIMIZER_MUON:
            update_sgd(update, g, w, first);
            break;
        case OPTIMIZER_ADAMW:
            update_adamw(update, g, w, first, second);
            break;
        }
    }
}

/* The same by its update, the tensor `made`. */
static void take_update(const struct op_call *call, int32_t index, int32_t made, const struct update *update)
{
    struct device_weights *weights = call->prepared->binding.weights;
    const struct weight_tensor *tensor = &weights->base.table.tensors[index];
    const double *x = ref_tensor(call->prepared, made);
    double *w = weights->slots[SLOT_VALUE] + tensor->offset;
    for (size_t i = 0; i < tensor->count; i++)
        w[i] = w[i] * update->kept - update->rate * x[i];
}

enum status ref_run_optimizer(const struct op_call *call)
{
    const struct optimizer *optimizer = &call->prepared->binding.optimizer;
    const struct weight_table *table = &call->prepared->binding.weights->base.table;
    const double rate = (double)call->step->learning_rate;
    struct update update = {.optimizer = optimizer, .number = call->step->number};
    for (int32_t k = 0; k < table->count; k++) {
        const struct weight_tensor *tensor = &table->tensors[k];
        if (!tensor->trained)
            continue;
        const enum optimizer_part part = weight_part(tensor);
        const int32_t made = prog_update_of(call->program, k);
        update.rate = rate * (double)optimizer_rate(optimizer, part, tensor->rate);
        update.kept = 1 - rate * (double)optimizer_decay(optimizer, part);
        if (made >= 0)
            take_update(call, k, made, &update);
        else
            update_weight(call, k, &update);
    }
    return ST_OK;
}
