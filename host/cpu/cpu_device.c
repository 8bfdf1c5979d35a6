/* The CPU device: opening, datasets, access to tensors, and the tables of its functions. */
#include "host/base/limits.h"
#include "host/cpu/cpu_internal.h"
#include "host/device/host_group.h"
#include "host/device/host_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__
#include <cpuid.h>
#endif

enum { MAX_THREADS = 1024 };

static const struct device_ops own; /* below */

/* ---- device ---- */

static void device_close(struct device *device)
{
    if (device == NULL)
        return;
    dnnl_primitive_attr_destroy(device->user_scratchpad);
    dnnl_stream_destroy(device->stream);
    dnnl_engine_destroy(device->engine);
    free(device);
}

static enum status open_library(struct device *device, struct error *err)
{
    cpu_dnnl_end_without_memory();
    enum status st = cpu_check(dnnl_engine_create(&device->engine, dnnl_cpu, 0), "open the CPU", err);
    if (st == ST_OK)
        st = cpu_check(dnnl_stream_create(&device->stream, device->engine, dnnl_stream_default_flags),
                       "make a stream", err);
    if (st == ST_OK)
        st = cpu_check(dnnl_primitive_attr_create(&device->user_scratchpad), "make attributes", err);
    if (st == ST_OK)
        st = cpu_check(
            dnnl_primitive_attr_set_scratchpad_mode(device->user_scratchpad, dnnl_scratchpad_mode_user),
            "lend its primitives memory", err);
    return st;
}

