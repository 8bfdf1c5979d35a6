#!/bin/bash
# Makes build/gpu-bundle, a folder for a machine with a GPU, where `bash run.sh` does the rest: make.sh PROGRAM...,
# names below the build folder. `make gpu-bundle` runs it, with these in the environment:
#
# CUDA_ARCHITECTURES   what the plug-in and the kernels' tests are compiled for: "80 90 100"
# CIFAR10, FASHION     folders of CIFAR-10's binary version and of Fashion-MNIST's four files; empty: not taken along
# QUALITY              of CIFAR-10's mosaics (90)
# MOSAIC               the program that makes them
# CUDA12               a toolkit of CUDA 12 (make cuda12): plug-in and kernels' tests for it go in, too
set -euo pipefail
out=build/gpu-bundle name=gpu-programs
here=tests/gpu/first
rm -rf "$out"
mkdir -p "$out/data"
export BUNDLE_NAME=$name BUNDLE_WORK=build/bundle-sm-${CUDA_ARCHITECTURES// /-} BUNDLE_PROGRAMS="$*" CUDA_ARCHITECTURES
tools/bundle.sh
[ -f "$BUNDLE_WORK/$name/lib/libnasrun_cuda.so" ] || { echo "gpu-bundle: no plug-in: nvcc, cuDNN, cuBLAS or NCCL is not here" >&2; exit 1; }
mv "build/$name.tar.xz" "$out/programs.tar.xz"
cp "$here/run.sh" "$here/page.sh" tests/bench/torch_train.py "$out/"
if [ -n "${CIFAR10:-}" ]; then
    mkdir "$out/data/cifar10"
    "$MOSAIC" pack "$CIFAR10" "$out/data/cifar10" "${QUALITY:-90}"
fi
if [ -n "${FASHION:-}" ]; then
    mkdir "$out/data/fashion-mnist"
    cp "$FASHION"/*-ubyte.gz "$out/data/fashion-mnist/"
fi
cat >"$out/ABOUT" <<END
version: $(sed -n 's/^#define NASRUN_VERSION  *"\(.*\)"$/\1/p' host/base/version.h)
commit: $(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)$([ -z "$(git status --porcelain 2>/dev/null)" ] || echo ', changed')
date: $(date -u +%Y-%m-%d)
architectures: $CUDA_ARCHITECTURES
END
echo "gpu-bundle: $out, $(du -sm --apparent-size "$out" | cut -f 1) MiB: programs $(stat -c %s "$out/programs.tar.xz") bytes," \
    "data $(du -sb "$out/data" | cut -f 1)"
[ -n "${CUDA12:-}" ] || echo "gpu-bundle: without the plug-in for CUDA 12, whose libraries many of PyTorch's wheels bring: make cuda12 first"
echo "gpu-bundle: take it to a machine with a GPU and PyTorch, run: bash run.sh"
