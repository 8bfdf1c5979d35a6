/* Memory of the CPU device: large blocks on huge pages, touched once when they are made, so that no step
 * meets a page fault (small networks lose a third of their time to them otherwise). */
#include "host/cpu/cpu_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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
