/* For tests of the GPU's kernels, on a CPU (cuda_on_cpu.h) or on a GPU (first/kernels_on_gpu.cpp): cases, guarded
 * tensors in the GPU's layout, comparisons.
 *
 * A test gives a function that runs one case; kernel_sweep runs it over all cases in both activation types,
 * several block sizes, few and many blocks, and both orders of threads. */
#ifndef NASRUN_TESTS_GPU_KERNEL_CHECK_H
#define NASRUN_TESTS_GPU_KERNEL_CHECK_H

#include "cuda/kernels/kernels.h"

#include <cstring>
#include <vector>

/* What differs between the two places where kernels run; each has its own. Memory that host and device both read, NULL
 * for want of it; and the wait for what was launched. */
void *kernel_memory(size_t bytes);
void kernel_memory_free(void *memory);
cudaError_t kernel_wait(void);

/* The relative error of one rounding to the type, doubled: room for a value that falls just beyond a tie. */
double kernel_rounding(enum cuda_type type);

/* The case that is running; failures print it. */
struct kernel_run {
    int index; /* of the case */
    enum cuda_type type;
    int threads, blocks, reverse; /* blocks: also the device's multiprocessors */
};

/* Runs `body` for cases 0 .. count - 1 in both types, each with settings drawn by its place. */
void kernel_sweep(int count, void (*body)(const kernel_run &run));

/* Random number `place` of the case, stream apart from stream. */
uint32_t kernel_bits(const kernel_run &run, uint32_t stream, uint64_t place);
int32_t kernel_below(const kernel_run &run, uint32_t stream, uint64_t place, int32_t n);
float kernel_unit(const kernel_run &run, uint32_t stream, uint64_t place); /* in [-1, 1) */

/* A shape by the case: channels seldom a multiple of 8, sometimes a single image or pixel, now and then wide
 * enough for two column groups. */
cuda_shape kernel_shape(const kernel_run &run);

/* Memory as the GPU sees it, the only one that a kernel is given: aligned, of exact size, so that AddressSanitizer sees
 * what lies outside; full of NaN until written. */
class device_memory
{
  public:
    explicit device_memory(size_t bytes);
    ~device_memory();
    device_memory(const device_memory &) = delete;
    device_memory &operator=(const device_memory &) = delete;

    void *data;
    size_t bytes;
    float *floats()
    {
        return static_cast<float *>(data);
    }
};

/* An activation: device memory, and its values as doubles by place. */
class activation : public device_memory
{
  public:
    activation(cuda_type type, cuda_shape shape);

    cuda_type type;
    cuda_shape shape;
    size_t place(int32_t n, int32_t c, int32_t y, int32_t x) const;
    double at(size_t place) const;
    double at(int32_t n, int32_t c, int32_t y, int32_t x) const
    {
        return at(place(n, c, y, x));
    }
    void set(size_t place, double value); /* rounded to the type */

    /* centre + [-1, 1) * width; or whole numbers -span .. span, whose sums are exact and where equals are
     * frequent. Zeros in the padding. */
    activation &random(const kernel_run &run, uint32_t stream, double centre, double width);
    activation &whole(const kernel_run &run, uint32_t stream, int32_t span);

    void check_padding(const kernel_run &run, const char *what) const; /* exactly zero */
};

/* A float32 vector on the device. */
class vector : public device_memory
{
  public:
    explicit vector(size_t count) : device_memory(count * sizeof(float)), count(count)
    {
    }
    vector &random(const kernel_run &run, uint32_t stream, double centre, double width);
    size_t count;
    float &operator[](size_t i)
    {
        return floats()[i];
    }
};

/* Tickets (kernels.h): zeros, before and after every launch. */
class ticket_memory : public device_memory
{
  public:
    ticket_memory() : device_memory(CUDA_TICKETS * sizeof(unsigned))
    {
        memset(data, 0, bytes);
    }
    unsigned *get()
    {
        return static_cast<unsigned *>(data);
    }
    void check(const kernel_run &run) const; /* zeros again */
};

/* The step in "device" memory. */
cuda_step kernel_step(const kernel_run &run);

/* Fails unless |found - expected| <= tolerance (so NaN fails). */
void kernel_close(const kernel_run &run, double found, double expected, double tolerance, const char *what,
                  size_t place);

/* Fails unless the launch was accepted and its kernels ran to their end. */
void kernel_launched(const kernel_run &run, cudaError_t status, const char *what);

#endif
