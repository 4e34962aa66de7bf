#!/usr/bin/env bash
# clang, too, compiles every kernel for the emulator: clang_test.sh SOURCE [FLAGS...]. GCC and nvcc forgive different
# things; a third compiler keeps kernels to what the language and the stand-in headers say. Looks alone, writes nothing.
set -euo pipefail
cd "$1"
shift
if ! command -v clang++ >/dev/null; then
  echo "SKIPPED: there is no clang++ here, so nobody knows whether clang takes the kernels (apt-get install clang)"
  exit 77
fi
clang++ --version | head -n 1

compile() { clang++ -std=c++20 -fsyntax-only -x c++ -Ikernels/emu/include -I. "$@"; }

# A clang that accepts anything would be no test.
if echo '__global__ void broken(float* x) { *x = "a"; }' | compile -include cuda_runtime.h - 2>/dev/null; then
  echo "clang took a kernel that is none"
  exit 1
fi

export -f compile
files=(kernels/*.cu)
printf '%s\0' "${files[@]}" | xargs -0 -P "$(nproc)" -I '{}' bash -c 'compile "$@" || { echo "clang does not take $0"; exit 1; }' '{}' "$@" '{}'
echo "clang takes ${#files[@]} kernel files"
