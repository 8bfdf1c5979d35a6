#include "tests/bench/fma_peak.h"

#include "host/base/clock.h"

#if defined(__x86_64__)
#include <immintrin.h>

/* Independent chains: two units with a latency of four or five cycles are kept busy by ten. */
enum { CHAINS = 12, REPEATS = 1 << 20, RUNS = 7 };

/* The empty statement keeps the compiler from working the chains out; it emits nothing. */
#define FMA_LOOP(vector, set1, fmadd, add)                                                                   \
    vector chain[CHAINS], factor = set1(0.999f), term = set1(0.001f), sum = set1(0.0f);                      \
    for (int i = 0; i < CHAINS; i++)                                                                         \
        chain[i] = set1((float)i);                                                                           \
    for (int repeat = 0; repeat < REPEATS; repeat++) {                                                       \
        _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) chain[i] = fmadd(chain[i], factor, term);  \
        __asm__ volatile("" : "+x"(factor));                                                                 \
    }                                                                                                        \
    for (int i = 0; i < CHAINS; i++)                                                                         \
        sum = add(sum, chain[i]);

__attribute__((target("avx2,fma"), noinline)) static float run_avx2(void)
{
    FMA_LOOP(__m256, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_add_ps)
    return _mm256_cvtss_f32(sum);
}

__attribute__((target("avx512f"), noinline)) static float run_avx512(void)
{
    FMA_LOOP(__m512, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_add_ps)
    return _mm512_cvtss_f32(sum);
}

double fma_peak(int threads, const char **set)
{
    float (*run)(void) = NULL;
    int lanes = 0;
    volatile float kept = 0.0f;
    double best = 0.0;

    *set = "unknown instructions";
    if (__builtin_cpu_supports("avx512f")) {
        run = run_avx512;
        lanes = 16;
        *set = "AVX-512";
    } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        run = run_avx2;
        lanes = 8;
        *set = "AVX2 and FMA";
    }
    for (int i = 0; run != NULL && i < RUNS; i++) {
        float sum = 0.0f;
        double before = clock_seconds();
#pragma omp parallel num_threads(threads) reduction(+ : sum)
        sum += run();
        double speed = 2.0 * lanes * CHAINS * REPEATS * threads / (clock_seconds() - before);
        kept = sum;
        if (speed > best)
            best = speed;
    }
    (void)kept;
    return best;
}
#else
double fma_peak(int threads, const char **set)
{
    (void)threads;
    *set = "unknown instructions";
    return 0.0;
}
#endif
