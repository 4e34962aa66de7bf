// Memory that the threads of a block share. The emulator has its own version of this file.
#pragma once

#include <cuda_runtime.h>

#include "kernels/target.h"

namespace rook::ROOK_GPU {

// One object per block; its contents are undefined until written. One type per kernel: every call with the same T gives
// the same object.
template <class T>
__device__ __forceinline__ T& block_shared() {
  __shared__ T storage;
  return storage;
}

// The Grid::shared bytes of the launch, aligned to 128.
template <class T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(128) unsigned char rook_dynamic_shared[];
  return reinterpret_cast<T*>(rook_dynamic_shared);
}

}  // namespace rook::ROOK_GPU
