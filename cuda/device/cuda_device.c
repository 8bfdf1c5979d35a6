/* The CUDA device: which there are, opening, and the tables of its functions. */
#include "cuda/device/cuda_group.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Plans a shape that are timed once, where the choice can be kept: cuDNN's first is not always sane. Chosen anew in
 * every run, two of equal speed would make a run that differs in rounding. */
enum { TIMED_PLANS = 8 };

enum { AMPERE = 8 }; /* major compute capability from which there are bf16 and TF32 */

/* ---- errors ---- */

enum status cuda_check(cudaError_t error, const char *what, struct error *err)
{
    if (error == cudaSuccess)
        return ST_OK;
    (void)cudaGetLastError(); /* an error that is told once isn't found again by a later launch */
    return error_set(err, error == cudaErrorMemoryAllocation ? ST_MEMORY : ST_DEVICE,
                     "CUDA cannot %s: %s (%s)", what, cudaGetErrorString(error), cudaGetErrorName(error));
}

enum status cuda_enter(const struct device *device, struct error *err)
{
    return cuda_check(cudaSetDevice(device->index), "use the device", err);
}

enum status cuda_wait(const struct device *device, const char *what, struct error *err)
{
    enum status st = cuda_pace_pause(device, err);
    if (st == ST_OK)
        st = device->member != NULL ? cuda_group_wait(device, NULL, what, err)
                                    : cuda_check(cudaStreamSynchronize(device->stream), what, err);
    return st == ST_OK ? cuda_pace_paused(device, err) : st;
}

enum status cuda_wait_event(const struct device *device, cudaEvent_t event, const char *what,
                            struct error *err)
{
    if (device->member != NULL)
        return cuda_group_wait(device, event, what, err);
    return cuda_check(cudaEventSynchronize(event), what, err);
}

enum status cuda_copy(const struct device *device, void *to, const void *from, size_t bytes,
                      enum cudaMemcpyKind kind, const char *what, struct error *err)
{
    enum status st = device->member != NULL ? cuda_wait(device, what, err) : cuda_pace_pause(device, err);
    if (st == ST_OK)
        st = cuda_check(cudaMemcpyAsync(to, from, bytes, kind, device->stream), what, err);
    return st == ST_OK ? cuda_wait(device, what, err) : st;
}

/* ---- which devices there are ---- */

enum status cuda_count(int32_t *count, struct error *err)
{
    int found = 0, driver = 0, needed = 0; /* found stays as it is on errors */
    cudaError_t error = cudaGetDeviceCount(&found);
    if (error == cudaSuccess && found > 0) {
        *count = found;
        return ST_OK;
    }
    (void)cudaGetLastError();
    switch (error) {
    case cudaSuccess:
    case cudaErrorNoDevice:
        return error_set(err, ST_DEVICE, "the NVIDIA driver shows no GPU (is CUDA_VISIBLE_DEVICES set?)");
    case cudaErrorInsufficientDriver:
        if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
            return error_set(err, ST_DEVICE, "no NVIDIA driver on this machine");
        if (cudaRuntimeGetVersion(&needed) != cudaSuccess)
            needed = CUDART_VERSION;
        return error_set(err, ST_DEVICE, "the NVIDIA driver supports CUDA %d.%d, expected at least %d.%d",
                         driver / 1000, driver % 1000 / 10, needed / 1000, needed % 1000 / 10);
    case cudaErrorStubLibrary:
        return error_set(err, ST_DEVICE, "libcuda.so.1 is the toolkit's stub, expected the NVIDIA driver's");
    default:
        return cuda_check(error, "count devices", err);
    }
}

static enum status check_index(int32_t index, struct error *err)
{
    int32_t count = 0;
    enum status st = cuda_count(&count, err);
    if (st == ST_OK && (index < 0 || index >= count))
        st = error_set(err, ST_RANGE, "cuda device %d, expected 0 to %d", (int)index, (int)count - 1);
    return st;
}

/* How a device computes. */
struct precision {
    enum cuda_type type; /* of activations */
    bool tensor_float;   /* float32 is multiplied as TF32 */
    const char *name;
    enum device_precision word;
    double rounding; /* as in struct device_info */
    int major;       /* of its compute capability */
};

/* Without bf16 and TF32 (T4) float32 is what trains without further care: half precision may overflow. Factors of TF32
 * have ten bits of fraction; some tensor cores cut off the others (Hopper's). */
