// The heart of the direct convolutions: a block multiplies two tiles in shared memory, each thread keeping 8 rows by 4
// columns of the product in registers: 3 vector loads for 32 multiply-adds.
#pragma once

#include "kernels/device.cuh"
#include "kernels/launch.cuh"
#include "kernels/shared.cuh"

namespace rook::ROOK_GPU {

inline constexpr int kDepth = 16;  // what is summed over, per step
inline constexpr int kThreadRows = 8, kThreadColumns = 4;
inline constexpr int kWarpRows = 32, kWarpColumns = 32;

template <int Rows, int Columns>
struct Tile {
  static constexpr int kRows = Rows, kColumns = Columns;
  static constexpr int kThreads = Rows * Columns / (kThreadRows * kThreadColumns);
  static_assert(Rows % kWarpRows == 0 && Columns % kWarpColumns == 0);
};

// One step's operands. The pad keeps the scattered writes of `a` apart in the banks.
template <class T>
struct Stage {
  alignas(16) float a[kDepth][T::kRows + 4];
  alignas(16) float b[kDepth][T::kColumns];
};

// Two, so that the next is filled while one is multiplied.
template <class T>
struct Stages {
  Stage<T> of[2];
};

// The first row and column of this thread's part of a tile.
struct Place {
  int row, column;
};

template <class T>
__device__ __forceinline__ Place place_in_tile() {
  constexpr int kWarpsDown = T::kRows / kWarpRows;
  return {warp() % kWarpsDown * kWarpRows + lane() / 8 * kThreadRows,
          warp() / kWarpsDown * kWarpColumns + lane() % 8 * kThreadColumns};
}

using Sums = float[kThreadRows][kThreadColumns];

// sums += a^T b over the depth of a stage.
template <class T>
__device__ __forceinline__ void multiply(const Stage<T>& stage, Place place, Sums& sums) {
#pragma unroll
  for (int depth = 0; depth < kDepth; ++depth) {
    const Vec<float, 4> a0 = load<4>(&stage.a[depth][place.row]), a1 = load<4>(&stage.a[depth][place.row + 4]);
    const Vec<float, 4> b = load<4>(&stage.b[depth][place.column]);
#pragma unroll
    for (int i = 0; i < kThreadRows / 2; ++i)
#pragma unroll
      for (int j = 0; j < kThreadColumns; ++j) {
        sums[i][j] += a0.v[i] * b.v[j];
        sums[i + 4][j] += a1.v[i] * b.v[j];
      }
  }
}

template <int N, class T>
__device__ __forceinline__ Vec<T, N> load_or_zero(const T* from, bool inside) {
  if (inside) return load<N>(from);
  Vec<T, N> zero;
#pragma unroll
  for (int i = 0; i < N; ++i) zero.v[i] = from_float<T>(0.0f);
  return zero;
}

// to (=|+=) the first `count` of N values; at once when they are aligned and whole vectors.
template <int N, class T>
__device__ __forceinline__ void put_some(T* to, const float (&values)[N], int count, bool vector, Grad mode) {
  if (vector) {
    if (count > 0) put_gradient<N>(to, values, mode);
    return;
  }
#pragma unroll
  for (int i = 0; i < N; ++i)
    if (i < count) put_gradient<1>(to + i, {values[i]}, mode);
}

// Moves rows up by one, so that a loop over rows that is not unrolled finds the next one in row 0, in registers.
__device__ __forceinline__ void next_row(Sums& sums) {
#pragma unroll
  for (int i = 0; i + 1 < kThreadRows; ++i)
#pragma unroll
    for (int j = 0; j < kThreadColumns; ++j) sums[i][j] = sums[i + 1][j];
}

// Whether rows of `count` elements that are `pitch` apart can be read or written N at a time.
template <int N>
inline bool in_vectors(const void* data, DType type, int count, std::int64_t pitch) {
  return reinterpret_cast<std::uintptr_t>(data) % (N * size_of(type)) == 0 && count % N == 0 && pitch % N == 0;
}

inline int divide_up(int a, int b) {
  return (a + b - 1) / b;
}

}  // namespace rook::ROOK_GPU
