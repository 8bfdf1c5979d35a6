#include "tests/gpu/emu/emu_memory.h"

#include "tests/gpu/emu/emu_queue.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(memory, bytes)   __asan_poison_memory_region(memory, bytes)
#define UNPOISON(memory, bytes) __asan_unpoison_memory_region(memory, bytes)
#else
#define POISON(memory, bytes)   ((void)(memory), (void)(bytes))
#define UNPOISON(memory, bytes) ((void)(memory), (void)(bytes))
#endif

enum {
    ALIGN = 256,
    GUARD = 256,
    GUARD_BYTE = 0x5d,
    FRESH_BYTE = 0xff,
    FREED_BYTE = 0xfe,
    MOST_BLOCKS = 4096,
    LARGE = 16 << 20, /* larger ones are filled at both ends only: */
    END = 64 << 10
};

/* Blocks in the order of their places; guards lie before the first and behind each. */
struct block {
    size_t at, bytes;
    int device;
};

static struct {
    unsigned char *base;
    size_t bytes, used[EMU_MOST_DEVICES];
    size_t refused;  /* the least number of bytes that are not to be had; 0: none */
    int count, open; /* open: how often emu_memory_open(true) is in force */
    struct block blocks[MOST_BLOCKS];
} memory;

static size_t round_up(size_t value)
{
    return (value + ALIGN - 1) / ALIGN * ALIGN;
}

void emu_memory_reset(size_t bytes)
{
    if (memory.count > 0)
        emu_die("reset while %d allocations exist", memory.count);
    if (memory.base != NULL) {
        UNPOISON(memory.base, memory.bytes);
        munmap(memory.base, memory.bytes);
    }
    memory.bytes = round_up(bytes);
    memset(memory.used, 0, sizeof(memory.used));
    memory.refused = 0;
    memory.base = mmap(NULL, memory.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory.base == MAP_FAILED)
        emu_die("no address space for %zu bytes", memory.bytes);
    POISON(memory.base, memory.bytes);
}

void emu_memory_open(bool accessible)
{
    memory.open += accessible ? 1 : -1;
    if (memory.open == (accessible ? 1 : 0) &&
        mprotect(memory.base, memory.bytes, accessible ? PROT_READ | PROT_WRITE : PROT_NONE) != 0)
        emu_die("mprotect failed");
}

void emu_memory_fill(void *address, int byte, size_t bytes)
{
    unsigned char *first = address;
    memset(first, byte, bytes > LARGE ? END : bytes);
    if (bytes > LARGE)
        memset(first + bytes - END, byte, END);
}

static void fill(size_t at, int byte, size_t bytes)
{
    UNPOISON(memory.base + at, bytes);
    emu_memory_fill(memory.base + at, byte, bytes);
}

void emu_memory_refuse(size_t bytes)
{
    memory.refused = bytes;
}

void *emu_memory_take(int device, size_t bytes)
{
    size_t at = GUARD;
    int place = 0;
    if (memory.refused > 0 && bytes >= memory.refused)
        return NULL;
    while (place < memory.count && memory.blocks[place].at < at + round_up(bytes) + GUARD) {
        at = memory.blocks[place].at + round_up(memory.blocks[place].bytes) + GUARD;
        place++;
    }
    if (at + round_up(bytes) + GUARD > memory.bytes)
        return NULL;
    if (memory.count == MOST_BLOCKS)
        emu_die("more than %d allocations", MOST_BLOCKS);
    memmove(memory.blocks + place + 1, memory.blocks + place,
            (size_t)(memory.count - place) * sizeof(*memory.blocks));
    memory.blocks[place] = (struct block){at, bytes, device};
    memory.count++;
    memory.used[device] += round_up(bytes);
    emu_memory_open(true);
    fill(at - GUARD, GUARD_BYTE, GUARD);
    fill(at, FRESH_BYTE, bytes);
    fill(at + bytes, GUARD_BYTE, round_up(bytes) - bytes + GUARD);
    POISON(memory.base + at - GUARD, GUARD);
    POISON(memory.base + at + bytes, round_up(bytes) - bytes + GUARD);
    emu_memory_open(false);
    return memory.base + at;
}

static int find_block(const void *address)
{
    for (int i = 0; i < memory.count; i++)
        if (memory.base + memory.blocks[i].at == address)
            return i;
    return -1;
}

void emu_memory_give(void *address)
{
    int place = find_block(address);
    if (place < 0)
        emu_die("free of %p, which is no allocation of the device", address);
    struct block block = memory.blocks[place];
    size_t behind = round_up(block.bytes) - block.bytes + GUARD;
    emu_memory_open(true);
    UNPOISON(memory.base + block.at - GUARD, GUARD);
    UNPOISON(memory.base + block.at + block.bytes, behind);
    for (size_t i = 0; i < GUARD; i++)
        if (memory.base[block.at - GUARD + i] != GUARD_BYTE)
            emu_die("written before an allocation of %zu bytes", block.bytes);
    for (size_t i = 0; i < behind; i++)
        if (memory.base[block.at + block.bytes + i] != GUARD_BYTE)
            emu_die("written behind an allocation of %zu bytes, %zu bytes off", block.bytes, i);
    emu_memory_fill(memory.base + block.at, FREED_BYTE, block.bytes);
    POISON(memory.base + block.at, round_up(block.bytes) + GUARD);
    POISON(memory.base + block.at - GUARD, GUARD);
    emu_memory_open(false);
    memory.refused = 0;
    memory.count--;
    memory.used[block.device] -= round_up(block.bytes);
    memmove(memory.blocks + place, memory.blocks + place + 1,
            (size_t)(memory.count - place) * sizeof(*memory.blocks));
}

bool emu_memory_is_device(const void *address)
{
    const unsigned char *byte = address;
    return memory.base != NULL && byte >= memory.base && byte < memory.base + memory.bytes;
}

static const struct block *block_around(const void *address, size_t bytes)
{
    if (!emu_memory_is_device(address))
        return NULL;
    size_t at = (size_t)((const unsigned char *)address - memory.base);
    for (int i = 0; i < memory.count; i++)
        if (at >= memory.blocks[i].at && at + bytes <= memory.blocks[i].at + memory.blocks[i].bytes)
            return &memory.blocks[i];
    return NULL;
}

bool emu_memory_holds(const void *address, size_t bytes)
{
    return block_around(address, bytes) != NULL;
}

int emu_memory_device(const void *address)
{
    return block_around(address, 0)->device;
}

size_t emu_memory_used(int device)
{
    return memory.used[device];
}
