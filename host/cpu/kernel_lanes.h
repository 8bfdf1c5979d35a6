/* Vectors and shares for the kernels. Vectors are eight floats, the narrowest block. A block of 16 is two of them
 * side by side, and two pixels of a block of 8 are too: so a plane is walked 16 floats at a time whatever its block,
 * `even` and `odd` eights apart.
 *
 * The width is fixed in the source and not left to the compiler, so that sums have one order on every
 * machine. A function marked CPU_KERNEL is compiled for AVX2 and for plain x86-64; the loader chooses. OpenMP
 * regions stay outside of such functions: compilers move their bodies into functions of their own, which
 * would not be compiled twice. */
#ifndef NASRUN_CPU_KERNEL_LANES_H
#define NASRUN_CPU_KERNEL_LANES_H

#include <stddef.h>
#include <stdint.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CPU_SANITIZED 1 /* the loader's choice would run before the sanitizer is set up */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define CPU_SANITIZED 1
#endif
#endif

#if defined(__x86_64__) && !defined(CPU_SANITIZED)
#define CPU_KERNEL __attribute__((target_clones("avx2", "default")))
#else
#define CPU_KERNEL
#endif
#define CPU_INLINE static inline __attribute__((always_inline))

typedef float lanes __attribute__((vector_size(32), may_alias));
typedef int32_t lanes_mask __attribute__((vector_size(32), may_alias)); /* all ones or all zeros per lane */
typedef int16_t lanes_short __attribute__((vector_size(16), may_alias));
typedef uint8_t lanes_byte __attribute__((vector_size(8), may_alias));
typedef float lanes_half __attribute__((vector_size(16), may_alias));
typedef double lanes_double __attribute__((vector_size(32), may_alias));

enum { LANES = 8, LANES_HALF = 4 };

/* Eight floats at p, a multiple of 32 bytes. */
#define LANES_AT(p)  (*(lanes *)(p))
#define LANES_IN(p)  (*(const lanes *)(p))
#define LANES_ZERO   ((lanes){0, 0, 0, 0, 0, 0, 0, 0})
#define LANES_ALL(v) ((lanes){v, v, v, v, v, v, v, v})

/* `v` where `mask` is set, 0 elsewhere. */
#define LANES_WHERE(v, mask) ((lanes)((lanes_mask)(v) & (mask)))
/* `a` where `mask` is set, `b` elsewhere. */
#define LANES_CHOOSE(mask, a, b) ((lanes)(((lanes_mask)(a) & (mask)) | ((lanes_mask)(b) & ~(mask))))
/* max(v, 0) that hands on NaN. */
#define LANES_RELU(v) LANES_WHERE(v, ~((v) < LANES_ZERO))

/* Four floats at p as doubles. */
#define LANES_WIDEN(p) __builtin_convertvector(*(const lanes_half *)(p), lanes_double)

/* Eight small numbers between int32 and bytes; by way of 16 bits, which compilers turn into a handful of
 * instructions where they take the direct way lane by lane. */
#define LANES_TO_BYTES(v)   __builtin_convertvector(__builtin_convertvector(v, lanes_short), lanes_byte)
#define LANES_FROM_BYTES(v) __builtin_convertvector(__builtin_convertvector(v, lanes_short), lanes_mask)

/* Flat arrays are shared out in pieces of this many floats, 64 KiB: a piece's call costs nothing beside its memory. */
enum { CPU_SHARE = 16384 };

static inline size_t cpu_share_length(size_t count, size_t begin)
{
    return count - begin < CPU_SHARE ? count - begin : CPU_SHARE;
}

#endif
