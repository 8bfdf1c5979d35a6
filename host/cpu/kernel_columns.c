/* The windows of a convolution, side by side. */
#include "host/cpu/kernels.h"

#include <string.h>

/* The windows of one row of results. */
static void row_columns(struct cpu_shape in, struct cpu_shape out, struct cpu_window k, int32_t y,
                        const uint16_t *x, uint16_t *columns)
{
    const size_t lanes = (size_t)in.block, bytes = lanes * sizeof(*x);
    for (int32_t o = 0; o < out.w; o++)
        for (int32_t r = 0; r < k.kernel_h; r++)
            for (int32_t s = 0; s < k.kernel_w; s++, columns += lanes) {
                const int32_t iy = y * k.stride + r - k.pad_h, ix = o * k.stride + s - k.pad_w;
                if (iy < 0 || iy >= in.h || ix < 0 || ix >= in.w)
                    memset(columns, 0, bytes);
                else
                    memcpy(columns, x + ((size_t)iy * (size_t)in.w + (size_t)ix) * lanes, bytes);
            }
}

void cpu_kernel_columns(struct cpu_shape in, struct cpu_shape out, struct cpu_window k, const void *x,
                        void *columns)
{
    const size_t image = (size_t)in.h * (size_t)in.w * (size_t)in.block;
    const size_t row = (size_t)out.w * (size_t)k.kernel_h * (size_t)k.kernel_w * (size_t)in.block;
    const int64_t rows = (int64_t)out.n * out.h;
#pragma omp parallel for default(shared) schedule(static)
    for (int64_t i = 0; i < rows; i++)
        row_columns(in, out, k, (int32_t)(i % out.h), (const uint16_t *)x + (size_t)(i / out.h) * image,
                    (uint16_t *)columns + (size_t)i * row);
}
