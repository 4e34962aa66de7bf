// Blocks of the result, each by one thread: a piece of the sum at a time is packed as the microkernel walks through it.
#include "kernels/cpu/matmul.h"

#include <algorithm>

#include "kernels/cpu/register_sums.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/scratch.h"

namespace rook::cpu {
namespace {

constexpr int kColumns = 2, kRows = max_rows(kColumns);  // of the microkernel, columns in vectors
constexpr int kWidth = kColumns * kLanes;
constexpr std::int64_t kSide = 96;    // of a block, at most
constexpr std::int64_t kDepth = 256;  // terms of the sum that are packed at once: both pieces stay in the caches

constexpr std::int64_t groups_of(std::int64_t count, std::int64_t size) {
  return (count + size - 1) / size;
}

// A side of a matrix cut into equal blocks.
struct Cuts {
  std::int64_t extent, size;

  explicit Cuts(std::int64_t whole) : extent(whole), size(groups_of(groups_of(whole, groups_of(whole, kSide)), kWidth) * kWidth) {}
  std::int64_t count() const { return groups_of(extent, size); }
  std::int64_t begin(std::int64_t i) const { return i * size; }
  std::int64_t length(std::int64_t i) const { return std::min(size, extent - begin(i)); }
};

// Rows [0, depth) and `count` columns of `from`, as groups of `Group` columns: to [group][depth][Group], zeros behind.
template <int Group>
void pack(const float* from, std::int64_t pitch, std::int64_t depth, std::int64_t count, float* to) {
  for (std::int64_t first = 0; first < count; first += Group) {
    const std::int64_t width = std::min<std::int64_t>(Group, count - first);
    for (std::int64_t k = 0; k < depth; ++k, to += Group) {
      const float* const row = from + k * pitch + first;
      if (width == Group) {
        for (int i = 0; i < Group; ++i) to[i] = row[i];
      } else {
        for (int i = 0; i < Group; ++i) to[i] = i < width ? row[i] : 0;
      }
    }
  }
}

// m [kRows][pitch] (+)= sum over steps a[step][row] b[step][column].
[[gnu::noinline]] void multiply_panel(std::int64_t steps, const float* a, const float* b, bool add, float* m,
                                      std::int64_t pitch) {
  Sums<MathF32, kRows, kColumns> sums;
  sums.clear();
  for (std::int64_t step = 0; step < steps; ++step, a += kRows, b += kWidth) sums.add(a, 1, b);
  if (add)
    sums.add_to(m, pitch);
  else
    sums.store_to(m, pitch);
}

// A block of the result.
struct ResultBlock {
  std::int64_t row, column, rows, columns;
};

// Into `out`, whose rows lie `pitch` floats apart, and which has room for whole microkernels.
void multiply_block(const float* a, const float* b, std::int64_t m, std::int64_t n, std::int64_t k, const ResultBlock& block,
                    float* out, std::int64_t pitch) {
  ScratchScope scratch;
  const std::int64_t row_groups = groups_of(block.rows, kRows), column_groups = groups_of(block.columns, kWidth);
  float* const packed_a = scratch.floats(row_groups * kRows * kDepth);
  float* const packed_b = scratch.floats(column_groups * kWidth * kDepth);
  for (std::int64_t first = 0; first < k; first += kDepth) {
    const std::int64_t depth = std::min(kDepth, k - first);
    pack<kRows>(a + first * m + block.row, m, depth, block.rows, packed_a);
    pack<kWidth>(b + first * n + block.column, n, depth, block.columns, packed_b);
    for (std::int64_t j = 0; j < column_groups; ++j)
      for (std::int64_t i = 0; i < row_groups; ++i)
        multiply_panel(depth, packed_a + i * kRows * depth, packed_b + j * kWidth * depth, first > 0,
                       out + i * kRows * pitch + j * kWidth, pitch);
  }
}

struct Place {
  std::int64_t i, j;
};

// Entry `index` of a triangle, column by column: i <= j.
Place place_in_triangle(std::int64_t index) {
  std::int64_t column = 0;
  for (; index > column; ++column) index -= column + 1;
  return {index, column};
}

}  // namespace

void multiply_transposed(const float* a, const float* b, float* c, std::int64_t m, std::int64_t n, std::int64_t k,
                         Product product) {
  const Cuts rows(m), columns(n);
  const bool mirrored = product == Product::symmetric;
  const std::int64_t count = rows.count() * (mirrored ? rows.count() + 1 : 2 * columns.count()) / 2;
  parallel_for(count, m * n * k, [&](std::int64_t task) {
    const auto [i, j] = mirrored ? place_in_triangle(task) : Place{task / columns.count(), task % columns.count()};
    const ResultBlock block{rows.begin(i), columns.begin(j), rows.length(i), columns.length(j)};
    ScratchScope scratch;
    const std::int64_t pitch = groups_of(block.columns, kWidth) * kWidth;
    float* const out = scratch.floats(groups_of(block.rows, kRows) * kRows * pitch);
    multiply_block(a, b, m, n, k, block, out, pitch);
    for (std::int64_t row = 0; row < block.rows; ++row) {
      const float* const from = out + row * pitch;
      std::copy_n(from, block.columns, c + (block.row + row) * n + block.column);
    }
    if (!mirrored || i == j) return;
    for (std::int64_t column = 0; column < block.columns; ++column)
      for (std::int64_t row = 0; row < block.rows; ++row)
        c[(block.column + column) * n + block.row + row] = out[row * pitch + column];
  });
}

}  // namespace rook::cpu
