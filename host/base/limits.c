#include "host/base/limits.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

enum { LINE_LENGTH = 4096 + PATH_MAX };

/* The folder of this process's group, and where those above it end. */
struct group {
    char path[PATH_MAX];
    size_t mount;    /* length of the mount point in it */
    bool is_unified; /* version 2 */
};

/* ---- files of one value ---- */

static FILE *open_below(const char *root, const char *path)
{
    char whole[PATH_MAX];
    if (snprintf(whole, sizeof(whole), "%s%s", root, path) >= (int)sizeof(whole))
        return NULL;
    return fopen(whole, "re");
}

/* The number behind `key` at the start of a line of `file`, or its first number when `key` is empty. Closes it. */
static bool read_number(FILE *file, const char *key, unsigned long long *value)
{
    char line[256];
    bool found = false;
    const size_t length = strlen(key);
    while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL)
        found = strncmp(line, key, length) == 0 && sscanf(line + length, "%llu", value) == 1;
    if (file != NULL)
        fclose(file);
    return found;
}

static FILE *open_in_group(const struct group *group, const char *name)
{
    return open_below(group->path, name);
}

/* ---- which group ---- */

static bool has_word(const char *list, const char *word)
{
    const size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)) != NULL; at += length) {
        const bool begins = at == list || at[-1] == ',';
        if (begins && (at[length] == '\0' || at[length] == ',' || at[length] == '\n'))
            return true;
    }
    return false;
}

/* This process's group of the controller, or of version 2, as /proc/self/cgroup names it: "4:cpu,cpuacct:/a/b". */
static bool read_name(const char *root, const char *controller, bool unified, char name[PATH_MAX])
{
    char line[LINE_LENGTH];
    bool found = false;
    FILE *file = open_below(root, "/proc/self/cgroup");
    while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL) {
        char *controllers = strchr(line, ':'),
             *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (path == NULL)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        controllers++;
        found = unified ? controllers[0] == '\0' : has_word(controllers, controller);
        if (found)
            snprintf(name, PATH_MAX, "%.*s", PATH_MAX - 1, path);
    }
    if (file != NULL)
        fclose(file);
    return found;
}

/* Where that hierarchy is mounted, and which of its groups is the root there: of /proc/self/mountinfo's
 * "36 35 98:0 ROOT MOUNT options [optional ...] - type source superoptions". */
static bool read_mount(const char *root, const char *controller, bool unified, char mounted[PATH_MAX],
                       char mount[PATH_MAX])
{
    char line[LINE_LENGTH];
    bool found = false;
    FILE *file = open_below(root, "/proc/self/mountinfo");
    while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL) {
        char type[32], super[1024];
        const char *rest = strstr(line, " - ");
        if (rest == NULL || sscanf(rest, " - %31s %*s %1023s", type, super) != 2 ||
            sscanf(line, "%*s %*s %*s %4095s %4095s", mounted, mount) != 2)
            continue;
        found = unified ? strcmp(type, "cgroup2") == 0
                        : strcmp(type, "cgroup") == 0 && has_word(super, controller);
    }
    if (file != NULL)
        fclose(file);
    return found;
}

/* A container may show a group as the root of what is mounted, under the name that it has outside; then the name
 * begins with it. A name from outside that is not below what is mounted can't be followed: the root counts. */
static bool find_group(const char *root, const char *controller, bool unified, struct group *group)
{
    char name[PATH_MAX], mounted[PATH_MAX], mount[PATH_MAX];
    if (!read_name(root, controller, unified, name) || !read_mount(root, controller, unified, mounted, mount))
        return false;
    const size_t above = strcmp(mounted, "/") == 0 ? 0 : strlen(mounted);
    const char *below = strncmp(name, mounted, above) == 0 ? name + above : "";
    if (strstr(below, "..") != NULL || strcmp(below, "/") == 0)
        below = "";
    const int length = snprintf(group->path, sizeof(group->path), "%s%s", root, mount);
    const int rest = length < PATH_MAX
                         ? snprintf(group->path + length, sizeof(group->path) - (size_t)length, "%s", below)
                         : PATH_MAX;
    group->mount = (size_t)length;
    group->is_unified = unified;
    return length + rest < PATH_MAX;
}

