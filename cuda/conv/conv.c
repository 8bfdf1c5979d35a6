/* The planner: remembers the plan of every shape; and the execution of plans. */
#include "cuda/conv/conv_internal.h"
#include "cuda/trace.h"

#include "host/base/file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *conv_kind_name(enum conv_kind kind)
{
    static const char *const names[CONV_KIND_COUNT] = {
        [CONV_FORWARD] = "convolution",
        [CONV_BACKWARD_DATA] = "convolution backward data",
        [CONV_BACKWARD_WEIGHTS] = "convolution backward weights",
        [CONV_BIAS] = "convolution + bias",
        [CONV_BIAS_RELU] = "convolution + bias + ReLU",
        [CONV_ADD_BIAS] = "convolution + add + bias",
        [CONV_ADD_BIAS_RELU] = "convolution + add + bias + ReLU",
    };
    return names[kind];
}

enum status conv_check(cudnnStatus_t status, const char *what, struct error *err)
{
    char reason[256] = "";
    if (status == CUDNN_STATUS_SUCCESS)
        return ST_OK;
    cudnnGetLastErrorString(reason, sizeof(reason));
    reason[strcspn(reason, "\n")] = '\0';
    enum status st = ST_DEVICE;
    if (status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
        status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED)
        st = ST_MEMORY;
    else if (status >= CUDNN_STATUS_NOT_SUPPORTED && status < CUDNN_STATUS_INTERNAL_ERROR)
        st = ST_UNSUPPORTED;
    return error_set(err, st, "cuDNN: %s: %s%s%s", what, cudnnGetErrorString(status),
                     reason[0] != '\0' ? ": " : "", reason);
}

enum status conv_cuda_check(cudaError_t status, const char *what, struct error *err)
{
    if (status == cudaSuccess)
        return ST_OK;
    return error_set(err, status == cudaErrorMemoryAllocation ? ST_MEMORY : ST_DEVICE, "CUDA: %s: %s", what,
                     cudaGetErrorString(status));
}

/* ---- geometry ---- */

void conv_geometry_of(struct shape x, struct shape y, const struct conv_window *window,
                      struct conv_geometry *geometry)
{
    int32_t groups = window->groups, per_group_in = x.c / groups, per_group_out = y.c / groups;
    bool depthwise = groups > 1 && per_group_in == 1 && per_group_out == 1;
    bool whole_groups =
        groups == 1 || (per_group_in % CUDA_CHANNELS == 0 && per_group_out % CUDA_CHANNELS == 0);
    *geometry = (struct conv_geometry){
        .n = x.n,
        .c = cuda_padded(x.c),
        .h = x.h,
        .w = x.w,
        .rows = cuda_padded(y.c),
        .kernel_h = window->kernel_h,
        .kernel_w = window->kernel_w,
        .stride = window->stride,
        .pad_h = window->pad_h,
        .pad_w = window->pad_w,
        .groups = 1,
        .blocks = 1,
    };
    if (depthwise)
        geometry->groups = geometry->c; /* padding channels are groups of their own, with kernels of zeros */
    else if (whole_groups)
        geometry->groups = groups;
    else
        geometry->blocks = groups;
    geometry->depth = geometry->c / geometry->groups;
}

int32_t conv_out_height(const struct conv_geometry *geometry)
{
    return (geometry->h + 2 * geometry->pad_h - geometry->kernel_h) / geometry->stride + 1;
}

int32_t conv_out_width(const struct conv_geometry *geometry)
{
    return (geometry->w + 2 * geometry->pad_w - geometry->kernel_w) / geometry->stride + 1;
}

/* ---- planner ---- */

/* Nobody else writes there, nor chooses where it leads. */
static bool is_private(const char *folder)
{
    struct stat about;
    return lstat(folder, &about) == 0 && S_ISDIR(about.st_mode) && about.st_uid == geteuid() &&
           (about.st_mode & 022) == 0;
}

/* The cache folder is made here, private to the user. One that can't be made, is a link or belongs to others as well is
 * not taken: then there is no cache. */
