#!/bin/sh
# Runs the checks of every kernel for arm64 under an emulator: tools/test_neon.sh
# Needs gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user (Debian's names); skips and says so without them.
set -eu

cd "$(dirname "$0")/.."
compiler=${CROSS_CC:-aarch64-linux-gnu-gcc}
emulator=$(command -v qemu-aarch64 || command -v qemu-aarch64-static || true)
if ! command -v "$compiler" >/dev/null || [ -z "$emulator" ]; then
    echo "SKIPPED: needs $compiler and qemu-aarch64 (Debian: gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$compiler" -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Wshadow -Werror -static -Isrc -Iinclude -o "$folder/check_kernels" \
    tests/kernel/check_kernels.c src/kernel/kernel.c src/kernel/kernel_scalar.c src/kernel/kernel_neon.c \
    src/base/random.c src/base/log.c -lm

failed=0
for kernels in scalar neon; do
    "$emulator" "$folder/check_kernels" "$kernels" || failed=$((failed + 1))
done
echo "$((2 - failed)) passed, $failed failed"
[ "$failed" = 0 ]
