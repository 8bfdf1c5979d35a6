/* Convolutions of the emulated GPU: stands in for the functions of cuda/conv/conv_internal.h and conv.h that need a device (the
 * linker's --wrap leads the plug-in here). The planner is the plug-in's own, with its lock, its stream and its trials; only
 * what cuDNN would say of its candidates is emulated, and with emu.profile not even that: the real cuDNN is asked, for the
 * described device wherever the plug-in names its handle.
 *
 * Results are sums of products, rounded once to the type. The workspace is filled with NaN before each run. */
#include "cuda/conv/conv_internal.h"
#include "host/base/file.h"
#include "tests/gpu/emu/emu_queue.h"
#include "tests/gpu/emu/emu_values.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A workspace of odd size, so that somebody notices when it is forgotten. */
enum { WORKSPACE = 1000 };

struct cudnnContext {
    cudaStream_t stream;
    cudnnBackendDescriptor_t device; /* with a profile: what a planner with this handle plans for */
};

static _Thread_local cudnnBackendDescriptor_t
    graph_device;                   /* of the operation graph that this thread made last */
static _Thread_local int described; /* candidates of this thread's choice so far */

/* The plug-in's own. */
enum status __real_conv_describe(struct conv_planner *planner, int32_t index, const char *text,
                                 struct error *err);
enum status __real_conv_choose(const struct conv_planner *planner, struct conv_plan *plan, struct error *err);
enum status __real_conv_trial_open(const struct conv_planner *planner, const struct conv_plan_info *info,
                                   struct conv_trial *trial, struct error *err);
cudnnStatus_t __real_cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                              cudnnBackendAttributeName_t name,
                                              cudnnBackendAttributeType_t type, int64_t count,
                                              const void *value);
cudnnStatus_t __real_cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor,
                                              cudnnBackendAttributeName_t name,
                                              cudnnBackendAttributeType_t type, int64_t wanted,
                                              int64_t *count, void *values);

enum status __wrap_conv_describe(struct conv_planner *planner, int32_t index, const char *text,
                                 struct error *err);
enum status __wrap_conv_choose(const struct conv_planner *planner, struct conv_plan *plan, struct error *err);
enum status __wrap_conv_trial_open(const struct conv_planner *planner, const struct conv_plan_info *info,
                                   struct conv_trial *trial, struct error *err);
enum status __wrap_conv_plan_execute(const struct conv_plan *plan, cudnnHandle_t handle,
                                     const struct conv_operands *operands, struct error *err);
cudnnStatus_t __wrap_cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                              cudnnBackendAttributeName_t name,
                                              cudnnBackendAttributeType_t type, int64_t count,
                                              const void *value);
cudnnStatus_t __wrap_cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor,
                                              cudnnBackendAttributeName_t name,
                                              cudnnBackendAttributeType_t type, int64_t wanted,
                                              int64_t *count, void *values);

/* ---- cuDNN's handle ---- */

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    if (emu_call("cudnnCreate") != cudaSuccess)
        return CUDNN_STATUS_INTERNAL_ERROR;
    *handle = emu_new(calloc(1, sizeof **handle));
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    emu_discard(handle);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    handle->stream = stream;
    return emu_call("cudnnSetStream") == cudaSuccess ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_INTERNAL_ERROR;
}

/* ---- what the real cuDNN is asked with a handle, which it never saw ---- */

/* The profile as the description of device `index`: no two have the same place in the machine. */
static char *describe_device(int32_t index)
{
    static const char *const numbers[] = {"\"cudaDeviceId\":", "\"pciDeviceId\":"};
    char *text = NULL;
    size_t size = 0;
    struct error err;
    if (file_read(emu.profile, &text, &size, &err) != ST_OK)
        emu_die("%s", err.message);
    for (int i = 0; i < 2; i++) {
        char *place = strstr(text, numbers[i]);
        if (place == NULL)
            emu_die("%s has no %s", emu.profile, numbers[i]);
        place[strlen(numbers[i])] = (char)('0' + index);
    }
    return text;
}

