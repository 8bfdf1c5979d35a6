#include "host/machine/devices.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- choosing ---- */

static enum device_precision precision_of(enum job_precision precision)
{
    switch (precision) {
    case JOB_PRECISION_AUTO:
        return PRECISION_AUTO;
    case JOB_PRECISION_BF16:
        return PRECISION_BF16;
    case JOB_PRECISION_FP16:
        return PRECISION_FP16;
    case JOB_PRECISION_TF32:
        return PRECISION_TF32;
    case JOB_PRECISION_FP32:
        return PRECISION_FP32;
    }
    abort(); /* the schema allows no other */
}

/* The word of the job file. */
static const char *precision_word(enum device_precision precision)
{
    enum job_precision word = 0;
    while (precision_of(word) != precision)
        word++;
    return job_precision_text(word);
}

/* N of "KIND:N", -1 for "KIND" alone; false when the name is neither. */
static bool read_name(const char *name, const char *kind, int32_t *index)
{
    size_t length = strlen(kind);
    *index = -1;
    if (strncmp(name, kind, length) != 0)
        return false;
    if (name[length] == '\0')
        return true;
    if (name[length] != ':' || name[length + 1] < '0' || name[length + 1] > '9')
        return false;
    char *end = NULL;
    errno = 0;
    long number = strtol(name + length + 1, &end, 10);
    *index = (int32_t)number;
    return *end == '\0' && errno == 0 && number < INT32_MAX;
}

static enum status add(struct devices *devices, int32_t index, enum device_precision precision,
                       int32_t threads, const char *name, struct error *err)
{
    if (devices->count == DEVICES_MOST)
        return error_set(err, ST_RANGE, "devices: found more than %d devices, the last \"%s\"", DEVICES_MOST,
                         name);
    devices->options[devices->count++] =
        (struct device_options){.index = index, .threads = threads, .precision = precision};
    return ST_OK;
}

static enum status open_plugin(struct devices *devices, const char *name, struct error *err)
{
    if (devices->plugin.table != NULL)
        return ST_OK;
    if (plugin_open(&devices->plugin, err) != ST_OK)
        return error_prefix(err, "devices: \"%s\"", name);
    return ST_OK;
}

/* One GPU, or all for -1. */
static enum status add_cuda(struct devices *devices, int32_t index, enum device_precision precision,
                            const char *name, struct error *err)
{
    enum status st = open_plugin(devices, name, err);
    if (st != ST_OK)
        return st;
    const int32_t there = devices->plugin.count;
    if (index >= there)
        return error_set(err, ST_RANGE, "devices: found \"%s\", expected cuda:0 to cuda:%d", name,
                         (int)there - 1);
    const int32_t first = index < 0 ? 0 : index, last = index < 0 ? there - 1 : index;
    for (int32_t k = first; st == ST_OK && k <= last; k++)
        st = add(devices, k, precision, 0, name, err);
    return st;
}

/* All GPUs; without one the CPU, and the reason is kept. */
static enum status add_auto(struct devices *devices, enum device_precision precision, int32_t threads,
                            struct error *err)
{
    struct error why;
    if (plugin_open(&devices->plugin, &why) == ST_OK) {
        devices->ops = devices->plugin.table->ops;
        return add_cuda(devices, -1, precision, "auto", err);
    }
    if (why.status == ST_MEMORY) {
        *err = why;
        return why.status;
    }
    memcpy(devices->without, why.message, sizeof(devices->without));
    devices->ops = &cpu_device_ops;
    return add(devices, 0, precision, threads, "auto", err);
}

static enum status add_name(struct devices *devices, const char *name, enum device_precision precision,
                            int32_t threads, struct error *err)
{
    const struct device_ops *ops = NULL;
    enum status st = ST_OK;
    int32_t index;
    if (read_name(name, "cpu", &index))
        ops = &cpu_device_ops;
    else if (read_name(name, "ref", &index))
        ops = &ref_device_ops;
    else if (!read_name(name, "cuda", &index))
        return error_set(err, ST_UNSUPPORTED,
                         "devices: found \"%s\", expected auto, cuda, cuda:N, cpu, cpu:N, ref or ref:N",
                         name);
    if (ops == NULL) {
        st = open_plugin(devices, name, err);
        if (st != ST_OK)
            return st;
        ops = devices->plugin.table->ops;
    }
    devices->ops = ops;
    if (ops->on_host)
        return add(devices, index < 0 ? 0 : index, precision, threads, name, err);
    return add_cuda(devices, index, precision, name, err);
}

