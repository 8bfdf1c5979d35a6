#include "host/machine/memory.h"

#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* Blocks from this size on are mappings of their own. Left alone, the C library raises this limit as blocks
 * are freed, and arenas then lie in the heap, where one small block behind them keeps them. */
enum { OWN_MAPPING_BYTES = 1 << 20 };

void memory_begin(void)
{
    mallopt(M_MMAP_THRESHOLD, OWN_MAPPING_BYTES);
}

size_t memory_peak(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (size_t)usage.ru_maxrss * 1024;
}

/* What the process holds now; its peak where the system does not tell. */
static size_t resident(void)
{
    unsigned long long mapped, pages;
    size_t bytes = memory_peak();
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return bytes;
    if (fscanf(file, "%llu %llu", &mapped, &pages) == 2)
        bytes = (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
    fclose(file);
    return bytes;
}

void memory_opened(struct memory *memory, bool device_is_host)
{
    malloc_trim(0); /* what opening has freed is not the base's */
    *memory = (struct memory){.device_is_host = device_is_host, .base = resident(), .opening = memory_peak()};
}

void memory_reserve(struct memory *memory, struct memory_need *need, size_t cached)
{
    const size_t training = need->training * (size_t)(need->devices > 1 ? need->devices : 1);
    const size_t inheriting = (memory->device_is_host ? need->inheritance : 0) + need->parent;
    const size_t trained = (memory->device_is_host ? training + need->values : 0) + need->values;
    size_t largest = trained > inheriting ? trained : inheriting; /* one comes after the other */
    largest = need->predictions > largest ? need->predictions : largest;
    need->added = need->past + need->answers + largest;
    memory->in_training += need->added;
    if (memory->in_training + cached > memory->largest)
        memory->largest = memory->in_training + cached;
}

void memory_release(struct memory *memory, const struct memory_need *need)
{
    memory->in_training -= need->added;
}

size_t memory_reserved(const struct memory *memory)
{
    size_t trained = memory->base + memory->largest;
    return trained > memory->opening ? trained : memory->opening;
}
