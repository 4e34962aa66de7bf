// Prefix sums over warps and blocks: places for what is written in order, whoever writes it.
#pragma once

#include "kernels/device.cuh"

namespace rook::ROOK_GPU {

// Sum of `value` over this lane and those before it; the warp is full.
__device__ __forceinline__ int warp_prefix_sum(int value) {
#pragma unroll
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const int before = __shfl_up_sync(kFullMask, value, static_cast<unsigned>(offset));
    if (lane() >= offset) value += before;
  }
  return value;
}

// Sum of `value` over the threads before this one, and over all in `total`. The block's x extent is a multiple of 32; y
// and z are 1. All threads take part. Two barriers, as in block_reduce.
__device__ __forceinline__ int block_prefix_sum(int value, WarpResults<int>& results, int& total) {
  const int inclusive = warp_prefix_sum(value);
  if (lane() == kWarp - 1) results.of[warp()] = inclusive;
  __syncthreads();
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  const int sums = warp_prefix_sum(lane() < warps ? results.of[lane()] : 0);
  total = __shfl_sync(kFullMask, sums, kWarp - 1);
  const int before = __shfl_sync(kFullMask, sums, warp() > 0 ? warp() - 1 : 0);
  __syncthreads();
  return inclusive - value + (warp() > 0 ? before : 0);
}

}  // namespace rook::ROOK_GPU
