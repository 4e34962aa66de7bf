#!/usr/bin/env bash
# clang, too, compiles every kernel for the emulator: clang_test.sh SOURCE [FLAGS...]. GCC and nvcc forgive different
# things; a third compiler keeps kernels to what the language and the stand-in headers say. It leaves no files.
set -euo pipefail
cd "$1"
shift
if ! command -v clang++ >/dev/null; then
  echo "SKIPPED: there is no clang++ here, so nobody knows whether clang takes the kernels (apt-get install clang)"
  exit 77
fi
clang++ --version | head -n 1

export folder
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

compile() { clang++ -std=c++20 -Ikernels/emu/include -I. "$@"; }

# What most kernels include is read once, which takes a third of the time.
printf '#include "kernels/%s"\n' check.h device.cuh launch.cuh shared.cuh >"$folder/common.h"
compile "$@" -x c++-header -o "$folder/common.pch" "$folder/common.h"

kernel() { compile -fsyntax-only -include-pch "$folder/common.pch" -x c++ "$@"; }

# A clang that accepts anything would be no test.
if echo '__global__ void broken(float* x) { *x = "a"; }' | kernel "$@" - 2>/dev/null; then
  echo "clang took a kernel that is none"
  exit 1
fi
echo '__global__ void whole(float* x) { *x = 1; }' | kernel "$@" -

export -f compile kernel
files=(kernels/*.cu)
printf '%s\0' "${files[@]}" | xargs -0 -P "$(nproc)" -I '{}' bash -c 'kernel "$@" || { echo "clang does not take $0"; exit 1; }' '{}' "$@" '{}'
echo "clang takes ${#files[@]} kernel files"
