// What the tensor-core convolutions are made of: tiles in shared memory, the product of two tiles, the pipeline that
// fills them, and the way of the sums back to memory in rows.
//
// A block computes sums[Rows][Columns] in steps of Depth. Each step's two operands lie in shared memory in 16-byte
// chunks, either [Extent][Depth] as in memory (DepthInner: the reduction runs along the row) or [Depth][Extent]
// (DepthOuter: transposed by ldmatrix on the way to the registers).
#pragma once

#include "kernels/conv_mma_plan.h"
#include "kernels/device.cuh"
#include "kernels/mma.cuh"
#include "kernels/shared.cuh"

namespace rook::ROOK_GPU::conv_mma {

template <int Rows, int Columns, int Depth, int WarpRows, int WarpColumns, int Stages, int Blocks>
struct Tile {
  static constexpr int kRows = Rows, kColumns = Columns, kDepth = Depth, kStages = Stages;
  static constexpr int kWarpRows = WarpRows, kWarpColumns = WarpColumns;  // of one warp
  static constexpr int kWarpsAcross = Columns / WarpColumns;
  static constexpr int kThreads = Rows / WarpRows * kWarpsAcross * kWarp;
  static constexpr int kBlocks = Blocks;  // that a multiprocessor should hold: limits the registers
  static constexpr int kStageElements = (Rows + Columns) * Depth;
  // Sums on their way out. 8 floats more a row: the halves of a warp then write 4 rows of 8 floats to different banks.
  static constexpr int kSumPitch = Columns + 8;
  static constexpr std::size_t kPipelineBytes = std::size_t{2} * kStages * kStageElements;
  static constexpr std::size_t kSumBytes = sizeof(float) * Rows * kSumPitch;
  static constexpr std::size_t kSharedBytes = kPipelineBytes > kSumBytes ? kPipelineBytes : kSumBytes;
};

// The sums of one thread: mma fragments of 16x8.
template <class Tile>
struct Sums {
  static constexpr int kDown = Tile::kWarpRows / 16, kAcross = Tile::kWarpColumns / 8;
  float of[kDown][kAcross][4] = {};
};

// Where chunk `chunk` of row `row` lies in a tile with rows of Length elements, in elements. Chunks change places
// within 128 bytes (all banks once) by exclusive or with the number of the 128 bytes, so that any 8 rows that follow
// each other have a given chunk in 8 different places: neither ldmatrix nor the copies meet a bank twice.
//   Length >= 64: chunk ^ row % 8.  Length 32, two rows in 128 bytes: chunk ^ row / 2 % 4.
template <int Length>
__device__ __forceinline__ int place(int row, int chunk) {
  constexpr int kChunks = Length / kMmaChunk;
  static_assert(kChunks == 4 || kChunks % 8 == 0);
  constexpr int kRowsPerLine = kChunks == 4 ? 2 : 1, kMask = kChunks == 4 ? 3 : 7;
  return (row * kChunks + (chunk ^ (row / kRowsPerLine & kMask))) * kMmaChunk;
}

// Fragments of 16 rows (a), or of two times 8 columns (b: registers 0, 1 and 2, 3), and a depth of 16. The lanes name
// the rows of four 8x8 matrices in the order in which the fragment's registers want them (kernels/mma.cuh).
template <int Extent, int Depth>
struct DepthInner {
  template <class T>
  static __device__ __forceinline__ void load_a(std::uint32_t (&a)[4], const T* tile, int first, int depth) {
    ldmatrix_x4(a, tile + place<Depth>(first + lane() % 16, depth / kMmaChunk + lane() / 16));
  }
  template <class T>
  static __device__ __forceinline__ void load_b(std::uint32_t (&b)[4], const T* tile, int first, int depth) {
    ldmatrix_x4(b, tile + place<Depth>(first + lane() / 16 * 8 + lane() % 8, depth / kMmaChunk + lane() / 8 % 2));
  }
};
template <int Extent, int Depth>
struct DepthOuter {
  template <class T>
  static __device__ __forceinline__ void load_a(std::uint32_t (&a)[4], const T* tile, int first, int depth) {
    ldmatrix_x4_trans(a,
                      tile + place<Extent>(depth + lane() / 16 * 8 + lane() % 8, first / kMmaChunk + lane() / 8 % 2));
  }
  template <class T>
  static __device__ __forceinline__ void load_b(std::uint32_t (&b)[4], const T* tile, int first, int depth) {
    ldmatrix_x4_trans(b, tile + place<Extent>(depth + lane() % 16, first / kMmaChunk + lane() / 16));
  }
};

// Where the sums of this warp begin in the block's.
template <class Tile>
__device__ __forceinline__ int warp_row() {
  return warp() / Tile::kWarpsAcross * Tile::kWarpRows;
}
template <class Tile>
__device__ __forceinline__ int warp_column() {
  return warp() % Tile::kWarpsAcross * Tile::kWarpColumns;
}

// sums += a b for one step, a being the tile of rows and b that of columns.
template <class Tile, template <int, int> class Layout, class T>
__device__ __forceinline__ void multiply(Sums<Tile>& sums, const T* a_tile, const T* b_tile) {
  using A = Layout<Tile::kRows, Tile::kDepth>;
  using B = Layout<Tile::kColumns, Tile::kDepth>;
  constexpr int kDown = Sums<Tile>::kDown, kAcross = Sums<Tile>::kAcross;
#pragma unroll
  for (int depth = 0; depth < Tile::kDepth; depth += 16) {
    std::uint32_t a[kDown][4], b[kAcross / 2][4];
#pragma unroll
    for (int i = 0; i < kDown; ++i) A::load_a(a[i], a_tile, warp_row<Tile>() + 16 * i, depth);
#pragma unroll
    for (int j = 0; j < kAcross / 2; ++j) B::load_b(b[j], b_tile, warp_column<Tile>() + 16 * j, depth);
#pragma unroll
    for (int j = 0; j < kAcross; ++j) {
      const std::uint32_t b_pair[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
#pragma unroll
      for (int i = 0; i < kDown; ++i) mma_m16n8k16<T>(sums.of[i][j], a[i], b_pair);
    }
  }
}

// sums = the product over `steps` steps. load(a, b) begins the copies of the next step's tiles. kStages - 1 steps are
// under way while one is multiplied; a warp without `work` (its sums are all beyond the edge) only helps to copy.
template <class Tile, template <int, int> class Layout, class T, class Load>
__device__ __forceinline__ void run_pipeline(Sums<Tile>& sums, T* shared, int steps, bool work, Load load) {
  const auto stage = [&](int i) { return shared + i * Tile::kStageElements; };
#pragma unroll
  for (int i = 0; i < Tile::kStages - 1; ++i) {
    if (i < steps) load(stage(i), stage(i) + Tile::kRows * Tile::kDepth);
    cp_async_commit();  // an empty group too: the count of groups stays that of steps
  }
  int read = 0, write = Tile::kStages - 1;
  for (int step = 0; step < steps; ++step) {
    cp_async_wait<Tile::kStages - 2>();
    __syncthreads();  // this step's tiles are there for all threads, and nobody reads those of the step before any more
    if (step + Tile::kStages - 1 < steps) load(stage(write), stage(write) + Tile::kRows * Tile::kDepth);
    cp_async_commit();
    if (work) multiply<Tile, Layout>(sums, stage(read), stage(read) + Tile::kRows * Tile::kDepth);
    read = read + 1 == Tile::kStages ? 0 : read + 1;
    write = write + 1 == Tile::kStages ? 0 : write + 1;
  }
  cp_async_wait<0>();
  __syncthreads();  // the shared memory is free for other use
}

// Columns of the sums that a thread handles at once: 16 bytes of f32, and a row's threads are neighbours.
inline constexpr int kSumVector = 4;
template <class Tile>
__device__ __forceinline__ int sum_column() {
  return static_cast<int>(threadIdx.x) % (Tile::kColumns / kSumVector) * kSumVector;
}

// Calls sink(row, values) with columns sum_column() .. + 3 of the block's sums, for the rows of this thread.
template <class Tile, class Sink>
__device__ __forceinline__ void for_sums(const Sums<Tile>& sums, float* shared, Sink sink) {
  const int row = warp_row<Tile>() + lane() / 4, column = warp_column<Tile>() + lane() % 4 * 2;
#pragma unroll
  for (int i = 0; i < Sums<Tile>::kDown; ++i)
#pragma unroll
    for (int j = 0; j < Sums<Tile>::kAcross; ++j) {
      const auto& of = sums.of[i][j];
      float* to = shared + (row + 16 * i) * Tile::kSumPitch + column + 8 * j;
      store_floats<2>(to, {of[0], of[1]});
      store_floats<2>(to + 8 * Tile::kSumPitch, {of[2], of[3]});
    }
  __syncthreads();
  constexpr int kRowStep = Tile::kThreads / (Tile::kColumns / kSumVector);
#pragma unroll 2
  for (int r = static_cast<int>(threadIdx.x) / (Tile::kColumns / kSumVector); r < Tile::kRows; r += kRowStep) {
    float values[kSumVector];
    load_floats<kSumVector>(shared + r * Tile::kSumPitch + sum_column<Tile>(), values);
    sink(r, values);
  }
}

// to[i] (=|+=) values[i] for i < count; at once when `vectors`, which says that all are there and aligned.
template <int N, class Out>
__device__ __forceinline__ void put_channels(Out* to, int count, bool vectors, const float (&values)[N], Grad mode) {
  if (vectors) {
    put_gradient<N>(to, values, mode);
    return;
  }
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const float value[1] = {values[i]};
    if (i < count) put_gradient<1>(to + i, value, mode);
  }
}

// Steps [begin, begin + count) of the reduction for one of `splits` parts.
struct Steps {
  int begin, count;
};
__device__ __forceinline__ Steps steps_of(int total, int splits, int split) {
  const int each = (total + splits - 1) / splits, begin = each * split;
  const int left = total - begin;
  return {begin, left < 0 ? 0 : left < each ? left : each};
}

// Calls visit(tile) with the Tile of a plan. `Make` makes one of <rows, columns, depth, rows and columns of a warp,
// stages, blocks per multiprocessor>.
template <template <int, int, int, int, int, int, int> class Make, class Visit>
void with_tile(MmaTile tile, Visit visit) {
  switch (tile) {
    case MmaTile::t128x128:
      return visit(Make<128, 128, 32, 64, 64, 4, 2>{});
    case MmaTile::t128x64:
      return visit(Make<128, 64, 32, 64, 32, 4, 3>{});
    case MmaTile::t128x32:
      return visit(Make<128, 32, 32, 32, 32, 4, 4>{});
    case MmaTile::t64x64:
      return visit(Make<64, 64, 64, 32, 32, 4, 3>{});
    case MmaTile::t64x32:
      return visit(Make<64, 32, 64, 32, 16, 4, 4>{});
  }
}

}  // namespace rook::ROOK_GPU::conv_mma
