/* Elements of activations and kernels in the emulator's memory, as floats. */
#ifndef NASRUN_TESTS_GPU_EMU_VALUES_H
#define NASRUN_TESTS_GPU_EMU_VALUES_H

#include "cuda/kernels/half.h"
#include "cuda/kernels/kernels.h"

static inline float emu_load(enum cuda_type type, const void *stored, size_t offset)
{
    if (type == CUDA_FLOAT)
        return ((const float *)stored)[offset];
    const uint16_t bits = ((const uint16_t *)stored)[offset];
    return type == CUDA_BF16 ? half_from_bf16(bits) : half_from_fp16(bits);
}

/* Rounded once. */
static inline void emu_store(enum cuda_type type, void *stored, size_t offset, float value)
{
    if (type == CUDA_FLOAT)
        ((float *)stored)[offset] = value;
    else
        ((uint16_t *)stored)[offset] = type == CUDA_BF16 ? half_to_bf16(value) : half_to_fp16(value);
}

/* A factor as the tensor cores take it: ten bits of fraction, the others cut off as Hopper does. */
static inline float emu_tensor_float(float value)
{
    const uint32_t bits = half_float_bits(value);
    return (bits & 0x7f800000u) == 0x7f800000u ? value : half_bits_to_float(bits & ~0x1fffu);
}

#endif
