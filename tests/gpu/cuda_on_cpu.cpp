/* The fibers behind cuda_on_cpu.h. */
#include "tests/gpu/cuda_on_cpu.h"

#include <cstdio>
#include <sys/mman.h>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER 1
#endif
#endif

#if defined(ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define SWITCH_START(save, stack, size) __sanitizer_start_switch_fiber(save, stack, size)
#define SWITCH_DONE(save, stack, size)  __sanitizer_finish_switch_fiber(save, stack, size)
#define STACK_CLEAN(stack, size)        __asan_unpoison_memory_region(stack, size)
#else
#define SWITCH_START(save, stack, size) ((void)0)
#define SWITCH_DONE(save, stack, size)  ((void)0)
#define STACK_CLEAN(stack, size)        ((void)0)
#endif

#if !defined(__x86_64__)
#error "switch_stack is written for x86-64 only"
#endif

struct cuda_on_cpu_settings cuda_on_cpu = {256, 8192, 0};

/* Saves the registers that a call keeps on the stack, stores the stack's pointer in *from, and goes on at
 * `to`. */
extern "C" void cuda_on_cpu_switch_stack(void **from, void *to);
__asm__(".text\n.globl cuda_on_cpu_switch_stack\ncuda_on_cpu_switch_stack:\n"
        "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp, (%rdi)\nmov %rsi, %rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n");

namespace on_cpu
{
enum { STACK = 128 << 10, MOST_SHARED = 48 << 10, MOST_THREADS = 1024, SAVED_REGISTERS = 6 };

struct fiber {
    thread seen;
    void *stack_pointer, *sanitizer;
    int rank;
    bool done;
    unsigned long block_barriers, warp_barriers; /* entered so far */
    unsigned long long slot;                     /* what it offers to its warp or block */
    unsigned mask;
};

/* One grid at a time on each thread of the operating system. */
struct machine {
    std::vector<fiber> fibers;
    fiber *running;
    char *stacks; /* MOST_THREADS of them, mapped at the first launch */
    void *main_pointer, *main_sanitizer;
    const void *main_stack;
    size_t main_size;
    void (*body)(const void *);
    const void *context;
    int left;

