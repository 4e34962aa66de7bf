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

kernel() { clang++ -std=c++20 -Ikernels/emu/include -I. -fsyntax-only -x c++ "$@" -; }

# A clang that accepts anything would be no test.
if echo '__global__ void broken(float* x) { *x = "a"; }' | kernel -include kernels/launch.cuh "$@" 2>/dev/null; then
  echo "clang took a kernel that is none"
  exit 1
fi
echo '__global__ void whole(float* x) { *x = 1; }' | kernel -include kernels/launch.cuh "$@"

# All as one, as they are compiled elsewhere: of each by itself, two thirds of the time would be headers.
files=(kernels/*.cu)
printf '#include "%s"\n' "${files[@]}" | kernel "$@" || { echo "clang does not take the kernels"; exit 1; }
echo "clang takes ${#files[@]} kernel files"
