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
// the rows of four 8x8 matrices in the order in which the fragment's registers want them (kernels/mma.cuh): a_lane and
// b_lane say where, for the fragment that begins at row or column `first` and depth 0. The fragment 16 i further on and
// `depth` deeper lies where `at` says: what steps over whole lines is added, what changes the chunk is an exclusive or
// too, because its bits are 0 in `first` and in the matrix's part of the chunk. Begin of tile included, if a multiple
// of 64 elements.
template <int Extent, int Depth>
struct DepthInner {
  static __device__ __forceinline__ int a_lane(int first) { return place<Depth>(first + lane() % 16, lane() / 16); }
  static __device__ __forceinline__ int b_lane(int first) {
    return place<Depth>(first + lane() / 16 * 8 + lane() % 8, lane() / 8 % 2);
  }
  static __device__ __forceinline__ int at(int begin, int i, int depth) { return (begin ^ depth) + 16 * i * Depth; }
  static __device__ __forceinline__ void load(std::uint32_t (&fragment)[4], const void* row) {
    ldmatrix_x4(fragment, row);
  }
};
template <int Extent, int Depth>
struct DepthOuter {
  static __device__ __forceinline__ int a_lane(int first) {
    return place<Extent>(lane() / 16 * 8 + lane() % 8, first / kMmaChunk + lane() / 8 % 2);
  }
  static __device__ __forceinline__ int b_lane(int first) {
    return place<Extent>(lane() % 16, first / kMmaChunk + lane() / 16);
  }
  static __device__ __forceinline__ int at(int begin, int i, int depth) { return (begin ^ 16 * i) + depth * Extent; }
  static __device__ __forceinline__ void load(std::uint32_t (&fragment)[4], const void* row) {
    ldmatrix_x4_trans(fragment, row);
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

// The product of two operands in shared memory, a step at a time. T is the type of their elements.
template <class T, class Tile, template <int, int> class Layout>
class Product {
 public:
  explicit __device__ __forceinline__ Product(T* shared)
      : shared_(shared), a_(A::a_lane(warp_row<Tile>())), b_(kRowsEnd + B::b_lane(warp_column<Tile>())) {}

  // sums = the product over `steps` steps. load(a, b) begins the copies of the next step's tiles, or of zeros when
  // there is none. kStages - 1 steps are under way while one is multiplied; a warp without `work` (its sums are all
  // beyond the edge) only helps to copy.
  template <class Load>
  __device__ __forceinline__ void run(Sums<Tile>& sums, int steps, bool work, Load& load) {
#pragma unroll
    for (int i = 0; i < Tile::kStages - 1; ++i) {
      load(shared_ + i * Tile::kStageElements, shared_ + i * Tile::kStageElements + kRowsEnd);
      cp_async_commit();
    }
    // Apart, so that the copies and the product of a step are one piece of code without branches; the barriers of both
    // are the same.
    if (work) {
      run_steps<true>(sums, steps, load);
    } else {
      run_steps<false>(sums, steps, load);
    }
    cp_async_wait<0>();
    __syncthreads();  // the shared memory is free for other use
  }

 private:
  using A = Layout<Tile::kRows, Tile::kDepth>;
  using B = Layout<Tile::kColumns, Tile::kDepth>;
  static constexpr int kRowsEnd = Tile::kRows * Tile::kDepth;  // the tile of columns begins
  static constexpr int kEnd = Tile::kStages * Tile::kStageElements;
  static_assert(kRowsEnd % 64 == 0 && Tile::kStageElements % 64 == 0);

  template <bool Work, class Load>
  __device__ __forceinline__ void run_steps(Sums<Tile>& sums, int steps, Load& load) {
    int read = 0, write = kEnd - Tile::kStageElements;
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      cp_async_wait<Tile::kStages - 2>();
      __syncthreads();  // this step's tiles are there for all, and nobody reads those of the step before any more
      load(shared_ + write, shared_ + write + kRowsEnd);
      cp_async_commit();
      if constexpr (Work) multiply(sums, read);
      write = read;
      read = read + Tile::kStageElements == kEnd ? 0 : read + Tile::kStageElements;
    }
  }

  __device__ __forceinline__ void multiply(Sums<Tile>& sums, int stage) const {
    constexpr int kDown = Sums<Tile>::kDown, kAcross = Sums<Tile>::kAcross;
#pragma unroll
    for (int depth = 0; depth < Tile::kDepth; depth += 16) {
      std::uint32_t a[kDown][4], b[kAcross / 2][4];
#pragma unroll
      for (int i = 0; i < kDown; ++i) A::load(a[i], shared_ + A::at(stage + a_, i, depth));
#pragma unroll
      for (int j = 0; j < kAcross / 2; ++j) B::load(b[j], shared_ + B::at(stage + b_, j, depth));
#pragma unroll
      for (int j = 0; j < kAcross; ++j) {
        const std::uint32_t b_pair[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
#pragma unroll
        for (int i = 0; i < kDown; ++i) mma_m16n8k16<T>(sums.of[i][j], a[i], b_pair);
      }
    }
  }

  T* shared_;
  int a_, b_;
};

// Columns of the sums that a thread handles at once: 16 bytes of f32, and a row's threads are neighbours.
inline constexpr int kSumVector = 4;
template <class Tile>
__device__ __forceinline__ int sum_column() {
  return static_cast<int>(threadIdx.x) % (Tile::kColumns / kSumVector) * kSumVector;
}

// Leaves the sums in shared memory, for for_sums.
template <class Tile>
__device__ __forceinline__ void stage_sums(const Sums<Tile>& sums, float* shared) {
  float* const to = shared + (warp_row<Tile>() + lane() / 4) * Tile::kSumPitch + warp_column<Tile>() + lane() % 4 * 2;
#pragma unroll
  for (int i = 0; i < Sums<Tile>::kDown; ++i)
#pragma unroll
    for (int j = 0; j < Sums<Tile>::kAcross; ++j) {
      const auto& of = sums.of[i][j];
      store_floats<2>(to + 16 * i * Tile::kSumPitch + 8 * j, {of[0], of[1]});
      store_floats<2>(to + (16 * i + 8) * Tile::kSumPitch + 8 * j, {of[2], of[3]});
    }
  __syncthreads();
}

// Calls sink(row, values) with columns sum_column() .. + 3 of the block's sums, for the rows of this thread.
template <class Tile, int Unroll, class Sink>
__device__ __forceinline__ void for_sums(const float* shared, Sink sink) {
  constexpr int kRowStep = Tile::kThreads / (Tile::kColumns / kSumVector);
#pragma unroll Unroll
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
