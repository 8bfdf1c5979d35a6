#include "host/search/change.h"

#include "host/net/cost.h"

#include <math.h>
#include <string.h>

const char *change_name(enum change_feature feature)
{
    static const char *const names[CHANGE_COUNT] = {
#define NAME(name, weak, meaning) #name,
        CHANGES(NAME)
#undef NAME
    };
    return names[feature];
}

/* What is counted of a network; what its logarithm is taken of is 1 at least. */
struct counts {
    double operations, parameters, depth, adds, concats, gates, norms, kernels, widest;
    double places[3]; /* operations of its convolutions: early, middle, late */
};

static void count_conv(const struct graph *graph, const struct layer *layer, struct counts *counts)
{
    const struct shape *image = &graph->layers[0].shape, *out = &layer->shape;
    const double inputs = graph->layers[layer->inputs[0]].shape.c / (layer->groups > 0 ? layer->groups : 1);
    const double area = (double)layer->kernel_h * layer->kernel_w;
    const int32_t place = 2 * out->h > image->h ? 0 : 4 * out->h > image->h ? 1 : 2;
    counts->places[place] += 2.0 * area * inputs * out->c * out->h * out->w;
    counts->kernels += layer->kernel_h > 3 || layer->kernel_w > 3;
}

static struct counts count(const struct graph *graph)
{
    const struct cost cost = cost_of_graph(graph);
    struct counts counts = {.operations = fmax(cost.train_flops, 1.0),
                            .parameters = fmax((double)cost.parameters, 1.0),
                            .depth = 1.0,
                            .widest = 1.0,
                            .places = {1.0, 1.0, 1.0}};
    for (int32_t i = 0; i < graph->count; i++) {
        const struct layer *layer = &graph->layers[i];
        const bool has_kernel = layer->kind == LAYER_CONV || layer->kind == LAYER_DENSE;
        counts.depth += has_kernel;
        counts.widest = has_kernel ? fmax(counts.widest, layer->shape.c) : counts.widest;
        counts.adds += layer->kind == LAYER_ADD;
        counts.concats += layer->kind == LAYER_CONCAT;
        counts.gates += layer->kind == LAYER_GATE;
        counts.norms += layer->kind == LAYER_BATCH_NORM;
        if (layer->kind == LAYER_CONV)
            count_conv(graph, layer, &counts);
    }
    return counts;
}

static void set_graphs(const struct graph *from, const struct graph *to, struct change *change)
{
    /* A place where the one network has next to nothing would say more than all others. */
    static const double MOST_PLACE = 2.0;
    const struct counts a = count(from), b = count(to);
    change->of[CHANGE_operations] = log(b.operations / a.operations);
    change->of[CHANGE_parameters] = log(b.parameters / a.parameters);
    change->of[CHANGE_depth] = log(b.depth / a.depth);
    change->of[CHANGE_adds] = b.adds - a.adds;
    change->of[CHANGE_concats] = b.concats - a.concats;
    change->of[CHANGE_gates] = b.gates - a.gates;
    change->of[CHANGE_norms] = b.norms - a.norms;
    change->of[CHANGE_kernels] = b.kernels - a.kernels;
    change->of[CHANGE_width] = log(b.widest / a.widest);
    for (int place = 0; place < 3; place++)
        change->of[CHANGE_early + place] =
            fmax(fmin(log(b.places[place] / a.places[place]), MOST_PLACE), -MOST_PLACE);
}

static double doublings(double from, double to)
{
    return from > 0.0 && to > 0.0 ? log2(to / from) : 0.0;
}

/* Of the steps that a running mean with that factor remembers. */
static double memory_doublings(double from, double to)
{
    return from < 1.0 && to < 1.0 ? log2((1.0 - from) / (1.0 - to)) : 0.0;
}

static double own(double value, double usual)
{
    return isnan(value) ? usual : value;
}

static void set_hyperparameters(const struct hyperparameters *usual, const struct hyperparameters *from,
                                const struct hyperparameters *to, struct change *change)
{
#define OWN(set, name) own((set)->name, usual->name)
    change->of[CHANGE_learning_rate] = doublings(OWN(from, learning_rate), OWN(to, learning_rate));
    change->of[CHANGE_weight_decay] = doublings(OWN(from, weight_decay), OWN(to, weight_decay));
    change->of[CHANGE_batch] = doublings(OWN(from, batch), OWN(to, batch));
    change->of[CHANGE_momentum] = memory_doublings(OWN(from, momentum), OWN(to, momentum));
    change->of[CHANGE_average] = memory_doublings(OWN(from, average), OWN(to, average));
    const double smoothing = OWN(to, label_smoothing) - OWN(from, label_smoothing);
    change->of[CHANGE_label_smoothing] = isnan(smoothing) ? 0.0 : smoothing;
#undef OWN
}

struct change change_between(const struct hyperparameter_space *space, const struct changed *from,
                             const struct changed *to)
{
    struct change change = {{0.0}};
    set_graphs(from->graph, to->graph, &change);
    set_hyperparameters(&space->usual, from->set, to->set, &change);
    for (int i = 0; i < CHANGE_COUNT; i++)
        if (change.of[i] != 0.0) /* nothing is: no number moves by rounding */
            change.of[CHANGE_any] = 1.0;
    return change;
}