/* What activations may be kept in. oneDNN also has bf16 where the processor has not, but slower than float32. */
static enum status choose_type(const struct device_options *options, enum cpu_type *type, bool *open,
                               struct error *err)
{
    enum device_precision wanted = options->precision;
    const bool has =
        (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
    if (wanted == PRECISION_AUTO && (options->before != PRECISION_AUTO || options->untimed))
        wanted = options->before == PRECISION_BF16 && has ? PRECISION_BF16 : PRECISION_FP32;
    *open = wanted == PRECISION_AUTO && has;
    *type = wanted == PRECISION_BF16 ? CPU_BF16 : CPU_FLOAT;
    if (wanted == PRECISION_BF16 && !has)
        return error_set(err, ST_UNSUPPORTED,
                         "train.precision: found bf16, expected fp32 for a processor without AVX-512 BF16");
    if (wanted == PRECISION_FP16 || wanted == PRECISION_TF32)
        return error_set(err, ST_UNSUPPORTED, "train.precision: found %s, expected %sfp32 for this processor",
                         wanted == PRECISION_FP16 ? "fp16" : "tf32", has ? "bf16 or " : "");
    return ST_OK;
}

static enum status device_open(const struct device_options *options, struct device **device,
                               struct error *err)
{
    if (options->index < 0)
        return error_set(err, ST_RANGE, "cpu device: index is %d, expected 0 or more", (int)options->index);
    if (options->threads < 0 || options->threads > MAX_THREADS)
        return error_set(err, ST_RANGE,
                         "cpu device: %d threads, expected 1 to %d, or 0 for as many as allowed",
                         (int)options->threads, (int)MAX_THREADS);
    struct device *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(err, "cpu device", sizeof(*made));
    int32_t allowed = limits_threads(&made->allowed);
    made->base.own = &own;
    made->index = options->index;
    const int32_t devices = options->count > 1 ? options->count : 1, share = allowed / devices;
    made->threads = options->threads > 0 ? options->threads : share > 0 ? share : 1;
    made->first_cpu = made->index % devices * made->threads;
    made->pinned = made->threads > 1 && made->threads * devices == CPU_COUNT(&made->allowed);
    /* The values are sets of features. */
    bool wide = (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
    made->block = wide ? 16 : 8;
    bool open = false;
    enum status st = choose_type(options, &made->type, &open, err);
    if (st == ST_OK)
        st = open_library(made, err);
    if (st == ST_OK)
        st = cpu_probe(made, open, err);
    if (st == ST_OK) {
        *device = made;
        made = NULL;
    }
    device_close(made);
    return st;
}

/* The processor's name, as it gives it, without blanks around it. */
static void read_processor(char *name, size_t size)
{
    snprintf(name, size, "processor");
#ifdef __x86_64__
    enum { PARTS = 3 };
    unsigned words[4 * PARTS + 1] = {0};
    const char *text = (const char *)words;
    for (unsigned k = 0; k < PARTS; k++) {
        unsigned *part = words + 4 * k;
        if (!__get_cpuid(0x80000002 + k, &part[0], &part[1], &part[2], &part[3]))
            return;
    }
    text += strspn(text, " ");
    if (text[0] != '\0')
        snprintf(name, size, "%s", text);
    for (size_t end = strlen(name); end > 0 && name[end - 1] == ' '; end--)
        name[end - 1] = '\0';
#endif
}

static void device_information(struct device *device, struct device_info *info)
{
    char processor[49]; /* CPUID has 48 bytes */
    const dnnl_version_t *version = dnnl_version();
    read_processor(processor, sizeof(processor));
    memset(info, 0, sizeof(*info));
    snprintf(info->library, sizeof(info->library), "onednn");
    snprintf(info->versions, sizeof(info->versions), "%d.%d.%d", version->major, version->minor,
             version->patch);
    snprintf(info->name, sizeof(info->name), "cpu:%d %s, %d thread%s, %s, oneDNN %.20s", (int)device->index,
             processor, (int)device->threads, device->threads == 1 ? "" : "s",
             device->type == CPU_BF16 ? "bf16" : "float32", info->versions);
    info->threads = device->threads;
    info->flops = device->flops;
    info->bytes = device->bytes;
    info->precision = device->type == CPU_BF16 ? PRECISION_BF16 : PRECISION_FP32;
    info->rounding = device->type == CPU_BF16 ? 0x1p-8 : 0x1p-24;
    limits_memory("", &info->memory_total, &info->memory_free);
}

/* ---- datasets ---- */

static void dataset_free(struct device *device, struct device_dataset *dataset)
{
    (void)device;
    if (dataset == NULL)
        return;
    cpu_memory_free(dataset->pixels);
    cpu_memory_free(dataset->labels);
    free(dataset->class_weights);
    free(dataset->label_sets);
    free(dataset);
}

static enum status dataset_upload(struct device *device, const struct dataset_view *view,
                                  struct device_dataset **dataset, struct error *err)
{
    size_t labels = (size_t)view->count * sizeof(*view->labels);
    size_t weights = (size_t)view->classes * sizeof(*view->class_weights);
    size_t sets = (size_t)view->label_set_count * (size_t)view->classes;
    size_t pixels = (size_t)view->count * (size_t)view->channels * (size_t)view->height * (size_t)view->width;
    struct device_dataset *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(err, "dataset", sizeof(*made));
    made->pixels = cpu_memory_new(pixels, device->threads);
    made->labels = cpu_memory_new(labels, device->threads);
    if (view->class_weights != NULL)
        made->class_weights = malloc(weights);
    if (view->label_sets != NULL)
        made->label_sets = malloc(sets);
    if (made->pixels == NULL || made->labels == NULL ||
        (view->class_weights != NULL && made->class_weights == NULL) ||
        (view->label_sets != NULL && made->label_sets == NULL)) {
        dataset_free(device, made);
        return error_memory(err, "dataset", pixels + labels);
    }
    memcpy(made->pixels, view->pixels, pixels);
    memcpy(made->labels, view->labels, labels);
    made->view = *view;
    made->view.pixels = made->pixels;
    made->view.labels = made->labels;
    if (view->class_weights != NULL)
        memcpy(made->class_weights, view->class_weights, weights);
    made->view.class_weights = made->class_weights;
    if (view->label_sets != NULL)
        memcpy(made->label_sets, view->label_sets, sets);
    made->view.label_sets = made->label_sets;
    *dataset = made;
    return ST_OK;
}

/* ---- what can be read of a program ---- */

static enum status program_metrics(struct device *device, struct device_program *prepared,
                                   double metrics[METRIC_COUNT], struct error *err)
{
    (void)device;
    (void)err;
    memcpy(metrics, prepared->metrics, sizeof(prepared->metrics));
    return ST_OK;
}

static enum status program_set_metrics(struct device *device, struct device_program *prepared,
                                       const double metrics[METRIC_COUNT], struct error *err)
{
    (void)device;
    (void)err;
    memcpy(prepared->metrics, metrics, sizeof(prepared->metrics));
    return ST_OK;
}

static enum status program_tensor(struct device *device, struct device_program *prepared, int32_t id,
                                  float *values, struct error *err)
{
    (void)device;
    (void)err;
    cpu_layout_unpack(prepared, id, values);
    return ST_OK;
}

static enum status program_set_tensor(struct device *device, struct device_program *prepared, int32_t id,
                                      const float *values, struct error *err)
{
    (void)device;
    (void)err;
    cpu_layout_pack(prepared, id, values);
    return ST_OK;
}

static enum status program_probabilities(struct device *device, struct device_program *prepared,
                                         float *probabilities, struct error *err)
{
    return program_tensor(device, prepared, prepared->program->probabilities, probabilities, err);
}

static void program_report(const struct device_program *prepared, struct device_report *report)
{
    *report = prepared->report;
}

static const struct device_ops own = {
    .dataset_upload = dataset_upload,
    .weights_new = cpu_weights_new,
    .weights_free = cpu_weights_free,
    .weights_upload = cpu_weights_upload,
    .weights_download = cpu_weights_download,
    .weights_copy = cpu_weights_copy,
    .weights_remap = cpu_weights_remap,
    .group_open = host_group_open,
    .group_close = host_group_close,
    .group_average = cpu_group_average,
    .group_broadcast = cpu_group_broadcast,
    .program_prepare = cpu_program_prepare,
    .program_bind = cpu_program_bind,
    .program_run = cpu_program_run,
    .program_probabilities = program_probabilities,
    .program_tensor = program_tensor,
    .program_set_tensor = program_set_tensor,
    .program_run_op = cpu_program_run_op,
};

DEVICE_CHECKED_OPS(cpu_device_ops, .kind = "cpu", .on_host = true, .open = device_open, .close = device_close,
                   .info = device_information, .dataset_free = dataset_free,
                   .host_allocate = host_memory_allocate, .host_free = host_memory_free,
                   .group_abort = host_group_abort, .group_check = host_group_check,
                   .group_bytes = host_group_bytes, .program_free = cpu_program_free,
                   .program_bytes = cpu_program_bytes, .program_report = program_report,
                   .program_metrics = program_metrics, .program_set_metrics = program_set_metrics);
