#!/bin/sh
# Installs the Debian packages that nasrun is built and tested with. As root it installs what is missing; otherwise it
# prints the one line to run and ends with status 1. Arguments: groups, of build, demo, test and tsan.
set -eu

build="gcc make pkg-config libdnnl-dev libconfig-dev libpng-dev libjpeg-dev libwebp-dev libtiff-dev libgif-dev
zlib1g-dev libxxhash-dev libutf8proc-dev libcjson-dev libcairo2-dev libprotobuf-c-dev protobuf-c-compiler libonnx-dev"
demo="dataset-fashion-mnist"
tsan="libomp-dev libclang-rt-dev"
test="libcmocka-dev python3 python3-pip python3-venv clang clang-format mandoc zsh dpkg-dev lintian"
[ "$(id -u)" -ne 0 ] || test="$test debootstrap" # tests/scripts/debian13.sh, which is root's alone

wanted=""
for group in "$@"; do
    case $group in
    build) wanted="$wanted $build" ;;
    demo) wanted="$wanted $demo" ;;
    test) wanted="$wanted $test" ;;
    tsan) wanted="$wanted $tsan" ;;
    *) echo "deps: unknown group $group, expected build, demo, test or tsan" >&2; exit 2 ;;
    esac
done

missing=""
for package in $wanted; do
    case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true) in
    "install ok installed") ;;
    *) missing="$missing $package" ;;
    esac
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "nasrun needs these packages. Run this, then make again:" >&2
    echo "  sudo apt-get install -y --no-install-recommends$missing" >&2
    exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # a list of packages
apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null
