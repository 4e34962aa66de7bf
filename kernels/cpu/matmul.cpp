// Blocks of the result, each by one thread: a piece of the sum at a time, of which both factors are put together first,
// since rows that lie a power of two apart would drive each other out of the cache.
#include "kernels/cpu/matmul.h"

#include <algorithm>

#include "kernels/cpu/register_sums.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/scratch.h"

namespace rook::cpu {
namespace {

constexpr int kColumns = 2, kTileRows = max_rows(kColumns);  // of the microkernel, columns in vectors
constexpr int kWidth = kColumns * kLanes;
constexpr std::int64_t kSide = 96;    // of a block, at most
constexpr std::int64_t kDepth = 128;  // terms of the sum at once: what a microkernel reads of both stays in L1

constexpr std::int64_t groups_of(std::int64_t count, std::int64_t size) {
  return (count + size - 1) / size;
}

constexpr std::int64_t padded(std::int64_t count, std::int64_t size) {
  return groups_of(count, size) * size;
}

// A side of a matrix cut into equal blocks.
struct Cuts {
  std::int64_t extent, size;

  explicit Cuts(std::int64_t whole) : extent(whole), size(padded(groups_of(whole, groups_of(whole, kSide)), kWidth)) {}
  std::int64_t count() const { return groups_of(extent, size); }
  std::int64_t begin(std::int64_t i) const { return i * size; }
  std::int64_t length(std::int64_t i) const { return std::min(size, extent - begin(i)); }
};

// `depth` rows of `count` columns, side by side and with zeros behind: to [depth][size].
void pack(const float* from, std::int64_t pitch, std::int64_t depth, std::int64_t count, std::int64_t size, float* to) {
  for (std::int64_t k = 0; k < depth; ++k, from += pitch, to += size) {
    std::copy_n(from, count, to);
    std::fill_n(to + count, size - count, 0.0f);
  }
}

// m [kTileRows][m_pitch] (+)= sum over steps a[step][row] b[step][column].
[[gnu::noinline]] void multiply_panel(std::int64_t steps, const float* a, std::int64_t a_pitch, const float* b,
                                      std::int64_t b_pitch, bool add, float* m, std::int64_t m_pitch) {
  Sums<MathF32, kTileRows, kColumns> sums;
  sums.clear();
  for (std::int64_t step = 0; step < steps; ++step, a += a_pitch, b += b_pitch) sums.add(a, 1, b);
  if (add)
    sums.add_to(m, m_pitch);
  else
    sums.store_to(m, m_pitch);
}

// A block of the result.
struct ResultBlock {
  std::int64_t row, column, rows, columns;
};

// Into `out`, whose rows lie `pitch` floats apart, and which has room for whole microkernels.
void multiply_block(const float* a, const float* b, std::int64_t m, std::int64_t n, std::int64_t k,
                    const ResultBlock& block, float* out, std::int64_t pitch) {
  ScratchScope scratch;
  const std::int64_t rows = padded(block.rows, kTileRows), columns = padded(block.columns, kWidth);
  float* const packed_a = scratch.floats(rows * kDepth);
  float* const packed_b = scratch.floats(columns * kDepth);
  for (std::int64_t first = 0; first < k; first += kDepth) {
    const std::int64_t depth = std::min(kDepth, k - first);
    pack(a + first * m + block.row, m, depth, block.rows, rows, packed_a);
    pack(b + first * n + block.column, n, depth, block.columns, columns, packed_b);
    for (std::int64_t j = 0; j < columns; j += kWidth)
      for (std::int64_t i = 0; i < rows; i += kTileRows)
        multiply_panel(depth, packed_a + i, rows, packed_b + j, columns, first > 0, out + i * pitch + j, pitch);
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
    const std::int64_t pitch = padded(block.columns, kWidth);
    float* const out = scratch.floats(padded(block.rows, kTileRows) * pitch);
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
