// How the CPU kernels walk over NHWC tensors: in rows of consecutive elements, and in blocks of rows that are spread
// over the threads. Neither depends on the number of threads, so neither do the results.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <numeric>

#include "kernels/cpu/parallel.h"
#include "kernels/types.h"

namespace rook::cpu {

// How many parts of `size` elements hold `count`, the last perhaps less full.
constexpr std::int64_t divide_up(std::int64_t count, std::int64_t size) {
  return (count + size - 1) / size;
}

// `count` things in `parts` nearly equal parts: where part i begins.
constexpr std::int64_t part_begin(std::int64_t count, std::int64_t parts, std::int64_t i) {
  return count * i / parts;
}

// Tensors of one shape seen as rows: `fold` pixels each where all are dense, one pixel otherwise. The last row may be
// shorter. Row r of tensor t begins at r * pitch(t).
struct RowPlan {
  std::int64_t rows = 0, width = 0, last_width = 0;
  std::int64_t fold = 1;

  std::int64_t pitch(const Tensor& t) const { return t.pitch * fold; }
  std::int64_t width_of(std::int64_t row) const { return row + 1 == rows ? last_width : width; }
  std::int64_t elements() const { return (rows - 1) * width + last_width; }
};

inline RowPlan plan_rows(std::initializer_list<const Tensor*> tensors, std::int64_t fold) {
  const Tensor& first = **tensors.begin();
  RowPlan plan;
  plan.fold = std::min(fold, first.pixels());
  for (const Tensor* t : tensors) {
    if (!t->dense()) plan.fold = 1;
  }
  plan.rows = divide_up(first.pixels(), plan.fold);
  plan.width = plan.fold * first.c;
  plan.last_width = (first.pixels() - (plan.rows - 1) * plan.fold) * first.c;
  return plan;
}

// For operations that do not care which channel an element is of: long rows.
inline RowPlan plan_elements(std::initializer_list<const Tensor*> tensors) {
  constexpr std::int64_t kElements = 4096;
  return plan_rows(tensors, std::max<std::int64_t>(1, kElements / (*tensors.begin())->c));
}

// For operations with a parameter per channel: where few channels do not fill vectors, as many pixels side by side as
// make the row a multiple of 16 (3 channels: 32 pixels, 96 elements).
inline RowPlan plan_channels(std::initializer_list<const Tensor*> tensors) {
  constexpr std::int64_t kMultiple = 16, kNarrow = 64;
  const std::int64_t c = (*tensors.begin())->c;
  std::int64_t fold = 1;
  if (c < kNarrow) fold = kMultiple / std::gcd(kMultiple, c);
  while (fold * c < kNarrow) fold *= 2;
  return plan_rows(tensors, fold);
}

// Calls f(row, width of the row) for all rows, in blocks on all threads.
template <class F>
void for_rows(const RowPlan& plan, F f) {
  constexpr std::int64_t kBlockElements = 16384;
  const std::int64_t block = std::max<std::int64_t>(1, kBlockElements / plan.width);
  parallel_for(divide_up(plan.rows, block), plan.elements(), [&](std::int64_t b) {
    const std::int64_t end = std::min(plan.rows, (b + 1) * block);
    for (std::int64_t row = b * block; row < end; ++row) f(row, plan.width_of(row));
  });
}

}  // namespace rook::cpu
