#!/bin/bash
# Puts a CUDA 12 toolkit together that is just large enough for the plug-in, and prints its folder: the compiler from
# Debian 13's nvidia-cuda-toolkit, headers and libraries from PyPI. (PyPI's nvidia-cuda-nvcc-cu12 has no nvcc;
# Debian's headers come with 934 MB of libraries.) `make cuda12` runs it. It downloads 460 MB, once.
#
# NASRUN_CUDA12   the folder, kept between runs ($XDG_CACHE_HOME/nasrun/cuda12)
set -euo pipefail
# shellcheck source=tools/registry.sh
. "$(dirname "$0")/registry.sh"
made=${NASRUN_CUDA12:-$cache/cuda12}
wheels="nvidia-cuda-nvcc-cu12==12.4.131 --hash=sha256:e4c9a35435c3b0e36c6397c5696334c9ea6650e524736cbd1c5d345ea099bb04
nvidia-cuda-runtime-cu12==12.4.127 --hash=sha256:64403288fa2136ee8e467cdc9c9427e0434110899d07c779f25b5c068934faa5
nvidia-cuda-cccl-cu12==12.9.27 --hash=sha256:37869e17ce2e1ecec6eddf1927cca0f8c34e64fd848d40453df559091e2d7117
nvidia-cublas-cu12==12.4.5.8 --hash=sha256:2fc8da60df463fdefa81e323eef2e36489e1c94335b5358bcb38360adf75ac9b"
# The runtime's static library is in no wheel of 12.4; a newer one serves any program of CUDA 12.
static="nvidia-cuda-runtime-cu12==12.9.79 --hash=sha256:25bba2dfb01d48a9b59ca474a1ac43c6ebf7011f1b0b8cc44f54eb6ac48a96c3"

fetch() {
    rm -rf "${made:?}/complete" "${made:?}"/{bin,nvvm,include,lib64}
    mkdir -p "$made/bin/crt" "$made/nvvm/bin" "$made/nvvm/libdevice" "$made/include" "$made/lib64"
    say "a toolkit of CUDA 12.4 from Debian and PyPI into $made" >&2
    debian_packages "$made" "trixie non-free" nvidia-cuda-toolkit
    dpkg-deb -x "$made"/packages/nvidia-cuda-toolkit_*.deb "$made/debian"
    toolkit=$made/debian/usr/lib/nvidia-cuda-toolkit
    cp "$toolkit/bin/nvcc" "$made"/debian/usr/bin/{cudafe++,fatbinary,ptxas,nvlink,bin2c} "$made/bin/"
    cp "$toolkit"/bin/crt/* "$made/bin/crt/"
    cp "$toolkit/bin/cicc" "$made/nvvm/bin/"
    cp "$toolkit"/libdevice/* "$made/nvvm/libdevice/"
    # as in NVIDIA's own, where everything is found from nvcc's folder
    cat >"$made/bin/nvcc.profile" <<'END'
TOP              = $(_HERE_)/..
CICC_PATH        = $(TOP)/nvvm/bin
NVVMIR_LIBRARY_DIR = $(TOP)/nvvm/libdevice
PATH            += $(CICC_PATH):$(_HERE_):
INCLUDES        += "-I$(TOP)/include" $(_SPACE_)
LIBRARIES        =+ $(_SPACE_) "-L$(TOP)/lib64"
END
    pypi_wheels "$made" "$static" manylinux2014_x86_64
    cp "$made"/wheels/unpacked/nvidia/cuda_runtime/lib/libcudart_static.a "$made/lib64/"
    pypi_wheels "$made" "$wheels" manylinux2014_x86_64
    for part in cuda_nvcc cuda_runtime cuda_cccl cublas; do
        cp -r "$made"/wheels/unpacked/nvidia/$part/include/. "$made/include/"
    done
    mv "$made"/wheels/unpacked/nvidia/cublas/lib/libcublas*.so.12 "$made/lib64/"
    rm -r "$made/wheels" "$made/packages" "$made/debian"
    echo "$wheels $static" >"$made/complete"
}

mkdir -p "$made"
exec 9>"$made/lock"
flock 9
[ "$(cat "$made/complete" 2>/dev/null)" = "$wheels $static" ] || fetch
echo "$made"
