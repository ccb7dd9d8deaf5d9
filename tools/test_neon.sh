#!/bin/sh
# Build the kernels for AArch64 and run tests/cpp under qemu: NEON against scalar, all bits equal,
# and scalar on AArch64 against scalar on this machine. Debian or Ubuntu; installs the cross compiler
# and the emulator where they are missing (needs root for that).
#
#   tools/test_neon.sh [BUILD_FOLDER]     default: build/neon
set -eu
cd "$(dirname "$0")/.."
build=${1:-build/neon}

if ! command -v aarch64-linux-gnu-g++ >/dev/null || ! command -v qemu-aarch64 >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    g++-aarch64-linux-gnu qemu-user
fi

# The native build gives the digests to compare with.
cmake -S . -B "$build/native" -DLOWBIT_CPP_TESTS=ON -DLOWBIT_WERROR=ON >/dev/null
cmake --build "$build/native" --parallel 2
cmake -S . -B "$build/aarch64" -DLOWBIT_CPP_TESTS=ON -DLOWBIT_WERROR=ON \
  -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_EXE_LINKER_FLAGS=-static >/dev/null
cmake --build "$build/aarch64" --parallel 2

"$build/native/test_kernels" | tee "$build/native.txt"
qemu-aarch64 "$build/aarch64/test_kernels" | tee "$build/aarch64.txt"
for isa in neon neon_dot neon_i8mm; do
  grep "^$isa:" "$build/aarch64.txt" >/dev/null || { echo "$isa did not run"; exit 1; }
done
grep '^digest' "$build/native.txt" >"$build/native.digests"
grep '^digest' "$build/aarch64.txt" >"$build/aarch64.digests"
diff "$build/native.digests" "$build/aarch64.digests"
echo "NEON gives the bits of scalar, and AArch64 those of this machine"
