#include "tests/gpu/kernel_check.h"
#include "cuda/kernels/half.h"
#include "tests/gpu/cuda_on_cpu.h"

#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdio>

extern "C" {
#include <cmocka.h>
}

double kernel_rounding(enum cuda_type type)
{
    return type == CUDA_BF16 ? 1.0 / 256.0 : type == CUDA_HALF ? 1.0 / 2048.0 : 1.0 / 8388608.0;
}

void kernel_sweep(int count, void (*body)(const kernel_run &run))
{
    static const int threads[] = {32, 64, 96, 256, 512, 160};
    static const int blocks[] = {1, 2, 8192, 3, 5};
    enum { SETTINGS = 999 };
    for (int index = 0; index < count; index++) {
        for (int type = 0; type < 3; type++) {
            const random4 drawn = random_draw((uint64_t)index, RANDOM_TEST, (uint64_t)type, SETTINGS);
            const kernel_run run = {index, (enum cuda_type)type, threads[random_below(drawn.v[0], 6)],
                                    blocks[random_below(drawn.v[1], 5)], (int)(drawn.v[2] & 1)};
            cuda_on_cpu.threads = run.threads;
            cuda_on_cpu.blocks = run.blocks;
            cuda_on_cpu.reverse = run.reverse;
            body(run);
        }
    }
    std::printf("swept: %d\n", count * 3);
}

uint32_t kernel_bits(const kernel_run &run, uint32_t stream, uint64_t element)
{
    return random_draw((uint64_t)run.index, RANDOM_TEST, element, stream).v[0];
}

int32_t kernel_below(const kernel_run &run, uint32_t stream, uint64_t element, int32_t n)
{
    return (int32_t)random_below(kernel_bits(run, stream, element), (uint32_t)n);
}

float kernel_unit(const kernel_run &run, uint32_t stream, uint64_t element)
{
    return 2.0f * random_unit(kernel_bits(run, stream, element)) - 1.0f;
}

cuda_shape kernel_shape(const kernel_run &run)
{
    enum { SHAPE = 1000 };
    cuda_shape s = {1 + kernel_below(run, SHAPE, 0, 5), 1 + kernel_below(run, SHAPE, 1, 40),
                    1 + kernel_below(run, SHAPE, 2, 9), 1 + kernel_below(run, SHAPE, 3, 9)};
    switch (run.index % 8) {
    case 1:
        s.h = s.w = 1;
        break;
    case 3:
        s.n = s.h = s.w = 1;
        break;
    case 5:
        s.c = 8 * (1 + s.c % 6);
        break;
    case 6:
        s.c = 250 + s.c; /* beyond one column group */
        s.h = 1 + s.h % 3;
        break;
    case 7:
        s.h += 17;
        s.c = 1 + s.c % 9;
        break;
    default:
        break;
    }
    return s;
}

device_memory::device_memory(size_t size) : data(kernel_memory(size > 0 ? size : 1)), bytes(size)
{
    if (data == NULL)
        fail_msg("no memory for %zu bytes", size);
    memset(data, 0xFF, size);
}

device_memory::~device_memory()
{
    kernel_memory_free(data);
}

activation::activation(cuda_type type, cuda_shape shape)
    : device_memory(cuda_shape_count(shape) * cuda_type_size(type)), type(type), shape(shape)
{
}

size_t activation::offset(int32_t n, int32_t c, int32_t y, int32_t x) const
{
    return (((size_t)n * (size_t)shape.h + (size_t)y) * (size_t)shape.w + (size_t)x) *
               (size_t)cuda_padded(shape.c) +
           (size_t)c;
}

double activation::at(size_t element) const
{
    if (type == CUDA_FLOAT)
        return (double)static_cast<const float *>(data)[element];
    const uint16_t bits = static_cast<const uint16_t *>(data)[element];
    return (double)(type == CUDA_BF16 ? half_from_bf16(bits) : half_from_fp16(bits));
}

void activation::set(size_t element, double value)
{
    if (type == CUDA_FLOAT) {
        static_cast<float *>(data)[element] = (float)value;
        return;
    }
    static_cast<uint16_t *>(data)[element] =
        type == CUDA_BF16 ? half_to_bf16((float)value) : half_to_fp16((float)value);
}

activation &activation::random(const kernel_run &run, uint32_t stream, double centre, double width)
{
    const size_t padded = (size_t)cuda_padded(shape.c);
    for (size_t i = 0; i < cuda_shape_count(shape); i++)
        set(i, i % padded < (size_t)shape.c ? centre + width * (double)kernel_unit(run, stream, i) : 0.0);
    return *this;
}

activation &activation::whole(const kernel_run &run, uint32_t stream, int32_t span)
{
    const size_t padded = (size_t)cuda_padded(shape.c);
    for (size_t i = 0; i < cuda_shape_count(shape); i++)
        set(i, i % padded < (size_t)shape.c ? kernel_below(run, stream, i, 2 * span + 1) - span : 0);
    return *this;
}

void activation::check_padding(const kernel_run &run, const char *what) const
{
    const size_t padded = (size_t)cuda_padded(shape.c);
    for (size_t i = 0; i < cuda_shape_count(shape); i++)
        if (i % padded >= (size_t)shape.c)
            kernel_close(run, at(i), 0.0, 0.0, what, i);
}

vector &vector::random(const kernel_run &run, uint32_t stream, double centre, double width)
{
    for (size_t i = 0; i < count; i++)
        floats()[i] = (float)(centre + width * (double)kernel_unit(run, stream, i));
    return *this;
}

void ticket_memory::check(const kernel_run &run) const
{
    for (size_t i = 0; i < CUDA_TICKETS; i++)
        kernel_close(run, (double)static_cast<const unsigned *>(data)[i], 0.0, 0.0, "ticket", i);
}

cuda_step kernel_step(const kernel_run &run)
{
    enum { STEP = 1001 };
    cuda_step step = {};
    step.seed = (uint64_t)kernel_bits(run, STEP, 0) << 32 | kernel_bits(run, STEP, 1);
    step.number = kernel_bits(run, STEP, 2) % 100000;
    step.epoch = kernel_bits(run, STEP, 3) % 50;
    step.row = kernel_bits(run, STEP, 4) % 3;
    step.valid = 1;
    step.learning_rate = 0.05f;
    step.average_decay = 0.9f;
    return step;
}

void kernel_close(const kernel_run &run, double found, double expected, double tolerance, const char *what,
                  size_t element)
{
    /* Near zero half precision has multiples of 2^-24 only; what is to be exact stays so. */
    if (run.type == CUDA_HALF && tolerance > 0.0)
        tolerance += 1.0 / 33554432.0;
    if (std::fabs(found - expected) <= tolerance)
        return;
    fail_msg(
        "%s: case %d, %s, %d threads, %d blocks, reverse %d: element %zu is %.9g, expected %.9g within %.3g",
        what, run.index, cuda_type_name(run.type), run.threads, run.blocks, run.reverse, element, found,
        expected, tolerance);
}

void kernel_launched(const kernel_run &run, cudaError_t status, const char *what)
{
    const cudaError_t found = status == cudaSuccess ? kernel_wait() : status;
    if (found != cudaSuccess)
        fail_msg("%s: case %d: launch gave error %d", what, run.index, (int)found);
}
