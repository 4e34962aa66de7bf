// Sums over the pixels of each channel, for batch norm: blocks of rows are summed in float into partial sums, and these
// are combined in double in a fixed order. Blocks depend on the shape alone, so the result does not depend on the
// threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/rows.h"
#include "kernels/cpu/vec.h"

namespace rook::cpu {

// The rows of a plan_channels() plan in blocks. A last row that is shorter than the others is a block of its own.
struct ChannelBlocks {
  std::int64_t channels, width, last_width, block_rows, full_rows, blocks;

  struct Range {
    std::int64_t first_row, rows, width;
  };
  Range range(std::int64_t block) const {
    const std::int64_t first = block * block_rows;
    if (first >= full_rows) return {full_rows, 1, last_width};
    return {first, std::min(block_rows, full_rows - first), width};
  }
};

inline ChannelBlocks plan_blocks(const RowPlan& plan, std::int64_t channels) {
  constexpr std::int64_t kElements = 32768, kFewest = 16, kMost = 512;
  ChannelBlocks b{};
  b.channels = channels;
  b.width = plan.width;
  b.last_width = plan.last_width;
  b.full_rows = plan.last_width == plan.width ? plan.rows : plan.rows - 1;
  b.block_rows = std::clamp(kElements / plan.width, kFewest, kMost);
  b.blocks = divide_up(b.full_rows, b.block_rows) + (b.full_rows == plan.rows ? 0 : 1);
  return b;
}

// `Count` vectors of columns, and what is left of the last one, behind one name.
template <int Count>
struct FullColumns {
  static constexpr int kVectors = Count;
  template <class T>
  Vec get(const T* p) const {
    return load(p);
  }
  void add(float* p, Vec value) const { store(p, load(p) + value); }
};
struct LastColumns {
  static constexpr int kVectors = 1;
  int count;
  template <class T>
  Vec get(const T* p) const {
    return load_partial(p, count);
  }
  void add(float* p, Vec value) const { store_partial(p, count, load_partial(p, count) + value); }
};

// Adds up two quantities per column over rows [0, rows): first[i] and second[i] += their sums. A few rows at a time, so
// that the next columns of them are still in the nearest cache; their sums stay in registers, for a few vectors at
// once. terms.column(lanes, i) sees to column i: `add(lanes, row, sum1, sum2)` of what it returns adds row's elements.
template <class Terms>
void add_rows(const Terms& terms, std::int64_t rows, std::int64_t width, float* first, float* second) {
  constexpr std::int64_t kGroup = 16;
  for (std::int64_t begin = 0; begin < rows; begin += kGroup) {
    const std::int64_t end = std::min(rows, begin + kGroup);
    const auto columns = [&](auto lanes, std::int64_t i) {
      constexpr int kVectors = decltype(lanes)::kVectors;
      using Column = decltype(terms.column(lanes, i));
      struct Sums {
        Column column;
        Vec first, second;
      };
      Sums sums[kVectors] = {};
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[v].column = terms.column(lanes, i + v * kLanes);
      for (std::int64_t row = begin; row < end; ++row) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sums[v].column.add(lanes, row, sums[v].first, sums[v].second);
      }
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        lanes.add(first + i + v * kLanes, sums[v].first);
        lanes.add(second + i + v * kLanes, sums[v].second);
      }
    };
    std::int64_t i = 0;
    for (; i + 2 * kLanes <= width; i += 2 * kLanes) columns(FullColumns<2>{}, i);
    for (; i + kLanes <= width; i += kLanes) columns(FullColumns<1>{}, i);
    if (i < width) columns(LastColumns{static_cast<int>(width - i)}, i);
  }
}

// Calls f(first channel, one past the last) for chunks of the channels, on all threads.
template <class F>
void for_channel_chunks(const ChannelBlocks& b, F f) {
  constexpr std::int64_t kChunk = 64;
  parallel_for(divide_up(b.channels, kChunk), b.blocks * b.width,
               [&](std::int64_t i) { f(i * kChunk, std::min(b.channels, (i + 1) * kChunk)); });
}

}  // namespace rook::cpu
