/* Two versions of oneDNN's C interface as one: first what each of them needs of its own, then what follows from it
 * for both. */
#include "host/cpu/cpu_dnnl.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if DNNL_VERSION_MAJOR < 3

typedef const dnnl_memory_desc_t *native_layout;

static dnnl_status_t keep_layout(struct cpu_dnnl_layout **layout, const dnnl_memory_desc_t *made,
                                 dnnl_status_t status)
{
    *layout = NULL;
    if (status != dnnl_success)
        return status;
    dnnl_memory_desc_t *kept = malloc(sizeof(*kept));
    if (kept == NULL)
        return dnnl_out_of_memory;
    *kept = *made;
    *layout = (struct cpu_dnnl_layout *)kept;
    return status;
}

dnnl_status_t cpu_dnnl_layout_new(struct cpu_dnnl_layout **layout, int rank, const dnnl_dims_t dims,
                                  dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t made;
    return keep_layout(layout, &made, dnnl_memory_desc_init_by_tag(&made, rank, dims, type, tag));
}

dnnl_status_t cpu_dnnl_layout_strided(struct cpu_dnnl_layout **layout, int rank, const dnnl_dims_t dims,
                                      dnnl_data_type_t type, const dnnl_dims_t strides)
{
    dnnl_memory_desc_t made;
    return keep_layout(layout, &made, dnnl_memory_desc_init_by_strides(&made, rank, dims, type, strides));
}

void cpu_dnnl_layout_free(struct cpu_dnnl_layout *layout)
{
    free(layout);
}

static dnnl_status_t describe_convolution(dnnl_primitive_desc_t *description, dnnl_engine_t engine,
                                          const_dnnl_primitive_attr_t attributes,
                                          enum cpu_dnnl_direction direction,
                                          const struct cpu_dnnl_operands *operands,
                                          const struct cpu_dnnl_window *window,
                                          const_dnnl_primitive_desc_t forward)
{
    native_layout source = (native_layout)operands->source, kernel = (native_layout)operands->kernel;
    native_layout bias = (native_layout)operands->bias, target = (native_layout)operands->target;
    dnnl_convolution_desc_t words;
    dnnl_status_t status = dnnl_invalid_arguments;
    switch (direction) {
    case CPU_DNNL_FORWARD:
        status = dnnl_convolution_forward_desc_init(&words, dnnl_forward_training, dnnl_convolution_direct,
                                                    source, kernel, bias, target, window->strides,
                                                    window->padding_before, window->padding_after);
        break;
    case CPU_DNNL_BACKWARD_DATA:
        status = dnnl_convolution_backward_data_desc_init(&words, dnnl_convolution_direct, source, kernel,
                                                          target, window->strides, window->padding_before,
                                                          window->padding_after);
        break;
    case CPU_DNNL_BACKWARD_WEIGHTS:
        status = dnnl_convolution_backward_weights_desc_init(&words, dnnl_convolution_direct, source, kernel,
                                                             bias, target, window->strides,
                                                             window->padding_before, window->padding_after);
        break;
    }
    if (status != dnnl_success)
        return status;
    return dnnl_primitive_desc_create(description, &words, attributes, engine, forward);
}

static dnnl_status_t describe_inner_product(dnnl_primitive_desc_t *description, dnnl_engine_t engine,
                                            const_dnnl_primitive_attr_t attributes,
                                            enum cpu_dnnl_direction direction,
                                            const struct cpu_dnnl_operands *operands,
                                            const_dnnl_primitive_desc_t forward)
{
    native_layout source = (native_layout)operands->source, kernel = (native_layout)operands->kernel;
    native_layout bias = (native_layout)operands->bias, target = (native_layout)operands->target;
    dnnl_inner_product_desc_t words;
    dnnl_status_t status = dnnl_invalid_arguments;
    switch (direction) {
    case CPU_DNNL_FORWARD:
        status =
            dnnl_inner_product_forward_desc_init(&words, dnnl_forward_training, source, kernel, bias, target);
        break;
    case CPU_DNNL_BACKWARD_DATA:
        status = dnnl_inner_product_backward_data_desc_init(&words, source, kernel, target);
        break;
    case CPU_DNNL_BACKWARD_WEIGHTS:
        status = dnnl_inner_product_backward_weights_desc_init(&words, source, kernel, bias, target);
        break;
    }
    if (status != dnnl_success)
        return status;
    return dnnl_primitive_desc_create(description, &words, attributes, engine, forward);
}