static enum status take_folder(struct conv_planner *planner, const char *folder, struct error *err)
{
    struct error ignored;
    planner->options.cache_folder = NULL;
    if (folder == NULL)
        return ST_OK;
    planner->cache_folder = strdup(folder);
    if (planner->cache_folder == NULL)
        return error_memory(err, folder, strlen(folder) + 1);
    if (!file_exists(folder) && file_make_folder(folder, &ignored) == ST_OK)
        chmod(folder, 0700);
    if (!is_private(folder)) {
        free(planner->cache_folder);
        planner->cache_folder = NULL;
    }
    return ST_OK;
}

/* Non-blocking, so that it doesn't wait for the legacy default stream either. */
static enum status open_queue(struct conv_planner *planner, struct error *err)
{
    int least = 0, greatest = 0;
    cudaError_t error = cudaDeviceGetStreamPriorityRange(&least, &greatest);
    if (error == cudaSuccess)
        error = cudaStreamCreateWithPriority(&planner->stream, cudaStreamNonBlocking, greatest);
    enum status st = conv_cuda_check(error, "make a stream to try convolutions on", err);
    if (st == ST_OK)
        st = conv_check(cudnnCreate(&planner->handle), "open the device", err);
    if (st == ST_OK)
        st = conv_check(cudnnSetStream(planner->handle, planner->stream), "open the device", err);
    return st;
}

/* `text`: of a device that is not there; NULL: it is, and has that index. */
static enum status open_planner(int32_t index, const char *text, const struct conv_options *options,
                                struct conv_planner **planner, struct error *err)
{
    struct conv_planner *made = calloc(1, sizeof(*made));
    *planner = NULL;
    if (made == NULL)
        return error_memory(err, "planner of convolutions", sizeof(*made));
    pthread_mutex_init(&made->turn, NULL);
    pthread_mutex_init(&made->lock, NULL);
    made->options = *options;
    enum status st = take_folder(made, options->cache_folder, err);
    if (st == ST_OK && text == NULL)
        st = open_queue(made, err);
    if (st == ST_OK)
        st = conv_describe(made, index, text, err);
    if (st == ST_OK)
        *planner = made;
    else
        conv_planner_close(made);
    return st;
}

enum status conv_planner_open(int32_t index, const struct conv_options *options,
                              struct conv_planner **planner, struct error *err)
{
    return open_planner(index, NULL, options, planner, err);
}

enum status conv_planner_open_described(const char *description, const struct conv_options *options,
                                        struct conv_planner **planner, struct error *err)
{
    return open_planner(-1, description, options, planner, err);
}

static void free_plan(struct conv_plan *plan)
{
    if (plan == NULL)
        return;
    conv_discard(plan->plan);
    free(plan);
}

void conv_planner_close(struct conv_planner *planner)
{
    if (planner == NULL)
        return;
    for (int32_t i = 0; i < planner->count; i++)
        free_plan(planner->plans[i]);
    free(planner->plans);
    if (planner->handle != NULL)
        (void)cudnnDestroy(planner->handle);
    if (planner->stream != NULL)
        (void)cudaStreamDestroy(planner->stream);
    conv_discard(planner->device);
    free(planner->description);
    free(planner->cache_folder);
    pthread_mutex_destroy(&planner->lock);
    pthread_mutex_destroy(&planner->turn);
    free(planner);
}

static enum status make_room(struct conv_planner *planner, struct error *err)
{
    if (planner->count < planner->capacity)
        return ST_OK;
    int32_t capacity = planner->capacity > 0 ? planner->capacity * 2 : 64;
    struct conv_plan **larger = realloc(planner->plans, (size_t)capacity * sizeof(*larger));
    if (larger == NULL)
        return error_memory(err, "list of convolution plans", (size_t)capacity * sizeof(*larger));
    planner->plans = larger;
    planner->capacity = capacity;
    return ST_OK;
}

static struct conv_plan *find_plan(const struct conv_planner *planner, enum conv_kind kind,
                                   const struct conv_geometry *geometry)
{
    for (int32_t i = 0; i < planner->count; i++) {
        const struct conv_plan_info *info = &planner->plans[i]->info;
        if (info->kind == kind && memcmp(&info->geometry, geometry, sizeof(*geometry)) == 0)
            return planner->plans[i];
    }
    return NULL;
}

/* Equal devices of this process and of others share the cache folder: what one of them is choosing the others wait for,
 * so that they choose alike and nothing is tried twice. */
