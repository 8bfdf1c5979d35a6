/* The reference device: opening, datasets, and the tables of its functions. */
#include "host/device/host_group.h"
#include "host/device/host_memory.h"
#include "host/ref/ref.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct device_ops own; /* below */

static enum status ref_open(const struct device_options *options, struct device **device, struct error *err)
{
    *device = malloc(sizeof(**device));
    if (!*device)
        return error_memory(err, "reference device", sizeof(**device));
    **device = (struct device){.base.own = &own, .index = options->index};
    return ST_OK;
}

static void ref_close(struct device *device)
{
    free(device);
}

/* flops and bytes stay 0, unknown: nobody should plan by the speed of this device. */
static void ref_info(struct device *device, struct device_info *info)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    memset(info, 0, sizeof(*info));
    snprintf(info->name, sizeof(info->name), "ref:%d plain loops, double precision", device->index);
    info->threads = 1;
    info->rounding = 0x1p-53;
    info->memory_total = (size_t)sysconf(_SC_PHYS_PAGES) * page;
    info->memory_free = (size_t)sysconf(_SC_AVPHYS_PAGES) * page;
}

static void ref_dataset_free(struct device *device, struct device_dataset *dataset)
{
    (void)device;
    if (!dataset)
        return;
    free(dataset->pixels);
    free(dataset->labels);
    free(dataset->class_weights);
    free(dataset->label_sets);
    free(dataset);
}

static enum status ref_dataset_upload(struct device *device, const struct dataset_view *view,
                                      struct device_dataset **dataset, struct error *err)
{
    size_t pixels = (size_t)view->count * (size_t)view->channels * (size_t)view->height * (size_t)view->width;
    size_t labels = (size_t)view->count * sizeof(*view->labels);
    size_t weights = (size_t)view->classes * sizeof(*view->class_weights);
    size_t sets = (size_t)view->label_set_count * (size_t)view->classes;
    struct device_dataset *made = calloc(1, sizeof(*made));
    if (!made)
        return error_memory(err, "dataset", sizeof(*made));
    memcpy(made->mean, view->mean, sizeof(made->mean));
    memcpy(made->deviation, view->deviation, sizeof(made->deviation));
    made->pixels = malloc(pixels);
    made->labels = malloc(labels);
    if (view->class_weights)
        made->class_weights = malloc(weights);
    if (view->label_sets)
        made->label_sets = malloc(sets);
    if (!made->pixels || !made->labels || (view->class_weights && !made->class_weights) ||
        (view->label_sets && !made->label_sets)) {
        ref_dataset_free(device, made);
        return error_memory(err, "dataset", pixels + labels);
    }
    memcpy(made->pixels, view->pixels, pixels);
    memcpy(made->labels, view->labels, labels);
    if (view->class_weights)
        memcpy(made->class_weights, view->class_weights, weights);
    if (view->label_sets)
        memcpy(made->label_sets, view->label_sets, sets);
    *dataset = made;
    return ST_OK;
}

static const struct device_ops own = {
    .dataset_upload = ref_dataset_upload,
    .weights_new = ref_weights_new,
    .weights_free = ref_weights_free,
    .weights_upload = ref_weights_upload,
    .weights_download = ref_weights_download,
    .weights_copy = ref_weights_copy,
    .weights_remap = ref_weights_remap,
    .group_open = host_group_open,
    .group_close = host_group_close,
    .group_average = ref_group_average,
    .group_broadcast = ref_group_broadcast,
    .program_prepare = ref_program_prepare,
    .program_bind = ref_program_bind,
    .program_run = ref_program_run,
    .program_probabilities = ref_program_probabilities,
    .program_tensor = ref_program_tensor,
    .program_set_tensor = ref_program_set_tensor,
    .program_run_op = ref_program_run_op,
};

DEVICE_CHECKED_OPS(ref_device_ops, .kind = "ref", .on_host = true, .open = ref_open, .close = ref_close,
                   .info = ref_info, .dataset_free = ref_dataset_free, .host_allocate = host_memory_allocate,
                   .host_free = host_memory_free, .group_abort = host_group_abort,
                   .group_check = host_group_check, .group_bytes = host_group_bytes,
                   .program_free = ref_program_free, .program_bytes = ref_program_bytes,
                   .program_report = ref_program_report, .program_metrics = ref_program_metrics,
                   .program_set_metrics = ref_program_set_metrics);
