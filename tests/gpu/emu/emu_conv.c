/* Convolutions of the emulated GPU: stands in for the functions of cuda/conv.h that need a device (the
 * linker's --wrap leads the plug-in here), while geometry and, with emu.profile, planning stay the plug-in's
 * own.
 *
 * Results are sums of products in float, rounded once to the type. The workspace is filled with NaN before
 * each run. */
#include "cuda/conv.h"
#include "host/base/file.h"
#include "tests/gpu/emu/emu_queue.h"
#include "tests/gpu/emu/emu_values.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A workspace of odd size, so that somebody notices when it is forgotten. */
enum { WORKSPACE = 1000, MOST_PLANS = 1024 };

struct conv_plan {
    enum conv_kind kind;
    enum cuda_type type;
    struct conv_geometry geometry;
    size_t workspace;
};

struct conv_planner {
    struct conv_planner *real; /* NULL without emu.profile */
    enum cuda_type type;
    int count;
    struct conv_plan *plans[MOST_PLANS];
};

struct cudnnContext {
    cudaStream_t stream;
};

/* The plug-in's own. */
void __real_conv_planner_close(struct conv_planner *planner);
enum status __real_conv_planner_plan(struct conv_planner *planner, enum conv_kind kind,
                                     const struct conv_geometry *geometry, const struct conv_plan **plan,
                                     struct error *err);
size_t __real_conv_plan_workspace(const struct conv_plan *plan);

enum status __wrap_conv_planner_open(cudnnHandle_t handle, int32_t index, const struct conv_options *options,
                                     struct conv_planner **planner, struct error *err);
void __wrap_conv_planner_close(struct conv_planner *planner);
enum status __wrap_conv_planner_plan(struct conv_planner *planner, enum conv_kind kind,
                                     const struct conv_geometry *geometry, const struct conv_plan **plan,
                                     struct error *err);
size_t __wrap_conv_plan_workspace(const struct conv_plan *plan);
enum status __wrap_conv_plan_execute(const struct conv_plan *plan, cudnnHandle_t handle, void *x,
                                     void *kernel, void *y, void *workspace, struct error *err);

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

/* ---- planner ---- */

enum status __wrap_conv_planner_open(cudnnHandle_t handle, int32_t index, const struct conv_options *options,
                                     struct conv_planner **planner, struct error *err)
{
    EMU_LOCKED;
    struct conv_options described = *options;
    char *description = NULL;
    size_t size = 0;
    enum status st = ST_OK;
    (void)index;
    if (emu_call("conv_planner_open") != cudaSuccess)
        return error_set(err, ST_DEVICE, "emulated: conv_planner_open fails");
    if (handle->stream == NULL)
        emu_die("cuDNN's handle has no stream");
    struct conv_planner *made = calloc(1, sizeof *made);
    if (made == NULL)
        emu_die("out of host memory");
    made->type = options->type;
    if (emu.profile != NULL) {
        described.cache_folder = NULL;
        st = file_read(emu.profile, &description, &size, err);
        if (st == ST_OK)
            st = conv_planner_open_described(description, &described, &made->real, err);
    }
    free(description);
    if (st != ST_OK) {
        free(made);
        return st;
    }
    emu_count.objects++;
    *planner = made;
    return ST_OK;
}

void __wrap_conv_planner_close(struct conv_planner *planner)
{
    EMU_LOCKED;
    if (planner == NULL)
        return;
    __real_conv_planner_close(planner->real);
    for (int i = 0; i < planner->count; i++)
        free(planner->plans[i]);
    free(planner);
    emu_count.objects--;
}

enum status __wrap_conv_planner_plan(struct conv_planner *planner, enum conv_kind kind,
                                     const struct conv_geometry *geometry, const struct conv_plan **plan,
                                     struct error *err)
{
    EMU_LOCKED;
    const struct conv_plan *real = NULL;
    if (emu_call("conv_planner_plan") != cudaSuccess)
        return error_set(err, ST_DEVICE, "emulated: conv_planner_plan fails");
    for (int i = 0; i < planner->count; i++) {
        *plan = planner->plans[i];
        if ((*plan)->kind == kind && memcmp(&(*plan)->geometry, geometry, sizeof *geometry) == 0)
            return ST_OK;
    }
    if (planner->count == MOST_PLANS)
        emu_die("more than %d plans", MOST_PLANS);
    if (planner->real != NULL) {
        enum status st = __real_conv_planner_plan(planner->real, kind, geometry, &real, err);
        if (st != ST_OK)
            return st;
    }
    struct conv_plan *made = malloc(sizeof *made);
    if (made == NULL)
        emu_die("out of host memory");
    *made = (struct conv_plan){kind, planner->type, *geometry,
                               real != NULL ? __real_conv_plan_workspace(real) : WORKSPACE};
    planner->plans[planner->count++] = made;
    *plan = made;
    return ST_OK;
}

size_t __wrap_conv_plan_workspace(const struct conv_plan *plan)
{
    return plan->workspace;
}

/* ---- execution ---- */

struct run {
    struct conv_plan plan;
    void *x, *kernel, *y, *workspace;
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

static void run_conv(void *work)
{
    const struct run *run = work;
    const struct conv_geometry *g = &run->plan.geometry;
    enum conv_kind kind = run->plan.kind;
    enum cuda_type type = run->plan.type;
    if (run->workspace != NULL)
        memset(run->workspace, 255, run->plan.workspace);
    double *x = load_all(type, kind == CONV_BACKWARD_DATA ? NULL : run->x, x_count(g));
    double *kernel = load_all(type, kind == CONV_BACKWARD_WEIGHTS ? NULL : run->kernel, kernel_count(g));
    double *y = load_all(type, kind == CONV_FORWARD ? NULL : run->y, y_count(g));
    convolve(kind, g, x, kernel, y);
    for (size_t i = 0; kind == CONV_FORWARD && i < y_count(g); i++)
        emu_store(type, run->y, i, (float)y[i]);
    for (size_t i = 0; kind == CONV_BACKWARD_DATA && i < x_count(g); i++)
        emu_store(type, run->x, i, (float)x[i]);
    for (size_t i = 0; kind == CONV_BACKWARD_WEIGHTS && i < kernel_count(g); i++)
        emu_store(type, run->kernel, i, (float)kernel[i]);
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

enum status __wrap_conv_plan_execute(const struct conv_plan *plan, cudnnHandle_t handle, void *x,
                                     void *kernel, void *y, void *workspace, struct error *err)
{
    EMU_LOCKED;
    const struct conv_geometry *g = &plan->geometry;
    size_t size = cuda_type_size(plan->type);
    if (emu_call("convolution") != cudaSuccess)
        return error_set(err, ST_DEVICE, "emulated: %s fails", conv_kind_name(plan->kind));
    check_operand("convolution's x", x, x_count(g) * size);
    check_operand("convolution's kernel", kernel, kernel_count(g) * size);
    check_operand("convolution's y", y, y_count(g) * size);
    if ((plan->workspace > 0) != (workspace != NULL) || (uintptr_t)workspace % 256 != 0)
        emu_die("convolution's workspace of %zu bytes at %p", plan->workspace, workspace);
    if (workspace != NULL)
        emu_check_range("convolution's workspace", workspace, plan->workspace);
    struct run *run = malloc(sizeof *run);
    if (run == NULL)
        emu_die("out of host memory");
    *run = (struct run){*plan, x, kernel, y, workspace};
    emu_count.convolutions++;
    emu_submit(handle->stream, run_conv, free, run);
    return ST_OK;
}
