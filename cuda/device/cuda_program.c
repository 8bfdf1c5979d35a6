/* Prepared programs: from a list of operations to plans, offsets and one block of device memory. */
#include "cuda/device/cuda_ops.h"

#include <stdlib.h>
#include <string.h>

/* ---- prepare ---- */

static enum status allocate_lists(struct device_program *prepared, struct error *err)
{
    size_t tensors =
        (size_t)prepared->program->tensor_count + 1; /* + 1: calloc may return NULL for nothing */
    size_t ops = (size_t)prepared->program->op_count + 1;
    prepared->offsets = calloc(tensors, sizeof(*prepared->offsets));
    prepared->ops = calloc(ops, sizeof(*prepared->ops));
    if (prepared->offsets == NULL || prepared->ops == NULL)
        return error_memory(err, "prepared program",
                            tensors * sizeof(*prepared->offsets) + ops * sizeof(*prepared->ops));
    return ST_OK;
}

static enum status arena_offsets(struct device_program *prepared, size_t *arena, struct error *err)
{
    const size_t count = (size_t)prepared->program->tensor_count;
    struct program program = *prepared->program; /* but with other lifetimes */
    enum status st = ST_OK;
    size_t *sizes = calloc(count + 1, sizeof(*sizes));
    program.tensors = malloc((count + 1) * sizeof(*program.tensors));
    if (sizes == NULL || program.tensors == NULL) {
        st = error_memory(err, "arena plan", count * (sizeof(*sizes) + sizeof(*program.tensors)));
        goto out;
    }
    memcpy(program.tensors, prepared->program->tensors, count * sizeof(*program.tensors));
    cuda_fold_lifetimes(prepared, program.tensors);
    cuda_branch_lifetimes(&program, program.tensors);
    for (size_t id = 0; st == ST_OK && id < count; id++) {
        const struct cuda_shape s = cuda_shape_of(prepared, (int32_t)id);
        sizes[id] = cuda_tensor_bytes(prepared->device, &program.tensors[id]);
        if (program.tensors[id].kind == TENSOR_ACTIVATION && cuda_shape_count(s) > CUDA_ELEMENTS)
            st = error_set(err, ST_UNSUPPORTED,
                           "activation of %d x %d x %d x %d, expected at most %zu elements", (int)s.n,
                           (int)s.c, (int)s.h, (int)s.w, CUDA_ELEMENTS);
    }
    if (st == ST_OK)
        st = prog_arena_offsets(&program, sizes, prepared->offsets, arena, err);
out:
    free(program.tensors);
    free(sizes);
    return st;
}

static enum status plan_scratch(struct device_program *prepared, struct error *err)
{
    for (int32_t i = 0; i < prepared->program->op_count; i++) {
        const struct op_call call = cuda_call(prepared, i, err);
        const enum prog_op_kind kind = call.op->kind;
        size_t bytes = 0;
        if (cuda_op_scratch(&call, &bytes) != ST_OK)
            return error_prefix(err, "%s, operation %d of layer %u", prog_op_name(kind), (int)i,
                                (unsigned)call.op->layer_id);
        size_t *most = cuda_is_branched(kind) ? &prepared->branch_scratch_bytes : &prepared->scratch_bytes;
        *most = bytes > *most ? bytes : *most;
    }
    return ST_OK;
}