static dnnl_status_t describe_matmul(dnnl_primitive_desc_t *description, dnnl_engine_t engine,
                                     const_dnnl_primitive_attr_t attributes, native_layout left,
                                     native_layout right, native_layout product)
{
    dnnl_matmul_desc_t words;
    const dnnl_status_t status = dnnl_matmul_desc_init(&words, left, right, NULL, product);
    return status != dnnl_success ? status
                                  : dnnl_primitive_desc_create(description, &words, attributes, engine, NULL);
}

static dnnl_status_t append_sum(dnnl_post_ops_t behind, float scale)
{
    return dnnl_post_ops_append_sum(behind, scale);
}

#else

typedef const_dnnl_memory_desc_t native_layout;

static dnnl_status_t keep_layout(struct cpu_dnnl_layout **layout, dnnl_memory_desc_t made,
                                 dnnl_status_t status)
{
    *layout = status == dnnl_success ? (struct cpu_dnnl_layout *)made : NULL;
    return status;
}

dnnl_status_t cpu_dnnl_layout_new(struct cpu_dnnl_layout **layout, int rank, const dnnl_dims_t dims,
                                  dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t made = NULL;
    const dnnl_status_t status = dnnl_memory_desc_create_with_tag(&made, rank, dims, type, tag);
    return keep_layout(layout, made, status);
}

dnnl_status_t cpu_dnnl_layout_strided(struct cpu_dnnl_layout **layout, int rank, const dnnl_dims_t dims,
                                      dnnl_data_type_t type, const dnnl_dims_t strides)
{
    dnnl_memory_desc_t made = NULL;
    const dnnl_status_t status = dnnl_memory_desc_create_with_strides(&made, rank, dims, type, strides);
    return keep_layout(layout, made, status);
}

void cpu_dnnl_layout_free(struct cpu_dnnl_layout *layout)
{
    dnnl_memory_desc_destroy((dnnl_memory_desc_t)layout);
}

static dnnl_status_t describe_convolution(dnnl_primitive_desc_t *description, dnnl_engine_t engine,
                                          const_dnnl_primitive_attr_t attributes,
                                          enum cpu_dnnl_direction direction,
                                          const struct cpu_dnnl_operands *operands,
                                          const struct cpu_dnnl_window *window,
                                          const_dnnl_primitive_desc_t forward)
{
    native_layout source = (native_layout)operands->source, kernel = (native_layout)operands->kernel;
    native_layout bias = (native_layout)operands->bias, target = (native_layout)operands->target;
    const dnnl_dims_t undilated = {0};
    switch (direction) {
    case CPU_DNNL_FORWARD:
        return dnnl_convolution_forward_primitive_desc_create(
            description, engine, dnnl_forward_training, dnnl_convolution_direct, source, kernel, bias, target,
            window->strides, undilated, window->padding_before, window->padding_after, attributes);
    case CPU_DNNL_BACKWARD_DATA:
        return dnnl_convolution_backward_data_primitive_desc_create(
            description, engine, dnnl_convolution_direct, source, kernel, target, window->strides, undilated,
            window->padding_before, window->padding_after, forward, attributes);
    case CPU_DNNL_BACKWARD_WEIGHTS:
        return dnnl_convolution_backward_weights_primitive_desc_create(
            description, engine, dnnl_convolution_direct, source, kernel, bias, target, window->strides,
            undilated, window->padding_before, window->padding_after, forward, attributes);
    }
    return dnnl_invalid_arguments;
}