/* Several GPUs share the final fit: what they lack for that is told before the search, not after it. */
static enum status check_group(const struct devices *devices, struct error *err)
{
    bool several = false;
    for (int32_t k = 1; k < devices->count; k++)
        several = several || devices->options[k].index != devices->options[0].index;
    if (devices->plugin.table == NULL || !several || devices->plugin.table->can_group(err) == ST_OK)
        return ST_OK;
    return error_prefix(err,
                        "devices: found %d GPUs, expected one (devices = \"cuda:0\") or NCCL, by which "
                        "several train together",
                        (int)devices->count);
}

/* The check of the job lets only names of one kind pass, each once, and "auto" alone. */
enum status devices_choose(const struct job *job, struct devices *devices, struct error *err)
{
    const enum device_precision precision = precision_of(job->train.precision);
    enum status st = ST_OK;
    const bool any = strcmp(job->devices.items[0], "auto") == 0; /* then it is the only one */
    *devices = (struct devices){0};
    if (any)
        st = add_auto(devices, precision, job->threads, err);
    for (int32_t i = 0; st == ST_OK && !any && i < job->devices.count; i++)
        st = add_name(devices, job->devices.items[i], precision, job->threads, err);
    for (int32_t k = 0; k < devices->count; k++)
        devices->options[k].count = devices->count;
    devices->workers = devices->count;
    if (st == ST_OK && devices_are_host(devices) && job->search.workers_per_device > 1)
        st = error_set(
            err, ST_UNSUPPORTED,
            "search.workers_per_device: found %d on \"%s\", expected 1 or \"auto\": only a GPU has several",
            (int)job->search.workers_per_device, devices->ops->kind);
    return st == ST_OK ? check_group(devices, err) : st;
}

/* A text that stands for nothing here comes from a later version. */
void devices_prefer(struct devices *devices, const char *precision)
{
    enum device_precision before = PRECISION_AUTO;
    for (enum device_precision p = PRECISION_BF16; p <= PRECISION_FP32; p++)
        if (strcmp(precision_word(p), precision) == 0)
            before = p;
    for (int32_t k = 0; k < devices->count; k++)
        devices->options[k].before = before;
}

const char *devices_precision_word(const struct devices *devices)
{
    struct device_info info;
    devices->ops->info(devices->items[0].device, &info);
    return info.precision == PRECISION_AUTO ? NULL : precision_word(info.precision);
}

/* ---- opening ---- */

/* A struct device that is being opened, by a thread of its own. */
struct opening {
    struct devices *devices;
    int32_t item;
    pthread_t thread;
    bool threaded;
    enum status st;
    struct error err;
};

static void *open_item(void *context)
{
    struct opening *opening = context;
    const struct devices *devices = opening->devices;
    struct run_device *item = &opening->devices->items[opening->item];
    const struct device_options *options = &devices->options[opening->item];
    struct device_info info;
    opening->st = devices->ops->open(options, &item->device, &opening->err);
    if (opening->st != ST_OK)
        return NULL;
    devices->ops->info(item->device, &info);
    memcpy(item->name, info.name, sizeof(item->name));
    if (item->name[0] == '\0')
        opening->st = error_set(&opening->err, ST_DEVICE, "%s device %d failed as soon as it was open",
                                devices->ops->kind, (int)options->index);
    return NULL;
}

/* Items first to end - 1. To open a GPU is mostly to wait; CPU devices would disturb each other's measurement. */
static enum status open_items(struct devices *devices, int32_t first, int32_t end, struct error *err)
{
    struct opening openings[DEVICES_MOST];
    enum status st = ST_OK;
    for (int32_t k = first; k < end; k++) {
        struct opening *opening = &openings[k];
        *opening = (struct opening){.devices = devices, .item = k};
        opening->threaded = !devices_are_host(devices) && end - first > 1 &&
                            pthread_create(&opening->thread, NULL, open_item, opening) == 0;
        if (!opening->threaded)
            (void)open_item(opening);
    }
    for (int32_t k = first; k < end; k++) {
        if (openings[k].threaded)
            pthread_join(openings[k].thread, NULL);
        if (st == ST_OK && openings[k].st != ST_OK) {
            *err = openings[k].err;
            st = err->status;
        }
    }
    return st;
}

/* Where a device measures what it takes, the others take what the first one did. */
enum status devices_open(struct devices *devices, struct error *err)
{
    if (!devices_are_host(devices))
        return open_items(devices, 0, devices->count, err);
    enum status st = open_items(devices, 0, 1, err);
    const char *word = st == ST_OK ? devices_precision_word(devices) : NULL;
    if (word != NULL)
        devices_prefer(devices, word);
    return st == ST_OK ? open_items(devices, 1, devices->count, err) : st;
}