static enum status choose_precision(enum device_precision wanted, int major, struct precision *precision,
                                    struct error *err)
{
    static const struct precision precisions[] = {
        [PRECISION_BF16] = {CUDA_BF16, false, "bf16", PRECISION_BF16, 0x1p-8, 0},
        [PRECISION_FP16] = {CUDA_HALF, false, "fp16", PRECISION_FP16, 0x1p-11, 0},
        [PRECISION_TF32] = {CUDA_FLOAT, true, "tf32", PRECISION_TF32, 0x1p-10, 0},
        [PRECISION_FP32] = {CUDA_FLOAT, false, "float32", PRECISION_FP32, 0x1p-24, 0}};
    const bool is_new = wanted == PRECISION_BF16 || wanted == PRECISION_TF32;
    if (is_new && major < AMPERE)
        return error_set(err, ST_UNSUPPORTED,
                         "train.precision: found %s, expected fp16 or fp32 for compute capability %d.x",
                         precisions[wanted].name, major);
    if (wanted == PRECISION_AUTO)
        wanted = major >= AMPERE ? PRECISION_BF16 : PRECISION_FP32;
    *precision = precisions[wanted];
    precision->major = major;
    return ST_OK;
}

static enum status read_properties(int32_t index, enum device_precision wanted,
                                   struct cudaDeviceProp *properties, struct device_info *info,
                                   struct precision *precision, struct error *err)
{
    enum status st = cuda_check(cudaGetDeviceProperties(properties, (int)index), "describe the device", err);
    if (st == ST_OK)
        st = choose_precision(wanted, properties->major, precision, err);
    if (st != ST_OK)
        return st;
    memset(info, 0, sizeof(*info));
    snprintf(info->name, sizeof(info->name), "cuda:%d %.60s, compute capability %d.%d, %s", (int)index,
             properties->name, properties->major, properties->minor, precision->name);
    snprintf(info->library, sizeof(info->library), "cuda");
    cuda_versions(info->versions, sizeof(info->versions));
    info->threads = properties->multiProcessorCount;
    info->precision = precision->word;
    info->rounding = precision->rounding;
    info->prepares_slowly = true;
    info->memory_total = properties->totalGlobalMem;
    return ST_OK;
}

enum status cuda_describe(int32_t index, struct device_info *info, struct error *err)
{
    struct cudaDeviceProp properties;
    struct precision precision;
    enum status st = check_index(index, err);
    if (st == ST_OK)
        st = read_properties(index, PRECISION_AUTO, &properties, info, &precision, err);
    if (st == ST_OK)
        info->memory_free = cuda_nvml_free(&properties);
    return st;
}

/* ---- pinned host memory ---- */

enum status cuda_host_allocate(struct device *device, size_t bytes, void **memory, struct error *err)
{
    *memory = NULL;
    enum status st = cuda_enter(device, err);
    if (st == ST_OK)
        st = cuda_check(cudaMallocHost(memory, bytes), "allocate pinned host memory", err);
    if (st == ST_MEMORY)
        (void)cudaGetLastError(); /* it is not one that stays */
    return st;
}

void cuda_host_free(struct device *device, void *memory)
{
    (void)cudaSetDevice(device->index);
    (void)cudaFreeHost(memory);
}

/* ---- open, close ---- */

static const struct device_ops own; /* below */

static void device_close(struct device *device)
{
    if (device == NULL)
        return;
    (void)cudaSetDevice(device->index);
    conv_planner_close(device->planner);
    cuda_branch_close(device);
    if (device->cudnn != NULL)
        (void)cudnnDestroy(device->cudnn);
    cuda_dense_close(device);
    cuda_release(device, device->step);
    cuda_memory_trim(device);
    cuda_pace_close(device);
    if (device->stream != NULL)
        (void)cudaStreamDestroy(device->stream);
    (void)cudaGetLastError(); /* what is left of a device that failed */
    free(device);
}

static enum status open_stream(struct device *device, struct error *err)
{
    enum status st = cuda_check(cudaSetDevice(device->index), "use the device", err);
    if (st == ST_OK)
        st = cuda_check(cudaStreamCreateWithFlags(&device->stream, cudaStreamNonBlocking), "make a stream",
                        err);
    if (st == ST_OK)
        st = cuda_pace_open(device, err);
    if (st == ST_OK)
        st = cuda_memory_open(device, err);
    if (st == ST_OK)
        st = cuda_branch_open(device, err);
    if (st == ST_OK)
        st = cuda_allocate(device, sizeof(*device->step), "step parameters", &device->step, err);
    return st;
}

