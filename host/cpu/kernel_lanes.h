/* Vectors and shares for the kernels. Vectors are eight floats, the narrowest block. A block of 16 is two of them
 * side by side, and two pixels of a block of 8 are too: so a plane is walked 16 floats at a time whatever its block,
 * `even` and `odd` eights apart.
 *
 * A kernel is written once for both types of values: its body is CPU_INLINE, begins with the type, loads and stores by
 * LANES_LOAD and LANES_STORE, and is called by CPU_BY_TYPE, which makes one copy for each.
 *
 * The width is fixed in the source and not left to the compiler, so that sums have one order on every
 * machine. A function marked CPU_KERNEL is compiled for AVX2 and for plain x86-64; the loader chooses. OpenMP
 * regions stay outside of such functions: compilers move their bodies into functions of their own, which
 * would not be compiled twice. */
#ifndef NASRUN_CPU_KERNEL_LANES_H
#define NASRUN_CPU_KERNEL_LANES_H

#include "host/cpu/kernels.h"

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
typedef uint32_t lanes_bits __attribute__((vector_size(32), may_alias));
typedef uint16_t lanes_bf16 __attribute__((vector_size(16), may_alias));
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

/* Eight values of `type` from element i of p on, as floats, and the way back, which rounds to even and lets NaN be NaN;
 * i is a multiple of 8. Both are for macros and constants of `type`: the other way is not compiled. */
#define LANES_LOAD(type, p, i)                                                                               \
    ((type) == CPU_BF16                                                                                      \
         ? (lanes)(__builtin_convertvector(*(const lanes_bf16 *)((const uint16_t *)(p) + (i)), lanes_bits)   \
                   << 16)                                                                                    \
         : LANES_IN((const float *)(p) + (i)))
#define LANES_STORE(type, p, i, v)                                                                           \
    do {                                                                                                     \
        const lanes stored = (v);                                                                            \
        if ((type) == CPU_BF16) {                                                                            \
            const lanes_bits bits = (lanes_bits)stored, nan = (lanes_bits)(stored != stored);                \
            const lanes_bits rounded = bits + 0x7fff + (bits >> 16 & 1);                                     \
            *(lanes_bf16 *)((uint16_t *)(p) + (i)) =                                                         \
                __builtin_convertvector(((rounded & ~nan) | ((bits | 0x400000) & nan)) >> 16, lanes_bf16);   \
        } else {                                                                                             \
            LANES_AT((float *)(p) + (i)) = stored;                                                           \
        }                                                                                                    \
    } while (0)

/* Calls the body with a type that the compiler knows. */
#define CPU_BY_TYPE(type, body, ...)                                                                         \
    do {                                                                                                     \
        if ((type) == CPU_BF16)                                                                              \
            body(CPU_BF16, __VA_ARGS__);                                                                     \
        else                                                                                                 \
            body(CPU_FLOAT, __VA_ARGS__);                                                                    \
    } while (0)

/* Element i of values of `type`. */
static inline const void *cpu_read_from(enum cpu_type type, const void *values, size_t i)
{
    return (const char *)values + i * cpu_type_size(type);
}
static inline void *cpu_write_to(enum cpu_type type, void *values, size_t i)
{
    return (char *)values + i * cpu_type_size(type);
}

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
