/* Datasets in device memory: pixels as bytes, labels and their sets, class weights, and the table that normalises. */
#include "cuda/device/cuda_internal.h"

#include <stdlib.h>

enum { LEVELS = 256 };

static enum status copy_up(struct device *device, void *to, const void *from, size_t bytes, struct error *err)
{
    return cuda_check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, device->stream),
                      "upload the dataset", err);
}

void cuda_dataset_free(struct device *device, struct device_dataset *dataset)
{
    if (dataset == NULL)
        return;
    (void)cudaSetDevice(device->index);
    cuda_release(device, dataset->memory);       /* behind the steps that read it */
    (void)cudaStreamSynchronize(device->stream); /* only then it counts as free */
    free(dataset);
}

enum status cuda_dataset_upload(struct device *device, const struct dataset_view *view,
                                struct device_dataset **dataset, struct error *err)
{
    float levels[DEVICE_MOST_CHANNELS * LEVELS];
    enum status st = cuda_enter(device, err);
    if (st != ST_OK)
        return st;
    struct device_dataset *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(err, "dataset", sizeof(*made));
    size_t pixels = (size_t)view->count * (size_t)view->channels * (size_t)view->height * (size_t)view->width;
    size_t labels_at = cuda_round_up(pixels), label_bytes = (size_t)view->count * sizeof(*view->labels);
    size_t levels_at = labels_at + cuda_round_up(label_bytes),
           level_bytes = (size_t)view->channels * LEVELS * sizeof(*levels);
    size_t weights_at = levels_at + cuda_round_up(level_bytes),
           weight_bytes = view->class_weights != NULL ? (size_t)view->classes * sizeof(float) : 0;
    size_t sets_at = weights_at + cuda_round_up(weight_bytes),
           set_bytes = view->label_sets != NULL ? (size_t)view->label_set_count * (size_t)view->classes : 0;
    made->serial = ++device->serial;
    st = cuda_allocate(device, sets_at + set_bytes, "dataset", &made->memory, err);
    if (st != ST_OK)
        goto out;
    made->pixels = (uint8_t *)made->memory;
    made->labels = (int32_t *)(void *)(made->memory + labels_at);
    made->levels = (float *)(void *)(made->memory + levels_at);
    made->class_weights = weight_bytes > 0 ? (float *)(void *)(made->memory + weights_at) : NULL;
    made->label_sets = set_bytes > 0 ? (uint8_t *)(made->memory + sets_at) : NULL;
    cuda_gather_levels(view->channels, view->mean, view->deviation, levels);
    st = copy_up(device, made->pixels, view->pixels, pixels, err);
    if (st == ST_OK)
        st = copy_up(device, made->labels, view->labels, label_bytes, err);
    if (st == ST_OK)
        st = copy_up(device, made->levels, levels, level_bytes, err);
    if (st == ST_OK && weight_bytes > 0)
        st = copy_up(device, made->class_weights, view->class_weights, weight_bytes, err);
    if (st == ST_OK && set_bytes > 0)
        st = copy_up(device, made->label_sets, view->label_sets, set_bytes, err);
    if (st == ST_OK)
        st = cuda_wait(device, "upload the dataset", err);
    if (st == ST_OK) {
        *dataset = made;
        made = NULL;
    }
out:
    cuda_dataset_free(device, made);
    return st;
}
