// What kernels are written with: conversion at the edges, vector access, reductions over warps and blocks.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "kernels/target.h"
#include "kernels/types.h"

namespace rook::ROOK_GPU {

inline constexpr int kWarp = 32;
inline constexpr unsigned kFullMask = 0xffffffffu;

// ---- conversion: arithmetic is in float, whatever the storage

__device__ __forceinline__ float to_float(float value) {
  return value;
}
__device__ __forceinline__ float to_float(__nv_bfloat16 value) {
  return __bfloat162float(value);
}
__device__ __forceinline__ float to_float(__half value) {
  return __half2float(value);
}

// Rounds to nearest, ties to even.
template <class T>
__device__ __forceinline__ T from_float(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __float2bfloat16_rn(value);
  } else {
    static_assert(std::is_same_v<T, __half>);
    return __float2half_rn(value);
  }
}

// ---- vector access

// N elements that are read and written at once; N * sizeof(T) is 4, 8 or 16.
template <class T, int N>
struct alignas(sizeof(T) * N) Vec {
  T v[N];
};

template <class T>
inline constexpr int kVector = 16 / static_cast<int>(sizeof(T));

template <int N, class T>
__device__ __forceinline__ Vec<T, N> load(const T* from) {
  return *reinterpret_cast<const Vec<T, N>*>(from);
}

template <class T, int N>
__device__ __forceinline__ void store(T* to, const Vec<T, N>& values) {
  *reinterpret_cast<Vec<T, N>*>(to) = values;
}

// As floats, N at once.
template <int N, class T>
__device__ __forceinline__ void load_floats(const T* from, float (&values)[N]) {
  constexpr int kPiece = N < kVector<T> ? N : kVector<T>;  // no access is wider than 16 bytes
  static_assert(N % kPiece == 0);
#pragma unroll
  for (int first = 0; first < N; first += kPiece) {
    const Vec<T, kPiece> read = load<kPiece>(from + first);
#pragma unroll
    for (int i = 0; i < kPiece; ++i) values[first + i] = to_float(read.v[i]);
  }
}

template <int N, class T>
__device__ __forceinline__ void store_floats(T* to, const float (&values)[N]) {
  Vec<T, N> written;
#pragma unroll
  for (int i = 0; i < N; ++i) written.v[i] = from_float<T>(values[i]);
  store(to, written);
}

// to (=|+=) values, as a backward operation's mode says; Grad::none is not launched at all.
template <int N, class T>
__device__ __forceinline__ void put_gradient(T* to, const float (&values)[N], Grad mode) {
  float sum[N];
  if (mode == Grad::accumulate) {
    load_floats<N>(to, sum);
#pragma unroll
    for (int i = 0; i < N; ++i) sum[i] += values[i];
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) sum[i] = values[i];
  }
  store_floats<N>(to, sum);
}

// ---- where a thread is

__device__ __forceinline__ std::int64_t global_thread() {
  return std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ std::int64_t grid_threads() {
  return std::int64_t{gridDim.x} * blockDim.x;
}
__device__ __forceinline__ int lane() {
  return static_cast<int>(threadIdx.x % kWarp);
}
__device__ __forceinline__ int warp() {
  return static_cast<int>(threadIdx.x / kWarp);
}

// ---- reductions: the order is fixed by the thread's number, so results are the same to the bit every time

struct Add {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Max {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};
struct Min {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a < b ? a : b;
  }
};

// Over the 32 lanes of a full warp; every lane gets the result.
template <class Operation, class T>
__device__ __forceinline__ T warp_reduce(T value) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
    value = Operation{}(value, __shfl_xor_sync(kFullMask, value, offset));
  return value;
}

template <class T>
__device__ __forceinline__ T warp_sum(T value) {
  return warp_reduce<Add>(value);
}

// One place per warp of a block, in shared memory.
template <class T>
struct WarpResults {
  T of[kWarp];
};

// Over a block whose x extent is a multiple of 32 (y and z are 1). All threads take part and get the result. Two
// barriers: the first makes the warps' results visible, the second lets the next call write them again.
template <class Operation, class T>
__device__ __forceinline__ T block_reduce(T value, WarpResults<T>& results, T identity) {
  value = warp_reduce<Operation>(value);
  if (lane() == 0) results.of[warp()] = value;
  __syncthreads();
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  value = warp_reduce<Operation>(lane() < warps ? results.of[lane()] : identity);
  __syncthreads();
  return value;
}

template <class T>
__device__ __forceinline__ T block_sum(T value, WarpResults<T>& results) {
  return block_reduce<Add>(value, results, T{0});
}

}  // namespace rook::ROOK_GPU
