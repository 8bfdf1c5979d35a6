/* Device memory of the emulated GPU. */
#ifndef NASRUN_TESTS_GPU_EMU_MEMORY_H
#define NASRUN_TESTS_GPU_EMU_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

void emu_memory_reset(size_t bytes);
void *emu_memory_take(int device, size_t bytes); /* NULL when there is not enough in one piece */
void emu_memory_refuse(size_t bytes); /* so many, and more, are not to be had until some are given back */
void emu_memory_give(void *memory);   /* checks the guards; ends the process when it was never taken */
bool emu_memory_holds(const void *memory, size_t bytes); /* within one allocation */
bool emu_memory_is_device(const void *memory);
void emu_memory_open(bool accessible);
size_t emu_memory_used(int device);
/* As memset, but for more than 16 MiB only the first and the last 64 KiB: the rest would take all the time there is. */
void emu_memory_fill(void *memory, int byte, size_t bytes);
int emu_memory_device(const void *memory); /* whose it is; within an allocation */

#endif
