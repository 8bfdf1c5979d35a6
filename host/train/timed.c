#include "host/train/timed.h"

#include <stdlib.h>

static enum status load_weights(struct timed *network, const struct graph *graph, int32_t slots,
                                struct error *err)
{
    const struct weight_table *table = &network->program.weights;
    float *values = calloc(table->total + 1, sizeof(float)); /* + 1: calloc may return NULL for nothing */
    if (values == NULL)
        return error_memory(err, "weights", table->total * sizeof(float));
    weight_initialise(table, graph, 0, NULL, values);
    enum status st = network->ops->weights_new(network->device, table, slots, &network->weights, err);
    if (st == ST_OK)
        st = network->ops->weights_upload(network->device, network->weights, SLOT_VALUE, values, err);
    free(values);
    return st;
}

enum status timed_open(struct timed *network, const struct graph *graph, const struct lower_options *options,
                       struct error *err)
{
    const int32_t slots = options->purpose == PROG_TRAIN ? SLOT_GRADIENT : 1;
    enum status st = lower_graph(graph, options, &network->program, err);
    if (st == ST_OK)
        st = network->ops->program_prepare(network->device, &network->program, &network->prepared, err);
    return st == ST_OK ? load_weights(network, graph, slots, err) : st;
}

void timed_close(struct timed *network)
{
    network->ops->program_free(network->device, network->prepared);
    network->ops->weights_free(network->device, network->weights);
    program_free(&network->program);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double timed_median(double *values, int32_t count)
{
    qsort(values, (size_t)count, sizeof(values[0]), compare);
    return values[count / 2];
}