/* From a group to the one above it; false at the root. */
static bool go_up(struct group *group)
{
    char *last = strrchr(group->path, '/');
    if (strlen(group->path) <= group->mount || last == NULL)
        return false;
    *last = '\0';
    return true;
}

/* ---- memory ---- */

static size_t smaller(size_t a, unsigned long long b)
{
    return b < a ? (size_t)b : a;
}

/* Pages of files that nobody has used for a while count as used, and are given back when they are needed. */
static void count_memory(const struct group *group, size_t machine, size_t *total, size_t *free_bytes)
{
    static const char *const limits[] = {"/memory.max", "/memory.high", "/memory.limit_in_bytes"};
    unsigned long long limit = ULLONG_MAX, value, used, idle = 0;
    for (int i = 0; i < 3; i++) { /* those that its version has; "max" is no number and means none */
        if (read_number(open_in_group(group, limits[i]), "", &value) && value < limit)
            limit = value;
    }
    if (limit >= machine)
        return;
    *total = smaller(*total, limit);
    *free_bytes = smaller(*free_bytes, limit);
    if (!read_number(open_in_group(group, group->is_unified ? "/memory.current" : "/memory.usage_in_bytes"),
                     "", &used))
        return;
    (void)read_number(open_in_group(group, "/memory.stat"),
                      group->is_unified ? "inactive_file " : "total_inactive_file ", &idle);
    used -= idle < used ? idle : used;
    *free_bytes = smaller(*free_bytes, used < limit ? limit - used : 0);
}

/* Without /proc/meminfo the system tells what nobody uses, but not what it could take back from files: half the machine
 * then, at least. */
static size_t unused(size_t total)
{
    struct sysinfo info;
    size_t bytes = total / 2;
    if (sysinfo(&info) == 0) {
        const size_t told = ((size_t)info.freeram + (size_t)info.bufferram) * info.mem_unit;
        bytes = told > bytes && told <= total ? told : bytes;
    }
    return bytes;
}

void limits_memory(const char *root, size_t *total, size_t *free_bytes)
{
    unsigned long long kilobytes;
    struct group group;
    const size_t machine = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    *total = machine;
    *free_bytes = read_number(open_below(root, "/proc/meminfo"), "MemAvailable:", &kilobytes)
                      ? (size_t)kilobytes * 1024
                      : unused(*total);
    for (int unified = 0; unified < 2; unified++) {
        if (!find_group(root, "memory", unified, &group))
            continue;
        do
            count_memory(&group, machine, total, free_bytes);
        while (go_up(&group));
    }
}

/* ---- CPUs ---- */

/* "200000 100000": microseconds of each period. Version 1 has a file for each, and -1 for none. */
static bool read_quota(const struct group *group, long long *time, long long *period)
{
    int numbers = 0;
    FILE *file = open_in_group(group, group->is_unified ? "/cpu.max" : "/cpu.cfs_quota_us");
    if (file == NULL)
        return false;
    numbers = fscanf(file, "%lld %lld", time, period);
    fclose(file);
    if (!group->is_unified && numbers == 1) {
        file = open_in_group(group, "/cpu.cfs_period_us");
        if (file != NULL) {
            numbers += fscanf(file, "%lld", period) == 1;
            fclose(file);
        }
    }
    return numbers == 2 && *time > 0 && *period > 0;
}

int32_t limits_cpus(const char *root)
{
    struct group group;
    long long time, period;
    int32_t least = 0;
    for (int unified = 0; unified < 2; unified++) {
        if (!find_group(root, "cpu", unified, &group))
            continue;
        do {
            if (!read_quota(&group, &time, &period))
                continue;
            const int32_t cpus = (int32_t)((time + period - 1) / period);
            least = least == 0 || cpus < least ? cpus : least;
        } while (go_up(&group));
    }
    return least;
}

int32_t limits_threads(cpu_set_t *allowed)
{
    CPU_ZERO(allowed);
    const int32_t limit = limits_cpus("");
    int32_t count;
    if (sched_getaffinity(0, sizeof(*allowed), allowed) == 0)
        count = CPU_COUNT(allowed);
    else /* more CPUs than a cpu_set_t holds: none is in it */
        count = (int32_t)sysconf(_SC_NPROCESSORS_ONLN);
    return limit > 0 && limit < count ? limit : count;
}
