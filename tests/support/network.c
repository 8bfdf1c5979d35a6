#include "tests/support/network.h"
#include "tests/support/graph_forward.h"
#include "tests/support/tangled_graph.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void network_start(struct network *network, struct graph *graph, struct random_sequence *random)
{
    struct error err = {0};
    *network = (struct network){.graph = *graph};
    *graph = (struct graph){0};
    if (graph_infer(&network->graph, &err) != ST_OK ||
        weight_table_new(&network->table, &network->graph, &err) != ST_OK)
        fail_msg("%s", err.message);
    network->weights = malloc(network->table.total * sizeof(*network->weights));
    assert_non_null(network->weights);
    tangled_graph_weights(&network->table, random, network->weights);
}

void network_free(struct network *network)
{
    graph_free(&network->graph);
    weight_table_free(&network->table);
    free(network->weights);
    *network = (struct network){0};
}

enum status network_grow(struct network *network, const struct morph *morph, float noise, uint64_t seed,
                         struct error *err)
{
    struct network child = {0};
    struct remap_list remaps = {0};
    struct error own = {0};
    enum status st = morph_apply(morph, &network->graph, noise, &child.graph, &remaps, &own);
    if (err)
        *err = own;
    if (st != ST_OK) {
        assert_true(st == ST_RANGE || st == ST_NONE);
        assert_int_equal(own.status, st);
        assert_true(strlen(own.message) > 0);
        assert_int_equal(child.graph.count, 0);
        assert_null(child.graph.layers);
        assert_int_equal(remaps.count, 0);
        assert_null(remaps.remaps);
        return st;
    }
    if (weight_table_new(&child.table, &child.graph, &own) != ST_OK)
        fail_msg("%s", own.message);
    assert_int_equal(remaps.count, child.table.count);
    child.weights = malloc(child.table.total * sizeof(*child.weights));
    assert_non_null(child.weights);
    remap_apply(&remaps, &child.table, &network->table, network->weights, seed, child.weights);
    remap_list_free(&remaps);
    network_free(network);
    *network = child;
    return ST_OK;
}

void network_evaluate(const struct network *network, uint32_t images, struct logits *logits)
{
    const struct shape *in = &network->graph.layers[0].shape;
    int32_t count = in->c * in->h * in->w;
    double image[NETWORK_MAX_PIXELS + 1];
    assert_true(count <= NETWORK_MAX_PIXELS);
    assert_true(network->graph.layers[network->graph.count - 1].shape.c <= NETWORK_MAX_LOGITS);
    memset(logits, 0, sizeof(*logits));
    for (uint32_t n = 0; n < NETWORK_IMAGES; n++) {
        for (int32_t i = 0; i < count; i += 2)
            random_normal2(random_draw(n, RANDOM_TEST, (uint64_t)i, images), &image[i], &image[i + 1]);
        assert_true(
            graph_forward(&network->graph, &network->table, network->weights, image, logits->values[n]));
    }
}

double logits_difference(const struct logits *before, const struct logits *after)
{
    double most = 0.0, change = 0.0;
    for (int n = 0; n < NETWORK_IMAGES; n++)
        for (int k = 0; k < NETWORK_MAX_LOGITS; k++) {
            double value = fabs(before->values[n][k]), d = fabs(before->values[n][k] - after->values[n][k]);
            if (isnan(d))
                return d;
            most = value > most ? value : most;
            change = d > change ? d : change;
        }
    return change == 0.0 ? 0.0 : change / most;
}
