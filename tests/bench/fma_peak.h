/* The most that the cores can do: fused multiply-adds on registers alone. */
#ifndef NASRUN_BENCH_FMA_PEAK_H
#define NASRUN_BENCH_FMA_PEAK_H

/* Operations a second of `threads` threads together, float32, an addition and a multiplication counted each;
 * best of a few runs, about 0.1 s. 0 where it is not known how: on processors without AVX2 and FMA. *set
 * names the instructions. */
double fma_peak(int threads, const char **set);

#endif
