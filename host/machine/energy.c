#include "host/machine/energy.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A counter of 2^32 microjoules lasts 14 s at 300 W, those of today's processors minutes and more. */
enum { MOST_COUNTERS = 16, LOOK_SECONDS = 5 };

/* A processor's, in microjoules: from 0 to `range`, then from 0 again. */
struct counter {
    char path[320];
    double range, last;
};

struct energy_meter {
    const struct devices *devices; /* NULL: by the counters below */
    double began;                  /* joules of the devices when it was opened */

    struct counter counters[MOST_COUNTERS];
    int count;
    pthread_t thread;
    pthread_mutex_t lock; /* of all that follows, and of the counters */
    pthread_cond_t ended;
    bool over;
    double joules; /* that were counted until the last look; NAN: one failed */
};

/* ---- GPUs ---- */

/* Of all of them, since some moment. */
static double devices_joules(const struct devices *devices)
{
    double joules = 0.0;
    if (devices->ops->energy == NULL)
        return NAN;
    for (int32_t k = 0; k < devices->count; k++)
        joules += devices->ops->energy(devices->items[k].device);
    return joules;
}

/* ---- RAPL ---- */

/* NAN where the file can't be read or has no number from 0. */
static double read_number(const char *path)
{
    double number = NAN;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return NAN;
    if (fscanf(file, "%lf", &number) != 1 || !(number >= 0.0))
        number = NAN;
    fclose(file);
    return number;
}

/* Whether it is a processor's: others are parts of one, or all of the machine once more. */
static bool is_package(const char *folder)
{
    char path[320], name[32] = "";
    snprintf(path, sizeof(path), "%s/name", folder);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    const bool read = fgets(name, sizeof(name), file) != NULL;
    fclose(file);
    return read && strncmp(name, "package", strlen("package")) == 0;
}

/* False where a processor's counter can't be read: the others would tell of a part. */
static bool find_counters(struct energy_meter *meter, const char *powercap)
{
    bool readable = true;
    DIR *top = opendir(powercap);
    for (struct dirent *entry; top != NULL && (entry = readdir(top)) != NULL;) {
        char folder[288], range[320];
        snprintf(folder, sizeof(folder), "%s/%.200s", powercap, entry->d_name);
        if (strncmp(entry->d_name, "intel-rapl:", strlen("intel-rapl:")) != 0 || !is_package(folder))
            continue;
        if (meter->count == MOST_COUNTERS) {
            readable = false;
            break;
        }
        struct counter *counter = &meter->counters[meter->count++];
        snprintf(counter->path, sizeof(counter->path), "%s/energy_uj", folder);
        snprintf(range, sizeof(range), "%s/max_energy_range_uj", folder);
        counter->last = read_number(counter->path);
        counter->range = read_number(range);
        readable = readable && isfinite(counter->last) && isfinite(counter->range);
    }
    if (top != NULL)
        closedir(top);
    return readable && meter->count > 0;
}

/* Adds what each counter has counted since the last look. The lock is held. */
static void look(struct energy_meter *meter)
{
    for (int i = 0; i < meter->count; i++) {
        struct counter *counter = &meter->counters[i];
        const double now = read_number(counter->path), more = now - counter->last;
        meter->joules += 1e-6 * (more < 0.0 ? more + counter->range : more);
        counter->last = now;
    }
}

static void *keep_looking(void *context)
{
    struct energy_meter *meter = context;
    pthread_mutex_lock(&meter->lock);
    while (!meter->over) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += LOOK_SECONDS;
        pthread_cond_timedwait(&meter->ended, &meter->lock, &until);
        look(meter);
    }
    pthread_mutex_unlock(&meter->lock);
    return NULL;
}

/* ---- either ---- */

static bool begin(struct energy_meter *meter, const struct devices *devices, const char *powercap)
{
    if (devices_are_host(devices))
        return find_counters(meter, powercap) &&
               pthread_create(&meter->thread, NULL, keep_looking, meter) == 0;
    meter->devices = devices;
    meter->began = devices_joules(devices);
    return isfinite(meter->began);
}

struct energy_meter *energy_open(const struct devices *devices, const char *powercap)
{
    struct energy_meter *meter = calloc(1, sizeof(*meter));
    if (meter == NULL)
        return NULL;
    pthread_mutex_init(&meter->lock, NULL);
    pthread_cond_init(&meter->ended, NULL);
    if (begin(meter, devices, powercap))
        return meter;
    pthread_cond_destroy(&meter->ended);
    pthread_mutex_destroy(&meter->lock);
    free(meter);
    return NULL;
}

void energy_close(struct energy_meter *meter)
{
    if (meter == NULL)
        return;
    if (meter->devices == NULL) {
        pthread_mutex_lock(&meter->lock);
        meter->over = true;
        pthread_cond_signal(&meter->ended);
        pthread_mutex_unlock(&meter->lock);
        pthread_join(meter->thread, NULL);
    }
    pthread_cond_destroy(&meter->ended);
    pthread_mutex_destroy(&meter->lock);
    free(meter);
}

double energy_joules(struct energy_meter *meter)
{
    if (meter == NULL)
        return NAN;
    if (meter->devices != NULL)
        return devices_joules(meter->devices) - meter->began;
    pthread_mutex_lock(&meter->lock);
    look(meter);
    const double joules = meter->joules;
    pthread_mutex_unlock(&meter->lock);
    return joules;
}

const char *energy_source(const struct energy_meter *meter)
{
    return meter == NULL ? NULL : meter->devices != NULL ? "GPUs" : "RAPL";
}
