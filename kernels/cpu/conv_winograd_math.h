// The microkernels of Winograd's products.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "kernels/cpu/register_sums.h"

namespace rook::cpu::winograd {

// m[row][column] = sum over steps a[row][step] b[step][column]: a comes in blocks of kLanes lanes [blocks][..][kLanes]
// that lie a_block floats apart, b is [blocks * kLanes][Columns * kLanes].
template <class Math, int Rows, int Columns>
void multiply_tiles(int blocks, const float* a, std::ptrdiff_t a_block, const float* b, float* m) {
  Sums<Math, Rows, Columns> sums;
  sums.clear();
  for (int block = 0; block < blocks; ++block, a += a_block)
    for (int step = 0; step < kLanes; ++step, b += Columns * kLanes) sums.add(a + step, kLanes, b);
  sums.store_to(m);
}

using MultiplyTiles = void (*)(int blocks, const float* a, std::ptrdiff_t a_block, const float* b, float* m);

template <class Math, int Columns, int... I>
constexpr std::array<MultiplyTiles, kMaxRows> multiply_tiles_by_rows(std::integer_sequence<int, I...>) {
  return {(I < max_rows(Columns) ? multiply_tiles<Math, std::min(I + 1, max_rows(Columns)), Columns> : nullptr)...};
}

// multiply_tiles for `rows` <= max_rows(columns) and `columns` <= kMaxColumns.
template <class Math>
MultiplyTiles multiply_tiles_of(int rows, int columns) {
  static constexpr auto table = []<int... J>(std::integer_sequence<int, J...>) {
    return std::array{multiply_tiles_by_rows<Math, J + 1>(std::make_integer_sequence<int, kMaxRows>{})...};
  }
  (std::make_integer_sequence<int, kMaxColumns>{});
  return table[static_cast<std::size_t>(columns - 1)][static_cast<std::size_t>(rows - 1)];
}

// wgrad: half a vector of filters by up to three vectors of channels.
inline constexpr int kReduceRows = kLanes / 2, kReduceColumns = 3;

// m[row][column] (+)= sum over steps a[step][row] b[step][column]: a is [steps][kLanes], of which the kReduceRows from
// `a` on are used, b is [steps][Columns * kLanes], m is [kReduceRows][Columns * kLanes]. (Inlined, GCC has other uses
// for the registers.)
template <class Math, int Columns>
[[gnu::noinline]] void multiply_steps(std::int64_t steps, const float* a, const float* b, bool add, float* m) {
  Sums<Math, kReduceRows, Columns> sums;
  sums.clear();
  for (std::int64_t step = 0; step < steps; ++step, a += kLanes, b += Columns * kLanes) sums.add(a, 1, b);
  if (add)
    sums.add_to(m);
  else
    sums.store_to(m);
}

}  // namespace rook::cpu::winograd
