/* Kernels: how they are loaded and launched. */
#include "tests/gpu/emu/emu_queue.h"
#include "tests/gpu/emu/emu_time.h"

enum { MOST_LOADED = 16384 };

static struct {
    const void *code[MOST_LOADED];
    int device[MOST_LOADED], count;
} loaded; /* what devices have launched before */

void emu_load_reset(void)
{
    loaded.count = 0;
}

static bool is_loaded(const void *code)
{
    for (int i = 0; i < loaded.count; i++)
        if (loaded.code[i] == code && loaded.device[i] == emu_device())
            return true;
    return false;
}

static bool has_collective(const struct item *item)
{
    bool found = item->work.run == emu_run_collective;
    for (int i = 0; item->graph != NULL && i < item->graph->nodes.count; i++)
        found = found || item->graph->nodes.items[i].work.run == emu_run_collective;
    return found;
}

void emu_load_code(const void *code)
{
    EMU_LOCKED;
    if (is_loaded(code))
        return;
    for (const struct CUstream_st *stream = emu_streams; stream != NULL; stream = stream->next)
        for (const struct item *item = stream->first; item != NULL; item = item->next)
            if (stream->device == emu_device() && has_collective(item))
                emu_die("code is loaded while a collective is under way");
    if (loaded.count == MOST_LOADED)
        emu_die("more than %d kernels", MOST_LOADED);
    if (emu.loading_waits) {
        emu_drain();
        emu_time_wait(emu_device_done(emu_device()));
    }
    loaded.code[loaded.count] = code;
    loaded.device[loaded.count++] = emu_device();
}

/* tests/gpu/cuda_on_cpu.h declares it, for C++. */
void cuda_on_cpu_submit(cudaStream_t stream, void (*run)(void *work), void (*release)(void *work),
                        void *work);

void cuda_on_cpu_submit(cudaStream_t stream, void (*run)(void *work), void (*release)(void *work), void *work)
{
    EMU_LOCKED;
    if (emu_call("kernel") != cudaSuccess) { /* the launch function finds the error in cudaGetLastError */
        release(work);
        return;
    }
    union {
        void (*run)(void *work);
        const void *code;
    } launched = {run}; /* one for each list of parameters: as good as one for each kernel */
    emu_load_code(launched.code);
    emu_count.kernels++;
    emu_submit(stream, run, release, work);
}
