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

#if defined(__x86_64__) && !defined(CPU_SANITIZED) && !defined(CPU_ONE_COPY)
#define CPU_KERNEL __attribute__((target_clones("avx2", "default")))
#else
#define CPU_KERNEL
#endif
#ifdef CPU_ONE_COPY /* make coverage: a branch of the source is one, not one in each copy */
#define CPU_INLINE static __attribute__((noinline))
#else
#define CPU_INLINE static inline __attribute__((always_inline))
#endif

typedef float lanes __attribute__((vector_size(32), may_alias));
typedef int32_t lanes_mask __attribute__((vector_size(32), may_alias)); /* all ones or all zeros per lane */
typedef uint32_t lanes_bits __attribute__((vector_size(32), may_alias));
typedef int16_t lanes_short __attribute__((vector_size(16), may_alias));
typedef uint16_t lanes_pair __attribute__((vector_size(16), may_alias)); /* two bytes each */
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

/* Values of `type` from element i of p on as floats in the vectors v[], and the way back, which rounds to even and lets
 * NaN be NaN (all bits set). There are sixteen in bf16, of which v[0] takes those with an even number and v[1] the odd
 * ones: that is a shift and a mask, where it would be shuffles in the order of memory. In float32 there are eight. i is
 * a multiple of their number. `type` is a constant, the other way is not compiled. */
#define LANES_VALUES(type)  ((type) == CPU_BF16 ? 16 : 8)
#define LANES_VECTORS(type) ((type) == CPU_BF16 ? 2 : 1)
#define LANES_LOAD(type, p, i, v)                                                                            \
    do {                                                                                                     \
        if ((type) == CPU_BF16)                                                                              \
            LANES_LOAD16(type, p, i, v);                                                                     \
        else                                                                                                 \
            (v)[0] = LANES_IN((const float *)(p) + (i));                                                     \
    } while (0)
#define LANES_STORE(type, p, i, v)                                                                           \
    do {                                                                                                     \
        if ((type) == CPU_BF16)                                                                              \
            LANES_STORE16(type, p, i, v);                                                                    \
        else                                                                                                 \
            LANES_AT((float *)(p) + (i)) = (v)[0];                                                           \
    } while (0)
/* Sixteen of either type; in float32 v[0] takes the first eight. */
#define LANES_LOAD16(type, p, i, v)                                                                          \
    do {                                                                                                     \
        if ((type) == CPU_BF16) {                                                                            \
            const lanes_bits loaded = *(const lanes_bits *)((const uint16_t *)(p) + (i));                    \
            (v)[0] = (lanes)(loaded << 16);                                                                  \
            (v)[1] = (lanes)(loaded & 0xffff0000u);                                                          \
        } else {                                                                                             \
            (v)[0] = LANES_IN((const float *)(p) + (i));                                                     \
            (v)[1] = LANES_IN((const float *)(p) + (i) + LANES);                                             \
        }                                                                                                    \
    } while (0)
#define LANES_STORE16(type, p, i, v)                                                                         \
    do {                                                                                                     \
        if ((type) == CPU_BF16) {                                                                            \
            *(lanes_bits *)((uint16_t *)(p) + (i)) =                                                         \
                LANES_ROUNDED((v)[0]) >> 16 | (LANES_ROUNDED((v)[1]) & 0xffff0000u);                         \
        } else {                                                                                             \
            LANES_AT((float *)(p) + (i)) = (v)[0];                                                           \
            LANES_AT((float *)(p) + (i) + LANES) = (v)[1];                                                   \
        }                                                                                                    \
    } while (0)
/* The upper halves are the values in bf16. */
#define LANES_ROUNDED(v) (((lanes_bits)(v) + 0x7fff + ((lanes_bits)(v) >> 16 & 1)) | (lanes_bits)((v) != (v)))

/* Which of sixteen values stands in lane `lane` of both vectors, counted on from the first to the second. */
static inline int32_t lanes_value(enum cpu_type type, int32_t lane)
{
    if (type == CPU_FLOAT)
        return lane;
    return lane < LANES ? 2 * lane : 2 * (lane - LANES) + 1;
}
/* And in which lane that value stands. */
static inline int32_t lanes_of_value(enum cpu_type type, int32_t value)
{
    return type == CPU_FLOAT ? value : value / 2 + value % 2 * LANES;
}

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
