/* Memory of the CPU device: large blocks on huge pages, touched once when they are made, so that no step
 * meets a page fault (small networks lose a third of their time to them otherwise). */
#include "host/cpu/cpu_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LINE = 64 };
static const size_t HUGE_PAGE = (size_t)2 << 20;
static const size_t HUGE_FROM = (size_t)4 << 20; /* smaller blocks would waste too much of their last page */

size_t cpu_memory_size(size_t bytes)
{
    if (bytes < HUGE_FROM)
        return cpu_round_up(bytes > 0 ? bytes : 1, LINE);
    return cpu_round_up(bytes, HUGE_PAGE);
}

void *cpu_memory_new(size_t bytes, int32_t threads)
{
    size_t size = cpu_memory_size(bytes);
    bool huge = size >= HUGE_FROM;
    char *memory = aligned_alloc(huge ? HUGE_PAGE : LINE, size);
    if (memory == NULL)
        return NULL;
    if (!huge) {
        memset(memory, 0, size);
        return memory;
    }
    madvise(memory, size, MADV_HUGEPAGE); /* a wish: small pages work as well */
    int64_t pages = (int64_t)(size / HUGE_PAGE);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < pages; i++)
        memset(memory + (size_t)i * HUGE_PAGE, 0, HUGE_PAGE);
    return memory;
}

void cpu_memory_free(void *memory)
{
    free(memory);
}

/* The number behind `key` at the start of a line of `path`, or the first number of the file when `key` is
 * empty. */
static bool read_number(const char *path, const char *key, unsigned long long *value)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false;
    char line[256];
    bool found = false;
    size_t length = strlen(key);
    while (!found && fgets(line, sizeof(line), file) != NULL)
        found = strncmp(line, key, length) == 0 && sscanf(line + length, "%llu", value) == 1;
    fclose(file);
    return found;
}

void cpu_memory_info(size_t *total, size_t *available)
{
    unsigned long long kilobytes = 0, limit = 0, used = 0;
    *total = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    /* Where the system does not tell, or a file can't be opened now, all of it is: unknown is not none. */
    *available =
        read_number("/proc/meminfo", "MemAvailable:", &kilobytes) ? (size_t)kilobytes * 1024 : *total;
    /* Inside a container the control group's limit counts ("max" is no number and means none). */
    if (read_number("/sys/fs/cgroup/memory.max", "", &limit) && limit < *total) {
        *total = (size_t)limit;
        if (read_number("/sys/fs/cgroup/memory.current", "", &used)) {
            size_t rest = used < limit ? (size_t)(limit - used) : 0;
            if (rest < *available)
                *available = rest;
        }
    }
}
