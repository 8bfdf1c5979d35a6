/* Graphs as JSON, for journal and model files:
 *
 *     {"input":[c,h,w],"next_id":9,"layers":[{"id":1,"kind":"conv","inputs":[0],"out":64,"kernel":[3,3],"stride":1,
 *       "pad":[1,1],"groups":1,"bias":false},...]}
 *
 * on one line. Inputs are ids. Keys at their defaults are left out: stride 1, pad [0,0], groups 1, bias false. */
#ifndef NASRUN_NET_SERIALISE_H
#define NASRUN_NET_SERIALISE_H

#include "host/net/graph.h"

#include <cjson/cJSON.h>

cJSON *graph_to_json(const struct graph *graph); /* NULL when out of memory; the caller deletes it */
enum status graph_from_json(struct graph *graph, const cJSON *json,
                            struct error *err); /* inferred and checked */

/* How many layers such an object has, unchecked; -1: it does not say. */
int32_t graph_json_layers(const cJSON *json);

/* The same graph up to ids has the same fingerprint, whatever its history. */
uint64_t graph_fingerprint(const struct graph *graph);

#endif
