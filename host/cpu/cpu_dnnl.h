/* oneDNN 2.6 (Debian 12) and 3.x (Debian 13) as one: no other file knows which of them this is.
 *
 * They differ in how a tensor's layout is held (a struct of the caller's, an object of the library's) and in how
 * a primitive is described (in two calls, in one). Engines, streams, attributes, memory and primitives have the
 * same functions in both, which the room calls by their own names. Values are float32 or bf16. Functions answer with
 * oneDNN's status, for cpu_check, dnnl_out_of_memory wherever that is the cause; what they make is NULL after a
 * failure. */
#ifndef NASRUN_CPU_DNNL_H
#define NASRUN_CPU_DNNL_H

#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stddef.h>

/* Sizes of a tensor and where its values lie: oneDNN's memory descriptor. Defined nowhere; cpu_dnnl.c knows what
 * such a pointer points to. */
struct cpu_dnnl_layout;

/* dnnl_format_tag_any: oneDNN is to choose. The caller frees *layout. */
dnnl_status_t cpu_dnnl_layout_new(struct cpu_dnnl_layout **layout, int rank, const dnnl_dims_t dims,
                                  dnnl_data_type_t type, dnnl_format_tag_t tag);
/* `strides` in values, a dimension each. */
dnnl_status_t cpu_dnnl_layout_strided(struct cpu_dnnl_layout **layout, int rank, const dnnl_dims_t dims,
                                      dnnl_data_type_t type, const dnnl_dims_t strides);
void cpu_dnnl_layout_free(struct cpu_dnnl_layout *layout); /* NULL is allowed */
size_t cpu_dnnl_layout_bytes(const struct cpu_dnnl_layout *layout);
bool cpu_dnnl_layout_equal(const struct cpu_dnnl_layout *a, const struct cpu_dnnl_layout *b);
/* In which layout a primitive takes its operand DNNL_ARG_...; it is part of the description. An operand that the
 * primitive lacks has 0 bytes. */
const struct cpu_dnnl_layout *cpu_dnnl_operand(const_dnnl_primitive_desc_t description, int index);

/* address: the values', DNNL_MEMORY_NONE or DNNL_MEMORY_ALLOCATE. */
dnnl_status_t cpu_dnnl_memory_new(dnnl_memory_t *memory, dnnl_engine_t engine,
                                  const struct cpu_dnnl_layout *layout, void *address);

/* From here on the process ends with one line and status 2 where oneDNN has no memory and can't say so. */
void cpu_dnnl_end_without_memory(void);

dnnl_status_t cpu_dnnl_primitive(dnnl_primitive_t *primitive, const_dnnl_primitive_desc_t description);

enum cpu_dnnl_direction { CPU_DNNL_FORWARD, CPU_DNNL_BACKWARD_DATA, CPU_DNNL_BACKWARD_WEIGHTS };

/* Layouts of the forward direction's operands, or of their gradients, where a direction yields or takes those. */
struct cpu_dnnl_operands {
    const struct cpu_dnnl_layout *source, *kernel, *bias, *target; /* bias NULL: none */
    /* Where the kernel's gradient has another type than the kernel: the kernel's own layout. NULL: as `kernel` */
    const struct cpu_dnnl_layout *forward_kernel;
};

struct cpu_dnnl_window {
    dnnl_dims_t strides, padding_before, padding_after; /* height, width */
};

/* Descriptions of primitives, which the caller destroys. Attributes may be NULL. */
dnnl_status_t cpu_dnnl_convolution(dnnl_primitive_desc_t *description, dnnl_engine_t engine,
                                   const_dnnl_primitive_attr_t attributes, enum cpu_dnnl_direction direction,
                                   const struct cpu_dnnl_operands *operands,
                                   const struct cpu_dnnl_window *window);
dnnl_status_t cpu_dnnl_inner_product(dnnl_primitive_desc_t *description, dnnl_engine_t engine,
                                     const_dnnl_primitive_attr_t attributes,
                                     enum cpu_dnnl_direction direction,
                                     const struct cpu_dnnl_operands *operands);
/* product = left right + scale * product, all of them matrices; scale 0: product = left right. The primitive takes its
 * scratchpad from the caller. */
dnnl_status_t cpu_dnnl_matmul(dnnl_primitive_desc_t *description, dnnl_engine_t engine,
                              const struct cpu_dnnl_layout *left, const struct cpu_dnnl_layout *right,
                              const struct cpu_dnnl_layout *product, float scale);
dnnl_status_t cpu_dnnl_reorder(dnnl_primitive_desc_t *description, dnnl_engine_t engine,
                               const_dnnl_primitive_attr_t attributes, const struct cpu_dnnl_layout *from,
                               const struct cpu_dnnl_layout *to);

#endif