static enum status open_cudnn(struct device *device, bool tensor_float, bool untimed, struct error *err)
{
    char folder[4096];
    cudnnStatus_t status = cudnnCreate(&device->cudnn);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnSetStream(device->cudnn, device->stream);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnCreate(&device->branch.cudnn);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnSetStream(device->branch.cudnn, device->branch.stream);
    if (status != CUDNN_STATUS_SUCCESS)
        return error_set(err, ST_DEVICE, "cuDNN cannot open the device: %s", cudnnGetErrorString(status));
    cuda_cache_folder(folder, sizeof(folder));
    const struct conv_options options = {.type = device->type,
                                         .deterministic = true,
                                         .tensor_float = tensor_float,
                                         .workspace_limit = CONV_WORKSPACE_LIMIT,
                                         .timed = folder[0] != '\0' && !untimed ? TIMED_PLANS : 1,
                                         .cache_folder = folder[0] != '\0' ? folder : NULL};
    return conv_planner_open(device->index, &options, &device->planner, err);
}

static enum status device_open(const struct device_options *options, struct device **device,
                               struct error *err)
{
    struct cudaDeviceProp properties;
    struct precision precision;
    enum status st = check_index(options->index, err);
    if (st != ST_OK)
        return st;
    struct device *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(err, "cuda device", sizeof(*made));
    made->base.own = &own;
    made->index = options->index;
    st = read_properties(options->index, options->precision, &properties, &made->info, &precision, err);
    if (st == ST_OK) {
        made->type = precision.type;
        st = open_stream(made, err);
    }
    if (st == ST_OK)
        st = open_cudnn(made, precision.tensor_float, options->untimed, err);
    if (st == ST_OK)
        st = cuda_dense_open(made, precision.major, precision.tensor_float, err);
    if (st == ST_OK && !options->untimed)
        st = cuda_probe(made, (size_t)properties.l2CacheSize, err);
    if (st == ST_OK) {
        *device = made;
        made = NULL;
    } else {
        error_prefix(err, "cuda:%d", (int)options->index);
    }
    device_close(made);
    return st;
}

static void device_information(struct device *device, struct device_info *info)
{
    struct error ignored; /* a device that fails says so in the next step; here it just has no memory left */
    *info = device->info;
    if (cuda_enter(device, &ignored) == ST_OK) {
        conv_planner_hold(device->planner); /* what a trial has taken is as good as free */
        (void)cuda_memory_available(device->pool, &info->memory_free, &info->memory_total, &ignored);
        conv_planner_release(device->planner);
    }
}

static double device_energy(struct device *device)
{
    struct cudaDeviceProp properties;
    return cudaGetDeviceProperties(&properties, device->index) == cudaSuccess ? cuda_nvml_joules(&properties)
                                                                              : NAN;
}

static const struct device_ops own = {
    .dataset_upload = cuda_dataset_upload,
    .weights_new = cuda_weights_new,
    .weights_free = cuda_weights_free,
    .weights_upload = cuda_weights_upload,
    .weights_download = cuda_weights_download,
    .weights_copy = cuda_weights_copy,
    .weights_remap = cuda_weights_remap,
    .group_open = cuda_group_open,
    .group_close = cuda_group_close,
    .group_average = cuda_group_average,
    .group_broadcast = cuda_group_broadcast,
    .program_prepare = cuda_program_prepare,
    .program_bind = cuda_program_bind,
    .program_run = cuda_program_run,
    .program_probabilities = cuda_program_probabilities,
    .program_tensor = cuda_program_tensor,
    .program_set_tensor = cuda_program_set_tensor,
    .program_run_op = cuda_program_run_op,
};

DEVICE_CHECKED_OPS(cuda_device_ops, .kind = "cuda", .open = device_open, .close = device_close,
                   .info = device_information, .energy = device_energy, .dataset_free = cuda_dataset_free,
                   .host_allocate = cuda_host_allocate, .host_free = cuda_host_free,
                   .group_abort = cuda_group_abort, .group_check = cuda_group_check,
                   .group_bytes = cuda_group_bytes, .program_free = cuda_program_free,
                   .program_bytes = cuda_program_bytes, .program_report = cuda_program_report,
                   .program_metrics = cuda_program_metrics, .program_set_metrics = cuda_program_set_metrics);
