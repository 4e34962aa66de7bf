// How fprop and dgrad by Winograd lay out filters and tiles, and the choice of arithmetic and tile for a storage type.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "kernels/cpu/conv_winograd.h"
#include "kernels/cpu/conv_winograd_math.h"
#include "kernels/cpu/conv_winograd_matrices.h"
#include "kernels/cpu/rows.h"

namespace rook::cpu::winograd {

// Floats of that many cache lines, or one more: points lie an odd number of lines apart, as else the writes of a
// tile would fall into one set of the cache.
constexpr std::ptrdiff_t odd_lines(std::ptrdiff_t lines) {
  return (lines | 1) * kLanes;
}

// Columns (output channels) in vectors of kLanes, those in groups that a microkernel takes at once; the sum over input
// channels in blocks of kLanes lanes.
struct ForwardLayout {
  int vecs, groups;
  int blocks;
  int points;

  std::int64_t steps() const { return std::int64_t{blocks} * kLanes; }
  int group_begin(int group) const { return static_cast<int>(part_begin(vecs, groups, group)); }
  int group_columns(int group) const { return group_begin(group + 1) - group_begin(group); }
  int group_of(int vec) const {
    int group = vec * groups / vecs;
    while (group_begin(group + 1) <= vec) ++group;
    return group;
  }
  // Of a group's filters among the packed ones, in floats.
  std::ptrdiff_t group_offset(int group) const {
    return std::ptrdiff_t{group_begin(group)} * kLanes * points * steps();
  }
};

template <class Math, class Tile>
ForwardLayout forward_layout(const Shape& s) {
  ForwardLayout layout{};
  layout.vecs = static_cast<int>(divide_up(s.k, kLanes));
  layout.groups = static_cast<int>(divide_up(layout.vecs, kMaxColumns));
  layout.blocks = static_cast<int>(divide_up(s.c, kLanes * Math::kDepth));
  layout.points = Tile::kPoints;
  return layout;
}

// Whether this processor, as compiled for, has the arithmetic of a storage type.
constexpr bool has_math(DType storage) {
#if defined(ROOK_AVX512_BF16)
  if (storage == DType::bf16) return true;
#endif
  return storage == DType::f32;
}

// Returns visit(math) with the arithmetic of a storage type.
template <class Visitor>
auto with_math(DType storage, Visitor visit) {
#if defined(ROOK_AVX512_BF16)
  if (storage == DType::bf16) return visit(MathBf16{});
#endif
  if (!has_math(storage)) throw Error("convolution: Winograd has no arithmetic for this type on this processor");
  return visit(MathF32{});
}

// Returns visit(math, tile). Bf16 has not the digits for the large tile.
template <class Visitor>
auto with_math_and_tile(DType storage, int tile, Visitor visit) {
  if (tile == Tile2::kOutputs) return with_math(storage, [&](auto math) { return visit(math, Tile2{}); });
  if (storage != DType::f32) throw Error("convolution: Winograd's large tiles are for f32");
  return visit(MathF32{}, Tile4{});
}

}  // namespace rook::cpu::winograd
