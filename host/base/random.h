/* Random numbers by counter: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011). A draw is a pure function of (seed, stream, counter), so a resumed run, another thread
 * count and another device draw the same numbers. This header is compiled for the host and for CUDA devices
 * alike.
 */
#ifndef NASRUN_BASE_RANDOM_H
#define NASRUN_BASE_RANDOM_H

#include <stdint.h>

#ifdef __CUDACC__
#define RANDOM_INLINE static __host__ __device__ __forceinline__
#else
#define RANDOM_INLINE static inline
#endif

/* One stream for each use, so that no two uses share numbers. */
enum random_stream {
    RANDOM_ORDER = 1, /* the order of samples in an epoch */
    RANDOM_AUGMENT,   /* crop, flip, cutout of one sample */
    RANDOM_DROPOUT,
    RANDOM_WEIGHTS,         /* initial weights */
    RANDOM_MORPH_NOISE,     /* noise that breaks symmetry in a child's weights */
    RANDOM_SEARCH,          /* the strategy's choices */
    RANDOM_SPLIT,           /* validation and test splits */
    RANDOM_TEST,            /* test cases */
    RANDOM_HYPERPARAMETERS, /* of children */
    RANDOM_DROP_PATH,
    RANDOM_POLICY, /* first weights of a policy that proposes */
};

struct random4 {
    uint32_t v[4];
};

/* Four independent 32-bit numbers for the counter (a, b) under (seed, stream). */
RANDOM_INLINE struct random4 random_draw(uint64_t seed, uint32_t stream, uint64_t a, uint32_t b)
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    struct random4 c = {{(uint32_t)a, (uint32_t)(a >> 32), b, stream}};
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c.v[0];
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c.v[2];
        uint32_t hi0 = (uint32_t)(p0 >> 32), lo0 = (uint32_t)p0;
        uint32_t hi1 = (uint32_t)(p1 >> 32), lo1 = (uint32_t)p1;
        c.v[0] = hi1 ^ c.v[1] ^ k0;
        c.v[1] = lo1;
        c.v[2] = hi0 ^ c.v[3] ^ k1;
        c.v[3] = lo0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c;
}

/* A number in [0, 1) with 24 bits, exact in float. */
RANDOM_INLINE float random_unit(uint32_t bits)
{
    return (float)(bits >> 8) * (1.0f / 16777216.0f);
}

/* A whole number in [0, n), n > 0; by multiplication, bias below n / 2^32. */
RANDOM_INLINE uint32_t random_below(uint32_t bits, uint32_t n)
{
    return (uint32_t)(((uint64_t)bits * n) >> 32);
}

/* Element `i` of a pseudo-random permutation of [0, n): a six-round Feistel network over the next even number
 * of bits, walked until it falls inside. No table, any element at any time. n > 0, i < n. */
RANDOM_INLINE uint32_t random_permute(uint64_t seed, uint64_t epoch, uint32_t i, uint32_t n)
{
    uint32_t half = 1;
    while (half < 16 && ((uint64_t)1 << (2 * half)) < n)
        half++;
    uint32_t mask = (1u << half) - 1;
    uint32_t x = i;
    do {
        uint32_t left = x >> half, right = x & mask;
        for (uint32_t round = 0; round < 6; round++) {
            struct random4 r = random_draw(seed, RANDOM_ORDER, epoch, right | (round << 28));
            uint32_t next = left ^ (r.v[0] & mask);
            left = right;
            right = next;
        }
        x = (left << half) | right;
    } while (x >= n);
    return x;
}

/* A sequence for host code that draws one number after another: a counter that counts itself. Saving it is
 * saving its four fields. */
struct random_sequence {
    uint64_t seed;
    uint64_t counter;
    uint32_t stream;
    uint32_t part; /* keeps two sequences of one stream apart, for example the candidate's id */
};

static inline uint32_t random_next(struct random_sequence *sequence)
{
    return random_draw(sequence->seed, sequence->stream, sequence->counter++, sequence->part).v[0];
}

static inline uint32_t random_next_below(struct random_sequence *sequence, uint32_t n)
{
    return random_below(random_next(sequence), n);
}

static inline float random_next_unit(struct random_sequence *sequence)
{
    return random_unit(random_next(sequence));
}

/* Two standard normal numbers from one draw (Box and Muller). For host code only: sines differ between
 * devices. */
void random_normal2(struct random4 draw, double *first, double *second);

#endif