static enum status recall_or_choose(const struct conv_planner *planner, struct conv_plan *plan,
                                    struct error *err)
{
    if (conv_cache_read(planner, plan))
        return ST_OK;
    enum status st = ST_OK;
    const int turn = conv_cache_begin(planner, &plan->info);
    if (turn < 0 || !conv_cache_read(planner, plan)) {
        trace_begin("choice of a plan");
        st = conv_choose(planner, plan, err);
        trace_end();
        if (st == ST_OK)
            conv_cache_write(planner, plan);
    }
    conv_cache_end(turn);
    return st;
}

static enum status add_plan(struct conv_planner *planner, enum conv_kind kind,
                            const struct conv_geometry *geometry, const struct conv_plan **plan,
                            struct error *err)
{
    if (make_room(planner, err) != ST_OK)
        return err->status;
    struct conv_plan *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(err, "convolution plan", sizeof(*made));
    made->info = (struct conv_plan_info){.kind = kind, .type = planner->options.type, .geometry = *geometry};
    enum status st = recall_or_choose(planner, made, err);
    made->refused = st == ST_UNSUPPORTED && conv_is_fused(kind);
    if (st != ST_OK && !made->refused) {
        free_plan(made);
        return st;
    }
    planner->plans[planner->count++] = made;
    *plan = made;
    return ST_OK;
}

void conv_planner_hold(struct conv_planner *planner)
{
    if (planner == NULL)
        return;
    pthread_mutex_lock(&planner->turn);
    pthread_mutex_lock(&planner->lock);
    pthread_mutex_unlock(&planner->turn);
}

void conv_planner_release(struct conv_planner *planner)
{
    if (planner != NULL)
        pthread_mutex_unlock(&planner->lock);
}

/* The lock is held through a whole choice: two threads that want the same shape make one plan of it, and no two trials
 * disturb each other's times. */
enum status conv_planner_plan(struct conv_planner *planner, enum conv_kind kind,
                              const struct conv_geometry *geometry, const struct conv_plan **plan,
                              struct error *err)
{
    enum status st = ST_OK;
    conv_planner_hold(planner);
    *plan = find_plan(planner, kind, geometry);
    if (*plan == NULL)
        st = add_plan(planner, kind, geometry, plan, err);
    conv_planner_release(planner);
    if (*plan != NULL && (*plan)->refused) {
        *plan = NULL;
        st = error_set(err, ST_UNSUPPORTED, "cuDNN has no plan for a %s of this shape", conv_kind_name(kind));
    }
    return st;
}

/* ---- plans ---- */

size_t conv_plan_workspace(const struct conv_plan *plan)
{
    return plan->workspace;
}

struct conv_plan_info conv_plan_describe(const struct conv_plan *plan)
{
    return plan->info;
}

enum status conv_plan_execute(const struct conv_plan *plan, cudnnHandle_t handle,
                              const struct conv_operands *operands, struct error *err)
{
    const enum conv_kind kind = plan->info.kind;
    int64_t ids[CONV_IDS] = {CONV_ID_X, CONV_ID_KERNEL, CONV_ID_Y}, count = 3;
    void *pointers[CONV_IDS] = {operands->x, operands->kernel, operands->y};
    if (conv_is_fused(kind)) {
        ids[count] = CONV_ID_BIAS;
        pointers[count++] = operands->bias;
    }
    if (conv_adds(kind)) {
        ids[count] = CONV_ID_ADDEND;
        pointers[count++] = operands->addend;
    }
    const char *what = conv_kind_name(kind);
    cudnnBackendDescriptor_t pack = NULL;
    enum status st =
        conv_check(cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack), what, err);
    if (st == ST_OK)
        st = conv_check(
            cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, ids),
            what, err);
    if (st == ST_OK)
        st = conv_check(cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
                                                 CUDNN_TYPE_VOID_PTR, count, pointers),
                        what, err);
    if (st == ST_OK)
        st = conv_check(cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR,
                                                 1, &operands->workspace),
                        what, err);
    if (st == ST_OK)
        st = conv_check(cudnnBackendFinalize(pack), what, err);
    if (st == ST_OK)
        st = conv_check(cudnnBackendExecute(handle, plan->plan, pack), what, err);
    conv_discard(pack);
    return st;
}