static void close_item(struct devices *devices, int32_t k)
{
    struct run_device *item = &devices->items[k];
    if (item->device == NULL)
        return;
    if (k < devices->count)
        devices->ops->dataset_free(item->device, item->data);
    devices->ops->close(item->device);
    *item = (struct run_device){0};
}

enum status devices_share(struct devices *devices, int32_t workers_each, struct error *err)
{
    const int32_t before = devices->workers, after = devices->count * workers_each;
    if (after > DEVICES_MOST)
        return error_set(err, ST_RANGE, "devices: found %d with %d workers each, expected at most %d workers",
                         (int)devices->count, (int)workers_each, DEVICES_MOST);
    for (int32_t k = before; k < after; k++)
        devices->options[k] = devices->options[k % devices->count];
    if (after > before)
        devices->workers = after; /* also of those that fail to open: they are closed */
    enum status st = open_items(devices, before, after, err);
    for (int32_t k = before; st == ST_OK && k < after; k++) {
        struct run_device *item = &devices->items[k];
        const size_t length = strlen(item->name);
        item->data = devices->items[k % devices->count].data;
        snprintf(item->name + length, sizeof(item->name) - length, ", worker %d",
                 (int)(k / devices->count) + 1);
    }
    while (devices->workers > after)
        close_item(devices, --devices->workers);
    return st;
}

enum status devices_upload(struct devices *devices, const struct dataset *data, const float *class_weights,
                           struct error *err)
{
    struct dataset_view view = {.count = data->count,
                                .channels = data->channels,
                                .height = data->height,
                                .width = data->width,
                                .classes = data->classes,
                                .pixels = data->pixels,
                                .labels = data->labels,
                                .label_sets = data->label_sets,
                                .label_set_count = data->label_set_count,
                                .class_weights = class_weights};
    enum status st = ST_OK;
    memcpy(view.mean, data->mean, sizeof(view.mean));
    memcpy(view.deviation, data->deviation, sizeof(view.deviation));
    for (int32_t k = 0; st == ST_OK && k < devices->count; k++)
        st = devices->ops->dataset_upload(devices->items[k].device, &view, &devices->items[k].data, err);
    return st;
}

void devices_close(struct devices *devices)
{
    for (int32_t k = devices->workers - 1; k >= 0; k--) /* the owners of the data last */
        close_item(devices, k);
    plugin_close(&devices->plugin);
    *devices = (struct devices){0};
}

bool devices_are_host(const struct devices *devices)
{
    return devices->ops->on_host;
}

int32_t devices_sharing(int32_t count, int32_t batch)
{
    while (batch % count != 0)
        count--;
    return count;
}

/* ---- listing ---- */

static void list_memory(FILE *out, const struct device_info *info)
{
    if (info->memory_free > 0)
        fprintf(out, ", %.1f of %.1f GB free\n", 1e-9 * (double)info->memory_free,
                1e-9 * (double)info->memory_total);
    else
        fprintf(out, ", %.1f GB\n", 1e-9 * (double)info->memory_total);
}

enum status devices_list(FILE *out, struct error *err)
{
    const struct device_options options = {0};
    struct device *device = NULL;
    struct device_info info;
    struct plugin plugin;
    struct error why;
    char library[ERROR_LENGTH];
    if (plugin_open(&plugin, &why) != ST_OK)
        fprintf(out, "no GPU  %s\n", why.message);
    enum status st = ST_OK;
    for (int32_t i = 0; st == ST_OK && i < plugin.count; i++) {
        st = plugin.table->describe(i, &info, err);
        if (st != ST_OK)
            break;
        fprintf(out, "%s, %d multiprocessors", info.name, (int)info.threads);
        list_memory(out, &info);
    }
    if (st == ST_OK && plugin.count > 0) {
        fprintf(out, "        %s\n", info.versions);
        for (int32_t i = 0; plugin.table->library(i, library, sizeof(library)); i++)
            fprintf(out, "        %s\n", library);
    }
    plugin_close(&plugin);
    if (st == ST_OK)
        st = cpu_device_ops.open(&options, &device, err);
    if (st != ST_OK)
        return st;
    cpu_device_ops.info(device, &info);
    fprintf(out, "%s", info.name);
    list_memory(out, &info);
    fprintf(out, "ref     the slow reference in double precision, for tests\n");
    cpu_device_ops.close(device);
    return ST_OK;
}
