#!/bin/sh
# Every source file is laid out as .clang-format says, in the reading of clang-format 14 (Debian 12): each version lays out a
# few lines in its own way.
set -u
cd "$(dirname "$0")/../.." || exit 1
version=$(clang-format --version | sed 's/.*version \([0-9]*\).*/\1/')
if [ "$version" != 14 ]; then
    echo "SKIPPED, NOT TESTED: the layout of the source, since clang-format is ${version:-not here}, expected 14"
    echo "0 passed, 0 failed, 1 skipped"
elif make --no-print-directory format-check; then
    echo "1 passed, 0 failed"
else
    echo "0 passed, 1 failed"
    exit 1
fi