/* Gives every region its offset behind the arena. */
static void lay_out_regions(struct device_program *prepared, size_t arena)
{
    const struct program *program = prepared->program;
    bool trains = program->purpose == PROG_TRAIN;
    size_t size = cuda_type_size(prepared->device->type), copies = prepared->copy_elements * size;
    size_t biases = prepared->fold_count > 0 ? (size_t)prepared->copy_rows * size : 0;
    size_t gradients = cuda_chunk_count(program->weights.total) * CUDA_CHUNK * sizeof(float),
           weights = (size_t)program->weights.count * sizeof(*prepared->weights), probabilities = 0;
    if (program->probabilities >= 0) {
        struct shape s = program->tensors[program->probabilities].shape;
        probabilities = (size_t)s.n * (size_t)s.c * sizeof(float);
    }
    struct cuda_regions *at = &prepared->at;
    at->arena = 0;
    at->scratch = cuda_round_up(arena);
    at->tickets = at->scratch + cuda_round_up(prepared->scratch_bytes);
    at->branch_scratch = at->tickets + cuda_round_up(CUDA_TICKETS * sizeof(unsigned));
    at->branch_tickets = at->branch_scratch + cuda_round_up(prepared->branch_scratch_bytes);
    at->scaling = at->branch_tickets + (trains ? cuda_round_up(CUDA_TICKETS * sizeof(unsigned)) : 0);
    at->weights = at->scaling +
                  (trains && prepared->device->type == CUDA_HALF ? cuda_round_up(cuda_scaling_scratch()) : 0);
    at->copies = at->weights + cuda_round_up(weights);
    at->biases = at->copies + cuda_round_up(copies);
    at->copy_gradients = at->biases + cuda_round_up(biases);
    at->gradients = at->copy_gradients + (trains ? cuda_round_up(prepared->copy_gradient_bytes) : 0);
    at->probabilities = at->gradients + (trains ? cuda_round_up(gradients) : 0);
    at->metrics = at->probabilities + cuda_round_up(probabilities);
    at->total = at->metrics + cuda_round_up(METRIC_COUNT * sizeof(double));
}

enum status cuda_program_prepare(struct device *device, const struct program *program,
                                 struct device_program **prepared, struct error *err)
{
    size_t arena = 0;
    enum status st = cuda_enter(device, err);
    if (st != ST_OK)
        return st;
    struct device_program *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(err, "prepared program", sizeof(*made));
    made->device = device;
    made->program = program;
    st = allocate_lists(made, err);
    if (st == ST_OK)
        st = cuda_copies_find(made, err);
    if (st == ST_OK)
        st = cuda_fold_find(made, err);
    if (st == ST_OK)
        st = arena_offsets(made, &arena, err);
    if (st == ST_OK)
        st = plan_scratch(made, err);
    if (st == ST_OK) {
        lay_out_regions(made, arena);
        *prepared = made;
        made = NULL;
    }
    cuda_program_free(device, made);
    return st;
}

void cuda_program_free(struct device *device, struct device_program *prepared)
{
    if (prepared == NULL)
        return;
    if (prepared->memory != NULL) { /* otherwise it was never bound, and this may be a second thread */
        struct error ignored;
        (void)cudaSetDevice(device->index);
        cuda_release(device, prepared->memory);
        cuda_release(device, prepared->samples);
        if (device->member != NULL) /* a member that never comes is not waited for for ever */
            (void)cuda_wait(device, "free a program", &ignored);
        (void)cudaStreamSynchronize(device->stream); /* its steps may be queued; a broken group's end, too */
        cuda_graph_forget(prepared);
        cuda_pace_forget(prepared);
    }
    free(prepared->weights);
    free(prepared->offsets);
    free(prepared->ops);
    free(prepared);
}

size_t cuda_program_bytes(const struct device_program *prepared)
{
    return prepared->at.total;
}

/* ---- addresses ---- */

void *cuda_address(const struct device_program *prepared, int32_t id)
{
    if (id < 0)
        return NULL;
    const struct prog_tensor *tensor = &prepared->program->tensors[id];
    const struct weight_tensor *weights = prepared->program->weights.tensors;
    switch (tensor->kind) {
    case TENSOR_WEIGHT:
        return cuda_weights_read(prepared) + weights[tensor->weight].offset;
    case TENSOR_GRADIENT:
        if (cuda_gradient_copied(prepared, tensor->weight))
            return cuda_copied_gradient(prepared, &prepared->weights[tensor->weight]);
        return prepared->memory + prepared->at.gradients + weights[tensor->weight].offset * sizeof(float);
    case TENSOR_METRICS:
        return prepared->memory + prepared->at.metrics;
    case TENSOR_OUTPUT:
        return prepared->memory + prepared->at.probabilities;
    case TENSOR_ACTIVATION:
    case TENSOR_LABELS:
    case TENSOR_VECTOR:
    case TENSOR_INDEX:
    case TENSOR_UPDATE:
        break;
    }
    return prepared->memory + prepared->at.arena + prepared->offsets[id];
}

