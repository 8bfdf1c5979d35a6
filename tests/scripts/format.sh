#!/bin/sh
# Every source file is laid out as .clang-format says.
set -u
cd "$(dirname "$0")/../.." || exit 1
if make --no-print-directory format-check; then
    echo "1 passed, 0 failed"
else
    echo "0 passed, 1 failed"
    exit 1
fi