cudnnStatus_t __wrap_cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                              cudnnBackendAttributeName_t name,
                                              cudnnBackendAttributeType_t type, int64_t count,
                                              const void *value)
{
    cudnnStatus_t status;
    if (name == CUDNN_ATTR_DEVICEPROP_DEVICE_ID) {
        char *text = describe_device(*(const int32_t *)value);
        status = __real_cudnnBackendSetAttribute(descriptor, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                                 CUDNN_TYPE_CHAR, (int64_t)strlen(text), text);
        free(text);
        return status;
    }
    if (name == CUDNN_ATTR_OPERATIONGRAPH_HANDLE) {
        graph_device = (*(const cudnnHandle_t *)value)->device;
        return CUDNN_STATUS_SUCCESS;
    }
    if (name == CUDNN_ATTR_EXECUTION_PLAN_HANDLE)
        return __real_cudnnBackendSetAttribute(descriptor, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
                                               CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                               &(*(const cudnnHandle_t *)value)->device);
    status = __real_cudnnBackendSetAttribute(descriptor, name, type, count, value);
    if (name == CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH && status == CUDNN_STATUS_SUCCESS)
        status = __real_cudnnBackendSetAttribute(descriptor, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
                                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph_device);
    return status;
}

cudnnStatus_t __wrap_cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor,
                                              cudnnBackendAttributeName_t name,
                                              cudnnBackendAttributeType_t type, int64_t wanted,
                                              int64_t *count, void *values)
{
    if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE && ++described == emu.undescribed)
        return CUDNN_STATUS_NOT_SUPPORTED;
    return __real_cudnnBackendGetAttribute(descriptor, name, type, wanted, count, values);
}

/* ---- planner ---- */

/* Choices that depend on emulated times are not for the user's cache, unless a test says so. */
enum status __wrap_conv_describe(struct conv_planner *planner, int32_t index, const char *text,
                                 struct error *err)
{
    if (emu_call("conv_describe") != cudaSuccess)
        return error_set(err, ST_DEVICE, "emulated: conv_describe fails");
    if (emu.profile == NULL || !emu.keep_plans) {
        free(planner->cache_folder);
        planner->cache_folder = NULL;
    }
    if (emu.profile == NULL) {
        planner->description = strdup("emulated");
        return planner->description != NULL ? ST_OK : error_memory(err, "description", sizeof "emulated");
    }
    enum status st = __real_conv_describe(planner, index, text, err);
    planner->handle->device = planner->device;
    return st;
}

enum status __wrap_conv_trial_open(const struct conv_planner *planner, const struct conv_plan_info *info,
                                   struct conv_trial *trial, struct error *err)
{
    const enum status st = __real_conv_trial_open(planner, info, trial, err);
    if (st == ST_OK && emu.trial_begun != NULL)
        emu.trial_begun();
    EMU_LOCKED;
    emu_count.trials += st == ST_OK;
    emu_count.untried += st == ST_MEMORY;
    return st;
}

/* One candidate, tried and timed as on a real device. Frees nothing: it has no plan of cuDNN's. */
static enum status try_it(const struct conv_planner *planner, struct conv_plan *plan, struct error *err)
{
    struct conv_trial trial;
    struct conv_entrant entrant = {.plan = *plan};
    struct error refusal;
    bool ran = false;
    enum status st = conv_trial_open(planner, &plan->info, &trial, err);
    if (st != ST_OK)
        return st;
    st = conv_trial_run(&trial, &entrant, emu.timed, &ran, &refusal, err);
    if (st == ST_OK && !ran)
        st = error_set(err, ST_DEVICE, "%s", refusal.message);
    if (st == ST_OK && emu.timed)
        st = conv_trial_look(&trial, &entrant, err);
    conv_entrant_forget(&entrant);
    conv_trial_close(&trial);
    if (st == ST_MEMORY) {
        EMU_LOCKED;
        emu_count.untried++;
    }
    return st;
}

/* Without the emulator's lock: others may call meanwhile. */
enum status __wrap_conv_choose(const struct conv_planner *planner, struct conv_plan *plan, struct error *err)
{
    struct conv_planner asking = {.handle = planner->handle,
                                  .stream = planner->stream,
                                  .device = planner->device,
                                  .description = planner->description,
                                  .options = planner->options};
    described = 0;
    if (emu_call("conv_choose") != cudaSuccess)
        return error_set(err, ST_DEVICE, "emulated: conv_choose fails");
    if (emu.refuse_fused && conv_is_fused(plan->info.kind))
        return error_set(err, ST_UNSUPPORTED, "emulated: nothing fused");
    if (!emu.timed)
        asking.options.timed = 1;
    if (planner->device != NULL)
        return __real_conv_choose(&asking, plan, err);
    plan->workspace = WORKSPACE;
    plan->info.deterministic = true;
    plan->info.tensor_core = planner->options.type != CUDA_FLOAT || planner->options.tensor_float;
    const enum status st = try_it(planner, plan, err);
    return st == ST_MEMORY ? ST_OK : st;
}

