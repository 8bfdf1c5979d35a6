/* Which libraries the plug-in stands on, and where they come from. */
#include "cuda/device/cuda_internal.h"
#include "cuda/device/cuda_nccl.h"

#include "host/base/library.h"

#include <stdio.h>

static void write_cudnn(char *text, size_t size)
{
    const size_t version = cudnnGetVersion();
    snprintf(text, size, "cuDNN %zu.%zu.%zu", version / 10000, version % 10000 / 100, version % 100);
}

static void write_nccl(int version, char *text, size_t size)
{
    snprintf(text, size, "NCCL %d.%d.%d", version / 10000, version / 100 % 100, version % 100);
}

void cuda_versions(char *text, size_t size)
{
    char cudnn[32], cublas[32], nccl[32];
    int driver = 0, runtime = 0;
    const int communication = cuda_nccl_version();
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    write_cudnn(cudnn, sizeof(cudnn));
    cuda_dense_version(cublas, sizeof(cublas));
    write_nccl(communication, nccl, sizeof(nccl));
    snprintf(text, size, "driver for CUDA %d.%d, CUDA %d.%d, %s, %s%s%s", driver / 1000, driver % 1000 / 10,
             runtime / 1000, runtime % 1000 / 10, cudnn, cublas, communication > 0 ? ", " : "",
             communication > 0 ? nccl : "");
}

enum status cuda_can_group(struct error *err)
{
    struct cuda_nccl nccl;
    return cuda_nccl_load(&nccl, err);
}

bool cuda_library(int32_t index, char *text, size_t size)
{
    struct cuda_nccl nccl;
    struct error err;
    char name[32];
    void (*function)(void) = NULL;
    switch (index) {
    case 0:
        write_cudnn(name, sizeof(name));
        function = (void (*)(void))cudnnGetVersion;
        break;
    case 1:
        cuda_dense_version(name, sizeof(name));
        function = (void (*)(void))cublasGetProperty;
        break;
    case 2:
        if (cuda_nccl_load(&nccl, &err) != ST_OK) {
            snprintf(text, size, "%s", err.message);
            return true;
        }
        write_nccl(cuda_nccl_version(), name, sizeof(name));
        function = (void (*)(void))nccl.get_version;
        break;
    default:
        return false;
    }
    snprintf(text, size, "%s from %s", name, library_of(function));
    return true;
}
