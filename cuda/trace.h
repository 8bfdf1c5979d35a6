/* Names for what the host does, for Nsight Systems and whatever else listens to NVTX: without a listener they cost
 * nothing. A toolkit may lack NVTX's headers; then there are no names. Ranges of a thread lie within each other. */
#ifndef NASRUN_CUDA_TRACE_H
#define NASRUN_CUDA_TRACE_H

#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>

static inline void trace_begin(const char *name)
{
    (void)nvtxRangePushA(name);
}

static inline void trace_end(void)
{
    (void)nvtxRangePop();
}
#else
static inline void trace_begin(const char *name)
{
    (void)name;
}

static inline void trace_end(void)
{
}
#endif

#endif