static dnnl_status_t describe_inner_product(dnnl_primitive_desc_t *description, dnnl_engine_t engine,
                                            const_dnnl_primitive_attr_t attributes,
                                            enum cpu_dnnl_direction direction,
                                            const struct cpu_dnnl_operands *operands,
                                            const_dnnl_primitive_desc_t forward)
{
    native_layout source = (native_layout)operands->source, kernel = (native_layout)operands->kernel;
    native_layout bias = (native_layout)operands->bias, target = (native_layout)operands->target;
    switch (direction) {
    case CPU_DNNL_FORWARD:
        return dnnl_inner_product_forward_primitive_desc_create(description, engine, dnnl_forward_training,
                                                                source, kernel, bias, target, attributes);
    case CPU_DNNL_BACKWARD_DATA:
        return dnnl_inner_product_backward_data_primitive_desc_create(description, engine, source, kernel,
                                                                      target, forward, attributes);
    case CPU_DNNL_BACKWARD_WEIGHTS:
        return dnnl_inner_product_backward_weights_primitive_desc_create(description, engine, source, kernel,
                                                                         bias, target, forward, attributes);
    }
    return dnnl_invalid_arguments;
}

static dnnl_status_t describe_matmul(dnnl_primitive_desc_t *description, dnnl_engine_t engine,
                                     const_dnnl_primitive_attr_t attributes, native_layout left,
                                     native_layout right, native_layout product)
{
    return dnnl_matmul_primitive_desc_create(description, engine, left, right, NULL, product, attributes);
}

static dnnl_status_t append_sum(dnnl_post_ops_t behind, float scale)
{
    return dnnl_post_ops_append_sum(behind, scale, 0, dnnl_data_type_undef);
}

#endif

/* ---- for both ---- */

/* oneDNN throws where it has no memory, through C functions, and so would abort the process. C++ asks its new-handler
 * first. What a run has saved by then is whole, as when it is killed. */
static void end_without_memory(void)
{
    static const char line[] = ": out of memory: oneDNN\n";
    const char *program = program_invocation_short_name;
    const ssize_t ignored =
        write(STDERR_FILENO, program, strlen(program)) + write(STDERR_FILENO, line, sizeof(line) - 1);
    (void)ignored;
    _exit(2);
}

void cpu_dnnl_end_without_memory(void)
{
    /* std::set_new_handler: of the C++ library that oneDNN has brought along */
    void (*(*set_handler)(void (*)(void)))(void);
    *(void **)&set_handler = dlsym(RTLD_DEFAULT, "_ZSt15set_new_handlerPFvvE");
    if (set_handler != NULL)
        set_handler(end_without_memory);
}

size_t cpu_dnnl_layout_bytes(const struct cpu_dnnl_layout *layout)
{
    return dnnl_memory_desc_get_size((native_layout)layout);
}

bool cpu_dnnl_layout_equal(const struct cpu_dnnl_layout *a, const struct cpu_dnnl_layout *b)
{
    return dnnl_memory_desc_equal((native_layout)a, (native_layout)b) != 0;
}

const struct cpu_dnnl_layout *cpu_dnnl_operand(const_dnnl_primitive_desc_t description, int index)
{
    return (const struct cpu_dnnl_layout *)dnnl_primitive_desc_query_md(description, dnnl_query_exec_arg_md,
                                                                        index);
}

dnnl_status_t cpu_dnnl_memory_new(dnnl_memory_t *memory, dnnl_engine_t engine,
                                  const struct cpu_dnnl_layout *layout, void *address)
{
    *memory = NULL;
    return dnnl_memory_create(memory, (native_layout)layout, engine, address);
}

/* oneDNN takes an implementation that had no memory for one that is not there, and goes on to the next, whose sums have
 * another order: only errno, which was 0 before, tells. */
static dnnl_status_t with_memory(dnnl_status_t status, dnnl_primitive_desc_t *description)
{
    if (status != dnnl_success || errno != ENOMEM)
        return errno == ENOMEM ? dnnl_out_of_memory : status;
    dnnl_primitive_desc_destroy(*description);
    *description = NULL;
    return dnnl_out_of_memory;
}

