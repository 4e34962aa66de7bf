// Passes over the flat arrays of parameters.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/rows.h"

namespace rook::cpu {

inline constexpr std::int64_t kFlatBlock = 16384;  // elements that one thread takes at a time

// Calls f(first, length) for blocks of `count` elements, block i from i * kFlatBlock on.
template <class F>
void for_blocks(std::int64_t count, F f) {
  parallel_for(divide_up(count, kFlatBlock), count,
               [&](std::int64_t i) { f(i * kFlatBlock, std::min(kFlatBlock, count - i * kFlatBlock)); });
}

// The sum of a[i] b[i]: sixteen sums in double, whose order the compiler cannot change; products of floats do not
// overflow a double.
inline double dot(const float* a, const float* b, std::int64_t count) {
  constexpr int kParts = 16;
  double sums[kParts] = {};
  std::int64_t i = 0;
  for (; i + kParts <= count; i += kParts) {
#pragma omp simd
    for (int k = 0; k < kParts; ++k) sums[k] += double{a[i + k]} * b[i + k];
  }
  for (; i < count; ++i) sums[i % kParts] += double{a[i]} * b[i];
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace rook::cpu
