// A slab of the sum at a time: both factors are put together in panels, as wide as a microkernel reads them and each in
// one piece, since rows that lie a power of two apart would drive each other out of the cache; then every block of the
// result adds its part, each by one thread.
#include "kernels/cpu/matmul.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/cpu/register_sums.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/scratch.h"

namespace rook::cpu {
namespace {

constexpr int kColumns = 2, kTileRows = max_rows(kColumns);  // of the microkernel, columns in vectors
constexpr int kWidth = kColumns * kLanes;
constexpr std::int64_t kSlab = 256;  // terms of the sum at once: a panel of each factor stays in L1
// Of a block of the result: the panels of its rows stay in L2. Whole microkernels.
constexpr std::int64_t kBlockRows = 96, kBlockColumns = 64;
static_assert(kBlockRows % kTileRows == 0 && kBlockColumns % kWidth == 0);
constexpr std::int64_t kMirrored = 32;  // side of the squares that are mirrored at once

// A factor that panels are cut from: `extent` rows of a, or columns of b, of `terms` numbers each.
struct PanelSource {
  const float* data;
  bool terms_are_rows;  // [terms, extent] in memory, else [extent, terms]
  std::int64_t extent, terms;
};

// A panel: terms [first, first + depth) of the Width rows or columns from `begin` on, to [depth][Width], zeros where
// there are none left.
template <int Width>
void pack(const PanelSource& source, std::int64_t begin, std::int64_t first, std::int64_t depth, float* to) {
  const std::int64_t count = std::min<std::int64_t>(Width, source.extent - begin);
  if (count < Width) std::fill_n(to, depth * Width, 0.0f);
  const auto [term, neighbour] =
      source.terms_are_rows ? std::pair{source.extent, std::int64_t{1}} : std::pair{std::int64_t{1}, source.terms};
  const float* const from = source.data + first * term + begin * neighbour;
  if (source.terms_are_rows && count == Width) {
    for (std::int64_t k = 0; k < depth; ++k) std::memcpy(to + k * Width, from + k * term, sizeof(float) * Width);
  } else {
    for (std::int64_t k = 0; k < depth; ++k)
      for (std::int64_t i = 0; i < count; ++i) to[k * Width + i] = from[k * term + i * neighbour];
  }
}

// m [kTileRows][pitch] (+)= sum over steps a[step][row] b[step][column].
[[gnu::noinline]] void multiply_panels(std::int64_t steps, const float* a, const float* b, bool add, float* m,
                                       std::int64_t pitch) {
  Sums<MathF32, kTileRows, kColumns> sums;
  sums.clear();
  for (std::int64_t step = 0; step < steps; ++step, a += kTileRows, b += kWidth) sums.add(a, 1, b);
  if (add)
    sums.add_to(m, pitch);
  else
    sums.store_to(m, pitch);
}

// The same at the result's edge, where there is no room for a whole microkernel.
void multiply_edge(std::int64_t steps, const float* a, const float* b, bool add, float* m, std::int64_t pitch,
                   std::int64_t rows, std::int64_t columns) {
  float whole[kTileRows * kWidth];
  multiply_panels(steps, a, b, false, whole, kWidth);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j)
      m[i * pitch + j] = (add ? m[i * pitch + j] : 0.0f) + whole[i * kWidth + j];
}

struct Block {
  std::int64_t row, column;
};

// A slab of both factors, and the result that it is added to.
struct Slab {
  const float *a, *b;  // panels
  std::int64_t depth;
  float* c;
  std::int64_t m, n;
  bool add, upper;  // upper: only what is not wholly below the diagonal

  void multiply(const Block& block) const {
    const std::int64_t last_row = std::min(m, block.row + kBlockRows);
    const std::int64_t last_column = std::min(n, block.column + kBlockColumns);
    for (std::int64_t j = block.column; j < last_column; j += kWidth) {
      const std::int64_t end = upper ? std::min(last_row, j + kWidth) : last_row;
      for (std::int64_t i = block.row; i < end; i += kTileRows) {
        const float *const rows = a + i * depth, *const columns = b + j * depth;
        if (i + kTileRows <= m && j + kWidth <= n)
          multiply_panels(depth, rows, columns, add, c + i * n + j, n);
        else
          multiply_edge(depth, rows, columns, add, c + i * n + j, n, std::min<std::int64_t>(kTileRows, m - i),
                        std::min<std::int64_t>(kWidth, n - j));
      }
    }
  }
};

// Of c [side, side]: what is below the diagonal becomes what is above.
void mirror(float* c, std::int64_t side) {
  parallel_for(divide_up(side, kMirrored), side * side, [&](std::int64_t strip) {
    const std::int64_t top = strip * kMirrored, bottom = std::min(side, top + kMirrored);
    for (std::int64_t left = 0; left < bottom; left += kMirrored)
      for (std::int64_t row = top; row < bottom; ++row)
        for (std::int64_t column = left; column < std::min(row, left + kMirrored); ++column)
          c[row * side + column] = c[column * side + row];
  });
}

}  // namespace

void multiply(Factor a, Factor b, float* c, std::int64_t m, std::int64_t n, std::int64_t k, Product product) {
  const bool mirrored = product == Product::symmetric;
  const PanelSource rows{a.data, a.is_transposed, m, k}, columns{b.data, !b.is_transposed, n, k};
  const std::int64_t row_panels = divide_up(m, kTileRows), column_panels = divide_up(n, kWidth);

  ScratchScope scratch;
  Block* const blocks = scratch.take<Block>(divide_up(m, kBlockRows) * divide_up(n, kBlockColumns));
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < m; i += kBlockRows)
    for (std::int64_t j = 0; j < n; j += kBlockColumns)
      if (!mirrored || j + kBlockColumns > i) blocks[count++] = {i, j};

  const std::int64_t most = std::min(k, kSlab);
  float* const packed_a = scratch.floats(row_panels * kTileRows * most);
  float* const packed_b = scratch.floats(column_panels * kWidth * most);
  for (std::int64_t first = 0; first < k; first += kSlab) {
    const std::int64_t depth = std::min(kSlab, k - first);
    parallel_for(row_panels + column_panels, (m + n) * depth, [&](std::int64_t i) {
      const std::int64_t j = i - row_panels;
      if (j < 0)
        pack<kTileRows>(rows, i * kTileRows, first, depth, packed_a + i * kTileRows * depth);
      else
        pack<kWidth>(columns, j * kWidth, first, depth, packed_b + j * kWidth * depth);
    });
    const Slab slab{packed_a, packed_b, depth, c, m, n, first > 0, mirrored};
    parallel_for(count, m * n * depth, [&](std::int64_t i) { slab.multiply(blocks[i]); });
  }
  if (mirrored) mirror(c, m);
}

}  // namespace rook::cpu