dnnl_status_t cpu_dnnl_primitive(dnnl_primitive_t *primitive, const_dnnl_primitive_desc_t description)
{
    *primitive = NULL;
    errno = 0;
    const dnnl_status_t status = dnnl_primitive_create(primitive, description);
    return status != dnnl_success && errno == ENOMEM ? dnnl_out_of_memory : status;
}

/* A gradient's description asks for that of the forward direction, as a hint. */

static struct cpu_dnnl_operands forward_operands(const struct cpu_dnnl_operands *operands)
{
    struct cpu_dnnl_operands forward = *operands;
    if (forward.forward_kernel != NULL)
        forward.kernel = forward.forward_kernel;
    return forward;
}

dnnl_status_t cpu_dnnl_convolution(dnnl_primitive_desc_t *description, dnnl_engine_t engine,
                                   const_dnnl_primitive_attr_t attributes, enum cpu_dnnl_direction direction,
                                   const struct cpu_dnnl_operands *operands,
                                   const struct cpu_dnnl_window *window)
{
    const struct cpu_dnnl_operands hint = forward_operands(operands);
    dnnl_primitive_desc_t forward = NULL;
    *description = NULL;
    errno = 0;
    dnnl_status_t status = with_memory(
        describe_convolution(&forward, engine, attributes, CPU_DNNL_FORWARD, &hint, window, NULL), &forward);
    if (status == dnnl_success && direction == CPU_DNNL_FORWARD) {
        *description = forward;
        return status;
    }
    if (status == dnnl_success)
        status = with_memory(
            describe_convolution(description, engine, attributes, direction, operands, window, forward),
            description);
    dnnl_primitive_desc_destroy(forward);
    return status;
}

dnnl_status_t cpu_dnnl_inner_product(dnnl_primitive_desc_t *description, dnnl_engine_t engine,
                                     const_dnnl_primitive_attr_t attributes,
                                     enum cpu_dnnl_direction direction,
                                     const struct cpu_dnnl_operands *operands)
{
    const struct cpu_dnnl_operands hint = forward_operands(operands);
    dnnl_primitive_desc_t forward = NULL;
    *description = NULL;
    errno = 0;
    dnnl_status_t status = with_memory(
        describe_inner_product(&forward, engine, attributes, CPU_DNNL_FORWARD, &hint, NULL), &forward);
    if (status == dnnl_success && direction == CPU_DNNL_FORWARD) {
        *description = forward;
        return status;
    }
    if (status == dnnl_success)
        status =
            with_memory(describe_inner_product(description, engine, attributes, direction, operands, forward),
                        description);
    dnnl_primitive_desc_destroy(forward);
    return status;
}

dnnl_status_t cpu_dnnl_matmul(dnnl_primitive_desc_t *description, dnnl_engine_t engine,
                              const struct cpu_dnnl_layout *left, const struct cpu_dnnl_layout *right,
                              const struct cpu_dnnl_layout *product, float scale)
{
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_post_ops_t behind = NULL;
    *description = NULL;
    errno = 0;
    dnnl_status_t status = dnnl_primitive_attr_create(&attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = dnnl_post_ops_create(&behind);
    if (status == dnnl_success && scale != 0.0f)
        status = append_sum(behind, scale);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(attributes, behind);
    if (status == dnnl_success)
        status = with_memory(describe_matmul(description, engine, attributes, (native_layout)left,
                                             (native_layout)right, (native_layout)product),
                             description);
    dnnl_post_ops_destroy(behind);
    dnnl_primitive_attr_destroy(attributes);
    return status;
}

dnnl_status_t cpu_dnnl_reorder(dnnl_primitive_desc_t *description, dnnl_engine_t engine,
                               const_dnnl_primitive_attr_t attributes, const struct cpu_dnnl_layout *from,
                               const struct cpu_dnnl_layout *to)
{
    *description = NULL;
    errno = 0;
    return with_memory(dnnl_reorder_primitive_desc_create(description, (native_layout)from, engine,
                                                          (native_layout)to, engine, attributes),
                       description);
}
