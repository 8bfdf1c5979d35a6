#include "host/run/devices.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char cuda_name[] = "cuda";

static enum status choose_cuda(struct device_choice *choice, const char *name, int32_t index,
                               struct error *err)
{
    enum status st = plugin_open(&choice->plugin, err);
    if (st != ST_OK)
        return error_prefix(err, "devices.use: \"%s\"", name);
    if (index >= choice->plugin.count) {
        st = error_set(err, ST_RANGE, "devices.use: found \"%s\", expected cuda:0 to cuda:%d", name,
                       (int)choice->plugin.count - 1);
        plugin_close(&choice->plugin);
        return st;
    }
    choice->ops = choice->plugin.table->ops;
    choice->options.index = index;
    return ST_OK;
}

static enum status choose_auto(struct device_choice *choice, struct error *err)
{
    struct error why;
    if (choose_cuda(choice, "auto", 0, &why) == ST_OK)
        return ST_OK;
    if (why.status == ST_MEMORY) {
        *err = why;
        return why.status;
    }
    const char *reason = strstr(why.message, ": \"auto\": ");
    reason = reason != NULL ? reason + strlen(": \"auto\": ") : why.message;
    memcpy(choice->without, reason, strlen(reason) + 1);
    choice->ops = &cpu_device_ops;
    return ST_OK;
}

/* N of "cuda:N", 0 of "cuda"; -1 for anything else. */
static int32_t cuda_index(const char *name)
{
    size_t length = sizeof cuda_name - 1;
    if (strncmp(name, cuda_name, length) != 0)
        return -1;
    if (name[length] == '\0')
        return 0;
    char *end = NULL;
    errno = 0;
    long index = name[length] == ':' && name[length + 1] >= '0' && name[length + 1] <= '9'
                     ? strtol(name + length + 1, &end, 10)
                     : -1;
    return end != NULL && *end == '\0' && errno == 0 && index <= INT32_MAX ? (int32_t)index : -1;
}

/* The schema allows no other names. */
static enum device_precision precision_of(const char *name)
{
    static const char *const names[] = {"auto", "bf16", "fp16", "tf32", "fp32"};
    int32_t precision = PRECISION_FP32;
    while (precision > PRECISION_AUTO && strcmp(name, names[precision]) != 0)
        precision--;
    return (enum device_precision)precision;
}

enum status devices_choose(const struct job *job, struct device_choice *choice, struct error *err)
{
    const char *name = job->devices.items[0];
    *choice = (struct device_choice){
        .options = {.threads = job->threads, .precision = precision_of(job->train.precision)}};
    if (job->devices.count != 1)
        return error_set(err, ST_UNSUPPORTED, "devices.use: found %d devices, expected one",
                         job->devices.count);
    if (strcmp(name, "auto") == 0)
        return choose_auto(choice, err);
    if (strcmp(name, "cpu") == 0)
        choice->ops = &cpu_device_ops;
    else if (strcmp(name, "ref") == 0)
        choice->ops = &ref_device_ops;
    else if (cuda_index(name) >= 0)
        return choose_cuda(choice, name, cuda_index(name), err);
    else
        return error_set(err, ST_UNSUPPORTED,
                         "devices.use: found \"%s\", expected auto, cpu, ref, cuda or cuda:N", name);
    return ST_OK;
}

void devices_release(struct device_choice *choice)
{
    plugin_close(&choice->plugin);
    *choice = (struct device_choice){0};
}

enum status devices_list(FILE *out, struct error *err)
{
    const struct device_options options = {0};
    struct device *device = NULL;
    struct device_info info;
    struct plugin plugin;
    struct error why;
    if (plugin_open(&plugin, &why) != ST_OK)
        fprintf(out, "no GPU  %s\n", why.message);
    enum status st = ST_OK;
    for (int32_t i = 0; st == ST_OK && i < plugin.count; i++) {
        st = plugin.table->describe(i, &info, err);
        if (st == ST_OK)
            fprintf(out, "%s, %d multiprocessors, %.1f of %.1f GB free\n", info.name, (int)info.threads,
                    1e-9 * (double)info.memory_free, 1e-9 * (double)info.memory_total);
    }
    plugin_close(&plugin);
    if (st == ST_OK)
        st = cpu_device_ops.open(&options, &device, err);
    if (st != ST_OK)
        return st;
    cpu_device_ops.info(device, &info);
    fprintf(out, "%s, %.1f of %.1f GB free\n", info.name, 1e-9 * (double)info.memory_free,
            1e-9 * (double)info.memory_total);
    fprintf(out, "ref     the slow reference in double precision, for tests\n");
    cpu_device_ops.close(device);
    return ST_OK;
}