/* ---- bind ---- */

/* The program's block: zeros, but for the list of weights and the metrics so far. */
static enum status take_memory(struct device_program *prepared, struct error *err)
{
    cudaStream_t stream = prepared->device->stream;
    enum status st =
        cuda_allocate(prepared->device, prepared->at.total, "tensors of a program", &prepared->memory, err);
    if (st != ST_OK)
        return st;
    st = cuda_check(cudaMemsetAsync(prepared->memory, 0, prepared->at.total, stream), "clear memory", err);
    if (st == ST_OK)
        st = cuda_copies_upload(prepared, err);
    if (st == ST_OK)
        st = cuda_program_set_metrics(prepared->device, prepared, prepared->metrics, err);
    if (st == ST_OK)
        return ST_OK;
    cuda_release(prepared->device, prepared->memory);
    prepared->memory = NULL;
    return st;
}

static enum status copy_samples(struct device_program *prepared, const struct device_binding *binding,
                                struct error *err)
{
    struct device *device = prepared->device;
    size_t bytes = (size_t)binding->sample_count * sizeof(int32_t);
    enum status st = cuda_wait(device, "bind", err); /* steps that read the old list may be queued */
    if (st == ST_OK && binding->sample_count > prepared->sample_capacity) {
        cuda_graph_forget(prepared);
        cuda_release(device, prepared->samples);
        prepared->sample_capacity = 0;
        st = cuda_allocate(device, bytes, "sample list", &prepared->samples, err);
        if (st == ST_OK)
            prepared->sample_capacity = binding->sample_count;
    }
    if (st == ST_OK)
        st = cuda_check(cudaMemcpyAsync(prepared->samples, binding->samples, bytes, cudaMemcpyHostToDevice,
                                        device->stream),
                        "upload the sample list", err);
    if (st == ST_OK)
        st = cuda_wait(device, "upload the sample list", err);
    return st;
}

static bool same_augment(const struct augment *a, const struct augment *b)
{
    return a->translate == b->translate && a->flip == b->flip && a->cutout == b->cutout;
}

static bool same_optimizer(const struct optimizer *a, const struct optimizer *b)
{
    return a->kind == b->kind && !(a->momentum != b->momentum) && !(a->second != b->second) &&
           !(a->decay != b->decay);
}

/* Whether a graph recorded for the present binding does the same for the new one (but for what lies in
 * memory). */
static bool same_binding(const struct device_program *prepared, const struct device_binding *binding)
{
    const struct device_binding *now = &prepared->binding;
    return prepared->weights_serial == binding->weights->serial &&
           prepared->dataset_serial == binding->dataset->serial &&
           prepared->group_serial == cuda_group_serial(prepared->device, binding) &&
           now->sample_count == binding->sample_count && now->shuffled == binding->shuffled &&
           now->use_average == binding->use_average && same_augment(&now->augment, &binding->augment) &&
           same_optimizer(&now->optimizer, &binding->optimizer);
}

enum status cuda_program_bind(struct device *device, struct device_program *prepared,
                              const struct device_binding *binding, struct error *err)
{
    enum status st = cuda_enter(device, err);
    if (st == ST_OK && prepared->memory == NULL)
        st = take_memory(prepared, err);
    if (st == ST_OK)
        st = copy_samples(prepared, binding, err);
    if (st != ST_OK)
        return st;
    if (!same_binding(prepared, binding)) {
        cuda_graph_forget(prepared);
        prepared->copied_version = 0;
    }
    prepared->weights_serial = binding->weights->serial;
    prepared->dataset_serial = binding->dataset->serial;
    prepared->group_serial = cuda_group_serial(device, binding);
    prepared->binding = *binding;
    prepared->binding.samples = NULL;
    return ST_OK;
}
