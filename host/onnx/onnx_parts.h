/* The parts of an ONNX message that is being written: made here, owned by one list, freed at once. A call that finds no
 * memory notes it and returns NULL or does nothing; further calls on NULL do nothing, so that only the end is checked.
 */
#ifndef NASRUN_ONNX_ONNX_PARTS_H
#define NASRUN_ONNX_ONNX_PARTS_H

#include <onnx.pb-c.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct onnx_parts {
    void **items; /* what was allocated */
    int32_t count, capacity;
    bool failed; /* out of memory at some point */
};

void onnx_parts_free(struct onnx_parts *parts); /* a zeroed one is allowed */

/* Zeroed, or NULL. */
void *onnx_part(struct onnx_parts *parts, size_t size);
/* As printf. */
char *onnx_text(struct onnx_parts *parts, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A node with the one output `output`, which is its name as well, in graph->node; that array has the room. Names are
 * taken as they are, not copied. */
Onnx__NodeProto *onnx_node(struct onnx_parts *parts, Onnx__GraphProto *graph, char *operation, char *output);
/* At most ONNX_MOST_INPUTS inputs and ONNX_MOST_ATTRIBUTES attributes a node. */
enum { ONNX_MOST_INPUTS = 8, ONNX_MOST_ATTRIBUTES = 6 };
void onnx_input(Onnx__NodeProto *node, char *name);
void onnx_int(struct onnx_parts *parts, Onnx__NodeProto *node, char *name, int64_t value);
void onnx_float(struct onnx_parts *parts, Onnx__NodeProto *node, char *name, float value);
void onnx_ints(struct onnx_parts *parts, Onnx__NodeProto *node, char *name, int32_t count,
               const int64_t *values);

/* A tensor of that ONNX type, float32, int32 or int8, in graph->initializer, which has the room. The values are not
 * copied. Returns its name. */
char *onnx_tensor_raw(struct onnx_parts *parts, Onnx__GraphProto *graph, char *name, int32_t type,
                      int32_t rank, const int64_t *dims, const void *values);
/* The same of float32: in graph->initializer, which has the room. The values are not copied. Returns its name. */
char *onnx_tensor(struct onnx_parts *parts, Onnx__GraphProto *graph, char *name, int32_t rank,
                  const int64_t *dims, const float *values);

/* "name: type [dims]"; a dimension below 0 is called "N". */
Onnx__ValueInfoProto *onnx_value(struct onnx_parts *parts, char *name, int32_t type, int32_t rank,
                                 const int64_t *dims);

#endif
