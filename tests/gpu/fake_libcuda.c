/* A stand-in for the CUDA driver library on machines that have none. cuDNN's runtime-compiled engines refuse
 * to be planned unless libcuda.so.1 can be loaded and has the symbols below; they call almost none of them.
 * No device is invented: every call answers "no device", so the CUDA runtime goes on reporting that there is
 * no GPU.
 *
 *     cc -shared -fPIC -Wl,-soname,libcuda.so.1 fake_libcuda.c -o FOLDER/libcuda.so.1
 *
 * For tests only, found by LD_LIBRARY_PATH=FOLDER or opened by the test itself; never to be installed.
 * FAKE_CUDA_DRIVER is the version it claims (13000 unless set); FAKE_CUDA_LOG=1 shows the calls on stderr. */
#include <stdio.h>
#include <stdlib.h>

enum { NO_DEVICE = 100, DEFAULT_VERSION = 13000 }; /* CUDA_ERROR_NO_DEVICE; CUDA 13.0 */

static int refuse(const char *name)
{
    if (getenv("FAKE_CUDA_LOG") != NULL)
        fprintf(stderr, "[fake libcuda] %s\n", name);
    return NO_DEVICE;
}

int cuDriverGetVersion(int *version);
int cuDriverGetVersion(int *version)
{
    const char *claimed = getenv("FAKE_CUDA_DRIVER");
    refuse(__func__);
    *version = claimed != NULL ? atoi(claimed) : DEFAULT_VERSION;
    return 0;
}

int cuDeviceGetCount(int *count);
int cuDeviceGetCount(int *count)
{
    *count = 0;
    return refuse(__func__);
}

/* cuDNN looks these up and, without a device, doesn't call them. */
#define REFUSED(name)                                                                                        \
    int name(void);                                                                                          \
    int name(void)                                                                                           \
    {                                                                                                        \
        return refuse(#name);                                                                                \
    }

REFUSED(cuInit)
REFUSED(cuDeviceGet)
REFUSED(cuDeviceGetAttribute)
REFUSED(cuGetErrorString)
REFUSED(cuGetErrorName)
REFUSED(cuLibraryLoadData)
REFUSED(cuLibraryLoadFromFile)
REFUSED(cuLibraryUnload)
REFUSED(cuLibraryGetKernel)
REFUSED(cuLibraryGetModule)
REFUSED(cuKernelGetFunction)
REFUSED(cuKernelGetAttribute)
REFUSED(cuKernelSetAttribute)
REFUSED(cuFuncGetAttribute)
REFUSED(cuFuncSetAttribute)
REFUSED(cuModuleLoadData)
REFUSED(cuModuleLoadDataEx)
REFUSED(cuModuleLoadFatBinary)
REFUSED(cuModuleUnload)
REFUSED(cuModuleGetFunction)
REFUSED(cuModuleGetGlobal_v2)
REFUSED(cuOccupancyMaxActiveBlocksPerMultiprocessor)
REFUSED(cuOccupancyMaxPotentialClusterSize)
REFUSED(cuCtxGetCurrent)
REFUSED(cuCtxGetDevice)
REFUSED(cuCtxGetLimit)
REFUSED(cuCtxPushCurrent)
REFUSED(cuCtxPopCurrent)
REFUSED(cuDevicePrimaryCtxRetain)
REFUSED(cuDevicePrimaryCtxRelease)
REFUSED(cuDevicePrimaryCtxReset)
REFUSED(cuLaunchKernel)
REFUSED(cuLaunchKernelEx)
REFUSED(cuLaunchCooperativeKernel)
REFUSED(cuMemcpyDtoH_v2)
REFUSED(cuStreamGetCtx)
REFUSED(cuStreamSynchronize)
REFUSED(cuTensorMapEncodeTiled)
REFUSED(cuTensorMapEncodeIm2col)
REFUSED(cuLinkCreate)
REFUSED(cuLinkCreate_v2)
REFUSED(cuLinkAddData)
REFUSED(cuLinkAddData_v2)
REFUSED(cuLinkAddFile_v2)
REFUSED(cuLinkComplete)
REFUSED(cuLinkDestroy)