/* ---- execution ---- */

struct run {
    enum conv_kind kind;
    enum cuda_type type;
    bool tensor_float;
    struct conv_geometry geometry;
    size_t workspace_bytes;
    struct conv_operands at;
};

/* Elements of the three tensors. */
static size_t x_count(const struct conv_geometry *g)
{
    return (size_t)g->n * (size_t)g->h * (size_t)g->w * (size_t)g->c;
}

static size_t y_count(const struct conv_geometry *g)
{
    return (size_t)g->n * (size_t)conv_out_height(g) * (size_t)conv_out_width(g) * (size_t)g->rows;
}

static size_t kernel_count(const struct conv_geometry *g)
{
    return (size_t)g->rows * (size_t)g->kernel_h * (size_t)g->kernel_w * (size_t)g->depth;
}

/* Sums are in double: what cuDNN adds in float32 it adds as a tree of partial sums, which loses far less than one float
 * that runs over a whole batch. */
static double *load_all(enum cuda_type type, const void *stored, size_t count)
{
    double *values = malloc((count + 1) * sizeof *values);
    if (values == NULL)
        emu_die("out of host memory");
    for (size_t i = 0; stored != NULL && i < count; i++)
        values[i] = emu_load(type, stored, i);
    for (size_t i = 0; stored == NULL && i < count; i++)
        values[i] = 0;
    return values;
}

static void truncate_all(double *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (double)emu_tensor_float((float)values[i]);
}

/* One tap of one output pixel: x, y and the kernel from their first channels and the tap's place on. */
static void run_tap(enum conv_kind kind, const struct conv_geometry *g, double *x, double *kernel, double *y)
{
    size_t depth = (size_t)g->depth, row = (size_t)g->kernel_h * (size_t)g->kernel_w * depth;
    size_t rows = (size_t)(g->rows / g->groups);
    for (size_t o = 0; o < (size_t)g->rows; o++) {
        double *from = x + o / rows * depth, *weights = kernel + o * row;
        if (kind == CONV_FORWARD) {
            double sum = 0;
#pragma omp simd reduction(+ : sum)
            for (size_t i = 0; i < depth; i++)
                sum += from[i] * weights[i];
            y[o] += sum;
        } else {
            double *to = kind == CONV_BACKWARD_DATA ? from : weights;
            const double *factors = kind == CONV_BACKWARD_DATA ? weights : from;
#pragma omp simd
            for (size_t i = 0; i < depth; i++)
                to[i] += y[o] * factors[i];
        }
    }
}

static void convolve(enum conv_kind kind, const struct conv_geometry *g, double *x, double *kernel, double *y)
{
    int32_t height = conv_out_height(g), width = conv_out_width(g);
    for (int32_t pixel = 0; pixel < g->n * height * width; pixel++)
        for (int32_t tap = 0; tap < g->kernel_h * g->kernel_w; tap++) {
            int32_t row = pixel / width % height * g->stride - g->pad_h + tap / g->kernel_w;
            int32_t column = pixel % width * g->stride - g->pad_w + tap % g->kernel_w;
            if (row < 0 || row >= g->h || column < 0 || column >= g->w)
                continue;
            size_t place = ((size_t)(pixel / (height * width)) * (size_t)g->h + (size_t)row) * (size_t)g->w +
                           (size_t)column;
            run_tap(kind, g, x + place * (size_t)g->c, kernel + (size_t)tap * (size_t)g->depth,
                    y + (size_t)pixel * (size_t)g->rows);
        }
}

/* What is fused with the convolution, in the order of the operation graph. */
static void finish_fused(const struct run *run, double *y)
{
    const size_t rows = (size_t)run->geometry.rows, count = y_count(&run->geometry);
    double *bias = load_all(run->type, run->at.bias, rows);
    double *addend = load_all(run->type, conv_adds(run->kind) ? run->at.addend : NULL, count);
    for (size_t i = 0; i < count; i++) {
        const double sum = y[i] + addend[i] + bias[i % rows];
        y[i] = conv_rectifies(run->kind) && sum < 0 ? 0 : sum;
    }
    free(addend);
    free(bias);
}

