/* The emulated GPU inside a libnasrun_cuda.so (make emulated): its settings come from the environment, and when the
 * library goes it checks that nothing was left behind.
 *
 *     EMU_DEVICES=2  EMU_MEMORY=65536 (KiB a device)  EMU_MAJOR=9  EMU_ORDER=0  EMU_FAIL_AT=0  EMU_REFUSE_RECORDING=0
 *     EMU_CALLS=FILE  EMU_NCCL=0 (there is none)
 *
 *     EMU_ONCE=FILE
 *
 * EMU_CALLS: the number of calls so far is written there at the end. EMU_ONCE: only the process that finds no such
 * file, and makes it, has a call that fails. */
#include "tests/gpu/emu/emu.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LEFT_BEHIND = 99 }; /* exit status */

static long long setting(const char *name, long long otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoll(text, NULL, 10) : otherwise;
}

__attribute__((constructor)) static void begin(void)
{
    emu_reset();
    emu.devices = (int)setting("EMU_DEVICES", 1);
    emu.memory = (size_t)setting("EMU_MEMORY", 256 << 10) << 10;
    emu.major = (int)setting("EMU_MAJOR", 9);
    emu.order = (int)setting("EMU_ORDER", 0);
    emu.fail_at = (uint64_t)setting("EMU_FAIL_AT", 0);
    emu.without_nccl = setting("EMU_NCCL", 1) == 0;
    emu.refuse_recording = (int)setting("EMU_REFUSE_RECORDING", 0);
    const char *once = getenv("EMU_ONCE");
    FILE *made = once != NULL ? fopen(once, "wx") : NULL;
    if (once != NULL && made == NULL)
        emu.fail_at = 0;
    if (made != NULL)
        fclose(made);
}

__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("EMU_CALLS");
    FILE *file = path != NULL ? fopen(path, "w") : NULL;
    if (file != NULL) {
        fprintf(file, "%llu\n", (unsigned long long)emu_count.calls);
        fclose(file);
    }
    if (emu_count.objects == 0)
        return;
    fprintf(stderr, "emulated GPU: %llu objects are left\n", (unsigned long long)emu_count.objects);
    _exit(LEFT_BEHIND);
}