    machine()
        : running(NULL), stacks(NULL), main_pointer(NULL), main_sanitizer(NULL), main_stack(NULL),
          main_size(0), body(NULL), context(NULL), left(0)
    {
    }
    ~machine()
    {
        if (stacks)
            munmap(stacks, (size_t)MOST_THREADS * STACK);
    }
};

static machine &here()
{
    static thread_local machine m;
    return m;
}

[[noreturn]] static void die(const char *what, const fiber *f)
{
    if (f)
        fprintf(stderr, "cuda_on_cpu: %s: block (%u,%u,%u) thread (%u,%u,%u)\n", what, f->seen.block.x,
                f->seen.block.y, f->seen.block.z, f->seen.thread.x, f->seen.thread.y, f->seen.thread.z);
    else
        fprintf(stderr, "cuda_on_cpu: %s\n", what);
    abort();
}

thread &current()
{
    return here().running->seen;
}

int own_lane()
{
    return here().running->rank & 31;
}

/* Back to the loop over fibers, which comes round again. */
static void yield()
{
    machine &m = here();
    fiber *f = m.running;
    SWITCH_START(f->done ? NULL : &f->sanitizer, m.main_stack, m.main_size);
    cuda_on_cpu_switch_stack(&f->stack_pointer, m.main_pointer);
    SWITCH_DONE(f->sanitizer, &m.main_stack, &m.main_size);
}

static void fiber_entry()
{
    machine &m = here();
    SWITCH_DONE(NULL, &m.main_stack, &m.main_size);
    m.body(m.context);
    m.running->done = true;
    m.left--;
    yield();
}

void sync_block()
{
    machine &m = here();
    const unsigned long barrier = ++m.running->block_barriers;
    for (;;) {
        bool all = true;
        for (const fiber &other : m.fibers)
            if (!other.done && other.block_barriers < barrier) {
                all = false;
                break;
            }
        if (all)
            return;
        yield();
    }
}

int any_in_block(int value)
{
    machine &m = here();
    m.running->slot = value != 0;
    sync_block();
    unsigned long long any = 0;
    for (const fiber &other : m.fibers)
        any |= other.slot;
    sync_block(); /* nobody offers anything else before all have looked */
    return any != 0;
}

void sync_warp(unsigned mask)
{
    machine &m = here();
    fiber *f = m.running;
    const size_t base = (size_t)(f->rank & ~31);
    if (!(mask >> (f->rank & 31) & 1))
        die("thread is not in its own mask", f);
    f->mask = mask;
    const unsigned long barrier = ++f->warp_barriers;
    for (;;) {
        bool all = true;
        for (size_t lane = 0; lane < 32 && base + lane < m.fibers.size(); lane++) {
            const fiber &other = m.fibers[base + lane];
            if (!(mask >> lane & 1))
                continue;
            if (other.warp_barriers < barrier) {
                if (other.done)
                    die("a lane of the mask has left the kernel", f);
                all = false;
                break;
            }
            if (other.warp_barriers == barrier && other.mask != mask)
                die("lanes of one warp disagree about the mask", f);
        }
        if (all)
            return;
        yield();
    }
}

unsigned long long exchange_bits(unsigned mask, unsigned long long bits, int lane)
{
    machine &m = here();
    fiber *f = m.running;
    const size_t base = (size_t)(f->rank & ~31);
    f->slot = bits;
    sync_warp(mask);
    if (lane < 0 || lane > 31)
        lane = f->rank & 31;
    if (base + (size_t)lane >= m.fibers.size() || !(mask >> lane & 1))
        die("shuffle reads a lane that does not take part", f);
    const unsigned long long read = m.fibers[base + (size_t)lane].slot;
    sync_warp(mask);
    return read;
}

/* Prepares fiber `rank` to begin the kernel. */
static void fiber_start(machine &m, int rank, dim3 grid, dim3 block, uint3 block_index, char *shared)
{
    fiber &f = m.fibers[(size_t)rank];
    const unsigned r = (unsigned)rank;
    f = fiber();
    f.rank = rank;
    f.seen.thread = uint3{r % block.x, r / block.x % block.y, r / (block.x * block.y)};
    f.seen.block = block_index;
    f.seen.block_dim = block;
    f.seen.grid_dim = grid;
    f.seen.shared = shared;
    char *stack = m.stacks + (size_t)rank * STACK;
    STACK_CLEAN(stack, STACK);
    void **top = reinterpret_cast<void **>(stack + STACK) - 1; /* the entry finds its stack as after a call */
    *--top = reinterpret_cast<void *>(fiber_entry);
    f.stack_pointer = top - SAVED_REGISTERS;
}

static void run_block(machine &m)
{
    unsigned long before = ~0ul;
    m.left = (int)m.fibers.size();
    while (m.left > 0) {
        for (size_t i = 0; i < m.fibers.size(); i++) {
            fiber &f = m.fibers[cuda_on_cpu.reverse ? m.fibers.size() - 1 - i : i];
            if (f.done)
                continue;
            m.running = &f;
            SWITCH_START(&m.main_sanitizer, m.stacks + (size_t)f.rank * STACK, STACK);
            cuda_on_cpu_switch_stack(&m.main_pointer, f.stack_pointer);
            SWITCH_DONE(m.main_sanitizer, NULL, NULL);
        }
        unsigned long progress = 0;
        for (const fiber &f : m.fibers)
            progress += f.block_barriers + f.warp_barriers + (unsigned long)f.done;
        if (progress == before && m.left > 0)
            die("deadlock: some threads never reach the barrier", m.running);
        before = progress;
    }
    for (const fiber &f : m.fibers)
        if (f.block_barriers != m.fibers[0].block_barriers)
            die("not every thread of the block passed the same barriers", &f);
}

void run_grid(dim3 grid, dim3 block, size_t shared_bytes, void (*body)(const void *), const void *context)
{
    machine &m = here();
    const size_t threads = (size_t)block.x * block.y * block.z, blocks = (size_t)grid.x * grid.y * grid.z;
    if (threads < 1 || threads > MOST_THREADS || blocks < 1 || grid.x > 2147483647u || grid.y > 65535 ||
        grid.z > 65535 || shared_bytes > MOST_SHARED)
        die("bad launch", NULL);
    if (!m.stacks) {
        void *mapped = mmap(NULL, (size_t)MOST_THREADS * STACK, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mapped == MAP_FAILED)
            die("no memory for stacks", NULL);
        m.stacks = static_cast<char *>(mapped);
    }
    m.body = body;
    m.context = context;
    m.fibers.resize(threads);
    for (size_t i = 0; i < blocks; i++) {
        const unsigned at = (unsigned)(cuda_on_cpu.reverse ? blocks - 1 - i : i);
        const uint3 index = {at % grid.x, at / grid.x % grid.y, at / (grid.x * grid.y)};
        char *shared = static_cast<char *>(malloc(shared_bytes > 0 ? shared_bytes : 1));
        if (!shared)
            die("no memory for shared memory", NULL);
        memset(shared, 0xFF, shared_bytes); /* NaN, read as float or double */
        for (size_t rank = 0; rank < threads; rank++)
            fiber_start(m, (int)rank, grid, block, index, shared);
        run_block(m);
        free(shared);
    }
}
} // namespace on_cpu