static void run_conv(void *work)
{
    const struct run *run = work;
    const struct conv_geometry *g = &run->geometry;
    enum conv_kind kind = run->kind;
    enum cuda_type type = run->type;
    const bool forward = kind != CONV_BACKWARD_DATA && kind != CONV_BACKWARD_WEIGHTS;
    if (run->at.workspace != NULL)
        memset(run->at.workspace, 255, run->workspace_bytes);
    if (forward) /* an input that lies under it is gone, as it may be on the hardware */
        memset(run->at.y, 255, y_count(g) * cuda_type_size(type));
    double *x = load_all(type, kind == CONV_BACKWARD_DATA ? NULL : run->at.x, x_count(g));
    double *kernel = load_all(type, kind == CONV_BACKWARD_WEIGHTS ? NULL : run->at.kernel, kernel_count(g));
    double *y = load_all(type, forward ? NULL : run->at.y, y_count(g));
    if (run->tensor_float) {
        truncate_all(x, x_count(g));
        truncate_all(kernel, kernel_count(g));
        truncate_all(y, y_count(g));
    }
    convolve(forward ? CONV_FORWARD : kind, g, x, kernel, y);
    if (conv_is_fused(kind))
        finish_fused(run, y);
    for (size_t i = 0; forward && i < y_count(g); i++)
        emu_store(type, run->at.y, i, (float)y[i]);
    for (size_t i = 0; kind == CONV_BACKWARD_DATA && i < x_count(g); i++)
        emu_store(type, run->at.x, i, (float)x[i]);
    for (size_t i = 0; kind == CONV_BACKWARD_WEIGHTS && i < kernel_count(g); i++)
        emu_store(type, run->at.kernel, i, (float)kernel[i]);
    free(x);
    free(kernel);
    free(y);
}

static void check_operand(const char *what, const void *memory, size_t bytes)
{
    emu_check_range(what, memory, bytes);
    if ((uintptr_t)memory % 16 != 0)
        emu_die("%s at %p, expected a multiple of 16", what, memory);
}

enum status __wrap_conv_plan_execute(const struct conv_plan *plan, cudnnHandle_t handle,
                                     const struct conv_operands *operands, struct error *err)
{
    EMU_LOCKED;
    const struct conv_geometry *g = &plan->info.geometry;
    const enum conv_kind kind = plan->info.kind;
    size_t size = cuda_type_size(plan->info.type);
    if (emu_call("convolution") != cudaSuccess)
        return error_set(err, ST_DEVICE, "emulated: %s fails", conv_kind_name(kind));
    check_operand("convolution's x", operands->x, x_count(g) * size);
    check_operand("convolution's kernel", operands->kernel, kernel_count(g) * size);
    check_operand("convolution's y", operands->y, y_count(g) * size);
    if (conv_is_fused(kind))
        check_operand("convolution's bias", operands->bias, (size_t)g->rows * size);
    if (conv_adds(kind))
        check_operand("convolution's addend", operands->addend, y_count(g) * size);
    if ((plan->workspace > 0) != (operands->workspace != NULL) || (uintptr_t)operands->workspace % 256 != 0)
        emu_die("convolution's workspace of %zu bytes at %p", plan->workspace, operands->workspace);
    if (operands->workspace != NULL)
        emu_check_range("convolution's workspace", operands->workspace, plan->workspace);
    if (handle->stream->recording != NULL && plan->info.rank >= 0 && plan->info.rank < emu.unrecordable) {
        handle->stream->recording->spoilt = true;
        return error_set(err, ST_DEVICE, "emulated: this engine can't be recorded");
    }
    struct run *run = malloc(sizeof *run);
    if (run == NULL)
        emu_die("out of host memory");
    *run = (struct run){kind,
                        plan->info.type,
                        plan->info.type == CUDA_FLOAT && plan->info.tensor_core,
                        plan->info.geometry,
                        plan->workspace,
                        *operands};
    emu_load_code(plan->plan != NULL ? (const void *)plan->plan : plan);
    emu_count.convolutions++;
    emu_count.fused += conv_is_fused(kind);
    emu_submit(handle->stream, run_conv, free, run);
    return ST_OK;
}
